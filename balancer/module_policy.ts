// Core. How one module picks and judges: the JSON text kept in SQL, its settings and their ranges.

import type { BalanceSettings } from "./detection/balance_settings.ts";

/** Largest JSON text of one module. Bytes of UTF-8. */
export const MODULE_POLICY_BYTES_MAX = 4096;

/** Names of the pick policies; each has a file `policy_<name>.ts`. */
export const POLICY_NAMES = [
  "lars",
  "smooth_weighted_round_robin",
  "random_weighted",
  "least_connections",
  "weight_minus_connections",
  "p2c_ewma",
  "ring_hash",
  "bounded_ring_hash",
  "maglev",
] as const;

/** One of {@linkcode POLICY_NAMES}. */
export type PolicyName = (typeof POLICY_NAMES)[number];

/** Rules that put a node out; the first three are the original's. */
export const DETECTION_RULES = ["errorRate", "errorRun", "window", "wilson", "slow"] as const;

/** One of {@linkcode DETECTION_RULES}. */
export type DetectionRule = (typeof DETECTION_RULES)[number];

/** What to do with calls while no node is usable. */
export const ALL_OVERLOAD_MODES = ["refuse", "probe", "open"] as const;

/** One of {@linkcode ALL_OVERLOAD_MODES}. */
export type AllOverloadMode = (typeof ALL_OVERLOAD_MODES)[number];

/** How a node that is out comes back. */
export const RECOVERY_MODES = ["lars", "staged"] as const;

/** One of {@linkcode RECOVERY_MODES}. */
export type RecoveryMode = (typeof RECOVERY_MODES)[number];

/** Most zones that one module may name. */
export const ZONES_MAX = 64;

/** Longest name of a zone. Characters. */
export const ZONE_NAME_MAX = 64;

/**
 * The settings of one module beside the name of its policy. README.md of this room has the table;
 * times are in milliseconds, shares from 0 to 1.
 */
export interface ModuleSettings {
  // The numbers of the original rules; null = those of the agent's configuration.
  readonly probeNum: number | null;
  readonly initSuccCnt: number | null;
  readonly initErrCnt: number | null;
  readonly errRate: number | null;
  readonly succRate: number | null;
  readonly continErrLimit: number | null;
  readonly continSuccLimit: number | null;
  readonly windowErrRate: number | null;
  readonly idleTimeoutMs: number | null;
  readonly overloadTimeoutMs: number | null;

  /** Rules that put a node out. */
  readonly rules: readonly DetectionRule[];
  /** Time over which the rules `wilson` and `slow` gather evidence. */
  readonly evidenceMs: number;
  /** Rule `wilson`: the error rate that must be exceeded for sure. */
  readonly wilsonErrRate: number;
  /** Rules `wilson` and `slow`: how sure, in standard deviations. */
  readonly wilsonZ: number;
  /** Rule `wilson`: fewer failures never put a node out. */
  readonly wilsonFailuresMin: number;
  /** Rule `slow`: a call is slow from this multiple of the median node's time. */
  readonly slowFactor: number;
  /** Rule `slow`: a call that took less is never slow. */
  readonly slowMsMin: number;
  /** Rule `slow`: the share of slow calls that must be exceeded for sure. */
  readonly slowShare: number;
  /** How many failures a call counts as that the node turned away because it is overloaded. */
  readonly pushbackWeight: number;
  /** The same of a call whose connection was refused or lost. */
  readonly refusedWeight: number;
  /** The same of a call that was given up. */
  readonly timeoutWeight: number;
  /** The same of every other failure. */
  readonly otherWeight: number;
  /** Judge and tell, but leave every node in use. */
  readonly dryRun: boolean;

  /** Largest share of the nodes that may be out at once; below 1 one always stays. */
  readonly overloadShareMax: number;
  /** What to do with calls while no node is usable. */
  readonly whenAllOverload: AllOverloadMode;
  /** `open`: the module counts as without a usable node while fewer than this share are. */
  readonly usableShareMin: number;

  /** How a node comes back. */
  readonly recovery: RecoveryMode;
  /** `staged`: how long a node gets no call at first. */
  readonly ejectionMs: number;
  /** `staged`: the longest such time; it doubles each time the node goes out again. */
  readonly ejectionMaxMs: number;
  /** `staged`: after each such time in use the ejection time halves again. */
  readonly ejectionDecayMs: number;
  /** `staged`: good probes in a row that bring a node back. */
  readonly probeSuccesses: number;
  /** `staged`: time in which a returned node gets its full share. 0 = at once. */
  readonly rampMs: number;
  /** Time in which a node new in the route gets its full share. 0 = at once. */
  readonly slowStartMs: number;
  /** Share of its weight with which a ramp begins. */
  readonly rampStartShare: number;
  /** Largest random part that is added to the times of ejection and ramp. */
  readonly recoveryJitter: number;

