// Core. A queue of records in shared memory, from one thread to another.
//
// One thread pushes, one drains; each writes only its own position. A record lies in one piece, so
// that the reader gets a view of it. Each side can sleep until the other one has news: a reader
// that can wait for a promise listens to `Signal`, one that is blocked in the kernel announces that
// it sleeps, and the writer then wakes it by whatever it sleeps on.

/** Words in front of the records. */
const Word = {
  /** Bytes taken out so far, modulo 2^32; written by the reader. */
  Read: 0,
  /** Bytes put in so far, modulo 2^32; written by the writer. */
  Write: 1,
  /** Raised with each record; readers wait on it. */
  Signal: 2,
  /** 1 while the reader sleeps where a signal does not reach it. */
  Sleeping: 3,
  /** 1 when the reader is to end. */
  Stop: 4,
  /** Records refused because the ring was full. */
  Refused: 5,
} as const;

const HEAD_BYTES = 64;

/** In the place of a length: nothing more until the end of the memory. */
const SKIP = -1;

/** Smallest and largest capacity of a ring. */
export const RING_BYTES_MIN = 1024;
export const RING_BYTES_MAX = 1 << 30;

/** A ring as one of its two threads sees it. */
export class SharedRing {
  /** What to hand to the other thread. */
  readonly memory: SharedArrayBuffer;
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #lengths: Int32Array;
  readonly #bytes: Uint8Array;
  readonly #mask: number;

  /** Uses memory made by {@linkcode SharedRing.create}. */
  constructor(memory: SharedArrayBuffer) {
    this.memory = memory;
    this.#words = new Int32Array(memory, 0, HEAD_BYTES / 4);
    this.#lengths = new Int32Array(memory, HEAD_BYTES);
    this.#bytes = new Uint8Array(memory, HEAD_BYTES);
    this.#mask = this.#bytes.length - 1;
  }

  /**
   * Makes an empty ring.
   *
   * @param capacity Bytes, a power of two from {@linkcode RING_BYTES_MIN} to
   * {@linkcode RING_BYTES_MAX}.
   * @throws {RangeError} when it is not.
   */
  static create(capacity: number): SharedRing {
    const isPower = Number.isInteger(Math.log2(capacity));
    if (!isPower || capacity < RING_BYTES_MIN || capacity > RING_BYTES_MAX) {
      throw new RangeError(
        `Ring must have a power of two from ${RING_BYTES_MIN} to ${RING_BYTES_MAX} bytes: ` +
          `current value is ${capacity}`,
      );
    }
    return new SharedRing(new SharedArrayBuffer(HEAD_BYTES + capacity));
  }

  /** Longest record: a quarter of the ring. */
  get recordBytesMax(): number {
    return this.#bytes.length / 4 - 4;
  }

  /** Records refused so far because there was no room. */
  get refusedCount(): number {
    return Atomics.load(this.#words, Word.Refused);
  }

  /** Bytes that wait, with their lengths and padding. */
  get waitingBytes(): number {
    return (Atomics.load(this.#words, Word.Write) - Atomics.load(this.#words, Word.Read)) >>> 0;
  }

  /**
   * Puts a copy of a record in and signals the reader.
   *
   * @returns false when there is no room now: nothing was put in, and the refusal is counted.
   * @throws {RangeError} when the record is longer than {@linkcode recordBytesMax}.
   */
  push(record: Uint8Array): boolean {
    if (record.length > this.recordBytesMax) {
      throw new RangeError(
        `Record must have at most ${this.recordBytesMax} bytes: it has ${record.length}`,
      );
    }
    const words = this.#words;
    const capacity = this.#bytes.length;
    const write = Atomics.load(words, Word.Write);
    const free = capacity - ((write - Atomics.load(words, Word.Read)) >>> 0);
    const place = write & this.#mask;
    const size = 4 + ((record.length + 3) & ~3);
    const skipped = place + size > capacity ? capacity - place : 0;
    if (skipped + size > free) {
      Atomics.add(words, Word.Refused, 1);
      return false;
    }
    if (skipped > 0) this.#lengths[place >> 2] = SKIP;
    const start = skipped > 0 ? 0 : place;
    this.#lengths[start >> 2] = record.length;
    this.#bytes.set(record, start + 4);
    Atomics.store(words, Word.Write, (write + skipped + size) | 0);
    Atomics.add(words, Word.Signal, 1);
    Atomics.notify(words, Word.Signal);
    return true;
  }

  /**
   * Hands out what waited when the call began, oldest first.
   *
   * @param take Gets a view that is valid only during the call; must not call `drain`. A record
   * counts as taken when it throws.
   * @returns the number of records.
   */
  drain(take: (record: Uint8Array) => void): number {
    const words = this.#words;
    const end = Atomics.load(words, Word.Write);
    let read = Atomics.load(words, Word.Read);
    let count = 0;
    while (read !== end) {
      const place = read & this.#mask;
      const length = this.#lengths[place >> 2];
      if (length === SKIP) {
        read = (read + this.#bytes.length - place) | 0;
        Atomics.store(words, Word.Read, read);
        continue;
      }
      read = (read + 4 + ((length + 3) & ~3)) | 0;
      count++;
      try {
        take(this.#bytes.subarray(place + 4, place + 4 + length));
      } finally {
        Atomics.store(words, Word.Read, read);
      }
    }
    return count;
  }

  /** Resolves when there is, or may be, something to drain. For one reader at a time. */
  async news(): Promise<void> {
    const seen = Atomics.load(this.#words, Word.Signal);
    if (this.waitingBytes > 0 || this.stopping) return;
    const waiting = Atomics.waitAsync(this.#words, Word.Signal, seen);
    if (waiting.async) await waiting.value;
  }

  /**
   * The reader is about to sleep in the kernel; `awake` ends it.
   *
   * @returns false when there is news already: then it must not sleep.
   */
  fallAsleep(): boolean {
    Atomics.store(this.#words, Word.Sleeping, 1);
    if (this.waitingBytes === 0 && !this.stopping) return true;
    this.awake();
    return false;
  }

  /** The reader is awake. */
  awake(): void {
    Atomics.store(this.#words, Word.Sleeping, 0);
  }

  /** True, once for each sleep, when the reader must be woken from outside. For the writer. */
  mustWake(): boolean {
    return Atomics.compareExchange(this.#words, Word.Sleeping, 1, 0) === 1;
  }

  /** Tells the reader to end, also while it waits in `news`. */
  stop(): void {
    Atomics.store(this.#words, Word.Stop, 1);
    Atomics.add(this.#words, Word.Signal, 1);
    Atomics.notify(this.#words, Word.Signal);
  }

  /** True once `stop` was called. */
  get stopping(): boolean {
    return Atomics.load(this.#words, Word.Stop) === 1;
  }
}
