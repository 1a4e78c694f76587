// Shell. Scaling of one module: its rule, what was decided last, and the steps that were taken.

import type { JSX } from "preact";
import { useMemo, useState } from "preact/hooks";
import { EventFeed } from "../events/event_feed.tsx";
import { LineChart } from "../history/line_chart.tsx";
import { Confirm, FormDialog, useAction } from "../parts/dialogs.tsx";
import { faultOf, Field, SelectField, TextField } from "../parts/fields.tsx";
import { formatCount, formatNumber, UNKNOWN } from "../parts/format.ts";
import { Icon } from "../parts/icons.tsx";
import { Ago, Empty, Load, Stat, WriteButton } from "../parts/widgets.tsx";
import { call, CallProblem } from "../shell/api.ts";
import { useLoad } from "../shell/live.ts";
import { may, notify } from "../shell/state.ts";
import type { ResponseOf } from "../../contract.ts";
import { floorText, parseFloor } from "../../../control/scaling/scale_floor.ts";
import type { ScaledModule, ScaleFloor, ScaleRule, ScaleTrack } from "../../../control/schemas.ts";
import type { ModuleKey } from "../../../model/module.ts";

const REFRESH_MS = 2_000;
/** Height of a chart in pixels. */
const CHART_HEIGHT = 130;
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

const ENABLED = [["on", "Followed"], ["paused", "Paused: nothing is decided"]] as const;

/** What is typed: numbers as text, and floors one a line. */
type Draft = Readonly<Record<(typeof NUMBERS)[number][0], string>> & {
  readonly enabled: (typeof ENABLED)[number][0];
  readonly metric: ScaleRule["metric"];
  readonly driver: ScaleRule["driver"];
  readonly webhook: string;
  readonly floors: string;
};

const NEW_RULE: Draft = {
  ...{ metric: "calls", target: "100", min: "1", max: "10", stepUp: "10", stepDown: "1" },
  ...{ windowS: "30", stabilisationS: "300", coolDownUpS: "15", coolDownDownS: "60" },
  ...{ enabled: "on", driver: "dry", webhook: "", floors: "" },
};

function draftOf(rule: ScaleRule | undefined): Draft {
  if (rule === undefined) return NEW_RULE;
  const numbers = NUMBERS.map(([name]) => [name, `${rule[name]}`]);
  const { metric, driver, webhook } = rule;
  return {
    ...{ ...NEW_RULE, ...Object.fromEntries(numbers), metric, driver, webhook },
    enabled: rule.isEnabled ? "on" : "paused",
    floors: rule.floors.map(floorText).join("\n"),
  };
}

/** Floors as they are typed, one a line. @throws {CallProblem} when one is of another form. */
function floorsOf(text: string): ScaleFloor[] {
  try {
    return text.split("\n").filter((line) => line.trim() !== "").map(parseFloor);
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error);
    const errors = [{ path: "rule.floors", message: detail }];
    throw new CallProblem("invalid", { title: "A floor cannot be read", detail, errors });
  }
}

