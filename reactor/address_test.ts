import { test } from "node:test";
import assert from "node:assert/strict";
import fc from "fast-check";
import { formatAddress, formatIpv4, isLoopback, parseAddress, parseIpv4 } from "./address.ts";

test("parseAddress() reads host and port, with a default port", () => {
  assert.deepEqual(parseAddress("10.0.0.1:7778"), { hostname: "10.0.0.1", port: 7778 });
  assert.deepEqual(parseAddress(" dns.local:0 "), { hostname: "dns.local", port: 0 });
  assert.deepEqual(parseAddress("dns.local", 7778), { hostname: "dns.local", port: 7778 });
  assert.deepEqual(parseAddress("dns.local:1", 7778), { hostname: "dns.local", port: 1 });
});

for (const text of ["", ":", ":80", "host", "host:", "host:x", "host:65536", "host:-1", "a b:1"]) {
  test(`parseAddress() refuses ${JSON.stringify(text)}`, () => {
    assert.throws(() => parseAddress(text), RangeError);
  });
}

test("formatAddress() undoes parseAddress()", () => {
  assert.equal(formatAddress(parseAddress("127.0.0.1:8888")), "127.0.0.1:8888");
});

test("parseIpv4() gives the unsigned number in host order", () => {
  assert.equal(parseIpv4("192.168.1.177"), 3232235953);
  assert.equal(parseIpv4("0.0.0.0"), 0);
  assert.equal(parseIpv4("255.255.255.255"), 4294967295);
  for (const text of ["", "1.2.3", "1.2.3.256", "1.2.3.4.5", "1.2.3.x", "1..2.3"]) {
    assert.throws(() => parseIpv4(text), RangeError);
  }
});

test("formatIpv4() undoes parseIpv4(), for signed numbers too", () => {
  assert.equal(formatIpv4(-1062731343), "192.168.1.177");
  fc.assert(fc.property(fc.integer({ min: 0, max: 4294967295 }), (ip) => {
    assert.equal(parseIpv4(formatIpv4(ip)), ip);
    assert.equal(formatIpv4(ip | 0), formatIpv4(ip));
  }));
});

test("isLoopback() knows what only this machine can reach", () => {
  for (const name of ["127.0.0.1", "127.9.9.9", "localhost", "::1", "[::1]"]) {
    assert.equal(isLoopback(name), true, name);
  }
  for (const name of ["0.0.0.0", "10.0.0.1", "127.evil.example", "128.0.0.1", "::"]) {
    assert.equal(isLoopback(name), false, name);
  }
});
