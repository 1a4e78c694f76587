// Runs on Deno only: the tasks that compile and pack are Deno's.
// The Debian packages as an operator uses them: installed, used, upgraded while callers ask, purged.

import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, renameSync } from "node:fs";
import process from "node:process";
import { test } from "node:test";
import { VERSION } from "../daemon/version.ts";
import { findProgram } from "./support/mariadb.ts";
import { withProcesses } from "./support/processes.ts";

/** Compiling, packing and installing, on a busy machine. */
const STEP_TIMEOUT_MS = 600_000;
const NEEDED = ["dpkg-deb", "apt-get", "unshare", "make", "cc", "c++", "ip", "gzip"];

/** What a real systemd is seen to do with the packages. */
const UNDER_SYSTEMD = [
  /^installed: web, dns, reporter and agent run, as users of their own/,
  /^agent killed: started again, \d+ calls, none failed/,
  /^agent killed 8 times in a row: started again each time/,
  /^dns hung: the watchdog started it again/,
  /^upgraded to \S+\+1: \d+ calls, none failed/,
  /^a secret and a database's URL as credentials: dns and agent prove it/,
  /^a wrong configuration is not tried again/,
  /^purged/,
];

/** Why it cannot be tried here; undefined when it can. */
function obstacle(): string | undefined {
  if (process.platform !== "linux" || process.getuid?.() !== 0) return "wants root on Linux";
  const missing = NEEDED.filter((name) => findProgram(name) === undefined);
  if (missing.length > 0) return `${missing.join(", ")} missing`;
  try {
    const script = "d=$(mktemp -d); mount -t tmpfs tmpfs $d; mkdir $d/u $d/w $d/r; " +
      "mount -t overlay overlay -o lowerdir=/,upperdir=$d/u,workdir=$d/w $d/r";
    execFileSync("unshare", ["--mount", "--net", "--pid", "--fork", "sh", "-c", script], {
      stdio: "ignore",
    });
    return undefined;
  } catch {
    return "no overlay or no namespaces here";
  }
}

/** What under_systemd.sh begins with: groups of its own, and mounts that containers may not have. */
const SYSTEMD_PROBE = `set -e
  group() { mkdir "$1/lars-probe-$$" && rmdir "$1/lars-probe-$$"; }
  if [ -e /sys/fs/cgroup/cgroup.controllers ]; then kind="cgroup2 cgroup2"; group /sys/fs/cgroup
  else
    kind="cgroup -o none,name=systemd cgroup"
    for one in /sys/fs/cgroup/*/; do if [ -e "$one/cgroup.procs" ]; then group "$one"; fi; done
  fi
  unshare --mount --net --pid --uts --ipc --cgroup --fork \\
    sh -ec "mount -t tmpfs tmpfs /mnt; mkdir /mnt/s /mnt/c; mount -t sysfs -o ro sysfs /mnt/s
      mount -t $kind /mnt/c"`;

/** Why no systemd can be booted here; undefined when one can. */
function noSystemdReason(): string | undefined {
  if (!existsSync("/lib/systemd/systemd")) return "no systemd";
  const { status, stderr } = spawnSync("sh", ["-c", SYSTEMD_PROBE], { encoding: "utf8" });
  return status === 0 ? undefined : `no systemd of its own can be booted: ${stderr.trim()}`;
}

test("Debian packages: install, answer, upgrade under callers, purge; under a real systemd too", {
  skip: obstacle() ?? false,
}, async () => {
  await withProcesses(async (processes) => {
    const { directory } = processes;
    const run = (name: string, argv: readonly string[]): Promise<string> =>
      processes.succeed(name, argv, STEP_TIMEOUT_MS);
    const task = [process.execPath, "run", "-A"];
    const programs = ["--only", "lars", "--only", "lars-agent", "--out", `${directory}/bin`];
    await run("compile", [...task, "scripts/compile.ts", ...programs]);
    const pack = ["scripts/pack_debian.ts", "--programs", `${directory}/bin`];
    const packed = await run("deb", [...task, ...pack, "--out", `${directory}/deb`]);
    assert.equal(packed.trim().split("\n").length, 4);

    // The next version: the same agent under a higher number.
    const archive = `${directory}/deb/lars-agent_${VERSION}_`;
    const later = `${directory}/later`;
    const script = `set -e; mkdir ${later}; dpkg-deb -R ${archive}*.deb ${directory}/x
      sed -i 's/^Version: .*/Version: ${VERSION}+1/' ${directory}/x/DEBIAN/control
      dpkg-deb --root-owner-group -Zgzip -z1 --build ${directory}/x ${later}/next.deb`;
    await run("repack", ["sh", "-c", script]);
    renameSync(`${later}/next.deb`, `${later}/lars-agent_${VERSION}+1_all.deb`);

    const unshare = ["unshare", "--mount", "--net", "--pid", "--fork"];
    const check = [...unshare, "tests/debian/check_packages.sh", `${directory}/deb`, later];
    const said = await run("check", check);
    assert.match(said, /^installed .*\nanswers get_host.*\na caller of the original/);
    assert.match(said, /upgraded to \S+\+1, \d+ calls, none failed\npurged\n$/);

    const reason = noSystemdReason();
    if (reason !== undefined) return console.log(`Not tried under systemd: ${reason}`);
    const under = ["tests/debian/under_systemd.sh", `${directory}/deb`, later];
    const steps = (await run("under systemd", under)).split("\n");
    for (const step of UNDER_SYSTEMD) assert.ok(steps.some((one) => step.test(one)), `${step}`);
  });
});
