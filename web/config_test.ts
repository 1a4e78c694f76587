import assert from "node:assert/strict";
import { test } from "node:test";
import { ConfigError } from "../reactor/errors.ts";
import { relayAddresses, RELAYS_MAX } from "./config.ts";

test("relayAddresses() has each relay once, however it is written, and bounds them", () => {
  const ports = relayAddresses("127.0.0.1, 127.0.0.1:2000 10.0.0.1:2001,,[::1]:5");
  assert.deepEqual(ports.map(({ hostname, port }) => [hostname, port]), [
    ["127.0.0.1", 2000],
    ["10.0.0.1", 2001],
    ["::1", 5],
  ]);
  assert.deepEqual(relayAddresses(" "), []);
  assert.throws(() => relayAddresses("a:b"), ConfigError);
  const many = Array.from({ length: RELAYS_MAX + 1 }, (_, i) => `10.0.0.1:${i + 1}`).join();
  assert.throws(() => relayAddresses(many), /at most 64: it names 65/);
});
