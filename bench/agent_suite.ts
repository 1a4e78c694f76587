// Shell. The agent under load: closed loops, reports, open loops, one caller; against a C echo.

import {
  type AgentTarget,
  MODULES,
  PATHS,
  peerAgent,
  prime,
  routeCache,
  startAgent,
  startEchoTarget,
  startSink,
} from "./agent_servers.ts";
import { type Bench, cpuMicros, type LoadOptions, type LoadResult, type Suite } from "./harness.ts";
import { missingRow, type Row, rowOf, type Target } from "./rows.ts";

/** A peer that gives no first node in this time is not there. */
const PEER_ANSWER_MS = 1000;

/** Calls before the first round; the compilers are done after a few 10,000. */
const WARM_UP_MS = 1000;

/** A number taken from each run of the load. */
interface Metric {
  readonly name: string;
  readonly unit: string;
  readonly target?: Target;
  of(result: LoadResult): number;
}

/** One kind of load, and the rows it gives. */
interface LoadKind {
  readonly name: string;
  readonly mode: "closed" | "open";
  readonly options: Partial<LoadOptions>;
  readonly echo: "batch" | "answer";
  readonly metrics: readonly Metric[];
}

/** Ends the subject of an agent whose modules have the original's rules, beside those of ours. */
const LARS = " lars";

/** What the preset costs: most of the original's rules' processor time in the same run. */
const OVER_LARS: Target = { atMost: 1.1 };

function overLarsName(kind: LoadKind): string {
  return `${kind.name}: server CPU, recommended over lars`;
}

/** The bar of one path over the other. */
const FAST_OVER_PORTABLE = "agent get_host, 64 in flight: fast path over portable path";

function cpu(target?: Target): Metric {
  return { name: "server CPU", unit: "us", target, of: cpuMicros };
}

function throughput(target?: Target): Metric {
  return { name: "throughput", unit: "k/s", target, of: ({ ok, seconds }) => ok / seconds / 1000 };
}

function openLoop(rate: number): LoadKind {
  return {
    name: `agent get_host, ${rate.toLocaleString("en")} a second`,
    mode: "open",
    options: { rate },
    echo: "batch",
    metrics: [
      { name: "latency p50", unit: "us", target: { atMost: 1.1 }, of: ({ p50us }) => p50us },
      { name: "latency p99", unit: "us", target: { atMost: 1.5 }, of: ({ p99us }) => p99us },
      cpu({ atMost: 1.15 }),
    ],
  };
}

const LOADS: readonly LoadKind[] = [
  {
    name: "agent get_host, 64 in flight",
    mode: "closed",
    options: { window: 64 },
    echo: "batch",
    metrics: [cpu({ atMost: 1.08 }), throughput({ atLeast: 0.93 })],
  },
  {
    name: "agent get_host, 16 in flight",
    mode: "closed",
    options: { window: 16 },
    echo: "batch",
    metrics: [cpu(), throughput({ atLeast: 0.93 })],
  },
  {
    name: "agent get_host and report, 16 in flight",
    mode: "closed",
    options: { window: 16, report: true },
    echo: "answer",
    metrics: [cpu({ atMost: 1.25 }), throughput({ atLeast: 0.8 })],
  },
  {
    name: "one synchronous caller, get_host and report",
    mode: "closed",
    options: { window: 1, report: true, plain: true },
    echo: "answer",
    metrics: [throughput({ atLeast: 1 }), cpu()],
  },
  openLoop(1000),
  openLoop(10_000),
];

/** Targets are those of our fast path against the echo in C. */
function targetFor(
  bench: Bench,
  server: AgentTarget,
  target: Target | undefined,
): Target | undefined {
  return bench.native !== undefined && server.name.endsWith("fast") ? target : undefined;
}

function trouble(results: readonly LoadResult[]): string | undefined {
  const sum = (of: (result: LoadResult) => number): number =>
    results.reduce((total, result) => total + of(result), 0);
  const [lost, wrong] = [sum((one) => one.lost), sum((one) => one.wrong)];
  const faults = [lost > 0 ? `${lost} lost` : "", wrong > 0 ? `${wrong} wrong` : ""];
  return faults.some((text) => text !== "")
    ? `${faults.filter((text) => text !== "").join(", ")} of ${sum((one) => one.ok + one.lost)}`
    : undefined;
}

type Samples = ReadonlyMap<string, LoadResult[]>;

async function runLoad(
  bench: Bench,
  kind: LoadKind,
  reference: AgentTarget,
  servers: readonly AgentTarget[],
): Promise<{ rows: Row[]; samples: Samples }> {
  const samples = await bench.interleave([reference, ...servers].map((target) => ({
    name: target.name,
    measure: async (): Promise<LoadResult> => {
      const { server, ports, echo, pid } = target;
      // Percentiles need more answers than a closed loop's mean.
      const ms = kind.mode === "open" ? 2 * bench.roundMs : bench.roundMs;
      const common = { server, ports, echo, pid, modules: MODULES, ms };
      const result = await bench.load(kind.mode, { ...common, ...kind.options });
      if (result.ok === 0) throw new Error(`${target.name} gives no right answer: ${kind.name}`);
      return result;
    },
  })));
  const rows = kind.metrics.flatMap((metric) =>
    servers.map((server) =>
      rowOf({
        name: `${kind.name}: ${metric.name}`,
        subject: server.name,
        unit: metric.unit,
        values: (samples.get(server.name) ?? []).map(metric.of),
        reference: reference.name,
        referenceValues: (samples.get(reference.name) ?? []).map(metric.of),
        target: targetFor(bench, server, metric.target),
        note: trouble(samples.get(server.name) ?? []),
      })
    )
  );
  return { rows, samples };
}

