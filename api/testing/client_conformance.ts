// What every client does, whichever way it gets its answers; run for each by conformance_test.ts.

import assert from "node:assert/strict";
import { test } from "node:test";
import { agentDaemon } from "../../agent/service.ts";
import { NodeUseState } from "../../proto/message_ids.ts";
import { FakeDns, FakeReporter } from "../../agent/testing/fake_upstream.ts";
import type { RunningService } from "../../daemon/daemon.ts";
import { startDaemon } from "../../daemon/daemon.ts";
import { ConnectError, TimeoutError } from "../../reactor/errors.ts";
import { silentLogger } from "../../reactor/log.ts";
import { parseIpv4 } from "../../reactor/address.ts";
import { until } from "../../tests/support/until.ts";
import { ClosedError, NoRouteError, OverloadError } from "../errors.ts";
import type { Host } from "../host.ts";
import type { LarsApi } from "../lars_api.ts";

/** Patience where time is not the point. */
export const PATIENT_MS = 5000;

/** dns, reporter and agent of a test. */
export interface System {
  readonly dns: FakeDns;
  readonly reporter: FakeReporter;
  /** First port of the agent; 0 when none runs. */
  readonly agentPort: number;
}

/** Makes a client for a system. */
export interface ClientKind {
  readonly name: string;
  /** True: an agent runs. */
  readonly agent: boolean;
  open(system: System, deadlineMs: number): LarsApi;
  /** A client whose peers are not there. */
  openVain(deadlineMs: number): LarsApi;
}

/** Starts an agent between the two. */
export async function startAgent(
  dns: FakeDns,
  reporter: FakeReporter,
  flags: Record<string, string> = {},
): Promise<RunningService> {
  return await startDaemon(agentDaemon, {
    flags: {
      "agent.port": "0",
      "agent.threads": "0",
      "dnsserver.ip": `127.0.0.1:${dns.port}`,
      "reporter.ip": `127.0.0.1:${reporter.port}`,
      ...flags,
    },
  }, { log: silentLogger });
}

/** First port of a running agent. */
export function portOf(agent: RunningService): number {
  return Number(agent.addresses[0].split(":")[1]);
}

const A = { ip: "10.0.0.1", port: 80 };
const B = { ip: "10.0.0.2", port: 81 };
const wire = ({ ip, port }: Host): { ip: number; port: number } => ({ ip: parseIpv4(ip), port });
const route = (...hosts: Host[]): { ip: number; port: number }[] => hosts.map(wire);

/** Runs with a system and a client, and ends both. */
async function withSystem(
  kind: ClientKind,
  fn: (client: LarsApi, system: System) => Promise<void>,
): Promise<void> {
  const dns = await FakeDns.start();
  const reporter = await FakeReporter.start();
  dns.routes.set("1,1", route(A, B));
  dns.routes.set("4294967295,7", route(B));
  const agent = kind.agent ? await startAgent(dns, reporter) : undefined;
  const system = { dns, reporter, agentPort: agent === undefined ? 0 : portOf(agent) };
  const client = kind.open(system, PATIENT_MS);
  try {
    await fn(client, system);
  } finally {
    await client.close();
    await agent?.stop();
    await dns.close();
    await reporter.close();
  }
}

/** `regInit` until there is a route: a system that has just started may need a little longer. */
async function ready(client: LarsApi, modId = 1, cmdId = 1): Promise<void> {
  await until(async () => await client.regInit(modId, cmdId) === 0, { what: "the route" });
}

