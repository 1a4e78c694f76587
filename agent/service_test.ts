// Goal: a whole agent, against a dns and a reporter that misbehave on demand.

import assert from "node:assert/strict";
import { networkInterfaces } from "node:os";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test as testOnce, type TestContext } from "node:test";
import { readSettings } from "../daemon/settings/settings.ts";
import type { RunningService } from "../daemon/daemon.ts";
import {
  decodeGetHostResponse,
  decodeGetRouteResponse,
  decodeHello,
  frameGetHostRequest,
  frameGetRouteRequest,
  frameHello,
  frameReportRequest,
  type GetHostResponse,
  type HostInfo,
  type NodeUse,
} from "../proto/codec.ts";
import { readDatagram } from "../proto/wire.ts";
import {
  AGENT_PORT_COUNT,
  agentPortIndex,
  MessageId,
  NodeUseState,
  RetCode,
} from "../proto/message_ids.ts";
import { parseAddress } from "../reactor/address.ts";
import { batchUdpFault } from "../reactor/fast/batch_udp.ts";
import { BindError, ConfigError } from "../reactor/errors.ts";
import { type Logger, silentLogger } from "../reactor/log.ts";
import { sleep } from "../reactor/time/clock.ts";
import { systemClock } from "../reactor/time/system_clock.ts";
import { systemRng } from "../reactor/time/system_rng.ts";
import { UdpClient } from "../reactor/udp/udp_client.ts";
import { freePort, freePorts } from "../tests/support/free_port.ts";
import { assertInTime } from "../tests/support/in_time.ts";
import { Sealer } from "../session/datagram_seal.ts";
import { newNonce, proofOf } from "../session/proof.ts";
import { runtimeTransport } from "../session/runtime_transport.ts";
import { Secrets } from "../session/secrets.ts";
import { until } from "../tests/support/until.ts";
import { withTempDir } from "../tests/support/temp_dir.ts";
import { agentSettings } from "./config.ts";
import { FakeCaller, FakeDns, FakeReporter } from "./testing/fake_upstream.ts";
import { agentDaemon } from "./service.ts";

/** The fast path where this machine has it; every test runs on both. */
const paths = batchUdpFault({ clock: systemClock, log: silentLogger }) === undefined
  ? ["portable", "fast"] as const
  : ["portable"] as const;

/** Of the test that runs: tests of a file run one after the other. */
let path: "portable" | "fast" = "portable";

function test(name: string, body: (t: TestContext) => void | Promise<void>): void {
  for (const one of paths) {
    testOnce(`${name} (${one})`, (t) => {
      path = one;
      return body(t);
    });
  }
}

/** A port on which nobody listens. */
const NOBODY = 9;

interface Lab {
  dns: FakeDns;
  reporter: FakeReporter;
  /** Starts an agent; stopped at the end of the test. */
  agent(flags?: Record<string, string>, context?: LabContext): Promise<RunningService>;
  /** A caller of the port that serves the module; closed at the end of the test. */
  caller(agent: RunningService, modId: number, cmdId: number): Promise<FakeCaller>;
}

interface LabContext {
  token?: Uint8Array;
  log?: Logger;
}

async function withLab(fn: (lab: Lab) => Promise<void>): Promise<void> {
  const closers: (() => unknown)[] = [];
  // Some tests let them go, or come back on the same port.
  const dns = await FakeDns.start({ port: await freePort() });
  const reporter = await FakeReporter.start({ port: await freePort() });
  closers.push(() => dns.close(), () => reporter.close());
  try {
    await fn({
      dns,
      reporter,
      async agent(
        flags: Record<string, string> = {},
        { token, log = silentLogger }: LabContext = {},
      ): Promise<RunningService> {
        const agent = await agentDaemon.start(
          readSettings(agentSettings, {
            flags: {
              "agent.port": String(await freePorts(AGENT_PORT_COUNT)),
              "agent.threads": path === "fast" ? "1" : "0",
              "agent.fast_path": path === "fast" ? "auto" : "off",
              "dnsserver.ip": `127.0.0.1:${dns.port}`,
              "reporter.ip": `127.0.0.1:${reporter.port}`,
              ...flags,
            },
          }),
          {
            clock: systemClock,
            rng: systemRng,
            log,
            software: "test",
            secrets: Secrets.ofToken(token),
            transport: runtimeTransport,
            tls: undefined,
          },
        );
        closers.push(() => agent.stop());
        return agent;
      },
      async caller(
        agent: RunningService,
        modId: number,
        cmdId: number,
      ): Promise<FakeCaller> {
        const { port } = parseAddress(agent.addresses[agentPortIndex(modId, cmdId)]);
        const caller = await FakeCaller.open(port);
        closers.push(() => caller.close());
        return caller;
      },
    });
  } finally {
    for (const close of closers.reverse()) await close();
  }
}

const node = (ip: number, port = 80): HostInfo => ({ ip, port });

