// What a program written from the wire table alone sees of our services, and they of it.

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  addNodes,
  agentFlags,
  hostKey,
  hostKeys,
  nodeOf,
  sqliteTestStore,
  startFleet,
  withStoredNode,
} from "./support/fleet.ts";
import { assertInTime } from "./support/in_time.ts";
import { withProcesses } from "./support/processes.ts";
import { until } from "./support/until.ts";
import {
  BODY_BYTES_MAX,
  EXTENSION_FIELD_MIN,
  EXTENSION_ID_MIN,
  getRouteResponse,
  Id,
  monotonicMs,
  readFields,
  readModule,
  readStatus,
  WireCaller,
  WireConnection,
  type WireHost,
  WireServer,
} from "./support/wire_client.ts";

/** Bounds are three times what is promised: the machine that runs this is busy. */
const PUSH_BY_POLL_MS = 3 * 1500;
const PUSH_BY_WORD_MS = 100;

/** A dns that looks at the database only when it is told. */
const PATIENT_DNS = ["--dns-poll-interval=60", "--dns-reload-interval=0"];

test("dns answers a foreign program and pushes each change of what it asked for", async () => {
  await withStoredNode(async ({ processes, store, url }) => {
    await addNodes(store, 4_294_967_295, 2, [nodeOf(2)]);
    const dns = await processes.start("dns", ["--reactor-port=0", `--store=${url}`]);
    const peer = await WireConnection.open(dns.port());
    const route = await peer.route(1, 1);
    assert.deepEqual(hostKeys(route.hosts), hostKeys([nodeOf(1)]));
    assert.deepEqual(hostKeys((await peer.route(4_294_967_295, 2)).hosts), hostKeys([nodeOf(2)]));
    assert.deepEqual((await peer.route(9, 9)).hosts, [], "no such module: an answer with no host");

    const steps: { what: string; edit: () => Promise<unknown>; expected: WireHost[] }[] = [
      {
        what: "a node added",
        edit: () => addNodes(store, 9, 9, [nodeOf(3), nodeOf(4)]),
        expected: [nodeOf(3), nodeOf(4)],
      },
      {
        what: "a node removed",
        edit: () => store.editRoutes([{ op: "remove", modId: 9, cmdId: 9, ...nodeOf(3) }]),
        expected: [nodeOf(4)],
      },
      {
        what: "the last node removed",
        edit: () => store.editRoutes([{ op: "remove", modId: 9, cmdId: 9, ...nodeOf(4) }]),
        expected: [],
      },
    ];
    for (const { what, edit, expected } of steps) {
      await edit();
      const startMs = monotonicMs();
      const push = await peer.nextRoute(9, 9, undefined, PUSH_BY_POLL_MS);
      console.log(`push by poll, ${what}: ${Math.round(push.atMs - startMs)} ms`);
      assert.deepEqual(hostKeys(push.hosts), hostKeys(expected), what);
    }
    peer.close();
  });
});

test("lars route add is pushed at once, without waiting for the poll", async () => {
  await withStoredNode(async ({ processes, url }) => {
    const dns = await processes.start("dns", [
      "--reactor-port=0",
      `--store=${url}`,
      ...PATIENT_DNS,
    ]);
    const peer = await WireConnection.open(dns.port());
    await peer.route(1, 1);
    for (const port of [8001, 8002, 8003]) {
      const added = processes.run("tools/lars.ts", [
        "route",
        "add",
        "1",
        "1",
        `10.0.0.1:${port}`,
        `--store=${url}`,
      ]).then((ended) => ({ ...ended, atMs: monotonicMs() }));
      const push = await peer.nextRoute(
        1,
        1,
        (route) => route.hosts.some((host) => host.port === port),
      );
      const { code, stdout, stderr, atMs } = await added;
      assert.equal(code, 0, stderr);
      const lateMs = push.atMs - atMs;
      console.log(`push of lars route add: ${Math.round(lateMs)} ms after the command: ${stdout}`);
      assertInTime("push of lars route add", lateMs, PUSH_BY_WORD_MS);
    }
    peer.close();
  });
});

test("every dns on one database pushes every change", async () => {
  await withProcesses(async (processes) => {
    const { url, store } = await sqliteTestStore(processes);
    await addNodes(store, 1, 1, [nodeOf(0)]);
    const flags = ["--reactor-port=0", `--store=${url}`];
    const both = await Promise.all([
      processes.start("dns", flags),
      processes.start("dns", flags),
    ]);
    const peers = await Promise.all(both.map((dns) => WireConnection.open(dns.port())));
    for (const peer of peers) await peer.route(1, 1);
    for (let round = 1; round <= 3; round++) {
      await addNodes(store, 1, 1, [nodeOf(round)]);
      for (const peer of peers) {
        await peer.nextRoute(1, 1, (route) => route.hosts.length === round + 1);
      }
    }
    for (const peer of peers) peer.close();
    await store.close();
  });
});

