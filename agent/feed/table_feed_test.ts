// The feed by itself, spoken to over TCP; api/in_process_tcp_test.ts has it inside an agent.

import { Secrets } from "../../session/secrets.ts";
import assert from "node:assert/strict";
import { connect, createServer } from "node:net";
import { test } from "node:test";
import fc from "fast-check";
import { openUpstreamLink, type UpstreamLinkOptions } from "../../api/upstream_link.ts";
import { RouteParts } from "../../feed/route_subscriber.ts";
import { type RunningService, startDaemon } from "../../daemon/daemon.ts";
import {
  decodeCallReportsTaken,
  decodeGetRouteResponse,
  decodeRoutePart,
  decodeTableSettings,
  decodeTableSubscribe,
  encodeCallReports,
  encodeTableSubscribe,
  type HostInfo,
  type ModuleCalls,
  type TableSettings,
} from "../../proto/codec.ts";
import { MessageId } from "../../proto/message_ids.ts";
import { BindError } from "../../reactor/errors.ts";
import { encodeFrame, FRAME_BODY_BYTES_MAX, FrameDecoder } from "../../reactor/frame.ts";
import { silentLogger } from "../../reactor/log.ts";
import { seededRng } from "../../reactor/time/rng.ts";
import { systemClock } from "../../reactor/time/system_clock.ts";
import type { Link } from "../../session/link.ts";
import { until } from "../../tests/support/until.ts";
import { FakeDns, FakeReporter } from "../testing/fake_upstream.ts";
import { type PackedRoute, packRoute } from "../routes/packed_route.ts";
import { framesOfRoute } from "./table_feed.ts";
import { agentDaemon } from "../service.ts";
import { CALLS_PER_NODE_MAX, TableFeed, type TableFeedOptions } from "./table_feed.ts";

const node = (ip: number): HostInfo => ({ ip, port: 80 });

/** A feed whose agent is this test, and clients of it. */
class Bench {
  readonly routes = new Map<string, PackedRoute>();
  readonly used: string[] = [];
  readonly calls: ModuleCalls[] = [];
  readonly messages: [number, unknown][] = [];
  readonly feed: TableFeed;
  /** Settings that came, and how many other messages had come before. */
  readonly settings: [number, TableSettings][] = [];
  readonly #links: Link[] = [];
  port = 0;
  /** True: calls cannot be counted. */
  busy = false;

  constructor(options: Partial<TableFeedOptions> = {}) {
    this.feed = new TableFeed({
      hostname: "127.0.0.1",
      clock: systemClock,
      log: silentLogger,
      software: "test",
      secrets: undefined,
      modulesMax: 10,
      settings: { rules: "{}", zone: "east" },
      routeOf: (modId, cmdId) => this.routes.get(`${modId},${cmdId}`),
      onUse: (keys) => void this.used.push(...keys.map(({ modId }) => `${modId}`)),
      onCalls: (modules) => {
        if (this.busy) return false;
        this.calls.push(...modules);
        return true;
      },
      ...options,
    });
  }

