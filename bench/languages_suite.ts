// Shell. Callers in every language: picks and reports through the shared table and by UDP, next to a
// bare datagram there and back.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { MODULES, prime, routeCache, startAgent, startSink, tableOf } from "./agent_servers.ts";
import { callersRowNames, callersRows } from "./callers_rows.ts";
import type { Bench, BenchRuntime, Suite } from "./harness.ts";
import {
  buildLanguage,
  type LanguageCommand,
  languageCommands,
  type LanguageMode,
  LanguageProgram,
  type LanguageResult,
} from "./language_programs.ts";
import { compileNative } from "./native_tools.ts";
import { missingRow, type Row, rowOf, type Target } from "./rows.ts";

/** The least reader, in C: what the table allows. */
const LEAST = "C, least reader";

const PICK = "pick from the shared table, 1,000 x 20";
const TABLE = "pick and batched report, shared table";
const UDP = "get_host and report by UDP";
const AGENT = "agent CPU a call: shared table over UDP";
const AGENT_FEW = "agent CPU a call, callers of 10 modules: shared table over UDP";
const MANY = "shared table, 2 processes x 4 threads on one processor: picks";

/** Modules of a program that calls a few: what goes well again is added to a record that waits. */
const FEW_MODULES = 10;

/** Nanoseconds a pick may take. */
const PICK_NS: Readonly<Record<string, number>> = {
  [LEAST]: 12,
  C: 12,
  "C++": 12,
  Go: 16,
  Java: 24,
  Python: 350,
};

/** Picks with reports that fit a datagram there and back. */
const CALLS_OF_ROUND_TRIP: Readonly<Record<string, number>> = {
  [LEAST]: 150,
  C: 150,
  "C++": 150,
  Go: 100,
  Java: 100,
  Python: 20,
};

/** Picks a second that two programs of four threads make at least, in millions. */
const MANY_TARGET = 50;

/** A share may be off by so much. */
const SHARE_ERROR_MAX = 0.01;

const WARM_UP_MS = 1500;

/** An agent runs for months: the compilers of its runtime are to have done their work before. */
const AGENT_WARM_UP_MS = 8000;

type Samples = ReadonlyMap<LanguageMode, readonly LanguageResult[]>;

interface Lab {
  readonly bench: Bench;
  /** Of the agent and the echo, as programs are told them. */
  readonly words: readonly string[];
  readonly programs: LanguageProgram[];
}

function trouble(results: readonly LanguageResult[]): string | undefined {
  const failed = results.reduce((sum, one) => sum + one.failed, 0);
  const calls = results.reduce((sum, one) => sum + one.calls, 0);
  return failed > 0 ? `${failed} failed of ${calls}` : undefined;
}

/** An agent, and the path of its table. */
interface TableAgent {
  readonly pid: number;
  readonly server: { readonly hostname: string; readonly port: number };
  readonly path: string;
}

/** The agent that has the table of all modules. */
async function startTable(bench: Bench, on: BenchRuntime): Promise<TableAgent> {
  const cache = routeCache(bench, MODULES);
  const target = await startAgent(bench, on, "fast", cache, await startSink());
  const problem = await prime(bench, target);
  if (problem !== undefined) throw new Error(`agent on ${target.name}: ${problem}`);
  return { pid: target.pid ?? 0, server: target.server, path: tableOf(target.server) };
}

function start(lab: Lab, name: string, argv: readonly string[]): LanguageProgram {
  const program = new LanguageProgram(name, lab.bench.onLoadProcessor([...argv, ...lab.words]));
  lab.programs.push(program);
  return program;
}

/** The modes in turn, so that what else the machine does hits all alike. */
async function takeSamples(bench: Bench, program: LanguageProgram): Promise<Samples> {
  const modes = ["echo", "pick", "table", "udp"] as const;
  for (const mode of modes) await program.measure(mode, 1, bench.smoke ? 20 : WARM_UP_MS);
  return await bench.interleave(
    modes.map((name) => ({ name, measure: () => program.measure(name, 1, bench.roundMs) })),
  ) as Map<LanguageMode, LanguageResult[]>;
}

