// Core. The nodes of one module to pick from, in one pool for each zone or one for all, and which is next.

import { type Host, HostList, type HostPool } from "../host.ts";
import type { ModulePolicy } from "../module_policy.ts";
import { ZONES_MAX } from "../module_settings.ts";
import { isZoned } from "./expected_shares.ts";
import { Dice, DICE_LIMIT } from "./dice.ts";
import { planZones, sharesByWeight, steadied } from "./zone_plan.ts";
import { tableKeyOf } from "./murmur3.ts";
import { createPickPolicy } from "./pick_policies.ts";
import { type KeyedTable, NO_KEY, type PickPolicy } from "./pick_policy.ts";
import type { TurnRing } from "./turn_table.ts";
import type { Rng } from "../../reactor/time/rng.ts";

/** All usable nodes of a module, or those of one of its zones. */
export class NodePool implements HostPool {
  /** Name of the zone; "" when zones do not matter. */
  readonly zone: string;
  readonly usable = new HostList<Host>();
  readonly policy: PickPolicy;
  /** Sum of the weights the usable nodes are picked by. */
  pickWeight = 0;
  /** Calls of the usable nodes that are under way, as far as their `stats` is kept. */
  underWay = 0;

  constructor(zone: string, { policy, settings }: ModulePolicy, dice: Dice) {
    this.zone = zone;
    this.policy = createPickPolicy(policy, { usable: this.usable, totals: this, settings, dice });
  }

  /** A node becomes usable. */
  add(host: Host): void {
    this.usable.pushTail(host);
    this.pickWeight += host.pickWeight;
    this.underWay += host.stats?.underWay.count ?? 0;
    host.pool = this;
    this.policy.add(host);
  }

  /** A node is no longer usable. */
  remove(host: Host): void {
    this.policy.remove(host);
    host.pool = undefined;
    this.usable.remove(host);
    // Sums of fractions drift; an empty sum is known.
    this.pickWeight = this.usable.count === 0 ? 0 : this.pickWeight - host.pickWeight;
    this.underWay -= host.stats?.underWay.count ?? 0;
  }

  /** A usable node is picked by another weight from now on, and keeps its place. */
  setWeight(host: Host, pickWeight: number): void {
    const before = host.pickWeight;
    this.pickWeight += pickWeight - before;
    host.pickWeight = pickWeight;
    this.policy.weightChanged?.(host, before);
  }

  /** A call of a usable node began. */
  began(host: Host, nowMs: number): void {
    this.underWay++;
    this.policy.began?.(host, nowMs);
  }

  /** Calls of a usable node ended. */
  ended(host: Host, count: number, outcome: number, nowMs: number): void {
    this.underWay -= count;
    this.policy.ended?.(host, outcome, nowMs);
  }
}

/** Zone of the nodes beyond {@linkcode ZONES_MAX} zones, and of all when zones do not matter. */
const NO_ZONE = "";

// Shared by all modules for which zones do not matter; never written.
const NO_POOLS: NodePool[] = [];
const NO_SHARES: number[] = [];

/** A zone as `explain` shows it. */
export interface ZoneView {
  readonly zone: string;
  /** True for the zone of the agent. */
  readonly own: boolean;
  readonly evacuated: boolean;
  readonly usableNodes: number;
  /** Share of the weight of all usable nodes. 0 to 1. */
  readonly healthShare: number;
  /** Share of the calls. 0 to 1. */
  readonly share: number;
}

/** Picks a zone by the plan, then a node by the policy. */
export class ZoneRouter {
  /** True when calls are planned by zone. */
  readonly isZoned: boolean;
  readonly #policy: ModulePolicy;
  readonly #ownZone: string;
  readonly #dice: Dice;
  /** With zones: the single one, of nodes without a zone, and one for each zone. */
  readonly #pools: NodePool[];
  /** The only pool while zones do not matter. */
  readonly #single: NodePool;
  /** Shares of the pools, in their order. */
  #shares: number[] = NO_SHARES;
  #ownShare = 0;
  /** The pool with all of the calls, if there is one. */
  #only: NodePool | undefined = undefined;
  #isStale = true;

  constructor(policy: ModulePolicy, ownZone: string, rng: Rng) {
    this.isZoned = isZoned(policy.settings);
    this.#policy = policy;
    this.#ownZone = ownZone;
    this.#dice = new Dice(rng);
    this.#single = new NodePool(NO_ZONE, policy, this.#dice);
    this.#pools = this.isZoned ? [this.#single] : NO_POOLS;
  }

  /** The coming picks, if all are made in one pool and its policy knows them. */
  get inTurn(): TurnRing | undefined {
    return this.#onlyPool()?.policy.inTurn;
  }

  /** The pool that gets every call; undefined when there are several. */
  #onlyPool(): NodePool | undefined {
    if (!this.isZoned) return this.#single;
    if (this.#isStale) this.#plan();
    return this.#only;
  }

  /** True when the policy heeds keys. */
  get heedsKeys(): boolean {
    return this.#single.policy.keyedTable !== undefined;
  }

