// The relay as its users start it, and a client in C that was written from its contract alone.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { LinkedPeer } from "../relay/testing/linked_peer.ts";
import { findProgram } from "./support/mariadb.ts";
import {
  type Ended,
  type Processes,
  PROJECT_ROOT,
  runtimeName,
  scriptCommand,
  type TestProcess,
  withProcesses,
} from "./support/processes.ts";
import { untilQuietSecond } from "./support/quiet_second.ts";
import { until } from "./support/until.ts";

const TIMEOUT = { timeout: 180_000 };

/** Compiles the client; undefined: there is no compiler. */
function compileClient(directory: string): string | undefined {
  const compiler = findProgram("gcc") ?? findProgram("cc");
  if (compiler === undefined) return undefined;
  const program = join(directory, "seed_client");
  const source = join(PROJECT_ROOT, "tests/relay/seed_client.c");
  const { status, stderr } = spawnSync(compiler, ["-O1", "-Wall", "-o", program, source], {
    encoding: "utf8",
  });
  assert.equal(status, 0, stderr);
  return program;
}

async function startEcho(processes: Processes, port: number): Promise<TestProcess> {
  const words = ["relay", "echo", "--relay", `127.0.0.1:${port}`, "--json"];
  const echo = processes.spawn("echo", "tools/lars.ts", words);
  await until(() => echo.stdout.includes('"attached"'), { what: "the echo worker" });
  return echo;
}

async function runClient(
  processes: Processes,
  program: string,
  words: readonly (string | number)[],
): Promise<Ended> {
  const ended = await processes.spawnCommand("client", [program, ...words.map(String)])
    .untilEnded(60_000);
  assert.equal(ended.code, 0, ended.stderr);
  assert.match(ended.stdout, /^ok \d+\n$/);
  return ended;
}

test(
  "e2e: a C client of the relay gets its own answers in every way it may behave",
  TIMEOUT,
  async (t) => {
    await withProcesses(async (processes) => {
      const program = compileClient(processes.directory);
      if (program === undefined) return t.skip("there is no C compiler");
      const flags = ["--relay-port=0", "--metrics-port=0"];
      const relay = await processes.start("relay", flags);
      const port = relay.port();
      const echo = await startEcho(processes, port);
      // One after the other, then all at once: three of them with equal process ids.
      const alone = await runClient(processes, program, [port, 10, 0, "-"]);
      const together = await Promise.all([
        runClient(processes, program, [port, 10, 0, "x"]),
        runClient(processes, program, [port, 10, 4242, "s"]),
        runClient(processes, program, [port, 10, 4242, "f"]),
        runClient(processes, program, [port, 10, 4242, "sfl"]),
        runClient(processes, program, [port, 10, 0, "l"]),
      ]);
      const sids = [alone, ...together].map(({ stdout }) => stdout);
      assert.equal(new Set(sids).size, sids.length, "no number is used twice");
      const lars = async (...words: string[]): Promise<string> => {
        const at = ["--relay", `127.0.0.1:${port}`];
        const ended = await processes.run("tools/lars.ts", ["relay", ...words, ...at]);
        assert.equal(ended.code, 0, ended.stderr);
        return ended.stdout;
      };
      assert.match(await lars("ls", "workers"), /ANSWERED\n.* 120\n/);
      assert.match(await lars("ls", "stats"), /requests_delivered +120\n/);
      assert.equal(await lars("send", "nobody", "hello", "--group"), "sent to 0\n");
      const bench = JSON.parse(await lars("bench", "--seconds", "1", "--json")) as Record<
        string,
        number
      >;
      assert.ok(bench.answers > 0 && bench.failures === 0 && bench.p99_ms > 0);
      const { code, stdout } = await echo.stop();
      assert.equal(code, 0);
      assert.match(stdout, /"answered":\d+,"failed":0/);
      assert.equal((await relay.stop()).code, 0);
    });
  },
);

