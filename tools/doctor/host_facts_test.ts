import assert from "node:assert/strict";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { ConfigFacts } from "./findings.ts";
import { configFacts } from "./host_facts.ts";

const CERTIFICATE = "-----BEGIN CERTIFICATE-----\n";
const KEY = "-----BEGIN PRIVATE KEY-----\n";

/** What is said of a configuration beside files of these texts, which everybody may read. */
async function factsOf(
  config: string,
  files: Readonly<Record<string, string>> = {},
): Promise<Omit<ConfigFacts, "path" | "exports">> {
  const folder = mkdtempSync(join(tmpdir(), "lars-doctor-"));
  try {
    chmodSync(folder, 0o755);
    for (const [name, text] of Object.entries(files)) {
      writeFileSync(join(folder, name), text);
      chmodSync(join(folder, name), 0o644);
    }
    const path = join(folder, "agent.conf");
    writeFileSync(path, config.replaceAll("HERE", folder));
    chmodSync(path, 0o600);
    const { problems, readable, isOpen } = await configFacts(path);
    const short = (text: string): string => text.replaceAll(`${folder}/`, "");
    return { problems: problems.map(short), readable: readable.map(short), isOpen };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

test("a private key that everybody may read is found, wherever it is; a certificate is none", async () => {
  const together = "[agent]\n[tls]\ncert = HERE/pair.pem\nca = HERE/ca.pem\n";
  const ca = { "ca.pem": CERTIFICATE };
  const found = await factsOf(together, { ...ca, "pair.pem": CERTIFICATE + KEY });
  assert.deepEqual(found, { problems: [], readable: ["pair.pem"], isOpen: false });
  const apart = `${together}key = HERE/pair.key\n`;
  const files = { ...ca, "pair.pem": CERTIFICATE, "pair.key": KEY };
  assert.deepEqual((await factsOf(apart, files)).readable, ["pair.key"]);
  assert.deepEqual((await factsOf(together, ca)).problems, [
    "agent.conf: pair.pem is named for TLS and is not there",
  ]);
});

test("TLS with all other hosts is no open door, whatever allow_insecure says", async () => {
  const open = "[agent]\n[reactor]\nip = 0.0.0.0\n[auth]\nallow_insecure = 1\n";
  assert.equal((await factsOf(open)).isOpen, true);
  const pair = { "pair.pem": CERTIFICATE + KEY, "ca.pem": CERTIFICATE };
  const tls = `${open}[tls]\ncert = HERE/pair.pem\nca = HERE/ca.pem\n`;
  assert.equal((await factsOf(tls, pair)).isOpen, false);
  assert.equal((await factsOf(`${tls}plain = accept\n`, pair)).isOpen, true);
});

test("the file that holds the URL of the database is one with a secret", async () => {
  const config = "[store]\nurl = @HERE/store.url\n";
  const files = { "store.url": "mysql://lars:secret@db.example/lars_dns\n" };
  assert.deepEqual((await factsOf(config, files)).readable, ["store.url"]);
  assert.deepEqual((await factsOf(config)).problems, [
    "agent.conf: store.url is named for a secret and is not there",
  ]);
});
