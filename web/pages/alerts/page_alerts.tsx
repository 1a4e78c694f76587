// Shell. Alerts: what fires, the rules, silences, and the webhooks they are sent to.

import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { call } from "../shell/api.ts";
import { formatSpan, modulePath } from "../parts/format.ts";
import { Icon } from "../parts/icons.tsx";
import { type Reloadable, useLive, useLoad } from "../shell/live.ts";
import { useModuleNames } from "../shell/module_names.ts";
import { withQuery } from "../shell/places.ts";
import { RULE_KINDS, RuleDialog } from "./rule_dialog.tsx";
import { SilenceDialog } from "./silence_dialog.tsx";
import { may, notify } from "../shell/state.ts";
import { Webhooks } from "./webhooks.tsx";
import { Confirm } from "../parts/dialogs.tsx";
import { ListTable } from "../parts/tables.tsx";
import { tabOf, Tabs } from "../parts/tabs.tsx";
import {
  AddButton,
  Ago,
  Badge,
  Empty,
  IconButton,
  Load,
  OnOff,
  PageHead,
  RowButton,
  SeverityBadge,
  WriteButton,
} from "../parts/widgets.tsx";
import type { Alert, Rule, Silence } from "../../../control/schemas.ts";

const REFRESH_MS = 10_000;
const TABS = [
  ["firing", "Firing"],
  ["rules", "Rules"],
  ["silences", "Silences"],
  ["webhooks", "Webhooks"],
] as const;

/** The module an alert, rule or silence is about. */
function Subject(
  props: { modId: number | null; cmdId: number | null; node?: string | null; all: string },
): JSX.Element {
  const { modId, cmdId, node } = props;
  const names = useModuleNames();
  if (modId === null || cmdId === null) return <span class="muted">{node ?? props.all}</span>;
  return (
    <a href={withQuery(modulePath({ modId, cmdId }), { find: node ?? undefined })}>
      {names.of({ modId, cmdId })}
      {node && <>, {node}</>}
    </a>
  );
}

function AlertLine(props: { alert: Alert; onSilence: (alert: Alert) => void }): JSX.Element {
  const { alert, onSilence } = props;
  const names = useModuleNames();
  return (
    <tr>
      <td data-label="State">
        {alert.state === "firing"
          ? <SeverityBadge severity={alert.severity} />
          : <Badge tone="idle" icon="info" text="pending" title="Not long enough to fire" />}
        {alert.isSilenced && <Badge tone="idle" icon="bell_off" text="silenced" />}
      </td>
      <td class="main-cell prose">
        <span data-row tabIndex={-1} class="strong">{alert.title}</span>
        <span class="sub">{names.inText(alert.text)}</span>
      </td>
      <td data-label="About" class="names">
        <Subject {...alert} node={alert.node ?? alert.service} all="everything" />
      </td>
      <td data-label="Since" class="nowrap">
        <Ago atMs={alert.sinceMs} />
      </td>
      {may("operator") && (
        <td class="row-actions">
          <WriteButton
            class="small"
            aria-label={`Silence ${alert.title}`}
            onClick={() => onSilence(alert)}
          >
            <Icon name="bell_off" />Silence
          </WriteButton>
        </td>
      )}
    </tr>
  );
}

function Firing(): JSX.Element {
  const list = useLive("alerts");
  const [silencing, setSilencing] = useState<Alert>();
  return (
    <>
      <Load of={list}>
        {({ alerts }) =>
          alerts.length === 0
            ? (
              <Empty icon="ok" title="No alert fires">
                <p>Rules look at modules, nodes and services all the time.</p>
              </Empty>
            )
            : (
              <ListTable
                caption="Alerts"
                heads={["State", "What", "About", "Since"]}
                hasActions={may("operator")}
              >
                {alerts.map((alert) => (
                  <AlertLine key={alert.key} alert={alert} onSilence={setSilencing} />
                ))}
              </ListTable>
            )}
      </Load>
      {silencing !== undefined && (
        <SilenceDialog
          rule={{ id: silencing.ruleId, title: silencing.title }}
          {...(silencing.modId === null || silencing.cmdId === null
            ? {}
            : { module: { modId: silencing.modId, cmdId: silencing.cmdId } })}
          {...(silencing.node === null ? {} : { node: silencing.node })}
          onClose={() => setSilencing(undefined)}
        />
      )}
    </>
  );
}