/** Throughput of the fast path by that of the portable one, from the rounds of one load. */
function fastOverPortable(bench: Bench, samples: Samples): Row[] {
  const of = throughput().of;
  return bench.runtimes.map(({ name }) => {
    const [fast, portable] = [samples.get(`${name} fast`), samples.get(`${name} portable`)];
    if (fast === undefined || portable === undefined) {
      return missingRow(FAST_OVER_PORTABLE, name, "no fast path");
    }
    return rowOf({
      name: FAST_OVER_PORTABLE,
      subject: `${name} fast`,
      unit: "k/s",
      values: fast.map(of),
      reference: `${name} portable`,
      referenceValues: portable.map(of),
      target: name === "Deno" ? { atLeast: 2.3 } : undefined,
    });
  });
}

/** Processor time of modules with the preset by that of modules with the original's rules. */
function overLars(bench: Bench, kind: LoadKind, samples: Samples): Row[] {
  const { of, unit } = cpu();
  return bench.runtimes.flatMap(({ name }) => {
    const [ours, original] = [samples.get(`${name} fast`), samples.get(`${name} fast${LARS}`)];
    if (ours === undefined || original === undefined) return [];
    return rowOf({
      name: overLarsName(kind),
      subject: `${name} fast`,
      unit,
      values: ours.map(of),
      reference: `${name} fast${LARS}`,
      referenceValues: original.map(of),
      target: OVER_LARS,
    });
  });
}

/** Row in which a peer that cannot be measured says so. */
const PEER_ROW = `${LOADS[0].name}: ${LOADS[0].metrics[0].name}`;

/** The peer when there is one and it knows the modules; otherwise a row that says what it lacks. */
async function findPeer(bench: Bench): Promise<{ peers: AgentTarget[]; rows: Row[] }> {
  for (const peer of peerAgent(bench)) {
    const silent = await prime(bench, peer, 1, PEER_ANSWER_MS);
    const problem = silent === undefined
      ? await prime(bench, peer)
      : "gives no node for module (1, 1)";
    if (problem !== undefined) return { peers: [], rows: [missingRow(PEER_ROW, "peer", problem)] };
    return { peers: [peer], rows: [] };
  }
  return { peers: [], rows: [] };
}

/** Lets the compiler of the runtime finish before the first round. */
async function warmUp(bench: Bench, { server, ports, echo }: AgentTarget): Promise<void> {
  const ms = bench.smoke ? 1 : WARM_UP_MS;
  await bench.load("closed", {
    server,
    ports,
    echo,
    modules: MODULES,
    window: 16,
    report: true,
    ms,
  });
}

async function startOurs(bench: Bench): Promise<AgentTarget[]> {
  const cache = routeCache(bench, MODULES);
  const original = routeCache(bench, MODULES, undefined, "");
  const sink = await startSink();
  const servers = await Promise.all(
    bench.subjects.flatMap((on) => [
      ...PATHS.map((path) => startAgent(bench, on, path, cache, sink)),
      ...(PATHS.includes("fast") ? [startAgent(bench, on, "fast", original, sink, LARS)] : []),
    ]),
  );
  for (const server of servers) {
    const problem = await prime(bench, server);
    if (problem !== undefined) throw new Error(`agent on ${server.name}: ${problem}`);
    await warmUp(bench, server);
  }
  return servers;
}

/** Every row of the agent under load. */
export const agentSuite: Suite = {
  name: "agent",
  rows: [
    ...LOADS.flatMap(({ name, metrics }) => metrics.map((metric) => `${name}: ${metric.name}`)),
    ...LOADS.filter(({ mode }) => mode === "closed").map(overLarsName),
    FAST_OVER_PORTABLE,
  ],
  async run(bench): Promise<Row[]> {
    const references = {
      batch: await startEchoTarget(bench, "batch"),
      answer: await startEchoTarget(bench, "answer"),
    };
    // What a C program without batches costs; it answers nothing, so it is not in every load.
    const single = bench.native === undefined ? [] : [await startEchoTarget(bench, "single")];
    const { peers, rows } = await findPeer(bench);
    const servers = [...await startOurs(bench), ...peers];
    const later: Row[] = [];
    for (const [index, kind] of LOADS.entries()) {
      const names = kind.metrics.map((metric) => `${kind.name}: ${metric.name}`);
      if (index === 0) names.push(FAST_OVER_PORTABLE);
      if (kind.mode === "closed") names.push(overLarsName(kind));
      if (!names.some((name) => bench.wants("agent", name))) continue;
      const compared = kind.echo === "batch" ? [...single, ...servers] : servers;
      const result = await runLoad(bench, kind, references[kind.echo], compared);
      rows.push(...result.rows);
      if (index === 0) later.push(...fastOverPortable(bench, result.samples));
      if (kind.mode === "closed") later.push(...overLars(bench, kind, result.samples));
    }
    return [...rows, ...later];
  },
};
