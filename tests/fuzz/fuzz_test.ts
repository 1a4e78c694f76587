// Every parser of the table, with random input, with damaged good input, and with what long runs found.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import process from "node:process";
import fc from "fast-check";
import { readSources } from "../../scripts/sources.ts";
import { readCorpus } from "./corpus_files.ts";
import { BYTES_PARSERS, ELSEWHERE, TEXT_PARSERS } from "./parsers.ts";
import { FUZZ_TARGETS, isOurs } from "./targets.ts";

/** Runs of each property; LARS_FUZZ_RUNS=1000000 for a long one. */
const RUNS = Number(process.env.LARS_FUZZ_RUNS ?? 500);

function tryParser<T>(parse: (input: T) => unknown, input: T): void {
  try {
    parse(input);
  } catch (error) {
    if (isOurs(error)) return;
    throw new Error(`It throws ${error}`, { cause: error });
  }
}

/** Some of a second each, where nobody else wants the processor. */
const LONG = { timeout: 120_000 } as const;

/** Damage: positions as shares, so that one kind fits inputs of every length. */
const damage = fc.array(
  fc.record({
    kind: fc.constantFrom("cut", "drop", "double", "put", "swap"),
    at: fc.double({ min: 0, max: 1, noNaN: true }),
    value: fc.nat(255),
  }),
  { minLength: 1, maxLength: 6 },
);

function damaged<T>(
  input: readonly T[],
  changes: typeof damage extends fc.Arbitrary<infer D> ? D : never,
  itemOf: (value: number) => T,
): T[] {
  const items = [...input];
  for (const { kind, at, value } of changes) {
    const index = Math.floor(at * items.length);
    if (kind === "cut") items.length = index;
    else if (kind === "drop") items.splice(index, 1);
    else if (kind === "double") {
      items.splice(index, 0, ...items.slice(index, index + 1 + value % 8));
    } else if (kind === "put") items.splice(index, 0, itemOf(value));
    else items[index] = itemOf(value);
  }
  return items;
}

const LETTERS = [
  ..."\0\n\r\t \"'`\\/,.:;=@#%[]{}()<>*+-_0123456789eEnaA",
  "\ufeff",
  "\ud800",
  "é",
  "𝒳",
];
const letterOf = (value: number): string => LETTERS[value % LETTERS.length];

for (const [name, { seeds, parse }] of Object.entries(TEXT_PARSERS)) {
  test(`fuzz ${name}`, LONG, () => {
    const texts = fc.oneof(fc.string({ unit: "binary" }), fc.string(), fc.json());
    fc.assert(fc.property(texts, (text) => tryParser(parse, text)), { numRuns: RUNS });
    const changed = fc.tuple(fc.constantFrom(...seeds), damage);
    fc.assert(
      fc.property(
        changed,
        ([seed, changes]) => tryParser(parse, damaged([...seed], changes, letterOf).join("")),
      ),
      { numRuns: RUNS },
    );
  });
}

for (const [name, { seeds, parse }] of Object.entries(BYTES_PARSERS)) {
  test(`fuzz ${name}`, LONG, () => {
    const bytes = fc.uint8Array({ maxLength: 300 });
    fc.assert(fc.property(bytes, (input) => tryParser(parse, input)), { numRuns: RUNS });
    const changed = fc.tuple(fc.constantFrom(...seeds), damage);
    fc.assert(
      fc.property(
        changed,
        ([seed, changes]) =>
          tryParser(parse, Uint8Array.from(damaged([...seed], changes, (value) => value))),
      ),
      { numRuns: RUNS },
    );
  });
}

test("every input that a long run has kept", LONG, () => {
  let count = 0;
  for (const target of FUZZ_TARGETS) {
    const { found, inputs } = readCorpus(target);
    for (const units of [...found, ...inputs]) {
      tryParser((input) => target.run(input), units);
      count++;
    }
  }
  assert.ok(count > FUZZ_TARGETS.length, `${count} inputs`);
});

/** Rooms whose parsers meet what others write. */
const ROOMS =
  /^(reactor|model|proto|session|daemon|balancer|sql|feed|control|discovery|agent|relay|scaling|export|sim|tools|api)\//;

/** An exported function that is named like a parser and takes text or bytes. */
const PARSER =
  /^export function ((?:parse|decode|read|unpack)[A-Z]\w*)\(\s*\w+: (?:string|Uint8Array)\b/gm;

test("no parser of text or bytes is forgotten", () => {
  const known = new Set(
    [...Object.keys(TEXT_PARSERS), ...Object.keys(BYTES_PARSERS)].map((name) => name.split(" ")[0]),
  );
  const codec = readFileSync(new URL("../../proto/codec.ts", import.meta.url), "utf8");
  const forgotten: string[] = [];
  for (const { path, text } of readSources()) {
    if (!ROOMS.test(path) || /_test\.ts$|\/testing\//.test(path)) continue;
    const found = text.matchAll(PARSER);
    for (const [, name] of found) {
      const isMessage = codec.includes(`export function ${name}(`);
      if (isMessage || known.has(name) || Object.hasOwn(ELSEWHERE, name)) continue;
      forgotten.push(`${path}: ${name}`);
    }
  }
  assert.deepEqual(forgotten, [], "put them into a table of tests/fuzz/parsers.ts");
});
