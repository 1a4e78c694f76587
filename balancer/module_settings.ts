// Core. The settings of one module: what each is for, its range and its default, in one table.

/** Rules that put a node out; the first three are the original's. */
export const DETECTION_RULES = ["errorRate", "errorRun", "window", "wilson", "slow"] as const;

/** One of {@linkcode DETECTION_RULES}. */
export type DetectionRule = (typeof DETECTION_RULES)[number];

/** What to do with calls while no node is usable. */
export const ALL_OVERLOAD_MODES = ["refuse", "probe", "open"] as const;

/** One of {@linkcode ALL_OVERLOAD_MODES}. */
export type AllOverloadMode = (typeof ALL_OVERLOAD_MODES)[number];

/** What a module does with calls: `normal`, or how it behaves while no node is usable. */
export type ModuleMode = "normal" | AllOverloadMode;

/** How a node that is out comes back. */
export const RECOVERY_MODES = ["lars", "staged"] as const;

/** Most zones that one module may name. */
export const ZONES_MAX = 64;

/** What a setting that is a number may be. */
export interface NumberSpec<T extends number | null = number | null> {
  readonly kind: "number" | "whole";
  readonly min: number;
  readonly max: number;
  readonly unit: string;
  /** null = the agent's configuration decides. */
  readonly initial: T;
}

interface ChoiceSpec<T extends string = string> {
  readonly kind: "choice";
  readonly choices: readonly T[];
  readonly initial: T;
}

interface ChoicesSpec<T extends string = string> {
  readonly kind: "choices";
  readonly choices: readonly T[];
  readonly initial: readonly T[];
}

interface FlagSpec {
  readonly kind: "flag";
  readonly initial: boolean;
}

interface ZonesSpec {
  readonly kind: "zones";
  readonly initial: readonly string[];
}

interface SharesSpec {
  readonly kind: "shares";
  readonly initial: Readonly<Record<string, number>>;
}

/** What a setting may be. */
export type SettingSpec = NumberSpec | FlagSpec | ChoiceSpec | ChoicesSpec | ZonesSpec | SharesSpec;

type Initial = number | null;

function number<T extends Initial>(initial: T, min: number, max: number, unit = ""): NumberSpec<T> {
  return { kind: "number", min, max, unit, initial };
}

function whole<T extends Initial>(
  initial: T,
  min: number,
  max: number,
  unit: string,
): NumberSpec<T> {
  return { kind: "whole", min, max, unit, initial };
}

function share<T extends Initial>(initial: T): NumberSpec<T> {
  return number(initial, 0, 1, "share");
}

function ms<T extends Initial>(initial: T, min: number): NumberSpec<T> {
  return number(initial, min, 86_400_000, "ms");
}

function choice<T extends string>(choices: readonly T[], initial: NoInfer<T>): ChoiceSpec<T> {
  return { kind: "choice", choices, initial };
}

function choices<T extends string>(
  choices: readonly T[],
  initial: readonly NoInfer<T>[],
): ChoicesSpec<T> {
  return { kind: "choices", choices, initial };
}

const NO: FlagSpec = { kind: "flag", initial: false };
const NO_ZONES: ZonesSpec = { kind: "zones", initial: [] };
const NO_SHARES: SharesSpec = { kind: "shares", initial: {} };

