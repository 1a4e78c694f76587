// Core. Many short texts in pages of bytes: a million of them as objects would take twice the room.

/** Room is given out in so many bytes; a text is named by the unit that it begins with. */
const UNIT_BYTES = 8;

/** Units of a page, of 64 KiB; a text lies in one page. */
const PAGE_BITS = 13;
const PAGE_UNITS = 1 << PAGE_BITS;

/** Bytes before each text: how many it has. */
const LENGTH_BYTES = 2;

/** The longest text, in bytes. */
export const STORED_TEXT_BYTES_MAX = 1_024;

const NO_UNIT = -1;

const textEncoder = new TextEncoder();
const textDecoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** Texts by number. Bounded by who adds them. */
export class TextStore {
  readonly #pages: DataView[] = [];
  /** Where nothing was written yet. */
  #end = 0;
  /** By units: the first of the places of that size that are free, each of which names the next one. */
  readonly #free = new Map<number, number>();

  /**
   * Keeps a text of at most {@linkcode STORED_TEXT_BYTES_MAX}.
   *
   * @returns the number by which it is known until it is removed.
   */
  add(text: Uint8Array): number {
    const at = this.#take(unitsOf(text.length));
    const start = startOf(at);
    const page = this.#pageOf(at);
    page.setUint16(start, text.length);
    bytesOf(page).set(text, start + LENGTH_BYTES);
    return at;
  }

  /** Its number means nothing any more. */
  remove(at: number): void {
    const page = this.#pageOf(at);
    const units = unitsOf(page.getUint16(startOf(at)));
    page.setInt32(startOf(at), this.#free.get(units) ?? NO_UNIT);
    this.#free.set(units, at);
  }

  /** True when the text of that number has these bytes. */
  isAt(at: number, text: Uint8Array): boolean {
    const start = startOf(at);
    const page = this.#pageOf(at);
    if (page.getUint16(start) !== text.length) return false;
    for (let i = 0; i < text.length; i++) {
      if (page.getUint8(start + LENGTH_BYTES + i) !== text[i]) return false;
    }
    return true;
  }

  read(at: number): string {
    const start = startOf(at) + LENGTH_BYTES;
    const page = this.#pageOf(at);
    const length = page.getUint16(start - LENGTH_BYTES);
    return textDecoder.decode(bytesOf(page).subarray(start, start + length));
  }

  #pageOf(at: number): DataView {
    return this.#pages[at >>> PAGE_BITS];
  }

  #take(units: number): number {
    const free = this.#free.get(units) ?? NO_UNIT;
    if (free !== NO_UNIT) {
      this.#free.set(units, this.#pageOf(free).getInt32(startOf(free)));
      return free;
    }
    const left = this.#pages.length * PAGE_UNITS - this.#end;
    if (left < units) {
      // What is left of the page is lost: less than a sixtieth of it.
      this.#end += left;
      this.#pages.push(new DataView(new ArrayBuffer(PAGE_UNITS * UNIT_BYTES)));
    }
    const at = this.#end;
    this.#end += units;
    return at;
  }
}

function unitsOf(length: number): number {
  if (length > STORED_TEXT_BYTES_MAX) {
    throw new RangeError(
      `Text must be at most ${STORED_TEXT_BYTES_MAX} bytes: current value is ${length}`,
    );
  }
  return Math.ceil((LENGTH_BYTES + length) / UNIT_BYTES);
}

/** Place in its page, in bytes. */
function startOf(at: number): number {
  return (at & PAGE_UNITS - 1) * UNIT_BYTES;
}

function bytesOf(page: DataView): Uint8Array {
  return new Uint8Array(page.buffer);
}

/** Texts as bytes, in one buffer that is used again and again. */
export class TextBytes {
  #bytes = new Uint8Array(512);

  /** Valid until the next call. */
  of(text: string): Uint8Array {
    // No character of a text has more.
    if (this.#bytes.length < 3 * text.length) this.#bytes = new Uint8Array(3 * text.length);
    return this.#bytes.subarray(0, textEncoder.encodeInto(text, this.#bytes).written);
  }
}
