import assert from "node:assert/strict";
import { test } from "node:test";
import { formatIpv4 } from "../reactor/address.ts";
import { type AddressWish, chooseAddress } from "./own_address.ts";

const INTERFACES = [
  { name: "lo", address: "127.0.0.1" },
  { name: "lo", address: "::1" },
  { name: "eth0", address: "10.1.2.3" },
  { name: "eth1", address: "192.168.7.9" },
  { name: "docker0", address: "172.17.0.1" },
];

function chosen(wish: AddressWish, reaching = "10.1.2.3", peer = "10.0.0.1"): [string, number] {
  const { ip, warnings } = chooseAddress(wish, INTERFACES, reaching, peer);
  return [formatIpv4(ip), warnings.length];
}

test("address: the one that reaches discovery, unless another is wished for", () => {
  assert.deepEqual(chosen({}), ["10.1.2.3", 0]);
  assert.deepEqual(chosen({ interface: "eth1" }), ["192.168.7.9", 0]);
  assert.deepEqual(chosen({ cidr: "192.168.0.0/16" }), ["192.168.7.9", 0]);
  assert.deepEqual(chosen({ cidr: "0.0.0.0/0" }), ["127.0.0.1", 1]);
  assert.deepEqual(chosen({ ip: "203.0.113.7", cidr: "10.0.0.0/8" }), ["203.0.113.7", 0]);
});

test("address: what others may not reach is said", () => {
  assert.deepEqual(chosen({}, "127.0.0.1", "127.0.0.1"), ["127.0.0.1", 1]);
  assert.deepEqual(chosen({ interface: "docker0" }), ["172.17.0.1", 1]);
  assert.deepEqual(chosen({ ip: "169.254.1.1" }), ["169.254.1.1", 1]);
  const { warnings } = chooseAddress({ ip: "127.0.0.1" }, INTERFACES, "10.1.2.3", "10.0.0.1");
  assert.match(warnings[0], /discovery is on another/);
});

test("address: a wish that cannot be is a clear error", () => {
  assert.throws(() => chosen({ interface: "eth9" }), /"eth9", of lo, eth0, eth1, docker0/);
  assert.throws(() => chosen({ cidr: "203.0.113.0/24" }), /No address of this machine is within/);
  assert.throws(() => chosen({ cidr: "10.0.0.0" }), /must look like 10.0.0.0\/8/);
  assert.throws(() => chosen({ cidr: "10.0.0.0/33" }), /must look like/);
  assert.throws(() => chosen({ ip: "300.1.1.1" }), /IPv4 address must look like/);
  assert.throws(() => chosen({}, "2001:db8::1"), /reached by IPv6/);
});
