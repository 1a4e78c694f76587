// Core. What a policy can be made of, as clients are told: from the table the balancer checks with.

import { defaultBalanceSettings } from "../balancer/detection/balance_settings.ts";
import { POLICY_NAMES } from "../balancer/module_policy.ts";
import { PRESET_NAMES, PRESETS } from "../balancer/module_presets.ts";
import { MODULE_SETTINGS } from "../balancer/module_settings.ts";
import { POLICY_TEXTS, SETTING_GROUPS, SETTING_TEXTS } from "../balancer/module_setting_texts.ts";
import { POLICY_OUTCOMES, SIMULATED_FAULTS } from "../sim/policy_outcomes.ts";
import type { ResponseOf } from "./contract.ts";

type PolicyList = ResponseOf<"listPolicies">;

function settings(): PolicyList["settings"] {
  const ofAgents: Readonly<Record<string, number | undefined>> = { ...defaultBalanceSettings };
  return Object.entries(MODULE_SETTINGS).map(([name, spec]) => ({
    name,
    kind: spec.kind,
    min: "min" in spec ? spec.min : null,
    max: "max" in spec ? spec.max : null,
    unit: "unit" in spec ? spec.unit : "",
    choices: "choices" in spec ? [...spec.choices] : [],
    initial: spec.initial as unknown,
    agentDefault: spec.initial === null ? ofAgents[name] ?? null : null,
    ...SETTING_TEXTS[name as keyof typeof SETTING_TEXTS],
  }));
}

/** Presets first, then policies; each with its settings, their meaning and what it costs. */
export function policyList(): PolicyList {
  const policies = [...PRESET_NAMES, ...POLICY_NAMES];
  return {
    policies,
    presets: PRESET_NAMES.map((name) => {
      const { policy, settings } = PRESETS[name];
      return { name, policy, settings: { ...settings } };
    }),
    settings: settings(),
    groups: Object.entries(SETTING_GROUPS).map(([name, title]) => ({ name, title })),
    faults: [...SIMULATED_FAULTS],
    abouts: policies.map((name) => ({
      name,
      about: POLICY_TEXTS[name],
      outcomes: [...POLICY_OUTCOMES[name]],
    })),
  };
}
