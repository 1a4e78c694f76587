// Runs on Deno only: it is the task's runtime.

import assert from "node:assert/strict";
import { mkdirSync, readFileSync } from "node:fs";
import process from "node:process";
import { test } from "node:test";
import { VERSION } from "../daemon/version.ts";
import { findProgram } from "../tests/support/mariadb.ts";
import { PROJECT_ROOT, withProcesses } from "../tests/support/processes.ts";

const STEP_TIMEOUT_MS = 600_000;
const OBSTACLE = findProgram("podman") === undefined
  ? "podman is not on PATH"
  : process.getuid?.() !== 0
  ? "wants root, to look into the image"
  : undefined;

test("deno task image builds an image whose program needs nothing else", {
  skip: OBSTACLE ?? false,
}, async () => {
  await withProcesses(async (processes) => {
    const { directory } = processes;
    const run = (name: string, argv: readonly string[]): Promise<string> =>
      processes.succeed(name, argv, STEP_TIMEOUT_MS);
    const task = [process.execPath, "run", "-A"];
    await run("compile", [
      ...[...task, "scripts/compile.ts", "--only", "lars"],
      ...["--out", `${directory}/bin`],
    ]);
    // Its own storage: nothing of the machine's images is touched.
    const storage = ["--storage-driver=vfs", "--root", `${directory}/storage`];
    const options = [...storage, "--runroot", `${directory}/run`];
    const given = options.flatMap((option) => [`--builder-option=${option}`]);
    const program = ["--program", `${directory}/bin/lars`];
    const made = await run("image", [...task, "scripts/pack_image.ts", ...program, ...given]);
    assert.equal(made, `lars:${VERSION}\n`);
    mkdirSync(`${directory}/root`);
    await run("export", [
      ...["sh", "-c"],
      `id=$(podman ${options.join(" ")} create lars) &&
       podman ${options.join(" ")} export "$id" | tar -x -C ${directory}/root &&
       podman ${options.join(" ")} rm "$id" >/dev/null`,
    ]);
    // What a container engine gives every container.
    const root = `${directory}/root`;
    const inside = await run("inside", [
      ...["unshare", "--mount", "--pid", "--fork", "sh", "-c"],
      `mkdir -p ${root}/proc ${root}/dev && mount -t proc proc ${root}/proc &&
       mount --rbind /dev ${root}/dev &&
       exec chroot --userspec=65532:65532 ${root} /usr/bin/lars --version`,
    ]);
    assert.equal(inside, `${VERSION}\n`);
  });
});

test("the services of the compose file are words of the command, and may write nothing but their state", () => {
  const text = readFileSync(`${PROJECT_ROOT}/deploy/container/compose.yaml`, "utf8");
  const words = [...text.matchAll(/command:(?: \["|\n\s+- )(\w+)/g)].map(([, word]) => word);
  assert.deepEqual(words, ["web", "dns", "reporter", "agent"]);
  assert.match(text, /read_only: true\n {2}cap_drop: \[ALL\]/);
});