async function untilServed(
  caller: FakeCaller,
  modId: number,
  cmdId: number,
): Promise<GetHostResponse> {
  let answer: GetHostResponse | undefined;
  await until(async () => {
    answer = await caller.getHost(modId, cmdId);
    return answer.retcode === RetCode.Success;
  }, { what: `module ${modId},${cmdId} is served` });
  assert.ok(answer);
  return answer;
}

for (const threads of ["0", "1", "3"]) {
  test(`agent with threads = ${threads} serves, reports and stops`, () =>
    withLab(async ({ dns, reporter, agent, caller }) => {
      const running = await agent({ "agent.threads": threads });
      assert.equal(running.addresses.length, 3);
      const fast = path === "fast" && threads !== "0";
      assert.equal(running.stats().udpPath, fast ? "fast" : "portable");
      for (const [modId, cmdId] of [[1, 2], [2, 2], [3, 2]]) {
        dns.routes.set(`${modId},${cmdId}`, [node(modId), node(0xc0a801b1)]);
        const one = await caller(running, modId, cmdId);
        assert.equal((await one.getHost(modId, cmdId)).retcode, RetCode.NoExist);
        const first = await untilServed(one, modId, cmdId);
        const second = await one.getHost(modId, cmdId);
        // In turn, from either of them.
        assert.deepEqual(
          [first.host?.ip, second.host?.ip].sort((a = 0, b = 0) => a - b),
          [modId, 0xc0a801b1],
        );
        one.report(modId, cmdId, node(modId), 0);
        one.report(modId, cmdId, node(modId), 5, 250);
      }
      await until(() => reporter.totals().join() === "3,3", { what: "results arrive" });
      assert.deepEqual(reporter.times(), [3, 750]);
      const [report] = reporter.reports;
      assert.equal(report.caller >>> 24 === 127, false, "an address others can reach");
      assert.ok(Math.abs(report.ts - Date.now() / 1000) < 10);
      await until(() => running.stats().modules === 3, { what: "statistics" });
      const started = systemClock.nowMs();
      await running.stop();
      assert.ok(systemClock.nowMs() - started < 1500);
    }));
}

test("a module on another port than its own is served there too, and kept up to date", () =>
  withLab(async ({ dns, agent }) => {
    const running = await agent();
    dns.routes.set("1,1", [node(1)]);
    for (const address of running.addresses) {
      const caller = await FakeCaller.open(parseAddress(address).port);
      await untilServed(caller, 1, 1);
      caller.close();
    }
    dns.push(1, 1, [node(2)]);
    for (const address of running.addresses) {
      const caller = await FakeCaller.open(parseAddress(address).port);
      await until(async () => (await caller.getHost(1, 1)).host?.ip === 2, { what: "the push" });
      caller.close();
    }
  }));

test("calls of one module on all ports are reported as one sum", () =>
  withLab(async ({ dns, reporter, agent }) => {
    const running = await agent();
    dns.routes.set("1,1", [node(1)]);
    let calls = 0;
    for (const [index, address] of running.addresses.entries()) {
      const caller = await FakeCaller.open(parseAddress(address).port);
      await untilServed(caller, 1, 1);
      for (let i = 0; i < 64 >> index; i++) {
        caller.report(1, 1, node(1), 0);
        calls++;
      }
      await until(() => reporter.totals()[0] === calls, {
        what: () => `${calls} calls told; there are ${reporter.totals()[0]}`,
      });
      caller.close();
    }
  }));

test("ids with the highest bit set work from caller to dns and back", () =>
  withLab(async ({ dns, agent, caller }) => {
    const running = await agent();
    const [modId, cmdId] = [0xffffffff, 0x80000000];
    dns.routes.set(`${modId},${cmdId}`, [node(7)]);
    const one = await caller(running, modId, cmdId);
    assert.deepEqual((await untilServed(one, modId, cmdId)).host, node(7));
  }));

test("a module without nodes is asked for once in update_timeout", () =>
  withLab(async ({ dns, agent, caller }) => {
    const running = await agent({ "loadbalance.update_timeout": "0.5" });
    const one = await caller(running, 1, 1);
    const startedMs = systemClock.nowMs();
    while (systemClock.nowMs() - startedMs < 1800) {
      assert.equal((await one.getHost(1, 1)).retcode, RetCode.NoExist);
    }
    // At most every 0.5 s: at 0, 0.5, 1.0, 1.5.
    assert.ok(dns.requests.length >= 2 && dns.requests.length <= 4, String(dns.requests.length));
    dns.routes.set("1,1", [node(3)]);
    await untilServed(one, 1, 1);
  }));

