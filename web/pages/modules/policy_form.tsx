// Shell. The fields of a module's policy: presets first, then every setting with what it means.

import type { JSX } from "preact";
import type { ResponseOf } from "../../contract.ts";
import { Field } from "../parts/fields.tsx";
import { formatNumber } from "../parts/format.ts";
import { Heads } from "../parts/tables.tsx";
import { IconButton } from "../parts/widgets.tsx";
import {
  defaultText,
  fieldText,
  POLICY_DEFAULT,
  type PolicyDraft,
  policyFaults,
  type PolicySetting,
  rangeText,
  settingTitle,
} from "./policy_text.ts";

/** What the server tells of policies. */
type Known = ResponseOf<"listPolicies">;

function SettingField(props: {
  spec: PolicySetting;
  preset: string | undefined;
  text: string | undefined;
  fault: string | undefined;
  onInput: (text: string | undefined) => void;
}): JSX.Element {
  const { spec, preset, text, fault, onInput } = props;
  const initial = defaultText(spec, preset);
  const choices = spec.kind === "flag"
    ? ["true", "false"]
    : spec.kind === "choice"
    ? spec.choices
    : undefined;
  const take = (value: string): void => onInput(value === "" ? undefined : value);
  return (
    <div class="setting">
      <Field
        label={settingTitle(spec.name)}
        hint={`${spec.meaning}. ${rangeText(spec)}; default ${initial}.`}
        fault={fault}
      >
        {(parts) =>
          choices === undefined
            ? (
              <input
                {...parts}
                autoComplete="off"
                placeholder={fieldText(spec.initial ?? spec.agentDefault)}
                value={text ?? ""}
                onInput={(event) => take(event.currentTarget.value)}
              />
            )
            : (
              <select
                {...parts}
                value={text ?? ""}
                onInput={(event) => take(event.currentTarget.value)}
              >
                <option value="">{`${fieldText(spec.initial)} (default)`}</option>
                {choices.map((choice) => <option key={choice} value={choice}>{choice}</option>)}
              </select>
            )}
      </Field>
      {text !== undefined && (
        <IconButton
          icon="close"
          label={`Back to the default: ${settingTitle(spec.name)}`}
          title="Back to the default"
          onClick={() => onInput(undefined)}
        />
      )}
    </div>
  );
}

/** The policy that is chosen beside the one for most modules and the original's rules. */
function Outcomes({ chosen, known }: { chosen: string; known: Known }): JSX.Element | null {
  const best = known.presets[0]?.name ?? POLICY_DEFAULT;
  const names = [...new Set([chosen, best, POLICY_DEFAULT])]
    .filter((name) => known.abouts.some((one) => one.name === name));
  const outcomeOf = (name: string, fault: number) =>
    known.abouts.find((one) => one.name === name)?.outcomes[fault];
  if (!names.includes(chosen)) return null;
  return (
    <div class="outcomes" role="region" aria-label="What the simulator says" tabIndex={0}>
      <p class="hint">
        What callers lose in the simulator, in per cent of their calls, and how long the slowest
        call in a hundred takes.
      </p>
      <table class="rows">
        <caption class="hidden">What each policy costs in some faults</caption>
        <Heads names={["While", ...names.map((name) => `#${name}`)]} />
        <tbody>
          {known.faults.map(({ name: fault, about }, index) => (
            <tr key={fault}>
              <td>{about}</td>
              {names.map((name) => {
                const outcome = outcomeOf(name, index);
                return (
                  <td key={name} class="number">
                    {outcome !== undefined && (
                      <>
                        <b>{formatNumber(outcome.lost)} %</b>
                        <span class="sub muted small">{Math.round(outcome.p99Ms)} ms</span>
                        {outcome.refused > 0 && (
                          <span class="sub warn small">
                            {formatNumber(outcome.refused)} % refused
                          </span>
                        )}
                      </>
                    )}
                  </td>
                );
              })}
            </tr>
          ))}
        </tbody>
      </table>
      <p class="hint">
        With the settings that come with each name; <code>lars sim --policy {chosen}</code>{" "}
        tries others.
      </p>
    </div>
  );
}

/** One group of settings, open when some of them differ from their defaults. */
function Group(props: {
  title: string;
  specs: readonly PolicySetting[];
  /** The preset that gives a setting its default, by its name. */
  presetOf: (name: string) => string | undefined;
  draft: PolicyDraft;
  faults: Readonly<Record<string, string>>;
  onChange: (settings: PolicyDraft["settings"]) => void;
}): JSX.Element {
  const { title, specs, presetOf, draft, faults, onChange } = props;
  const setCount = specs.filter(({ name }) => Object.hasOwn(draft.settings, name)).length;
  return (
    <details class="setting-group" open={setCount > 0}>
      <summary>
        {title} <span class="muted small">{setCount > 0 ? `${setCount} set` : ""}</span>
      </summary>
      <div class="stack">
        {specs.map((spec) => (
          <SettingField
            key={spec.name}
            spec={spec}
            preset={presetOf(spec.name)}
            text={draft.settings[spec.name]}
            fault={faults[spec.name]}
            onInput={(text) => {
              const { [spec.name]: _old, ...rest } = draft.settings;
              onChange(text === undefined ? rest : { ...draft.settings, [spec.name]: text });
            }}
          />
        ))}
      </div>
    </details>
  );
}

/** Fields of a policy. */
export function PolicyForm(props: {
  draft: PolicyDraft;
  known: Known;
  onChange: (draft: PolicyDraft) => void;
}): JSX.Element {
  const { draft, known, onChange } = props;
  const preset = known.presets.find(({ name }) => name === draft.policy);
  // What a preset says stands in the place of the defaults.
  const isOfPreset = (name: string): boolean =>
    preset !== undefined && Object.hasOwn(preset.settings, name);
  const specs = known.settings.map((spec) =>
    isOfPreset(spec.name) ? { ...spec, initial: preset?.settings[spec.name] } : spec
  );
  const faults = policyFaults(draft, specs);
  const isPreset = (name: string): boolean => known.presets.some((one) => one.name === name);
  const about = known.abouts.find(({ name }) => name === draft.policy)?.about;
  return (
    <fieldset>
      <legend>Policy</legend>
      <Field label="How the next node is chosen" {...(about === undefined ? {} : { hint: about })}>
        {(parts) => (
          <select
            {...parts}
            value={draft.policy}
            onInput={(event) => onChange({ ...draft, policy: event.currentTarget.value })}
          >
            {[true, false].map((wanted) => (
              <optgroup
                key={String(wanted)}
                label={wanted ? "Presets" : "Policies, with the original's rules beside the pick"}
              >
                {known.policies.filter((name) => isPreset(name) === wanted)
                  .map((name) => <option key={name} value={name}>{name}</option>)}
              </optgroup>
            ))}
          </select>
        )}
      </Field>
      <Outcomes chosen={draft.policy} known={known} />
      {known.groups.map(({ name, title }) => (
        <Group
          key={name}
          title={title}
          specs={specs.filter(({ group }) => group === name)}
          presetOf={(key) => isOfPreset(key) ? preset?.name : undefined}
          draft={draft}
          faults={faults}
          onChange={(settings) => onChange({ ...draft, settings })}
        />
      ))}
    </fieldset>
  );
}
