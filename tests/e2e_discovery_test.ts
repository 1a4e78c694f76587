// Discovery with dns and agent as processes: nodes that register themselves can be picked.

import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { LeasePeer } from "../discovery/testing/lease_peer.ts";
import { command, int32, SeedClient } from "../discovery/testing/seed_bench.ts";
import { encodeLeaseRegister } from "../proto/codec.ts";
import { LeaseCode, MessageId } from "../proto/message_ids.ts";
import { sqliteTestStore, startFleet, type TestStore } from "./support/fleet.ts";
import { type Processes, type TestProcess, withProcesses } from "./support/processes.ts";
import { until } from "./support/until.ts";
import { WireCaller } from "./support/wire_client.ts";

const LOOPBACK = 0x7f000001;

interface World extends TestStore {
  readonly processes: Processes;
  readonly discovery: TestProcess;
  readonly caller: WireCaller;
}

function startDiscovery(processes: Processes, url: string, port = 0): Promise<TestProcess> {
  return processes.start("discovery", [
    `--reactor-port=${port}`,
    `--store=${url}`,
    "--metrics-port=0",
  ]);
}

async function withDiscovery(body: (world: World) => Promise<void>): Promise<void> {
  await withProcesses(async (processes) => {
    const { url, store } = await sqliteTestStore(processes);
    const [{ agent }, discovery] = await Promise.all([
      startFleet(processes, url),
      startDiscovery(processes, url),
    ]);
    const caller = await WireCaller.open(agent.port());
    try {
      await body({ processes, url, store, discovery, caller });
    } finally {
      caller.close();
      await store.close();
    }
  });
}

/** Ports of a module that an agent has been told of. */
async function portsAtAgent(caller: WireCaller, modId: number, cmdId: number): Promise<number[]> {
  const route = await caller.getRoute(modId, cmdId, 500).catch(() => undefined);
  return (route?.hosts ?? []).map(({ port }) => port).sort((a, b) => a - b);
}

function untilPorts(
  { caller }: Pick<World, "caller">,
  modId: number,
  cmdId: number,
  ports: readonly number[],
): Promise<void> {
  let seen: number[] = [];
  return until(async () => {
    seen = await portsAtAgent(caller, modId, cmdId);
    return JSON.stringify(seen) === JSON.stringify(ports);
  }, { what: () => `ports ${ports} at the agent, not ${seen}` });
}

test("a node that registers is picked, one whose connection ends is not, one that comes again is", () =>
  withDiscovery(async (world) => {
    const { discovery, caller, store } = world;
    const node = (port: number) => ({ modId: 7, cmdId: 1, ip: LOOPBACK, port });
    const peers = await Promise.all([1, 2, 3].map(() => LeasePeer.open(discovery.port())));
    const given = await Promise.all(peers.map((peer, index) => peer.register(node(4001 + index))));
    assert.deepEqual(given.map(({ code }) => code), [0, 0, 0]);
    assert.equal((await caller.untilHost(7, 1)).ip, LOOPBACK);
    await untilPorts(world, 7, 1, [4001, 4002, 4003]);
    assert.match((await store.moduleRows([{ modId: 7, cmdId: 1 }]))[0].policy, /recommended/);
    peers[0].destroy();
    await untilPorts(world, 7, 1, [4002, 4003]);
    const again = await LeasePeer.open(discovery.port());
    const { code, incarnation } = await again.register(node(4001), {
      incarnation: given[0].incarnation,
    });
    assert.deepEqual([code, incarnation], [LeaseCode.Done, given[0].incarnation]);
    await untilPorts(world, 7, 1, [4001, 4002, 4003]);
    assert.equal((await again.leave(node(4001), incarnation)).code, LeaseCode.Done);
    await untilPorts(world, 7, 1, [4002, 4003]);
    const audit = await store.console.auditRows({ before: 0, limit: 20 });
    assert.ok(audit.some(({ who, action }) => who === "discovery" && action === "lease.change"));
    const events = await store.readEvents({});
    assert.ok(events.some(({ kind }) => kind === "lease.doubt"));
    for (const peer of [...peers, again]) peer.destroy();
  }));

test("bad registrations are refused with a reason, and nothing is changed", () =>
  withDiscovery(async ({ discovery, store }) => {
    const peer = await LeasePeer.open(discovery.port());
    const node = { modId: 7, cmdId: 1, ip: LOOPBACK, port: 4001 };
    const wrong = [
      [{ makesModule: false }, /no module 7\/1/],
      [{ port: 0 }, /port must be/],
      [{ ip: 0xe0000001 }, /ip must be/],
      [{ ttlMs: 999 }, /ttl must be/],
      [{ ttlMs: 86_400_001 }, /ttl must be/],
      [{ weight: 10_001 }, /weight must be/],
      [{ zone: "z".repeat(65) }, /zone must be/],
      [{ note: "[]" }, /note must be a JSON object/],
      [{ note: JSON.stringify({ a: "x".repeat(60_000) }) }, /note must be at most 4096 bytes/],
    ] as const;
    for (const [values, reason] of wrong) {
      const answer = await peer.register(node, values);
      assert.notEqual(answer.code, LeaseCode.Done);
      assert.match(answer.reason, reason);
    }
    assert.deepEqual(await store.readModules([node]), []);
    assert.deepEqual(await store.leases.list({}, 10), []);
    const mine = await peer.register(node);
    const other = await LeasePeer.open(discovery.port());
    assert.equal((await other.leave(node, mine.incarnation + 1)).code, LeaseCode.Superseded);
    assert.equal((await other.change(node, mine.incarnation - 1, { weight: 1 })).code, 1);
    const { lost } = await other.beat([{ ...node, incarnation: 5 }]);
    assert.equal(lost.length, 1);
    assert.deepEqual((await store.readModules([node])).map(({ weight }) => weight), [100]);
    for (const one of [peer, other]) one.destroy();
  }));

