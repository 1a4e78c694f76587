// Runs on Deno only: it is the task's runtime.

import assert from "node:assert/strict";
import { generateKeyPairSync, verify } from "node:crypto";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { findProgram } from "../tests/support/mariadb.ts";
import {
  type Ended,
  type Processes,
  PROJECT_ROOT,
  withProcesses,
} from "../tests/support/processes.ts";

const CHECK_TIMEOUT_MS = 60_000;

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
    const pem = publicKey.export({ type: "spki", format: "pem" });
    writeFileSync(`${directory}/release.pub`, pem);
    await asUsersDo(processes, out);
    const again = await processes.run("scripts/make_release.ts", words);
    assert.equal(again.code, 1);
    assert.match(again.stderr, /must be empty/);
    const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey;
    writeFileSync(`${directory}/key.pem`, rsa.export({ type: "pkcs8", format: "pem" }));
    const wrong = ["--only", "bill", "--out", `${directory}/b`, "--key", `${directory}/key.pem`];
    const refused = await processes.run("scripts/make_release.ts", wrong);
    assert.equal(refused.code, 1);
    assert.match(
      refused.stderr,
      /must hold an unencrypted private key of Ed25519 .*: it is of rsa/,
    );
    writeFileSync(`${directory}/key.pem`, "no key");
    const none = await processes.run("scripts/make_release.ts", wrong);
    assert.match(none.stderr, /key\.pem must hold an unencrypted private key of Ed25519/);
    assert.ok(!existsSync(`${directory}/b`), "nothing was begun with a wrong key");
  });
});

/** The commands of deploy/README.md: they take the release, and refuse it once a byte has changed. */
async function asUsersDo(processes: Processes, release: string): Promise<void> {
  if (findProgram("openssl") === undefined || findProgram("sha256sum") === undefined) return;
  const page = readFileSync(`${PROJECT_ROOT}/deploy/README.md`, "utf8");
  const lines = page.split("\n").filter((line) => /^ {4}(openssl pkeyutl|sha256sum) /.test(line));
  assert.equal(lines.length, 2, "the page has both commands");
  const check = (): Promise<Ended> =>
    processes.spawnCommand("check", ["sh", "-ec", lines.join("\n")], { cwd: release })
      .untilEnded(CHECK_TIMEOUT_MS);
  writeFileSync(`${release}/release.pub`, readFileSync(`${processes.directory}/release.pub`));
  const well = await check();
  assert.equal(well.code, 0, well.stderr);
  assert.match(well.stdout, /Verified Successfully[^]*cdx\.json: OK/);
  for (const name of readdirSync(release).filter((one) => /cdx|SUMS$/.test(one))) {
    const path = `${release}/${name}`;
    const bytes = readFileSync(path);
    writeFileSync(path, bytes.with(0, bytes[0] ^ 1));
    assert.notEqual((await check()).code, 0, `${name} was changed`);
    writeFileSync(path, bytes);
  }
}
