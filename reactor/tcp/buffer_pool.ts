// Core. Output buffers in four sizes, kept for reuse up to a bound.

/** Sizes handed out. The largest holds the largest frame (8 + 65,527 = 65,535 bytes). */
export const BUFFER_SIZE_CLASSES: readonly number[] = [512, 4096, 16_384, 65_536];

/** Default bound on the bytes that wait for reuse. */
export const POOL_BYTES_MAX = 16 * 1024 * 1024;

/** Counters of a {@linkcode BufferPool}. */
export interface BufferPoolStats {
  /** Buffers handed out again. */
  readonly reused: number;
  /** Buffers that had to be made. */
  readonly made: number;
  /** Buffers given back to a full pool and left to the garbage collector. */
  readonly dropped: number;
}

/**
 * Free lists of buffers, one for each size class. When it is empty `acquire` makes a new buffer;
 * when it is full (`bytesMax`) `release` drops the buffer. So it never refuses, and never keeps more
 * than its bound; what is handed out is bounded by the output limits of the connections.
 */
export class BufferPool {
  readonly #bytesMax: number;
  readonly #free: Uint8Array[][] = BUFFER_SIZE_CLASSES.map(() => []);
  readonly #stats = { reused: 0, made: 0, dropped: 0 };
  #freeBytes = 0;

  /** `bytesMax` bounds the bytes that wait for reuse, default 16 MiB, 0 = keep nothing. */
  constructor(bytesMax = POOL_BYTES_MAX) {
    if (!(bytesMax >= 0)) {
      throw new RangeError(`Pool bytesMax must be >= 0: current value is ${bytesMax}`);
    }
    this.#bytesMax = bytesMax;
  }

  /** Bytes that wait for reuse. */
  get freeBytes(): number {
    return this.#freeBytes;
  }

  get stats(): BufferPoolStats {
    return this.#stats;
  }

  /**
   * A buffer of the smallest class that holds `bytes`; its content is arbitrary.
   *
   * @throws {RangeError} when no class is that large.
   */
  acquire(bytes: number): Uint8Array {
    let index = 0;
    while (BUFFER_SIZE_CLASSES[index] < bytes) index++;
    if (index === BUFFER_SIZE_CLASSES.length) {
      throw new RangeError(
        `Buffer must be at most ${BUFFER_SIZE_CLASSES.at(-1)} bytes: current value is ${bytes}`,
      );
    }
    const buffer = this.#free[index].pop();
    if (buffer === undefined) {
      this.#stats.made++;
      return new Uint8Array(BUFFER_SIZE_CLASSES[index]);
    }
    this.#stats.reused++;
    this.#freeBytes -= buffer.length;
    return buffer;
  }

  /** Gives a buffer back; the caller must hold no view of it any more. Foreign sizes are dropped. */
  release(buffer: Uint8Array): void {
    const index = BUFFER_SIZE_CLASSES.indexOf(buffer.length);
    if (index < 0 || this.#freeBytes + buffer.length > this.#bytesMax) {
      this.#stats.dropped++;
      return;
    }
    this.#free[index].push(buffer);
    this.#freeBytes += buffer.length;
  }
}
