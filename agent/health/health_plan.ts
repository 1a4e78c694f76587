// Core. Health checks: the key `healthCheck` of a policy, which node is checked when, and what the
// outcomes say.

import { didYouMean } from "../../model/near_words.ts";
import { messageOf } from "../../reactor/errors.ts";
import type { Rng } from "../../reactor/time/rng.ts";
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

/** How a node is checked: a connection, a GET that answers 2xx or 3xx, or a Ping of our protocol. */
export const HEALTH_CHECK_KINDS = ["tcp", "http", "ping"] as const;

/** One of {@linkcode HEALTH_CHECK_KINDS}. */
export type HealthCheckKind = (typeof HEALTH_CHECK_KINDS)[number];

/** Which nodes are checked: those that the calls have put out, or all. */
export const HEALTH_CHECK_WHEN = ["doubt", "always"] as const;

/** Longest path of a GET. */
const PATH_LENGTH_MAX = 200;

/** How the nodes of one module are checked. */
export interface HealthCheckSettings {
  /** @default {"tcp"} */
  readonly kind: HealthCheckKind;
  /** @default {"doubt"} */
  readonly when: (typeof HEALTH_CHECK_WHEN)[number];
  /** Path of the GET. @default {"/"} */
  readonly path: string;
  /** Port that is checked; 0 = the port of the node. @default {0} */
  readonly port: number;
  /** Time between two checks of a node, 100 to 3600000. @default {5000} */
  readonly intervalMs: number;
  /** Time that one check may take, 10 to 60000, at most the interval. @default {1000} */
  readonly timeoutMs: number;
  /** Good checks in a row that bring a node back, 1 to 100. @default {2} */
  readonly rise: number;
  /** Bad checks in a row that put a node out, 1 to 100. @default {3} */
  readonly fall: number;
  /** Time for which a verdict holds at least, 0 to 3600000. @default {10000} */
  readonly dwellMs: number;
  /** Largest random part added to the interval, 0 to 1. @default {0.2} */
  readonly jitter: number;
}

/** All defaults. */
export const DEFAULT_HEALTH_CHECK: HealthCheckSettings = {
  kind: "tcp",
  when: "doubt",
  path: "/",
  port: 0,
  intervalMs: 5000,
  timeoutMs: 1000,
  rise: 2,
  fall: 3,
  dwellMs: 10_000,
  jitter: 0.2,
};

type NumberName = "port" | "intervalMs" | "timeoutMs" | "rise" | "fall" | "dwellMs" | "jitter";

const RANGES: Readonly<Record<NumberName, readonly [min: number, max: number]>> = {
  port: [0, 65_535],
  intervalMs: [100, 3_600_000],
  timeoutMs: [10, 60_000],
  rise: [1, 100],
  fall: [1, 100],
  dwellMs: [0, 3_600_000],
  jitter: [0, 1],
};

function refuse(name: string, range: string, value: unknown): never {
  throw new RangeError(
    `healthCheck.${name} must be ${range}: current value is ${JSON.stringify(value)}`,
  );
}

function checkNumber(name: NumberName, value: unknown): number {
  const [min, max] = RANGES[name];
  const whole = name !== "jitter";
  const fits = typeof value === "number" && value >= min && value <= max &&
    (!whole || Number.isInteger(value));
  return fits
    ? value
    : refuse(name, `a ${whole ? "whole " : ""}number from ${min} to ${max}`, value);
}

function checkChoice<T extends string>(name: string, value: unknown, choices: readonly T[]): T {
  return choices.find((choice) => choice === value) ??
    refuse(name, `one of ${choices.join(", ")}`, value);
}

function checkPath(value: unknown): string {
  const fits = typeof value === "string" && value.length <= PATH_LENGTH_MAX &&
    /^\/[\x21-\x7e]*$/.test(value);
  return fits
    ? value
    : refuse("path", `a path of at most ${PATH_LENGTH_MAX} characters without spaces`, value);
}

function checkEntry(name: string, value: unknown): unknown {
  if (name === "kind") return checkChoice(name, value, HEALTH_CHECK_KINDS);
  if (name === "when") return checkChoice(name, value, HEALTH_CHECK_WHEN);
  if (name === "path") return checkPath(value);
  if (Object.hasOwn(RANGES, name)) return checkNumber(name as NumberName, value);
  throw new RangeError(
    `Unknown key healthCheck.${name}: must be one of ${
      Object.keys(DEFAULT_HEALTH_CHECK).join(", ")
    }${didYouMean(name, Object.keys(DEFAULT_HEALTH_CHECK))}`,
  );
}

/**
 * Reads `healthCheck` of the text of a module's policy: `{"healthCheck":{"kind":"http","path":"/up"}}`.
 *
 * @returns undefined when the policy has none: the nodes are not checked.
 * @throws {RangeError} naming the key, its range and its value.
 */
export function parseHealthCheck(policy: string): HealthCheckSettings | undefined {
  if (policy === "") return undefined;
  try {
    return readHealthCheck((JSON.parse(policy) as { healthCheck?: unknown } | null)?.healthCheck);
  } catch (error) {
    if (error instanceof RangeError) throw error;
    throw new RangeError(`Policy must be JSON: ${messageOf(error)}`, { cause: error });
  }
}

/** What {@linkcode parseHealthCheck} does, with the value of the key; undefined where there is none. */
export function readHealthCheck(value: unknown): HealthCheckSettings | undefined {
  if (value === undefined) return undefined;
  if (value === null || typeof value !== "object" || Array.isArray(value)) {
    throw new RangeError(
      `healthCheck must be an object: current value is ${JSON.stringify(value)}`,
    );
  }
  const entries = Object.entries(value).map(([name, one]) => [name, checkEntry(name, one)]);
  const settings: HealthCheckSettings = {
    ...DEFAULT_HEALTH_CHECK,
    ...Object.fromEntries(entries),
  };
  if (settings.timeoutMs > settings.intervalMs) {
    refuse("timeoutMs", `at most intervalMs (${settings.intervalMs})`, settings.timeoutMs);
  }
  return settings;
}
