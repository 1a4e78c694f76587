// Shell. The agent when nobody asks: processor time, memory, and how long a start takes.

import { join } from "node:path";
import { messageOf } from "../reactor/errors.ts";
import { systemClock } from "../reactor/time/system_clock.ts";
import {
  agentFlags,
  freePorts,
  pathFlags,
  PATHS,
  prime,
  routeCache,
  startSink,
} from "./agent_servers.ts";
import { fillStore } from "./fill_store.ts";
import type { Bench, BenchRuntime, Suite } from "./harness.ts";
import { residentBytes } from "./machine.ts";
import { missingRow, type Row, rowOf, type Target } from "./rows.ts";
import { runProgram, type ServerProcess } from "./server_process.ts";

const CPU_ROW = "agent at rest, linked to dns and reporter: CPU";
const MEMORY_ROW = "agent at rest, after 20,000 calls: resident memory";
const START_ROW = "agent: start to first answer";

/** Modules in the table. */
export const REST_MODULES = 100;
/** Nodes of each. */
export const REST_NODES = 20;
const CALLS = 20_000;
/** A start that takes longer is no start. */
const START_MS_MAX = 10_000;
const START_TRIES = 3;
/**
 * The windows of 15 s in which calls are judged are over then, and the compilers of the runtimes have
 * done most of what the calls left them.
 */
const SETTLE_MS = 30_000;
const COMPILE_TIMEOUT_MS = 120_000;

/** A way to run the agent; or, beside it, a runtime that does nothing: no agent can cost less. */
interface Form {
  readonly name: string;
  readonly path: (typeof PATHS)[number] | "bare";
  argv(flags: readonly string[]): string[];
}

/** How a form is spoken to: the bare one only sends datagrams back. */
function loadOf({ path }: Form): { ports: 1 | 3; echo: boolean } {
  return path === "bare" ? { ports: 1, echo: true } : { ports: 3, echo: false };
}

function targetOf({ path }: Form, atMost: number): Target | undefined {
  return path === "bare" ? undefined : { atMost };
}

function compiledPath(bench: Bench): string {
  return join(bench.directory, "compiled");
}

async function compile(bench: Bench, on: BenchRuntime): Promise<string | undefined> {
  const words = ["--with", "bun", "--only", "lars-agent", "--out", compiledPath(bench)];
  try {
    await runProgram(on.command("scripts/compile.ts", ...words), COMPILE_TIMEOUT_MS);
    return undefined;
  } catch (error) {
    return messageOf(error).split("\n")[0];
  }
}

async function forms(bench: Bench): Promise<{ forms: Form[]; missing: Row[] }> {
  const paths = bench.smoke ? PATHS.slice(-1) : PATHS;
  const all: Form[] = bench.subjects.flatMap((on): Form[] => [
    {
      name: `${on.name} alone`,
      path: "bare",
      argv: ([port]) => on.command("bench/bare_main.ts", port),
    },
    ...paths.map((path): Form => ({
      name: `${on.name} ${path}`,
      path,
      argv: (flags) => on.command("agent/main.ts", ...flags),
    })),
  ]);
  const why = await compile(bench, bench.runtimes[0]);
  if (why !== undefined) {
    const rows = [CPU_ROW, MEMORY_ROW, START_ROW];
    return { forms: all, missing: rows.map((row) => missingRow(row, "compiled", why)) };
  }
  const program = join(compiledPath(bench), "lars-agent");
  const compiled = paths.map((path): Form => ({
    name: `compiled ${path}`,
    path,
    argv: (flags) => [program, ...flags],
  }));
  return { forms: [...all, ...compiled], missing: [] };
}

/** Dns and reporter on a database of their own; gives the flags that link an agent to them. */
async function startUpstream(bench: Bench): Promise<string[]> {
  const url = `sqlite:${join(bench.directory, "rest.db")}`;
  await fillStore(url, REST_MODULES, REST_NODES);
  const on = bench.runtimes[bench.runtimes.length - 1];
  const names = ["dns", "reporter"] as const;
  const servers = await Promise.all(names.map((name) => bench.startService(name, on, url)));
  const [dns, reporter] = servers.map(({ addresses: [{ port }] }) => `127.0.0.1:${port}`);
  return ["--dnsserver-ip", dns, "--reporter-ip", reporter];
}

