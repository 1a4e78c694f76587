import { test } from "node:test";
import assert from "node:assert/strict";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { until } from "../../tests/support/until.ts";
import { batchTcpFault } from "../fast/batch_tcp.ts";
import { systemClock } from "../time/system_clock.ts";
import { TestProgram } from "../testing/program.ts";
import { RawPeer } from "../testing/raw_peer.ts";

const timeout = 30_000;

for (const path of batchTcpFault(systemClock) === undefined ? ["portable", "fast"] : ["portable"]) {
  test(`TcpServer on the ${path} path outlives the exhaustion of file descriptors`, {
    timeout,
    skip: process.platform === "win32",
  }, () => testExhaustion(path));
}

async function testExhaustion(path: string): Promise<void> {
  const script = fileURLToPath(new URL("../testing/starved_server.ts", import.meta.url));
  const program = new TestProgram(script, [path], { openFiles: 128 });
  const peers: RawPeer[] = [];
  try {
    await until(() => program.port !== undefined, { timeoutMs: 20_000, what: "the port" });
    const address = { hostname: "127.0.0.1", port: program.port ?? 0 };
    for (let index = 0; index < 80; index++) {
      const peer = await RawPeer.connect(address).catch(() => undefined);
      if (peer !== undefined) peers.push(peer);
    }
    await until(() => /acceptErrors=[1-9]/.test(program.stdout), { what: "failed accepts" });
    for (const peer of peers) peer.destroy();
    const echo = async (): Promise<boolean> => {
      // A connection may still be refused while descriptors come back.
      const peer = await RawPeer.connect(address).catch(() => undefined);
      if (peer === undefined) return false;
      peers.push(peer);
      await peer.send(1);
      const answered = (): boolean => peer.frames.length === 1 || peer.closed || peer.ended;
      await until(answered, { timeoutMs: 3000, what: "an answer" });
      return peer.frames.length === 1;
    };
    await until(echo, { timeoutMs: 10_000, intervalMs: 100, what: "an echo" });
    assert.equal(program.running, true, program.stderr);
  } finally {
    for (const peer of peers) peer.destroy();
    await program.stop();
  }
}
