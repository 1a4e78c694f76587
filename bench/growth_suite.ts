// Shell. How the cost of one get_host grows with modules and nodes: the same agent, three sizes.

import {
  type AgentTarget,
  PATHS,
  prime,
  routeCache,
  startAgent,
  startSink,
} from "./agent_servers.ts";
import { type Bench, type BenchRuntime, cpuMicros, type Suite } from "./harness.ts";
import { type Row, rowOf } from "./rows.ts";

/** A module for each port of the agent, of one node each: what the others are compared with. */
const SMALLEST = { modules: 3, nodes: 1 } as const;

interface Size {
  readonly modules: number;
  readonly nodes: number;
}

const SIZES: readonly Size[] = [
  { modules: 1000, nodes: 1 },
  { modules: 100_000, nodes: 1 },
  { modules: 3, nodes: 100 },
  { modules: 3, nodes: 10_000 },
];

const WINDOW = 64;

function sizeName({ modules, nodes }: Size): string {
  return `${modules} modules x ${nodes} nodes`;
}

function rowName(size: Size): string {
  return `agent get_host, ${WINDOW} in flight, ${sizeName(size)}: server CPU`;
}

/** Last path: the fast one where there is one. */
const path = PATHS[PATHS.length - 1];

interface Sized {
  readonly size: Size;
  readonly target: AgentTarget;
}

async function start(bench: Bench, on: BenchRuntime, sizes: readonly Size[]): Promise<Sized[]> {
  const sink = await startSink();
  const started = await Promise.all(sizes.map(async (size): Promise<Sized> => {
    const cache = routeCache(bench, size.modules, size.nodes);
    return { size, target: await startAgent(bench, on, path, cache, sink) };
  }));
  for (const { size, target } of started) {
    const problem = await prime(bench, target, size.modules);
    if (problem !== undefined) throw new Error(`agent on ${target.name}: ${problem}`);
  }
  return started;
}

async function measure(bench: Bench, on: BenchRuntime, sizes: readonly Size[]): Promise<Row[]> {
  const started = await start(bench, on, [SMALLEST, ...sizes]);
  const samples = await bench.interleave(
    started.map(({ size, target: { server, pid } }) => ({
      name: sizeName(size),
      measure: async (): Promise<number> => {
        const load = { server, ports: 3, modules: size.modules, pid, window: WINDOW } as const;
        return cpuMicros(await bench.load("closed", { ...load, ms: bench.roundMs }));
      },
    })),
    Math.min(3, bench.rounds),
  );
  await bench.stopServers();
  return sizes.map((size) =>
    rowOf({
      name: rowName(size),
      subject: `${on.name} ${path}`,
      unit: "us",
      values: samples.get(sizeName(size)) ?? [],
      reference: sizeName(SMALLEST),
      referenceValues: samples.get(sizeName(SMALLEST)) ?? [],
      target: { atMost: 1.3 },
    })
  );
}

/** The agent's cost by number of modules and nodes. */
export const growthSuite: Suite = {
  name: "growth",
  rows: SIZES.map(rowName),
  async run(bench): Promise<Row[]> {
    const sizes = SIZES.filter((size) => bench.wants("growth", rowName(size)))
      // Tables of this size take seconds to make: not for a proof that the row works.
      .map((size) => bench.smoke ? { ...size, modules: Math.min(size.modules, 1000) } : size);
    const distinct = sizes.filter((size, index) =>
      sizes.findIndex((other) => sizeName(other) === sizeName(size)) === index
    );
    const rows: Row[] = [];
    const runtimes = bench.smoke ? bench.subjects.slice(-1) : bench.subjects;
    for (const on of runtimes) rows.push(...await measure(bench, on, distinct));
    return rows;
  },
};
