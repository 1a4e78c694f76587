import assert from "node:assert/strict";
import { test } from "node:test";
import { ConfigError } from "../reactor/errors.ts";
import { hostNameList, relayAddresses, RELAYS_MAX } from "./config.ts";

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

test("hostNameList() takes names and addresses, and refuses what no browser would come under", () => {
  assert.deepEqual(hostNameList(" Lars.Example.org, lars 10.0.0.1\n[::1]"), [
    "lars.example.org",
    "lars",
    "10.0.0.1",
    "[::1]",
  ]);
  assert.deepEqual(hostNameList(" ,"), []);
  for (const wrong of ["http://lars", "lars.example.org:8080", "lars/", "10.0.0"]) {
    assert.throws(() => hostNameList(`ok, ${wrong}`), new RegExp(`without scheme.*holds ${wrong}`));
  }
});