test("a caller gets nodes and whole routes from the agent, and its reports reach SQL", async () => {
  await withProcesses(async (processes) => {
    const { url, store } = await sqliteTestStore(processes);
    const nodes = [nodeOf(1), nodeOf(2), nodeOf(3)];
    // One module for each of the three ports, and ids beyond 2^31, which are negative on the wire.
    const modules: [number, number][] = [[1, 1], [1, 2], [1, 3], [4_294_967_295, 3], [
      2_147_483_648,
      2_147_483_647,
    ]];
    for (const [modId, cmdId] of modules) await addNodes(store, modId, cmdId, nodes);
    const { agent } = await startFleet(processes, url);
    const caller = await WireCaller.open(agent.port());
    const first = await caller.getHost(1, 99);
    assert.deepEqual([first.retCode, first.host], [3, undefined], "unknown module: RET_NOEXIST");
    for (const [modId, cmdId] of modules) {
      await caller.untilHost(modId, cmdId);
      const picked = new Set<string>();
      for (let i = 0; i < 2 * nodes.length; i++) {
        const { retCode, host } = await caller.getHost(modId, cmdId);
        assert.equal(retCode, 0);
        if (host !== undefined) picked.add(hostKey(host));
      }
      assert.deepEqual([...picked].sort(), hostKeys(nodes), `every node of ${modId}/${cmdId}`);
      assert.deepEqual(hostKeys((await caller.getRoute(modId, cmdId)).hosts), hostKeys(nodes));
      for (let i = 0; i < 4; i++) caller.report(modId, cmdId, nodes[0], i === 0 ? 1 : 0);
    }
    for (const [modId, cmdId] of modules) {
      await until(async () => {
        const rows = await store.readCallStatus({ modId, cmdId });
        return rows.some((row) => hostKey(row) === hostKey(nodes[0]) && row.succTotal === 3);
      }, { timeoutMs: 15_000, what: `the results of ${modId}/${cmdId} in SQL` });
    }
    caller.close();
    await store.close();
  });
});

/** What an answer would be on the original wire, to the byte. */
function assertOriginalBytes(
  body: Uint8Array,
  modId: number,
  cmdId: number,
  hosts: WireHost[],
): void {
  const inOrder = hosts.toSorted((a, b) => a.ip - b.ip); // the wire gives no order, dns this one
  assert.deepEqual([...body], [...getRouteResponse(modId, cmdId, inOrder)]);
}

test("a peer that never says Hello sees the original protocol, to the byte", async () => {
  await withProcesses(async (processes) => {
    const { url, store } = await sqliteTestStore(processes);
    const extended = { weight: 7, zone: "east", state: "on" as const };
    await store.editRoutes([
      { op: "add", modId: 1, cmdId: 1, ...nodeOf(1), ...extended },
      { op: "add", modId: 1, cmdId: 1, ip: 3_232_235_953, port: 65_535, ...extended },
    ]);
    const hosts = [nodeOf(1), { ip: 3_232_235_953, port: 65_535 }];
    const { dns, agent } = await startFleet(processes, url);
    const peer = await WireConnection.open(dns.port());
    peer.askRoute(1, 1);
    assertOriginalBytes((await peer.next()).body, 1, 1, hosts);
    await store.editRoutes([{ op: "set", modId: 1, cmdId: 1, ...nodeOf(1), weight: 50 }]);
    await store.editRoutes([{ op: "add", modId: 1, cmdId: 1, ...nodeOf(2), ...extended }]);
    const push = await peer.next((frame) => frame.body.length > 40);
    assertOriginalBytes(push.body, 1, 1, [...hosts, nodeOf(2)]);
    assert.deepEqual([...peer.idsSeen], [Id.GetRouteResponse]);

    const caller = await WireCaller.open(agent.port());
    await caller.untilHost(1, 1);
    const fields = new Set<number>();
    for (const field of (await caller.getHost(1, 1)).fields) fields.add(field);
    for (const field of (await caller.getRoute(1, 1)).fields) fields.add(field);
    assert.ok(Math.max(...fields) < EXTENSION_FIELD_MIN, [...fields].join());
    assert.ok(Math.max(...caller.idsSeen) < EXTENSION_ID_MIN, [...caller.idsSeen].join());
    caller.close();
    peer.close();
    await store.close();
  });
});

