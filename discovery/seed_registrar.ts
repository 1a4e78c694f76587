// Core. What the seed's protocol means to leases: registrations without a time to live, and hearts.

import { NO_TTL } from "../model/lease.ts";
import type { ModuleKey } from "../model/module.ts";
import {
  addressId,
  type NodeAddress,
  type NodeKey,
  takesCalls,
  WEIGHT_DEFAULT,
} from "../model/node.ts";
import type { Address } from "../reactor/address.ts";
import type { RouteRow } from "../sql/store.ts";
import type { LeaseOutcome, LeaseWish } from "./lease_plan.ts";
import { registerFault } from "./lease_requests.ts";
import type { LeaseTable } from "./lease_table.ts";
import type { SeedEvents } from "./seed/seed_protocol.ts";
import type { SeedServers } from "./seed/seed_servers.ts";

/** What a {@linkcode SeedRegistrar} works with. */
export interface SeedRegistrarOptions {
  readonly module: ModuleKey;
  readonly table: LeaseTable;
  readonly holder: number;
  /** Time to live from the first heart on. */
  ttlMs(): number;
  newIncarnation(): number;
  ask(wish: LeaseWish): Promise<LeaseOutcome>;
  /** Something that was answered could not be written. */
  onFault(error: unknown): void;
}

/**
 * One for each listener. A program of the seed waits for its answer and cannot ask again, so it is
 * answered from memory at once, and the database follows. Whom clients are given follows the route,
 * where an operator has the last word, as soon as it was read.
 */
export class SeedRegistrar implements SeedEvents {
  readonly #options: SeedRegistrarOptions;
  #servers: SeedServers | undefined;
  /** Nodes of which something is being written: the route does not know it yet. */
  readonly #pending = new Map<number, number>();
  /** Nodes that an operator keeps out, as the route was read last. */
  readonly #kept = new Set<number>();

  constructor(options: SeedRegistrarOptions) {
    this.#options = options;
  }

  /** The servers that follow the route from now on. */
  serve(servers: SeedServers): void {
    this.#servers = servers;
  }

  onRegister(address: NodeAddress, peer: Address): "usable" | "unusable" | "refused" {
    const { table, holder } = this.#options;
    const node = this.#nodeOf(address);
    const request = {
      ...{ node, ttlMs: 1_000, weight: WEIGHT_DEFAULT, zone: "", note: "", isReady: true },
      ...{ check: "", previous: 0, makesModule: true },
    };
    // Its loopback is what the seed's own configuration names: it is taken as it is said.
    if (registerFault(request, "127.0.0.1", false) !== undefined) return "refused";
    const { weight, zone, note } = request;
    this.#write({
      ...{ op: "register", node, previous: 0, makesModule: true, holder },
      incarnation: this.#options.newIncarnation(),
      spec: {
        ...{ ttlMs: NO_TTL, weight, zone, note, check: "", isReady: true },
        ...{ source: "seed", owner: peer.hostname },
      },
    });
    const hand = table.get(node)?.row.hand;
    const isKept = this.#kept.has(addressId(node.ip, node.port)) || hand?.state !== undefined;
    return isKept || hand?.weight === 0 ? "unusable" : "usable";
  }

  onUnregister(address: NodeAddress): boolean {
    const node = this.#nodeOf(address);
    const lease = this.#options.table.get(node);
    const isPending = this.#pending.has(addressId(node.ip, node.port));
    if (lease === undefined ? !isPending : lease.row.source !== "seed") return false;
    this.#write({ op: "end", node });
    return true;
  }

  onHeart(address: NodeAddress): void {
    const { table, ttlMs } = this.#options;
    const node = this.#nodeOf(address);
    const lease = table.get(node);
    if (lease === undefined || lease.row.source !== "seed") return;
    const { incarnation } = lease.row;
    if (lease.row.ttlMs === NO_TTL) {
      this.#write({ op: "change", node, incarnation, change: { ttlMs: ttlMs() } });
    }
    table.heard(node, incarnation);
  }

  /** Takes in the route of the module. */
  onRoutes(routes: readonly RouteRow[]): void {
    const servers = this.#servers;
    if (servers === undefined) return;
    const listed = new Set<number>();
    for (const route of routes) {
      const id = addressId(route.ip, route.port);
      listed.add(id);
      const takes = takesCalls(route);
      if (takes) this.#kept.delete(id);
      else this.#kept.add(id);
      if (!this.#pending.has(id)) servers.setUsable(route, takes);
    }
    for (const server of servers.list()) {
      const id = addressId(server.ip, server.port);
      if (!listed.has(id) && !this.#pending.has(id)) servers.remove(server);
    }
    for (const id of this.#kept) if (!listed.has(id)) this.#kept.delete(id);
  }

  #nodeOf({ ip, port }: NodeAddress): NodeKey {
    const { modId, cmdId } = this.#options.module;
    return { modId, cmdId, ip, port };
  }

  #write(wish: LeaseWish): void {
    const id = addressId(wish.node.ip, wish.node.port);
    this.#pending.set(id, (this.#pending.get(id) ?? 0) + 1);
    this.#options.ask(wish).catch(this.#options.onFault).finally(() => {
      const left = (this.#pending.get(id) ?? 1) - 1;
      if (left > 0) this.#pending.set(id, left);
      else this.#pending.delete(id);
    });
  }
}
