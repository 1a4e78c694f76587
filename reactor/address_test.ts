import { test } from "node:test";
import assert from "node:assert/strict";
import fc from "fast-check";
import {
  formatAddress,
  formatIpv4,
  hostFromHere,
  isAnyHost,
  isLoopback,
  parseAddress,
  parseIpv4,
} from "./address.ts";

test("parseAddress() reads host and port, with a default port", () => {
  assert.deepEqual(parseAddress("10.0.0.1:7778"), { hostname: "10.0.0.1", port: 7778 });
  assert.deepEqual(parseAddress(" dns.local:0 "), { hostname: "dns.local", port: 0 });
  assert.deepEqual(parseAddress("dns.local", 7778), { hostname: "dns.local", port: 7778 });
  assert.deepEqual(parseAddress("dns.local:1", 7778), { hostname: "dns.local", port: 1 });
});

test("parseAddress() reads IPv6 addresses, in brackets before a port", () => {
  const cases: [text: string, defaultPort: number | undefined, hostname: string, port: number][] = [
    ["[::1]:7778", undefined, "::1", 7778],
    ["[::1]:7778", 1, "::1", 7778],
    ["[::1]", 1, "::1", 1],
    ["::1", 1, "::1", 1],
    ["::", 1, "::", 1],
    ["[2001:DB8:0:0::0001]:80", undefined, "2001:db8::1", 80],
    ["2001:db8::1", 7778, "2001:db8::1", 7778],
    ["[::ffff:10.0.0.1]:80", undefined, "10.0.0.1", 80],
    ["[::ffff:a00:1]:80", undefined, "10.0.0.1", 80],
    ["[::10.0.0.1]:80", undefined, "::a00:1", 80],
    ["[0::0:0:0:0.0.0.0]:80", undefined, "::", 80],
    ["[1:0:0:2:0:0:0:3]:80", undefined, "1:0:0:2::3", 80],
    ["[1:0:2:3:4:5:6:7]:80", undefined, "1:0:2:3:4:5:6:7", 80],
    ["[0:0:1::]:80", undefined, "0:0:1::", 80],
  ];
  for (const [text, defaultPort, hostname, port] of cases) {
    assert.deepEqual(parseAddress(text, defaultPort), { hostname, port }, text);
    assert.deepEqual(parseAddress(formatAddress({ hostname, port })), { hostname, port });
  }
  const wrong = [
    "::1",
    "[::1]",
    "[::1]:",
    "[::1]x",
    "[::1]80",
    "[1.2.3.4]:80",
    "[]:80",
    "[::g]:80",
  ];
  for (
    const text of [
      ...wrong,
      "[1.2.3.4::]:80",
      "[1:2:3:4:5:6:7]:80",
      "[1::2:3:4:5:6:7:8]:80",
      "::1::2:80",
      "a:b:80",
      "[::1%eth0]:80",
      "[::1]:65536",
    ]
  ) {
    assert.throws(() => parseAddress(text), RangeError, text);
  }
  for (const text of ["[::1", "::1]", "fe80::1::2", "1:2:3"]) {
    assert.throws(() => parseAddress(text, 7778), RangeError, text);
  }
});

test("formatAddress() undoes parseAddress() for any IPv6 address", () => {
  fc.assert(fc.property(fc.ipV6(), fc.integer({ min: 0, max: 65535 }), (ip, port) => {
    const address = parseAddress(`[${ip}]:${port}`);
    assert.equal(address.port, port);
    assert.deepEqual(parseAddress(formatAddress(address)), address);
    const { hostname } = address;
    // The runtime's own reading, but for addresses inside of others, which Bun does not take.
    if (ip.includes(".") || !hostname.includes(":")) return;
    assert.equal(`[${hostname}]`, new URL(`http://[${ip}]/`).hostname);
  }));
});

test("isAnyHost() and hostFromHere() know both ways to say all addresses", () => {
  const cases: [host: string, any: boolean, fromHere: string][] = [
    ["0.0.0.0", true, "127.0.0.1"],
    ["::", true, "::1"],
    ["0:0:0:0:0:0:0:0", true, "::1"],
    ["::1", false, "::1"],
    ["10.0.0.1", false, "10.0.0.1"],
    ["host", false, "host"],
  ];
  for (const [host, any, fromHere] of cases) {
    assert.deepEqual([isAnyHost(host), hostFromHere(host)], [any, fromHere], host);
  }
});

for (
  const text of [
    "",
    ":",
    ":80",
    "host",
    "host:",
    "host:x",
    "host:65536",
    "host:-1",
    "a b:1",
    "300.1.2.3:80",
    "1.2.3:80",
  ]
) {
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
  for (
    const name of [
      "127.0.0.1",
      "127.9.9.9",
      "localhost",
      "::1",
      "[::1]",
      "0:0:0:0:0:0:0:1",
      "::ffff:127.0.0.2",
    ]
  ) {
    assert.equal(isLoopback(name), true, name);
  }
  for (
    const name of [
      "0.0.0.0",
      "10.0.0.1",
      "127.evil.example",
      "128.0.0.1",
      "::",
      "::2",
      "::ffff:10.0.0.1",
      "[",
      "x:1",
    ]
  ) {
    assert.equal(isLoopback(name), false, name);
  }
});