function RuleLine(props: {
  rule: Rule;
  onEdit: () => void;
  onRemove: () => void;
  onToggle: () => void;
}): JSX.Element {
  const { rule } = props;
  const kind = RULE_KINDS[rule.kind];
  return (
    <tr class={rule.isEnabled ? "" : "quiet"}>
      <td class="main-cell prose">
        <span class="strong">{rule.title}</span>
        <span class="sub">{kind.text}</span>
      </td>
      <td data-label="Severity">
        <SeverityBadge severity={rule.severity} />
      </td>
      <td data-label="Over" class="number">{kind.show(rule.threshold)}</td>
      <td data-label="For" class="number">{formatSpan(rule.forS * 1000)}</td>
      <td data-label="Ends after" class="number">{formatSpan(rule.clearS * 1000)}</td>
      <td data-label="Module">
        <Subject modId={rule.modId} cmdId={rule.cmdId} all="all" />
      </td>
      <td data-label="On">
        <OnOff isOn={rule.isEnabled} />
      </td>
      {may("operator") && (
        <td class="row-actions">
          <RowButton
            text={rule.isEnabled ? "Switch off" : "Switch on"}
            of={rule.title}
            onClick={props.onToggle}
          />
          <IconButton icon="edit" label={`Edit rule ${rule.title}`} writes onClick={props.onEdit} />
          <IconButton
            icon="trash"
            label={`Remove rule ${rule.title}`}
            writes
            onClick={props.onRemove}
          />
        </td>
      )}
    </tr>
  );
}

type RuleWish = { readonly kind: "edit"; readonly rule?: Rule } | {
  readonly kind: "remove";
  readonly rule: Rule;
};

function RuleTable(props: {
  rules: readonly Rule[];
  onWish: (wish: RuleWish) => void;
  onToggle: (rule: Rule) => void;
}): JSX.Element {
  const names = ["Rule", "Severity", "#Over", "#For", "#Ends after", "Module", "On"];
  return (
    <ListTable caption="Alert rules" heads={names} hasActions={may("operator")}>
      {props.rules.map((rule) => (
        <RuleLine
          key={rule.id}
          rule={rule}
          onToggle={() => props.onToggle(rule)}
          onEdit={() => props.onWish({ kind: "edit", rule })}
          onRemove={() => props.onWish({ kind: "remove", rule })}
        />
      ))}
    </ListTable>
  );
}

function Rules(): JSX.Element {
  const list = useLoad("rules", (signal) => call("listRules", { signal }), REFRESH_MS);
  const [wish, setWish] = useState<RuleWish>();
  const close = (): void => setWish(undefined);
  const toggle = ({ id, ...rule }: Rule): void => {
    call("putRule", { params: { id }, body: { ...rule, isEnabled: !rule.isEnabled } }).then(
      () => list.reload(),
      (error: Error) => notify("crit", error.message),
    );
  };
  const edited = wish?.kind === "edit" ? wish.rule : undefined;
  return (
    <>
      {may("operator") && (
        <p class="list-actions">
          <AddButton text="Add rule" onClick={() => setWish({ kind: "edit" })} />
        </p>
      )}
      <Load of={list} onRetry={list.reload}>
        {({ rules }) =>
          rules.length === 0
            ? <Empty icon="alerts" title="No rules" />
            : <RuleTable rules={rules} onWish={setWish} onToggle={toggle} />}
      </Load>
      {wish?.kind === "edit" && (
        <RuleDialog
          {...(edited === undefined ? {} : { rule: edited })}
          onClose={close}
          onDone={list.reload}
        />
      )}
      {wish?.kind === "remove" && (
        <Confirm
          title="Remove rule"
          action="Remove"
          danger
          onClose={close}
          onConfirm={async () => {
            await call("deleteRule", { params: { id: wish.rule.id } });
            list.reload();
            close();
          }}
        >
          <p>
            “{wish.rule.title}” and its alerts end. Switch it off instead to keep its settings.
          </p>
        </Confirm>
      )}
    </>
  );
}

