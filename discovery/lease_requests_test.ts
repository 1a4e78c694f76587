import assert from "node:assert/strict";
import { test } from "node:test";
import { hostBehind, ownerText, registerFault } from "./lease_requests.ts";
import { leaseNode } from "./testing/lease_world.ts";

const GOOD = {
  ...{ node: leaseNode(1), ttlMs: 15_000, weight: 100, zone: "", note: "", check: "" },
  ...{ isReady: true, previous: 0, makesModule: true },
};

test("requests: an owner is stored so that it harms no terminal", () => {
  assert.equal(ownerText("ann/ci"), "ann/ci");
  assert.equal(ownerText("a\u001b[31m\n\u2028b"), "a?[31m??b");
  assert.equal(ownerText("x".repeat(100)).length, 64);
});

test("requests: a loopback is registered by its own host alone, through a console too", () => {
  const node = { ...GOOD.node, ip: 0x7f000001 };
  const faultOf = (peer: string, behind: string): string =>
    registerFault({ ...GOOD, node }, hostBehind(peer, behind), false)?.reason ?? "";
  assert.equal(faultOf("127.0.0.1", "127.0.0.1"), "");
  for (const [peer, behind] of [["10.0.0.5", "127.0.0.1"], ["127.0.0.1", "10.0.0.9"]]) {
    assert.match(faultOf(peer, behind), /can be called on its own host alone/);
  }
});

test("requests: a check is taken where discovery checks, of addresses that may be looked at", () => {
  const faultOf = (check: string, checks: boolean, ip = GOOD.node.ip): string =>
    registerFault({ ...GOOD, node: { ...GOOD.node, ip }, check }, "10.0.0.1", checks)?.reason ?? "";
  assert.equal(faultOf("tcp", true), "");
  assert.equal(faultOf("http:/up?x=1", true), "");
  assert.match(faultOf("tcp", false), /checks = 1/);
  for (const check of ["http:up", "http:/a b", "https:/", "http:/\r\nHost: x", "ftp", "TCP"]) {
    assert.match(faultOf(check, true), /check must be/, check);
  }
  for (const ip of [0xa9fea9fe, 0x646464c8]) {
    assert.match(faultOf("tcp", true, ip), /may be checked/);
  }
});

test("requests: a node that goes on from a registration is not refused when checks are off", () => {
  const going = { ...GOOD, check: "tcp", previous: 7 };
  assert.equal(registerFault(going, "10.0.0.1", false), undefined);
  assert.match(registerFault({ ...going, check: "ftp" }, "10.0.0.1", false)?.reason ?? "", /tcp/);
});
