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

function wholeFrom(name: string, value: number, min: number): void {
  if (!Number.isInteger(value) || value < min) {
    throw new RangeError(
      `${name} must be a whole number of at least ${min}: current value is ${value}`,
    );
  }
}

function fraction(name: string, value: number): void {
  if (!(value >= 0 && value <= 1)) {
    throw new RangeError(`${name} must be from 0 to 1: current value is ${value}`);
  }
}

function duration(name: string, value: number): void {
  if (!(value > 0 && value < Infinity)) {
    throw new RangeError(`${name} must be above 0: current value is ${value}`);
  }
}

/**
 * Refuses settings the rules cannot work with, and returns them.
 *
 * @throws {RangeError} naming the setting, its range and its value.
 */
export function checkBalanceSettings(settings: BalanceSettings): BalanceSettings {
  // 0 would send every pick to the overload list, as it did in the original.
  wholeFrom("probeNum", settings.probeNum, 1);
  wholeFrom("initSuccCnt", settings.initSuccCnt, 0);
  wholeFrom("initErrCnt", settings.initErrCnt, 0);
  fraction("errRate", settings.errRate);
  fraction("succRate", settings.succRate);
  wholeFrom("continErrLimit", settings.continErrLimit, 1);
  wholeFrom("continSuccLimit", settings.continSuccLimit, 1);
  fraction("windowErrRate", settings.windowErrRate);
  duration("idleTimeoutMs", settings.idleTimeoutMs);
  duration("overloadTimeoutMs", settings.overloadTimeoutMs);
  duration("updateTimeoutMs", settings.updateTimeoutMs);
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
  const names = Object.keys(defaultBalanceSettings) as (keyof BalanceSettings)[];
  const entries = names.map((name) => {
    const value = values.has(name) ? values.get(name) : defaultBalanceSettings[name];
    if (typeof value !== "number") {
      throw new RangeError(`${name} must be a number: current value is of type ${typeof value}`);
    }
    return [name, value];
  });
  return checkBalanceSettings(Object.fromEntries(entries) as unknown as BalanceSettings);
}
