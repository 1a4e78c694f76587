// The whole service in this process, on an embedded database, spoken to over TCP.

import assert from "node:assert/strict";
import { Secrets } from "../session/secrets.ts";
import { Buffer } from "node:buffer";
import { DatabaseSync } from "node:sqlite";
import { join } from "node:path";
import { test } from "node:test";
import { type RunningService, startDaemon } from "../daemon/daemon.ts";
import { MessageId, NodeUseState } from "../proto/message_ids.ts";
import {
  type AgentStatus,
  decodeGetRouteResponse,
  decodeNodeUseReport,
  decodeNodeUseRequest,
  decodeRoutePart,
  decodeSubscriptionTerms,
  decodeTableSubscribe,
  encodeAgentStatus,
  encodeGetRouteRequest,
  encodeHello,
  encodeNodeUse,
  encodeNodeUseRequest,
  encodeRouteChanged,
  encodeTableSubscribe,
  type GetRouteResponse,
  type HostInfo,
} from "../proto/codec.ts";
import { BindError } from "../reactor/errors.ts";
import type { Logger } from "../reactor/log.ts";
import { openStore, type RouteEdit, type Store } from "../sql/mod.ts";
import { assertInTime } from "../tests/support/in_time.ts";
import { LogList } from "../tests/support/log_list.ts";
import { withTempDir } from "../tests/support/temp_dir.ts";
import { until } from "../tests/support/until.ts";
import {
  frameBytes,
  monotonicMs,
  WireConnection,
  type WireRoute,
} from "../tests/support/wire_client.ts";
import { NODELESS_PER_PEER_MAX } from "../feed/publisher.ts";
import { MADE_UP_BURST_MAX } from "./made_up_budget.ts";
import { dnsDaemon } from "./service.ts";

/** A database, and any number of dns services and connections that end with the test. */
class Bench {
  readonly url: string;
  readonly store: Store;
  readonly path: string;
  readonly services: RunningService[] = [];
  readonly connections: WireConnection[] = [];

  private constructor(path: string, store: Store) {
    this.path = path;
    this.url = `sqlite:${path}`;
    this.store = store;
  }

  static async run(body: (bench: Bench) => Promise<void>): Promise<void> {
    await withTempDir(async (directory) => {
      const path = join(directory, "lars.db");
      const store = await openStore(`sqlite:${path}`);
      await store.migrate();
      const bench = new Bench(path, store);
      try {
        await body(bench);
      } finally {
        for (const connection of bench.connections) connection.close();
        await Promise.all(bench.services.map((service) => service.stop()));
        await store.close();
      }
    });
  }

  async startDns(
    flags: Record<string, string> = {},
    log: Logger = new LogList(),
  ): Promise<RunningService> {
    const service = await startDaemon(dnsDaemon, {
      flags: { "store.url": this.url, "reactor.port": "0", ...flags },
    }, { log });
    this.services.push(service);
    return service;
  }

  async connect(service: RunningService): Promise<WireConnection> {
    const connection = await WireConnection.open(portOf(service));
    this.connections.push(connection);
    return connection;
  }

  async connectExtended(service: RunningService): Promise<WireConnection> {
    const connection = await this.connect(service);
    connection.send(MessageId.Hello, encodeHello({ protocol: 1, software: "test", role: "agent" }));
    await connection.next((frame) => frame.msgId === MessageId.Hello);
    return connection;
  }

  /** Hand-made SQL on a connection of its own. */
  raw(sql: string): void {
    const database = new DatabaseSync(this.path, { timeout: 2000 });
    try {
      database.exec(sql);
    } finally {
      database.close();
    }
  }
}

function portOf(service: RunningService): number {
  return Number(service.addresses[0].split(":")[1]);
}

function add(modId: number, cmdId: number, ip: number, port = 80): RouteEdit {
  return { op: "add", modId, cmdId, ip, port };
}

const AGENT: AgentStatus = {
  ip: 1,
  port: 8888,
  zone: "",
  startedAt: 0,
  modules: 0,
  held: 0,
  heldRoutes: "",
  policiesRefused: 0,
  reporterConnected: false,
};

function sayChanged(connection: WireConnection, ...modules: [number, number][]): void {
  connection.send(
    MessageId.RouteChanged,
    encodeRouteChanged({ modules: modules.map(([modId, cmdId]) => ({ modId, cmdId })) }),
  );
}

