// Shell. The form of an alert rule.

import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { call } from "../shell/api.ts";
import { formatCount, formatNumber, formatShare, formatSpan } from "../parts/format.ts";
import { MODULE_NAME_LENGTH_MAX } from "../../../model/module.ts";
import { type NameLookup, useModuleNames } from "../shell/module_names.ts";
import { notify } from "../shell/state.ts";
import { FormDialog, useAction } from "../parts/dialogs.tsx";
import { faultOf, SelectField, TextField } from "../parts/fields.tsx";
import type { Rule } from "../../../control/schemas.ts";

/** What the threshold of a kind counts. */
type Unit = "share" | "seconds" | "reports" | "count" | "rate" | "none";

interface RuleKind {
  readonly name: string;
  readonly text: string;
  readonly unit: Unit;
  readonly show: (threshold: number) => string;
}

function kind(name: string, text: string, unit: Unit): RuleKind {
  const show = (threshold: number): string => {
    if (unit === "share") return formatShare(threshold);
    if (unit === "seconds") return formatSpan(threshold * 1000);
    if (unit === "rate") return `${formatNumber(threshold)}/s`;
    return unit === "none" ? "–" : formatCount(threshold);
  };
  return { name, text, unit, show };
}

/** Kinds of rules in words. */
export const RULE_KINDS: Readonly<Record<Rule["kind"], RuleKind>> = {
  module_overload: kind("Module down", "Every node of a module is kept out.", "none"),
  error_share: kind("Error share", "Share of failed calls of a module.", "share"),
  node_out: kind("Node out", "A node is kept out by its callers.", "none"),
  agent_silent: kind("Agent silent", "Seconds without a sign of life of an agent.", "seconds"),
  dns_behind: kind("dns behind", "Seconds a dns is behind the routes stored.", "seconds"),
  push_refused: kind("Push refused", "Pushes that agents refused.", "count"),
  calls_refused: kind("Refused calls", "Share of callers of a module that got no node.", "share"),
  report_backlog: kind("Report backlog", "Reports that wait to be stored.", "reports"),
  relay_away: kind("Relay away", "A relay does not answer, or reaches no NATS server.", "none"),
  relay_no_worker: kind("Relay without worker", "Requests that find no worker.", "rate"),
  relay_waiting: kind("Relay waiting", "Seconds a request has waited for a worker.", "seconds"),
  relay_drops: kind(
    "Relay drops",
    "Messages a relay, its store or its clients cannot take.",
    "rate",
  ),
  relay_store_full: kind("Relay store full", "Share of what a relay may keep.", "share"),
};

const KIND_OPTIONS = Object.entries(RULE_KINDS)
  .map(([value, { name }]) => [value as Rule["kind"], name] as const);

const SEVERITY_OPTIONS = [["warning", "warning"], ["critical", "critical"]] as const;

const UNIT_TEXTS: Readonly<Record<Unit, string>> = {
  share: "Per cent.",
  seconds: "Seconds.",
  reports: "Reports.",
  count: "Pushes in a minute.",
  rate: "A second.",
  none: "",
};

/** A rule as its form holds it: numbers as text. */
interface Draft {
  readonly kind: Rule["kind"];
  readonly title: string;
  readonly severity: Rule["severity"];
  readonly threshold: string;
  readonly forS: string;
  readonly clearS: string;
  readonly module: string;
}

function draftOf(rule: Rule | undefined): Draft {
  if (rule === undefined) {
    return {
      kind: "error_share",
      title: "",
      severity: "warning",
      threshold: "5",
      forS: "60",
      clearS: "120",
      module: "",
    };
  }
  const isShare = RULE_KINDS[rule.kind].unit === "share";
  return {
    kind: rule.kind,
    title: rule.title,
    severity: rule.severity,
    threshold: String(isShare ? Math.round(rule.threshold * 10_000) / 100 : rule.threshold),
    forS: String(rule.forS),
    clearS: String(rule.clearS),
    module: rule.modId === null ? "" : `${rule.modId}/${rule.cmdId}`,
  };
}

/** The module of two numbers or a name; null for none, undefined for what is neither. */
function parseModule(
  text: string,
  find: NameLookup["find"],
): { modId: number; cmdId: number } | null | undefined {
  if (text.trim() === "") return null;
  const match = /^\s*(\d{1,10})\s*[/, ]\s*(\d{1,10})\s*$/.exec(text);
  return match === null ? find(text) : { modId: Number(match[1]), cmdId: Number(match[2]) };
}