  /** Which node each key belongs to, if all picks are made in one pool and its policy heeds keys. */
  get keyed(): KeyedTable | undefined {
    return this.#onlyPool()?.policy.keyedTable?.();
  }

  /** True when the policy wants to hear of calls. */
  get followsCalls(): boolean {
    return this.#single.policy.followsCalls;
  }

  /** The pool a node of this zone belongs to. */
  poolOf(zone: string): NodePool {
    if (!this.isZoned || zone === NO_ZONE) return this.#single;
    const known = this.#pools.find((pool) => pool.zone === zone);
    if (known !== undefined) return known;
    if (this.#pools.length >= ZONES_MAX) return this.#single;
    const pool = new NodePool(zone, this.#policy, this.#dice);
    this.#pools.push(pool);
    return pool;
  }

  /** The usable nodes, zone by zone. */
  *usable(): IterableIterator<Host> {
    if (!this.isZoned) yield* this.#single.usable;
    for (const pool of this.#pools) yield* pool.usable;
  }

  /** The weight of a usable node changed, or a node came or went. */
  changed(): void {
    this.#isStale = true;
  }

  /** A node that is not usable has left the route. */
  forget(host: Host): void {
    this.poolOf(host.zone).policy.forget?.(host);
  }

  /** The route gives a node another weight. */
  reweighed(host: Host): void {
    this.poolOf(host.zone).policy.reweighed?.(host);
  }

  /** Of each usable node, which part of a turn is left until its next pick. 0 to 1. */
  turnsLeft(): Map<Host, number> {
    const left = new Map<Host, number>();
    for (const pool of this.#allPools()) pool.policy.turnsLeft?.(left);
    return left;
  }

  /** Nodes that stood elsewhere keep their parts. */
  keepTurns(left: ReadonlyMap<Host, number>): void {
    for (const pool of this.#allPools()) pool.policy.keepTurns?.(left);
  }

  /** The first pick of a new route goes to any node: many that begin do not all begin at one. */
  beginAnywhere(rng: Rng): void {
    for (const { usable } of this.#allPools()) {
      if (usable.count < 2) continue;
      for (let turns = Math.floor(rng.next() * usable.count); turns > 0; turns--) usable.rotate();
    }
  }

  #allPools(): readonly NodePool[] {
    return this.isZoned ? this.#pools : [this.#single];
  }

  /** The next node, or undefined when none is usable. */
  pick(nowMs: number, key: number): Host | undefined {
    const only = this.#onlyPool();
    if (only !== undefined) return only.policy.pick(nowMs, key);
    // The hash that finds the node must not find the zone too: each zone would see few keys.
    let left = (key === NO_KEY ? this.#dice.throw() : tableKeyOf(key)) / DICE_LIMIT;
    for (let index = 0; index < this.#pools.length; index++) {
      left -= this.#shares[index];
      if (left >= 0) continue;
      const picked = this.#pools[index].policy.pick(nowMs, key);
      if (picked !== undefined) return picked;
    }
    // Rounding left a rest.
    for (const pool of this.#pools) {
      const picked = pool.policy.pick(nowMs, key);
      if (picked !== undefined) return picked;
    }
    return undefined;
  }

  /** The zones with their shares; empty when zones do not matter, or no node has one. */
  view(): ZoneView[] {
    if (!this.isZoned || this.#pools.length === 1) return [];
    if (this.#isStale) this.#plan();
    const healthShares = sharesByWeight(this.#pools.map(({ pickWeight }) => pickWeight));
    return this.#pools.map(({ zone, usable }, index) => ({
      zone,
      own: zone === this.#ownZone,
      evacuated: this.#policy.settings.evacuatedZones.includes(zone),
      usableNodes: usable.count,
      healthShare: healthShares[index],
      share: this.#shares[index],
    }));
  }

  #plan(): void {
    this.#isStale = false;
    const { zoneAware, zoneCallers, evacuatedZones, zoneSlack, zoneHysteresis } =
      this.#policy.settings;
    const used = this.#pools.filter(({ usable }) => usable.count > 0);
    const zones = used.map(({ zone, pickWeight }) => ({ zone, health: pickWeight }));
    const isLocal = zoneAware && this.#ownZone !== NO_ZONE;
    const own = isLocal ? used.findIndex(({ zone }) => zone === this.#ownZone) : -1;
    const plan = planZones(zones, {
      ownZone: isLocal ? this.#ownZone : undefined,
      callers: zoneCallers,
      evacuated: evacuatedZones,
      slack: zoneSlack,
    });
    const wanted = own < 0 ? 0 : plan[own];
    const isFirst = this.#shares.length === 0;
    const share = isFirst ? wanted : steadied(this.#ownShare, wanted, zoneHysteresis);
    this.#ownShare = share;
    const scale = wanted < 1 ? (1 - share) / (1 - wanted) : 0;
    this.#shares = this.#pools.map((pool) => {
      const index = used.indexOf(pool);
      if (index < 0) return 0;
      return index === own ? share : plan[index] * scale;
    });
    this.#only = this.#pools.find((_, index) => this.#shares[index] > 1 - 1e-12);
  }
}
