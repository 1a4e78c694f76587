import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { agentDaemon } from "../agent/service.ts";
import { FakeReporter } from "../agent/testing/fake_upstream.ts";
import { InProcessClient, LarsClient } from "../api/mod.ts";
import { type RunningService, startDaemon } from "../daemon/daemon.ts";
import { dnsDaemon } from "../dns/service.ts";
import { silentLogger } from "../reactor/log.ts";
import { type Ended, type Processes, withProcesses } from "../tests/support/processes.ts";
import { withStore } from "../sql/testing/store_conformance.ts";
import { startTestConsole } from "../tests/support/console_bench.ts";
import { addConsoleToken } from "../tests/support/console_token.ts";
import { until } from "../tests/support/until.ts";

interface Bench {
  readonly client: LarsClient;
  readonly inProcess: InProcessClient;
  lars(...args: string[]): Promise<Ended>;
  /** Words that make a command work through a console with the same database. */
  readonly server: readonly string[];
  readonly url: string;
}

/** dns, agent and console on an embedded database with two nodes of module (1,1), and two callers. */
async function withBench(fn: (bench: Bench) => Promise<void>): Promise<void> {
  await withProcesses(async (processes: Processes) => {
    const lars = (...args: string[]): Promise<Ended> =>
      processes.run("tools/lars.ts", args, { cwd: processes.directory });
    const log = silentLogger;
    const stops: (() => Promise<unknown>)[] = [];
    try {
      for (
        const args of [
          ["sql", "migrate"],
          ["route", "add", "1", "1", "10.0.0.1:80"],
          ["route", "add", "1", "1", "10.0.0.2:80"],
        ]
      ) assert.equal((await lars(...args)).code, 0);
      const url = `sqlite:${join(processes.directory, "data", "lars.db")}`;
      const dns = await startDaemon(dnsDaemon, {
        flags: {
          "store.url": url,
          "reactor.port": "0",
        },
      }, { log });
      stops.push(() => dns.stop());
      const reporter = await FakeReporter.start();
      stops.push(() => reporter.close());
      const agent: RunningService = await startDaemon(agentDaemon, {
        flags: {
          "agent.port": "0",
          "agent.threads": "1",
          "dnsserver.ip": dns.addresses[0],
          "reporter.ip": `127.0.0.1:${reporter.port}`,
        },
      }, { log });
      stops.push(() => agent.stop());
      const client = new LarsClient({
        port: Number(agent.addresses[0].split(":")[1]),
        deadlineMs: 5000,
      });
      stops.push(() => client.close());
      const inProcess = new InProcessClient({ agents: [agent.addresses[0]], deadlineMs: 5000 });
      stops.push(() => inProcess.close());
      for (const one of [client, inProcess]) {
        await until(async () => (await one.getRoute(1, 1)).length === 2, { what: "the route" });
      }
      const web = await startTestConsole(url);
      stops.push(() => web.stop());
      const token = await withStore(url, (store) => addConsoleToken(store, "admin", "operator"));
      const tokenFile = join(processes.directory, "token");
      writeFileSync(tokenFile, token);
      const server = ["--server", `http://${web.addresses[0]}`, "--token-file", tokenFile];
      await fn({ client, inProcess, lars, server, url });
    } finally {
      for (const stop of stops.reverse()) await stop();
    }
  });
}

for (const way of ["database", "console"] as const) {
  test(`lars drain --wait by the ${way} returns when no agent uses the node any more`, async () => {
    await withBench(async ({ client, inProcess, lars, server }) => {
      const by = way === "console" ? server : [];
      const args = ["10.0.0.2:80", "--wait", "--quiet-seconds", "1", ...by];
      let picks = 0;
      let calling = true;
      const calls = (async (): Promise<void> => {
        while (calling) {
          for (const one of [client, inProcess]) {
            const host = await one.getHost(1, 1);
            if (host.ip === "10.0.0.2") picks++;
            one.report(1, 1, host.ip, host.port, 0, 1);
          }
          // Neither waits for anything while it picks from memory: nothing else would get its turn.
          await new Promise((resolve) => setImmediate(resolve));
        }
      })();
      // A call that fails must not hide what failed here before.
      calls.catch(() => {});
      const drained = await lars("drain", ...args, "--json");
      assert.equal(drained.code, 0, drained.stdout + drained.stderr);
      const picksBefore = picks;
      const outcome = JSON.parse(drained.stdout);
      assert.deepEqual(outcome.modules, [{ modid: 1, cmdid: 1 }]);
      assert.equal(outcome.safe, true);
      assert.ok(outcome.agents >= 1 && outcome.quiet_seconds >= 1, drained.stdout);
      assert.ok(picksBefore > 0, "the node was in use");
      const again = await lars("drain", ...args);
      assert.equal(again.code, 0, again.stderr);
      assert.match(again.stdout, /^safe to stop 10\.0\.0\.2:80: \d+ agents?, [\d.]+ s\n$/);
      assert.match(again.stderr, /drains \(was so already\)/);
      assert.equal(picks, picksBefore, "nobody picked it after it was called safe");
      const back = await lars("undrain", "10.0.0.2:80", ...by);
      assert.equal(back.code, 0, back.stderr);
      assert.match(
        back.stdout,
        /gets calls again, 1 module: \(1,1\); version \d+, dns .* told in [\d.]+ ms\n$/,
      );
      await until(() => picks > picksBefore, { what: "its return" });
      calling = false;
      await calls;
    });
  });

  test(`lars drain --wait by the ${way} is not safe while results of calls come`, async () => {
    await withBench(async ({ client, lars, server }) => {
      let ending = true;
      const ends = (async (): Promise<void> => {
        // Long calls that began before the drain.
        while (ending) {
          client.report(1, 1, "10.0.0.2", 80, 0, 1);
          await client.getRoute(1, 1);
        }
      })();
      const by = way === "console" ? server : [];
      const args = ["--wait", "--quiet-seconds", "2", "--timeout", "3", "--json", ...by];
      const { code, stdout } = await lars("drain", "10.0.0.2:80", ...args);
      assert.equal(code, 1, stdout);
      const outcome = JSON.parse(stdout);
      assert.equal(outcome.safe, false);
      assert.match(outcome.waits_for.join(), /quiet for .* of 2\.0 s/);
      ending = false;
      await ends;
    });
  });
}

