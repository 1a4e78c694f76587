// Core. The resource identifiers in an X.509 certificate, read from its bytes: texts that a runtime
// makes of them cannot be told apart from one name that looks like two.

/** Tags of ASN.1 that are met on the way. */
const SEQUENCE = 0x30;
const OBJECT_ID = 0x06;
const OCTETS = 0x04;
/** `[3]` around the extensions, `[6]` of a resource identifier among alternative names. */
const EXTENSIONS = 0xa3;
const URI = 0x86;

/** Object identifier 2.5.29.17: alternative names of the subject. */
const SUBJECT_ALT_NAME = [0x55, 0x1d, 0x11];

/** Names of one certificate that are looked at. */
const NAMES_MAX = 1000;

interface Part {
  readonly tag: number;
  readonly bytes: Uint8Array;
}

/** The parts of a constructed value. @throws {RangeError} when a length goes beyond it. */
function* partsOf(bytes: Uint8Array): Generator<Part> {
  for (let at = 0; at < bytes.length;) {
    const tag = bytes[at];
    const [length, start] = lengthAt(bytes, at + 1);
    if (start + length > bytes.length) throw new RangeError("Certificate ends within a value");
    yield { tag, bytes: bytes.subarray(start, start + length) };
    at = start + length;
  }
}

/** A length, and where what has it begins. */
function lengthAt(bytes: Uint8Array, at: number): [length: number, start: number] {
  const first = bytes[at];
  if (first === undefined) throw new RangeError("Certificate ends within a length");
  if (first < 0x80) return [first, at + 1];
  const count = first & 0x7f;
  if (count < 1 || count > 3 || at + count >= bytes.length) {
    throw new RangeError("Certificate has a length that cannot be");
  }
  let length = 0;
  for (let index = 1; index <= count; index++) length = length * 256 + bytes[at + index];
  return [length, at + 1 + count];
}

function firstOf(bytes: Uint8Array, tag: number): Uint8Array | undefined {
  for (const part of partsOf(bytes)) if (part.tag === tag) return part.bytes;
  return undefined;
}

/** Content of the extension with the alternative names, if there is one. */
function altNames(extensions: Uint8Array): Uint8Array | undefined {
  for (const { tag, bytes } of partsOf(firstOf(extensions, SEQUENCE) ?? new Uint8Array())) {
    if (tag !== SEQUENCE) continue;
    const id = firstOf(bytes, OBJECT_ID);
    if (id?.length !== SUBJECT_ALT_NAME.length) continue;
    if (SUBJECT_ALT_NAME.every((byte, index) => id[index] === byte)) return firstOf(bytes, OCTETS);
  }
  return undefined;
}

/**
 * Resource identifiers among the alternative names of a certificate, of printable ASCII only.
 *
 * @param der The certificate in DER.
 * @throws {RangeError} when it is none.
 */
export function uriNames(der: Uint8Array): string[] {
  const certificate = firstOf(der, SEQUENCE);
  const signed = certificate === undefined ? undefined : firstOf(certificate, SEQUENCE);
  if (signed === undefined) throw new RangeError("Certificate must be an X.509 certificate in DER");
  const extensions = firstOf(signed, EXTENSIONS);
  const names = extensions === undefined ? undefined : altNames(extensions);
  const list = names === undefined ? undefined : firstOf(names, SEQUENCE);
  const uris: string[] = [];
  for (const { tag, bytes } of partsOf(list ?? new Uint8Array())) {
    if (tag !== URI || !bytes.every((byte) => byte > 0x20 && byte < 0x7f)) continue;
    if (uris.length >= NAMES_MAX) throw new RangeError("Certificate has too many names");
    uris.push(String.fromCharCode(...bytes));
  }
  return uris;
}