test("our agent works with an original dns and an original reporter", async () => {
  await withProcesses(async (processes) => {
    const idsToDns: number[] = [];
    const hosts = [nodeOf(1), nodeOf(2)];
    const dns = await WireServer.open((connection) => void serve(connection));
    const serve = async (connection: WireConnection): Promise<void> => {
      for (;;) {
        const frame = await connection.next(undefined, 60_000).catch(() => undefined);
        if (frame === undefined) return;
        idsToDns.push(frame.msgId);
        if (frame.msgId !== Id.GetRouteRequest) continue; // an original passes over unknown ids
        assert.ok(readFields(frame.body).every((field) => field.number < EXTENSION_FIELD_MIN));
        const { modId, cmdId } = readModule(frame.body);
        connection.send(Id.GetRouteResponse, getRouteResponse(modId, cmdId, hosts));
      }
    };
    const reporter = await WireServer.open(() => undefined);
    const agent = await processes.start(
      "agent",
      agentFlags(processes, [dns.port], [reporter.port]),
    );
    const caller = await WireCaller.open(agent.port());
    await caller.untilHost(1, 1);
    for (let i = 0; i < 10; i++) caller.report(1, 1, hosts[0], 0);
    caller.report(1, 1, hosts[1], 1);
    await until(() => reporter.connections.length > 0, { what: "the agent to come to reporter" });
    const statuses = [];
    let succ = 0;
    let err = 0;
    while (succ < 10 || err < 1) {
      const frame = await reporter.connections[0].next(({ msgId }) =>
        msgId === Id.ReportStatusRequest
      );
      const status = readStatus(frame.body);
      statuses.push(status);
      assert.ok(Math.max(...status.fields) < EXTENSION_FIELD_MIN, [...status.fields].join());
      const of = (host: WireHost): { succ: number; err: number } =>
        status.results.find((result) => hostKey(result) === hostKey(host)) ?? { succ: 0, err: 0 };
      succ = Math.max(succ, of(hosts[0]).succ);
      err = Math.max(err, of(hosts[1]).err);
    }
    assert.deepEqual([succ, err], [10, 1]);
    assert.ok(statuses.every((status) => status.modId === 1 && status.cmdId === 1));

    // A push of the original is taken over, and an empty one is a module without nodes.
    dns.connections[0].send(Id.GetRouteResponse, getRouteResponse(1, 1, [nodeOf(5)]));
    await until(async () => {
      const { host } = await caller.getHost(1, 1);
      return host !== undefined && hostKey(host) === hostKey(nodeOf(5));
    }, { what: "the pushed node" });
    dns.connections[0].send(Id.GetRouteResponse, getRouteResponse(1, 1, []));
    await until(async () => (await caller.getHost(1, 1)).retCode === 3, { what: "RET_NOEXIST" });
    const ours = idsToDns.filter((id) => id >= EXTENSION_ID_MIN);
    assert.deepEqual(new Set(ours), new Set([EXTENSION_ID_MIN]), "only Hello");
    assert.equal(ours.length, dns.connections.length, "one Hello for each connection");
    caller.close();
    await Promise.all([dns.close(), reporter.close()]);
  });
});

test("a route of 20,000 nodes is whole in our agent and legal for a legacy client", async () => {
  await withProcesses(async (processes) => {
    const { url, store } = await sqliteTestStore(processes);
    const nodes = Array.from({ length: 20_000 }, (_, index) => nodeOf(index));
    await addNodes(store, 1, 1, nodes);
    const { dns, agent } = await startFleet(processes, url);
    const known = new Set(nodes.map(hostKey));

    const peer = await WireConnection.open(dns.port());
    peer.askRoute(1, 1);
    const frame = await peer.next();
    const route = getHosts(frame.body);
    assert.equal(frame.msgId, Id.GetRouteResponse);
    assert.ok(frame.body.length <= BODY_BYTES_MAX);
    assert.ok(frame.body.length > BODY_BYTES_MAX / 2, "as much as fits");
    assert.equal(new Set(route).size, route.length, "no node twice");
    assert.ok(route.every((key) => known.has(key)));

    const caller = await WireCaller.open(agent.port());
    await caller.untilHost(1, 1);
    const picked = new Set<string>();
    const startMs = monotonicMs();
    const pick = async (count: number): Promise<void> => {
      for (let i = 0; i < count; i++) {
        const answer = await caller.getHost(1, 1);
        if (answer.host !== undefined) picked.add(hostKey(answer.host));
      }
    };
    // The list is walked head to tail, so as many picks as nodes meet each node once.
    await Promise.all(Array.from({ length: 40 }, () => pick(nodes.length / 40)));
    console.log(`20,000 nodes picked once each in ${Math.round(monotonicMs() - startMs)} ms`);
    assert.equal(picked.size, nodes.length);

    // The answer to "all nodes" must fit a datagram: legal, and cut rather than missing.
    const answer = await caller.getRoute(1, 1);
    assert.ok(answer.hosts.length > 1000);
    assert.ok(answer.hosts.every((host) => known.has(hostKey(host))));
    caller.close();
    peer.close();
    await store.close();
  });
});

function getHosts(body: Uint8Array): string[] {
  return readFields(body).flatMap((field) => {
    if (field.number !== 3 || typeof field.value === "bigint") return [];
    const [ip, port] = readFields(field.value).map(({ value }) =>
      BigInt.asUintN(32, BigInt(value as bigint))
    );
    return [`${ip}:${port}`];
  });
}
