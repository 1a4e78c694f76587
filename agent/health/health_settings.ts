// Core. The key `healthCheck` of a module's policy: what is checked, how, and how often.

import { messageOf } from "../../reactor/errors.ts";

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
    }`,
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
