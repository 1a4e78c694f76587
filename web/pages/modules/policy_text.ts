// Core. The policy of a module between its JSON text and the fields of a form.

import type { ResponseOf } from "../../contract.ts";

/** What a setting may be, as the server tells. */
export type PolicySetting = ResponseOf<"listPolicies">["settings"][number];

/** Policy when the text names none. */
export const POLICY_DEFAULT = "lars";

/** A policy as a form holds it. */
export interface PolicyDraft {
  readonly policy: string;
  /** Settings that differ from their defaults, as texts of their fields. */
  readonly settings: Readonly<Record<string, string>>;
}

/** A stored text as a draft; undefined when it is no JSON object, which only foreign writers make. */
export function parsePolicy(text: string): PolicyDraft | undefined {
  if (text.trim() === "") return { policy: POLICY_DEFAULT, settings: {} };
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined;
  const { policy = POLICY_DEFAULT, ...settings } = value as Record<string, unknown>;
  return {
    policy: String(policy),
    settings: Object.fromEntries(
      Object.entries(settings).map(([name, setting]) => [name, fieldText(setting)]),
    ),
  };
}

/** The value of a setting as the text of its field: lists `a, b`, shares `a=0.5, b=0.5`. */
export function fieldText(value: unknown): string {
  if (value === null || value === undefined) return "";
  if (Array.isArray(value)) return value.join(", ");
  if (typeof value === "object") {
    return Object.entries(value).map(([name, share]) => `${name}=${share}`).join(", ");
  }
  return String(value);
}

/** What a field takes, with its unit. */
export function rangeText({ kind, min, max, unit, choices }: PolicySetting): string {
  if (kind === "flag") return "True or false";
  if (kind === "choice") return `One of ${choices.join(", ")}`;
  if (kind === "choices") return `Some of ${choices.join(", ")}`;
  if (kind === "zones") return "Names, like a, b";
  if (kind === "shares") return "Shares, like a=0.5, b=0.5";
  if (unit === "share") return `A share from ${min} to ${max}`;
  const number = kind === "whole" ? "A whole number" : "A number";
  return `${number} from ${min} to ${max}${unit === "" ? "" : ` ${unit}`}`;
}

/** The value of a field that is left empty, and whose it is. */
export function defaultText(
  { initial, agentDefault, unit }: PolicySetting,
  preset: string | undefined,
): string {
  const withUnit = (value: unknown): string => {
    const text = fieldText(value);
    return typeof value === "number" && unit !== "" && unit !== "share"
      ? `${text} ${value === 1 && unit.length > 2 ? unit.replace(/s$/, "") : unit}`
      : text || "none";
  };
  if (initial !== null) return withUnit(initial) + (preset === undefined ? "" : ` with ${preset}`);
  return `what the agent's file says, else ${withUnit(agentDefault)}`;
}

function words(text: string): string[] {
  return text.split(",").map((word) => word.trim()).filter((word) => word !== "");
}

/**
 * The value that the text of a field stands for.
 *
 * @throws {RangeError} saying what would be right.
 */
export function settingValue(spec: PolicySetting, text: string): unknown {
  switch (spec.kind) {
    case "number":
    case "whole": {
      const value = Number(text);
      const isRight = text.trim() !== "" && value >= (spec.min ?? -Infinity) &&
        value <= (spec.max ?? Infinity) && (spec.kind === "number" || Number.isInteger(value));
      if (isRight) return value;
      const kind = spec.kind === "whole" ? "a whole number" : "a number";
      throw new RangeError(`Must be ${kind} from ${spec.min} to ${spec.max}.`);
    }
    case "flag":
      return text === "true";
    case "choice":
      return text;
    case "choices": {
      const wrong = words(text).find((word) => !spec.choices.includes(word));
      if (wrong === undefined) return words(text);
      throw new RangeError(`Must be of ${spec.choices.join(", ")}.`);
    }
    case "zones":
      return words(text);
    case "shares":
      return Object.fromEntries(
        words(text).map((word) => {
          const [, zone = "", share = ""] = /^(.+)=\s*(\d*\.?\d+)$/.exec(word) ?? [];
          if (zone === "" || Number(share) > 1) {
            throw new RangeError("Must look like a=0.5, b=0.5.");
          }
          return [zone.trim(), Number(share)];
        }),
      );
  }
}

/** What is wrong with the fields of a draft, by the names of the settings. */
export function policyFaults(
  draft: PolicyDraft,
  specs: readonly PolicySetting[],
): Readonly<Record<string, string>> {
  const faults: Record<string, string> = {};
  for (const [name, text] of Object.entries(draft.settings)) {
    const spec = specs.find((one) => one.name === name);
    try {
      if (spec === undefined) faults[name] = "No such setting.";
      else settingValue(spec, text);
    } catch (error) {
      faults[name] = error instanceof Error ? error.message : String(error);
    }
  }
  return faults;
}

/**
 * The text to store; empty when all is as by default.
 *
 * @throws {RangeError} for a field that {@linkcode policyFaults} complains about.
 */
export function policyText(draft: PolicyDraft, specs: readonly PolicySetting[]): string {
  const settings = Object.entries(draft.settings).flatMap(([name, text]) => {
    const spec = specs.find((one) => one.name === name);
    return spec === undefined ? [] : [[name, settingValue(spec, text)] as const];
  });
  if (draft.policy === POLICY_DEFAULT && settings.length === 0) return "";
  return JSON.stringify({ policy: draft.policy, ...Object.fromEntries(settings) });
}

/** `errRate` as words: `err rate`. */
export function settingTitle(name: string): string {
  return name.replace(/Ms\b/, "").replace(/([A-Z])/g, (letter) => ` ${letter.toLowerCase()}`);
}