/** Collects the parts of one route. */
async function wholeRoute(connection: WireConnection): Promise<HostInfo[]> {
  const hosts: HostInfo[] = [];
  let count = 1;
  for (let part = 0; part < count; part++) {
    const frame = await connection.next(({ msgId }) => msgId === MessageId.RoutePart);
    const message = decodeRoutePart(frame.body);
    assert.equal(message.part, part);
    count = message.partCount;
    hosts.push(...message.hosts);
  }
  return hosts;
}

const quick = { "dns.poll_interval": "0.05" };
const slow = { "dns.poll_interval": "60", "dns.reload_interval": "0" };

test("dns answers, subscribes and pushes an edit at once when the writer says so", async () => {
  await Bench.run(async (bench) => {
    await bench.store.editRoutes([add(1, 1, 10), add(1, 1, 3_232_235_953), add(2, 1, 5)]);
    const service = await bench.startDns(slow);
    const agent = await bench.connect(service);
    const route = await agent.route(1, 1);
    assert.deepEqual(route.hosts, [{ ip: 10, port: 80 }, { ip: 3_232_235_953, port: 80 }]);
    assert.deepEqual([...route.fields].sort(), [1, 2, 3]);
    assert.deepEqual((await agent.route(9, 9)).hosts, []);
    const writer = await bench.connectExtended(service);
    await bench.store.editRoutes([add(1, 1, 11), add(9, 9, 1)]);
    const saidMs = monotonicMs();
    sayChanged(writer, [1, 1], [9, 9]);
    const push = await agent.nextRoute(1, 1);
    assertInTime("a push on notice", push.atMs - saidMs, 100);
    assert.equal(push.hosts.length, 3);
    assert.equal((await agent.nextRoute(9, 9)).hosts.length, 1);
    assert.deepEqual([...agent.idsSeen], [2]);
    const stats = service.stats();
    assert.deepEqual(
      [stats.subscriptions, stats.modules, stats.nodes, stats.store],
      [2, 3, 5, "up"],
    );
  });
});

test("dns tells extended peers weight, zone and a growing revision", async () => {
  await Bench.run(async (bench) => {
    await bench.store.editRoutes([{ ...add(1, 1, 10), op: "add", weight: 7, zone: "a" }]);
    const service = await bench.startDns(quick);
    const agent = await bench.connectExtended(service);
    agent.askRoute(1, 1);
    const first = decodeGetRouteResponse((await agent.next()).body);
    assert.deepEqual(first.hosts, [{ ip: 10, port: 80, weight: 7, zone: "a" }]);
    await bench.store.editRoutes([{ op: "set", modId: 1, cmdId: 1, ip: 10, port: 80, weight: 8 }]);
    const second = decodeGetRouteResponse((await agent.next()).body);
    assert.equal(second.hosts[0].weight, 8);
    assert.ok((second.revision ?? 0) > (first.revision ?? 0));
    await bench.store.editRoutes([
      { op: "set", modId: 1, cmdId: 1, ip: 10, port: 80, state: "drain" },
    ]);
    assert.deepEqual(decodeGetRouteResponse((await agent.next()).body).hosts, [
      { ip: 10, port: 80, weight: 8, zone: "a", state: "drain" },
    ]);
    await bench.store.editRoutes([
      { op: "set", modId: 1, cmdId: 1, ip: 10, port: 80, state: "off" },
    ]);
    assert.deepEqual(decodeGetRouteResponse((await agent.next()).body).hosts, []);
  });
});

