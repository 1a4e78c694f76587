// Goal: a real gRPC client follows a module by xDS: weights, drains, sick nodes, names that come and
// go; and tells how its calls went.
// Method: the client, and nodes that say their number, run in Node; the server with a view in here.

import assert from "node:assert/strict";
import { test } from "node:test";
import type { HostInfo } from "../../proto/codec.ts";
import { systemClock } from "../../reactor/time/system_clock.ts";
import { freePort } from "../../tests/support/free_port.ts";
import { findGrpcCore, findGrpcJs, type GrpcProgram } from "../../tests/support/grpc_programs.ts";
import { LinePeer, xdsBootstrap } from "../../tests/support/line_peer.ts";
import { LogList } from "../../tests/support/log_list.ts";
import { until } from "../../tests/support/until.ts";
import { FleetView } from "../fleet_view.ts";
import { XdsCallReports, type XdsCalls } from "./call_reports.ts";
import { XdsServer } from "./xds_server.ts";

const GRPC_JS = findGrpcJs();
const GRPC_CORE = findGrpcCore();
const LOOPBACK = 0x7f000001;

interface Bench {
  readonly view: FleetView;
  readonly server: XdsServer;
  readonly peer: LinePeer;
  readonly ports: number[];
  readonly calls: XdsCalls[];
  names(...modules: [modId: number, name: string][]): void;
  route(modId: number, hosts: HostInfo[]): void;
}

async function withBench(
  program: GrpcProgram,
  zone: string,
  body: (bench: Bench) => Promise<void>,
): Promise<void> {
  const made: { server?: XdsServer } = {};
  const view = new FleetView({
    outShare: 0.25,
    request: () => {},
    forget: () => {},
    onChanged: (key) => made.server?.changed(key),
    onListed: () => made.server?.listed(),
  });
  const calls: XdsCalls[] = [];
  const server = new XdsServer({
    ...{ view, hostname: "127.0.0.1", port: await freePort() },
    ...{ clock: systemClock, log: new LogList() },
    onCalls: (more) => void calls.push(...more),
  });
  made.server = server;
  const { port } = await server.listen();
  const peer = new LinePeer(program ?? [], xdsBootstrap(port, zone));
  try {
    const ports: number[] = [];
    for (const index of [0, 1, 2]) ports.push((await peer.ask(`node ${index}`)).port);
    await body({
      ...{ view, server, peer, ports, calls },
      names: (...modules) =>
        view.takeModules({
          modules: modules.map(([modId, name]) => ({ modId, cmdId: 1, name, gone: false })),
          ...{ first: true, last: true },
        }),
      route: (modId, hosts) => {
        view.want({ modId, cmdId: 1 });
        view.takeRoute({ modId, cmdId: 1, hosts, policy: "" });
      },
    });
  } finally {
    peer.close();
    await server.close();
  }
}

const PROGRAMS = [
  { name: "grpc-js", program: GRPC_JS, missing: "node is not on this machine" },
  {
    name: "gRPC of C++",
    program: GRPC_CORE,
    missing: "not installed (apt-get install python3-grpcio)",
  },
];