test("a route that lost more than half of its nodes is held back unless it is meant", () =>
  withLab(async ({ dns, agent, caller }) => {
    const nodes = [1, 2, 3, 4].map((ip) => ({ ip, port: 80 }));
    dns.routes.set("1,1", nodes);
    dns.guarded.add("1,1");
    const lines: string[] = [];
    const log: Logger = { ...silentLogger, warn: (message) => void lines.push(message) };
    const running = await agent({ "loadbalance.update_timeout": "0.05" }, { log });
    const asking = await caller(running, 1, 1);
    const seen = async (): Promise<Set<number>> => {
      const ips = new Set<number>();
      for (let i = 0; i < 8; i++) ips.add((await asking.getHost(1, 1)).host?.ip ?? 0);
      return ips;
    };
    await until(async () => (await seen()).size === 4, { what: "the route" });
    dns.push(1, 1, []);
    await until(() => running.stats().modulesHeld === 1, { what: "the guard" });
    assert.match(String(running.stats().routesHeldBack), /^1,1: 0 of 4 nodes, \d+ s$/);
    // Asked for again and again, it stays so.
    const { length } = dns.requests;
    await until(async () => (await seen()).size === 4 && dns.requests.length > length + 3);
    assert.deepEqual(lines.filter((line) => line.includes("held back")).length, 1);
    dns.push(1, 1, nodes.slice(0, 2));
    await until(async () => (await seen()).size === 2, { what: "half of the nodes" });
    assert.equal(running.stats().modulesHeld, 0);
    dns.meant.add("1,1");
    dns.push(1, 1, []);
    await until(async () => (await asking.getHost(1, 1)).retcode === RetCode.NoExist);
  }));

test("a route that stays small for push_guard is taken", () =>
  withLab(async ({ dns, agent, caller }) => {
    dns.routes.set("1,1", [{ ip: 1, port: 80 }]);
    dns.guarded.add("1,1");
    const running = await agent({
      "agent.push_guard": "0.2",
      "loadbalance.update_timeout": "0.05",
    });
    const asking = await caller(running, 1, 1);
    await until(async () => (await asking.getHost(1, 1)).retcode === RetCode.Success);
    dns.push(1, 1, []);
    await until(async () => (await asking.getHost(1, 1)).retcode === RetCode.NoExist);
    const { heldTakenByTime, modulesHeld } = running.stats();
    assert.deepEqual([heldTakenByTime, modulesHeld], [1, 0]);
  }));

test("a policy that the balancer refuses is counted and logged, and the route is taken", () =>
  withLab(async ({ dns, agent, caller }) => {
    dns.routes.set("1,1", [{ ip: 1, port: 80 }]);
    dns.policies.set("1,1", '{"policy":"nobody knows"}');
    const lines: string[] = [];
    const log: Logger = {
      ...silentLogger,
      warn: (message, fields) => void lines.push(`${message} ${fields?.error}`),
    };
    const running = await agent({}, { log });
    const asking = await caller(running, 1, 1);
    await until(async () => (await asking.getHost(1, 1)).host?.ip === 1);
    assert.equal(running.stats().policiesRefused, 1);
    assert.match(lines.join(), /refused.*nobody knows/);
    dns.policies.set("1,1", '{"policy":"lars"}');
    dns.push(1, 1, [{ ip: 2, port: 80 }]);
    await until(async () => (await asking.getHost(1, 1)).host?.ip === 2);
    assert.equal(running.stats().policiesRefused, 1);
  }));

test("a drained node is picked no more", () =>
  withLab(async ({ dns, agent, caller }) => {
    dns.routes.set("1,1", [{ ip: 1, port: 80 }, { ip: 2, port: 80 }]);
    const asking = await caller(await agent(), 1, 1);
    const picked = async (): Promise<Set<number>> => {
      const ips = new Set<number>();
      for (let i = 0; i < 6; i++) ips.add((await asking.getHost(1, 1)).host?.ip ?? 0);
      return ips;
    };
    await until(async () => (await picked()).size === 2);
    dns.push(1, 1, [{ ip: 1, port: 80 }, { ip: 2, port: 80, state: "drain" }]);
    await until(async () => !(await picked()).has(2));
    assert.deepEqual([...await picked()], [1]);
    dns.push(1, 1, [{ ip: 1, port: 80 }, { ip: 2, port: 80 }]);
    await until(async () => (await picked()).size === 2);
  }));

test("dns hears whether a node is still used, and since when it is not", () =>
  withLab(async ({ dns, agent, caller }) => {
    dns.routes.set("1,1", [node(1), node(2)]);
    const running = await agent();
    const asking = await caller(running, 1, 1);
    await untilServed(asking, 1, 1);
    let seq = 0;
    const usage = async (ip: number, modId = 1): Promise<NodeUse> => {
      const request = { seq: ++seq, modId, cmdId: 1, ip, port: 80 };
      let answer: NodeUse | undefined;
      await until(() => {
        answer = dns.nodeUses.find((use) => use.seq === seq);
        if (answer === undefined) dns.askNodeUse(request);
        return answer !== undefined;
      }, { what: "the answer", intervalMs: 50 });
      assert.ok(answer !== undefined);
      return answer;
    };
    assert.equal((await usage(2)).state, NodeUseState.Picked);
    assert.equal((await usage(3)).state, NodeUseState.Absent);
    assert.equal((await usage(2, 9)).state, NodeUseState.Unknown);
    dns.push(1, 1, [node(1), { ...node(2), state: "drain" }]);
    await until(async () => (await usage(2)).state === NodeUseState.Draining);
    await until(async () => ((await usage(2)).idleMs ?? 0) > 300, { what: "some quiet" });
    // A call that was under way ends.
    asking.report(1, 1, node(2), 0);
    await until(async () => ((await usage(2)).idleMs ?? Infinity) < 300, { what: "its result" });
  }));

