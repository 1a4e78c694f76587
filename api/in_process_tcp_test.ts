// The in-process client over real sockets, with agents that die and come back, and down to SQL.

import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { FakeDns, FakeReporter } from "../agent/testing/fake_upstream.ts";
import { agentDaemon } from "../agent/service.ts";
import { type RunningService, startDaemon } from "../daemon/daemon.ts";
import { dnsDaemon } from "../dns/service.ts";
import { parseIpv4 } from "../reactor/address.ts";
import { silentLogger } from "../reactor/log.ts";
import { systemClock } from "../reactor/time/system_clock.ts";
import { reporterDaemon } from "../reporter/service.ts";
import { openStore, type Store } from "../sql/mod.ts";
import { freePort } from "../tests/support/free_port.ts";
import { assertInTime } from "../tests/support/in_time.ts";
import { withTempDir } from "../tests/support/temp_dir.ts";
import { until } from "../tests/support/until.ts";
import { portOf, startAgent } from "./testing/client_conformance.ts";
import { InProcessClient } from "./in_process_client.ts";
import type { InProcessClientOptions } from "./in_process_options.ts";
import { LarsClient } from "./client.ts";

const node = (last: number): { ip: number; port: number } => ({
  ip: parseIpv4(`10.0.0.${last}`),
  port: 80,
});

/** Things that are closed at the end of a test, the last one first. */
class Scope {
  readonly #ends: (() => Promise<void>)[] = [];

  add<T extends { close(): Promise<void> } | { stop(): Promise<void> }>(thing: T): T {
    this.#ends.push(() => "close" in thing ? thing.close() : thing.stop());
    return thing;
  }

