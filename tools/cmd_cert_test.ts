// Goal: what docs/tls.md says to type makes certificates that services take. Method: it is typed.

import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { systemClock } from "../reactor/mod.ts";
import { checkMaterial } from "../session/tls/certificate_check.ts";
import { CERTIFICATE_ROLES } from "../session/tls/peer_roles.ts";
import { findProgram } from "../tests/support/mariadb.ts";
import {
  type Ended,
  type Processes,
  PROJECT_ROOT,
  withProcesses,
} from "../tests/support/processes.ts";

const page = readFileSync(join(PROJECT_ROOT, "docs/tls.md"), "utf8");
const blocks = [...page.matchAll(/```sh\n([\s\S]*?)```/g)].map(([, text]) => text);

function lars(processes: Processes, words: readonly string[]): Promise<Ended> {
  return processes.run("tools/lars.ts", words, { cwd: processes.directory });
}

function check(directory: string, ca: string, cert: string, key: string, role: string): void {
  const read = (name: string): string => readFileSync(join(directory, name), "utf8");
  const files = { ca: read(ca), cert: read(cert), key: read(key) };
  const material = { ...files, refused: [], plain: "off" } as const;
  assert.deepEqual(checkMaterial(material, role, systemClock.wallMs()).warnings, []);
}

test(
  "lars cert: the commands of docs/tls.md make what services take",
  { timeout: 60_000 },
  () =>
    withProcesses(async (processes) => {
      const { directory } = processes;
      let last = "";
      for (const line of blocks[0].trim().split("\n")) {
        const { code, stdout, stderr } = await lars(processes, line.split(" ").slice(1));
        assert.equal(code, 0, `${line}: ${stderr}`);
        last = stdout;
      }
      for (
        const [name, role] of [["dns-1", "dns"], ["reporter-1", "reporter"], ["ops", "editor"]]
      ) {
        check(directory, "ca/ca.pem", `${name}.pem`, `${name}.pem`, role);
        assert.equal(statSync(join(directory, `${name}.pem`)).mode & 0o777, 0o600);
      }
      assert.equal(statSync(join(directory, "ca/ca.key")).mode & 0o777, 0o600);
      assert.match(last, /^subject +CN=host-7\nissuer +CN=lars\nroles +agent\nvalid /);
      assert.match(last, /\nkey +fits\n$/);
      const json = JSON.parse(
        (await lars(processes, ["cert", "show", "ops.pem", "--json"])).stdout,
      );
      assert.deepEqual([json.roles, json.isValid, json.key], [["editor"], true, "fits"]);
    }),
);

test(
  "lars cert says what is wrong, and writes over nothing",
  { timeout: 60_000 },
  () =>
    withProcesses(async (processes) => {
      const table: [words: string[], code: number, said: RegExp][] = [
        [["cert", "make", "a", "--role", "agent"], 2, /ca\.pem cannot be read/],
        [["cert", "ca"], 0, /^$/],
        [["cert", "ca"], 1, /it is there already; --force writes over it/],
        [["cert", "make", "a"], 2, /needs a role or a host/],
        [["cert", "make", "a", "--role", "king"], 2, /must be one of agent, dns/],
        [["cert", "make", "../a", "--role", "agent"], 2, /must be letters, digits/],
        [["cert", "make", "a", "--role", "agent", "--days", "0"], 2, /must be days/],
        [["cert", "make", "a", "--role", "agent", "--host", "h 1"], 2, /a host name or an address/],
        [["cert", "make", "a", "--role", "agent"], 0, /^$/],
        [["cert", "make", "a", "--role", "agent"], 1, /it is there already/],
        [["cert", "make", "a", "--role", "dns", "--force"], 0, /^$/],
        [["cert", "show", "ca.key"], 2, /must hold a certificate/],
        [["cert", "show", "nothing.pem"], 2, /cannot be read/],
      ];
      for (const [words, code, said] of table) {
        const ended = await lars(processes, words);
        assert.equal(ended.code, code, `${words.join(" ")}: ${ended.stderr}`);
        assert.match(ended.stderr, said);
      }
      check(processes.directory, "ca.pem", "a.pem", "a.pem", "dns");
      // The place of the new file is taken by a folder: it cannot be made.
      mkdirSync(join(processes.directory, "b.pem.new"));
      const failed = await lars(processes, ["cert", "make", "b", "--role", "agent"]);
      assert.equal(failed.code, 1, failed.stderr);
      assert.equal(existsSync(join(processes.directory, "b.pem")), false, "nothing is left");
      // Its key is kept elsewhere: one of another authority beside it would be of no use.
      rmSync(join(processes.directory, "ca.key"));
      const { code, stderr } = await lars(processes, ["cert", "ca"]);
      assert.equal(code, 1);
      assert.match(stderr, /ca\.pem in \. cannot be written: it is there already/);
      assert.equal(existsSync(join(processes.directory, "ca.key")), false);
    }),
);

test("the commands of OpenSSL in docs/tls.md make what services take", {
  skip: findProgram("openssl") === undefined && "OpenSSL is not installed",
}, () =>
  withProcesses(async (processes) => {
    const cwd = join(processes.directory, "openssl");
    mkdirSync(cwd);
    const shell = processes.spawnCommand("openssl", ["sh", "-ec", blocks[1]], { cwd });
    const { code, stderr } = await shell.untilEnded(30_000);
    assert.equal(code, 0, stderr);
    check(cwd, "ca.pem", "dns-1.pem", "dns-1.key", "dns");
  }));

test("docs/tls.md has every role", () => {
  const listed = [
    ...page.matchAll(/^\| `(\w+)` +\| (?:asks|is believed|registers|tells|follows|answers)/gm),
  ];
  assert.deepEqual(listed.map(([, role]) => role), Object.keys(CERTIFICATE_ROLES));
});
