import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { assertInTime } from "../tests/support/in_time.ts";
import {
  type Ended,
  type Processes,
  scriptCommand,
  withProcesses,
} from "../tests/support/processes.ts";
import { monotonicMs, WireConnection } from "../tests/support/wire_client.ts";

/** What is promised; the assertion below leaves room for a busy machine. */
const PUSH_PROMISED_MS = 100;

async function lars(processes: Processes, ...args: string[]): Promise<Ended> {
  return await processes.run("tools/lars.ts", args, { cwd: processes.directory });
}

async function succeed(processes: Processes, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await lars(processes, ...args);
  assert.equal(code, 0, `lars ${args.join(" ")}: ${stdout}${stderr}`);
  return stdout;
}

test("lars route: add, set, ls, rm", async () => {
  await withProcesses(async (processes) => {
    assert.match(await succeed(processes, "sql", "migrate"), /schema version \d+\n$/);
    assert.match(await succeed(processes, "sql", "migrate"), /nothing to do\n$/);
    assert.match(
      await succeed(processes, "route", "add", "1", "4294967295", "192.168.1.177:7777"),
      /^added \(1,4294967295\) 192\.168\.1\.177:7777, version \d+\n$/,
    );
    const again = await lars(processes, "route", "add", "1", "4294967295", "192.168.1.177:7777");
    assert.equal(again.code, 1);
    assert.match(again.stderr, /exists/);
    await succeed(processes, "route", "add", "2", "1", "10.0.0.1:80", "--zone", "east");
    const set = ["--state", "drain", "--weight", "0", "--zone", ""];
    await succeed(processes, "route", "set", "2", "1", "10.0.0.1:80", ...set);
    assert.deepEqual(JSON.parse(await succeed(processes, "route", "ls", "2", "--json")), [
      { modid: 2, cmdid: 1, ip: "10.0.0.1", port: 80, weight: 0, zone: "", state: "drain" },
    ]);
    assert.match(
      await succeed(processes, "route", "ls"),
      /^MODID +CMDID +NODE .*\n +1 +4294967295 +192\.168\.1\.177:7777 .*\n +2 +1 +10\.0\.0\.1:80 /,
    );
    const removed = JSON.parse(
      await succeed(processes, "route", "rm", "2", "1", "10.0.0.1:80", "--json"),
    );
    assert.deepEqual(removed.changed, [{ modid: 2, cmdid: 1 }]);
    assert.deepEqual(removed.told, []);
    const gone = await lars(processes, "route", "rm", "2", "1", "10.0.0.1:80");
    assert.equal(gone.code, 1);
    assert.equal(await succeed(processes, "route", "ls", "2", "1"), "No nodes.\n");
  });
});

for (const format of ["csv", "json"]) {
  test(`lars route: export and import go round as ${format}`, async () => {
    await withProcesses(async (processes) => {
      const file = `routes.${format}`;
      const path = join(processes.directory, file);
      await succeed(processes, "sql", "migrate");
      await succeed(processes, "sql", "migrate", "--data", "other");
      await succeed(processes, "route", "add", "1", "1", "10.0.0.1:80", "--weight", "7");
      await succeed(processes, "route", "add", "1", "1", "10.0.0.2:80", "--state", "off");
      await succeed(processes, "route", "add", "2", "1", "255.255.255.254:65535", "--zone", "z-1");
      await succeed(processes, "route", "export", file);
      const exported = readFileSync(path, "utf8");
      assert.equal(await succeed(processes, "route", "export", "--format", format), exported);

      const differs = await lars(processes, "route", "diff", file, "--data", "other");
      assert.equal(differs.code, 1);
      assert.equal(differs.stdout.match(/^\+ /gm)?.length, 3, differs.stdout);
      const dry = await succeed(processes, "route", "import", file, "--data", "other", "--dry-run");
      assert.match(dry, /3 added, 0 changed, 0 removed, 0 as they were; nothing written\n$/);
      assert.equal(await succeed(processes, "route", "ls", "--data", "other"), "No nodes.\n");

      const from = ["sh", "-c", `exec "$@" < ${path}`, "sh", ...scriptCommand("tools/lars.ts")];
      const piped = await processes.spawnCommand(
        "import -",
        [...from, "route", "import", "-", "--data", "other", "--format", format],
        { cwd: processes.directory },
      ).untilEnded(30_000);
      assert.equal(piped.code, 0, piped.stderr);
      assert.match(piped.stdout, /3 added, 0 changed, 0 removed, 0 as they were; version \d+\n$/);
      assert.equal(
        await succeed(processes, "route", "export", "--data", "other", "--format", format),
        exported,
      );
      assert.equal(await succeed(processes, "route", "diff", file, "--data", "other"), "");
      const equal = await succeed(processes, "route", "diff", file, "--json");
      assert.deepEqual(JSON.parse(equal), {
        equal: true,
        added: [],
        changed: [],
        missing: [],
        unchanged: 3,
      });
    });
  });
}