test("a node that fails its health checks is out without a single call, and comes back", () =>
  withLab(async ({ dns, agent, caller, reporter }) => {
    // Fake reporters stand in for nodes; one of them is not there at first.
    const well = { ip: 0x7f000001, port: reporter.port };
    const dead = { ip: 0x7f000001, port: await freePort() };
    dns.routes.set("1,1", [well, dead]);
    const healthCheck = {
      kind: "tcp",
      when: "always",
      intervalMs: 100,
      timeoutMs: 100,
      rise: 2,
      fall: 2,
      dwellMs: 100,
    };
    dns.policies.set("1,1", JSON.stringify({ healthCheck }));
    const running = await agent();
    const asking = await caller(running, 1, 1);
    const picked = async (): Promise<Set<number>> => {
      const ports = new Set<number>();
      for (let i = 0; i < 6; i++) ports.add((await asking.getHost(1, 1)).host?.port ?? 0);
      return ports;
    };
    await until(async () => {
      const ports = await picked();
      return ports.has(well.port) && !ports.has(dead.port);
    }, { what: "the dead node to be out" });
    assert.equal(running.stats().healthTargets, 2);
    const risen = await FakeReporter.start({ port: dead.port });
    try {
      await until(async () => (await picked()).has(dead.port), { what: "its return" });
    } finally {
      await risen.close();
    }
    dns.policies.set("1,1", "{}");
    dns.push(1, 1, [well, dead]);
    await until(() => running.stats().healthTargets === 0, { what: "the end of checks" });
  }));

test("picks of one key go to one node, however they reach the balancer", () =>
  withLab(async ({ dns, agent, caller }) => {
    dns.routes.set("1,1", [1, 2, 3, 4, 5, 6, 7, 8].map(node));
    dns.policies.set("1,1", '{"policy":"maglev"}');
    const asking = await caller(await agent(), 1, 1);
    await untilServed(asking, 1, 1);
    const encoder = new TextEncoder();
    const pick = async (key: string): Promise<number> =>
      (await asking.getHost(1, 1, undefined, encoder.encode(key))).host?.ip ?? 0;
    const chosen = new Set<number>();
    for (let i = 0; i < 30; i++) {
      const first = await pick(`key ${i}`);
      assert.equal(await pick(`key ${i}`), first);
      chosen.add(first);
    }
    assert.ok(chosen.size >= 4 && !chosen.has(0), [...chosen].join());
    // Without a key a pick goes anywhere.
    assert.equal((await asking.getHost(1, 1)).retcode, RetCode.Success);
  }));

test("a push changes the route, an empty one ends it", () =>
  withLab(async ({ dns, agent, caller }) => {
    const running = await agent();
    dns.routes.set("1,1", [node(1)]);
    const one = await caller(running, 1, 1);
    await untilServed(one, 1, 1);
    dns.push(1, 1, [node(2), node(3)]);
    await until(async () => (await one.getHost(1, 1)).host?.ip === 2, { what: "the new node" });
    dns.push(1, 1, []);
    await until(async () => (await one.getHost(1, 1)).retcode === RetCode.NoExist, {
      what: "the end of the module",
    });
    dns.push(77, 77, [node(1)]);
    assert.equal((await one.getHost(1, 1)).retcode, RetCode.NoExist);
  }));

test("dns away at start: NoExist until it comes, with no help from anybody", () =>
  withLab(async ({ dns, agent, caller }) => {
    const { port } = dns;
    await dns.close();
    const running = await agent();
    const one = await caller(running, 1, 1);
    assert.equal((await one.getHost(1, 1)).retcode, RetCode.NoExist);
    const late = await FakeDns.start({ port });
    late.routes.set("1,1", [node(5)]);
    assert.deepEqual((await untilServed(one, 1, 1)).host, node(5));
    await late.close();
  }));

test("dns away later: known modules are served, and asked for again when it is back", () =>
  withLab(async ({ dns, agent, caller }) => {
    const running = await agent({ "loadbalance.update_timeout": "0.2" });
    dns.routes.set("1,1", [node(1)]);
    const one = await caller(running, 1, 1);
    await untilServed(one, 1, 1);
    const { port } = dns;
    await dns.close();
    const startedMs = systemClock.nowMs();
    while (systemClock.nowMs() - startedMs < 1000) {
      assert.equal((await one.getHost(1, 1)).retcode, RetCode.Success);
    }
    const back = await FakeDns.start({ port });
    back.routes.set("1,1", [node(2)]);
    await until(async () => (await one.getHost(1, 1)).host?.ip === 2, {
      what: "the route of the dns that is back",
    });
    await back.close();
  }));

