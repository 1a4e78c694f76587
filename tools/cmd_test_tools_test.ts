import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { startFleet } from "../tests/support/fleet.ts";
import { freePort } from "../tests/support/free_port.ts";
import { type Ended, type Processes, withProcesses } from "../tests/support/processes.ts";
import { tutorialEdits } from "../tests/support/tutorial_routes.ts";
import { sqliteTestStore } from "../tests/support/fleet.ts";
import { until } from "../tests/support/until.ts";

async function withAgent(
  fn: (lars: (...args: string[]) => Promise<Ended>, processes: Processes) => Promise<void>,
): Promise<void> {
  await withProcesses(async (processes) => {
    const { url, store } = await sqliteTestStore(processes);
    await store.editRoutes(tutorialEdits());
    await store.close();
    const { agent } = await startFleet(processes, url);
    const at = ["--agent", `127.0.0.1:${agent.port()}`];
    await fn((...args) => processes.run("tools/lars.ts", ["test", ...args, ...at]), processes);
  });
}

test("lars test: gethost, getroute, report and example say what the original's tools say", async () => {
  await withAgent(async (lars, processes) => {
    const host = await lars("gethost", "1", "1");
    assert.equal(host.stdout, "host is 192.168.1.177:7777\n", host.stderr);
    assert.equal(host.code, 0);
    const route = await lars("getroute", "1", "2");
    assert.equal(
      route.stdout.split("\n").sort().join("\n").trim(),
      "ip = 192.168.1.178, port = 7776\n" +
        "ip = 192.168.1.179, port = 7778\n" +
        "ip = 192.168.1.180, port = 7779",
    );
    const report = await lars("report", "1", "1", "192.168.1.177", "7777", "0");
    assert.equal(report.stdout, "report modid = 1, cmdid = 1 | 192.168.1.177:7777 SUCC\n");
    const bad = await lars("report", "1", "1", "192.168.1.177", "7777", "1");
    assert.equal(bad.stdout, "report modid = 1, cmdid = 1 | 192.168.1.177:7777 OVERLOAD\n");
    const example = await lars("example", "1", "1");
    assert.match(
      example.stdout,
      /^get route succ!\nip = 192\.168\.1\.177, port = 7777\nhost is 192\.168\.1\.177:7777\n$/,
    );
    // The report reaches the database through agent and reporter.
    const status = async (): Promise<{ calls: { modules: { modid: number; succ: number }[] } }> => {
      const args = [
        "status",
        "--json",
        "--store",
        `sqlite:${join(processes.directory, "lars.db")}`,
      ];
      return JSON.parse((await processes.run("tools/lars.ts", args)).stdout);
    };
    await until(async () => (await status()).calls.modules.some(({ modid }) => modid === 1), {
      timeoutMs: 20_000,
      what: "the report to be in the database",
    });
  });
});

test("lars test: --json", async () => {
  await withAgent(async (lars) => {
    const json = async (...args: string[]): Promise<Record<string, unknown>> => {
      const { code, stdout, stderr } = await lars(...args, "--json");
      assert.equal(code, 0, stderr);
      return JSON.parse(stdout);
    };
    assert.deepEqual(await json("gethost", "1", "1"), {
      modid: 1,
      cmdid: 1,
      retcode: 0,
      ip: "192.168.1.177",
      port: 7777,
    });
    const route = await json("getroute", "1", "1");
    assert.deepEqual(route.hosts, [{ ip: "192.168.1.177", port: 7777 }]);
    assert.deepEqual(await json("report", "1", "1", "192.168.1.177", "7777", "1"), {
      modid: 1,
      cmdid: 1,
      ip: "192.168.1.177",
      port: 7777,
      retcode: 1,
    });
    const simulated = await json(
      ...["simulator", "1", "2", "5", "40", "--interval", "0", "--seed", "7"],
    );
    const hosts = simulated.hosts as Record<"port" | "success" | "error", number>[];
    assert.deepEqual(hosts.map(({ ip, port }: Record<string, unknown>) => `${ip}:${port}`), [
      "192.168.1.178:7776",
      "192.168.1.179:7778",
      "192.168.1.180:7779",
    ]);
    const sum = hosts.reduce((total, { success, error }) => total + success + error, 0);
    assert.equal(sum + (simulated.overloaded as number), 40);
  });
});

test("lars test simulator: the sums of each node, and each call with -v", async () => {
  await withAgent(async (lars) => {
    const { code, stdout } = await lars("simulator", "1", "1", "0", "5");
    assert.equal(code, 0);
    const head = "modid = 1, cmdid = 1, err_rate = 0\n";
    const sums = "1,1 ip : 192.168.1.177:7777: success: 5; error: 0\n";
    assert.equal(stdout, head + sums);
    const each = await lars("simulator", "1", "1", "0", "5", "-v");
    assert.equal(
      each.stdout,
      head + "host 192.168.1.177:hostcalled  SUCCESS.\n".repeat(5) + sums,
    );
    const failing = await lars("simulator", "1", "1", "10", "30", "--interval", "0", "-v");
    assert.match(failing.stdout, /^host 192\.168\.1\.177:hostcalled {2}ERROR!!!$/m);
    assert.match(failing.stdout, /^1,1 all hosts were overloaded!!!$/m);
    assert.match(failing.stdout, /^1,1 ip : 192\.168\.1\.177:7777: success: 0; error: \d+$/m);
    assert.match(failing.stdout, /^1,1 all hosts were overloaded!!!: \d+ of 30 calls$/m);
  });
});

