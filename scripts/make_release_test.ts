// Runs on Deno only: it is the task's runtime.

import assert from "node:assert/strict";
import { generateKeyPairSync, verify } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { withProcesses } from "../tests/support/processes.ts";

test("deno task release writes a bill of materials, sums that hold, and their signature", async () => {
  await withProcesses(async (processes) => {
    const { directory } = processes;
    const { privateKey, publicKey } = generateKeyPairSync("ed25519");
    writeFileSync(`${directory}/key.pem`, privateKey.export({ type: "pkcs8", format: "pem" }));
    const out = `${directory}/release`;
    const words = ["--only", "bill", "--out", out, "--key", `${directory}/key.pem`];
    const made = await processes.run("scripts/make_release.ts", words);
    assert.equal(made.code, 0, made.stderr);
    const sums = readFileSync(`${out}/SHA256SUMS`);
    assert.match(sums.toString(), /^[0-9a-f]{64} {2}lars-\S+\.cdx\.json\n$/);
    assert.ok(verify(null, sums, publicKey, readFileSync(`${out}/SHA256SUMS.sig`)));
    const again = await processes.run("scripts/make_release.ts", words);
    assert.equal(again.code, 1);
    assert.match(again.stderr, /must be empty/);
    const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey;
    writeFileSync(`${directory}/key.pem`, rsa.export({ type: "pkcs8", format: "pem" }));
    const wrong = ["--only", "bill", "--out", `${directory}/b`, "--key", `${directory}/key.pem`];
    const refused = await processes.run("scripts/make_release.ts", wrong);
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /must hold a key of Ed25519/);
  });
});
