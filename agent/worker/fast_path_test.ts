// Goal: an agent takes the fast path where it can, says once why where it cannot, and serves and
// stops alike. As processes, because permissions and signals are theirs.

import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { decodeHello, frameHello } from "../../proto/codec.ts";
import { readDatagram } from "../../proto/wire.ts";
import { RetCode } from "../../proto/message_ids.ts";
import { batchUdpFault } from "../../reactor/fast/batch_udp.ts";
import { silentLogger } from "../../reactor/log.ts";
import { systemClock } from "../../reactor/time/system_clock.ts";
import { assertInTime } from "../../tests/support/in_time.ts";
import {
  type Processes,
  PROJECT_ROOT,
  runtimeName,
  scriptCommand,
  type TestProcess,
  withProcesses,
} from "../../tests/support/processes.ts";
import { untilQuietSecond } from "../../tests/support/quiet_second.ts";
import { until } from "../../tests/support/until.ts";
import { FakeCaller, FakeDns } from "../testing/fake_upstream.ts";

const hasFastPath = batchUdpFault({ clock: systemClock, log: silentLogger }) === undefined;
const LINE = "Fast UDP path is not used";

function startAgent(
  processes: Processes,
  dns: FakeDns,
  args: readonly string[] = [],
  argv: readonly string[] = scriptCommand("agent/main.ts"),
): Promise<TestProcess> {
  return processes.spawnCommand("agent", [
    ...argv,
    "--json",
    "--agent-port=0",
    `--dnsserver-ip=127.0.0.1:${dns.port}`,
    "--reporter-ip=127.0.0.1:9",
    ...args,
  ]).untilReady();
}

async function statusOf(caller: FakeCaller): Promise<Record<string, unknown>> {
  let status: Record<string, unknown> = {};
  await until(async () => {
    caller.client.send(frameHello({ protocol: 1, software: "test", role: "tool" }));
    const { body } = readDatagram(await caller.client.receive(1000));
    status = JSON.parse(decodeHello(body).status ?? "{}");
    return status.udpPath !== undefined;
  }, { what: "a status of the whole agent" });
  return status;
}

/** Starts an agent, is served by it, and gives its status, how it ended, and its lines of why not. */
async function tryAgent(
  args: readonly string[],
  argv?: readonly string[],
): Promise<{ udpPath: unknown; code: number; lines: number; stderr: string }> {
  let outcome = { udpPath: undefined as unknown, code: -1, lines: -1, stderr: "" };
  await withProcesses(async (processes) => {
    const dns = await FakeDns.start();
    dns.routes.set("3,3", [{ ip: 7, port: 80 }]);
    const agent = await startAgent(processes, dns, args, argv);
    const caller = await FakeCaller.open(agent.port(0));
    await until(async () => (await caller.getHost(3, 3)).retcode === RetCode.Success, {
      what: "a node",
    });
    const { udpPath } = await statusOf(caller);
    const startMs = systemClock.nowMs();
    const { code, stderr } = await agent.stop();
    assertInTime("to stop", systemClock.nowMs() - startMs, 1500);
    outcome = { udpPath, code, lines: stderr.split(LINE).length - 1, stderr };
    caller.close();
    await dns.close();
  });
  return outcome;
}

test("an agent takes the fast path where it can, without a word, and stops on SIGTERM", async (t) => {
  if (!hasFastPath) return t.skip("this machine has no fast path");
  const { udpPath, code, lines, stderr } = await tryAgent([]);
  assert.deepEqual({ udpPath, code, lines }, { udpPath: "fast", code: 0, lines: 0 }, stderr);
});

test("fast_path = off is no news", async () => {
  const { udpPath, code, lines, stderr } = await tryAgent(["--agent-fast-path=off"]);
  assert.deepEqual({ udpPath, code, lines }, { udpPath: "portable", code: 0, lines: 0 }, stderr);
});

test("an agent that cannot take the fast path says so once and serves", async () => {
  const { udpPath, code, lines, stderr } = await tryAgent(["--agent-threads=0"]);
  assert.deepEqual({ udpPath, code, lines }, { udpPath: "portable", code: 0, lines: 1 }, stderr);
});

test("without --allow-ffi an agent says so once and serves", async (t) => {
  if (runtimeName() !== "deno") return t.skip("Bun has no permissions");
  const [deno] = scriptCommand("agent/main.ts");
  const allowed = ["net", "env", "read", "write", "sys"].map((name) => `--allow-${name}`);
  const script = join(PROJECT_ROOT, "agent/main.ts");
  const argv = [deno, "run", "--quiet", "--no-check", "--unstable-net", ...allowed, script];
  const { udpPath, code, lines, stderr } = await tryAgent([], argv);
  assert.deepEqual({ udpPath, code, lines }, { udpPath: "portable", code: 0, lines: 1 }, stderr);
  if (hasFastPath) assert.match(stderr, /FFI is not permitted/);
});

test("an agent on the fast path sleeps when nobody asks", async (t) => {
  if (!hasFastPath) return t.skip("this machine has no fast path");
  await withProcesses(async (processes) => {
    const dns = await FakeDns.start();
    const agent = await startAgent(processes, dns);
    await untilQuietSecond(agent.pid, 5, 10_000);
    assert.equal((await agent.stop()).code, 0);
    await dns.close();
  });
});
