// Goal: the name that a certificate is checked for is the one in the url, an address too, and accounts
// of MariaDB's ed25519 can log in; on both runtimes. Method: real servers, certificates made here.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chmodSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import {
  findProgram,
  noPrivateServerReason,
  runAdmin,
  withPrivateMariaDb,
} from "../../tests/support/mariadb.ts";
import { withTempDir } from "../../tests/support/temp_dir.ts";
import { openStore } from "../open_store.ts";

const NEEDS_MARIADB = {
  skip: noPrivateServerReason() ??
    (findProgram("openssl") === undefined ? "openssl is not installed" : false),
  timeout: 120_000,
} as const;

/** Makes an authority, and a certificate of it for these names; gives the options of a server. */
function makeCertificate(directory: string, names: string): { ca: string; options: string[] } {
  const file = (name: string): string => join(directory, name);
  const run = (...args: string[]): void => void execFileSync("openssl", args, { stdio: "pipe" });
  const fresh = ["-newkey", "rsa:2048", "-nodes"];
  const own = ["-keyout", file("ca-key.pem"), "-out", file("ca.pem"), "-subj", "/CN=authority"];
  run("req", "-x509", "-days", "3", ...fresh, ...own);
  const asked = ["-keyout", file("key.pem"), "-out", file("wish.pem"), "-subj", "/CN=database"];
  run("req", ...fresh, ...asked);
  writeFileSync(file("names"), `subjectAltName=${names}\n`);
  const signer = ["-CA", file("ca.pem"), "-CAkey", file("ca-key.pem"), "-set_serial", "7"];
  const signed = ["-extfile", file("names"), "-out", file("cert.pem")];
  run("x509", "-req", "-days", "3", "-in", file("wish.pem"), ...signer, ...signed);
  chmodSync(directory, 0o755);
  for (const name of ["ca.pem", "cert.pem", "key.pem"]) chmodSync(file(name), 0o644);
  const options = [`--ssl-cert=${file("cert.pem")}`, `--ssl-key=${file("key.pem")}`];
  return { ca: file("ca.pem"), options };
}

/** What comes of asking the server at this url. */
async function outcome(url: string): Promise<string> {
  const store = await openStore(url);
  try {
    await store.ping();
    return "in";
  } catch (error) {
    return /certificate|altnames|ERR_TLS/i.test(String(error)) ? "refused" : String(error);
  } finally {
    await store.close();
  }
}

const CASES: readonly (readonly [names: string, byAddress: string, byName: string])[] = [
  ["IP:127.0.0.1", "in", "refused"],
  ["DNS:localhost", "refused", "in"],
  ["IP:127.0.0.1,DNS:localhost", "in", "in"],
  ["IP:127.0.0.2,DNS:db.example", "refused", "refused"],
];

for (const [names, byAddress, byName] of CASES) {
  test(
    `a certificate for ${names} is checked for the name in the url`,
    NEEDS_MARIADB,
    (t) =>
      withTempDir(async (directory) => {
        const { ca, options } = makeCertificate(directory, names);
        await withPrivateMariaDb(t, async ({ url }) => {
          await runAdmin(url, "CREATE DATABASE lars_dns");
          const wish = `${url}/lars_dns?tls_ca=${ca}`;
          assert.equal(await outcome(wish), byAddress, "127.0.0.1");
          assert.equal(await outcome(wish.replace("127.0.0.1", "localhost")), byName, "localhost");
        }, options);
      }),
  );
}

test(
  "accounts of MariaDB's ed25519 log in with the right password alone",
  NEEDS_MARIADB,
  (t) =>
    withPrivateMariaDb(t, async ({ url }) => {
      const account = "'led'@'127.0.0.1'";
      await runAdmin(
        url,
        "CREATE DATABASE lars_dns",
        "INSTALL SONAME 'auth_ed25519'",
        `CREATE USER ${account} IDENTIFIED VIA ed25519 USING PASSWORD('pass wörd, longer than a key')`,
        `GRANT ALL ON lars_dns.* TO ${account}`,
      );
      const as = (password: string): string =>
        `${url.replace(/\/\/[^@]*@/, `//led:${encodeURIComponent(password)}@`)}/lars_dns`;
      assert.equal(await outcome(as("pass wörd, longer than a key")), "in");
      assert.match(await outcome(as("another")), /Access denied/);
    }),
);
