// Core. Changes of an input that a parser takes or nearly takes: units are bytes, or those of a text.

import { nextInt, type Rng } from "../../reactor/time/rng.ts";

/** An input, as numbers. */
export type Units = readonly number[];

/** A text as its UTF-16 units, which need not be well-formed. */
export function textUnits(text: string): number[] {
  return Array.from({ length: text.length }, (_, at) => text.charCodeAt(at));
}

/** The text of such units. */
export function textOfUnits(units: Units): string {
  return String.fromCharCode(...units);
}

/** Longer inputs are cut: parsers have limits of their own, which shorter ones reach as well. */
export const INPUT_LENGTH_MAX = 4096;

/** What changes are made from. */
export interface MutationSource {
  readonly rng: Rng;
  /** Largest unit: 255, or 65,535 for text. */
  readonly unitMax: number;
  /** Texts that the program compares with, as units. */
  readonly words: readonly Units[];
  /** Another input that is worth something. */
  other(): Units;
}

const unitsOf = (text: string): number[] => [...new TextEncoder().encode(text)];

/** Numbers at which programs change their mind. */
const NUMBERS = [
  ...["0", "-1", "1e309", "NaN", "255", "256", "65535", "65536", "2147483648", "4294967295"],
  ...["4294967296", "9007199254740993", "99999999999999999999", "0.1", "1e-7", "00", "+1", " 1"],
].map(unitsOf);

/** Units that mean something in many notations. */
const LETTERS = unitsOf("\0\n\r\t \"'`\\/,.:;=@#%[]{}()<>*+-_0123456789aAeEnzZ~\x7f\x80\xff");
/** And those of text beyond: a mark of order, halves of pairs, a space that is none. */
const TEXT_LETTERS = [0xfeff, 0xd800, 0xdfff, 0xe9, 0xa0, 0x2028, 0xffff];

const isDigit = (unit: number): boolean => unit >= 48 && unit <= 57;

type Change = (units: number[], source: MutationSource) => void;

function unit({ rng, unitMax }: MutationSource): number {
  const kind = nextInt(rng, 4);
  if (kind === 0) return nextInt(rng, 256);
  if (kind === 1 && unitMax > 255) return TEXT_LETTERS[nextInt(rng, TEXT_LETTERS.length)];
  return LETTERS[nextInt(rng, LETTERS.length)];
}

/** A range, most often a short one. */
function range(units: readonly number[], rng: Rng): [from: number, to: number] {
  const from = nextInt(rng, units.length + 1);
  const longest = nextInt(rng, 3) === 0 ? units.length : 8;
  return [from, Math.min(units.length, from + 1 + nextInt(rng, longest))];
}

const pick = <T>(items: readonly T[], rng: Rng): T => items[nextInt(rng, items.length)];

const CHANGES: readonly Change[] = [
  (units, source) => {
    if (units.length > 0) units[nextInt(source.rng, units.length)] = unit(source);
  },
  (units, { rng }) => {
    if (units.length > 0) units[nextInt(rng, units.length)] ^= 1 << nextInt(rng, 8);
  },
  (units, { rng, unitMax }) => {
    if (units.length === 0) return;
    const at = nextInt(rng, units.length);
    units[at] = Math.max(0, Math.min(unitMax, units[at] + nextInt(rng, 9) - 4));
  },
  (units, source) => void units.splice(nextInt(source.rng, units.length + 1), 0, unit(source)),
  (units, { rng }) => {
    const [from, to] = range(units, rng);
    units.splice(from, to - from);
  },
  (units, { rng }) => {
    const [from, to] = range(units, rng);
    units.splice(nextInt(rng, units.length + 1), 0, ...units.slice(from, to));
  },
  // Very often the same: what is inside of itself, and limits.
  (units, { rng }) => {
    const [from, to] = range(units, rng);
    const part = units.slice(from, to);
    const times = Math.min(2 ** nextInt(rng, 12), INPUT_LENGTH_MAX / Math.max(1, part.length));
    const more: number[] = [];
    for (let i = 0; i < times; i++) more.push(...part);
    units.splice(to, 0, ...more);
  },
  (units, { rng, words }) => {
    if (words.length === 0) return;
    const at = nextInt(rng, units.length + 1);
    units.splice(at, nextInt(rng, 2) * nextInt(rng, 12), ...pick(words, rng));
  },
  (units, { rng }) => {
    const digits = units.flatMap((one, at) => isDigit(one) && !isDigit(units[at - 1]) ? [at] : []);
    const from = digits.length === 0 ? nextInt(rng, units.length + 1) : pick(digits, rng);
    let to = from;
    while (isDigit(units[to])) to++;
    units.splice(from, to - from, ...pick(NUMBERS, rng));
  },
  (units, { rng, other }) => {
    const from = other();
    const [start, end] = range(from, rng);
    const [at, until] = range(units, rng);
    units.splice(at, nextInt(rng, 2) * (until - at), ...from.slice(start, end));
  },
  (units, { rng, other }) => {
    const from = other();
    const at = nextInt(rng, Math.min(units.length, from.length) + 1);
    units.splice(at, units.length, ...from.slice(at));
  },
];

/** Most changes of one input. */
const CHANGES_MAX = 5;

/** An input that is some changes away. */
export function mutate(units: Units, source: MutationSource): number[] {
  const changed = [...units];
  for (let i = nextInt(source.rng, CHANGES_MAX); i >= 0; i--) {
    pick(CHANGES, source.rng)(changed, source);
    if (changed.length > INPUT_LENGTH_MAX) changed.length = INPUT_LENGTH_MAX;
  }
  return changed;
}
