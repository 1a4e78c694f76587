// Core. One parser, tried with inputs that are changed ever further from those that took new ways.

import { messageOf } from "../../reactor/errors.ts";
import type { Clock } from "../../reactor/time/clock.ts";
import { nextInt, type Rng } from "../../reactor/time/rng.ts";
import { type CoverageMap, type MarkedProgram, SeenWays } from "./coverage_map.ts";
import { mutate, textUnits, type Units } from "./mutate.ts";

/** An input of at most `INPUT_LENGTH_MAX` units that takes a parser longer, three times of three, is found. */
export const SLOW_MS = 250;

/** Inputs of one target that are kept at most: then the longest give way. */
const INPUTS_MAX = 5_000;

/** Runs between two looks at the clock. */
const BATCH = 64;

/** Tries to make an input shorter that does the same. */
const SHORTEN_TRIES_MAX = 300;

/** An input that no parser should fail at. */
export interface FoundInput {
  readonly units: Units;
  /** What it does. */
  readonly fault: string;
}

/** What a {@linkcode TargetFuzzer} is given. */
export interface TargetFuzzerOptions {
  readonly target: {
    readonly kind: "text" | "bytes";
    readonly seeds: readonly Units[];
    run(units: Units): unknown;
  };
  /** What the marked program writes. */
  readonly coverage: CoverageMap;
  readonly program: Pick<MarkedProgram, "modules" | "words">;
  readonly rng: Rng;
  readonly clock: Clock;
  isOurs(error: unknown): boolean;
  /** Before each run: for whoever watches that it ends. */
  onRun?(units: Units): void;
}

/** Numbers and names of the input make no other fault of it. */
function kindOf(fault: string): string {
  return fault.replace(/["'`].*["'`]|\d+/g, "_");
}

/** Goes on where it stopped. */
export class TargetFuzzer {
  readonly #options: TargetFuzzerOptions;
  readonly #seen = new SeenWays();
  readonly #inputs: Units[] = [];
  readonly #words: Units[] = [];
  readonly #known = new Set<string>();
  readonly #modules = new Set<number>();
  /** One for each kind of fault. */
  readonly found = new Map<string, FoundInput>();
  runCount = 0;

  /** @param inputs Those of earlier runs. */
  constructor(options: TargetFuzzerOptions, inputs: readonly Units[] = []) {
    this.#options = options;
    for (const units of [[], ...options.target.seeds, ...inputs]) this.#try(units);
    if (this.#inputs.length === 0) this.#inputs.push([]);
  }

  /** Different steps that some input took. */
  get wayCount(): number {
    return this.#seen.count;
  }

  get inputCount(): number {
    return this.#inputs.length;
  }

  /** Tries inputs until this time by the clock. */
  runUntil(endMs: number): void {
    const { clock } = this.#options;
    do for (let i = 0; i < BATCH; i++) this.step(); while (clock.nowMs() < endMs);
  }

  /** Tries one more input. */
  step(): void {
    const { rng, target } = this.#options;
    this.#try(mutate(this.#choose(), {
      rng,
      unitMax: target.kind === "text" ? 0xffff : 0xff,
      words: this.#words,
      other: () => this.#inputs[nextInt(rng, this.#inputs.length)],
    }));
  }

  /** Inputs that together take every way that any did, the shortest first. */
  fewest(): Units[] {
    const seen = new SeenWays();
    return [...this.#inputs].sort((a, b) => a.length - b.length).filter((units) => {
      this.#run(units);
      return seen.add(this.#options.coverage);
    });
  }

  /** Most often one of the latest: they are where something is to be found. */
  #choose(): Units {
    const { rng } = this.#options;
    const count = this.#inputs.length;
    const latest = nextInt(rng, 2) === 0 ? Math.ceil(count / 4) : count;
    return this.#inputs[count - 1 - nextInt(rng, latest)];
  }

  #try(units: Units): void {
    const { clock, coverage } = this.#options;
    const startMs = clock.nowMs();
    const fault = this.#run(units);
    if (clock.nowMs() - startMs > SLOW_MS) this.#noteSlow(units);
    if (fault !== undefined) this.#note(units, fault);
    if (!this.#seen.add(coverage)) return;
    this.#learnWords(units);
    this.#inputs.push(units);
    if (this.#inputs.length > INPUTS_MAX) {
      this.#inputs.sort((a, b) => a.length - b.length).length = INPUTS_MAX / 2;
    }
  }

  /** What goes wrong; undefined: nothing. */
  #run(units: Units): string | undefined {
    const { target, coverage, isOurs, onRun } = this.#options;
    this.runCount++;
    coverage.clear();
    onRun?.(units);
    try {
      target.run(units);
      return undefined;
    } catch (error) {
      if (isOurs(error)) return undefined;
      const name = error instanceof Error ? error.name : typeof error;
      return `throws ${name}: ${messageOf(error)}`;
    }
  }

  /** The words of the modules that an input gets to. */
  #learnWords(units: Units): void {
    const { coverage, program, target } = this.#options;
    coverage.forgetReached();
    this.#run(units);
    for (const mark of coverage.reached) {
      const module = program.modules[mark];
      if (this.#modules.has(module)) continue;
      this.#modules.add(module);
      for (const word of program.words[module]) {
        if (this.#known.has(word)) continue;
        this.#known.add(word);
        const units = target.kind === "text"
          ? textUnits(word)
          : [...new TextEncoder().encode(word)];
        this.#words.push(units);
      }
    }
  }

  #noteSlow(units: Units): void {
    const { clock } = this.#options;
    // Another program may have had the processor: what is slow is so each time.
    for (let again = 0; again < 2; again++) {
      const startMs = clock.nowMs();
      this.#run(units);
      if (clock.nowMs() - startMs <= SLOW_MS) return;
    }
    this.#keep(`takes longer than ${SLOW_MS} ms`, units, "slow");
  }

  #note(units: Units, fault: string): void {
    const kind = kindOf(fault);
    if (this.found.has(kind)) return;
    this.#keep(fault, this.#shorter(units, kind), kind);
    this.#run(units);
  }

  #keep(fault: string, units: Units, kind: string): void {
    if (!this.found.has(kind)) this.found.set(kind, { units, fault });
  }

  /** A shorter input with the same fault. */
  #shorter(units: Units, kind: string): Units {
    let best = [...units];
    let size = Math.ceil(best.length / 2);
    for (let tries = 0; size > 0 && tries < SHORTEN_TRIES_MAX; size = Math.floor(size / 2)) {
      for (let at = 0; at < best.length && tries < SHORTEN_TRIES_MAX;) {
        const less = best.toSpliced(at, size);
        tries++;
        if (kindOf(this.#run(less) ?? "") === kind) best = less;
        else at += size;
      }
    }
    return best;
  }
}
