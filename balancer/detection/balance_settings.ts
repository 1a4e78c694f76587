// Core. The numbers that steer the balancer, with the defaults of the original.

/** The numbers that steer picking and judging. Times in milliseconds. */
export interface BalanceSettings {
  /** Ordinary picks (or refusals) before one pick probes an overload node. From 1. */
  readonly probeNum: number;
  /** vsucc of a fresh idle node: the calls it is trusted with in advance. From 0. */
  readonly initSuccCnt: number;
  /** verr of a node that has just become overload: what its successes must outweigh. From 0. */
  readonly initErrCnt: number;
  /** An idle node becomes overload when its virtual error rate is above this. 0 to 1. */
  readonly errRate: number;
  /** An overload node becomes idle when its virtual success rate is above this. 0 to 1. */
  readonly succRate: number;
  /** An idle node becomes overload after this many failures in a row. From 1. */
  readonly continErrLimit: number;
  /** An overload node becomes idle after this many successes in a row. From 1. */
  readonly continSuccLimit: number;
  /** At the end of a window, real error rate from which an idle node becomes overload. 0 to 1. */
  readonly windowErrRate: number;
  /** Length of the window of an idle node. Above 0. */
  readonly idleTimeoutMs: number;
  /** Longest time a node stays overload. Above 0. */
  readonly overloadTimeoutMs: number;
  /** Age from which the route of a used module is pulled again. Above 0. */
  readonly updateTimeoutMs: number;
}

/** The defaults of the original. */
export const defaultBalanceSettings: BalanceSettings = {
  probeNum: 10,
  initSuccCnt: 180,
  initErrCnt: 5,
  errRate: 0.1,
  succRate: 0.95,
  continErrLimit: 15,
  continSuccLimit: 15,
  windowErrRate: 0.7,
  idleTimeoutMs: 15_000,
  overloadTimeoutMs: 15_000,
  updateTimeoutMs: 15_000,
};

/** Largest JSON text of settings. Characters. */
export const BALANCE_SETTINGS_CHARS_MAX = 4096;

type Check = readonly [range: string, fits: (value: number) => boolean];

function wholeFrom(min: number): Check {
  return [
    `a whole number of at least ${min}`,
    (value) => Number.isInteger(value) && value >= min,
  ];
}

const FRACTION: Check = ["from 0 to 1", (value) => value >= 0 && value <= 1];
const DURATION: Check = ["above 0", (value) => value > 0 && value < Infinity];

const CHECKS: Readonly<Record<keyof BalanceSettings, Check>> = {
  // 0 would send every pick to the overload list, as it did in the original.
  probeNum: wholeFrom(1),
  initSuccCnt: wholeFrom(0),
  initErrCnt: wholeFrom(0),
  errRate: FRACTION,
  succRate: FRACTION,
  continErrLimit: wholeFrom(1),
  continSuccLimit: wholeFrom(1),
  windowErrRate: FRACTION,
  idleTimeoutMs: DURATION,
  overloadTimeoutMs: DURATION,
  updateTimeoutMs: DURATION,
};

const NAMES = Object.keys(CHECKS) as (keyof BalanceSettings)[];

/**
 * Refuses settings the rules cannot work with, and returns them.
 *
 * @throws {RangeError} naming the setting, its range and its value.
 */
export function checkBalanceSettings(settings: BalanceSettings): BalanceSettings {
  for (const name of NAMES) {
    const [range, fits] = CHECKS[name];
    if (fits(settings[name])) continue;
    throw new RangeError(`${name} must be ${range}: current value is ${settings[name]}`);
  }
  return settings;
}

/**
 * Reads settings from JSON text, as an agent sends them; those that are left out have their defaults,
 * names that are not known are ignored.
 *
 * @param json At most {@linkcode BALANCE_SETTINGS_CHARS_MAX} characters.
 * @throws {RangeError} when it is no JSON object or too long, or a setting is out of its range.
 */
export function parseBalanceSettings(json: string): BalanceSettings {
  let given: unknown;
  try {
    given = json.length > BALANCE_SETTINGS_CHARS_MAX ? undefined : JSON.parse(json);
  } catch {
    // Refused below.
  }
  if (typeof given !== "object" || given === null || Array.isArray(given)) {
    throw new RangeError(
      `Settings must be a JSON object of at most ${BALANCE_SETTINGS_CHARS_MAX} characters`,
    );
  }
  const values = new Map<string, unknown>(Object.entries(given));
  const entries = NAMES.map((name) => {
    const value = values.has(name) ? values.get(name) : defaultBalanceSettings[name];
    if (typeof value !== "number") {
      throw new RangeError(`${name} must be a number: current value is of type ${typeof value}`);
    }
    return [name, value];
  });
  return checkBalanceSettings(Object.fromEntries(entries) as unknown as BalanceSettings);
}