test("a module that the command line makes stays open while 2 in 10 calls fail on every node", async () => {
  await withProcesses(async (processes) => {
    const { url, store } = await sqliteTestStore(processes);
    await store.close();
    const { agent } = await startFleet(processes, url);
    const nodes = ["10.3.0.1:80", "10.3.0.1:81", "10.3.0.2:80"];
    for (const node of nodes) {
      const args = ["route", "add", "3", "1", node, "--store", url];
      assert.equal((await processes.run("tools/lars.ts", args)).code, 0);
    }
    const words = ["simulator", "3", "1", "2", "3000", "--interval", "0", "--seed", "7", "--json"];
    const at = ["--agent", `127.0.0.1:${agent.port()}`];
    const { stdout, stderr } = await processes.run("tools/lars.ts", ["test", ...words, ...at]);
    const { hosts, overloaded, not_exist: unknown } = JSON.parse(stdout) as {
      hosts: { ip: string; port: number; success: number; error: number }[];
      overloaded: number;
      not_exist: number;
    };
    assert.deepEqual(hosts.map(({ ip, port }) => `${ip}:${port}`), nodes, stderr);
    assert.deepEqual([overloaded, unknown], [0, 0]);
    const failed = hosts.reduce((sum, { error }) => sum + error, 0);
    assert.ok(failed / 3000 <= 0.205, `${failed} of 3,000 calls failed`);
  });
});

test("lars test qps: one line for each caller and second", async () => {
  await withAgent(async (lars) => {
    const { code, stdout } = await lars("qps", "2", "--seconds", "1");
    assert.equal(code, 0);
    assert.match(stdout, /^thread:\[0\] --> qps = \[\d+\], average = \[\d+\]$/m);
    assert.match(stdout, /^thread:\[1\] --> qps = \[[1-9]\d*\], average = \[[1-9]\d*\]$/m);
    const lines = (await lars("qps", "1", "--seconds", "1", "--json")).stdout.trim().split("\n");
    const events = lines.map((line) => JSON.parse(line));
    assert.equal(events[0].thread, 0);
    assert.equal(events.at(-1).event, "total");
    assert.ok(events.at(-1).requests > 0);
  });
});

const NOT_THERE = (modId: number): string =>
  `modid ${modId}, cmdid ${modId} still not exist host, after register, ret = 3\n`;

test("lars test: a module without nodes ends with 0 as in the original, with 1 when strict", async () => {
  await withAgent(async (lars) => {
    const rows: [string[], string, RegExp][] = [
      [["gethost"], "", /^lars: 77,77 not exist \(ret = 3\)\n$/],
      [["getroute"], "", /^lars: 77,77 has no nodes\n$/],
      [["example"], "get route succ!\n", /^lars: 77,77 has no nodes\nlars: 77,77 not exist/],
    ];
    for (const [[tool], more, complaint] of rows) {
      const { code, stdout, stderr } = await lars(tool, "77", "77");
      assert.equal(code, 0, stderr);
      assert.equal(stdout, NOT_THERE(77) + more);
      assert.match(stderr, complaint);
      assert.equal((await lars(tool, "77", "77", "--strict")).code, 1, tool);
    }
    const { retcode } = JSON.parse((await lars("gethost", "77", "77", "--json")).stdout);
    assert.equal(retcode, 3);
  });
});

test("lars test: no agent ends with 0 as in the original, with 1 when strict", async () => {
  await withProcesses(async (processes) => {
    const agent = `127.0.0.1:${await freePort()}`;
    const reported = "report modid = 1, cmdid = 1 | 10.0.0.1:1 SUCC\n";
    const simulated = "modid = 1, cmdid = 1, err_rate = 2\n";
    const rows: [string[], string][] = [
      [["gethost", "1", "1"], NOT_THERE(1)],
      [["getroute", "1", "1"], NOT_THERE(1)],
      [["report", "1", "1", "10.0.0.1", "1", "0"], NOT_THERE(1) + reported],
      [["simulator", "1", "1"], simulated + NOT_THERE(1)],
      [["example", "1", "1"], NOT_THERE(1)],
      [["qps", "1", "--seconds", "1"], NOT_THERE(1)],
    ];
    await Promise.all(rows.map(async ([words, expected]) => {
      const run = (...more: string[]) =>
        processes.run("tools/lars.ts", ["test", ...words, "--agent", agent, ...more]);
      const { code, stdout, stderr } = await run();
      assert.equal(code, 0, stderr);
      assert.equal(stdout, expected);
      assert.match(stderr, /^lars: No agent answers at 127\.0\.0\.1:/m);
      assert.doesNotMatch(stderr, /^\s+at /m);
      const strict = await run("--strict");
      assert.equal(strict.code, 1, words.join(" "));
      assert.match(strict.stderr, /^lars: No agent answers at 127\.0\.0\.1:/m);
    }));
  });
});

test("lars test: of a host that has no address it says so", async () => {
  await withProcesses(async (processes) => {
    for (const tool of ["gethost", "getroute"]) {
      const words = ["test", tool, "1", "1", "--agent", "nohost.invalid", "--strict"];
      const { code, stderr } = await processes.run("tools/lars.ts", words);
      assert.equal(code, 1);
      assert.match(
        stderr,
        /^lars: nohost\.invalid:8888: the host has no IPv4 address \(is its name/,
      );
    }
  });
});
