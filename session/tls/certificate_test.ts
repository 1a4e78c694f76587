import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { test } from "node:test";
import fc from "fast-check";
import { systemClock } from "../../reactor/mod.ts";
import { FleetCertificates } from "../testing/fleet_certificates.ts";
import {
  beliefFault,
  checkMaterial,
  isSignedBy,
  losesRoots,
  readCertificate,
} from "./certificate_check.ts";
import { uriNames } from "./certificate_names.ts";
import { makeCertificate } from "./certificate_maker.ts";
import { holdsRole, mayBe, maySend, neededRole, rolesOf } from "./peer_roles.ts";
import { MessageId } from "../../proto/message_ids.ts";

const fleet = await FleetCertificates.make();
const other = await FleetCertificates.make("other");

const derOf = (pem: string): Uint8Array => new Uint8Array(new X509Certificate(pem).raw);

test("roles are read from the bytes: one name that looks like two is one", async () => {
  const { cert } = await fleet.pair("a", ["agent", "relay"]);
  assert.deepEqual(uriNames(derOf(cert)), ["lars:role:agent", "lars:role:relay"]);
  assert.deepEqual(rolesOf(readCertificate(cert)), ["agent", "relay"]);
  // Texts of a runtime show this as two names.
  const wish = { name: "b", days: 1, nowMs: systemClock.wallMs() };
  const sly = await makeCertificate(fleet.authority, {
    ...{ ...wish, roles: ["guest,%20URI:lars:role:dns", "guest, URI:lars:role:dns"] },
  });
  assert.equal(holdsRole(readCertificate(sly.cert), "dns"), false);
  const none = await makeCertificate(fleet.authority, { ...wish, roles: [] });
  assert.deepEqual(uriNames(derOf(none.cert)), []);
  const byName = await makeCertificate(fleet.authority, {
    ...{ ...wish, roles: [], hosts: ["lars.role.dns", "10.0.0.1"] },
  });
  assert.deepEqual(rolesOf(readCertificate(byName.cert)), []);
});

test("bytes that are no certificate give an error, and never a role", async () => {
  const der = derOf((await fleet.pair("a", ["agent"])).cert);
  const read = (bytes: Uint8Array): string[] => {
    try {
      return uriNames(bytes);
    } catch (error) {
      assert.ok(error instanceof RangeError, String(error));
      return [];
    }
  };
  fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
    assert.deepEqual(read(bytes), []);
  }));
  fc.assert(
    fc.property(fc.nat(der.length - 1), fc.nat(255), fc.nat(der.length), (at, byte, length) => {
      const broken = der.slice(0, length);
      if (at < length) broken[at] = byte;
      for (const uri of read(broken)) assert.ok(uri.length < 300);
    }),
    { numRuns: 2000 },
  );
});

