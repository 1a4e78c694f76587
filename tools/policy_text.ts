// Core. The policy of a module as text: changed key by key, and judged before it is stored.

import { parseHealthCheck } from "../agent/health/health_plan.ts";
import { MODULE_SETTINGS, parseModulePolicy, POLICY_NAMES, PRESET_NAMES } from "../balancer/mod.ts";
import { isPresetName, PRESETS } from "../balancer/module_presets.ts";
import { didYouMean } from "../model/near_words.ts";
import { messageOf } from "../reactor/errors.ts";

/** A change of one key: `key=value`, where the value is JSON or else a text. */
export interface KeyChange {
  readonly key: string;
  readonly value: unknown;
}

/**
 * Reads `key=value`: `policy=maglev`, `errRate=0.2`, `rules=["errorRate"]`, `zoneAware=true`.
 *
 * @throws {RangeError} when there is no key or no `=`.
 */
export function parseKeyChange(text: string): KeyChange {
  const at = text.indexOf("=");
  if (at < 1) throw new RangeError(`Must look like key=value: current value is "${text}"`);
  const key = text.slice(0, at);
  const value = text.slice(at + 1);
  try {
    return { key, value: JSON.parse(value) };
  } catch {
    return { key, value };
  }
}

/** The object a stored text holds; empty for "". @throws {RangeError} when it holds none. */
export function policyObject(text: string): Record<string, unknown> {
  if (text === "") return {};
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new RangeError(`Policy must be JSON: ${messageOf(error)}`, { cause: error });
  }
  if (value !== null && typeof value === "object" && !Array.isArray(value)) {
    return value as Record<string, unknown>;
  }
  throw new RangeError(`Policy must be a JSON object: current value is ${text}`);
}

/**
 * The text after some changes; "" when nothing is left of it.
 *
 * @throws {RangeError} when the text before is no JSON object, or a removed key is not there.
 */
export function changePolicy(
  text: string,
  changes: readonly KeyChange[],
  removed: readonly string[],
): string {
  const policy = policyObject(text);
  for (const { key, value } of changes) policy[key] = value;
  for (const key of removed) {
    if (!(key in policy)) {
      throw new RangeError(
        `Policy has no key "${key}" to remove${didYouMean(key, Object.keys(policy))}`,
      );
    }
    delete policy[key];
  }
  return Object.keys(policy).length === 0 ? "" : JSON.stringify(policy);
}

/** @throws {RangeError} naming what agents would refuse. */
export function checkPolicyText(text: string): void {
  parseModulePolicy(text);
  parseHealthCheck(text);
}

/**
 * What goes with a preset when another policy takes its place, in a sentence; undefined when nothing
 * does, or when the text before cannot be read.
 */
export function lostPreset(before: string, after: string): string | undefined {
  const [was, is] = [presetIn(before), presetIn(after)];
  if (was === undefined || is !== undefined) return undefined;
  const same = PRESET_NAMES.find((name) => PRESETS[name].policy === namedIn(after));
  const instead = same === undefined ? "" : `; policy=${same} is the same picks with them`;
  return `The settings of ${was} went with it: how many nodes may be out, how they come back, what ` +
    `counts as a failure are those of the original now${instead}`;
}

function namedIn(text: string): unknown {
  try {
    return policyObject(text.trim()).policy;
  } catch {
    return undefined; // Nothing of ours stood there.
  }
}

function presetIn(text: string): string | undefined {
  const name = namedIn(text);
  return isPresetName(name) ? name : undefined;
}

/** Keys of a policy. */
export function settingKeys(): string[] {
  return ["policy", ...Object.keys(MODULE_SETTINGS), "healthCheck"];
}

/** What may be typed for `--set`: each key, and its values where they are a few known words. */
export function settingWords(): string[] {
  const words = [...PRESET_NAMES, ...POLICY_NAMES].map((name) => `policy=${name}`);
  for (const [key, spec] of Object.entries(MODULE_SETTINGS)) {
    if (spec.kind === "choice") words.push(...spec.choices.map((value) => `${key}=${value}`));
    else if (spec.kind === "flag") words.push(`${key}=true`, `${key}=false`);
    else words.push(`${key}=`);
  }
  return [...words, "healthCheck="];
}
