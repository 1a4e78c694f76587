// Shell. What programs of the original do all the time: get host, report, next, some of them at the
// same time; against a C echo that answers and never sleeps, as the original's agent does.

import process from "node:process";
import {
  type AgentTarget,
  MODULES,
  prime,
  routeCache,
  startAgent,
  startEchoTarget,
  startSink,
} from "./agent_servers.ts";
import { type Bench, cpuMicros, type LoadResult } from "./harness.ts";
import { missingRow, type Row, rowOf, type Target } from "./rows.ts";

/** Callers at the same time, and what the agent should reach of the calls a second of the echo. */
interface Callers {
  readonly count: number;
  /** Of how many modules, one after the other. */
  readonly modules: number;
  readonly calls?: Target;
}

const CALLERS: readonly Callers[] = [
  { count: 1, modules: MODULES, calls: { atLeast: 1 } },
  { count: 1, modules: 1 },
  { count: 4, modules: MODULES },
  { count: 16, modules: MODULES },
];

/** At no more processor time than that of a server that spins. */
const CPU: Target = { atMost: 1 };

const WARM_UP_MS = 1000;

function rowName({ count, modules }: Callers, what: string): string {
  const callers = `${count} caller${count === 1 ? "" : "s"}${modules === 1 ? " of 1 module" : ""}`;
  return `get host, report, next: ${callers}: ${what}`;
}

/** Names of all rows. */
export const callersRowNames: readonly string[] = CALLERS.flatMap((callers) => [
  rowName(callers, "calls"),
  rowName(callers, "server CPU"),
]);

/** One run; the server does nothing before and after it. */
async function runOnce(
  bench: Bench,
  { server, ports, pid, name }: AgentTarget,
  { count: window, modules }: Callers,
  spins: boolean,
): Promise<LoadResult> {
  if (spins && pid !== undefined) process.kill(pid, "SIGCONT");
  try {
    const ms = bench.roundMs;
    const common = { server, ports, pid, modules, ms, report: true, plain: true };
    const result = await bench.load("closed", { ...common, window });
    if (result.ok === 0) throw new Error(`${name} gives no right answer to ${window} callers`);
    return result;
  } finally {
    if (spins && pid !== undefined) process.kill(pid, "SIGSTOP");
  }
}

async function startOurs(bench: Bench): Promise<AgentTarget[]> {
  const cache = routeCache(bench, MODULES);
  const sink = await startSink();
  const servers: AgentTarget[] = [];
  for (const on of bench.subjects) {
    const agent = await startAgent(bench, on, "fast", cache, sink);
    const problem = await prime(bench, agent);
    if (problem !== undefined) throw new Error(`agent on ${agent.name}: ${problem}`);
    const { server, ports } = agent;
    const ms = bench.smoke ? 1 : WARM_UP_MS;
    await bench.load("closed", { server, ports, modules: MODULES, window: 16, report: true, ms });
    servers.push(agent);
  }
  return servers;
}

/** Starts its own servers: one at a time is asked, and the one that spins stands still meanwhile. */
export async function callersRows(bench: Bench): Promise<Row[]> {
  if (bench.native === undefined) {
    return callersRowNames.map((name) => missingRow(name, "agent", "no C compiler"));
  }
  const servers = await startOurs(bench);
  const spinning = await startEchoTarget(bench, "spin");
  const rows: Row[] = [];
  for (const callers of CALLERS) {
    const samples = await bench.interleave([spinning, ...servers].map((target) => ({
      name: target.name,
      measure: () => runOnce(bench, target, callers, target === spinning),
    })));
    const valuesOf = (name: string, of: (result: LoadResult) => number): number[] =>
      (samples.get(name) ?? []).map(of);
    const perSecond = ({ ok, seconds }: LoadResult): number => ok / seconds / 1000;
    for (const { name: subject } of servers) {
      const compared = (what: string, unit: string, of: (result: LoadResult) => number): Row =>
        rowOf({
          ...{ name: rowName(callers, what), subject, unit, values: valuesOf(subject, of) },
          ...{ reference: spinning.name, referenceValues: valuesOf(spinning.name, of) },
          target: what === "calls" ? callers.calls : CPU,
        });
      rows.push(compared("calls", "k/s", perSecond), compared("server CPU", "us", cpuMicros));
    }
  }
  return rows;
}
