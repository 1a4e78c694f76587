// Goal: a real gRPC client follows a module by xDS: weights, drains, sick nodes, names that come and
// go; and tells how its calls went.
// Method: the client, and nodes that say their number, run in Node; the server with a view in here.

import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import process from "node:process";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import type { HostInfo } from "../../proto/codec.ts";
import { systemClock } from "../../reactor/time/system_clock.ts";
import { freePort } from "../../tests/support/free_port.ts";
import { LogList } from "../../tests/support/log_list.ts";
import { findProgram } from "../../tests/support/mariadb.ts";
import { until } from "../../tests/support/until.ts";
import { FleetView } from "../fleet_view.ts";
import { AdsStream } from "./ads_stream.ts";
import { decodeXds, encodeXds, XdsType } from "./messages.ts";
import { XdsCallReports, type XdsCalls } from "./call_reports.ts";
import { XdsServer } from "./xds_server.ts";

const NODE = findProgram("node");
const PEER = fileURLToPath(new URL("../testing/grpc_peer.mjs", import.meta.url));
const LOOPBACK = 0x7f000001;

/** The client and the nodes. */
class Peer {
  readonly #child: ChildProcess;
  readonly #waiting: ((line: string) => void)[] = [];

  constructor(xdsPort: number, zone: string) {
    const bootstrap = {
      xds_servers: [{
        server_uri: `127.0.0.1:${xdsPort}`,
        channel_creds: [{ type: "insecure" }],
        server_features: ["xds_v3"],
      }],
      node: { id: "test", locality: { zone } },
    };
    this.#child = spawn(NODE ?? "node", [PEER], {
      env: { ...process.env, GRPC_XDS_BOOTSTRAP_CONFIG: JSON.stringify(bootstrap) },
      stdio: ["pipe", "pipe", "inherit"],
    });
    const { stdout } = this.#child;
    if (stdout === null) throw new Error("The client has no output");
    createInterface({ input: stdout }).on("line", (line) => this.#waiting.shift()?.(line));
  }

  ask(command: string): Promise<Record<string, number>> {
    return new Promise((resolve) => {
      this.#waiting.push((line) => resolve(JSON.parse(line)));
      this.#child.stdin?.write(`${command}\n`);
    });
  }

  close(): void {
    this.#child.kill("SIGKILL");
  }
}

interface Bench {
  readonly view: FleetView;
  readonly server: XdsServer;
  readonly peer: Peer;
  readonly ports: number[];
  readonly calls: XdsCalls[];
  names(...modules: [modId: number, name: string][]): void;
  route(modId: number, hosts: HostInfo[]): void;
}

async function withBench(zone: string, body: (bench: Bench) => Promise<void>): Promise<void> {
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
  const peer = new Peer(port, zone);
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

const SKIP = { skip: NODE === undefined ? "node is not on this machine" : false };

test(
  "a gRPC program follows weights, drains, verdicts, and names that come late",
  SKIP,
  async () => {
    await withBench("", async ({ view, server, peer, ports, calls, names, route }) => {
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
  },
);

test("a gRPC program calls its own zone first", SKIP, async () => {
  await withBench("east", async ({ peer, ports, names, route }) => {
    const zones = ["east", "west", "west"];
    const all = zones.map((zone, index): HostInfo => ({
      ...{ ip: LOOPBACK, port: ports[index], zone },
    }));
    names([1, "shop"]);
    route(1, all);
    await until(async () => (await peer.ask("call shop 30"))[0] === 30, { what: "its own zone" });
    route(1, [{ ...all[0], state: "drain" }, ...all.slice(1)]);
    await until(async () => {
      const { 1: one = 0, 2: two = 0 } = await peer.ask("call shop 30");
      return one > 0 && two > 0 && one + two === 30;
    }, { what: "the other zone" });
  });
});

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

interface Sent {
  readonly type_url: string;
  readonly nonce: string;
  readonly resources: readonly { readonly value: Uint8Array }[];
}

test("a stream: all clusters each time, endpoints that changed, the latest for slow readers", () => {
  const sent: Sent[] = [];
  const state = { isReady: false, isBusy: false };
  const refused: string[] = [];
  const counts = {
    ...{ xds_sent: 0, xds_taken: 0, xds_refused: 0 },
    ...{ xds_names_refused: 0, xds_too_large: 0 },
  };
  const stream = new AdsStream({
    isReady: () => state.isReady,
    endpoints: (name) =>
      name === "coming" ? undefined : encodeXds("ClusterLoadAssignment", { cluster_name: name }),
    want: () => {},
    send: (bytes) => {
      sent.push(decodeXds<Sent>("DiscoveryResponse", bytes));
      return state.isBusy;
    },
    onRefused: (_type, reason) => void refused.push(reason),
  }, counts);
  const ask = (type: string, names: string[], more: Record<string, unknown> = {}): void =>
    stream.take(
      encodeXds("DiscoveryRequest", { type_url: type, resource_names: names, ...more }),
    );
  const took = (): string[] =>
    sent.splice(0).map(({ type_url, resources }) =>
      `${type_url.split(".").at(-1)} ${resources.length}`
    );
  ask(XdsType.endpoints, ["a", "coming"]);
  ask(XdsType.cluster, ["a"]);
  assert.deepEqual(took(), [], "nothing before the modules are known");
  state.isReady = true;
  stream.flush();
  assert.deepEqual(took(), ["Cluster 1", "ClusterLoadAssignment 1"]);
  ask(XdsType.cluster, ["a", "b"], { response_nonce: "1" });
  assert.deepEqual(took(), ["Cluster 2"]);
  ask(XdsType.cluster, ["a", "b", "c"], { response_nonce: "1" });
  assert.deepEqual(took(), [], "an answer to one that is old");
  const fault = { code: 3, message: "no such policy" };
  ask(XdsType.cluster, ["a", "b"], { response_nonce: "3", error_detail: fault });
  assert.deepEqual([took(), refused, counts.xds_refused], [[], ["no such policy"], 1]);
  state.isBusy = true;
  stream.changed("a");
  stream.flush();
  assert.deepEqual(took(), ["ClusterLoadAssignment 1"]);
  for (let i = 0; i < 5; i++) {
    stream.changed("a");
    stream.changed("nobody");
    stream.flush();
  }
  assert.deepEqual(took(), [], "it reads too slowly");
  state.isBusy = false;
  stream.drained();
  assert.deepEqual(took(), ["ClusterLoadAssignment 1"]);
  const many = Array.from({ length: 10_005 }, (_, index) => `n${index}`);
  ask(XdsType.listener, [...many, "x".repeat(300)]);
  assert.deepEqual([took(), counts.xds_names_refused], [["Listener 10000"], 6]);
  ask("type.googleapis.com/unknown", ["a"]);
  assert.throws(() => stream.take(new Uint8Array([0xff, 0xff])));
});
