// Core. The intake of routes: each one that dns sends, or the cache had, is packed, its policy read,
// kept, and given to the shards that know its module.

import { type ModulePolicy, parseModulePolicy } from "../../balancer/module_policy.ts";
import type { ArrivedRoute } from "../../feed/route_subscriber.ts";
import { agentPortIndex } from "../../proto/message_ids.ts";
import { messageOf } from "../../reactor/errors.ts";
import type { LogFields } from "../../reactor/log.ts";
import { type HealthCheckSettings, readHealthCheck } from "../health/health_settings.ts";
import type { ShardTask } from "../worker/messages.ts";
import { type PackedRoute, packRoute } from "./packed_route.ts";
import { RouteRegistry } from "./route_registry.ts";

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

  /** Dns sent a route, or held one back. */
  take({ modId, cmdId, hosts, policy }: ArrivedRoute): void {
    const known = this.registry.routeOf(modId, cmdId);
    const packed = hosts === undefined ? known : this.#packed(modId, cmdId, hosts);
    if (packed === undefined) return;
    const route = { ...packed, ...this.#policyOf(modId, cmdId, policy) };
    const delivery = this.registry.take(route);
    if (delivery === undefined) return;
    const { send, onRoute } = this.#options;
    for (const shard of delivery.update) {
      if (!send({ type: "route", shard, route })) this.registry.missed(modId, cmdId, shard);
    }
    for (const shard of delivery.confirm) send({ type: "confirm", shard, modId, cmdId });
    if (delivery.changed) this.#setHealth(route);
    onRoute(modId, cmdId, delivery.changed);
  }

  #packed(modId: number, cmdId: number, hosts: NonNullable<ArrivedRoute["hosts"]>): PackedRoute {
    const { route, cut } = packRoute(modId, cmdId, hosts);
    this.#nodesCut += cut;
    if (cut > 0) {
      this.#options.warn("cut", "Nodes of a route are left out", { modId, cmdId, cut });
    }
    return route;
  }

  #setHealth(route: PackedRoute): void {
    this.#options.onHealthCheck(route, readHealthCheck(route.parsedPolicy?.healthCheck));
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