function rowsOf(subject: string, samples: Samples): Row[] {
  const of = (mode: LanguageMode): readonly LanguageResult[] => samples.get(mode) ?? [];
  // Its floor: what else the machine does makes round trips many times longer, and no pick.
  const floor = Math.min(...of("echo").map(({ ns }) => ns));
  const reference = {
    reference: "bare UDP round trip, its floor",
    referenceValues: of("echo").map(() => floor),
  };
  const target = (atMost: number | undefined): { target?: Target } =>
    atMost === undefined ? {} : { target: { atMost } };
  const calls = CALLS_OF_ROUND_TRIP[subject];
  return [
    rowOf({
      ...{ name: PICK, subject, unit: "ns", note: trouble(of("pick")) },
      values: of("pick").map(({ cpuNs }) => cpuNs),
      ...target(PICK_NS[subject]),
    }),
    rowOf({
      ...{ name: TABLE, subject, unit: "ns", note: trouble(of("table")) },
      values: of("table").map(({ cpuNs }) => cpuNs),
      ...reference,
      ...target(calls === undefined ? undefined : 1 / calls),
    }),
    rowOf({
      ...{ name: UDP, subject, unit: "ns", note: trouble(of("udp")) },
      values: of("udp").map(({ ns }) => ns),
      ...reference,
    }),
  ];
}

/** What a call costs the agent, when its caller picks from the table and when it asks. */
async function agentRows(lab: Lab, least: readonly string[], on: BenchRuntime): Promise<Row[]> {
  const agent = await startTable(lab.bench, on);
  return [
    await agentRow(lab, least, `${on.name} fast`, agent, AGENT, MODULES),
    await agentRow(lab, least, `${on.name} fast`, agent, AGENT_FEW, FEW_MODULES),
  ];
}

async function agentRow(
  lab: Lab,
  least: readonly string[],
  subject: string,
  { pid, server, path }: TableAgent,
  name: string,
  modules: number,
): Promise<Row> {
  const { bench } = lab;
  const words = [`port=${server.port}`, `table=${path}`, `modules=${modules}`];
  const program = new LanguageProgram(LEAST, bench.onLoadProcessor([...least, ...words]));
  lab.programs.push(program);
  const cost = (mode: LanguageMode) => async (): Promise<number> => {
    const before = await bench.cpuSeconds(pid) ?? NaN;
    const { calls } = await program.measure(mode, 1, bench.roundMs);
    return ((await bench.cpuSeconds(pid) ?? NaN) - before) / calls * 1e6;
  };
  for (const mode of ["paced", "udp"] as const) {
    await program.measure(mode, 1, bench.smoke ? 20 : AGENT_WARM_UP_MS);
  }
  const samples = await bench.interleave([
    // As many as the agent can take: what its socket drops would cost it nothing.
    { name: "table", measure: cost("paced") },
    { name: "udp", measure: cost("udp") },
  ]);
  return rowOf({
    ...{ name, subject, unit: "us", target: { atMost: 1 / 20 } },
    values: samples.get("table") ?? [],
    reference: "get_host and report",
    referenceValues: samples.get("udp") ?? [],
  });
}

/** Two programs with four threads each, on one processor: picks a second, torn entries, shares. */
async function manyRow(lab: Lab, least: readonly string[]): Promise<Row> {
  const { bench } = lab;
  const path = join(bench.directory, "many.table");
  const [on] = bench.runtimes;
  const nodes = 20;
  const [writer, ...args] = on.command(
    "agent/testing/table_writer.ts",
    ...[path, String(MODULES), String(nodes), "still"],
  );
  const child = spawn(writer, args, { stdio: ["ignore", "pipe", "inherit"] });
  try {
    await once(child.stdout, "data");
    const words = ["port=9", `table=${path}`, `modules=${MODULES}`];
    const two = [1, 2].map(() => {
      const program = new LanguageProgram(LEAST, bench.onLoadProcessor([...least, ...words]));
      lab.programs.push(program);
      return program;
    });
    const both = (mode: LanguageMode): Promise<LanguageResult[]> =>
      Promise.all(two.map((program) => program.measure(mode, 4, bench.roundMs)));
    const values: number[] = [];
    for (let round = 0; round < bench.interleavedRounds; round++) {
      // Of the processor's time, as others use the machine too: two programs share one processor.
      const picked = await both("pick");
      values.push(1000 / (picked.reduce((sum, { cpuNs }) => sum + cpuNs, 0) / picked.length));
    }
    const note = faultsOf(await both("check"), nodes);
    return rowOf({
      ...{ name: MANY, subject: LEAST, unit: "M/s", values, note },
      target: { atLeast: MANY_TARGET },
    });
  } finally {
    child.kill("SIGKILL");
  }
}

