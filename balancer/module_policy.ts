// Core. How one module picks and judges: the JSON text kept in SQL is read and checked here.

import type { BalanceSettings } from "./detection/balance_settings.ts";
import { isPresetName, PRESET_NAMES, type PresetName, PRESETS } from "./module_presets.ts";
import {
  MODULE_SETTINGS,
  type ModuleSettings,
  type SettingSpec,
  ZONES_MAX,
} from "./module_settings.ts";
import { MODULE_POLICY_BYTES_MAX } from "../model/module.ts";
import { ZONE_LENGTH_MAX } from "../model/node.ts";
import { nearWords } from "../model/near_words.ts";

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

/**
 * How one module picks and judges. Plain data: one thread may read a text, and others take a copy of
 * what came of it, by a message or as JSON.
 */
export interface ModulePolicy {
  /** Name of the pick policy. */
  readonly policy: PolicyName;
  /** The preset that the text names in the place of a policy, whose settings are its defaults. */
  readonly preset?: PresetName;
  /** All settings, those that the text leaves out with their defaults. */
  readonly settings: ModuleSettings;
  /** The key of that name as the text has it: the agent reads and judges it. */
  readonly healthCheck?: unknown;
}

function isSettingName(name: string): name is keyof ModuleSettings {
  return Object.hasOwn(MODULE_SETTINGS, name);
}

/** The value as an error message shows it: short whatever was sent. */
function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 100 ? `${text.slice(0, 100)}…` : text;
}

