// Shell. `deno task fuzz`: every parser, with inputs that its own coverage chooses, for as long as wanted.

import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { pathToFileURL } from "node:url";
import { build, stop } from "esbuild";
import { systemClock } from "../../reactor/time/system_clock.ts";
import { seededRng } from "../../reactor/time/rng.ts";
import { ROOT } from "../../scripts/sources.ts";
import { wholeOption } from "../support/seed_pool.ts";
import { HELP_OPTION, taskValues } from "../support/task_values.ts";
import { corpusPath, readCorpus, writeCorpus } from "./corpus_files.ts";
import { CoverageMap } from "./coverage_map.ts";
import { HangWatch } from "./hang_watch.ts";
import { MARK_NAME, markProgram } from "./instrument.ts";
import { TargetFuzzer } from "./target_fuzzer.ts";
import type { FuzzTarget } from "./targets.ts";

const HELP = `Usage: deno task fuzz [--minutes N] [--only NAME,...] [--seed N] [--write]
                      [--list]

Every parser that meets a file, a command line or a network, with inputs that
are changed ever further from those that took new ways through it.

  --minutes N   how long, all parsers together (default 5)
  --only NAMES  these parsers, by the names that --list prints
  --seed N      chance (default: another one each time)
  --write       keep the inputs that took new ways in tests/fuzz/corpus/
  --list        print the names of the parsers

What makes a parser fail, or takes it longer than a quarter of a second, is
put into tests/fuzz/corpus/ in any case, where the tests try it from then on.
Exit code 0: nothing was found, 1: something was, 2: wrong options.`;

/** Longest time that one target has in one go; each has its turn some times, also in a short run. */
const SLICE_MS_MAX = 2_000;
const TURNS_MIN = 4;

interface Program {
  readonly FUZZ_TARGETS: readonly FuzzTarget[];
  isOurs(error: unknown): boolean;
}

/** The targets with marks in all of our code that they use, and what the marks tell. */
async function markedTargets(): Promise<
  { program: Program; coverage: CoverageMap; marked: ReturnType<typeof markProgram> }
> {
  const { outputFiles: [file] } = await build({
    entryPoints: [join(ROOT, "tests/fuzz/targets.ts")],
    bundle: true,
    format: "esm",
    platform: "node",
    packages: "external",
    write: false,
    logLevel: "silent",
    tsconfigRaw: "{}",
  });
  await stop();
  const marked = markProgram(file.text);
  // Inside of the repository, so that packages are found.
  const folder = join(ROOT, "dist/fuzz");
  mkdirSync(folder, { recursive: true });
  const path = join(folder, `targets_${process.pid}.mjs`);
  writeFileSync(path, marked.code);
  const coverage = new CoverageMap(marked.markCount);
  Object.assign(globalThis, { [MARK_NAME]: coverage.mark });
  try {
    return { program: await import(pathToFileURL(path).href) as Program, coverage, marked };
  } finally {
    rmSync(path);
  }
}

function chosen(targets: readonly FuzzTarget[], only: string | undefined): readonly FuzzTarget[] {
  const names = only?.split(",").map((name) => name.trim());
  const unknown = names?.find((name) => !targets.some((target) => target.name === name));
  if (unknown !== undefined) {
    console.error(`There is no parser "${unknown}"; --list prints their names`);
    process.exit(2);
  }
  return targets.filter(({ name }) => names === undefined || names.includes(name));
}

const values = taskValues(HELP, {
  ...{ minutes: { type: "string", default: "5" }, only: { type: "string" } },
  ...{ seed: { type: "string" }, write: { type: "boolean", default: false } },
  ...{ list: { type: "boolean", default: false }, ...HELP_OPTION },
});
const minutes = wholeOption("minutes", values.minutes, 1);
const seed = wholeOption("seed", values.seed ?? String(systemClock.wallMs() % 1e6 | 0), 0);
const { program, coverage, marked } = await markedTargets();
if (values.list) {
  for (const { name } of program.FUZZ_TARGETS) console.log(name);
  process.exit(0);
}
const targets = chosen(program.FUZZ_TARGETS, values.only);
const watch = new HangWatch(targets);
console.log(`${targets.length} parsers, ${marked.markCount} marks, --seed ${seed}`);

const started = targets.map((target, index) => {
  watch.setTarget(index);
  const { found, inputs } = readCorpus(target);
  return {
    target,
    known: { found, inputs },
    fuzzer: new TargetFuzzer({
      ...{ target, coverage, program: marked, clock: systemClock, isOurs: program.isOurs },
      rng: seededRng(seed + index),
      onRun: (units) => watch.note(units),
    }, [...found, ...inputs]),
  };
});

const sliceMs = Math.min(SLICE_MS_MAX, minutes * 60_000 / targets.length / TURNS_MIN);
/** Whoever watches a long run sees that it goes on. */
const LINE_EVERY_MS = 10_000;
let lineMs = systemClock.nowMs();
const endMs = systemClock.nowMs() + minutes * 60_000;
while (systemClock.nowMs() < endMs) {
  for (const [index, { fuzzer }] of started.entries()) {
    const leftMs = endMs - systemClock.nowMs();
    if (leftMs <= 0) break;
    watch.setTarget(index);
    fuzzer.runUntil(systemClock.nowMs() + Math.min(sliceMs, leftMs));
  }
  if (systemClock.nowMs() - lineMs < LINE_EVERY_MS) continue;
  lineMs = systemClock.nowMs();
  const runs = started.reduce((sum, { fuzzer }) => sum + fuzzer.runCount, 0);
  const found = started.reduce((sum, { fuzzer }) => sum + fuzzer.found.size, 0);
  const leftS = Math.max(0, Math.round((endMs - systemClock.nowMs()) / 1000));
  console.log(`${runs} inputs tried, ${found} found, ${leftS} s left`);
}

let foundCount = 0;
for (const [index, { target, known, fuzzer }] of started.entries()) {
  watch.setTarget(index);
  const { runCount, wayCount, inputCount, found } = fuzzer;
  console.log(`${target.name}: ${runCount} inputs, ${wayCount} ways, ${inputCount} took new ones`);
  for (const { fault } of found.values()) console.log(`  FOUND ${target.name} ${fault}`);
  foundCount += found.size;
  if (found.size === 0 && !values.write) continue;
  writeCorpus(target, {
    found: [...known.found, ...[...found.values()].map(({ units }) => units)],
    inputs: values.write ? fuzzer.fewest() : known.inputs,
  });
  if (found.size > 0) console.log(`  its input is in ${corpusPath(target)}`);
}
watch.pause();
await watch.end();
process.exit(foundCount === 0 ? 0 : 1);