test("a dns that goes away is replaced by the next one within a second", () =>
  withLab(async ({ dns, agent, caller }) => {
    const second = await FakeDns.start();
    dns.routes.set("1,1", [node(1)]);
    second.routes.set("1,1", [node(2)]);
    second.routes.set("2,2", [node(22)]);
    const running = await agent({
      "dnsserver.ip": `127.0.0.1:${dns.port},127.0.0.1:${second.port}`,
      "agent.server_order": "listed",
    });
    const one = await caller(running, 1, 1);
    assert.deepEqual((await untilServed(one, 1, 1)).host, node(1));
    await until(() => running.stats().dnsExtended === 1, { what: "handshake" });
    // Connections that lived less than a second are not followed at once by the next.
    const settledMs = systemClock.nowMs();
    await until(() => systemClock.nowMs() - settledMs > 1100, { what: "a second" });
    await dns.close();
    const goneMs = systemClock.nowMs();
    await untilServed(await caller(running, 2, 2), 2, 2);
    assertInTime("the next dns", systemClock.nowMs() - goneMs, 1000);
    await until(async () => (await one.getHost(1, 1)).host?.ip === 2, {
      what: "known modules are asked for again over the new connection",
    });
    second.push(1, 1, [node(3)]);
    await until(async () => (await one.getHost(1, 1)).host?.ip === 3, { what: "its pushes" });
    await second.close();
  }));

test("a route in parts is put together, also a large one", () =>
  withLab(async ({ dns, agent, caller }) => {
    const running = await agent({ "agent.threads": "1" });
    dns.partCount = 8;
    const hosts = Array.from({ length: 20_000 }, (_, i) => node(0x0a000001 + i, 1000));
    dns.routes.set("1,1", hosts);
    const one = await caller(running, 1, 1);
    await untilServed(one, 1, 1);
    const seen = new Set<number>();
    for (let i = 0; i < 200; i++) seen.add((await one.getHost(1, 1)).host?.ip ?? 0);
    assert.equal(seen.size, 200);
    await until(() => running.stats().hosts === 20_000, { what: "all nodes" });
    // A caller that asks for all of them gets what one datagram holds.
    one.client.send(frameGetRouteRequest({ modId: 1, cmdId: 1 }));
    const datagram = await one.client.receive(2000);
    assert.ok(datagram.length <= 65_507 && datagram.length > 65_507 - 40);
    const answer = decodeGetRouteResponse(readDatagram(datagram).body);
    assert.deepEqual(answer.hosts, hosts.slice(0, answer.hosts.length));
    await until(() => running.stats().answersCut === 1, { what: "the cut is counted" });
  }));

test("a restarted agent serves from its cache within a second while dns is away", () =>
  withTempDir((directory) =>
    withLab(async ({ dns, agent, caller }) => {
      const flags = { "agent.cache_dir": join(directory, "cache") };
      const routes: [number, number][] = [[1, 1], [2, 1], [0xfffffff0, 3]];
      const first = await agent(flags);
      for (const [modId, cmdId] of routes) {
        dns.routes.set(`${modId},${cmdId}`, [{ ...node(modId), weight: 5, zone: "z" }]);
        await untilServed(await caller(first, modId, cmdId), modId, cmdId);
      }
      await first.stop();
      const { port } = dns;
      await dns.close();
      const startedMs = systemClock.nowMs();
      const second = await agent({ ...flags, "agent.threads": "1" });
      for (const [modId, cmdId] of routes) {
        const answer = await (await caller(second, modId, cmdId)).getHost(modId, cmdId);
        assert.deepEqual(answer.host, node(modId));
      }
      assertInTime("a start from the cache", systemClock.nowMs() - startedMs, 1000);
      // When dns is back, its word counts.
      const back = await FakeDns.start({ port });
      back.routes.set("1,1", [node(99)]);
      const one = await caller(second, 1, 1);
      await until(async () => (await one.getHost(1, 1)).host?.ip === 99, {
        what: "the route of dns",
      });
      await back.close();
    })
  ));

test("a cache that is not whole is refused with a reason, and replaced", () =>
  withTempDir((directory) =>
    withLab(async ({ dns, agent, caller }) => {
      const path = join(directory, "routes.cache");
      mkdirSync(directory, { recursive: true });
      writeFileSync(path, "not a cache, but long enough to be one");
      const lines: unknown[] = [];
      const warn = (message: string, fields?: unknown): void => void lines.push([message, fields]);
      const running = await agent({ "agent.cache_dir": directory }, {
        log: { ...silentLogger, warn },
      });
      const kept = `${path}.bad`;
      assert.deepEqual(lines, [[
        "Route cache is not used",
        { path, reason: "not a route cache", kept },
      ]]);
      dns.routes.set("1,1", [node(1)]);
      await untilServed(await caller(running, 1, 1), 1, 1);
      await until(() => running.stats().cacheWrites === 1, { what: "the cache is written" });
      assert.equal(readFileSync(path).toString("latin1", 0, 4), "LARS");
    })
  ));