  /** Time in which the average call time of a node forgets two thirds. */
  readonly ewmaDecayMs: number;
  /** A failed call counts in that average as if it took so long, or longer if it did. */
  readonly failurePenaltyMs: number;
  /** A call whose outcome nobody reported counts as ended after this time. */
  readonly outstandingTimeoutMs: number;
  /** `ring_hash`, `bounded_ring_hash`: points of a node of weight 100. */
  readonly virtualNodes: number;
  /** `bounded_ring_hash`: calls under way of a node, at most this multiple of its fair share. */
  readonly boundedLoad: number;

  /** Nodes of the agent's own zone come first. */
  readonly zoneAware: boolean;
  /** Zones that get no call while another one has a node. */
  readonly evacuatedZones: readonly string[];
  /** Share of all calls that come from each zone; zones that are not named share the rest. */
  readonly zoneCallers: Readonly<Record<string, number>>;
  /** How far above its fair load the own zone is loaded before calls go elsewhere. */
  readonly zoneSlack: number;
  /** The plan for zones changes when a share would rise by at least this; it falls at once. */
  readonly zoneHysteresis: number;
}

/** How one module picks and judges. */
export interface ModulePolicy {
  /** Name of the pick policy. */
  readonly policy: PolicyName;
  /** All settings, those that the text leaves out with their defaults. */
  readonly settings: ModuleSettings;
}

/** What a setting that is a number may be. */
export interface NumberSpec {
  readonly kind: "number" | "whole";
  readonly min: number;
  readonly max: number;
  readonly unit: string;
  /** null = the agent's configuration decides. */
  readonly initial: number | null;
}

/** What a setting may be. */
export type SettingSpec =
  | NumberSpec
  | { readonly kind: "flag"; readonly initial: boolean }
  | { readonly kind: "choice"; readonly choices: readonly string[]; readonly initial: string }
  | {
    readonly kind: "choices";
    readonly choices: readonly string[];
    readonly initial: readonly string[];
  }
  | { readonly kind: "zones"; readonly initial: readonly string[] }
  | { readonly kind: "shares"; readonly initial: Readonly<Record<string, number>> };

const DAY_MS = 86_400_000;

function whole(initial: number | null, min: number, max: number, unit = ""): SettingSpec {
  return { kind: "whole", min, max, unit, initial };
}

function share(initial: number | null): SettingSpec {
  return { kind: "number", min: 0, max: 1, unit: "share", initial };
}

function number(initial: number, min: number, max: number, unit = ""): SettingSpec {
  return { kind: "number", min, max, unit, initial };
}

function ms(initial: number | null, min: number, max = DAY_MS): SettingSpec {
  return { kind: "number", min, max, unit: "ms", initial };
}

