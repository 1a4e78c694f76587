// Shell. The reporter: rows a second into MariaDB, in batches and one by one on the same connections.

import type { Bench, BenchRuntime, Suite } from "./harness.ts";
import { findProgram } from "./machine.ts";
import { missingRow, type Row, rowOf } from "./rows.ts";
import { runProgram, ServerProcess } from "./server_process.ts";

/** What MariaDB has by default, instead of the thrift of a database for tests. */
const DATABASE_OPTIONS: readonly string[] = [
  "--innodb-flush-log-at-trx-commit=1",
  "--innodb-log-file-size=96M",
  "--innodb-buffer-pool-size=128M",
  "--innodb-doublewrite=1",
];

const SPEED_ROW = "reporter: rows into MariaDB, 3 connections";
const CPU_ROW = "reporter: CPU per row";
const REFERENCE = "one upsert per row";

interface Sample {
  readonly rowsPerSecond: number;
  readonly cpuMicros: number;
}

function databaseOf(on: BenchRuntime): string {
  return `bench_${on.name.toLowerCase().replace(/\W+/g, "_")}`;
}

/** Not on the processor of servers: the database and its client share all processors. */
function startDatabase(bench: Bench): Promise<ServerProcess> {
  const words = [...bench.subjects.map(databaseOf), "--", ...DATABASE_OPTIONS];
  const [first] = bench.runtimes;
  return ServerProcess.start(
    "MariaDB",
    first.command("tests/support/mariadb_program.ts", ...words),
  );
}

async function measureOn(bench: Bench, on: BenchRuntime, server: ServerProcess): Promise<Row[]> {
  // The account that the program makes.
  const url = `mysql://lars:pw@127.0.0.1:${server.addresses[0].port}/${databaseOf(on)}`;
  const [batchedRows, singleRows] = bench.smoke ? [3000, 100] : [120_000, 6000];
  const words = [url, bench.rounds, batchedRows, singleRows].map(String);
  const output = await runProgram(on.command("bench/reporter_writer.ts", ...words));
  const { batched, single } = JSON.parse(output) as Record<"batched" | "single", Sample[]>;
  return [
    rowOf({
      name: SPEED_ROW,
      subject: on.name,
      unit: "k/s",
      values: batched.map((one) => one.rowsPerSecond / 1000),
      reference: REFERENCE,
      referenceValues: single.map((one) => one.rowsPerSecond / 1000),
      target: { atLeast: 20 },
    }),
    rowOf({
      name: CPU_ROW,
      subject: on.name,
      unit: "us",
      values: batched.map((one) => one.cpuMicros),
      reference: REFERENCE,
      referenceValues: single.map((one) => one.cpuMicros),
    }),
  ];
}

/** Rows of the reporter. */
export const reporterSuite: Suite = {
  name: "reporter",
  rows: [SPEED_ROW, CPU_ROW],
  async run(bench): Promise<Row[]> {
    if (findProgram("mariadbd") === undefined) {
      return [SPEED_ROW, CPU_ROW].map((name) => missingRow(name, "", "MariaDB is not installed"));
    }
    const server = await startDatabase(bench);
    try {
      const rows: Row[] = [];
      for (const on of bench.subjects) rows.push(...await measureOn(bench, on, server));
      return rows;
    } finally {
      await server.stop();
    }
  },
};