test("each module is reported at most once a second, with nothing lost", () =>
  withLab(async ({ dns, reporter, agent, caller }) => {
    const running = await agent();
    dns.routes.set("1,1", [node(1), node(2)]);
    const one = await caller(running, 1, 1);
    await untilServed(one, 1, 1);
    let sent = 0;
    const startedMs = systemClock.nowMs();
    while (systemClock.nowMs() - startedMs < 3000) {
      for (let i = 0; i < 20; i++) one.report(1, 1, node(1 + (i % 2)), 0);
      sent += 20;
      // The answer says that what was sent before it has been handled.
      await one.getHost(1, 1);
    }
    await until(() => reporter.totals()[0] === sent, { what: "all results" });
    const times = reporter.reports.map((report) => report.atMs);
    assert.ok(times.length >= 3 && times.length <= 6, String(times.length));
    for (let i = 1; i < times.length; i++) assert.ok(times[i] - times[i - 1] > 900);
  }));

test("an original reporter gets original fields; a module that is quiet is not reported", () =>
  withLab(async ({ dns, agent, caller }) => {
    const original = await FakeReporter.start({ extended: false });
    const running = await agent({ "reporter.ip": `127.0.0.1:${original.port}` });
    dns.routes.set("1,1", [node(1), node(2)]);
    dns.routes.set("2,1", [node(1)]);
    await untilServed(await caller(running, 2, 1), 2, 1);
    const one = await caller(running, 1, 1);
    await untilServed(one, 1, 1);
    for (let i = 0; i < 15; i++) one.report(1, 1, node(1), 1);
    await until(() => original.reports.length > 0, { what: "a report" });
    assert.deepEqual(original.reports.map(({ modId, results }) => ({ modId, results })), [{
      modId: 1,
      results: [{ ip: 1, port: 80, succ: 0, err: 15, overload: true }],
    }]);
    await original.close();
  }));

test("results wait while the reporter is away, merged, and arrive when it is back", () =>
  withLab(async ({ dns, reporter, agent, caller }) => {
    const { port } = reporter;
    const running = await agent();
    dns.routes.set("1,1", [node(1)]);
    const one = await caller(running, 1, 1);
    await untilServed(one, 1, 1);
    one.report(1, 1, node(1), 0);
    await until(() => reporter.totals()[0] === 1, { what: "the first result" });
    await reporter.close();
    for (let i = 0; i < 9; i++) one.report(1, 1, node(1), 0);
    await until(() => running.stats().resultsPending === 1, { what: "a result that waits" });
    const back = await FakeReporter.start({ port });
    await until(() => back.totals()[0] === 10, { what: "all results" });
    await back.close();
  }));

test("stop() reports what was counted in the last second", () =>
  withLab(async ({ dns, reporter, agent, caller }) => {
    for (const threads of ["0", "1"]) {
      const running = await agent({ "agent.threads": threads });
      dns.routes.set("1,1", [node(1)]);
      const one = await caller(running, 1, 1);
      await untilServed(one, 1, 1);
      await until(() => running.stats().reporterConnected === 1, { what: "the reporter" });
      for (let i = 0; i < 7; i++) one.report(1, 1, node(1), 0);
      await one.getHost(1, 1);
      await running.stop();
      await until(() => reporter.totals()[0] === 7, { what: "the last results" });
    }
  }));

test("stop() waits for a reporter that is asked how far it is, and tells it the rest", () =>
  withLab(async ({ dns, reporter, agent, caller }) => {
    reporter.tells = true;
    const running = await agent();
    dns.routes.set("1,1", [node(1)]);
    const one = await caller(running, 1, 1);
    await untilServed(one, 1, 1);
    await until(() => reporter.sessions.length === 1, { what: "the session" });
    for (let i = 0; i < 7; i++) one.report(1, 1, node(1), 0);
    await one.getHost(1, 1);
    const stopped = running.stop();
    // As one does that has just been started, beside a database that takes its time.
    await sleep(systemClock, 300);
    reporter.tellStored(0);
    await until(() => reporter.totals()[0] === 7, { what: "the last results" });
    const end = Promise.race([stopped.then(() => "ended"), sleep(systemClock, 100)]);
    assert.equal(await end, undefined, "they are not known to be stored");
    reporter.tellStored(100);
    await stopped;
  }));

test("malformed datagrams are counted, never answered, and hurt nobody", () =>
  withLab(async ({ dns, agent, caller }) => {
    const running = await agent();
    dns.routes.set("1,1", [node(1)]);
    const one = await caller(running, 1, 1);
    await untilServed(one, 1, 1);
    const stranger = await caller(running, 1, 1);
    const valid = frameGetHostRequest({ seq: 1, modId: 1, cmdId: 1 });
    const lying = valid.slice();
    lying[4]++;
    const badVarint = valid.slice();
    badVarint.fill(0xff, 8);
    const large = new Uint8Array(65_507).fill(0xab);
    const unknownId = valid.slice();
    unknownId[0] = 200;
    const bad = [new Uint8Array(0), valid.slice(0, 7), lying, badVarint, large, unknownId];
    for (let i = 0; i < 50; i++) {
      for (const datagram of bad) stranger.client.send(datagram);
      assert.equal((await one.getHost(1, 1)).retcode, RetCode.Success);
    }
    await until(() => running.stats().malformed === 250 && running.stats().unknownIds === 50, {
      what: "all of them are counted",
    });
    await assert.rejects(stranger.client.receive(50));
  }));