test("lars route import: changes, prunes, and refuses to empty a module unasked", async () => {
  await withProcesses(async (processes) => {
    await succeed(processes, "sql", "migrate");
    await succeed(processes, "route", "add", "1", "1", "10.0.0.1:80");
    await succeed(processes, "route", "add", "1", "1", "10.0.0.2:80");
    await succeed(processes, "route", "add", "2", "1", "10.0.0.3:80");
    writeFileSync(
      join(processes.directory, "r.csv"),
      "modid,cmdid,ip,port,weight\n1,1,10.0.0.1,80,5\n1,1,10.0.0.9,80,\n",
    );
    const plain = await succeed(processes, "route", "import", "r.csv");
    assert.match(plain, /^\+ \(1,1\) 10\.0\.0\.9:80 weight 100 state on$/m);
    assert.match(plain, /^~ \(1,1\) 10\.0\.0\.1:80 weight 100 -> 5$/m);
    assert.match(plain, /^\? \(2,1\) 10\.0\.0\.3:80/m);
    assert.match(plain, /1 added, 1 changed, 0 removed, 0 as they were/);
    await succeed(processes, "route", "set", "1", "1", "10.0.0.1:80", "--weight", "0");
    assert.match(await succeed(processes, "route", "ls"), /10\.0\.0\.1:80 +0 +on, drains/);
    await succeed(processes, "module", "set", "2", "1", "--name", "search");
    const { stdout } = await lars(processes, "route", "diff", "r.csv");
    assert.match(stdout, /^- \(2,1\) search 10\.0\.0\.3:80/m);
    const refused = await lars(processes, "route", "import", "r.csv", "--prune");
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /would leave 1 module without any node: \(2,1\) search;.*--yes/);
    assert.equal(JSON.parse(await succeed(processes, "route", "ls", "--json")).length, 4);
    const pruned = await succeed(
      processes,
      "route",
      "import",
      "r.csv",
      "--prune",
      "--yes",
      "--json",
    );
    const result = JSON.parse(pruned);
    assert.equal(result.applied, true);
    assert.equal(result.missing.length, 2);
    assert.equal(JSON.parse(await succeed(processes, "route", "ls", "--json")).length, 2);
  });
});

test("lars route import: a file with faults changes nothing and every fault is named", async () => {
  await withProcesses(async (processes) => {
    await succeed(processes, "sql", "migrate");
    writeFileSync(
      join(processes.directory, "bad.csv"),
      "modid,cmdid,ip,port\n1,1,10.0.0.1,80\n1,1,10.0.0.2,0\n1,x,10.0.0.3,80\n",
    );
    const { code, stdout, stderr } = await lars(processes, "route", "import", "bad.csv");
    assert.equal(code, 2);
    assert.equal(stdout, "");
    assert.match(
      stderr,
      /^lars: bad\.csv:3: Port must be .*\nlars: bad\.csv:4: CMDID must be .*\n$/,
    );
    assert.equal(await succeed(processes, "route", "ls"), "No nodes.\n");
  });
});

test("lars route add: a subscribed connection gets the push at once", async () => {
  await withProcesses(async (processes) => {
    await succeed(processes, "sql", "migrate");
    // A poll only once a minute: whatever comes sooner was told.
    const dns = await processes.start("dns", [
      "--reactor-port=0",
      `--data=${join(processes.directory, "data")}`,
      "--dns-poll-interval=60",
      "--dns-reload-interval=60",
    ]);
    await succeed(processes, "status");
    const subscriber = await WireConnection.open(dns.port());
    try {
      assert.deepEqual((await subscriber.route(7, 7)).hosts, []);
      const output = JSON.parse(
        await succeed(processes, "route", "add", "7", "7", "10.0.0.7:7777", "--json"),
      );
      const exitMs = monotonicMs();
      const { hosts } = await subscriber.nextRoute(7, 7);
      assert.deepEqual(hosts, [{ ip: 0x0a000007, port: 7777 }]);
      const [told] = output.told;
      assert.equal(told.told, true, JSON.stringify(output));
      const pushMs = told.took_ms + Math.max(0, monotonicMs() - exitMs);
      console.log(`push after ${pushMs.toFixed(1)} ms (promised: ${PUSH_PROMISED_MS} ms)`);
      assertInTime("push of lars route add", pushMs, PUSH_PROMISED_MS);
    } finally {
      subscriber.close();
    }
  });
});

test("lars route add: a dns that does not answer is a warning, not a failure", async () => {
  await withProcesses(async (processes) => {
    await succeed(processes, "sql", "migrate");
    const { code, stderr } = await lars(
      processes,
      ...["route", "add", "1", "1", "10.0.0.1:80", "--dns", "127.0.0.1:1"],
    );
    assert.equal(code, 0);
    assert.match(stderr, /warning: dns 127\.0\.0\.1:1 was not told \(connection refused\)/);
  });
});

test("lars route add: proves the secret to a dns that asks for it", async () => {
  await withProcesses(async (processes) => {
    await succeed(processes, "sql", "migrate");
    writeFileSync(join(processes.directory, "secret"), "correct horse battery\n");
    writeFileSync(join(processes.directory, "wrong"), "another horse battery\n");
    await processes.start("dns", [
      "--reactor-port=0",
      `--data=${join(processes.directory, "data")}`,
      `--auth-token-file=${join(processes.directory, "secret")}`,
    ]);
    const add = async (port: number, ...args: string[]): Promise<string> => {
      const node = `10.0.0.1:${port}`;
      const { code, stderr } = await lars(processes, "route", "add", "1", "1", node, ...args);
      assert.equal(code, 0, stderr);
      return stderr;
    };
    assert.equal(await add(1, "--token-file", "secret"), "");
    assert.match(await add(2), /was not told \(it asks for a secret: give --token-file FILE\)/);
    assert.match(await add(3, "--token-file", "wrong"), /was not told \(the secrets differ: /);
    const missing = ["--token-file", "none"];
    const { code } = await lars(processes, "route", "add", "1", "1", "10.0.0.1:4", ...missing);
    assert.equal(code, 2);
  });
});
