// Core. Nodes the agent named lately, for the time when it does not answer.

import type { Host } from "./host.ts";
import { type ModuleId, moduleId } from "../model/module.ts";

/** Modules remembered; the one not used for longest is forgotten for a new one. */
export const LAST_GOOD_MODULES_MAX = 1024;

/** Nodes remembered for each module; the one named longest ago is forgotten for a new one. */
export const LAST_GOOD_HOSTS_MAX = 8;

/** A node whose call failed rests so long, twice as long after each further failure, up to this. */
const REST_MS = 1000;
const REST_MS_MAX = 30_000;

interface Memory {
  readonly host: Host;
  readonly atMs: number;
  /** Failures since the agent named it, or since a call of it went well. */
  failures: number;
  restEndMs: number;
}

/**
 * The nodes each module got last, by `ip:port`, in the order in which their turns come. A node that
 * fails is passed over for a while and never forgotten for it: whoever has nothing better tries it
 * again, so that an outage of all nodes ends when they are back and not when the agent is.
 */
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
    hosts.set(hostKey, { host, atMs: nowMs, failures: 0, restEndMs: -Infinity });
    if (hosts.size > LAST_GOOD_HOSTS_MAX) deleteFirst(hosts);
    if (this.#modules.size > LAST_GOOD_MODULES_MAX) deleteFirst(this.#modules);
  }

  /** Notes how a call of this node went. */
  judge(
    modId: number,
    cmdId: number,
    ip: string,
    port: number,
    isWell: boolean,
    nowMs: number,
  ): void {
    const memory = this.#modules.get(moduleId(modId, cmdId))?.get(`${ip}:${port}`);
    if (memory === undefined) return;
    if (isWell) {
      memory.failures = 0;
      memory.restEndMs = -Infinity;
      return;
    }
    const restMs = Math.min(REST_MS * 2 ** memory.failures, REST_MS_MAX);
    memory.failures++;
    memory.restEndMs = nowMs + restMs;
  }

  /** Notes nodes that are not remembered yet, as far as there is room. */
  fill(modId: number, cmdId: number, hosts: Iterable<Host>, nowMs: number): void {
    for (const host of hosts) {
      const known = this.#modules.get(moduleId(modId, cmdId));
      if ((known?.size ?? 0) >= LAST_GOOD_HOSTS_MAX) return;
      if (known?.has(`${host.ip}:${host.port}`) !== true) this.remember(modId, cmdId, host, nowMs);
    }
  }

  /**
   * A node of the module that is young enough and has not failed a moment ago; each call gives the
   * next one in turn.
   */
  next(modId: number, cmdId: number, nowMs: number): Host | undefined {
    const hosts = this.#fresh(modId, cmdId, nowMs);
    for (const [hostKey, memory] of hosts ?? []) {
      if (memory.restEndMs <= nowMs) return takeTurn(hosts, hostKey, memory);
    }
    return undefined;
  }

  /** Any node of the module that is young enough, in turn, for when there is no better one. */
  nextOfAll(modId: number, cmdId: number, nowMs: number): Host | undefined {
    const hosts = this.#fresh(modId, cmdId, nowMs);
    for (const [hostKey, memory] of hosts ?? []) return takeTurn(hosts, hostKey, memory);
    return undefined;
  }

  #fresh(modId: number, cmdId: number, nowMs: number): Map<string, Memory> | undefined {
    const hosts = this.#modules.get(moduleId(modId, cmdId));
    for (const [hostKey, { atMs }] of hosts ?? []) {
      if (nowMs - atMs > this.#keepMs) hosts?.delete(hostKey);
    }
    return hosts;
  }
}

function takeTurn(
  hosts: Map<string, Memory> | undefined,
  hostKey: string,
  memory: Memory,
): Host {
  hosts?.delete(hostKey);
  hosts?.set(hostKey, memory);
  return memory.host;
}

function deleteFirst<K, V>(map: Map<K, V>): void {
  for (const key of map.keys()) {
    map.delete(key);
    return;
  }
}
