// Core. Which node is checked when, and what the outcomes of its checks say.

import type { Rng } from "../../reactor/time/rng.ts";
import type { HealthCheckSettings } from "./health_settings.ts";
import { type ModuleId, moduleId } from "../../model/module.ts";
import { addressId } from "../../model/node.ts";

/** Checks under way at once. */
export const HEALTH_CHECKS_MAX = 64;

/** Nodes that can be checked, each counted once for each module; further ones are not. */
export const HEALTH_TARGETS_MAX = 10_000;

/** A node of a module. */
export interface HealthTarget {
  readonly modId: number;
  readonly cmdId: number;
  readonly ip: number;
  readonly port: number;
}

/** A check to be made now. */
export interface HealthCheck extends HealthTarget {
  readonly settings: HealthCheckSettings;
}

/** What the checks of a node say, for the balancer. */
export interface HealthVerdict extends HealthTarget {
  readonly healthy: boolean;
  readonly reason: string;
}

/** A module with what its policy says about checks. */
export interface HealthModule {
  readonly modId: number;
  readonly cmdId: number;
  readonly settings: HealthCheckSettings | undefined;
  readonly nodes: readonly { readonly ip: number; readonly port: number }[];
}

interface Target extends HealthTarget {
  settings: HealthCheckSettings;
  /** The balancer has the node out. */
  inDoubt: boolean;
  /** The last verdict; undefined = none yet. */
  healthy: boolean | undefined;
  /** Since when the verdict, or the doubt, holds. */
  sinceMs: number;
  good: number;
  bad: number;
  dueMs: number;
  running: boolean;
}

/**
 * Never an address that reaches something else than a node of the fleet: this network, multicast,
 * reserved, and link-local, where clouds keep their secrets.
 */
export function isCheckable(ip: number): boolean {
  const first = ip >>> 24;
  return first !== 0 && first < 224 && ip >>> 16 !== 0xa9fe;
}

/** The plan. Synchronous; times and chance are arguments. */
export class HealthPlan {
  readonly #rng: Rng;
  readonly #modules = new Map<ModuleId, Map<number, Target>>();
  #targets = 0;
  #running = 0;
  #dropped = 0;

  constructor(rng: Rng) {
    this.#rng = rng;
  }