test("a thousand modules asked for at once are all served", () =>
  withLab(async ({ dns, agent }) => {
    const running = await agent({ "agent.threads": "1" });
    const callers = await Promise.all(
      running.addresses.map((address) => FakeCaller.open(parseAddress(address).port)),
    );
    const ids = Array.from({ length: 1000 }, (_, i) => i + 1);
    for (const modId of ids) {
      dns.routes.set(`${modId},1`, [node(modId)]);
      const datagram = frameGetHostRequest({ seq: 0xffff, modId, cmdId: 1 });
      callers[agentPortIndex(modId, 1)].client.send(datagram);
    }
    // Some of the burst may not fit the socket's buffer; asking again is the caller's part.
    for (const modId of ids) {
      const answer = await untilServed(callers[agentPortIndex(modId, 1)], modId, 1);
      assert.equal(answer.host?.ip, modId);
    }
    assert.equal(running.stats().dnsRequestsDropped, 0);
    assert.ok(dns.requests.length < 1100, String(dns.requests.length));
    for (const one of callers) one.close();
  }));

test("Hello is answered with the counters of the whole agent", () =>
  withLab(async ({ dns, agent, caller }) => {
    for (const threads of ["0", "3"]) {
      const running = await agent({ "agent.threads": threads, "agent.zone": "north" });
      dns.routes.set("1,1", [node(1)]);
      dns.routes.set("2,1", [node(1), node(2)]);
      await untilServed(await caller(running, 2, 1), 2, 1);
      const one = await caller(running, 1, 1);
      await untilServed(one, 1, 1);
      let status: Record<string, unknown> = {};
      await until(async () => {
        one.client.send(frameHello({ protocol: 1, software: "tool", role: "tool" }));
        const { msgId, body } = readDatagram(await one.client.receive(1000));
        assert.equal(msgId, MessageId.Hello);
        const hello = decodeHello(body);
        assert.deepEqual([hello.role, hello.software], ["agent", "test"]);
        status = JSON.parse(hello.status ?? "{}");
        return status.zone === "north" && status.hosts === 3;
      }, { what: "a complete status" });
      assert.equal(status.dnsConnected, 1);
      assert.equal(status.modulesReady, 2);
      assert.ok(Number(status.dnsRouteAgeS) >= 0);
      await running.stop();
    }
  }));

test("a node that fails is given probes only, and its state changes are logged", () =>
  withLab(async ({ dns, agent, caller }) => {
    const lines: string[] = [];
    const info = (message: string): void => void lines.push(message);
    const running = await agent({ "loadbalance.overload_timeout": "1" }, {
      log: { ...silentLogger, info },
    });
    dns.routes.set("1,1", [node(0x0a000001), node(0x0a000002)]);
    const one = await caller(running, 1, 1);
    await untilServed(one, 1, 1);
    for (let i = 0; i < 3; i++) one.report(1, 1, node(0x0a000001), 1, 1000);
    const picked = new Map<number, number>();
    for (let i = 0; i < 22; i++) {
      const ip = (await one.getHost(1, 1)).host?.ip ?? 0;
      picked.set(ip, (picked.get(ip) ?? 0) + 1);
    }
    assert.deepEqual(picked.get(0x0a000001), 2);
    const changes = (): string[] => lines.filter((line) => line.includes("of module"));
    await until(() => changes().length === 2, { what: "two changes" });
    assert.deepEqual(changes(), [
      "10.0.0.1:80 of module 1,1 is overload: 3 of 3 calls failed, error rate 0.143 > 0.1",
      "10.0.0.1:80 of module 1,1 is idle: overload for 1 s",
    ]);
  }));

test("a dns that wants the secret gets its proof", () =>
  withLab(async ({ agent, caller }) => {
    const token = new TextEncoder().encode("a shared secret of some length");
    const guarded = await FakeDns.start({ token });
    guarded.routes.set("1,1", [node(1)]);
    const running = await agent({ "dnsserver.ip": `127.0.0.1:${guarded.port}` }, { token });
    const one = await caller(running, 1, 1);
    // Callers on this machine need no secret.
    await untilServed(one, 1, 1);
    await guarded.close();
  }));

