// Shell. Inputs that runs have found, as files: each is tried by the tests.

import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { textOfUnits, textUnits, type Units } from "./mutate.ts";
import type { FuzzTarget } from "./targets.ts";

const FOLDER = new URL("./corpus/", import.meta.url);

/** Inputs of one file, and their units together: a long run keeps many that differ little. */
const INPUTS_MAX = 150;
const UNITS_MAX = 16_384;

/** A line of a file; texts as they are, bytes in hexadecimal digits. */
interface CorpusLine {
  /** An input at which the parser failed once. */
  readonly found?: string;
  /** One that takes a way of its own. */
  readonly input?: string;
}

/** Inputs of one target. */
export interface Corpus {
  readonly found: readonly Units[];
  readonly inputs: readonly Units[];
}

/** What says which file it is, and how inputs are written in it. */
export type NamedTarget = Pick<FuzzTarget, "name" | "kind">;

/** Where the inputs of a target are. */
export function corpusPath({ name }: NamedTarget): string {
  return fileURLToPath(new URL(`${name.replace(/\W+/g, "_")}.jsonl`, FOLDER));
}

function unitsOf(text: string, { kind }: NamedTarget): number[] {
  if (kind === "text") return textUnits(text);
  return Array.from(
    { length: text.length / 2 },
    (_, at) => parseInt(text.slice(2 * at, 2 * at + 2), 16),
  );
}

function writtenUnits(units: Units, { kind }: NamedTarget): string {
  if (kind === "text") return textOfUnits(units);
  return units.map((unit) => unit.toString(16).padStart(2, "0")).join("");
}

/** What is known of a target. */
export function readCorpus(target: NamedTarget): Corpus {
  const path = corpusPath(target);
  if (!existsSync(path)) return { found: [], inputs: [] };
  const lines = readFileSync(path, "utf8").split("\n").filter((line) => line !== "")
    .map((line): CorpusLine => JSON.parse(line));
  return {
    found: lines.flatMap(({ found }) => found === undefined ? [] : [unitsOf(found, target)]),
    inputs: lines.flatMap(({ input }) => input === undefined ? [] : [unitsOf(input, target)]),
  };
}

/** Keeps the first inputs that fit, and all that were found. */
export function writeCorpus(target: NamedTarget, { found, inputs }: Corpus): void {
  let left = UNITS_MAX;
  const kept = inputs.slice(0, INPUTS_MAX).filter((units) => (left -= units.length) >= 0);
  const written = (many: readonly Units[]): string[] => [
    ...new Set(many.map((units) => writtenUnits(units, target))),
  ];
  const lines: CorpusLine[] = [
    ...written(found).map((one) => ({ found: one })),
    ...written(kept).map((input) => ({ input })),
  ];
  mkdirSync(FOLDER, { recursive: true });
  const text = lines.map((line) => `${JSON.stringify(line)}\n`).join("");
  writeFileSync(corpusPath(target), text);
}

/** Keeps an input at which a parser fails. */
export function keepFound(target: NamedTarget, units: Units): void {
  const { found, inputs } = readCorpus(target);
  writeCorpus(target, { found: [...found, units], inputs });
}
