// Shell. Whether this machine has what a test of faults needs.

import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { messageOf } from "../../reactor/errors.ts";
import { noGaleraReason } from "../support/galera.ts";
import { findProgram, noPrivateServerReason } from "../support/mariadb.ts";
import { findFaketime } from "../support/wall_clock.ts";
import { noZonesReason } from "../support/zone_lab.ts";
import type { FaultNeed } from "./matrix.ts";

function noProgram(name: string): string | undefined {
  return findProgram(name) === undefined ? `${name} is not installed` : undefined;
}

/** Root of a container may often not. */
function noMounts(): string | undefined {
  if (process.getuid?.() !== 0) return "it needs root";
  const tried = spawnSync("unshare", ["-m", "mount", "-t", "tmpfs", "tmpfs", "/tmp"]);
  return tried.status === 0 ? undefined : "no folder can be mounted here";
}

function noStrace(): string | undefined {
  const missing = noProgram("strace");
  if (missing !== undefined) return missing;
  const tried = spawnSync("strace", ["-qq", "-e", "inject=fsync:delay_enter=1", "true"]);
  return tried.status === 0 ? undefined : "strace may not trace here";
}

const REASONS: Readonly<Record<FaultNeed, () => string | undefined>> = {
  mounts: noMounts,
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
const MEMORY_GROUPS = ["/sys/fs/cgroup/memory", "/sys/fs/cgroup"].find((path) =>
  existsSync(`${path}/memory.limit_in_bytes`) || existsSync(`${path}/cgroup.subtree_control`)
);

/** A group of processes that have so much memory together at most. */
export class MemoryGroup {
  readonly #path: string;

  /** @throws {Error} where no such group can be made. */
  constructor(name: string, megabytes: number) {
    const isFirst = MEMORY_GROUPS?.endsWith("/memory") === true;
    this.#path = `${MEMORY_GROUPS}/lars-${process.pid}-${name}`;
    mkdirSync(this.#path, { recursive: true });
    try {
      const limit = join(this.#path, isFirst ? "memory.limit_in_bytes" : "memory.max");
      // Nobody but the kernel makes files here: where it has not made this one, there is no limit.
      writeFileSync(limit, String(megabytes * 2 ** 20), { flag: "r+" });
    } catch (error) {
      rmdirSync(this.#path);
      throw error;
    }
  }

  /** Words that run a program in it. */
  get wrapper(): string[] {
    return ["sh", "-c", `echo $$ > ${this.#path}/cgroup.procs && exec "$@"`, "sh"];
  }

  /** Removes it; its processes must have ended. */
  remove(): void {
    rmdirSync(this.#path);
  }
}

function noCgroups(): string | undefined {
  if (MEMORY_GROUPS === undefined) return "there are no cgroups with a memory controller";
  try {
    const group = new MemoryGroup("probe", 64);
    const tried = spawnSync(group.wrapper[0], [...group.wrapper.slice(1), "true"]);
    group.remove();
    return tried.status === 0 ? undefined : "no process can be put into a group here";
  } catch (error) {
    return `no group with a limit of memory can be made: ${messageOf(error)}`;
  }
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