for (const { name, program, missing } of PROGRAMS) {
  const skip = program === undefined ? missing : false;

  test(`${name}: weights, drains, verdicts, and names that come late`, { skip }, async () => {
    await withBench(program, "", async ({ view, server, peer, ports, calls, names, route }) => {
      const node = (index: number, more: Partial<HostInfo> = {}): HostInfo => ({
        ...{ ip: LOOPBACK, port: ports[index] },
        ...more,
      });
      const becomes = async (
        what: string,
        is: (at: (index: number) => number) => boolean,
        target = "shop",
      ): Promise<void> => {
        let seen: Record<string, number> = {};
        await until(async () => {
          seen = await peer.ask(`call ${target} 60`);
          return is((index) => seen[index] ?? 0);
        }, { what: () => `${what}: ${JSON.stringify(seen)}`, timeoutMs: 40_000, intervalMs: 50 });
      };
      names([1, "shop"]);
      route(1, [node(0), node(1, { weight: 300 })]);
      await becomes("weights 1 to 3", (at) => at(0) > 4 && at(1) > 30 && at(0) + at(1) === 60);
      await becomes("a module by its numbers", (at) => at(0) + at(1) === 60, "1.1");
      route(1, [node(0, { state: "drain" }), node(1)]);
      await becomes("a drained node", (at) => at(1) === 60);
      route(1, [node(0), node(1), node(2)]);
      await becomes("a new node", (at) => at(0) > 5 && at(1) > 5 && at(2) > 5);
      const out = [{ ip: LOOPBACK, port: ports[2], agents: 1 }];
      view.takeOuts(0, { modId: 1, cmdId: 1, nodes: out, agents: 1 });
      await becomes("a node that agents keep out", (at) => at(2) === 0 && at(0) + at(1) === 60);
      const [unknown] = Object.keys(await peer.ask("call late 1"));
      assert.equal(unknown, "error 14", "a name that is none fails at once");
      names([1, "shop"], [2, "late"]);
      route(2, [node(2)]);
      await becomes("a name that came late", (at) => at(2) === 60, "late");
      names([2, "late"]);
      await becomes("a module that is gone", (at) => at(0) + at(1) + at(2) === 0);
      names([1, "shop"], [2, "late"]);
      route(1, [node(0)]);
      await becomes("a module that is back", (at) => at(0) === 60);
      await until(() => calls.some(({ modId, succ }) => modId === 1 && succ > 0), {
        what: "a report of calls",
        timeoutMs: 40_000,
      });
      const own = new Set(calls.map(({ address }) => address));
      assert.ok([...own].every((address) => /^127\.0\.0\.1:\d+$/.test(address)), [...own].join());
      assert.equal(server.counts.xds_refused, 0);
      assert.ok(server.counts.xds_taken > 0);
    });
  });

  test(`${name}: its own zone first`, { skip }, async () => {
    await withBench(program, "east", async ({ peer, ports, names, route }) => {
      const zones = ["east", "west", "west"];
      const all = zones.map((zone, index): HostInfo => ({
        ...{ ip: LOOPBACK, port: ports[index], zone },
      }));
      names([1, "shop"]);
      route(1, all);
      await until(async () => (await peer.ask("call shop 30"))[0] === 30, {
        what: "its own zone",
        timeoutMs: 40_000,
      });
      route(1, [{ ...all[0], state: "drain" }, ...all.slice(1)]);
      await until(async () => {
        const { 1: one = 0, 2: two = 0 } = await peer.ask("call shop 30");
        return one > 0 && two > 0 && one + two === 30;
      }, { what: "the other zone", timeoutMs: 40_000 });
    });
  });
}

test("reports to the reporter carry totals, of nodes that the module has", () => {
  const ports = { request: () => {}, forget: () => {}, onChanged: () => {}, onListed: () => {} };
  const view = new FleetView({ outShare: 0.25, ...ports });
  view.want({ modId: 1, cmdId: 1 });
  view.takeRoute({ modId: 1, cmdId: 1, hosts: [{ ip: LOOPBACK, port: 80 }], policy: "" });
  const reports = new XdsCallReports();
  const say = (address: string, succ: number, err: number): unknown =>
    reports.take([{ modId: 1, cmdId: 1, address, succ, err }], view)
      .flatMap(({ results }) => results)
      .map((one) => [one.succ, one.err, one.succTotal, one.errTotal]);
  assert.deepEqual(say("127.0.0.1:80", 3, 1), [[3, 1, 3, 1]]);
  assert.deepEqual(say("127.0.0.1:80", 0, 0), [], "it was at rest");
  assert.deepEqual(say("127.0.0.1:80", 2, 0), [[2, 0, 5, 1]]);
  assert.deepEqual([say("127.0.0.1:81", 9, 0), say("w100", 1, 0)], [[], []]);
  assert.equal(reports.droppedCount, 10);
});
