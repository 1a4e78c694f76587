// Shell. Rows that need no server: each runtime measures them in a process of its own.

import { coreCases } from "./core_cases.ts";
import type { Bench, BenchRuntime, Suite } from "./harness.ts";
import type { BenchCase } from "./measure.ts";
import { mergeRounds, missingRow, type Row } from "./rows.ts";
import { runProgram } from "./server_process.ts";

/** Cases that `bench/core_main.ts` runs; others add theirs here. */
export function processCases(): BenchCase[] {
  return coreCases();
}

async function runOn(bench: Bench, argv: readonly string[], name: string): Promise<Row[]> {
  try {
    return JSON.parse(await runProgram(bench.onServerProcessor(argv))) as Row[];
  } catch (error) {
    // A case that gives a wrong result, above all: the table must say so, and the run must fail.
    throw new Error(`Core rows on ${name}: ${error instanceof Error ? error.message : error}`, {
      cause: error,
    });
  }
}

/** All rows of the pure parts, on every runtime. */
export const coreSuite: Suite = {
  name: "core",
  rows: processCases().map(({ name }) => name),
  async run(bench): Promise<Row[]> {
    const all: Row[] = [];
    const runOne = async ({ name, command }: BenchRuntime): Promise<void> => {
      const length = bench.smoke ? "smoke" : "full";
      const argv = command("bench/core_main.ts", name, length, ...bench.only);
      all.push(...await runOn(bench, argv, name));
    };
    if (bench.smoke) await Promise.all(bench.subjects.map(runOne));
    else {
      for (let round = 0; round < bench.processRounds; round++) {
        for (const one of bench.subjects) await runOne(one);
      }
    }
    const rows = mergeRounds(all);
    return rows.length === 0 ? [missingRow("core", "", "no runtime was found")] : rows;
  },
};
