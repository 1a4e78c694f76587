// Shell. Scaling of one module: its rule, what was decided last, and the steps that were taken.

import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { EventFeed } from "../events/event_feed.tsx";
import { FormDialog, useAction } from "../parts/dialogs.tsx";
import { faultOf, SelectField, TextField } from "../parts/fields.tsx";
import { Icon } from "../parts/icons.tsx";
import { Ago, Empty, Load, Stat, WriteButton } from "../parts/widgets.tsx";
import { call, type CallProblem } from "../shell/api.ts";
import { useLoad } from "../shell/live.ts";
import { may, notify } from "../shell/state.ts";
import type { ScaledModule, ScaleRule } from "../../../control/schemas.ts";
import type { ModuleKey } from "../../../model/module.ts";

const REFRESH_MS = 2_000;
const NUMBERS = [
  ["target", "Target", "Of the metric, for one node."],
  ["min", "Min", "Fewest nodes."],
  ["max", "Max", "Most nodes."],
  ["stepUp", "Step up", "Most nodes that one step adds."],
  ["stepDown", "Step down", "Most nodes that one step takes."],
  ["windowS", "Window, s", "Load is the mean over this time."],
  ["stabilisationS", "Stabilisation, s", "Shrinks to the most that was needed in this time."],
  ["coolDownUpS", "Cool-down up, s", "Between two steps up."],
  ["coolDownDownS", "Cool-down down, s", "From any step to one down."],
] as const satisfies readonly (readonly [keyof ScaleRule, string, string])[];

const METRICS: readonly (readonly [ScaleRule["metric"], string])[] = [
  ["calls", "calls/s"],
  ["inflight", "calls at a time"],
  ["latency", "ms a call"],
];
const DRIVERS: readonly (readonly [ScaleRule["driver"], string])[] = [
  ["dry", "Dry: only say what it would do"],
  ["webhook", "Webhook of format scaling"],
  ["command", "Command of the console's configuration"],
];

/** What is typed: numbers as text. */
type Draft = Readonly<Record<(typeof NUMBERS)[number][0], string>> & {
  readonly metric: ScaleRule["metric"];
  readonly driver: ScaleRule["driver"];
  readonly webhook: string;
};

const NEW_RULE: Draft = {
  ...{ metric: "calls", target: "100", min: "1", max: "10", stepUp: "10", stepDown: "1" },
  ...{ windowS: "30", stabilisationS: "300", coolDownUpS: "15", coolDownDownS: "60" },
  ...{ driver: "dry", webhook: "" },
};

function draftOf(rule: ScaleRule | undefined): Draft {
  if (rule === undefined) return NEW_RULE;
  const numbers = NUMBERS.map(([name]) => [name, `${rule[name]}`]);
  const { metric, driver, webhook } = rule;
  return { ...NEW_RULE, ...Object.fromEntries(numbers), metric, driver, webhook };
}

interface DialogProps {
  readonly module: ModuleKey;
  readonly rule: ScaleRule | undefined;
  readonly onClose: () => void;
  readonly onDone: () => void;
}

function RuleFields(
  props: { draft: Draft; problem: CallProblem | undefined; onDraft: (draft: Draft) => void },
): JSX.Element {
  const { draft, problem, onDraft } = props;
  return (
    <>
      <SelectField
        label="Metric"
        hint="What the target is of."
        fault={faultOf(problem, "rule.metric")}
        value={draft.metric}
        options={METRICS}
        onValue={(metric) => onDraft({ ...draft, metric })}
      />
      {NUMBERS.map(([name, label, hint]) => (
        <TextField
          key={name}
          label={label}
          hint={hint}
          fault={faultOf(problem, `rule.${name}`)}
          value={draft[name]}
          onText={(text) => onDraft({ ...draft, [name]: text })}
          input={{ type: "number", min: 0, step: name === "target" ? "any" : 1, required: true }}
        />
      ))}
      <SelectField
        label="Driver"
        hint="Who starts and stops nodes."
        fault={faultOf(problem, "rule.driver")}
        value={draft.driver}
        options={DRIVERS}
        onValue={(driver) => onDraft({ ...draft, driver })}
      />
      {draft.driver === "webhook" && (
        <TextField
          label="Webhook"
          hint="Its title; its format must be scaling."
          fault={faultOf(problem, "rule.webhook")}
          value={draft.webhook}
          onText={(webhook) => onDraft({ ...draft, webhook })}
          input={{ required: true, maxLength: 64 }}
        />
      )}
    </>
  );
}