const SPECS = {
  // The numbers of the original rules; null = those of the agent's configuration.
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

  /** Rules that put a node out. */
  rules: choices(DETECTION_RULES, ["errorRate", "errorRun", "window"]),
  /** Time over which the rules `wilson` and `slow` gather evidence. */
  evidenceMs: ms(60_000, 1000),
  /** Rule `wilson`: the error rate that must be exceeded for sure. */
  wilsonErrRate: share(0.1),
  /** Rules `wilson` and `slow`: how sure, in standard deviations. */
  wilsonZ: number(4, 0.5, 10, "deviations"),
  /** Rule `wilson`: fewer failures never put a node out. */
  wilsonFailuresMin: whole(5, 1, 1_000_000, "calls"),
  /** Rule `slow`: a call is slow from this multiple of the median node's time. */
  slowFactor: number(5, 1.5, 1000),
  /** Rule `slow`: a call that took less is never slow. */
  slowMsMin: ms(20, 0),
  /** Rule `slow`: the share of slow calls that must be exceeded for sure. */
  slowShare: share(0.5),
  /** How many failures a call counts as that the node turned away because it is overloaded. */
  pushbackWeight: number(1, 0, 1000, "failures"),
  /** The same of a call whose connection was refused or lost. */
  refusedWeight: number(1, 0, 1000, "failures"),
  /** The same of a call that was given up. */
  timeoutWeight: number(1, 0, 1000, "failures"),
  /** The same of every other failure. */
  otherWeight: number(1, 0, 1000, "failures"),
  /** Judge and tell, but leave every node in use. */
  dryRun: NO,

  /** Largest share of the nodes that may be out at once; below 1 one always stays. */
  overloadShareMax: share(1),
  /** Most nodes that one caller alone may put out in a window. 0 = any number. */
  callerOutsMax: whole(0, 0, 1_000_000, "nodes"),
  /** What to do with calls while no node is usable. */
  whenAllOverload: choice(ALL_OVERLOAD_MODES, "refuse"),
  /** `open`: the module counts as without a usable node while fewer than this share are. */
  usableShareMin: share(0),

  /** How a node comes back. */
  recovery: choice(RECOVERY_MODES, "lars"),
  /** `staged`: how long a node gets no call at first. */
  ejectionMs: ms(5000, 1),
  /** `staged`: the longest such time; it doubles each time the node goes out again. */
  ejectionMaxMs: ms(60_000, 1),
  /** `staged`: after each such time in use the ejection time halves again. */
  ejectionDecayMs: ms(60_000, 1),
  /** `staged`: good probes in a row that bring a node back. */
  probeSuccesses: whole(3, 1, 10_000, "calls"),
  /** `staged`: time in which a returned node gets its full share. 0 = at once. */
  rampMs: ms(10_000, 0),
  /** Time in which a node new in the route gets its full share. 0 = at once. */
  slowStartMs: ms(0, 0),
  /** Share of its weight with which a ramp begins. */
  rampStartShare: share(0.1),
  /** Largest random part that is added to the times of ejection and ramp. */
  recoveryJitter: share(0.2),

  /** Time in which the average call time of a node forgets two thirds. */
  ewmaDecayMs: ms(10_000, 1),
  /** A failed call counts in that average as if it took so long, or longer if it did. */
  failurePenaltyMs: ms(1000, 0),
  /** A call whose outcome nobody reported counts as ended after this time. */
  outstandingTimeoutMs: ms(30_000, 100),
  /** `ring_hash`, `bounded_ring_hash`: points of a node of weight 100. */
  virtualNodes: whole(160, 1, 2000, "points"),
  /** `bounded_ring_hash`: calls under way of a node, at most this multiple of its fair share. */
  boundedLoad: number(1.25, 1.01, 100),

  /** Nodes of the agent's own zone come first. */
  zoneAware: NO,
  /** Zones that get no call while another one has a node. */
  evacuatedZones: NO_ZONES,
  /** Share of all calls that come from each zone; zones that are not named share the rest. */
  zoneCallers: NO_SHARES,
  /** How far above its fair load the own zone is loaded before calls go elsewhere. */
  zoneSlack: share(0.05),
  /** The plan for zones changes when a share would rise by at least this; it falls at once. */
  zoneHysteresis: share(0.05),
};

type ValueOf<S> = S extends NumberSpec<infer T> ? (T extends null ? number | null : number)
  : S extends ChoiceSpec<infer T> ? T
  : S extends ChoicesSpec<infer T> ? readonly T[]
  : S extends { readonly initial: infer T } ? T
  : never;

/**
 * The settings of one module beside the name of its policy. README.md of this room has the table;
 * times are in milliseconds, shares from 0 to 1.
 */
export type ModuleSettings = {
  readonly [Name in keyof typeof SPECS]: ValueOf<(typeof SPECS)[Name]>;
};

/** Every setting with its range and default. The defaults together are the original's rules. */
export const MODULE_SETTINGS: Readonly<Record<keyof ModuleSettings, SettingSpec>> = SPECS;
