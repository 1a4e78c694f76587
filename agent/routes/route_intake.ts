// Core. The intake of routes: each one that dns sends, or the cache had, is packed, its policy read,
// kept, and given to the shards that know its module.

import { type ModulePolicy, parseModulePolicy } from "../../balancer/module_policy.ts";
import type { ArrivedRoute } from "../../feed/route_subscriber.ts";
import { AGENT_PORT_COUNT, agentPortIndex } from "../../proto/message_ids.ts";
import { MODULE_NAME_LENGTH_MAX, type ModuleId, moduleId } from "../../model/module.ts";
import { messageOf } from "../../reactor/errors.ts";
import type { LogFields } from "../../reactor/log.ts";
import { type HealthCheckSettings, readHealthCheck } from "../health/health_plan.ts";
import type { ShardTask } from "../worker/messages.ts";
import { type PackedRoute, packRoute, pickableCount, sameRoute } from "./packed_route.ts";

/** What a {@linkcode RouteIntake} needs. */
export interface RouteIntakeOptions {
  /** Gives a shard what there is to know; false when it was dropped. */
  send(task: ShardTask): boolean;
  /** The nodes of a module, or how they are to be checked, differ from before; undefined: not. */
  onHealthCheck(route: PackedRoute, health: HealthCheckSettings | undefined): void;
  /** A route came: a new one, or one that says the same. */
  onRoute(modId: number, cmdId: number, changed: boolean): void;
  /** One line for the log, of a kind that may come often. */
  warn(kind: string, message: string, fields: LogFields): void;
}

/** Routes by module, with the shards that know them. */
export class RouteIntake {
  /** Which shard knows which module, and its last good route. */
  readonly registry = new RouteRegistry();
  readonly #options: RouteIntakeOptions;
  #nodesCut = 0;
  #policiesRefused = 0;

  constructor(options: RouteIntakeOptions) {
    this.#options = options;
  }

  /** Nodes left out because they were no nodes, or too many. */
  get nodesCut(): number {
    return this.#nodesCut;
  }

  /** Policies that could not be used. */
  get policiesRefused(): number {
    return this.#policiesRefused;
  }

  /** The routes of the last run. Their file may be of a version that knew other policies. */
  preload(cached: readonly PackedRoute[]): void {
    for (const one of cached) {
      const route = { ...one, ...this.#policyOf(one.modId, one.cmdId, one.policy) };
      this.registry.preload(route, agentPortIndex(route.modId, route.cmdId));
      this.#setHealth(route);
    }
  }

  /** Dns sent a route, or held one back; false: no shard knows its module. */
  take({ modId, cmdId, hosts, policy, name, stamp: newStamp }: ArrivedRoute): boolean {
    if (name !== undefined) this.registry.setName(modId, cmdId, name);
    const known = this.registry.routeOf(modId, cmdId);
    const packed = hosts === undefined ? known : this.#packed(modId, cmdId, hosts);
    if (packed === undefined) return true;
    const stamp = newStamp ?? known?.stamp;
    const route = { ...packed, ...this.#policyOf(modId, cmdId, policy), stamp };
    const delivery = this.registry.take(route);
    if (delivery === undefined) return false;
    const { send, onRoute } = this.#options;
    for (const shard of delivery.update) {
      if (!send({ type: "route", shard, route })) this.registry.missed(modId, cmdId, shard);
    }
    for (const shard of delivery.confirm) send({ type: "confirm", shard, modId, cmdId });
    if (delivery.changed) this.#setHealth(route, known);
    onRoute(modId, cmdId, delivery.changed);
    return true;
  }

  #packed(modId: number, cmdId: number, hosts: NonNullable<ArrivedRoute["hosts"]>): PackedRoute {
    const { route, cut } = packRoute(modId, cmdId, hosts);
    this.#nodesCut += cut;
    if (cut > 0) {
      this.#options.warn("cut", "Nodes of a route are left out", { modId, cmdId, cut });
    }
    return route;
  }

  /** Tells of modules that are checked, or were until now; few are. */
  #setHealth(route: PackedRoute, before?: PackedRoute): void {
    const check = route.parsedPolicy?.healthCheck;
    if (check === undefined && before?.parsedPolicy?.healthCheck === undefined) return;
    this.#options.onHealthCheck(route, readHealthCheck(check));
  }

  /**
   * The policy of a text, which is read here and nowhere else; the one before when there is no text,
   * or it would be refused.
   */
  #policyOf(
    modId: number,
    cmdId: number,
    text: string | undefined,
  ): Pick<PackedRoute, "policy" | "parsedPolicy"> {
    const known = this.registry.routeOf(modId, cmdId);
    const before = { policy: known?.policy ?? "", parsedPolicy: known?.parsedPolicy };
    if (text === undefined || text === before.policy) return before;
    try {
      return { policy: text, parsedPolicy: text === "" ? undefined : readPolicy(text) };
    } catch (error) {
      this.#policiesRefused++;
      const message = "Policy of a module is refused, the one before stays";
      this.#options.warn("policy", message, { modId, cmdId, error: messageOf(error) });
      return before;
    }
  }
}

/** @throws {RangeError} when it cannot be used, by the balancer or by the health checks. */
function readPolicy(text: string): ModulePolicy {
  const policy = parseModulePolicy(text);
  readHealthCheck(policy.healthCheck);
  return policy;
}