test(
  "e2e: the relay of `lars up` serves a C client, and `lars relay echo` outlives it",
  TIMEOUT,
  async (t) => {
    await withProcesses(async (processes) => {
      const program = compileClient(processes.directory);
      if (program === undefined) return t.skip("there is no C compiler");
      const free = "127.0.0.1:0";
      const words = ["--dns", free, "--reporter", free, "--agent", "127.0.0.1:0", "--relay", free];
      const up = processes.spawn("up", "tools/lars.ts", [
        ...["up", "--json", "--no-samples", "--no-console", ...words],
      ], { env: { LARS_METRICS_PORT: "0" } });
      const line = /\{"event":"ready","service":"relay","addresses":\["127\.0\.0\.1:(\d+)"\]\}/;
      await until(() => line.test(up.stdout) || !up.alive, { timeoutMs: 60_000 });
      const port = Number(line.exec(up.stdout)?.[1]);
      const echo = await startEcho(processes, port);
      await runClient(processes, program, [port, 10, 0, "-"]);
      assert.equal((await up.stop()).code, 0, up.stderr);
      await until(() => echo.stdout.includes('"lost"'));
      assert.equal((await echo.stop()).code, 0);
    });
  },
);

test(
  "e2e: a relay says what serves its clients, and without --allow-ffi does with less",
  TIMEOUT,
  async (t) => {
    await withProcesses(async (processes) => {
      const flags = ["--relay-port=0", "--metrics-port=0"];
      const off = await processes.start("relay", [...flags, "--relay-fast-path=off"]);
      assert.match(off.stderr, /served by the sockets of the runtime why="it is switched off"/);
      if (runtimeName() !== "deno") return t.skip("Bun has no permissions");
      const [deno] = scriptCommand("relay/main.ts");
      const allowed = ["net", "env", "read", "write", "sys"].map((name) => `--allow-${name}`);
      const script = join(PROJECT_ROOT, "relay/main.ts");
      const argv = [deno, "run", "--quiet", "--no-check", "--unstable-net", ...allowed, script];
      const relay = processes.spawnCommand("without", [...argv, ...flags]);
      await until(() => relay.stdout.includes("ready on"), { what: "the relay without FFI" });
      if (process.platform === "linux") assert.match(relay.stderr, /FFI is not permitted/);
    });
  },
);

test("e2e: the console of `lars up` shows its relay", TIMEOUT, async () => {
  await withProcesses(async (processes) => {
    const free = "127.0.0.1:0";
    const words = ["--dns", free, "--reporter", free, "--agent", free, "--relay", free];
    const up = processes.spawn("up", "tools/lars.ts", [
      ...["up", "--no-samples", "--console", free, ...words],
    ], { env: { LARS_METRICS_PORT: "0" } });
    const link = /(http:\/\/127\.0\.0\.1:\d+)\/#once=(\S+)/;
    await until(() => link.test(up.stdout) || !up.alive, { timeoutMs: 60_000 });
    const [, base, token] = link.exec(up.stdout) ?? [];
    const login = await fetch(`${base}/api/v1/session/link`, {
      ...{ method: "POST", headers: { "Content-Type": "application/json" } },
      body: JSON.stringify({ token }),
    });
    assert.equal(login.status, 200, await login.text());
    const Cookie = (login.headers.get("Set-Cookie") ?? "").split(";")[0];
    const response = await fetch(`${base}/api/v1/relays`, { headers: { Cookie } });
    const { relays } = await response.json() as { relays: { fault: unknown; facts: unknown }[] };
    assert.deepEqual(relays.map(({ fault }) => fault), [null]);
    assert.deepEqual(relays[0].facts === null, false);
    assert.equal((await up.stop()).code, 0, up.stderr);
  });
});

test("e2e: a relay whose clients say nothing sleeps", TIMEOUT, async (t) => {
  if (process.platform !== "linux") return t.skip("processor time is read from /proc");
  await withProcesses(async (processes) => {
    const relay = await processes.start("relay", ["--relay-port=0", "--metrics-port=0"]);
    const address = { hostname: "127.0.0.1", port: relay.port() };
    const peers = [await LinkedPeer.connect(address), await LinkedPeer.connect(address)];
    await untilQuietSecond(relay.pid, 3, 20_000);
    for (const peer of peers) peer.close();
  });
});

test(
  "e2e: a relay beyond loopback wants a secret or to be told, and says which keys",
  TIMEOUT,
  async () => {
    await withProcesses(async (processes) => {
      const { code, stderr } = await processes.run("relay/main.ts", ["--relay-ip=0.0.0.0"]);
      assert.equal(code, 2);
      assert.match(stderr, /\[auth\] token_file = FILE, .*\[auth\] allow_insecure = 1/);
      const bad = await processes.run("relay/main.ts", ['--relay-policy={"policy":"rand"}']);
      assert.equal(bad.code, 2);
      assert.match(bad.stderr, /\[relay\] policy: policy must be one of/);
    });
  },
);