function RuleDialog({ module, rule, onClose, onDone }: DialogProps): JSX.Element {
  const { isBusy, problem, run } = useAction();
  const [draft, setDraft] = useState(draftOf(rule));
  const submit = (): void =>
    run(async () => {
      const { metric, driver, webhook } = draft;
      const number = (name: (typeof NUMBERS)[number][0]): number => Number(draft[name]);
      const values = {
        ...{ ...rule, floors: [...rule?.floors ?? []], metric, driver, webhook },
        ...{ target: number("target"), min: number("min"), max: number("max") },
        ...{ stepUp: number("stepUp"), stepDown: number("stepDown") },
        ...{ windowS: number("windowS"), stabilisationS: number("stabilisationS") },
        ...{ coolDownUpS: number("coolDownUpS"), coolDownDownS: number("coolDownDownS") },
      };
      const { modId, cmdId } = module;
      await call("putScaling", { params: { modId, cmdId }, body: { rule: values } });
      notify("ok", "Scaling set");
      onDone();
      onClose();
    });
  return (
    <FormDialog
      title="Scaling"
      action="Save"
      isReady={!isBusy}
      problem={problem}
      onClose={onClose}
      onSubmit={submit}
    >
      <RuleFields draft={draft} problem={problem} onDraft={setDraft} />
    </FormDialog>
  );
}

function Decided({ scaled }: { scaled: ScaledModule }): JSX.Element {
  const { rule, status } = scaled;
  const metric = METRICS.find(([name]) => name === rule.metric)?.[1] ?? rule.metric;
  const leaving = [...status?.draining ?? [], ...status?.stopping ?? []];
  return (
    <>
      <dl class="stats">
        <Stat label="Target of a node" unit={` ${metric}`}>{rule.target}</Stat>
        <Stat label="Nodes" unit={` of ${rule.min} to ${rule.max}`}>{status?.from ?? "–"}</Stat>
        <Stat label="Wanted">{status?.wish ?? "–"}</Stat>
        <Stat label="To come">{status?.pendingCount ?? "–"}</Stat>
        <Stat label="Leaving">{leaving.length}</Stat>
        <Stat label="Driver">
          <span class="word">{rule.isEnabled ? rule.driver : "paused"}</span>
        </Stat>
      </dl>
      {status === null ? <p class="muted">Nothing was decided yet.</p> : (
        <p>
          <strong>
            {status.kind === "hold"
              ? `${status.from} nodes stay`
              : `${status.from} to ${status.to}`}
          </strong>
          : {status.reason} (<Ago atMs={status.atMs} />)
        </p>
      )}
      {leaving.length > 0 && <p>Leaving: {leaving.join(", ")}</p>}
      {status !== null && status.order !== null && (
        <p class="muted">Last order: {status.order.text}: {status.order.outcome}</p>
      )}
    </>
  );
}

/** Scaling of a module. */
export function ScalingPanel({ module }: { module: ModuleKey }): JSX.Element {
  const { modId, cmdId } = module;
  const [isOpen, setOpen] = useState(false);
  const all = useLoad("scaling", (signal) => call("listScaling", { signal }), REFRESH_MS);
  return (
    <Load of={all} onRetry={all.reload}>
      {({ modules }) => {
        const scaled = modules.find((one) => one.modId === modId && one.cmdId === cmdId);
        const remove = async (): Promise<void> => {
          await call("deleteScaling", { params: { modId, cmdId } });
          notify("ok", "Scaling is off");
          all.reload();
        };
        const edit = may("operator") && (
          <p class="buttons">
            <WriteButton class="primary" onClick={() => setOpen(true)}>
              <Icon name="edit" />
              {scaled === undefined ? "Set a rule" : "Change the rule"}
            </WriteButton>
            {scaled !== undefined && (
              <WriteButton
                class="danger-text"
                onClick={() => void remove().catch((error) => notify("crit", String(error)))}
              >
                <Icon name="trash" />Switch off
              </WriteButton>
            )}
          </p>
        );
        return (
          <section class="panel stack" aria-label="Scaling">
            {scaled === undefined
              ? (
                <Empty icon="modules" title="Its nodes do not follow its load">
                  {edit || <p>An operator can set a rule.</p>}
                </Empty>
              )
              : (
                <>
                  <Decided scaled={scaled} />
                  {edit}
                  <h2>Steps</h2>
                  <EventFeed modId={modId} cmdId={cmdId} kind="scale." />
                </>
              )}
            {isOpen && (
              <RuleDialog
                module={module}
                rule={scaled?.rule}
                onClose={() => setOpen(false)}
                onDone={all.reload}
              />
            )}
          </section>
        );
      }}
    </Load>
  );
}
