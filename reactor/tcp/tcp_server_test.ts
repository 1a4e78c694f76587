import { test } from "node:test";
import assert from "node:assert/strict";
import { BindError } from "../errors.ts";
import { silentLogger } from "../log.ts";
import { systemClock } from "../time/system_clock.ts";
import { echoRouter, testTcpServer } from "../testing/tcp_conformance.ts";
import { acceptBackoffMs, connectionCeiling, TcpServer } from "./tcp_server.ts";

testTcpServer({ name: "runtime", open: () => ({ transport: undefined, end: () => undefined }) });

test("TcpServer.listen() names an address of another machine", async () => {
  const server = new TcpServer<string>({
    hostname: "203.0.113.7",
    port: 0,
    router: echoRouter(),
    clock: systemClock,
    log: silentLogger,
  });
  await assert.rejects(server.listen(), (error) => {
    assert.ok(error instanceof BindError);
    assert.equal(error.inUse, false);
    assert.match(error.message, /203\.0\.113\.7:0/);
    return true;
  });
});

test("TcpServer refuses limits that make no sense", () => {
  for (
    const bad of [{ connectionsMax: 0 }, { connectionsPerHostMax: 0 }, { outputBytesMax: NaN }, {
      frameTimeoutMs: -1,
    }]
  ) {
    const options = { hostname: "127.0.0.1", port: 0, clock: systemClock, log: silentLogger };
    assert.throws(() => new TcpServer({ ...options, router: echoRouter(), ...bad }), RangeError);
  }
});

test("acceptBackoffMs() doubles from 10 ms to 1 s", () => {
  const pauses = [1, 2, 3, 7, 8, 100].map(acceptBackoffMs);
  assert.deepEqual(pauses, [10, 20, 40, 640, 1000, 1000]);
});

test("connectionCeiling() leaves descriptors for the rest of the process", () => {
  const cases = [
    [1024, undefined, 1024],
    [1024, 20_000, 1024],
    [1024, 1024, 896],
    [20_000, 4096, 3968],
    [1024, 400, 300],
    [1024, 100, 36],
    [10, 32, 1],
  ] as const;
  for (const [wanted, openFilesMax, allowed] of cases) {
    assert.equal(connectionCeiling(wanted, openFilesMax), allowed);
  }
});
