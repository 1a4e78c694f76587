// Shell. What is fuzzed: each parser of the tables under one shape, an input as numbers.

import { LarsError } from "../../reactor/errors.ts";
import { textOfUnits, textUnits, type Units } from "./mutate.ts";
import { BYTES_PARSERS, TEXT_PARSERS } from "./parsers.ts";

/** A parser, and inputs to begin with. */
export interface FuzzTarget {
  readonly name: string;
  readonly kind: "text" | "bytes";
  readonly seeds: readonly Units[];
  /** @throws {LarsError | RangeError} when the input is not well-formed; anything else is a bug. */
  run(units: Units): unknown;
}

/** What a parser may throw. */
export function isOurs(error: unknown): boolean {
  return error instanceof LarsError || error instanceof RangeError && !isStackOverflow(error);
}

/** The engines say it with a RangeError, but for nobody to be told of. */
function isStackOverflow({ message }: RangeError): boolean {
  return /call stack/i.test(message);
}

/** Every target, in the order of the tables. */
export const FUZZ_TARGETS: readonly FuzzTarget[] = [
  ...Object.entries(TEXT_PARSERS).map(([name, { seeds, parse }]): FuzzTarget => ({
    ...{ name, kind: "text", seeds: seeds.map(textUnits) },
    run: (units) => parse(textOfUnits(units)),
  })),
  ...Object.entries(BYTES_PARSERS).map(([name, { seeds, parse }]): FuzzTarget => ({
    ...{ name, kind: "bytes", seeds: seeds.map((seed) => [...seed]) },
    run: (units) => parse(Uint8Array.from(units)),
  })),
];