/** The suite. */
export function clientConformance(kind: ClientKind): void {
  const check = (
    name: string,
    fn: (client: LarsApi, system: System) => Promise<void>,
  ): void => void test(`${kind.name}: ${name}`, () => withSystem(kind, fn));

  check(
    "calls of one key stay on one node where the policy heeds keys",
    async (client, { dns }) => {
      await ready(client);
      dns.policies.set("1,1", '{"policy":"ring_hash"}');
      const nodes = Array.from({ length: 8 }, (_, i) => ({ ip: `10.0.1.${i + 1}`, port: 80 }));
      dns.push(1, 1, route(...nodes));
      await until(async () => (await client.getRoute(1, 1)).length === 8, {
        what: "the new route",
      });
      const nodeOf = async (key: string | Uint8Array): Promise<string> =>
        (await client.getHost(1, 1, { key })).ip;
      const chosen = new Set<string>();
      for (let i = 0; i < 40; i++) {
        const first = await nodeOf(`user-${i}`);
        chosen.add(first);
        assert.equal(await nodeOf(`user-${i}`), first);
        assert.equal(await nodeOf(new TextEncoder().encode(`user-${i}`)), first);
      }
      assert.ok(chosen.size >= 4, `keys are spread over ${chosen.size} of 8 nodes`);
      const called = new Set<string>();
      for (let i = 0; i < 5; i++) {
        await client.call(1, 1, (host) => void called.add(host.ip), { key: "user-7" });
      }
      assert.deepEqual([...called], [await nodeOf("user-7")]);
      await assert.rejects(nodeOf("x".repeat(257)), RangeError);
      await assert.rejects(nodeOf(""), RangeError);
    },
  );

  check("a drained node is given no more, and its results count", async (client, system) => {
    const { dns, reporter } = system;
    await ready(client);
    dns.push(1, 1, [...route(A), { ...route(B)[0], state: "drain" }]);
    await until(async () => (await client.getRoute(1, 1)).length === 1, { what: "the new route" });
    for (let i = 0; i < 6; i++) assert.deepEqual(await client.getHost(1, 1), A);
    // The call was under way when the node was drained.
    client.report(1, 1, B.ip, B.port, 0);
    await until(() => reporter.totals().join() === "1,0", { what: "its result" });
    dns.push(1, 1, route(A, B));
    await until(async () => (await client.getHost(1, 1)).ip === B.ip, { what: "its return" });
  });

  check("dns hears that a drained node is not used any more", async (client, { dns }) => {
    await ready(client);
    let seq = 0;
    const hears = (state: number, idleMs: number): Promise<void> =>
      until(() => {
        dns.askNodeUse({ seq: ++seq, modId: 1, cmdId: 1, ...wire(B) });
        const last = dns.nodeUses.at(-1);
        return last?.state === state && (last.idleMs ?? 0) >= idleMs;
      }, { what: `state ${state}`, intervalMs: 50 });
    await hears(NodeUseState.Picked, 0);
    dns.push(1, 1, [...route(A), { ...route(B)[0], state: "drain" }]);
    await hears(NodeUseState.Draining, 200);
    assert.deepEqual(await client.getRoute(1, 1), [A]);
  });

  check("explain() tells what every node is, and why", async (client, { dns }) => {
    assert.equal(await client.explain(5, 5), undefined);
    await ready(client);
    dns.policies.set("1,1", '{"policy":"smooth_weighted_round_robin"}');
    const nodes = Array.from({ length: 300 }, (_, i) => ({ ip: 0x0a000000 + i + 1, port: 80 }));
    dns.push(1, 1, [...nodes, { ip: 9, port: 9, weight: 7, zone: "east", state: "drain" }]);
    await until(async () => (await client.getRoute(1, 1)).length === 300, { what: "the route" });
    const before = await client.explain(1, 1);
    assert.equal(before?.state, "ready");
    assert.equal(before?.module?.policy, "smooth_weighted_round_robin");
    assert.equal(before?.module?.nodes.length, 301, "all pages are there");
    assert.equal(new Set(before?.module?.nodes.map(({ node }) => node)).size, 301);
    const drained = before?.module?.nodes.find(({ node }) => node === "0.0.0.9:9");
    assert.deepEqual([drained?.condition, drained?.weight, drained?.zone], ["drain", 7, "east"]);
    for (let i = 0; i < 15; i++) client.report(1, 1, "10.0.0.1", 80, 1, 0);
    await until(async () => {
      const after = await client.explain(1, 1);
      const sick = after?.module?.nodes.find(({ node }) => node === "10.0.0.1:80");
      const decided = after?.module?.decisions.some(({ node }) => node === "10.0.0.1:80") === true;
      return decided && sick?.condition === "overload" && sick.reason !== undefined;
    }, { what: "the reason of its state" });
    await client.getHost(1, 1);
    assert.ok(
      (await client.explain(1, 1))?.module?.nodes.some(({ pickShare = 0 }) => pickShare > 0),
    );
    assert.equal(await client.explain(1, 7), undefined);
  });

  check("getHost() gives the nodes in turn", async (client) => {
    await ready(client);
    const picked: string[] = [];
    for (let i = 0; i < 4; i++) picked.push((await client.getHost(1, 1)).ip);
    // From either of them: a route begins anywhere.
    const turns = picked[0] === A.ip ? [A.ip, B.ip] : [B.ip, A.ip];
    assert.deepEqual(picked, [...turns, ...turns]);
  });

  check("getHost() gives address and port, and nothing else", async (client) => {
    await ready(client);
    const first = await client.getHost(1, 1);
    const other = first.port === A.port ? B : A;
    assert.deepEqual(first, first.port === A.port ? A : B);
    assert.deepEqual(await client.tryGetHost(1, 1), { retcode: 0, host: other });
  });

  check("signed and unsigned ids name the same module", async (client) => {
    await ready(client, -1, 7);
    assert.deepEqual(await client.getHost(-1, 7), B);
    assert.deepEqual(await client.getHost(4294967295, 7), B);
  });

  check("a module without nodes is NoRouteError, code 3 and no route", async (client) => {
    assert.equal(await client.regInit(9, 9), 3);
    await assert.rejects(client.getHost(9, 9), NoRouteError);
    assert.deepEqual(await client.tryGetHost(9, 9), { retcode: 3 });
    assert.deepEqual(await client.getRoute(9, 9), []);
  });

  check("getRoute() gives every node", async (client) => {
    await ready(client);
    assert.deepEqual(await client.getRoute(1, 1), [A, B]);
  });

  check("a change of the route arrives by itself", async (client, { dns }) => {
    await ready(client);
    dns.push(1, 1, route(B));
    await until(async () => (await client.getRoute(1, 1)).length === 1, { what: "the change" });
    assert.deepEqual([await client.getHost(1, 1), await client.getHost(1, 1)], [B, B]);
  });

  check("call() with retries gives the answer of another node", async (client) => {
    await ready(client);
    const tried: Host[] = [];
    const answer = await client.call(1, 1, (host, { number }) => {
      tried.push(host);
      if (number === 0) throw new Error("Down");
      return "up";
    }, { retries: 1, timeoutMs: PATIENT_MS });
    assert.equal(answer, "up");
    assert.deepEqual(tried.map(({ ip }) => ip).sort(), [A.ip, B.ip]);
  });

  check("a node that fails is left alone, and nodes that all fail are refused", async (client) => {
    await ready(client);
    for (let i = 0; i < 15; i++) client.report(1, 1, A.ip, A.port, 1, 0);
    const others = async (): Promise<boolean> => {
      const picked = [await client.getHost(1, 1), await client.getHost(1, 1)];
      return picked.every(({ ip }) => ip === B.ip);
    };
    await until(others, { what: "the failing node to be left alone" });
    for (let i = 0; i < 15; i++) client.report(1, 1, B.ip, B.port, -1);
    const refused = async (): Promise<boolean> => (await client.tryGetHost(1, 1)).retcode === 1;
    await until(refused, { what: "the refusal" });
    await until(async () => {
      const outcome = await client.getHost(1, 1).then(() => undefined, (error) => error);
      return outcome instanceof OverloadError;
    }, { what: "the error" });
  });

  check("call() reports what fn did, once", async (client, { reporter }) => {
    await ready(client);
    assert.ok([A.port, B.port].includes(await client.call(1, 1, ({ port }) => port)));
    const fault = new Error("down");
    await assert.rejects(client.call(1, 1, () => Promise.reject(fault)), fault);
    await until(() => reporter.totals().join() === "1,1", { what: "both outcomes" });
  });

  check("every report is counted once", async (client, { reporter }) => {
    await ready(client);
    for (let i = 0; i < 300; i++) {
      const { ip, port } = await client.getHost(1, 1);
      client.report(1, 1, ip, port, i % 30 === 0 ? 1 : 0, 5);
    }
    await until(() => reporter.totals().join() === "290,10", { what: "all outcomes" });
    const seen = reporter.reports.length;
    await until(() => reporter.totals().join() === "290,10" && reporter.reports.length >= seen, {
      what: "the same",
    });
  });

  check("close() sends what waits, and ends the client", async (client, { reporter }) => {
    await ready(client);
    client.report(1, 1, A.ip, A.port, 0, 1);
    await client.close();
    await client.close();
    await until(() => reporter.totals().join() === "1,0", { what: "the last report" });
    await assert.rejects(client.getHost(1, 1), ClosedError);
    await assert.rejects(client.getRoute(1, 1), ClosedError);
    await assert.rejects(client.regInit(1, 1), ClosedError);
    await assert.rejects(client.call(1, 1, () => 1), ClosedError);
    assert.throws(() => client.report(1, 1, A.ip, A.port, 0), ClosedError);
    const { retcode, error } = await client.tryGetHost(1, 1);
    assert.ok(retcode === 2 && error instanceof ClosedError);
  });

  check("arguments out of range are faults of the program", async (client) => {
    for (const [modId, cmdId] of [[1.5, 1], [4294967296, 1], [1, -2147483649], [NaN, 1]]) {
      await assert.rejects(client.getHost(modId, cmdId), RangeError);
      await assert.rejects(client.tryGetHost(modId, cmdId), RangeError);
      await assert.rejects(client.getRoute(modId, cmdId), RangeError);
      await assert.rejects(client.regInit(modId, cmdId), RangeError);
      assert.throws(() => client.report(modId, cmdId, A.ip, 80, 0), RangeError);
    }
    assert.throws(() => client.report(1, 1, "10.0.0", 80, 0), RangeError);
    assert.throws(() => client.report(1, 1, A.ip, 0, 0), RangeError);
    assert.throws(() => client.report(1, 1, A.ip, 80, 0.5), RangeError);
    assert.throws(() => client.report(1, 1, A.ip, 80, 0, -1), RangeError);
    await assert.rejects(client.getHost(1, 1, { deadlineMs: 0 }), RangeError);
  });

  test(`${kind.name}: without anybody to ask, questions end by their deadline`, async () => {
    const client = kind.openVain(30);
    const expected = (error: unknown): boolean =>
      error instanceof ConnectError || error instanceof TimeoutError;
    await assert.rejects(client.getHost(1, 1), expected);
    await assert.rejects(client.getRoute(1, 1), expected);
    assert.equal(await client.regInit(1, 1), 2);
    const { retcode, error } = await client.tryGetHost(1, 1);
    assert.ok(retcode === 2 && expected(error));
    await client.close();
  });
}
