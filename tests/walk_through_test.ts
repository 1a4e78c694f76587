// Runs on Deno only: the programs of the hosts are these sources under Deno.
// docs/hosts.md as typed: one host, then three, in namespaces that stand for hosts.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { codeBlocksOf, printedPattern } from "../scripts/markdown_blocks.ts";
import { findProgram } from "./support/mariadb.ts";
import { PROJECT_ROOT, withProcesses } from "./support/processes.ts";

const TIMEOUT_MS = 600_000;
const NEEDED = ["mariadbd", "mariadb-install-db", "mariadb", "openssl", "ip", "nsenter", "tar"];
const BOX = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child"];

/** Words that are typed, and where they start. */
const PROGRAMS: Readonly<Record<string, string>> = {
  "lars": "tools/lars.ts",
  "lars-dns": "dns/main.ts",
  "lars-reporter": "reporter/main.ts",
  "lars-web": "web/main.ts",
  "lars-agent": "agent/main.ts",
};

/** Why it cannot be tried here; undefined when it can. */
function obstacle(): string | undefined {
  if (process.platform !== "linux" || process.getuid?.() !== 0) return "wants root on Linux";
  const missing = NEEDED.filter((name) => findProgram(name) === undefined);
  if (missing.length > 0) return `${missing.join(", ")} missing`;
  const script = "ip link add lars-probe type bridge && mount -t tmpfs tmpfs /mnt && " +
    "mkdir /mnt/u /mnt/w && mount -t overlay overlay -o lowerdir=/etc,upperdir=/mnt/u,workdir=/mnt/w /etc";
  const { status, stderr } = spawnSync(BOX[0], [...BOX.slice(1), "sh", "-c", script], {
    encoding: "utf8",
  });
  return status === 0 ? undefined : `no hosts can be made of namespaces here: ${stderr.trim()}`;
}

interface Typed {
  /** `10.0.0.1# COMMAND`. */
  readonly line: string;
  readonly printed: readonly string[];
}

function typedLinesOf(page: string): Typed[] {
  const typed: { line: string; printed: string[] }[] = [];
  for (const { text } of codeBlocksOf(page).filter(({ language }) => language === "console")) {
    for (const line of text.split("\n")) {
      if (/^10\.0\.0\.\d# /.test(line)) typed.push({ line, printed: [] });
      else if (line !== "") typed.at(-1)?.printed.push(line);
    }
  }
  return typed;
}

test("docs/hosts.md: one host, then three, as typed", {
  skip: obstacle() ?? false,
  timeout: TIMEOUT_MS,
}, async () => {
  const typed = typedLinesOf(readFileSync(`${PROJECT_ROOT}/docs/hosts.md`, "utf8"));
  assert.ok(typed.length > 40, "the page has its commands");
  await withProcesses(async (processes) => {
    const [bin, box] = ["bin", "box"].map((name) => join(processes.directory, name));
    // The server of the database runs as a user of its own, who has to come by here.
    chmodSync(processes.directory, 0o755);
    mkdirSync(bin);
    mkdirSync(box);
    for (const [name, entry] of Object.entries(PROGRAMS)) {
      const run = `${process.execPath} run -A --quiet ${PROJECT_ROOT}/${entry}`;
      writeFileSync(join(bin, name), `#!/bin/bash\nexec -a ${name} ${run} "$@"\n`);
      chmodSync(join(bin, name), 0o755);
    }
    const lines = join(processes.directory, "lines");
    writeFileSync(lines, typed.map(({ line }) => `${line}\n`).join(""));
    const script = `exec ${BOX.join(" ")} tests/hosts/type_hosts.sh ${box} ${bin} < ${lines}`;
    const said = await processes.succeed("hosts", ["sh", "-c", script], TIMEOUT_MS);
    let rest = said;
    for (const [at, { line, printed }] of typed.entries()) {
      const start = rest.indexOf(`${line}\n`);
      assert.ok(start >= 0, `${line} was typed: ${rest}`);
      rest = rest.slice(start + line.length);
      const next = typed.at(at + 1)?.line;
      const wrote = next === undefined ? rest : rest.slice(0, rest.indexOf(`\n${next}\n`));
      for (const one of printed) {
        assert.match(wrote, printedPattern(one), `${line} prints ${one}: ${wrote}`);
      }
    }
    assert.doesNotMatch(said, /lars: warning|ERROR/);
  });
});
