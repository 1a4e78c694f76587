// Core. Which ways a run of a marked program took, and how often, after AFL: steps from one mark to the
// next, in a table of fixed size.

/** A program with marks. */
export interface MarkedProgram {
  readonly code: string;
  /** Marks are numbered from 0 up to this, not included. */
  readonly markCount: number;
  /** The module of each mark: a place in `words`. */
  readonly modules: Uint16Array;
  /** Texts and names of each module: what its parsers may look for. */
  readonly words: readonly (readonly string[])[];
}

/** Places of the table; steps beyond share places, so that some are taken for others. */
const PLACES = 65_536;

/** Times that count as the same: 1, 2, 3, 4 to 7, 8 to 15, 16 to 31, 32 to 127, more. */
const BUCKETS = Uint8Array.from({ length: 256 }, (_, times) => {
  const ends = [1, 2, 3, 7, 15, 31, 127, 255];
  return 1 << ends.findIndex((end) => times <= end);
});

/** A set of steps, with how often they were taken. */
export class SeenWays {
  readonly #buckets = new Uint8Array(PLACES);
  /** Different steps. */
  count = 0;

  /** Adds what a run did; true when some of it was new. */
  add(run: CoverageMap): boolean {
    let isNew = false;
    for (let i = 0; i < run.stepCount; i++) {
      const place = run.steps[i];
      const bucket = BUCKETS[run.counts[place]];
      if ((this.#buckets[place] & bucket) !== 0) continue;
      if (this.#buckets[place] === 0) this.count++;
      this.#buckets[place] |= bucket;
      isNew = true;
    }
    return isNew;
  }
}

/** What one run does. */
export class CoverageMap {
  /** Times that each step was taken, at most 255. */
  readonly counts = new Uint8Array(PLACES);
  /** The steps that were taken, in order of their first time: places in `counts`. */
  readonly steps = new Uint32Array(PLACES);
  stepCount = 0;
  /** Marks that were reached since {@linkcode CoverageMap.forgetReached}. */
  readonly reached: number[] = [];
  readonly #isReached: Uint8Array;
  #previous = 0;

  constructor(markCount: number) {
    this.#isReached = new Uint8Array(markCount);
  }

  /** Called by the program at each mark. */
  readonly mark = (mark: number): void => {
    const own = Math.imul(mark + 1, 0x9e3779b1) >>> 16;
    const place = own ^ this.#previous;
    this.#previous = own >>> 1;
    const times = this.counts[place];
    if (times === 0) {
      this.steps[this.stepCount++] = place;
      if (this.#isReached[mark] === 0) {
        this.#isReached[mark] = 1;
        this.reached.push(mark);
      }
    }
    if (times < 255) this.counts[place] = times + 1;
  };

  /** Before each run. */
  clear(): void {
    for (let i = 0; i < this.stepCount; i++) this.counts[this.steps[i]] = 0;
    this.stepCount = 0;
    this.#previous = 0;
  }

  /** From now on the first reach of a mark counts again. */
  forgetReached(): void {
    for (const mark of this.reached) this.#isReached[mark] = 0;
    this.reached.length = 0;
  }
}