/** Every setting with its range and default. The defaults together are the original's rules. */
export const MODULE_SETTINGS: Readonly<Record<keyof ModuleSettings, SettingSpec>> = {
  probeNum: whole(null, 1, 1_000_000, "picks"),
  initSuccCnt: whole(null, 0, 1_000_000, "calls"),
  initErrCnt: whole(null, 0, 1_000_000, "calls"),
  errRate: share(null),
  succRate: share(null),
  continErrLimit: whole(null, 1, 1_000_000, "calls"),
  continSuccLimit: whole(null, 1, 1_000_000, "calls"),
  windowErrRate: share(null),
  idleTimeoutMs: ms(null, 1),
  overloadTimeoutMs: ms(null, 1),
  rules: {
    kind: "choices",
    choices: DETECTION_RULES,
    initial: ["errorRate", "errorRun", "window"],
  },
  evidenceMs: ms(60_000, 1000),
  wilsonErrRate: share(0.1),
  wilsonZ: number(4, 0.5, 10, "deviations"),
  wilsonFailuresMin: whole(5, 1, 1_000_000, "calls"),
  slowFactor: number(5, 1.5, 1000),
  slowMsMin: ms(20, 0),
  slowShare: share(0.5),
  pushbackWeight: number(1, 0, 1000, "failures"),
  refusedWeight: number(1, 0, 1000, "failures"),
  timeoutWeight: number(1, 0, 1000, "failures"),
  otherWeight: number(1, 0, 1000, "failures"),
  dryRun: { kind: "flag", initial: false },
  overloadShareMax: share(1),
  whenAllOverload: { kind: "choice", choices: ALL_OVERLOAD_MODES, initial: "refuse" },
  usableShareMin: share(0),
  recovery: { kind: "choice", choices: RECOVERY_MODES, initial: "lars" },
  ejectionMs: ms(5000, 1),
  ejectionMaxMs: ms(60_000, 1),
  ejectionDecayMs: ms(60_000, 1),
  probeSuccesses: whole(3, 1, 10_000, "calls"),
  rampMs: ms(10_000, 0),
  slowStartMs: ms(0, 0),
  rampStartShare: share(0.1),
  recoveryJitter: share(0.2),
  ewmaDecayMs: ms(10_000, 1),
  failurePenaltyMs: ms(1000, 0),
  outstandingTimeoutMs: ms(30_000, 100),
  virtualNodes: whole(160, 1, 2000, "points"),
  boundedLoad: number(1.25, 1.01, 100),
  zoneAware: { kind: "flag", initial: false },
  evacuatedZones: { kind: "zones", initial: [] },
  zoneCallers: { kind: "shares", initial: {} },
  zoneSlack: number(0.05, 0, 1, "share"),
  zoneHysteresis: number(0.05, 0, 1, "share"),
};

function isSettingName(name: string): name is keyof ModuleSettings {
  return Object.hasOwn(MODULE_SETTINGS, name);
}

/** The value as an error message shows it: short whatever was sent. */
function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 100 ? `${text.slice(0, 100)}…` : text;
}

