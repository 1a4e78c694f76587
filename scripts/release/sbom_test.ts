import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { ROOT } from "../sources.ts";
import { type LockFile, sbomOf } from "./sbom.ts";

const LOCK: LockFile = {
  specifiers: {},
  npm: {
    "a@1.0.0": { integrity: "sha512-AAEC", dependencies: ["b", "@s/c@2.0.0"] },
    "b@3.0.0_a@1.0.0": { dependencies: ["@s/c@2.0.0"] },
    "@s/c@1.0.0": {},
    "@s/c@2.0.0": {},
    "tool@9.0.0": {},
  },
};

const PARTS = {
  ...{ name: "lars", version: "0.1.0", lock: LOCK, releasedAt: 1_700_000_000 },
  dependencies: { a: "1.0.0" },
  licenceOf: (name: string) => name === "a" ? "MIT" : undefined,
};

test("sbomOf() lists what programs need, with hashes, licences and who needs whom", () => {
  const bill = JSON.parse(sbomOf(PARTS));
  assert.deepEqual(bill.components.map(({ purl }: { purl: string }) => purl), [
    "pkg:npm/%40s/c@2.0.0",
    "pkg:npm/a@1.0.0",
    "pkg:npm/b@3.0.0",
  ]);
  const a = bill.components.find(({ name }: { name: string }) => name === "a");
  assert.deepEqual(a.hashes, [{ alg: "SHA-512", content: "000102" }]);
  assert.deepEqual(a.licenses, [{ expression: "MIT" }]);
  assert.deepEqual(bill.dependencies, [
    { ref: "pkg:generic/lars@0.1.0", dependsOn: ["pkg:npm/a@1.0.0"] },
    { ref: "pkg:npm/%40s/c@2.0.0", dependsOn: [] },
    { ref: "pkg:npm/a@1.0.0", dependsOn: ["pkg:npm/%40s/c@2.0.0", "pkg:npm/b@3.0.0"] },
    { ref: "pkg:npm/b@3.0.0", dependsOn: ["pkg:npm/%40s/c@2.0.0"] },
  ]);
  assert.equal(sbomOf(PARTS), sbomOf(PARTS));
});

test("sbomOf() refuses a lock that lacks a package or cannot say which is meant", () => {
  const lacking = { ...PARTS, dependencies: { gone: "1.0.0" } };
  assert.throws(() => sbomOf(lacking), /deno\.lock has no gone@1\.0\.0/);
  const vague = { ...LOCK.npm, "a@1.0.0": { dependencies: ["@s/c"] } };
  assert.throws(() => sbomOf({ ...PARTS, lock: { ...LOCK, npm: vague } }), /more than one @s\/c/);
});

test("the lock file of this repository has everything that package.json names", () => {
  const lock = JSON.parse(readFileSync(`${ROOT}/deno.lock`, "utf8"));
  const { dependencies } = JSON.parse(readFileSync(`${ROOT}/package.json`, "utf8"));
  const bill = JSON.parse(sbomOf({ ...PARTS, lock, dependencies, licenceOf: () => undefined }));
  const names = bill.components.map(({ name }: { name: string }) => name);
  for (const name of Object.keys(dependencies)) assert.ok(names.includes(name), name);
  assert.ok(!names.includes("playwright-core"));
});