test("beyond loopback only datagrams with a good seal are answered, each once", async (t) => {
  const outside = Object.values(networkInterfaces()).flatMap((list) => list ?? [])
    .find((one) => one.family === "IPv4" && !one.internal)?.address;
  if (outside === undefined) return t.skip("this machine has no address but loopback");
  await withLab(async ({ agent, caller }) => {
    const token = new TextEncoder().encode("a shared secret of some length");
    const guarded = await FakeDns.start({ token });
    guarded.routes.set("1,1", [node(1), node(2)]);
    const running = await agent({
      "agent.ip": "0.0.0.0",
      "auth.token_file": "unused: the test passes the token itself",
      "dnsserver.ip": `127.0.0.1:${guarded.port}`,
    }, { token });
    await untilServed(await caller(running, 1, 1), 1, 1);
    const { port } = parseAddress(running.addresses[agentPortIndex(1, 1)]);
    const stranger = await UdpClient.open({ hostname: outside, port });
    const modId = 1;
    const cmdId = 1;
    const sealer = new Sealer(newNonce(), proofOf, () => systemClock.wallMs());
    const wrong = new Uint8Array(token.length);
    const seals: ((frame: Uint8Array) => Uint8Array)[] = [
      (frame) => frame,
      (frame) => sealer.seal(frame, wrong),
      (frame) => sealer.seal(frame, token.slice(1)),
    ];
    for (const seal of seals) {
      stranger.send(seal(frameGetHostRequest({ seq: 1, modId, cmdId })));
      // As older builds sent it, in clear.
      stranger.send(seal(frameGetRouteRequest({ modId, cmdId, token })));
      for (let i = 0; i < 15; i++) {
        stranger.send(seal(frameReportRequest({ modId, cmdId, host: node(1), retcode: 1 })));
      }
    }
    stranger.send(frameHello({ protocol: 1, software: "x", role: "tool" }));
    const good = sealer.seal(frameGetHostRequest({ seq: 2, modId, cmdId }), token);
    for (let i = 0; i < 3; i++) stranger.send(good);
    const bytes = (await stranger.receive(2000)).slice();
    assert.ok(sealer.isAnswer(bytes, token), "the answer is sealed too");
    const answer = readDatagram(bytes);
    assert.deepEqual(
      [answer.msgId, decodeGetHostResponse(answer.body).seq],
      [MessageId.GetHostResponse, 2],
      "the first answer is the one to the first trusted datagram",
    );
    await until(() => running.stats().refusedToken === 3 * 17 + 1 + 2, { what: "all are counted" });
    assert.equal(running.stats().reports, 0);
    stranger.close();
    await guarded.close();
  });
});

test("reload() takes new rules and addresses, and keeps what is known", () =>
  withLab(async ({ dns, agent, caller }) => {
    const running = await agent();
    dns.routes.set("1,1", [node(1), node(2)]);
    const one = await caller(running, 1, 1);
    await untilServed(one, 1, 1);
    const second = await FakeDns.start();
    second.routes.set("1,1", [node(1), node(2)]);
    second.routes.set("2,2", [node(9)]);
    const flags = {
      "dnsserver.ip": `127.0.0.1:${second.port}`,
      "loadbalance.contin_err_limit": "2",
    };
    running.reload(readSettings(agentSettings, { flags }));
    // A loop takes what was told to it before the datagrams after an answer of its own.
    await one.getHost(1, 1);
    for (let i = 0; i < 2; i++) one.report(1, 1, node(1), 1);
    await until(() => running.stats().hostsOverload === 1, { what: "the new limit" });
    await untilServed(await caller(running, 2, 2), 2, 2);
    const wrong = readSettings(agentSettings, { flags: { "agent.caller_ip": "nonsense" } });
    assert.throws(() => running.reload(wrong), ConfigError);
    await second.close();
  }));

test("loops that die are started again and serve what was known", () =>
  withLab(async ({ dns, agent, caller }) => {
    const running = await agent({ "agent.threads": "1" });
    dns.routes.set("1,1", [node(1)]);
    const one = await caller(running, 1, 1);
    await untilServed(one, 1, 1);
    // No file can hold such a value; it makes the worker throw, now and when it starts again.
    const settings = readSettings(agentSettings, {
      flags: {
        "agent.threads": "1",
        "agent.port": String(parseAddress(running.addresses[0]).port),
        "dnsserver.ip": `127.0.0.1:${dns.port}`,
      },
    });
    running.reload({ ...settings, probeNum: 0 });
    await until(() => running.stats().loopRestarts === 1, { what: "the death of the loop" });
    running.reload(settings);
    await untilServed(one, 1, 1);
    dns.push(1, 1, [node(2)]);
    await until(async () => (await one.getHost(1, 1)).host?.ip === 2, { what: "pushes as before" });
  }));

test("start() refuses a taken port and an address beyond loopback without authentication", () =>
  withLab(async ({ agent }) => {
    const first = await agent();
    const { port } = parseAddress(first.addresses[2]);
    for (const threads of ["0", "1"]) {
      await assert.rejects(
        agent({ "agent.port": String(port), "agent.threads": threads }),
        (error) => error instanceof BindError && error.inUse && error.message.includes(`${port}`),
      );
    }
    await assert.rejects(agent({ "agent.ip": "0.0.0.0" }), ConfigError);
    await assert.rejects(agent({ "agent.caller_ip": "1.2.3" }), ConfigError);
  }));

test("an agent without dns and reporter starts, answers and stops", () =>
  withLab(async ({ agent, caller }) => {
    const nobody = `127.0.0.1:${NOBODY}`;
    const running = await agent({ "dnsserver.ip": nobody, "reporter.ip": nobody });
    const one = await caller(running, 1, 1);
    assert.equal((await one.getHost(1, 1)).retcode, RetCode.NoExist);
    const startedMs = systemClock.nowMs();
    await running.stop();
    assertInTime("to stop", systemClock.nowMs() - startedMs, 1000);
  }));