function refuse(name: string, range: string, value: unknown): never {
  throw new RangeError(`${name} must be ${range}: current value is ${shown(value)}`);
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isZoneName(value: unknown): value is string {
  return typeof value === "string" && value.length <= ZONE_NAME_MAX;
}

function checkNumber(name: string, value: unknown, spec: NumberSpec): number {
  const kind = spec.kind === "whole" ? "a whole number" : "a number";
  const fits = typeof value === "number" && value >= spec.min && value <= spec.max &&
    (spec.kind === "number" || Number.isInteger(value));
  return fits ? value : refuse(name, `${kind} from ${spec.min} to ${spec.max}`, value);
}

function checkChoices(name: string, value: unknown, choices: readonly string[]): string[] {
  const fits = Array.isArray(value) &&
    value.every((item) => typeof item === "string" && choices.includes(item));
  return fits ? [...new Set<string>(value)] : refuse(
    name,
    `a list of ${choices.join(", ")}`,
    value,
  );
}

function checkZones(name: string, value: unknown): string[] {
  const fits = Array.isArray(value) && value.length <= ZONES_MAX && value.every(isZoneName);
  return fits ? [...new Set<string>(value)] : refuse(
    name,
    `a list of at most ${ZONES_MAX} names of at most ${ZONE_NAME_MAX} characters`,
    value,
  );
}

function checkShares(name: string, value: unknown): Record<string, number> {
  const entries = isRecord(value) ? Object.entries(value) : [];
  const fits = isRecord(value) && entries.length <= ZONES_MAX &&
    entries.every(([zone, part]) =>
      isZoneName(zone) && typeof part === "number" && part >= 0 && part <= 1
    ) && entries.reduce((sum, [, part]) => sum + Number(part), 0) <= 1 + 1e-9;
  if (!fits) {
    refuse(name, `an object of at most ${ZONES_MAX} zones and shares that sum to at most 1`, value);
  }
  return Object.fromEntries(entries.map(([zone, part]) => [zone, Number(part)]));
}

function checkSetting(name: string, value: unknown, spec: SettingSpec): unknown {
  switch (spec.kind) {
    case "number":
    case "whole":
      return checkNumber(name, value, spec);
    case "flag":
      return typeof value === "boolean" ? value : refuse(name, "true or false", value);
    case "choice":
      return typeof value === "string" && spec.choices.includes(value)
        ? value
        : refuse(name, `one of ${spec.choices.join(", ")}`, value);
    case "choices":
      return checkChoices(name, value, spec.choices);
    case "zones":
      return checkZones(name, value);
    case "shares":
      return checkShares(name, value);
  }
}

function isPolicyName(name: unknown): name is PolicyName {
  return POLICY_NAMES.some((known) => known === name);
}

function initialSettings(): ModuleSettings {
  const entries = Object.entries(MODULE_SETTINGS).map(([name, { initial }]) => [name, initial]);
  return Object.fromEntries(entries) as unknown as ModuleSettings;
}

/** The original rules: what a module without a text of its own gets. */
export const DEFAULT_MODULE_POLICY: ModulePolicy = {
  policy: "lars",
  settings: initialSettings(),
};

/**
 * Makes a module's policy from a plain object, as {@linkcode parseModulePolicy} does from text.
 *
 * @throws {RangeError} naming the key, its range and its value.
 */
export function checkModulePolicy(value: Readonly<Record<string, unknown>>): ModulePolicy {
  // `healthCheck` is for the agent, which reads and judges it.
  const { policy = "lars", healthCheck: _, ...given } = value;
  if (!isPolicyName(policy)) refuse("policy", `one of ${POLICY_NAMES.join(", ")}`, policy);
  const settings: Record<string, unknown> = { ...DEFAULT_MODULE_POLICY.settings };
  for (const [name, setting] of Object.entries(given)) {
    if (!isSettingName(name)) {
      throw new RangeError(
        `Unknown key ${shown(name)}: must be policy or one of ` +
          Object.keys(MODULE_SETTINGS).join(", "),
      );
    }
    settings[name] = checkSetting(name, setting, MODULE_SETTINGS[name]);
  }
  const checked = settings as unknown as ModuleSettings;
  if (checked.ejectionMaxMs < checked.ejectionMs) {
    refuse("ejectionMaxMs", `at least ejectionMs (${checked.ejectionMs})`, checked.ejectionMaxMs);
  }
  return { policy, settings: checked };
}

/**
 * Reads the text of one module: `{"policy":"p2c_ewma","overloadShareMax":0.5}`. Settings that are
 * not named have their defaults; the empty text is all defaults, the original's rules.
 *
 * @param json At most {@linkcode MODULE_POLICY_BYTES_MAX} bytes.
 * @throws {RangeError} when it is no JSON object or too long, has an unknown key or a value out of
 * its range; the message names the key, the range and the value.
 */
export function parseModulePolicy(json: string): ModulePolicy {
  if (json === "") return DEFAULT_MODULE_POLICY;
  // A UTF-16 unit is one byte or more of UTF-8, so the first test spares encoding huge texts.
  const bytes = json.length > MODULE_POLICY_BYTES_MAX
    ? json.length
    : new TextEncoder().encode(json).length;
  if (bytes > MODULE_POLICY_BYTES_MAX) {
    throw new RangeError(
      `Policy of a module must be at most ${MODULE_POLICY_BYTES_MAX} bytes: it has ${bytes}`,
    );
  }
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch (error) {
    throw new RangeError(`Policy of a module must be JSON: current value is ${shown(json)}`, {
      cause: error,
    });
  }
  if (!isRecord(value)) return refuse("Policy of a module", "a JSON object", value);
  return checkModulePolicy(value);
}

/** The settings of a module that differ from their defaults. */
export function changedSettings({ settings }: ModulePolicy): Partial<ModuleSettings> {
  const initial: Readonly<Record<string, unknown>> = { ...DEFAULT_MODULE_POLICY.settings };
  const changed = Object.entries(settings).filter(([name, value]) =>
    JSON.stringify(value) !== JSON.stringify(initial[name])
  );
  return Object.fromEntries(changed);
}

/** The numbers of the original rules for one module: its own where it has some, else the agent's. */
export function rulesOf({ settings }: ModulePolicy, agent: BalanceSettings): BalanceSettings {
  if (settings === DEFAULT_MODULE_POLICY.settings) return agent;
  return {
    probeNum: settings.probeNum ?? agent.probeNum,
    initSuccCnt: settings.initSuccCnt ?? agent.initSuccCnt,
    initErrCnt: settings.initErrCnt ?? agent.initErrCnt,
    errRate: settings.errRate ?? agent.errRate,
    succRate: settings.succRate ?? agent.succRate,
    continErrLimit: settings.continErrLimit ?? agent.continErrLimit,
    continSuccLimit: settings.continSuccLimit ?? agent.continSuccLimit,
    windowErrRate: settings.windowErrRate ?? agent.windowErrRate,
    idleTimeoutMs: settings.idleTimeoutMs ?? agent.idleTimeoutMs,
    overloadTimeoutMs: settings.overloadTimeoutMs ?? agent.overloadTimeoutMs,
    updateTimeoutMs: agent.updateTimeoutMs,
  };
}
