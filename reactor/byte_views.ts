// Core. Views of the start of one buffer, made once for each place and length: a view costs more than
// most of what is done with it.

/** Views that begin behind this, or are longer, are made each time. */
const STARTS_MAX = 64;
const LENGTHS_MAX = 1_024;

/** Views of a buffer that is written again and again, as a receive buffer is. */
export class ByteViews {
  readonly #bytes: Uint8Array;
  readonly #buffer: ArrayBufferLike;
  /** By start and length. */
  readonly #rows: (Uint8Array | undefined)[][] = Array.from({ length: STARTS_MAX }, () => []);

  /** `bytes` begin where their buffer does. */
  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#buffer = bytes.buffer;
  }

  /** True when bytes lie in the buffer. */
  holds(bytes: Uint8Array): boolean {
    return bytes.buffer === this.#buffer;
  }

  /** What lies from `start` to before `end`. */
  of(start: number, end: number): Uint8Array {
    const length = end - start;
    if (start >= STARTS_MAX || length >= LENGTHS_MAX) return this.#bytes.subarray(start, end);
    return this.#rows[start][length] ??= this.#bytes.subarray(start, end);
  }

  /**
   * The same, after it was moved to `front` where it can be made once there. What lay there, to the end
   * of it at most, is lost; `front` must not be behind `start`.
   */
  movedTo(front: number, start: number, end: number): Uint8Array {
    if (start < STARTS_MAX || end - start >= LENGTHS_MAX) return this.of(start, end);
    this.#bytes.copyWithin(front, start, end);
    return this.of(front, front + end - start);
  }
}
