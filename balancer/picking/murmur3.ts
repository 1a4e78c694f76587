// Core. MurmurHash3 (Austin Appleby, public domain), x86, 32 bits, of words and of text.
//
// Own code, because `api/` runs this room without an import map, and because the common packages
// take UTF-16 units for bytes and so disagree with every other language on text beyond ASCII.

const C1 = 0xcc9e2d51;
const C2 = 0x1b873593;

function mix(hash: number, word: number): number {
  let k = Math.imul(word, C1);
  k = (k << 15) | (k >>> 17);
  hash ^= Math.imul(k, C2);
  hash = (hash << 13) | (hash >>> 19);
  return (Math.imul(hash, 5) + 0xe6546b64) | 0;
}

function finish(hash: number, bytes: number): number {
  hash ^= bytes;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return hash ^ (hash >>> 16);
}

/** Hash of three 32-bit numbers, as of their 12 bytes in little-endian order. Unsigned. */
export function hashWords(a: number, b: number, c: number, seed = 0): number {
  return finish(mix(mix(mix(seed, a), b), c), 12) >>> 0;
}

/** Mixes the last bytes in, fewer than four. */
function mixRest(hash: number, word: number): number {
  const k = Math.imul(word, C1);
  return hash ^ Math.imul((k << 15) | (k >>> 17), C2);
}

/** Hash of the UTF-8 bytes of a text, without making them. Unsigned. O(length). */
export function hashText(text: string, seed = 0): number {
  return signedHashText(text, seed) >>> 0;
}

/**
 * A caller's key as a number for the tables of policies: the upper 31 bits of its hash. So it is
 * positive and small enough for engines to keep it in place on all its way.
 */
export function tableKeyOf(key: number | string): number {
  return (typeof key === "number" ? finish(mix(0, key), 4) : signedHashText(key, 0)) >>> 1;
}

function signedHashText(text: string, seed: number): number {
  let hash = seed | 0;
  let word = 0;
  const { length } = text;
  // Most keys are ASCII: a unit is a byte.
  for (let i = 0; i < length; i++) {
    const code = text.charCodeAt(i);
    if (code >= 0x80) return hashUnicode(text, seed);
    word |= code << ((i & 3) * 8);
    if ((i & 3) !== 3) continue;
    hash = mix(hash, word);
    word = 0;
  }
  return finish((length & 3) === 0 ? hash : mixRest(hash, word), length);
}

function hashUnicode(text: string, seed: number): number {
  let hash = seed | 0;
  let word = 0;
  let bytes = 0;
  const add = (byte: number): void => {
    word |= byte << ((bytes & 3) * 8);
    bytes++;
    if ((bytes & 3) !== 0) return;
    hash = mix(hash, word);
    word = 0;
  };
  for (let i = 0; i < text.length; i++) {
    const code = text.codePointAt(i) ?? 0;
    if (code > 0xffff) i++;
    if (code < 0x80) {
      add(code);
    } else if (code < 0x800) {
      add(0xc0 | (code >> 6));
      add(0x80 | (code & 63));
    } else if (code < 0x10000) {
      // Half of a surrogate pair alone is encoded as the replacement character, as everywhere.
      const known = code >= 0xd800 && code <= 0xdfff ? 0xfffd : code;
      add(0xe0 | (known >> 12));
      add(0x80 | ((known >> 6) & 63));
      add(0x80 | (known & 63));
    } else {
      add(0xf0 | (code >> 18));
      add(0x80 | ((code >> 12) & 63));
      add(0x80 | ((code >> 6) & 63));
      add(0x80 | (code & 63));
    }
  }
  return finish((bytes & 3) === 0 ? hash : mixRest(hash, word), bytes);
}
