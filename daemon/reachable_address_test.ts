import assert from "node:assert/strict";
import { test } from "node:test";
import { ipv4OfInterfaces, reachableAddress, reachableHost } from "./reachable_address.ts";

test("reachableHost() replaces only the address that means all", () => {
  const cases: [string, string[], string][] = [
    ["127.0.0.1", ["10.0.0.5"], "127.0.0.1"],
    ["10.0.0.9", ["10.0.0.5"], "10.0.0.9"],
    ["0.0.0.0", ["10.0.0.5", "10.0.0.6"], "10.0.0.5"],
    ["0.0.0.0", [], "127.0.0.1"],
    ["::", ["10.0.0.5"], "10.0.0.5"],
    ["::", [], "::1"],
    ["::1", ["10.0.0.5"], "::1"],
  ];
  for (const [host, interfaces, expected] of cases) {
    assert.equal(reachableHost(host, interfaces), expected);
  }
});

test("ipv4OfInterfaces() lists no loopback address", () => {
  assert.deepEqual(ipv4OfInterfaces().filter((ip) => ip.startsWith("127.")), []);
});

test("reachableAddress() keeps the port", () => {
  assert.equal(reachableAddress("127.0.0.1:7778"), "127.0.0.1:7778");
  assert.match(reachableAddress("0.0.0.0:7778"), /^(?!0\.)[\d.]+:7778$/);
});
