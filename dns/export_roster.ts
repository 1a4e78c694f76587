// Core. The exports linked to this dns, as all its loops tell, and how many programs follow routes in
// their own process.

import type { ServiceInstance } from "../sql/store.ts";
import { ARRIVAL_GRACE_MS, type ExportSighting, type OtherSightings } from "./linked_peers.ts";

/**
 * Exports that have a row, and of which the route version is remembered; when there are more of these
 * all begin anew.
 */
export const EXPORTS_MAX = 1_000;

/** The exports of all loops, on the main thread. */
export class ExportRoster {
  /** By loop, as of its last word. */
  readonly #linked = new Map<number, OtherSightings>();
  /** By name the newest `RouteVersion` of which all routes had arrived. */
  readonly #versions = new Map<string, number>();

  /** Exports linked now; programs that follow by themselves, and those of them that are behind. */
  get counts(): { exports: number; clients: number; clientsBehind: number } {
    const counts = { exports: 0, clients: 0, clientsBehind: 0 };
    for (const { exports, clients, clientsBehind } of this.#linked.values()) {
      counts.exports += exports.length;
      counts.clients += clients;
      counts.clientsBehind += clientsBehind;
    }
    return counts;
  }

  /**
   * A loop says who is linked to it.
   *
   * @param version `RouteVersion` of the routes that had been given to the loop when it was asked.
   */
  take(loop: number, others: OtherSightings, version: number): void {
    this.#linked.set(loop, others);
    for (const { status, behindMs } of others.exports) {
      if (version <= 0 || behindMs > ARRIVAL_GRACE_MS) continue;
      if (this.#versions.size >= EXPORTS_MAX && !this.#versions.has(status.name)) {
        this.#versions.clear();
      }
      this.#versions.set(status.name, version);
    }
  }

  /** A loop is gone, with its connections. */
  lostLoop(loop: number): void {
    this.#linked.delete(loop);
  }

  /** An export has stopped because it was asked to. */
  forget(name: string): void {
    this.#versions.delete(name);
    for (const [loop, others] of this.#linked) {
      const exports = others.exports.filter(({ status }) => status.name !== name);
      this.#linked.set(loop, { ...others, exports });
    }
  }

  /** True while an export of this name is linked. */
  isLinked(name: string): boolean {
    for (const { exports } of this.#linked.values()) {
      if (exports.some(({ status }) => status.name === name)) return true;
    }
    return false;
  }

  /**
   * A row for each export that is linked, {@linkcode EXPORTS_MAX} at most: of several of one name the
   * one that was heard last.
   *
   * @param dns Address of this dns.
   * @param wallMs Now.
   */
  rows(dns: string, wallMs: number): ServiceInstance[] {
    const rows = new Map<string, ServiceInstance>();
    for (const { exports } of this.#linked.values()) {
      for (const sighting of exports) {
        const row = this.#rowOf(sighting, dns, wallMs);
        const before = rows.get(row.address);
        if (before === undefined || before.seenAt < row.seenAt) rows.set(row.address, row);
      }
    }
    return [...rows.values()].slice(0, EXPORTS_MAX);
  }

  #rowOf(
    { status, software, heardMsAgo }: ExportSighting,
    dns: string,
    wallMs: number,
  ): ServiceInstance {
    const seenAt = Math.floor((wallMs - heardMsAgo) / 1000);
    const version = this.#versions.get(status.name);
    return {
      ...{ kind: "export", address: status.name, software, seenAt },
      startedAt: Math.min(status.startedAt, seenAt),
      detail: {
        dns,
        ...(version === undefined ? {} : { version }),
        modules: status.modules,
        // As text, because details are flat.
        ways: JSON.stringify(status.ways),
      },
    };
  }
}