test("dns sends policies, names and marks to extended peers, and a drained node is gone to others", async () => {
  await Bench.run(async (bench) => {
    await bench.store.editRoutes([add(1, 1, 10), add(1, 1, 11)]);
    await bench.store.setModules([{ modId: 1, cmdId: 1, name: "one", policy: "{}" }]);
    const service = await bench.startDns(quick);
    const agent = await bench.connectExtended(service);
    const plain = await bench.connect(service);
    assert.equal((await plain.route(1, 1)).hosts.length, 2);
    agent.askRoute(1, 1);
    const next = async (): Promise<GetRouteResponse> =>
      decodeGetRouteResponse((await agent.next()).body);
    const first = await next();
    assert.deepEqual([first.policy, first.guarded, first.hosts.length], ["{}", true, 2]);
    await bench.store.setModules([{ modId: 1, cmdId: 1, policy: '{"policy":"maglev"}' }]);
    const second = await next();
    assert.deepEqual([second.policy, second.hosts], ['{"policy":"maglev"}', first.hosts]);
    assert.deepEqual([...(await plain.nextRoute(1, 1)).fields].sort(), [1, 2, 3]);
    await bench.store.setModules([{ modId: 1, cmdId: 1, name: "other" }]);
    const renamed = await next();
    assert.deepEqual([first.name, second.name, renamed.name], ["one", "one", "other"]);
    assert.deepEqual([...(await plain.nextRoute(1, 1)).fields].sort(), [1, 2, 3]);
    await bench.store.editRoutes([
      { op: "set", modId: 1, cmdId: 1, ip: 11, port: 80, state: "drain" },
    ]);
    const third = await next();
    assert.deepEqual([third.hosts[1], third.meant], [{ ip: 11, port: 80, state: "drain" }, true]);
    const left = await plain.nextRoute(1, 1, (route) => route.hosts.length === 1);
    assert.deepEqual(left.hosts, [{ ip: 10, port: 80 }]);
    assert.deepEqual([...left.fields].sort(), [1, 2, 3]);
  });
});

test("dns asks its agents whether a node is still used, in every loop", async () => {
  for (const threads of ["1", "3"]) {
    await Bench.run(async (bench) => {
      await bench.store.editRoutes([add(1, 1, 10), add(2, 1, 5)]);
      const service = await bench.startDns({ ...quick, "reactor.threadNum": threads });
      const agents = await Promise.all([1, 2, 3].map(() => bench.connectExtended(service)));
      for (const agent of agents) {
        agent.askRoute(1, 1);
        await agent.next();
      }
      const stranger = await bench.connectExtended(service);
      stranger.askRoute(2, 1);
      await stranger.next();
      const plain = await bench.connect(service);
      await plain.route(1, 1);
      const tool = await bench.connectExtended(service);
      const body = encodeNodeUseRequest({ seq: 77, modId: 1, cmdId: 1, ip: 10, port: 80 });
      tool.send(MessageId.NodeUseRequest, body);
      for (const [i, agent] of agents.slice(0, 2).entries()) {
        const asked = await agent.next(({ msgId }) => msgId === MessageId.NodeUseRequest);
        const { seq, ...question } = decodeNodeUseRequest(asked.body);
        assert.deepEqual(question, { modId: 1, cmdId: 1, ip: 10, port: 80 });
        const usage = { state: i === 0 ? NodeUseState.Draining : NodeUseState.Picked, clients: i };
        agent.send(MessageId.NodeUse, encodeNodeUse({ seq, ...usage, idleMs: 5 }));
      }
      const answer = await tool.next(({ msgId }) => msgId === MessageId.NodeUseReport);
      const { seq, agents: uses, plain: plainCount, cut } = decodeNodeUseReport(answer.body);
      assert.deepEqual([seq, plainCount, cut], [77, 1, false]);
      // The third did not answer; the one without the module was not asked.
      assert.deepEqual(uses.map(({ state, silent }) => [state, silent]), [
        [NodeUseState.Picked, false],
        [NodeUseState.Unknown, true],
        [NodeUseState.Draining, false],
      ]);
      assert.match(uses[0].agent, /^127\.0\.0\.1:\d+$/);
    });
  }
});

test("dns pushes what the poll finds: edits, two in one second, a moved node, raw rows", async () => {
  await Bench.run(async (bench) => {
    await bench.store.editRoutes([add(1, 1, 10), add(2, 1, 20)]);
    const service = await bench.startDns(quick);
    const agent = await bench.connect(service);
    await agent.route(1, 1);
    await agent.route(2, 1);
    await bench.store.editRoutes([add(1, 1, 11)]);
    await agent.nextRoute(1, 1, (route) => route.hosts.length === 2);
    // The version is in seconds: by hand both edits get the same one.
    const version = Math.floor(Date.now() / 1000) + 100;
    for (const ip of [12, 13]) {
      bench.raw(
        `INSERT INTO RouteData (modid, cmdid, serverip, serverport) VALUES (1, 1, ${ip}, 80);
        UPDATE RouteVersion SET version = ${version} WHERE id = 1;
        INSERT INTO RouteChange (modid, cmdid, version) VALUES (1, 1, ${version})`,
      );
      await agent.nextRoute(1, 1, (route) => route.hosts.some((host) => host.ip === ip));
    }
    // Moved to another module, and only the new one is named.
    bench.raw(`UPDATE RouteData SET modid = 2 WHERE serverip = 13;
      INSERT INTO RouteChange (modid, cmdid, version) VALUES (2, 1, ${version})`);
    await agent.nextRoute(2, 1, (route) => route.hosts.length === 2);
    await agent.nextRoute(1, 1, (route) => route.hosts.length === 3);
    // A row without any RouteChange row, announced by the version alone.
    bench.raw(`INSERT INTO RouteData (modid, cmdid, serverip, serverport) VALUES (2, 1, 99, 80);
      UPDATE RouteVersion SET version = ${version + 1} WHERE id = 1`);
    await agent.nextRoute(2, 1, (route) => route.hosts.some((host) => host.ip === 99));
    const rows = bench.store.changedModules(0);
    assert.ok((await rows).length >= 2, "dns never deletes RouteChange rows");
  });
});