function SilenceTable(
  props: {
    silences: readonly Silence[];
    rules: readonly Rule[];
    onEnd: (id: number) => void;
  },
): JSX.Element {
  const titleOf = (id: number | null): string =>
    id === null ? "every rule" : props.rules.find((rule) => rule.id === id)?.title ?? `rule ${id}`;
  return (
    <ListTable
      caption="Silences"
      heads={["Quiet", "About", "Who", "Ends"]}
      hasActions={may("operator")}
    >
      {props.silences.map((silence) => (
        <tr key={silence.id}>
          <td class="main-cell prose">
            <span class="strong">{titleOf(silence.ruleId)}</span>
            <span class="sub">“{silence.why}”</span>
          </td>
          <td data-label="About" class="names">
            <Subject {...silence} all="everything" />
          </td>
          <td data-label="Who" class="who">{silence.who}</td>
          <td data-label="Ends" class="nowrap">
            <Ago atMs={silence.endsAtMs} />
          </td>
          {may("operator") && (
            <td class="row-actions">
              <WriteButton class="small" onClick={() => props.onEnd(silence.id)}>
                End now
              </WriteButton>
            </td>
          )}
        </tr>
      ))}
    </ListTable>
  );
}

function Silences(): JSX.Element {
  const list: Reloadable<{ silences: readonly Silence[]; rules: readonly Rule[] }> = useLoad(
    "silences",
    async (signal) => {
      const [{ silences }, { rules }] = await Promise.all([
        call("listSilences", { signal }),
        call("listRules", { signal }),
      ]);
      return { silences, rules };
    },
    REFRESH_MS,
  );
  const [isAdding, setAdding] = useState(false);
  const end = (id: number): void => {
    call("deleteSilence", { params: { id } }).then(
      () => {
        notify("ok", "The silence has ended");
        list.reload();
      },
      (error: Error) => notify("crit", error.message),
    );
  };
  return (
    <>
      {may("operator") && (
        <p class="list-actions">
          <AddButton icon="bell_off" text="Silence everything" onClick={() => setAdding(true)} />
          <span class="muted">
            For one module, use its page; for one alert, the button in its row.
          </span>
        </p>
      )}
      <Load of={list} onRetry={list.reload}>
        {(value) =>
          value.silences.length === 0
            ? (
              <Empty icon="bell_off" title="Nothing is silenced">
                <p>Silence what you know about, for as long as you work on it.</p>
              </Empty>
            )
            : <SilenceTable {...value} onEnd={end} />}
      </Load>
      {isAdding && <SilenceDialog onClose={() => setAdding(false)} onDone={list.reload} />}
    </>
  );
}

/** The page of alerts. */
export function AlertsPage(): JSX.Element {
  const tabs = TABS.filter(([name]) => name !== "webhooks" || may("admin"));
  const tab = tabOf(tabs);
  return (
    <>
      <PageHead title="Alerts" about="What fires, by which rules, and whom it is told" />
      <Tabs label="Parts of the alerts" tabs={tabs} tab={tab} />
      {tab === "firing" && <Firing />}
      {tab === "rules" && <Rules />}
      {tab === "silences" && <Silences />}
      {tab === "webhooks" && <Webhooks />}
    </>
  );
}