async function startAll(
  bench: Bench,
  all: readonly Form[],
): Promise<{ form: Form; process: ServerProcess }[]> {
  const upstream = await startUpstream(bench);
  const own = ["--json", "--agent-port", "0", "--log-level", "error", ...upstream];
  const started = await Promise.all(all.map(async (form) => {
    const flags = form.path === "bare" ? ["0"] : [...own, ...pathFlags(form.path)];
    return { form, process: await bench.start(`agent, ${form.name}`, form.argv(flags)) };
  }));
  for (const { form, process } of started) {
    if (form.path === "bare") continue;
    const target = { name: form.name, server: process.addresses[0], pid: process.pid } as const;
    const problem = await prime(bench, { ...target, ports: 3, echo: false }, REST_MODULES);
    if (problem !== undefined) throw new Error(`agent, ${form.name}: ${problem}`);
  }
  return started;
}

async function call(bench: Bench, form: Form, { addresses }: ServerProcess): Promise<void> {
  let calls = 0;
  const load = { ...loadOf(form), server: addresses[0], modules: REST_MODULES, window: 16 };
  do {
    const ms = bench.smoke ? bench.roundMs : 200;
    calls += (await bench.load("closed", { ...load, report: !load.echo, ms })).ok;
  } while (calls < CALLS && !bench.smoke);
}

async function rest(bench: Bench, all: readonly Form[]): Promise<Row[]> {
  const started = await startAll(bench, all);
  for (const { form, process } of started) await call(bench, form, process);
  await bench.pause(bench.smoke ? 50 : SETTLE_MS);
  const used = (): Promise<(number | undefined)[]> =>
    Promise.all(started.map(({ process }) => bench.cpuSeconds(process.pid)));
  const before = await used();
  const startMs = systemClock.nowMs();
  await bench.pause(bench.smoke ? 100 : 10_000);
  const seconds = (systemClock.nowMs() - startMs) / 1000;
  const after = await used();
  return started.flatMap(({ form, process }, index) => {
    const cpuSeconds = (after[index] ?? NaN) - (before[index] ?? NaN);
    const memory = residentBytes(process.pid) ?? NaN;
    const subject = form.name;
    return [
      rowOf({
        name: CPU_ROW,
        subject,
        unit: "% of a core",
        values: [cpuSeconds / seconds * 100],
        target: targetOf(form, 0.1),
      }),
      rowOf({
        name: MEMORY_ROW,
        subject,
        unit: "MB",
        values: [memory / 1e6],
        target: targetOf(form, 60),
      }),
    ];
  });
}

async function starts(bench: Bench, all: readonly Form[]): Promise<Row[]> {
  const cache = routeCache(bench, REST_MODULES);
  const sink = await startSink();
  const samples = await bench.interleave(
    all.map((form) => ({
      name: form.name,
      measure: async (): Promise<number> => {
        for (let attempt = 1;; attempt++) {
          const server = await freePorts();
          const flags = form.path === "bare"
            ? [String(server.port)]
            : agentFlags(cache, sink, form.path, server.port);
          const program = form.argv(flags);
          const load = { ...loadOf(form), server, modules: 1, ms: START_MS_MAX };
          const { lost, seconds } = await bench.loadAnywhere("first", load, program);
          if (lost === 0) return seconds * 1000;
          // Another program may have taken the ports meanwhile.
          if (attempt === START_TRIES) {
            throw new Error(`agent, ${form.name}: no answer after start`);
          }
        }
      },
    })),
    bench.rounds,
  );
  return all.map((form) =>
    rowOf({
      name: START_ROW,
      subject: form.name,
      unit: "ms",
      values: samples.get(form.name) ?? [],
      target: targetOf(form, 60),
    })
  );
}

/** Rows of the agent at rest. */
export const restSuite: Suite = {
  name: "rest",
  rows: [CPU_ROW, MEMORY_ROW, START_ROW],
  async run(bench): Promise<Row[]> {
    const { forms: all, missing } = await forms(bench);
    const rows: Row[] = [];
    if ([CPU_ROW, MEMORY_ROW].some((row) => bench.wants("rest", row))) {
      rows.push(...await rest(bench, all));
      await bench.stopServers();
    }
    if (bench.wants("rest", START_ROW)) rows.push(...await starts(bench, all));
    return [...rows, ...missing];
  },
};
