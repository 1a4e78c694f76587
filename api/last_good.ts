// Core. Nodes the agent named lately, for the time when it does not answer.

import type { Host } from "./host.ts";
import { type ModuleId, moduleId } from "../model/module.ts";

/** Modules remembered; the one not used for longest is forgotten for a new one. */
export const LAST_GOOD_MODULES_MAX = 1024;

/** Nodes remembered for each module; the one named longest ago is forgotten for a new one. */
export const LAST_GOOD_HOSTS_MAX = 8;

interface Memory {
  readonly host: Host;
  readonly atMs: number;
}

/** The nodes each module got last, by `ip:port`, the one named longest ago first. */
export class LastGood {
  readonly #keepMs: number;
  readonly #modules = new Map<ModuleId, Map<string, Memory>>();

  /** `keepMs` is for how long a node may be handed out again; 0 remembers nothing. */
  constructor(keepMs: number) {
    this.#keepMs = keepMs;
  }

  /** Modules remembered. */
  get moduleCount(): number {
    return this.#modules.size;
  }

  /** Notes that the agent named this node. */
  remember(modId: number, cmdId: number, host: Host, nowMs: number): void {
    if (this.#keepMs === 0) return;
    const key = moduleId(modId, cmdId);
    const hosts = this.#modules.get(key) ?? new Map<string, Memory>();
    // Maps keep the order of insertion: deleting first makes this one the youngest.
    this.#modules.delete(key);
    this.#modules.set(key, hosts);
    const hostKey = `${host.ip}:${host.port}`;
    hosts.delete(hostKey);
    hosts.set(hostKey, { host, atMs: nowMs });
    if (hosts.size > LAST_GOOD_HOSTS_MAX) deleteFirst(hosts);
    if (this.#modules.size > LAST_GOOD_MODULES_MAX) deleteFirst(this.#modules);
  }

  /** Notes that a call of this node failed. */
  forget(modId: number, cmdId: number, ip: string, port: number): void {
    this.#modules.get(moduleId(modId, cmdId))?.delete(`${ip}:${port}`);
  }

  /** Notes that the module has no nodes any more. */
  forgetModule(modId: number, cmdId: number): void {
    this.#modules.delete(moduleId(modId, cmdId));
  }

  /** A node of the module that is young enough; each call gives the next one in turn. */
  next(modId: number, cmdId: number, nowMs: number): Host | undefined {
    const hosts = this.#modules.get(moduleId(modId, cmdId));
    for (const [hostKey, memory] of hosts ?? []) {
      hosts?.delete(hostKey);
      if (nowMs - memory.atMs > this.#keepMs) continue;
      hosts?.set(hostKey, memory);
      return memory.host;
    }
    return undefined;
  }
}

function deleteFirst<K, V>(map: Map<K, V>): void {
  for (const key of map.keys()) {
    map.delete(key);
    return;
  }
}