  static async run(
    fn: (bench: Bench) => Promise<void>,
    options: Partial<TableFeedOptions> = {},
  ): Promise<void> {
    const bench = new Bench(options);
    bench.port = (await bench.feed.listen(0)).port;
    try {
      await fn(bench);
    } finally {
      for (const link of bench.#links) await link.close();
      await bench.feed.close();
    }
  }

  set(modId: number, ...hosts: HostInfo[]): void {
    this.routes.set(`${modId},1`, packRoute(modId, 1, hosts).route);
  }

  open(options: Partial<UpstreamLinkOptions> = {}): Link {
    const link = openUpstreamLink({
      addresses: [{ hostname: "127.0.0.1", port: this.port }],
      token: undefined,
      welcomeWaitMs: Infinity,
      clock: systemClock,
      rng: seededRng(1),
      onReady: () => {},
      onLost: () => {},
      ...options,
    });
    link.router.add(MessageId.TableSettings, (body) => {
      this.settings.push([this.messages.length, decodeTableSettings(body)]);
    });
    for (
      const [msgId, read] of [
        [MessageId.GetRouteResponse, decodeGetRouteResponse],
        [MessageId.CallReportsTaken, decodeCallReportsTaken],
      ] as const
    ) {
      link.router.add(msgId, (body) => this.messages.push([msgId, read(body)]));
    }
    this.#links.push(link);
    link.start();
    return link;
  }

  async connect(options: Partial<UpstreamLinkOptions> = {}): Promise<Link> {
    const link = this.open(options);
    await until(() => link.ready, { what: "the connection" });
    return link;
  }
}

const subscribe = (link: Link, modId: number, end = false): void => {
  assert.ok(link.send(MessageId.TableSubscribe, encodeTableSubscribe({ modId, cmdId: 1, end })));
};

const noKinds = { errPushback: 0, errRefused: 0, errTimeout: 0 };

const callsOf = (succ: number): ModuleCalls[] => [{
  modId: 1,
  cmdId: 1,
  nodes: [{
    ip: 1,
    port: 80,
    succ,
    err: 0,
    errWeight: 0,
    continSucc: succ,
    continErr: 0,
    ...noKinds,
    timed: succ,
    timeMs: 7 * succ,
  }],
}];

test("a client is sent a route when it is known, and after each change", async () => {
  await Bench.run(async (bench) => {
    const link = await bench.connect();
    subscribe(link, 1);
    await until(() => bench.used.length === 1, { what: "the use" });
    assert.equal(bench.messages.length, 0);
    bench.set(1);
    bench.feed.routeCame(1, 1, false);
    await until(() => bench.messages.length === 1, { what: "the first answer" });
    bench.feed.routeCame(1, 1, false);
    bench.set(1, node(5));
    bench.feed.routeCame(1, 1, true);
    await until(() => bench.messages.length === 2, { what: "the change" });
    const hosts = bench.messages.map(([, message]) => (message as { hosts: HostInfo[] }).hosts);
    assert.deepEqual(hosts, [[], [{ ...node(5), weight: 100 }]]);
    subscribe(link, 1, true);
    await until(() => bench.feed.stats.feedModules === 0, { what: "the end" });
    bench.feed.routeCame(1, 1, true);
    assert.equal(bench.feed.stats.feedPushes, 2);
  });
});

test("a client is told the rules and the zone before its first route, and when they change", async () => {
  await Bench.run(async (bench) => {
    bench.set(1, node(1));
    const link = await bench.connect();
    subscribe(link, 1);
    subscribe(link, 2);
    await until(() => bench.messages.length === 1, { what: "the route" });
    assert.deepEqual(bench.settings, [[0, { rules: "{}", zone: "east" }]]);
    const changed = { rules: '{"errRate":0.2}', zone: "east" };
    bench.feed.setSettings(changed);
    await until(() => bench.settings.length === 2, { what: "the change" });
    assert.deepEqual(bench.settings[1], [1, changed]);
    const later = await bench.connect();
    subscribe(later, 1);
    await until(() => bench.settings.length === 3, { what: "the settings of the next client" });
    assert.deepEqual(bench.settings[2][1], changed);
  });
});

test("subscriptions end with their connection", async () => {
  await Bench.run(async (bench) => {
    const link = await bench.connect();
    subscribe(link, 1);
    subscribe(link, 2);
    await until(() => bench.feed.stats.feedModules === 2, { what: "both" });
    await link.close();
    await until(() => bench.feed.stats.feedModules === 0, { what: "none" });
    assert.equal(bench.feed.stats.feedClients, 0);
  });
});

test("modules beyond the limit are answered, but not fed, and counted", async () => {
  await Bench.run(async (bench) => {
    for (let modId = 0; modId < 5; modId++) bench.set(modId, node(1));
    const link = await bench.connect();
    const ended: number[] = [];
    link.router.add(MessageId.TableSubscribe, (body) => {
      ended.push(decodeTableSubscribe(body).modId);
    });
    for (let modId = 0; modId < 5; modId++) subscribe(link, modId);
    await until(() => bench.feed.stats.feedRefused === 2, { what: "the refusals" });
    await until(() => bench.messages.length === 5, { what: "all answers" });
    assert.deepEqual([bench.feed.stats.feedModules, ended], [3, [3, 4]]);
  }, { modulesMax: 3 });
});

test("one client that takes all places gives them up for others", async () => {
  await Bench.run(async (bench) => {
    for (let modId = 0; modId < 60; modId++) bench.set(modId, node(1));
    const greedy = await bench.connect();
    for (let modId = 0; modId < 50; modId++) subscribe(greedy, modId);
    await until(() => bench.feed.stats.feedModules === 40, { what: "all places" });
    const modest = await bench.connect();
    for (let modId = 50; modId < 60; modId++) subscribe(modest, modId);
    await until(() => bench.feed.usage(59, 1).clients === 1, { what: "the last subscription" });
    for (let modId = 50; modId < 60; modId++) assert.equal(bench.feed.usage(modId, 1).clients, 1);
    assert.equal(bench.feed.stats.feedModules, 40);
  }, { modulesMax: 40 });
});

test("a batch that is sent twice counts once, also over another connection", async () => {
  await Bench.run(async (bench) => {
    const body = encodeCallReports({ session: 7, seq: 1, modules: callsOf(3) });
    for (const link of [await bench.connect(), await bench.connect()]) {
      link.send(MessageId.CallReports, body);
    }
    await until(() => bench.messages.length === 2, { what: "both confirmations" });
    assert.deepEqual(bench.calls, callsOf(3));
    const { feedCalls, feedBatches, feedBatchesRepeated } = bench.feed.stats;
    assert.deepEqual([feedCalls, feedBatches, feedBatchesRepeated], [3, 1, 1]);
    const other = await bench.connect();
    for (const [session, seq] of [[7, 2], [8, 1]]) {
      other.send(MessageId.CallReports, encodeCallReports({ session, seq, modules: callsOf(1) }));
    }
    await until(() => bench.messages.length === 4, { what: "new batches" });
    assert.equal(bench.feed.stats.feedCalls, 5);
  });
});

test("a batch that cannot be counted is not confirmed, and counts when it comes again", async () => {
  await Bench.run(async (bench) => {
    const body = encodeCallReports({ session: 7, seq: 1, modules: callsOf(3) });
    let lost = 0;
    const link = await bench.connect({ onLost: () => void lost++ });
    bench.busy = true;
    link.send(MessageId.CallReports, body);
    await until(() => lost === 1, { what: "the end of the connection" });
    bench.busy = false;
    await until(() => link.ready, { what: "the next connection" });
    link.send(MessageId.CallReports, body);
    await until(() => bench.messages.length === 1, { what: "the confirmation" });
    assert.deepEqual(bench.calls, callsOf(3));
  });
});

test("counts that cannot be are made ones that can", async () => {
  await Bench.run(async (bench) => {
    const most = 0xffffffff;
    const hostile = {
      ip: 1,
      port: 80,
      succ: most,
      err: 2,
      errWeight: most,
      continSucc: most,
      continErr: most,
      errPushback: 1,
      errRefused: most,
      errTimeout: most,
      timed: most,
      timeMs: Number.MAX_SAFE_INTEGER,
    };
    const modules = [{ modId: 1, cmdId: 1, nodes: [hostile] }];
    const link = await bench.connect();
    link.send(MessageId.CallReports, encodeCallReports({ session: 1, seq: 1, modules }));
    await until(() => bench.calls.length === 1, { what: "the batch" });
    assert.deepEqual(bench.calls[0].nodes, [{
      ...hostile,
      succ: CALLS_PER_NODE_MAX,
      errWeight: 72_000,
      continSucc: CALLS_PER_NODE_MAX,
      continErr: 0,
      errRefused: 1,
      errTimeout: 0,
      timed: CALLS_PER_NODE_MAX + 2,
      timeMs: (CALLS_PER_NODE_MAX + 2) * 86_400_000,
    }]);
  });
});

test("messages that cannot be read, and those before Hello, end the connection", async () => {
  await Bench.run(async (bench) => {
    const broken = await bench.connect();
    broken.send(MessageId.CallReports, Uint8Array.of(0x0a, 0x05, 1));
    await until(() => bench.feed.stats.feedProtocolErrors === 1, { what: "the error" });
    const rude = connect({ host: "127.0.0.1", port: bench.port });
    const closed = new Promise<void>((resolve) => rude.once("close", () => resolve()));
    rude.on("error", () => {});
    const body = encodeTableSubscribe({ modId: 1, cmdId: 1, end: false });
    rude.write(encodeFrame(MessageId.TableSubscribe, body));
    await closed;
    assert.equal(bench.feed.stats.feedModules, 0);
  });
});

test("beyond loopback a client must prove the secret", async () => {
  const token = new Uint8Array(16).fill(3);
  await Bench.run(async (bench) => {
    bench.set(1, node(1));
    const stranger = bench.open();
    await until(() => stranger.fault !== undefined, { what: "the refusal" });
    assert.match(stranger.fault ?? "", /wants a secret/);
    const wrong = bench.open({ token: new Uint8Array(16) });
    await until(() => wrong.fault !== undefined, { what: "the end of the liar" });
    const friend = await bench.connect({ token });
    subscribe(friend, 1);
    await until(() => bench.messages.length === 1, { what: "the route" });
  }, { hostname: "0.0.0.0", secrets: new Secrets([token]) });
});

test("framesOfRoute() keeps every node in order, and every frame within its limit", () => {
  const zones = fc.constantFrom(undefined, "a", "zürich", "z".repeat(200), "€".repeat(2000));
  const hosts = fc.array(
    fc.record({
      ip: fc.integer({ min: 0, max: 0xffffffff }),
      zone: zones,
      state: fc.constantFrom(undefined, undefined, "drain" as const),
    }),
    { maxLength: 80, size: "max" },
  );
  const policy = '{"note":"€"}';
  fc.assert(fc.property(hosts, fc.constantFrom(250, 1000, FRAME_BODY_BYTES_MAX), (some, most) => {
    const nodes = some.map((host) => ({ ...host, port: 65535 }));
    const { route } = packRoute(4294967295, 1, nodes, policy);
    const parts = new RouteParts();
    let read: HostInfo[] | undefined;
    new FrameDecoder().push(framesOfRoute(route, most), (msgId, body) => {
      assert.ok(body.length <= most);
      if (msgId === MessageId.GetRouteResponse) {
        const message = decodeGetRouteResponse(body);
        assert.equal(message.policy, policy);
        read = message.hosts;
      } else {
        const part = decodeRoutePart(body);
        assert.equal(part.policy, policy);
        read = parts.take(part);
      }
    });
    // The drained ones come last, of each part.
    const inOrder = (drained: boolean): HostInfo[] =>
      (read ?? []).filter(({ state }) => (state === "drain") === drained);
    for (const drained of [false, true]) {
      const wanted = some.filter(({ state }) => (state === "drain") === drained);
      assert.deepEqual(inOrder(drained).map(({ ip }) => ip), wanted.map(({ ip }) => ip));
      if (most < FRAME_BODY_BYTES_MAX) continue;
      assert.deepEqual(inOrder(drained).map(({ zone }) => zone), wanted.map(({ zone }) => zone));
    }
  }));
});

test("an agent refuses a TCP port that is taken, and can go without", async () => {
  const dns = await FakeDns.start();
  const reporter = await FakeReporter.start();
  const taken = createServer();
  await new Promise<void>((resolve) => taken.listen(0, "127.0.0.1", resolve));
  const { port } = taken.address() as { port: number };
  const flags = {
    "agent.port": String(Math.min(port, 65_533)),
    "agent.threads": "0",
    "dnsserver.ip": `127.0.0.1:${dns.port}`,
    "reporter.ip": `127.0.0.1:${reporter.port}`,
  };
  try {
    await assert.rejects(
      startDaemon(agentDaemon, { flags }, { log: silentLogger }),
      (error) => error instanceof BindError && /table_feed = 0/.test(error.message),
    );
    const without = { ...flags, "agent.table_feed": "0" };
    let agent: RunningService | undefined;
    // The UDP ports of the start that failed may be held for some turns of the event loop.
    await until(async () => {
      agent = await startDaemon(agentDaemon, { flags: without }, { log: silentLogger })
        .catch((error) => assert.ok(error instanceof BindError)) ?? undefined;
      return agent !== undefined;
    }, { what: "the agent without a feed" });
    assert.equal(agent?.stats().feedClients, undefined);
    await agent?.stop();
  } finally {
    await new Promise((resolve) => taken.close(resolve));
    await dns.close();
    await reporter.close();
  }
});
