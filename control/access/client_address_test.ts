// Goal: behind trusted proxies the client's own address counts, and nobody can make up one.

import assert from "node:assert/strict";
import { test } from "node:test";
import { ConfigError } from "../../reactor/errors.ts";
import { clientAddress, clientKey, readProxies } from "./client_address.ts";

const PROXIES = "127.0.0.1, ::1 10.0.0.0/8,2001:db8:1::/48";

test("clientAddress() believes trusted proxies, and them alone", () => {
  const cases: [string, Record<string, string>, string][] = [
    ["203.0.113.5", {}, "203.0.113.5"],
    ["203.0.113.5", { "x-forwarded-for": "1.1.1.1" }, "203.0.113.5"],
    ["127.0.0.1", {}, "127.0.0.1"],
    ["127.0.0.1", { "x-forwarded-for": "203.0.113.5" }, "203.0.113.5"],
    ["::ffff:127.0.0.1", { "x-forwarded-for": "203.0.113.5" }, "203.0.113.5"],
    ["127.0.0.1", { "x-forwarded-for": "1.1.1.1, 203.0.113.5" }, "203.0.113.5"],
    ["10.9.9.9", { "x-forwarded-for": "1.1.1.1, 203.0.113.5, 10.0.0.1" }, "203.0.113.5"],
    ["11.0.0.1", { "x-forwarded-for": "203.0.113.5" }, "11.0.0.1"],
    ["10.9.9.9", { "x-forwarded-for": "10.0.0.2, 10.0.0.1" }, "10.0.0.2"],
    ["127.0.0.1", { "x-forwarded-for": "203.0.113.5, nonsense" }, "127.0.0.1"],
    ["127.0.0.1", { "x-forwarded-for": "203.0.113.5:4711" }, "203.0.113.5"],
    ["127.0.0.1", { forwarded: "for=203.0.113.5;proto=https" }, "203.0.113.5"],
    ["127.0.0.1", { forwarded: 'proto=http; For="[2001:db8:2::7]:4711"' }, "2001:db8:2::7"],
    ["2001:db8:1::9", { forwarded: "for=1.1.1.1, for=203.0.113.5" }, "203.0.113.5"],
    ["127.0.0.1", { forwarded: "for=unknown" }, "127.0.0.1"],
    ["127.0.0.1", { forwarded: "for=2.2.2.2", "x-forwarded-for": "3.3.3.3" }, "2.2.2.2"],
  ];
  const trusted = readProxies(PROXIES);
  for (const [remote, headers, expected] of cases) {
    const found = clientAddress(remote, new Headers(headers), trusted);
    assert.equal(found, expected, `${remote} ${JSON.stringify(headers)}`);
  }
  const behind = new Headers({ "x-forwarded-for": "203.0.113.5" });
  assert.equal(clientAddress("127.0.0.1", behind, []), "127.0.0.1", "nobody is trusted");
});

test("readProxies() names what is neither an address nor a range", () => {
  for (const wrong of ["proxy", "10.0.0.0/33", "10.0.0.0/x", "1.2.3", "::1::", "::1/129", "a:b"]) {
    assert.throws(() => readProxies(`127.0.0.1,${wrong}`), ConfigError, wrong);
  }
});

test("clientKey() takes the network of an IPv6 host for one client", () => {
  assert.equal(clientKey("203.0.113.5"), "203.0.113.5");
  assert.equal(clientKey("2001:db8:0:1::7"), clientKey("2001:db8::1:ffff:0:0:9"));
  assert.notEqual(clientKey("2001:db8:0:1::7"), clientKey("2001:db8:0:2::7"));
});