interface RegistryEntry {
  route: PackedRoute | undefined;
  /** No part of the route: the shards need no name, and one that changes changes nothing there. */
  name: string;
  /** For each shard: false = does not know the module. */
  readonly known: boolean[];
  /** For each shard: true = has been given `route` as it is. */
  readonly current: boolean[];
}

/** What to do with a route that came. */
export interface RouteDelivery {
  /** Shards that must be given the nodes. */
  readonly update: number[];
  /** Shards that have them already and need only hear that the route is fresh. */
  readonly confirm: number[];
  /** True when it differs from the one before, so the cache must be written. */
  readonly changed: boolean;
}

/**
 * Bounded by what the loops know: a module leaves when the last loop has forgotten it. A module is
 * usually known to one shard, its own; to a second one when a caller asks on another port.
 */
export class RouteRegistry {
  readonly #entries = new Map<ModuleId, RegistryEntry>();

  /** Number of modules. */
  get size(): number {
    return this.#entries.size;
  }

  /** A shard has asked for a module, or was given it from the cache. */
  want(modId: number, cmdId: number, shard: number): void {
    this.#entry(modId, cmdId).known[shard] = true;
  }

  /** A route from the cache, that the shard has been given too. */
  preload(route: PackedRoute, shard: number): void {
    const entry = this.#entry(route.modId, route.cmdId);
    entry.route = route;
    entry.known[shard] = true;
    entry.current[shard] = true;
  }

  /**
   * A shard has forgotten a module.
   *
   * @returns true when no shard knows it any more.
   */
  forget(modId: number, cmdId: number, shard: number): boolean {
    const key = moduleId(modId, cmdId);
    const entry = this.#entries.get(key);
    if (entry === undefined) return false;
    entry.known[shard] = false;
    entry.current[shard] = false;
    if (entry.known.includes(true)) return false;
    this.#entries.delete(key);
    return true;
  }

  /** A route came from dns; undefined when no shard knows the module. */
  take(route: PackedRoute): RouteDelivery | undefined {
    const entry = this.#entries.get(moduleId(route.modId, route.cmdId));
    if (entry === undefined) return undefined;
    const changed = entry.route === undefined
      ? route.ips.length > 0
      : !sameRoute(entry.route, route);
    const kept = entry.route !== undefined && !changed;
    if (!kept) entry.current.fill(false);
    entry.route = route;
    const update: number[] = [];
    const confirm: number[] = [];
    for (let shard = 0; shard < AGENT_PORT_COUNT; shard++) {
      if (!entry.known[shard]) continue;
      (entry.current[shard] ? confirm : update).push(shard);
      entry.current[shard] = true;
    }
    return { update, confirm, changed };
  }

  /** Shards that know a module. */
  shardsOf(modId: number, cmdId: number): number[] {
    const known = this.#entries.get(moduleId(modId, cmdId))?.known ?? [];
    return known.flatMap((knows, shard) => knows ? [shard] : []);
  }

  /** The last route dns (or the cache) gave; undefined when there is none yet. */
  routeOf(modId: number, cmdId: number): PackedRoute | undefined {
    return this.#entries.get(moduleId(modId, cmdId))?.route;
  }

  /** Dns says what a module is called; of one that no shard knows nothing is kept. */
  setName(modId: number, cmdId: number, name: string): void {
    const entry = this.#entries.get(moduleId(modId, cmdId));
    if (entry !== undefined) entry.name = name.slice(0, MODULE_NAME_LENGTH_MAX);
  }

  /** What a module is called; "" when it has no name, or dns has not said yet. */
  nameOf(modId: number, cmdId: number): string {
    return this.#entries.get(moduleId(modId, cmdId))?.name ?? "";
  }

  /** Nodes that may be picked by the last route of a module; 0 when there is none. */
  pickableCount(modId: number, cmdId: number): number {
    const route = this.routeOf(modId, cmdId);
    return route === undefined ? 0 : pickableCount(route);
  }

  /** The shard was not given the route after all: it gets the next one whatever it says. */
  missed(modId: number, cmdId: number, shard: number): void {
    const entry = this.#entries.get(moduleId(modId, cmdId));
    if (entry !== undefined) entry.current[shard] = false;
  }

  /** Routes with at least one node. */
  *routes(): IterableIterator<PackedRoute> {
    for (const { route } of this.#entries.values()) {
      if (route !== undefined && route.ips.length > 0) yield route;
    }
  }

  /** Routes with nodes, by the shards that know them; for a loop that starts again. */
  *routesOf(shard: number): IterableIterator<PackedRoute> {
    for (const { route, known } of this.#entries.values()) {
      if (known[shard] && route !== undefined && route.ips.length > 0) yield route;
    }
  }

  /**
   * The loops are new: they know the routes of `routesOf`, but may have missed a change while they
   * started, and nothing of modules without nodes.
   */
  loopsRestarted(): void {
    for (const [key, entry] of this.#entries) {
      entry.current.fill(false);
      if (entry.route === undefined || entry.route.ips.length === 0) this.#entries.delete(key);
    }
  }

  #entry(modId: number, cmdId: number): RegistryEntry {
    const key = moduleId(modId, cmdId);
    let entry = this.#entries.get(key);
    if (entry === undefined) {
      const none = (): boolean[] => new Array<boolean>(AGENT_PORT_COUNT).fill(false);
      entry = { route: undefined, name: "", known: none(), current: none() };
      this.#entries.set(key, entry);
    }
    return entry;
  }
}