function refuse(name: string, range: string, value: unknown, hint = ""): never {
  throw new RangeError(`${name} must be ${range}: current value is ${shown(value)}${hint}`);
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isZoneName(value: unknown): value is string {
  return typeof value === "string" && value.length <= ZONE_LENGTH_MAX;
}

function areShares(value: Record<string, unknown>): boolean {
  const parts = Object.values(value);
  const isShare = (part: unknown): boolean => typeof part === "number" && part >= 0 && part <= 1;
  return parts.length <= ZONES_MAX && Object.keys(value).every(isZoneName) &&
    parts.every(isShare) && parts.reduce((sum: number, part) => sum + Number(part), 0) <= 1 + 1e-9;
}

function fits(value: unknown, spec: SettingSpec): boolean {
  switch (spec.kind) {
    case "number":
    case "whole":
      return typeof value === "number" && value >= spec.min && value <= spec.max &&
        (spec.kind === "number" || Number.isInteger(value));
    case "flag":
      return typeof value === "boolean";
    case "choice":
      return spec.choices.some((choice) => choice === value);
    case "choices":
      return Array.isArray(value) && value.every((item) => spec.choices.includes(item));
    case "zones":
      return Array.isArray(value) && value.length <= ZONES_MAX && value.every(isZoneName);
    case "shares":
      return isRecord(value) && areShares(value);
  }
}

const KEYS = ["policy", "healthCheck", ...Object.keys(MODULE_SETTINGS)];

/** ` (did you mean errRate?)`, or nothing. */
function nearHint(value: unknown, words: readonly string[]): string {
  const near = typeof value === "string" ? nearWords(value, words) : [];
  return near.length === 0 ? "" : ` (did you mean ${near.join(" or ")}?)`;
}

/** What a setting may be, in words. */
function rangeOf(spec: SettingSpec): string {
  switch (spec.kind) {
    case "number":
    case "whole":
      return `a ${spec.kind === "whole" ? "whole " : ""}number from ${spec.min} to ${spec.max}`;
    case "flag":
      return "true or false";
    case "choice":
      return `one of ${spec.choices.join(", ")}`;
    case "choices":
      return `a list of ${spec.choices.join(", ")}`;
    case "zones":
      return `a list of at most ${ZONES_MAX} names of at most ${ZONE_LENGTH_MAX} characters`;
    case "shares":
      return `an object of at most ${ZONES_MAX} zones and shares that sum to at most 1`;
  }
}

function checkSetting(name: string, value: unknown, spec: SettingSpec): unknown {
  if (!fits(value, spec)) {
    refuse(name, rangeOf(spec), value, "choices" in spec ? nearHint(value, spec.choices) : "");
  }
  if (Array.isArray(value)) return [...new Set(value)];
  return isRecord(value) ? { ...value } : value;
}

function isPolicyName(name: unknown): name is PolicyName {
  return POLICY_NAMES.some((known) => known === name);
}

/** The original rules: what a module without a text of its own gets. */
export const DEFAULT_MODULE_POLICY: ModulePolicy = {
  policy: "lars",
  settings: Object.fromEntries(
    Object.entries(MODULE_SETTINGS).map(([name, { initial }]) => [name, initial]),
  ) as unknown as ModuleSettings,
  healthCheck: undefined,
};

/**
 * Makes a module's policy from a plain object, as {@linkcode parseModulePolicy} does from text.
 *
 * @throws {RangeError} naming the key, its range and its value.
 */
export function checkModulePolicy(value: Readonly<Record<string, unknown>>): ModulePolicy {
  const { policy: name = "lars", healthCheck, ...given } = value;
  if (!isPolicyName(name) && !isPresetName(name)) {
    const names = [...PRESET_NAMES, ...POLICY_NAMES];
    refuse("policy", `one of ${names.join(", ")}`, name, nearHint(name, names));
  }
  const settings: Record<string, unknown> = { ...defaultsOf(name) };
  for (const [name, setting] of Object.entries(given)) {
    if (!isSettingName(name)) {
      throw new RangeError(
        `Unknown key ${shown(name)}${nearHint(name, KEYS)}: must be policy or one of ` +
          Object.keys(MODULE_SETTINGS).join(", "),
      );
    }
    settings[name] = checkSetting(name, setting, MODULE_SETTINGS[name]);
  }
  const checked = settings as unknown as ModuleSettings;
  if (checked.ejectionMaxMs < checked.ejectionMs) {
    refuse("ejectionMaxMs", `at least ejectionMs (${checked.ejectionMs})`, checked.ejectionMaxMs);
  }
  if (!isPresetName(name)) return { policy: name, settings: checked, healthCheck };
  return { policy: PRESETS[name].policy, preset: name, settings: checked, healthCheck };
}

/** What holds where the text of a module with this policy or preset says nothing. */
function defaultsOf(name: PolicyName | PresetName): ModuleSettings {
  const { settings } = DEFAULT_MODULE_POLICY;
  return isPresetName(name) ? { ...settings, ...PRESETS[name].settings } : settings;
}

/** The name that stands for a policy: of its preset, or of its picks. */
export function policyNameOf({ policy, preset }: ModulePolicy): PolicyName | PresetName {
  return preset ?? policy;
}

/**
 * Reads the text of one module, and gives the same object for the same text: `{"policy":"p2c_ewma","overloadShareMax":0.5}`. Settings that are
 * not named have their defaults; the empty text is all defaults, the original's rules.
 *
 * @param json At most {@linkcode MODULE_POLICY_BYTES_MAX} bytes.
 * @param parsed What came of the text in another thread: it need not be read again.
 * @throws {RangeError} when it is no JSON object or too long, has an unknown key or a value out of
 * its range; the message names the key, the range and the value.
 */
export function parseModulePolicy(json: string, parsed?: ModulePolicy): ModulePolicy {
  if (json === "") return DEFAULT_MODULE_POLICY;
  const known = TEXTS.get(json);
  if (known !== undefined) return known;
  const policy = parsed ?? readModulePolicy(json);
  if (TEXTS.size >= TEXTS_MAX) TEXTS.clear();
  TEXTS.set(json, policy);
  return policy;
}

/** Texts whose policies are remembered; when full all are forgotten. */
const TEXTS_MAX = 256;

/** Most modules have one of a few texts: those of one text share the policy, and its memory. */
const TEXTS = new Map<string, ModulePolicy>();

function readModulePolicy(json: string): ModulePolicy {
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

/** The settings of a module that differ from the defaults, or from those of its preset. */
export function changedSettings(policy: ModulePolicy): Partial<ModuleSettings> {
  const initial: Readonly<Record<string, unknown>> = { ...defaultsOf(policyNameOf(policy)) };
  const changed = Object.entries(policy.settings).filter(([name, value]) =>
    JSON.stringify(value) !== JSON.stringify(initial[name])
  );
  return Object.fromEntries(changed);
}

type Name = keyof ModuleSettings;

/** Settings that are the agent's where a module has none of its own. */
const RULE_NUMBERS = (Object.keys(MODULE_SETTINGS) as Name[]).filter(
  (name): name is Name & keyof BalanceSettings => MODULE_SETTINGS[name].initial === null,
);

/** The numbers of the original rules for one module: its own where it has some, else the agent's. */
export function rulesOf({ settings }: ModulePolicy, agent: BalanceSettings): BalanceSettings {
  if (settings === DEFAULT_MODULE_POLICY.settings) return agent;
  const rules: { -readonly [Name in keyof BalanceSettings]: number } = { ...agent };
  for (const name of RULE_NUMBERS) rules[name] = settings[name] ?? agent[name];
  return rules;
}
