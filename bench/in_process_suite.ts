// Shell. Picks in the caller's own process: how many a second, and what they leave to collect.

import { POLICY_NAMES, PRESET_NAMES } from "../balancer/mod.ts";
import type { Bench, Suite } from "./harness.ts";
import {
  IN_PROCESS_POLICIES,
  IN_PROCESS_SIZES,
  policyRowName,
  rowNames,
} from "./in_process_rows.ts";
import { mergeRounds, missingRow, type Row } from "./rows.ts";
import { runProgram } from "./server_process.ts";

const NAMES = [
  ...IN_PROCESS_SIZES.flatMap((size) =>
    IN_PROCESS_POLICIES.flatMap((policy) => Object.values(rowNames(size, policy)))
  ),
  ...[...PRESET_NAMES, ...POLICY_NAMES].map(policyRowName),
];

/** Rows of the in-process client, on every runtime. */
export const inProcessSuite: Suite = {
  name: "in-process",
  rows: NAMES,
  async run(bench: Bench): Promise<Row[]> {
    const all: Row[] = [];
    for (let round = 0; round < bench.processRounds; round++) {
      for (const { name, command } of bench.subjects) {
        const argv = command("bench/in_process_main.ts", name, bench.smoke ? "smoke" : "full");
        const text = await runProgram(bench.onServerProcessor(argv));
        all.push(...JSON.parse(text) as Row[]);
      }
    }
    if (all.length === 0) return [missingRow("in-process pick", "", "no runtime was found")];
    const rows = mergeRounds(all);
    return NAMES.flatMap((name) => rows.filter((row) => row.name === name));
  },
};