function unitOf({ metric }: ScaleRule): string {
  return METRICS.find(([name]) => name === metric)?.[1] ?? metric;
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
        label="Rule"
        value={draft.enabled}
        options={ENABLED}
        onValue={(enabled) => onDraft({ ...draft, enabled })}
      />
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
      <Field
        label="Scheduled floors"
        hint="One a line, at least so many nodes then: mon-fri 08:00-20:00 Europe/Berlin 6"
        fault={faultOf(problem, "rule.floors")}
      >
        {(parts) => (
          <textarea
            {...parts}
            class="mono"
            rows={3}
            maxLength={4000}
            value={draft.floors}
            onInput={(event) => onDraft({ ...draft, floors: event.currentTarget.value })}
          />
        )}
      </Field>
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
        ...{ ...rule, floors: floorsOf(draft.floors), metric, driver, webhook },
        isEnabled: draft.enabled === "on",
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
  const metric = unitOf(rule);
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

function countText(value: number | null | undefined): string {
  return value === null || value === undefined ? UNKNOWN : formatCount(value);
}

function numberText(value: number | null | undefined): string {
  return value === null || value === undefined ? UNKNOWN : formatNumber(value);
}

/** The last hour: nodes beside what the load asked for, load, and failed calls. */
function Charts(
  { track, rule }: { track: ScaleTrack; rule: ScaleRule },
): JSX.Element {
  const [at, setAt] = useState<number>();
  const unit = unitOf(rule);
  const drawn = useMemo(() => {
    const look = { colour: 0, isDashed: false };
    const percent = track.errorShare.map((share) => share === null ? null : share * 100);
    return {
      nodes: [{ ...look, name: "nodes", values: track.nodes }, {
        ...{ colour: 1, isDashed: true, name: "wanted", values: track.wish },
      }],
      load: [{ ...look, name: "in all", values: track.load }],
      errors: [{ ...look, name: "in all", values: percent }],
    };
  }, [track]);
  const { fromMs, stepMs } = track;
  const shared = { fromMs, stepMs, steps: track.nodes.length, height: CHART_HEIGHT, at };
  return (
    <div class="chart-row">
      <LineChart
        {...shared}
        title="Nodes"
        unit="that get calls"
        lines={drawn.nodes}
        topOf={(max) => Math.max(max, 2) * 1.08}
        textOf={countText}
        onAt={setAt}
      />
      <LineChart
        {...shared}
        title="Load"
        unit={unit}
        lines={drawn.load}
        topOf={(max) => Math.max(max, 1) * 1.08}
        textOf={numberText}
        onAt={setAt}
      />
      <LineChart
        {...shared}
        title="Errors"
        unit="% of calls"
        lines={drawn.errors}
        topOf={(max) => Math.min(Math.max(max, 1) * 1.08, 103)}
        textOf={(value) => `${numberText(value)} %`}
        onAt={setAt}
      />
    </div>
  );
}

function Shown({ scaled, edit }: { scaled: ListedModule; edit: JSX.Element }): JSX.Element {
  const { modId, cmdId, rule, track = null } = scaled;
  return (
    <>
      <Decided scaled={scaled} />
      {edit}
      {rule.floors.length > 0 && (
        <p class="muted">Floors: {rule.floors.map(floorText).join("; ")}</p>
      )}
      <h2>The last hour</h2>
      {track === null || track.nodes.length < 2
        ? <p class="muted">Nothing to draw yet: a value comes every 15 seconds.</p>
        : <Charts track={track} rule={rule} />}
      <h2>Steps</h2>
      <EventFeed modId={modId} cmdId={cmdId} kind="scale." />
    </>
  );
}

/** What is asked before a rule is removed. */
function OffDialog(
  { scaled, onClose, onDone }: { scaled: ScaledModule; onClose: () => void; onDone: () => void },
): JSX.Element {
  const { modId, cmdId, rule, status } = scaled;
  const draining = status?.draining ?? [];
  return (
    <Confirm
      title="Switch scaling off"
      action="Switch off"
      danger
      onClose={onClose}
      onConfirm={async () => {
        await call("deleteScaling", { params: { modId, cmdId } });
        notify("ok", "Scaling is off");
        onDone();
        onClose();
      }}
    >
      <p>
        The rule is removed with its values: target {rule.target} {unitOf(rule)}, {rule.min} to{" "}
        {rule.max}{" "}
        nodes. The nodes there are stay. To stop it for a while and keep the rule, change it to
        paused.
      </p>
      {draining.length > 0 && <p>Draining, and getting calls again: {draining.join(", ")}</p>}
    </Confirm>
  );
}

function EditButtons(
  { scaled, onOpen }: { scaled: ScaledModule | undefined; onOpen: (open: Open) => void },
): JSX.Element {
  return (
    <p class="buttons">
      <WriteButton class="primary" onClick={() => onOpen("rule")}>
        <Icon name="edit" />
        {scaled === undefined ? "Set a rule" : "Change the rule"}
      </WriteButton>
      {scaled !== undefined && (
        <WriteButton class="danger-text" onClick={() => onOpen("off")}>
          <Icon name="trash" />Switch off
        </WriteButton>
      )}
    </p>
  );
}

type ListedModule = ResponseOf<"listScaling">["modules"][number];

/** What is open over the panel. */
type Open = "none" | "rule" | "off";

/** Scaling of a module. */
export function ScalingPanel({ module }: { module: ModuleKey }): JSX.Element {
  const { modId, cmdId } = module;
  const [open, setOpen] = useState<Open>("none");
  const found = useLoad(
    `scaling of ${modId}/${cmdId}`,
    (signal) =>
      call("listScaling", { query: { modId: String(modId), cmdId: String(cmdId) }, signal }),
    REFRESH_MS,
  );
  return (
    <Load of={found} onRetry={found.reload}>
      {({ modules: [scaled] }) => {
        const edit = may("operator")
          ? <EditButtons scaled={scaled} onOpen={setOpen} />
          : <p class="muted">An operator can set a rule.</p>;
        const close = (): void => setOpen("none");
        return (
          <section class="panel stack" aria-label="Scaling">
            {scaled === undefined
              ? <Empty icon="modules" title="Its nodes do not follow its load">{edit}</Empty>
              : <Shown scaled={scaled} edit={edit} />}
            {open === "rule" && (
              <RuleDialog
                module={module}
                rule={scaled?.rule}
                onClose={close}
                onDone={found.reload}
              />
            )}
            {open === "off" && scaled !== undefined && (
              <OffDialog scaled={scaled} onClose={close} onDone={found.reload} />
            )}
          </section>
        );
      }}
    </Load>
  );
}