test("dns pushes a hand-made change within 1.5 s with the default intervals", async () => {
  await Bench.run(async (bench) => {
    await bench.store.editRoutes([add(1, 1, 10)]);
    const service = await bench.startDns();
    const agent = await bench.connect(service);
    await agent.route(1, 1);
    bench.raw(`INSERT INTO RouteData (modid, cmdid, serverip, serverport) VALUES (1, 1, 99, 80);
      UPDATE RouteVersion SET version = version + 1 WHERE id = 1`);
    const writtenMs = monotonicMs();
    const push = await agent.nextRoute(1, 1);
    assertInTime("a push by the poll", push.atMs - writtenMs, 1500);
  });
});

test("dns pushes a bare DELETE after the next full read", async () => {
  await Bench.run(async (bench) => {
    await bench.store.editRoutes([add(1, 1, 10), add(1, 1, 11), add(2, 1, 5)]);
    const service = await bench.startDns({ ...quick, "dns.reload_interval": "0.2" });
    const agent = await bench.connect(service);
    await agent.route(1, 1);
    await agent.route(2, 1);
    bench.raw("DELETE FROM RouteData WHERE serverip = 10");
    assert.deepEqual((await agent.nextRoute(1, 1)).hosts, [{ ip: 11, port: 80 }]);
    bench.raw("DELETE FROM RouteData");
    assert.deepEqual((await agent.nextRoute(1, 1)).hosts, []);
    assert.equal(service.stats().nodes_lost, 3);
    assert.equal(service.stats().shrink_percent_max, 100);
  });
});

test("two dns on one database both push all of ten changes", async () => {
  await Bench.run(async (bench) => {
    const services = [await bench.startDns(quick), await bench.startDns(quick)];
    const agents = await Promise.all(services.map((service) => bench.connect(service)));
    for (const agent of agents) await agent.route(1, 1);
    for (let ip = 1; ip <= 10; ip++) {
      await bench.store.editRoutes([add(1, 1, ip)]);
      for (const agent of agents) {
        await agent.nextRoute(1, 1, (route) => route.hosts.length === ip);
      }
    }
    await until(async () => (await bench.store.instances()).length === 2, { what: "instances" });
    const [one] = await bench.store.instances();
    assert.equal(one.kind, "dns");
    assert.deepEqual(Object.keys(one.detail).sort(), [
      "agents",
      "clients",
      "clientsBehind",
      "connections",
      "connectionsPlain",
      "hostsRefused",
      "modules",
      "nodes",
      "revision",
      "subscriptions",
      "version",
    ]);
    await services[0].stop();
    assert.equal((await bench.store.instances()).length, 1);
  });
});

test("a route of 20,000 nodes reaches an extended peer whole and a legacy peer as one frame", async () => {
  await Bench.run(async (bench) => {
    const edits = Array.from({ length: 20_000 }, (_, i) => add(1, 1, 0xc0a80000 + i, 7000));
    await bench.store.editRoutes(edits);
    const log = new LogList();
    const service = await bench.startDns(quick, log);
    const extended = await bench.connectExtended(service);
    extended.askRoute(1, 1);
    const hosts = await wholeRoute(extended);
    assert.deepEqual(hosts, edits.map(({ ip, port }) => ({ ip, port })));
    const legacy = await bench.connect(service);
    const cut = await legacy.route(1, 1);
    assert.ok(cut.hosts.length > 3000 && cut.hosts.length < 20_000);
    assert.deepEqual([...legacy.idsSeen], [2]);
    assert.equal(service.stats().routes_cut, 1);
    assert.equal(log.count("Route cut to one frame"), 1);
  });
});

