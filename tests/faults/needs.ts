// Shell. Whether this machine has what a test of faults needs.

import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import process from "node:process";
import { noGaleraReason } from "../support/galera.ts";
import { findProgram, noPrivateServerReason } from "../support/mariadb.ts";
import { findFaketime } from "../support/wall_clock.ts";
import { noZonesReason } from "../support/zone_lab.ts";
import type { FaultNeed } from "./matrix.ts";

function noProgram(name: string): string | undefined {
  return findProgram(name) === undefined ? `${name} is not installed` : undefined;
}

function noRoot(): string | undefined {
  return process.getuid?.() === 0 ? undefined : "it needs root";
}

function noStrace(): string | undefined {
  const missing = noProgram("strace");
  if (missing !== undefined) return missing;
  const tried = spawnSync("strace", ["-qq", "-e", "inject=fsync:delay_enter=1", "true"]);
  return tried.status === 0 ? undefined : "strace may not trace here";
}

const REASONS: Readonly<Record<FaultNeed, () => string | undefined>> = {
  root: noRoot,
  mariadb: noPrivateServerReason,
  galera: noGaleraReason,
  faketime: () => findFaketime() === undefined ? "libfaketime is not on this machine" : undefined,
  "network namespaces": noZonesReason,
  prlimit: () => noProgram("prlimit"),
  strace: noStrace,
  "C compiler": () => noProgram("cc"),
  cgroups: noCgroups,
};

/** Folder of memory limits, where cgroups are of the first version; else that of the second. */
export const MEMORY_GROUPS = ["/sys/fs/cgroup/memory", "/sys/fs/cgroup"].find((path) =>
  existsSync(`${path}/memory.limit_in_bytes`) || existsSync(`${path}/cgroup.subtree_control`)
);

function noCgroups(): string | undefined {
  if (MEMORY_GROUPS === undefined) return "there are no cgroups with a memory controller";
  return noRoot();
}

const known = new Map<FaultNeed, string | undefined>();

/** Why a test with these needs cannot run here; undefined: it can. */
export function reasonAgainst(needs: readonly FaultNeed[]): string | undefined {
  for (const need of needs) {
    if (!known.has(need)) known.set(need, REASONS[need]());
    const reason = known.get(need);
    if (reason !== undefined) return reason;
  }
  return undefined;
}