/** What is wrong with the picks of all readers together: each node should have the same share. */
function faultsOf(results: readonly LanguageResult[], nodes: number): string | undefined {
  const torn = results.reduce((sum, one) => sum + (one.torn ?? 0), 0);
  const counts = new Map<number, number>();
  for (const { byNode = [] } of results) {
    for (const [node, count] of byNode) counts.set(node, (counts.get(node) ?? 0) + count);
  }
  const all = [...counts.values()].reduce((sum, count) => sum + count, 0);
  const off = [...counts.values()].map((count) => Math.abs(count * nodes / all - 1));
  const worst = counts.size === nodes ? Math.max(...off) : 1;
  const faults = [
    torn > 0 ? `${torn} torn of ${all}` : "",
    worst > SHARE_ERROR_MAX ? `a share is off by ${(100 * worst).toFixed(1)} %` : "",
  ];
  return faults.filter((text) => text !== "").join(", ") ||
    `none torn of ${all}, shares within ${(100 * worst).toFixed(2)} %`;
}

/** The same picks by the client in C++, from the table of an agent that stands still. */
async function manyByClient(lab: Lab, command: LanguageCommand): Promise<Row> {
  const { bench } = lab;
  const built = buildLanguage(command, bench.directory);
  if ("reason" in built) return missingRow(MANY, command.name, built.reason);
  const two = [1, 2].map(() => start(lab, command.name, built.argv));
  const both = (): Promise<LanguageResult[]> =>
    Promise.all(two.map((program) => program.measure("pick", 4, bench.roundMs)));
  await both();
  const values: number[] = [];
  const all: LanguageResult[] = [];
  for (let round = 0; round < bench.interleavedRounds; round++) {
    const picked = await both();
    all.push(...picked);
    values.push(1000 / (picked.reduce((sum, { cpuNs }) => sum + cpuNs, 0) / picked.length));
  }
  for (const program of two) program.stop();
  return rowOf({
    ...{ name: MANY, subject: command.name, unit: "M/s", values, note: trouble(all) },
    target: { atLeast: MANY_TARGET },
  });
}

async function measureAll(lab: Lab, least: readonly string[] | string): Promise<Row[]> {
  const rows: Row[] = [];
  if (typeof least === "string") rows.push(missingRow(PICK, LEAST, least));
  else {
    const samples = await takeSamples(lab.bench, start(lab, LEAST, least));
    rows.push(...rowsOf(LEAST, samples));
  }
  const commands: readonly LanguageCommand[] = languageCommands();
  for (const command of commands) {
    const built = buildLanguage(command, lab.bench.directory);
    if ("reason" in built) {
      rows.push(missingRow(PICK, command.name, built.reason));
      continue;
    }
    const program = start(lab, command.name, built.argv);
    rows.push(...rowsOf(command.name, await takeSamples(lab.bench, program)));
    program.stop();
  }
  for (const command of commands.filter(({ name }) => name === "C++")) {
    rows.push(await manyByClient(lab, command));
  }
  if (typeof least === "string") return rows;
  for (const on of lab.bench.subjects) rows.push(...await agentRows(lab, least, on));
  rows.push(await manyRow(lab, least));
  return rows;
}

const TABLE_ROWS = [PICK, TABLE, UDP, AGENT, AGENT_FEW, MANY] as const;

/** Callers by language. */
export const languagesSuite: Suite = {
  name: "languages",
  rows: [...TABLE_ROWS, ...callersRowNames],
  async run(bench): Promise<Row[]> {
    const wants = (names: readonly string[]): boolean =>
      names.some((name) => bench.wants("languages", name));
    return [
      ...(wants(TABLE_ROWS) ? await languageRows(bench) : []),
      ...(wants(callersRowNames) ? await callersRows(bench) : []),
    ];
  },
};

async function languageRows(bench: Bench): Promise<Row[]> {
  const built = compileNative("table_load", bench.directory);
  const least = "reason" in built ? built.reason : [built.path];
  const { server, path } = await startTable(bench, bench.runtimes[0]);
  const echo = await bench.startEcho("single", 1);
  const words = [
    `port=${server.port}`,
    `table=${path}`,
    `modules=${MODULES}`,
    `echo=${echo.addresses[0].port}`,
  ];
  const lab: Lab = { bench, words, programs: [] };
  try {
    return await measureAll(lab, least);
  } finally {
    for (const program of lab.programs) program.stop();
  }
}
