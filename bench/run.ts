// Shell. `deno task bench`: runs every benchmark on this machine and prints one table.

import { Command, CommanderError } from "commander";
import { runtime } from "../reactor/runtime/mod.ts";
import { coreCases } from "./core_cases.ts";
import { type BenchRow, measure } from "./measure.ts";

interface Options {
  smoke?: boolean;
  json?: boolean;
}

function table(rows: readonly BenchRow[]): string {
  const cells = [
    ["what", "ns", "reference", "ns", "ratio"],
    ...rows.map((row) => [
      row.name,
      row.nsPerOperation.toFixed(1),
      row.reference,
      row.referenceNsPerOperation.toFixed(1),
      row.ratio.toFixed(2),
    ]),
  ];
  const widths = cells[0].map((_, column) => Math.max(...cells.map((row) => row[column].length)));
  const isNumber = [false, true, false, true, true];
  return cells.map((row) =>
    row.map((cell, column) =>
      isNumber[column] ? cell.padStart(widths[column]) : cell.padEnd(widths[column])
    ).join("  ").trimEnd()
  ).join("\n") + "\n";
}

function main(argv: readonly string[]): number {
  const command = new Command("deno task bench")
    .description("Times the hot parts, each next to a reference in the same run.")
    .option("--smoke", "shortest run: proves that every benchmark works, its times mean nothing")
    .option("--json", "print one JSON object instead of the table")
    .argument("[text...]", "only rows whose name contains one of these texts")
    .exitOverride();
  command.parse([...argv], { from: "user" });
  const { smoke, json } = command.opts<Options>();
  const cases = coreCases().filter(({ name }) =>
    command.args.length === 0 || command.args.some((text) => name.includes(text))
  );
  const rows: BenchRow[] = [];
  for (const one of cases) {
    if (json !== true && runtime.isTerminal("stderr")) runtime.writeStderr(`${one.name} ...\n`);
    rows.push(
      measure(one, smoke === true ? { rounds: 1, roundMs: 1 } : { rounds: 7, roundMs: 80 }),
    );
  }
  const about = { runtime: `${runtime.name} ${runtime.version}`, rows };
  runtime.writeStdout(
    json === true ? JSON.stringify(about) + "\n" : `${about.runtime}\n\n${table(rows)}`,
  );
  return rows.length > 0 ? 0 : 1;
}

try {
  runtime.exit(main(runtime.args));
} catch (error) {
  if (!(error instanceof CommanderError)) throw error;
  runtime.exit(error.exitCode === 0 ? 0 : 2);
}
