import assert from "node:assert/strict";
import { test } from "node:test";
import { factsOf, freshnessOf } from "./service_facts.ts";
import type { ServiceView } from "../../../control/schemas.ts";

const service: ServiceView = {
  kind: "agent",
  address: "127.0.0.1:8888",
  software: "",
  startedAtMs: 0,
  seenAtMs: 0,
  isSilent: false,
  revision: null,
  revisionLag: null,
  detail: {},
};

test("factsOf() puts first what people look for, and leaves out what is empty", () => {
  const { first, rest } = factsOf({
    kind: "agent",
    detail: {
      zone: "",
      udpPath: "fast",
      picks: 12_345,
      modules: 3,
      hostsOverload: 0,
      modulesHeld: 2,
      loadMean: 0.25,
    },
  });
  assert.deepEqual(first.map(({ name }) => name), ["modules", "picks", "modules held"]);
  assert.equal(first[1].text.replace(/\D/g, ""), "12345");
  assert.deepEqual(rest.map(({ name, text }) => `${name} ${text}`), [
    "udp path fast",
    "hosts overload 0",
    "load mean 0.25",
  ]);
  const dns = factsOf({ kind: "dns", detail: { version: 1_795_253_004, nodes: 8 } });
  assert.deepEqual(dns.rest, [{ name: "version", text: "1795253004" }]);
  assert.deepEqual(factsOf({ kind: "other", detail: { a: 1 } }).rest, [{ name: "a", text: "1" }]);
});

test("freshnessOf() goes by the version of a dns and by the link of an agent", () => {
  const told = (values: Partial<ServiceView>): string | undefined => {
    const found = freshnessOf({ ...service, ...values });
    return found === undefined ? undefined : `${found.isWarning ? "! " : ""}${found.text}`;
  };
  assert.equal(told({ kind: "dns", revision: 7, revisionLag: 0 }), "up to date");
  assert.equal(told({ kind: "dns", revision: 7, revisionLag: 65 }), "! 1 min behind");
  assert.equal(told({ kind: "reporter" }), undefined);
  assert.equal(told({ detail: { dnsConnected: 1, dnsRouteAgeS: 84 } }), "linked to dns");
  assert.equal(told({ detail: { dnsConnected: 0, dnsRouteAgeS: 84 } }), "! no dns for 1 min");
  assert.equal(told({ detail: { dnsConnected: 0, dnsRouteAgeS: -1 } }), "! no dns yet");
  assert.equal(told({}), undefined);
  assert.equal(told({ revision: 7, revisionLag: 5, detail: { dns: "a:1" } }), "up to date");
  assert.equal(told({ revision: 7, revisionLag: 65, detail: { dns: "a:1" } }), "! 1 min behind");
  assert.equal(
    told({ revision: 7, revisionLag: 0, detail: { dnsConnected: 0, dnsRouteAgeS: 84 } }),
    "! no dns for 1 min",
  );
});
