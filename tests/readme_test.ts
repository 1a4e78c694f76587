// Runs on Deno only: README's commands name their runtimes themselves.
//
// The five minutes of README.md, typed as printed into terminals of a copy of these sources. Their
// ports are fixed, so it happens in a network namespace of its own where that is possible.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { cp, symlink } from "node:fs/promises";
import { basename, join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { assertInTime } from "./support/in_time.ts";
import { findProgram } from "./support/mariadb.ts";
import { PROJECT_ROOT, withProcesses } from "./support/processes.ts";

/** Promised of the way from the clone to a bad node that is back; here the clone is a copy. */
const TOUR_PROMISED_MS = 120_000;
const TIMEOUT_MS = 600_000;

/**
 * Starts a command where every port of loopback is free, and with whose end all ends that it
 * started: its terminals would outlive it.
 */
const NAMESPACE = [
  ...["unshare", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"],
  ...["sh", "-c", 'ip link set lo up && exec "$@"', "sh"],
];

/** What no copy of the sources needs; libraries are linked. */
const NOT_COPIED = new Set([".git", "node_modules", "dist", "data"]);

function reason(): string | undefined {
  const [program, ...args] = [...NAMESPACE, "true"];
  if (spawnSync(program, args).status !== 0) {
    return "no network namespace can be made here (needs root and ip)";
  }
  return findProgram("node") === undefined ? "node is not on PATH" : undefined;
}

/**
 * A folder with an `npx` that starts the runtimes of this test: without a network the real one waits
 * a minute for each answer of its registry.
 */
function fakeNpx(directory: string): string {
  const wanted = ["-y", "bun@1.4.5", "-e", "console.log(process.execPath)"];
  const bun = spawnSync("npx", wanted, { encoding: "utf8" }).stdout.trim();
  assert.match(bun, /bun/, "npx brings Bun");
  const folder = join(directory, "bin");
  mkdirSync(folder);
  const path = join(folder, "npx");
  writeFileSync(
    path,
    `#!/bin/sh
[ "$1" = -y ] || exit 90
case "$2" in
deno@2.9.6) shift 2; exec '${process.execPath}' "$@" ;;
bun@1.4.5) shift 2; exec '${bun}' "$@" ;;
*) echo "npx $*: no such runtime" >&2; exit 91 ;;
esac
`,
  );
  chmodSync(path, 0o755);
  return folder;
}

/** The bundler comes from npm at its first use: it must be here before the network is not. */
function bringBundler(directory: string): void {
  const args = ["run", "-A", "scripts/bundle_api.ts", "--out", join(directory, "api")];
  const { status, stderr } = spawnSync(process.execPath, args, {
    cwd: PROJECT_ROOT,
    encoding: "utf8",
  });
  assert.equal(status, 0, stderr);
}

const skip = reason() ?? false;

test("README's five minutes are true as typed", { skip, timeout: TIMEOUT_MS }, async () => {
  await withProcesses(async (processes) => {
    bringBundler(processes.directory);
    const folder = join(processes.directory, "lars");
    await cp(PROJECT_ROOT, folder, {
      recursive: true,
      filter: (path) => path === PROJECT_ROOT || !NOT_COPIED.has(basename(path)),
    });
    await symlink(join(PROJECT_ROOT, "node_modules"), join(folder, "node_modules"));
    const tour = processes.spawn("tour", "scripts/record_tour.ts", [
      ...["--folder", folder, "--all", "--json"],
    ], {
      wrapper: NAMESPACE,
      env: { PATH: `${fakeNpx(processes.directory)}:${process.env.PATH}` },
    });
    const { code, stdout, stderr } = await tour.untilEnded(TIMEOUT_MS);
    assert.equal(code, 0, stderr);
    const { tookMs } = JSON.parse(stdout) as { tookMs: number };
    assertInTime("a bad node seen out and back", tookMs, TOUR_PROMISED_MS);
  });
});
