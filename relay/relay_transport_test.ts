import assert from "node:assert/strict";
import { test } from "node:test";
import { batchTcpFault } from "../reactor/fast/batch_tcp.ts";
import type { Logger } from "../reactor/log.ts";
import { runtime } from "../reactor/runtime/mod.ts";
import { systemClock } from "../reactor/time/system_clock.ts";
import { openRelayTransport } from "./relay_transport.ts";

test("a relay says what serves its clients, and why it is not the fast path", (t) => {
  const lines: string[] = [];
  const note = (message: string, fields?: Record<string, unknown>): void =>
    void lines.push([message, fields?.why].join(" "));
  const log: Logger = { debug: note, info: note, warn: note, error: note };
  const open = (fast: boolean, hostname: string): boolean => {
    const onError = (error: unknown): void => assert.fail(`${error}`);
    const opened = openRelayTransport({ fast, hostname, clock: systemClock, log, onError });
    opened.close();
    return opened.transport !== runtime;
  };
  assert.equal(open(false, "127.0.0.1"), false);
  assert.match(lines[0], /sockets of the runtime it is switched off$/);
  for (const hostname of ["::1", "relay.example"]) {
    assert.equal(open(true, hostname), false);
    assert.match(lines.at(-1) ?? "", /IPv4 address must look like/);
  }
  if (batchTcpFault(systemClock) !== undefined) return t.skip("this machine has no fast path");
  for (const hostname of ["127.0.0.1", "0.0.0.0", "localhost"]) {
    assert.equal(open(true, hostname), true);
    assert.match(lines.at(-1) ?? "", /fast path/);
  }
});