  static async run(fn: (scope: Scope) => Promise<void>): Promise<void> {
    const scope = new Scope();
    try {
      await fn(scope);
    } finally {
      for (const end of scope.#ends.reverse()) await end();
    }
  }
}

async function fakes(scope: Scope): Promise<[FakeDns, FakeReporter]> {
  const dns = scope.add(await FakeDns.start());
  dns.routes.set("1,1", [node(1), node(2)]);
  return [dns, scope.add(await FakeReporter.start())];
}

const local = (port: number, more: InProcessClientOptions = {}): InProcessClient =>
  new InProcessClient({ agents: [`127.0.0.1:${port}`], deadlineMs: 5000, ...more });

async function ipsOf(client: InProcessClient): Promise<string> {
  return (await client.getRoute(1, 1)).map(({ ip }) => ip).join();
}

/** A client whose agent, on the port that comes with it, has just gone away. */
async function clientWithoutAgent(
  scope: Scope,
  dns: FakeDns,
  reporter: FakeReporter,
): Promise<[InProcessClient, number]> {
  const port = await freePort();
  const agent = await startAgent(dns, reporter, { "agent.port": String(port) });
  const client = scope.add(local(port));
  await client.getHost(1, 1);
  await agent.stop();
  await until(() => !client.connected, { what: "the loss" });
  return [client, port];
}

for (const threads of ["0", "1", "3"]) {
  test(`local: routes and results pass through loops with threads = ${threads}`, async () => {
    await Scope.run(async (scope) => {
      const [dns, reporter] = await fakes(scope);
      for (const cmdId of [2, 3]) dns.routes.set(`1,${cmdId}`, [node(1)]);
      const agent = scope.add(await startAgent(dns, reporter, { "agent.threads": threads }));
      const client = scope.add(local(portOf(agent)));
      for (const cmdId of [1, 2, 3]) {
        await client.getHost(1, cmdId);
        for (let i = 0; i < 10; i++) client.report(1, cmdId, "10.0.0.1", 80, i === 0 ? 1 : 0, 1);
      }
      await until(() => reporter.totals().join() === "27,3", { what: "all results" });
      assert.deepEqual(reporter.times(), [30, 30]);
      const { feedClients, feedModules, feedCalls } = agent.stats();
      assert.deepEqual([feedClients, feedModules, feedCalls], [1, 3, 30]);
    });
  });
}

test("local: a change is in the client soon after dns has pushed it", async () => {
  await Scope.run(async (scope) => {
    const [dns, reporter] = await fakes(scope);
    const agent = scope.add(await startAgent(dns, reporter));
    const client = scope.add(local(portOf(agent)));
    await client.getHost(1, 1);
    for (let round = 3; round < 8; round++) {
      const startMs = systemClock.nowMs();
      dns.push(1, 1, [node(round)]);
      await until(async () => await ipsOf(client) === `10.0.0.${round}`, { intervalMs: 1 });
      assertInTime("a push", systemClock.nowMs() - startMs, 1000);
    }
    assert.ok(client.connected);
    assertInTime("the age of the table", client.tableAgeMs, 2000);
  });
});

test("local: the client judges by [loadbalance] of its agent, and stands in its zone", async () => {
  await Scope.run(async (scope) => {
    const [dns, reporter] = await fakes(scope);
    const flags = { "loadbalance.contin_err_limit": "3", "loadbalance.err_rate": "1" };
    const agent = scope.add(await startAgent(dns, reporter, { ...flags, "agent.zone": "east" }));
    const client = scope.add(local(portOf(agent)));
    await client.getHost(1, 1);
    for (let failure = 0; failure < 3; failure++) client.report(1, 1, "10.0.0.1", 80, 1);
    assert.equal(client.stats.hostsOverload, 1);
    const zoned = [1, 2].map((last) => ({ ...node(last), zone: last === 1 ? "west" : "east" }));
    dns.routes.set("1,2", zoned);
    dns.policies.set("1,2", '{"zoneAware":true}');
    assert.deepEqual(await client.getHost(1, 2), { ip: "10.0.0.2", port: 80 });
  });
});

test("local: a route of 10,000 nodes comes in parts", async () => {
  await Scope.run(async (scope) => {
    const [dns, reporter] = await fakes(scope);
    dns.partCount = 5;
    dns.routes.set("1,1", Array.from({ length: 10_000 }, (_, i) => ({ ip: i + 1, port: 80 })));
    const agent = scope.add(await startAgent(dns, reporter));
    const client = scope.add(local(portOf(agent)));
    assert.equal((await client.getRoute(1, 1)).length, 10_000);
  });
});

test("local: an agent that goes away and comes back costs no call and no result", async () => {
  await Scope.run(async (scope) => {
    const [dns, reporter] = await fakes(scope);
    const [client, port] = await clientWithoutAgent(scope, dns, reporter);
    const report = (): void => {
      const host = client.pick(1, 1);
      assert.ok(typeof host !== "number");
      client.report(1, 1, host.ip, host.port, 0, 1);
    };
    for (let i = 0; i < 40; i++) report();
    const ageMs = client.tableAgeMs;
    await until(() => client.tableAgeMs > ageMs + 50, { what: "the table to age" });
    dns.push(1, 1, [node(7)]);

    scope.add(await startAgent(dns, reporter, { "agent.port": String(port) }));
    await until(async () => await ipsOf(client) === "10.0.0.7", {
      what: "the change that was missed",
      timeoutMs: 10_000,
    });
    assert.ok(client.connected);
    assertInTime("the age of the table", client.tableAgeMs, 2000);
    report();
    // The calls of the nodes that left are ignored, as everywhere; that of the new one counts once.
    await until(() => reporter.totals().join() === "1,0", { what: "the result" });
  });
});

test("local: results made while the agent was away are counted once when it is back", async () => {
  await Scope.run(async (scope) => {
    const [dns, reporter] = await fakes(scope);
    const [client, port] = await clientWithoutAgent(scope, dns, reporter);
    for (let i = 0; i < 500; i++) client.report(1, 1, "10.0.0.1", 80, i % 50 === 0 ? 1 : 0, 1);
    assert.equal(client.stats.resultsPending, 1);
    scope.add(await startAgent(dns, reporter, { "agent.port": String(port) }));
    await until(() => reporter.totals().join() === "490,10", {
      what: "all results",
      timeoutMs: 10_000,
    });
    await until(() => client.stats.resultsPending === 0, { what: "the confirmation" });
    assert.equal(reporter.totals().join(), "490,10");
    assert.deepEqual(reporter.times(), [500, 500], "each time once");
  });
});

test("local: the next agent is taken when one is not there", async () => {
  await Scope.run(async (scope) => {
    const [dns, reporter] = await fakes(scope);
    const agent = scope.add(await startAgent(dns, reporter));
    const client = scope.add(
      local(0, { agents: ["127.0.0.1:1", `127.0.0.1:${portOf(agent)}`] }),
    );
    assert.match((await client.getHost(1, 1)).ip, /^10\.0\.0\.[12]$/);
  });
});

test("local and UDP callers of one agent share its judgement", async () => {
  await Scope.run(async (scope) => {
    const [dns, reporter] = await fakes(scope);
    const agent = scope.add(await startAgent(dns, reporter));
    const own = scope.add(local(portOf(agent)));
    const other = scope.add(new LarsClient({ port: portOf(agent), deadlineMs: 5000 }));
    await own.getHost(1, 1);
    for (let i = 0; i < 15; i++) own.report(1, 1, "10.0.0.1", 80, 1);
    const avoids = async (): Promise<boolean> => {
      const picked = [await other.getHost(1, 1), await other.getHost(1, 1)];
      return picked.every(({ ip }) => ip === "10.0.0.2");
    };
    await until(avoids, { what: "the other caller to avoid the node" });
  });
});

/** dns and reporter on a database with one module of two nodes. */
async function withServices(
  fn: (system: { dns: string; reporter: string; store: Store }, scope: Scope) => Promise<void>,
): Promise<void> {
  await withTempDir((directory) =>
    Scope.run(async (scope) => {
      const url = `sqlite:${join(directory, "lars.db")}`;
      const store = scope.add(await openStore(url));
      await store.migrate();
      await store.editRoutes([1, 2].map((last) => (
        { op: "add" as const, modId: 1, cmdId: 1, ...node(last) }
      )));
      const flags = { "reactor.port": "0", "store.url": url };
      const dns = scope.add(await startDaemon(dnsDaemon, { flags }, { log: silentLogger }));
      const reporter = scope.add(
        await startDaemon(reporterDaemon, { flags }, { log: silentLogger }),
      );
      await fn({ dns: dns.addresses[0], reporter: reporter.addresses[0], store }, scope);
    })
  );
}

/** Calls that the database says were made: successes and failures of all nodes. */
async function counted(store: Store): Promise<string> {
  const rows = await store.readCallStatus({ modId: 1, cmdId: 1 });
  const sum = (of: (row: typeof rows[number]) => number | undefined): number =>
    rows.reduce((total, row) => total + (of(row) ?? 0), 0);
  return `${sum((row) => row.succTotal)},${sum((row) => row.errTotal)}`;
}

async function makeCalls(client: InProcessClient): Promise<void> {
  for (let i = 0; i < 2000; i++) {
    const { ip, port } = await client.getHost(1, 1);
    client.report(1, 1, ip, port, i % 100 === 0 ? 1 : 0, 3);
  }
}

test("local: SQL counts every result once, through dns, agent and reporter", async () => {
  await withServices(async ({ dns, reporter, store }, scope) => {
    const agent: RunningService = scope.add(
      await startDaemon(agentDaemon, {
        flags: { "agent.port": "0", "dnsserver.ip": dns, "reporter.ip": reporter },
      }, { log: silentLogger }),
    );
    const client = scope.add(local(portOf(agent)));
    await makeCalls(client);
    await until(async () => await counted(store) === "1980,20", { what: "all results in SQL" });
    await client.close();
    await agent.stop();
    assert.equal(await counted(store), "1980,20");
  });
});

test("direct: SQL counts every result once, without an agent; changes arrive", async () => {
  await withServices(async ({ dns, reporter, store }, scope) => {
    const client = scope.add(
      new InProcessClient({ mode: "direct", dns: [dns], reporters: [reporter], deadlineMs: 5000 }),
    );
    await makeCalls(client);
    await until(async () => await counted(store) === "1980,20", { what: "all results in SQL" });
    await store.editRoutes([{ op: "remove", modId: 1, cmdId: 1, ...node(1) }]);
    await until(async () => await ipsOf(client) === "10.0.0.2", { what: "the change" });
  });
});

test("a client over UDP without an agent goes on with dns and reporter, and counts once", async () => {
  await withServices(async ({ dns, reporter, store }, scope) => {
    const client = scope.add(
      new LarsClient({ port: await freePort(), dns: [dns], reporters: [reporter] }),
    );
    for (let call = 0; call < 20; call++) {
      const { ip, port } = await client.getHost(1, 1);
      client.report(1, 1, ip, port, call === 7 ? 1 : 0, 3);
    }
    await until(async () => await counted(store) === "19,1", { what: "all results in SQL" });
  });
});

test("direct: a route that lost too many nodes unmarked is held back, as by an agent", async () => {
  await Scope.run(async (scope) => {
    const [dns, reporter] = await fakes(scope);
    const client = scope.add(
      new InProcessClient({
        mode: "direct",
        dns: [`127.0.0.1:${dns.port}`],
        reporters: [`127.0.0.1:${reporter.port}`],
        deadlineMs: 5000,
      }),
    );
    dns.guarded.add("1,1");
    assert.equal(await ipsOf(client), "10.0.0.1,10.0.0.2");
    dns.push(1, 1, []);
    dns.push(1, 2, [node(3)]);
    await client.getHost(1, 2);
    assert.equal(await ipsOf(client), "10.0.0.1,10.0.0.2");
    dns.meant.add("1,1");
    dns.push(1, 1, [node(7)]);
    await until(async () => await ipsOf(client) === "10.0.0.7", { what: "what is meant" });
  });
});