test("1 MB of metadata, and strangers without the secret, change nothing and harm nobody", () =>
  withProcesses(async (processes) => {
    const { url, store } = await sqliteTestStore(processes);
    const node = { modId: 7, cmdId: 1, ip: LOOPBACK, port: 4001 };
    const body = encodeLeaseRegister({
      ...{ ...node, seq: 1, ttlMs: 15_000, weight: 100, zone: "", waiting: false, incarnation: 0 },
      ...{ makesModule: true, detached: false, note: JSON.stringify({ a: "x".repeat(1_000_000) }) },
    });
    const open = await startDiscovery(processes, url);
    const peer = await LeasePeer.open(open.port());
    const large = await SeedClient.open(open.port());
    large.write(command(MessageId.LeaseRegister, body));
    await until(() => large.ended, { what: "the connection to be ended" });
    const small = encodeLeaseRegister({
      ...{ ...node, seq: 1, ttlMs: 15_000, weight: 100, zone: "", waiting: false, incarnation: 0 },
      ...{ makesModule: true, detached: false, note: "" },
    });
    const tokenFile = join(processes.directory, "secret");
    writeFileSync(tokenFile, "a secret that strangers lack\n");
    const closed = await processes.start("discovery", [
      ...["--reactor-port=0", `--store=${url}`, "--metrics-port=0"],
      `--auth-token-file=${tokenFile}`,
    ]);
    const stranger = await SeedClient.open(closed.port());
    stranger.write(command(MessageId.LeaseRegister, small));
    stranger.write(command(3, new Uint8Array(24)));
    await until(() => stranger.ended, { what: "the stranger to be left", timeoutMs: 30_000 });
    assert.deepEqual(await store.leases.list({}, 9), []);
    assert.deepEqual(await store.readModules([node]), []);
    assert.equal((await peer.register(node)).code, LeaseCode.Done, "others are served");
    peer.destroy();
    await store.close();
  }));

test("programs of the seed are picked through an agent too, and an operator has the last word", () =>
  withDiscovery(async (world) => {
    const { discovery, store } = world;
    const client = await SeedClient.open(discovery.port());
    const ids = [
      await client.register("127.0.0.1", 5001),
      await client.register("127.0.0.1", 5002),
    ];
    assert.deepEqual(ids, [0, 1]);
    assert.equal((await client.connect()).port, 5001);
    await untilPorts(world, 0, 0, [5001, 5002]);
    const node = { modId: 0, cmdId: 0, ip: LOOPBACK, port: 5001 };
    await store.editRoutes([{ op: "set", ...node, state: "off" }]);
    await until(async () => (await client.connect()).port === 5002, {
      what: "5001 to be kept out",
    });
    const again = await SeedClient.open(discovery.port());
    await again.register("127.0.0.1", 5001);
    assert.equal((await again.connect()).port, 5002, "registering again does not help");
    await until(async () => (await store.leases.list({ modId: 0 }, 9))[0]?.hand.state === "off");
    assert.deepEqual((await store.readModules([node])).map(({ state }) => state), ["off", "on"]);
    await store.editRoutes([{ op: "set", ...node, state: "on" }]);
    await until(async () => (await again.connect()).port === 5001, { what: "5001 to be back" });
    again.write(command(4, int32(1)));
    await untilPorts(world, 0, 0, [5001]);
    client.close();
    again.close();
  }));

test("a discovery that is killed and started again forgets nobody", () =>
  withDiscovery(async (world) => {
    const { discovery, processes, url, store } = world;
    const client = await SeedClient.open(discovery.port());
    await client.register("127.0.0.1", 5001);
    const peer = await LeasePeer.open(discovery.port());
    const node = { modId: 7, cmdId: 1, ip: LOOPBACK, port: 4001 };
    const { incarnation } = await peer.register(node, { ttlMs: 60_000 });
    await untilPorts(world, 0, 0, [5001]);
    await discovery.kill9();
    const next = await startDiscovery(processes, url);
    const again = await SeedClient.open(next.port());
    await until(async () => (await again.connect()).port === 5001, { what: "the seed's server" });
    const lost = (await (await LeasePeer.open(next.port())).beat([{ ...node, incarnation }])).lost;
    assert.deepEqual(lost, []);
    await until(async () => {
      const rows = await store.leases.list({ modId: 7 }, 9);
      return rows.length === 1 && rows[0].phase === "live";
    });
    client.close();
    again.close();
    peer.destroy();
  }));
