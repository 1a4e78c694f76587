// Runs on Deno only: the tasks that compile and pack are Deno's.
// The image and the compose file as an operator uses them: built, started by podman without rights, asked,
// killed, restarted, with configuration files and a secret, taken away.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmodSync, mkdirSync } from "node:fs";
import process from "node:process";
import { test } from "node:test";
import { VERSION } from "../daemon/version.ts";
import { findProgram } from "./support/mariadb.ts";
import { withProcesses } from "./support/processes.ts";

/** Compiling, building and starting, on a busy machine. */
const STEP_TIMEOUT_MS = 600_000;
const NEEDED = ["podman", "docker-compose", "newuidmap", "setpriv", "unshare", "ip"];

/** What the script is seen to do. */
const STEPS = [
  /^up: web, dns, reporter and agent are well by their health checks$/,
  /^no user of the host, no capabilities, no new rights, nothing to write to but the volumes$/,
  /^a caller on the host gets a node, its results reach the database$/,
  /^agent killed: started again, with its routes$/,
  /^restarted$/,
  /^with configuration files and a secret: dns and agent prove it, the volumes kept the routes$/,
  /^taken away$/,
];

/** Why it cannot be tried here; undefined when it can. */
function obstacle(): string | undefined {
  if (process.platform !== "linux" || process.getuid?.() !== 0) return "wants root on Linux";
  const missing = NEEDED.filter((name) => findProgram(name) === undefined);
  if (missing.length > 0) return `${missing.join(", ")} missing`;
  const probe = ["--mount", "--net", "--pid", "--fork", "mount", "-t", "tmpfs", "tmpfs", "/mnt"];
  const { status, stderr } = spawnSync("unshare", probe, { encoding: "utf8" });
  return status === 0 ? undefined : `no namespaces here: ${stderr.trim()}`;
}

test(
  "container image: the compose file runs it without rights, and a caller on the host is answered",
  {
    skip: obstacle() ?? false,
  },
  async () => {
    await withProcesses(async (processes) => {
      const { directory } = processes;
      // A user without rights has to come by here.
      chmodSync(directory, 0o755);
      const run = (name: string, argv: readonly string[]): Promise<string> =>
        processes.succeed(name, argv, STEP_TIMEOUT_MS);
      const task = [process.execPath, "run", "-A"];
      const program = `${directory}/bin/lars`;
      await run("compile", [
        ...task,
        "scripts/compile.ts",
        "--only",
        "lars",
        "--out",
        `${directory}/bin`,
      ]);
      // Its own storage: nothing of the machine's images is touched.
      const storage = ["--storage-driver=vfs", "--root", `${directory}/storage`];
      const options = [...storage, "--runroot", `${directory}/run`];
      const given = options.flatMap((option) => [`--builder-option=${option}`]);
      const made = await run("image", [
        ...[...task, "scripts/pack_image.ts", "--program", program],
        ...given,
      ]);
      assert.equal(made, `lars:${VERSION}\n`);
      const archive = `${directory}/lars.tar`;
      await run("save", ["podman", ...options, "save", "-q", "-o", archive, "lars:latest"]);
      chmodSync(archive, 0o644);
      mkdirSync(`${directory}/box`);
      const said = await run("check", [
        ...["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child"],
        ...["tests/container/check_compose.sh", `${directory}/box`, archive, program],
        "docker-compose",
      ]);
      const steps = said.split("\n");
      for (const step of STEPS) assert.ok(steps.some((one) => step.test(one)), `${step}: ${said}`);
    });
  },
);