  /** Nodes that can be checked, checks under way, and nodes left out for want of room. */
  get stats(): { targets: number; running: number; dropped: number } {
    return { targets: this.#targets, running: this.#running, dropped: this.#dropped };
  }

  /** A module's route or policy has changed. What is known of kept nodes stays. */
  setModule(module: HealthModule, nowMs: number): void {
    const { modId, cmdId, settings } = module;
    const name = moduleId(modId, cmdId);
    const before = this.#modules.get(name);
    this.#targets -= before?.size ?? 0;
    this.#modules.delete(name);
    if (settings === undefined) return;
    const after = new Map<number, Target>();
    for (const { ip, port } of module.nodes) {
      if (!isCheckable(ip)) continue;
      if (this.#targets + after.size >= HEALTH_TARGETS_MAX) {
        this.#dropped++;
        continue;
      }
      const key = addressId(ip, port);
      const known = before?.get(key);
      if (known !== undefined) known.settings = settings;
      after.set(
        key,
        known ?? {
          modId,
          cmdId,
          ip,
          port,
          settings,
          inDoubt: false,
          healthy: undefined,
          sinceMs: -Infinity,
          good: 0,
          bad: 0,
          // Spread over one interval, so that agents started together do not check together.
          dueMs: nowMs + settings.intervalMs * this.#rng.next(),
          running: false,
        },
      );
    }
    if (after.size === 0) return;
    this.#modules.set(name, after);
    this.#targets += after.size;
  }

  /** The module is not used any more. */
  forget(modId: number, cmdId: number): void {
    const name = moduleId(modId, cmdId);
    this.#targets -= this.#modules.get(name)?.size ?? 0;
    this.#modules.delete(name);
  }

  /** The balancer has put a node out, or taken it back. */
  setDoubt({ modId, cmdId, ip, port }: HealthTarget, inDoubt: boolean, nowMs: number): void {
    const target = this.#find(modId, cmdId, ip, port);
    if (target === undefined || target.inDoubt === inDoubt) return;
    target.inDoubt = inDoubt;
    if (target.settings.when !== "doubt") return;
    target.healthy = undefined;
    target.sinceMs = nowMs;
    target.good = target.bad = 0;
    target.dueMs = Math.min(target.dueMs, nowMs + this.#intervalOf(target));
  }

  /** Checks to begin now, the longest due first; each must end with `finished`. */
  take(nowMs: number): HealthCheck[] {
    const due = [...this.#waiting()].filter(({ dueMs }) => dueMs <= nowMs)
      .sort((a, b) => a.dueMs - b.dueMs)
      .slice(0, HEALTH_CHECKS_MAX - this.#running);
    this.#running += due.length;
    return due.map((target) => {
      target.running = true;
      const { modId, cmdId, ip, port, settings } = target;
      return { modId, cmdId, ip, port, settings };
    });
  }

  /** When `take` has something next; Infinity when nothing waits, or too much runs. */
  get nextDueMs(): number {
    if (this.#running >= HEALTH_CHECKS_MAX) return Infinity;
    let next = Infinity;
    for (const { dueMs } of this.#waiting()) next = Math.min(next, dueMs);
    return next;
  }

  /**
   * A check has ended; `fault` says why it was bad, undefined = it was good.
   *
   * @returns what the balancer must hear: a new verdict, or again that a node is down, because it
   * takes nodes back by time.
   */
  finished(
    check: HealthCheck,
    fault: string | undefined,
    nowMs: number,
  ): HealthVerdict | undefined {
    this.#running--;
    const { modId, cmdId, ip, port } = check;
    const target = this.#find(modId, cmdId, ip, port);
    // Not this check's, when the node left the route meanwhile and came back.
    if (target?.running !== true) return undefined;
    target.running = false;
    target.dueMs = nowMs + this.#intervalOf(target);
    target.good = fault === undefined ? target.good + 1 : 0;
    target.bad = fault === undefined ? 0 : target.bad + 1;
    if (target.settings.when === "doubt" && !target.inDoubt) return undefined;
    const verdict = this.#judge(target, fault, nowMs);
    return verdict === undefined ? undefined : { modId, cmdId, ip, port, ...verdict };
  }

  #judge(
    target: Target,
    fault: string | undefined,
    nowMs: number,
  ): { healthy: boolean; reason: string } | undefined {
    const { rise, fall, dwellMs, kind } = target.settings;
    const { good, bad } = target;
    if (fault !== undefined && target.healthy === false) {
      return { healthy: false, reason: `health check (${kind}): still ${fault}` };
    }
    if (nowMs - target.sinceMs < dwellMs) return undefined;
    if (fault !== undefined && bad >= fall) {
      target.healthy = false;
      target.sinceMs = nowMs;
      return { healthy: false, reason: `health check (${kind}): ${bad} times ${fault}` };
    }
    if (fault === undefined && good >= rise && target.healthy !== true) {
      const wasOut = target.healthy === false || target.settings.when === "doubt";
      target.healthy = true;
      target.sinceMs = nowMs;
      // Where all are checked, the first good checks of a node say nothing new.
      return wasOut
        ? { healthy: true, reason: `health check (${kind}): good ${good} times in a row` }
        : undefined;
    }
    return undefined;
  }

  *#waiting(): IterableIterator<Target> {
    for (const targets of this.#modules.values()) {
      for (const target of targets.values()) {
        if (target.running || (target.settings.when === "doubt" && !target.inDoubt)) continue;
        yield target;
      }
    }
  }

  #find(modId: number, cmdId: number, ip: number, port: number): Target | undefined {
    return this.#modules.get(moduleId(modId, cmdId))?.get(addressId(ip, port));
  }

  #intervalOf({ settings }: Target): number {
    return settings.intervalMs * (1 + settings.jitter * this.#rng.next());
  }
}