test("checkMaterial() takes what fits, and says of anything else which file is wrong", async () => {
  const nowMs = systemClock.wallMs();
  const good = await fleet.material(["dns", "agent"]);
  const { own, warnings } = checkMaterial(good, "agent", nowMs);
  assert.deepEqual([own.subject, own.issuer, warnings], ["CN=dns-agent", "CN=fleet", []]);
  const inOne = good.cert + good.key;
  assert.deepEqual(checkMaterial({ ...good, cert: inOne, key: inOne }, "dns", nowMs).warnings, []);
  const second = await fleet.pair("b", ["dns"]);
  const old = await fleet.pair("old", ["dns"], 1, nowMs - 5 * 86_400_000);
  const olderEncrypted = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n" +
    "DEK-Info: AES-128-CBC,00112233445566778899AABBCCDDEEFF\n\nAAAA\n" +
    "-----END RSA PRIVATE KEY-----\n";
  const table: [Partial<typeof good>, RegExp][] = [
    [{ key: second.key }, /\[tls\] key is not the key of \[tls\] cert/],
    [{ key: "" }, /\[tls\] key must hold whole blocks of PEM/],
    [{ key: good.cert }, /\[tls\] key must hold one private key/],
    [{ key: good.key + second.key }, /\[tls\] key must hold one private key/],
    [{ key: good.key.slice(0, 100) }, /\[tls\] key must hold whole blocks of PEM: 0 of 1/],
    [{ cert: good.cert.slice(0, -30) }, /\[tls\] cert must hold whole blocks of PEM/],
    [{ cert: good.cert.replace(/[A-Z]{2}/, "!!") }, /\[tls\] cert/],
    [{ cert: good.key }, /\[tls\] cert must hold a certificate/],
    [{ ca: "no certificate" }, /\[tls\] ca must hold whole blocks of PEM/],
    [{ ...old }, /\[tls\] cert must be valid now: it is from .* to /],
    [{ key: good.key.replaceAll("PRIVATE", "ENCRYPTED PRIVATE") }, /must not be encrypted/],
    [{ key: olderEncrypted }, /\[tls\] key must not be encrypted/],
  ];
  for (const [change, said] of table) {
    assert.throws(() => checkMaterial({ ...good, ...change }, "dns", nowMs), (error: Error) => {
      assert.ok(error instanceof RangeError, error.stack);
      assert.match(error.message, said);
      return true;
    });
  }
  assert.throws(
    () => checkMaterial(good, "reporter", nowMs),
    /must hold the role reporter, the URI lars:role:reporter among its names: it holds dns, agent/,
  );
  assert.match(
    checkMaterial({ ...good, ca: other.authority.cert }, "dns", nowMs).warnings.join(),
    /signed by none of \[tls\] ca/,
  );
});

test("what is believed no more is known: a root that is gone, a fingerprint, an end", async () => {
  const [mine, theirs] = [fleet.authority.cert, other.authority.cert];
  const table: [string, string, boolean][] = [
    [mine, mine, false],
    [mine, theirs + mine, false],
    [mine + theirs, mine, true],
    [mine, theirs, true],
  ];
  for (const [before, after, isLost] of table) assert.equal(losesRoots(before, after), isLost);
  const material = await fleet.material(["agent"]);
  const der = derOf(material.cert);
  assert.equal(isSignedBy(der, theirs + mine), true);
  assert.equal(isSignedBy(der, theirs), false);
  const facts = readCertificate(material.cert);
  assert.equal(beliefFault(facts, material, facts.endsAtMs - 1), undefined);
  assert.match(beliefFault(facts, material, facts.endsAtMs) ?? "", /expired/);
  const refusing = { ...material, refused: [facts.fingerprint] };
  assert.match(beliefFault(facts, refusing, 0) ?? "", /one of \[tls\] refused/);
});

test("the table of roles: who may be what, and send what", async () => {
  const agent = readCertificate((await fleet.pair("a", ["agent"])).cert);
  const editor = readCertificate((await fleet.pair("e", ["editor", "registrar"])).cert);
  assert.deepEqual(["web", "tool", "writer", "node", "agent"].map(neededRole), [
    ...["editor", "editor", "editor", "registrar", "agent"],
  ]);
  const table: [string, string, boolean, boolean][] = [
    ["dns", "agent", true, false],
    ["dns", "writer", false, true],
    ["dns", "node", false, false],
    ["discovery", "node", false, true],
    ["discovery", "agent", false, false],
    ["reporter", "agent", true, false],
    ["reporter", "tool", false, false],
    ["relay", "worker", false, false],
    ["a service of tomorrow", "agent", true, false],
    ["dns", "", false, false],
  ];
  for (const [service, said, forAgent, forEditor] of table) {
    assert.equal(mayBe(service, said, agent), forAgent, `${service} ${said}`);
    assert.equal(mayBe(service, said, editor), forEditor, `${service} ${said}`);
  }
  assert.equal(maySend("agent", MessageId.RouteChanged), false);
  assert.equal(maySend("writer", MessageId.RouteChanged), true);
  assert.equal(maySend("agent", MessageId.GetRouteRequest), true);
});
