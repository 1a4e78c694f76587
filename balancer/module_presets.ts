// Core. Named sets of settings that stand where the name of a policy may: docs/recommended.md.

import type { ModuleSettings } from "./module_settings.ts";

/** A pick policy with settings that differ from the defaults. */
interface Preset {
  /** Of those that presets use; `module_policy.ts` has all names, and reads this file. */
  readonly policy: "smooth_weighted_round_robin" | "p2c_ewma";
  readonly settings: Partial<ModuleSettings>;
}

/**
 * For a module of no special kind: typed failures weighed apart, evidence at any rate of calls, a
 * limit on what may be out, and a return in stages. A module of which all nodes fail alike stays
 * open: no call is refused.
 */
const RECOMMENDED: Partial<ModuleSettings> = {
  rules: ["errorRate", "errorRun", "window", "wilson", "slow"],
  // Two refused calls in a row put a node out, three given up, five of other kinds: the limit is 15.
  refusedWeight: 8,
  timeoutWeight: 5,
  otherWeight: 3,
  overloadShareMax: 0.5,
  callerOutsMax: 1,
  whenAllOverload: "open",
  usableShareMin: 0.5,
  recovery: "staged",
  // Nodes of a lost zone went out together; their probes should not come together.
  recoveryJitter: 1,
  slowStartMs: 10_000,
  zoneAware: true,
};

const PRESETS_BY_NAME = {
  recommended: { policy: "smooth_weighted_round_robin", settings: RECOMMENDED },
  // For modules whose nodes differ in speed. Its picks shun a node that fails or is slow at once, so
  // that the node is judged later, for want of calls.
  recommended_ewma: { policy: "p2c_ewma", settings: RECOMMENDED },
} as const satisfies Record<string, Preset>;

/** Name of a preset. */
export type PresetName = keyof typeof PRESETS_BY_NAME;

/** Every preset by its name. */
export const PRESETS: Readonly<Record<PresetName, Preset>> = PRESETS_BY_NAME;

/** Every name, the one for most modules first. */
export const PRESET_NAMES = Object.keys(PRESETS) as readonly PresetName[];

/** The text that chooses what our own tools give a module that they make. */
export const RECOMMENDED_TEXT = '{"policy":"recommended"}';

/** True for the name of a preset. */
export function isPresetName(name: unknown): name is PresetName {
  return typeof name === "string" && Object.hasOwn(PRESETS, name);
}
