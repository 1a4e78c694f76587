// Shell. Discovery: registrations a second into MariaDB, together and one by one, and heartbeats.

import type { Bench, BenchRuntime, Suite } from "./harness.ts";
import { findProgram } from "./machine.ts";
import { missingRow, type Row, rowOf } from "./rows.ts";
import { runProgram, ServerProcess } from "./server_process.ts";

const REGISTER_ROW = "discovery: registrations into MariaDB";
const SPEED_ROW = "discovery: registrations into MariaDB, by itself";
const CPU_ROW = "discovery: CPU per registration";
const BEAT_ROW = "discovery: instances renewed, 50 of a host in a frame";
const MEMORY_ROW = "discovery: memory of 100,000 leases";
const ROWS = [REGISTER_ROW, SPEED_ROW, CPU_ROW, BEAT_ROW, MEMORY_ROW];

/** Registrations one by one take their time on a slow disk. */
const PROGRAM_TIMEOUT_MS = 300_000;

interface Sample {
  readonly perSecond: number;
  readonly cpuMicros: number;
}

interface Measured {
  readonly batched: Sample[];
  readonly single: Sample[];
  readonly beats: number[];
  readonly named: number[];
  readonly leaseBytes: number;
}

function databaseOf(on: BenchRuntime): string {
  return `bench_${on.name.toLowerCase().replace(/\W+/g, "_")}`;
}

async function measureOn(bench: Bench, on: BenchRuntime, server: ServerProcess): Promise<Row[]> {
  // The account that the program makes.
  const url = `mysql://lars:pw@127.0.0.1:${server.addresses[0].port}/${databaseOf(on)}`;
  const [together, singly] = bench.smoke ? [2_000, 20] : [10_000, 50];
  const words = [url, bench.rounds, together, singly].map(String);
  const program = on.command("bench/discovery_leases.ts", ...words);
  const output = await runProgram(program, PROGRAM_TIMEOUT_MS);
  const { batched, single, beats, named, leaseBytes } = JSON.parse(output) as Measured;
  return [
    rowOf({
      ...{ name: REGISTER_ROW, subject: on.name, unit: "k/s" },
      values: batched.map((one) => one.perSecond / 1000),
      reference: "one at a time",
      referenceValues: single.map((one) => one.perSecond / 1000),
    }),
    rowOf({
      ...{ name: SPEED_ROW, subject: on.name, unit: "k/s", target: { atLeast: 20 } },
      values: batched.map((one) => one.perSecond / 1000),
    }),
    rowOf({
      ...{ name: CPU_ROW, subject: on.name, unit: "us" },
      values: batched.map((one) => one.cpuMicros),
      reference: "one at a time",
      referenceValues: single.map((one) => one.cpuMicros),
    }),
    rowOf({
      ...{ name: BEAT_ROW, subject: on.name, unit: "k/s" },
      values: beats.map((one) => one / 1000),
      reference: "each by name",
      referenceValues: named.map((one) => one / 1000),
    }),
    rowOf({
      ...{ name: MEMORY_ROW, subject: on.name, unit: "MB", target: { atMost: 300 } },
      values: [leaseBytes / 1e6],
    }),
  ];
}

/** Rows of discovery. */
export const discoverySuite: Suite = {
  name: "discovery",
  rows: ROWS,
  async run(bench): Promise<Row[]> {
    if (findProgram("mariadbd") === undefined) {
      return ROWS.map((name) => missingRow(name, "", "MariaDB is not installed"));
    }
    const words = [...bench.subjects.map(databaseOf), "--", "--innodb-buffer-pool-size=128M"];
    const [first] = bench.runtimes;
    const server = await ServerProcess.start(
      "MariaDB",
      first.command("tests/support/mariadb_program.ts", ...words),
    );
    try {
      const rows: Row[] = [];
      for (const on of bench.subjects) rows.push(...await measureOn(bench, on, server));
      return rows;
    } finally {
      await server.stop();
    }
  },
};
