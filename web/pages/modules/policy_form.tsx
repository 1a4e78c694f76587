// Shell. The fields of a module's policy: which one, and the settings that differ from their defaults.

import type { JSX } from "preact";
import { useState } from "preact/hooks";
import {
  fieldText,
  type PolicyDraft,
  policyFaults,
  type PolicySetting,
  settingTitle,
} from "./policy_text.ts";
import type { ResponseOf } from "../../contract.ts";
import { Field } from "../parts/fields.tsx";
import { IconButton } from "../parts/widgets.tsx";

function rangeOf(spec: PolicySetting): string {
  const initial = spec.initial === null ? "as the agent says" : fieldText(spec.initial) || "none";
  const range = spec.min === null ? "" : `${spec.min} to ${spec.max} ${spec.unit}; `;
  const choices = spec.kind === "choices" ? `${spec.choices.join(", ")}; ` : "";
  const shares = spec.kind === "shares" ? "like a=0.5, b=0.5; " : "";
  return `${range}${choices}${shares}default ${initial}`;
}

function SettingField(props: {
  spec: PolicySetting;
  text: string;
  fault: string | undefined;
  onInput: (text: string) => void;
  onRemove: () => void;
}): JSX.Element {
  const { spec, text, fault, onInput, onRemove } = props;
  const choices = spec.kind === "flag"
    ? ["true", "false"]
    : spec.kind === "choice"
    ? spec.choices
    : undefined;
  return (
    <div class="setting">
      <Field label={settingTitle(spec.name)} hint={rangeOf(spec)} fault={fault}>
        {(parts) =>
          choices === undefined
            ? (
              <input
                {...parts}
                autoComplete="off"
                value={text}
                onInput={(event) => onInput(event.currentTarget.value)}
              />
            )
            : (
              <select
                {...parts}
                value={text}
                onInput={(event) => onInput(event.currentTarget.value)}
              >
                {choices.map((choice) => <option key={choice} value={choice}>{choice}</option>)}
              </select>
            )}
      </Field>
      <IconButton
        icon="close"
        label={`Back to the default: ${settingTitle(spec.name)}`}
        title="Back to the default"
        onClick={onRemove}
      />
    </div>
  );
}

/** Value a setting starts with when it is added to the form. */
function startOf(spec: PolicySetting): string {
  if (spec.initial !== null) return fieldText(spec.initial);
  return spec.kind === "whole" || spec.kind === "number" ? String(spec.min ?? 0) : "";
}

/** Fields of a policy. */
export function PolicyForm(props: {
  draft: PolicyDraft;
  policies: readonly string[];
  presets: ResponseOf<"listPolicies">["presets"];
  specs: readonly PolicySetting[];
  onChange: (draft: PolicyDraft) => void;
}): JSX.Element {
  const { draft, policies, presets, onChange } = props;
  const preset = presets.find(({ name }) => name === draft.policy);
  // What a preset says stands in the place of the defaults.
  const specs = props.specs.map((spec) =>
    preset !== undefined && Object.hasOwn(preset.settings, spec.name)
      ? { ...spec, initial: preset.settings[spec.name] }
      : spec
  );
  const [adding, setAdding] = useState("");
  const faults = policyFaults(draft, specs);
  const change = (settings: PolicyDraft["settings"]): void => onChange({ ...draft, settings });
  const shown = specs.filter(({ name }) => Object.hasOwn(draft.settings, name));
  const rest = specs.filter(({ name }) => !Object.hasOwn(draft.settings, name));
  return (
    <fieldset>
      <legend>Policy</legend>
      <Field
        label="How the next node is chosen"
        hint={preset === undefined
          ? ""
          : `A preset: picks by ${preset.policy}, with settings of ours`}
      >
        {(parts) => (
          <select
            {...parts}
            value={draft.policy}
            onInput={(event) => onChange({ ...draft, policy: event.currentTarget.value })}
          >
            {policies.map((name) => <option key={name} value={name}>{name}</option>)}
          </select>
        )}
      </Field>
      {shown.map((spec) => (
        <SettingField
          key={spec.name}
          spec={spec}
          text={draft.settings[spec.name]}
          fault={faults[spec.name]}
          onInput={(text) => change({ ...draft.settings, [spec.name]: text })}
          onRemove={() => {
            const { [spec.name]: _gone, ...kept } = draft.settings;
            change(kept);
          }}
        />
      ))}
      <Field
        label="Change a setting"
        hint={shown.length === 0
          ? "All settings have their defaults."
          : "All others have their defaults."}
      >
        {(parts) => (
          <select
            {...parts}
            value={adding}
            onInput={(event) => {
              const spec = rest.find(({ name }) => name === event.currentTarget.value);
              setAdding("");
              if (spec !== undefined) change({ ...draft.settings, [spec.name]: startOf(spec) });
            }}
          >
            <option value="">Choose …</option>
            {rest.map(({ name }) => <option key={name} value={name}>{settingTitle(name)}</option>)}
          </select>
        )}
      </Field>
    </fieldset>
  );
}