test("rows with port 0 or 70000 are skipped, counted and told by module", async () => {
  await Bench.run(async (bench) => {
    await bench.store.editRoutes([add(1, 1, 10)]);
    bench.raw(`INSERT INTO RouteData (modid, cmdid, serverip, serverport)
      VALUES (1, 1, 11, 0), (1, 1, 12, 70000)`);
    const log = new LogList();
    const service = await bench.startDns(quick, log);
    const agent = await bench.connect(service);
    assert.deepEqual((await agent.route(1, 1)).hosts, [{ ip: 10, port: 80 }]);
    assert.equal(service.stats().rows_bad_port, 2);
    assert.equal(log.count("1,1: 2"), 1);
  });
});

test("bad frames close or cost their own connection only", async () => {
  await Bench.run(async (bench) => {
    await bench.store.editRoutes([add(1, 1, 10)]);
    const service = await bench.startDns(slow);
    const good = await bench.connect(service);
    await good.route(1, 1);
    const garbage = Uint8Array.from([0x0f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
    const attacks: [string, Uint8Array][] = [
      ["negative length", frameBytes(1, new Uint8Array(0), -1)],
      ["huge length", frameBytes(1, new Uint8Array(0), 2 ** 31 - 1)],
      ["garbage protobuf", frameBytes(1, garbage)],
      ["garbage RouteChanged", frameBytes(68, garbage)],
      ["garbage Hello", frameBytes(64, garbage)],
    ];
    for (const [, bytes] of attacks) {
      const bad = await bench.connect(service);
      bad.sendRaw(bytes);
      await bad.untilEnded();
    }
    const unknown = await bench.connect(service);
    for (let i = 0; i < 5; i++) unknown.send(999, new Uint8Array(3));
    assert.equal((await unknown.route(1, 1)).hosts.length, 1);
    for (let i = 0; i < 10; i++) unknown.send(-1, new Uint8Array(0));
    await unknown.untilEnded();
    const truncated = await bench.connect(service);
    truncated.sendRaw(frameBytes(1, new Uint8Array(3), 100));
    truncated.reset();
    const empty = await bench.connect(service);
    empty.send(1, new Uint8Array(0));
    assert.deepEqual((await empty.nextRoute(0, 0)).hosts, []);
    assert.equal((await good.route(1, 1)).hosts.length, 1);
    assert.equal(good.ended, false);
  });
});

test("a connection that asks for 100,000 made-up modules waits, and nobody else does", async () => {
  await Bench.run(async (bench) => {
    const service = await bench.startDns(slow);
    const agent = await bench.connect(service);
    await agent.route(1, 1);
    agent.frames.length = 0;
    const count = 100_000;
    for (let i = 0; i < count; i += 5_000) {
      const asks = Array.from(
        { length: 5_000 },
        (_, at) => frameBytes(1, encodeGetRouteRequest({ modId: i + at, cmdId: 7 })),
      );
      agent.sendRaw(Buffer.concat(asks));
    }
    await until(() => agent.frames.length >= MADE_UP_BURST_MAX, { what: "the first answers" });
    const other = await bench.connect(service);
    for (let index = 0; index < 20; index++) await other.route(1, 1);
    assert.ok(agent.frames.length < count / 10, `${agent.frames.length} answers meanwhile`);
    const stats = service.stats();
    assert.ok(Number(stats.peers_held) >= 1);
    assert.equal(stats.requests_dropped, 0);
    assert.ok(Number(stats.subscriptions_nodeless) <= NODELESS_PER_PEER_MAX + 1);
    assert.ok(Number(stats.modules_wanted) <= NODELESS_PER_PEER_MAX + 1);
    agent.close();
    other.close();
  });
});

test("a peer that said Hello may end subscriptions, and is told which have ended", async () => {
  await Bench.run(async (bench) => {
    await bench.store.editRoutes([add(1, 1, 5), add(2, 1, 5)]);
    const service = await bench.startDns(quick);
    const agent = await bench.connectExtended(service);
    for (const modId of [1, 2]) {
      agent.send(MessageId.GetRouteRequest, encodeGetRouteRequest({ modId, cmdId: 1 }));
    }
    agent.send(MessageId.AgentStatus, encodeAgentStatus({ ...AGENT, port: 1 }));
    const terms = await agent.next(({ msgId }) => msgId === MessageId.SubscriptionTerms);
    assert.deepEqual(decodeSubscriptionTerms(terms.body), {
      modulesMax: 20_000,
      nodelessMax: NODELESS_PER_PEER_MAX,
    });
    await until(() => service.stats().subscriptions === 2, { what: "both subscriptions" });
    const end = { modId: 1, cmdId: 1, end: true };
    agent.send(MessageId.TableSubscribe, encodeTableSubscribe(end));
    await until(() => service.stats().subscriptions === 1, { what: "one subscription" });
    for (let i = 0; i <= NODELESS_PER_PEER_MAX; i++) {
      agent.send(MessageId.GetRouteRequest, encodeGetRouteRequest({ modId: 1000 + i, cmdId: 7 }));
    }
    const ended = await agent.next(({ msgId }) => msgId === MessageId.TableSubscribe);
    assert.deepEqual(decodeTableSubscribe(ended.body), { modId: 1000, cmdId: 7, end: true });
    await bench.store.editRoutes([add(1, 1, 6), add(2, 1, 6)]);
    await until(() => service.stats().pushes === 1, { what: "the push of module 2" });
    await until(() => service.stats().nodes === 4, { what: "both changes" });
    assert.equal(service.stats().pushes, 1, "module 1 is not pushed any more");
  });
});

test("a peer that does not read holds up nobody and gets the latest when it reads", async () => {
  await Bench.run(async (bench) => {
    await bench.store.editRoutes(
      Array.from({ length: 20_000 }, (_, i) => add(1, 1, 0xc0a80000 + i, 7000)),
    );
    const service = await bench.startDns(slow);
    const slowReader = await bench.connectExtended(service);
    const reader = await bench.connectExtended(service);
    const writer = await bench.connectExtended(service);
    slowReader.askRoute(1, 1);
    await wholeRoute(slowReader);
    reader.askRoute(1, 1);
    await wholeRoute(reader);
    slowReader.pause();
    // Each push is about 400 KB. How many of them kernel and high water take differs by machine.
    let pushes = 0;
    while (Number(service.stats().pushes_held_back) < 5) {
      assert.ok(++pushes < 300, "pushes are held back at some time");
      bench.raw(`UPDATE RouteData SET weight = ${pushes} WHERE serverip = ${0xc0a80000}`);
      sayChanged(writer, [1, 1]);
      assert.equal((await wholeRoute(reader))[0].weight, pushes);
    }
    assert.equal(service.stats().slow_readers, 0);
    slowReader.resume();
    let received = 0;
    for (let weight: number | undefined = 0; weight !== pushes; received++) {
      weight = (await wholeRoute(slowReader))[0].weight;
    }
    assert.ok(received < pushes, `${received} of ${pushes} pushes were sent`);
    assert.equal(service.stats().subscriptions, 2);
  });
});

test("dns starts without its database, answers nothing yet, and all when it is there", async () => {
  await withTempDir(async (directory) => {
    const path = join(directory, "lars.db");
    const log = new LogList();
    const service = await startDaemon(dnsDaemon, {
      flags: { "store.url": `sqlite:${path}`, "reactor.port": "0" },
    }, { log });
    const agents = [1, 2, 3].map(() => WireConnection.open(portOf(service)));
    const [one, two, three] = await Promise.all(agents);
    try {
      one.askRoute(1, 1);
      two.askRoute(1, 1);
      three.askRoute(5, 5);
      // An empty file is there, and has no tables.
      await until(() => service.stats().store === "refuses", { what: "the loss to be noticed" });
      assert.equal(typeof service.stats().store_away_since, "string");
      assert.equal(service.stats().loaded, 0);
      assert.deepEqual([one, two, three].map(({ frames }) => frames.length), [0, 0, 0]);
      const store = await openStore(`sqlite:${path}`);
      await store.migrate();
      await store.editRoutes([add(1, 1, 10)]);
      for (const agent of [one, two]) {
        // Dns may look between the migration and the edit.
        const isFilled = ({ hosts }: WireRoute): boolean => hosts.length > 0;
        assert.equal((await agent.nextRoute(1, 1, isFilled)).hosts.length, 1);
      }
      assert.equal((await three.nextRoute(5, 5)).hosts.length, 0);
      await until(() => service.stats().store === "up");
      assert.deepEqual([log.count("Database refuses"), log.count("Database is back")], [1, 1]);
      await store.close();
    } finally {
      one.close();
      two.close();
      three.close();
      await service.stop();
    }
  });
});

test("three loops in workers serve, push and clean up as one", async () => {
  await Bench.run(async (bench) => {
    await bench.store.editRoutes([add(1, 1, 10), add(2, 1, 5)]);
    const service = await bench.startDns({ ...slow, "reactor.threadNum": "3" });
    const agents = await Promise.all(Array.from({ length: 12 }, () => bench.connect(service)));
    for (const agent of agents) assert.equal((await agent.route(1, 1)).hosts.length, 1);
    const writer = await bench.connectExtended(service);
    await bench.store.editRoutes([add(1, 1, 11)]);
    sayChanged(writer, [1, 1]);
    for (const agent of agents) await agent.nextRoute(1, 1, (route) => route.hosts.length === 2);
    await until(() => service.stats().subscriptions === 12 && service.stats().connections === 13, {
      what: "the counters of the workers",
    });
    assert.equal(service.stats().modules_wanted, 1);
    for (const agent of agents) agent.close();
    await until(() => service.stats().subscriptions === 0);
    assert.equal(service.stats().modules_wanted, 0);
  });
});

test("dns with a token serves only those who know it", async () => {
  await Bench.run(async (bench) => {
    const service = await startDaemon(dnsDaemon, {
      flags: { "store.url": bench.url, "reactor.port": "0" },
    }, {
      log: new LogList(),
      secrets: new Secrets([new TextEncoder().encode("0123456789abcdef")]),
    });
    bench.services.push(service);
    const stranger = await bench.connect(service);
    stranger.askRoute(1, 1);
    await stranger.untilEnded();
    const writer = await bench.connect(service);
    sayChanged(writer, [1, 1]);
    await writer.untilEnded();
    assert.ok(Number(service.stats().not_authenticated) >= 2);
  });
});

test("dns does not listen beyond loopback without authentication", async () => {
  await assert.rejects(
    startDaemon(dnsDaemon, { flags: { "reactor.ip": "0.0.0.0", "store.url": "sqlite::memory:" } }),
    /token_file/,
  );
});

test("dns says which port is taken, with one loop and with several", async () => {
  await Bench.run(async (bench) => {
    const service = await bench.startDns(slow);
    for (const threadNum of ["1", "2"]) {
      await assert.rejects(
        bench.startDns({ "reactor.port": String(portOf(service)), "reactor.threadNum": threadNum }),
        (error) => error instanceof BindError && error.message.includes(String(portOf(service))),
      );
    }
  });
});

test("dns serves 1,000,000 rows, and answers while it reads them again", {
  timeout: 120_000,
}, async () => {
  await Bench.run(async (bench) => {
    bench.raw(`PRAGMA synchronous = OFF;
      WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 999999)
      INSERT INTO RouteData (modid, cmdid, serverip, serverport)
      SELECT i / 20, 1, 167772160 + i, 8000 FROM n`);
    const service = await bench.startDns(slow);
    const agent = await bench.connect(service);
    agent.askRoute(7, 1);
    assert.equal((await agent.nextRoute(7, 1, undefined, 60_000)).hosts.length, 20);
    assert.deepEqual([service.stats().modules, service.stats().nodes], [50_000, 1_000_000]);
    const writer = await bench.connectExtended(service);
    bench.raw("DELETE FROM RouteData WHERE modid = 7 AND serverip % 2 = 0");
    sayChanged(writer);
    let slowestMs = 0;
    let asked = 0;
    while (service.stats().reloads !== 2) {
      const startMs = monotonicMs();
      await agent.route(++asked, 1, 60_000);
      slowestMs = Math.max(slowestMs, monotonicMs() - startMs);
    }
    assert.equal((await agent.route(7, 1)).hosts.length, 10);
    // A page of the read holds the loop for some 10 ms, the whole read takes seconds.
    const readMs = Number(service.stats().reload_ms);
    assert.ok(
      slowestMs < readMs / 2,
      `${asked} answers, the slowest after ${slowestMs} ms; the read took ${readMs} ms`,
    );
  });
});