function faultsOf(draft: Draft, find: NameLookup["find"]): Partial<Record<keyof Draft, string>> {
  const isNumber = (text: string): boolean => /^\d+(\.\d+)?$/.test(text);
  const isWhole = (text: string): boolean => /^\d{1,5}$/.test(text) && Number(text) <= 86_400;
  const { unit } = RULE_KINDS[draft.kind];
  return {
    ...(draft.title.trim() === "" ? { title: "" } : {}),
    ...(unit !== "none" && !isNumber(draft.threshold) ? { threshold: "Must be a number." } : {}),
    ...(unit === "share" && Number(draft.threshold) > 100
      ? { threshold: "Must be at most 100." }
      : {}),
    ...(isWhole(draft.forS) ? {} : { forS: "Must be 0 to 86400 seconds." }),
    ...(isWhole(draft.clearS) ? {} : { clearS: "Must be 0 to 86400 seconds." }),
    ...(parseModule(draft.module, find) === undefined
      ? { module: "Must be the name of just one module, or look like 1/2." }
      : {}),
  };
}

function Inputs(props: {
  draft: Draft;
  faults: Partial<Record<keyof Draft, string>>;
  onChange: (part: Partial<Draft>) => void;
}): JSX.Element {
  const { draft, faults, onChange } = props;
  const { unit } = RULE_KINDS[draft.kind];
  const text = (
    name: "title" | "threshold" | "forS" | "clearS" | "module",
    label: string,
    hint: string,
  ) => (
    <TextField
      label={label}
      hint={hint}
      fault={faults[name] || undefined}
      value={draft[name]}
      onText={(value) => onChange({ [name]: value })}
      input={{
        maxLength: name === "module" ? MODULE_NAME_LENGTH_MAX : 64,
        inputMode: name === "title" || name === "module" ? "text" : "decimal",
      }}
    />
  );
  return (
    <>
      <SelectField
        label="Looks at"
        hint={RULE_KINDS[draft.kind].text}
        hasFocus
        value={draft.kind}
        options={KIND_OPTIONS}
        onValue={(kind) => onChange({ kind })}
      />
      {text("title", "Title", "What people read when it fires.")}
      <div class="pair">
        <SelectField
          label="Severity"
          value={draft.severity}
          options={SEVERITY_OPTIONS}
          onValue={(severity) => onChange({ severity })}
        />
        {unit !== "none" && text("threshold", "Fires over", UNIT_TEXTS[unit])}
      </div>
      <div class="pair">
        {text("forS", "Fires after, seconds", "The condition must hold for so long.")}
        {text("clearS", "Ends after, seconds", "It must be over for so long.")}
      </div>
      {text("module", "Module", "Its name, or numbers as 1/2; empty for all.")}
    </>
  );
}

/** Adds a rule, or replaces the one that is given. */
export function RuleDialog(
  props: { rule?: Rule; onClose: () => void; onDone: () => void },
): JSX.Element {
  const { rule, onClose } = props;
  const { isBusy, problem, run } = useAction();
  const [draft, setDraft] = useState(() => draftOf(rule));
  const { find } = useModuleNames();
  const faults = faultsOf(draft, find);
  const isReady = Object.keys(faults).length === 0 && !isBusy;
  const submit = (): void =>
    run(async () => {
      const { unit } = RULE_KINDS[draft.kind];
      const module = parseModule(draft.module, find) ?? null;
      const body = {
        kind: draft.kind,
        title: draft.title.trim(),
        severity: draft.severity,
        isEnabled: rule?.isEnabled ?? true,
        threshold: unit === "none"
          ? rule?.threshold ?? 0
          : Number(draft.threshold) / (unit === "share" ? 100 : 1),
        forS: Number(draft.forS),
        clearS: Number(draft.clearS),
        modId: module?.modId ?? null,
        cmdId: module?.cmdId ?? null,
      };
      if (rule === undefined) await call("addRule", { body });
      else await call("putRule", { params: { id: rule.id }, body });
      notify("ok", rule === undefined ? "Rule added" : "Rule changed");
      props.onDone();
      onClose();
    });
  const shown = { ...faults };
  for (const field of ["title", "threshold", "forS", "clearS"] as const) {
    const fault = faultOf(problem, field);
    if (fault !== undefined) shown[field] = fault;
  }
  return (
    <FormDialog
      title={rule === undefined ? "Add rule" : "Change rule"}
      action={rule === undefined ? "Add rule" : "Save"}
      isReady={isReady}
      problem={problem}
      onClose={onClose}
      onSubmit={submit}
    >
      <Inputs
        draft={draft}
        faults={shown}
        onChange={(part) => setDraft((old) => ({ ...old, ...part }))}
      />
    </FormDialog>
  );
}