test("lars drain --wait is not safe while a caller reports calls whom no dns can ask", async () => {
  await withBench(async ({ lars, server, url }) => {
    await withStore(url, (store) =>
      store.writeCallStatus([{
        modId: 1,
        cmdId: 1,
        ip: 0x0a000002,
        port: 80,
        caller: 0x7f000009,
        succCount: 1,
        errCount: 0,
        ts: Math.floor(Date.now() / 1000) + 3600,
        overload: false,
      }]));
    const args = ["10.0.0.2:80", "--wait", "--quiet-seconds", "0", "--timeout", "10"];
    const ways = [[], server].map((by) => lars("drain", ...args, ...by));
    for (const { code, stdout, stderr } of await Promise.all(ways)) {
      assert.equal(code, 1, stdout + stderr);
      assert.match(
        stdout,
        /^not safe to stop 10\.0\.0\.2:80 after [\d.]+ s: 127\.0\.0\.9 has just reported calls of \(1,1\)\n$/,
      );
    }
  });
});

test("lars drain says what cannot be drained, and does not wait unasked", async () => {
  await withProcesses(async (processes) => {
    const lars = (...args: string[]): Promise<Ended> =>
      processes.run("tools/lars.ts", args, { cwd: processes.directory });
    await lars("sql", "migrate");
    await lars("route", "add", "1", "1", "10.0.0.1:80");
    await lars("route", "add", "2", "1", "10.0.0.1:80");
    await lars("route", "add", "1", "1", "10.0.0.2:80", "--state", "off");
    const unknown = await lars("drain", "10.0.0.9:80");
    assert.equal(unknown.code, 1);
    assert.match(unknown.stderr, /no module has it/);
    assert.match((await lars("drain", "10.0.0.2:80")).stderr, /it is off/);
    assert.equal((await lars("drain", "10.0.0.1")).code, 2);
    await lars("module", "set", "2", "1", "--name", "shop");
    await lars("route", "add", "3", "1", "10.0.0.1:80");
    await lars("route", "add", "3", "1", "10.0.0.2:80");
    const { code, stdout, stderr } = await lars("drain", "10.0.0.1:80");
    assert.equal(code, 0);
    // Their last nodes; the others of a module do not count while they get no calls.
    assert.match(stderr, /warning: module \(1,1\) has no node that takes calls now/);
    assert.match(stderr, /warning: module \(2,1\) shop has no node that takes calls now/);
    assert.doesNotMatch(stderr, /module \(3,1\)/);
    assert.deepEqual(
      JSON.parse((await lars("drain", "10.0.0.1:80", "--json")).stdout).emptied,
      [],
      "said once",
    );
    assert.match(stderr, /one of the original, .* goes on giving 10\.0\.0\.1:80 to callers/);
    assert.match(
      stdout,
      /^10\.0\.0\.1:80 drains, 3 modules: \(1,1\), \(2,1\) shop, \(3,1\); version \d+\n$/,
    );
    const states = JSON.parse((await lars("route", "ls", "--json")).stdout)
      .map(({ ip, state }: { ip: string; state: string }) => `${ip} ${state}`).sort();
    assert.deepEqual(states, [
      ...["10.0.0.1 drain", "10.0.0.1 drain", "10.0.0.1 drain"],
      ...["10.0.0.2 off", "10.0.0.2 on"],
    ]);
    const waiting = await lars("drain", "10.0.0.1:80", "--wait");
    assert.equal(waiting.code, 1);
    assert.match(waiting.stderr, /No dns is signed in/);
    assert.match((await lars("undrain", "10.0.0.1:80")).stdout, /gets calls again, 3 module/);
  });
});
