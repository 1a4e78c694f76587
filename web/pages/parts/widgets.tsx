// Shell. The small parts every page is made of.

import type { ButtonHTMLAttributes, ComponentChildren, JSX } from "preact";
import { type CallProblem, readOnly } from "../shell/api.ts";
import {
  errorSeverity,
  type Severity,
  type TroubleSeverity,
} from "../../../control/system/severity.ts";
import { formatAgo, formatInstant, formatNumber, formatShare, UNKNOWN } from "./format.ts";
import { Icon, type IconName } from "./icons.tsx";
import type { Loaded } from "../shell/live.ts";
import { sparklinePath } from "../history/series.ts";
import { notify, nowMs } from "../shell/state.ts";
import type {
  ModuleHealth,
  ModuleSummary,
  NodeHealth,
  NodeStatus,
  RefusedCauses,
} from "../../../control/schemas.ts";
import { type NodeState, stateWord } from "../../../model/node.ts";

/** Colour of a badge; its icon and word say the same. */
export type Tone = "ok" | "warn" | "crit" | "idle" | "info";

/** An icon and a word on a coloured ground. */
export function Badge(
  props: { tone: Tone; icon: IconName; text: string; title?: string },
): JSX.Element {
  return (
    <span class={`badge ${props.tone}`} title={props.title}>
      <Icon name={props.icon} />
      {props.text}
    </span>
  );
}

const HEALTH: Readonly<Record<ModuleHealth, { tone: Tone; icon: IconName; title: string }>> = {
  ok: { tone: "ok", icon: "ok", title: "Calls succeed" },
  degraded: { tone: "warn", icon: "warn", title: "A node is kept out, or the error share is high" },
  down: { tone: "crit", icon: "crit", title: "No node that may be called works" },
  idle: { tone: "idle", icon: "idle", title: "No calls within the last minute" },
  empty: { tone: "idle", icon: "empty", title: "The module has no nodes" },
};

/** Colour of trouble, the same everywhere. */
export function toneOf(severity: TroubleSeverity): "warn" | "crit" {
  return severity === "critical" ? "crit" : "warn";
}

/** How a module does; as bad as its `severity` says where that is known. */
export function HealthBadge(
  { health, severity = null }: { health: ModuleHealth; severity?: TroubleSeverity | null },
): JSX.Element {
  const { tone, icon, title } = HEALTH[health];
  const bad = severity === null ? undefined : toneOf(severity);
  return <Badge tone={bad ?? tone} icon={bad ?? icon} text={health} title={title} />;
}

const NODE_HEALTH: Readonly<
  Record<NodeHealth, { tone: Tone; icon: IconName; text: string; title: string }>
> = {
  ok: { tone: "ok", icon: "ok", text: "ok", title: "Callers use it" },
  partial: { tone: "idle", icon: "warn", text: "partly out", title: "Some callers keep it out" },
  overload: { tone: "idle", icon: "off", text: "kept out", title: "All callers keep it out" },
  failing: { tone: "idle", icon: "warn", text: "failing", title: "In use, and many calls fail" },
  idle: { tone: "idle", icon: "idle", text: "idle", title: "Nobody reported on it lately" },
};

/** How a node does: kept out or not, by whom it is called; as bad as its severity says. */
export function NodeHealthBadge(
  { node: { health, severity, troubleSinceMs } }: {
    node: Pick<NodeStatus, "health" | "severity" | "troubleSinceMs">;
  },
): JSX.Element {
  const { tone, icon, text, title } = NODE_HEALTH[health];
  const bad = severity === null ? undefined : toneOf(severity);
  const since = troubleSinceMs === null ? "" : `, since ${formatInstant(troubleSinceMs)}`;
  return <Badge tone={bad ?? tone} icon={bad ?? icon} text={text} title={title + since} />;
}

const STATES: Readonly<Record<NodeState, { tone: Tone; icon: IconName; title: string }>> = {
  on: { tone: "ok", icon: "play", title: "Gets calls" },
  drain: { tone: "info", icon: "pause", title: "Gets no new calls; those under way may end" },
  off: { tone: "idle", icon: "off", title: "Gets no calls" },
};

/** What was chosen for a node. */
export function StateMark(
  { state, weight }: { state: NodeState; weight: number },
): JSX.Element {
  const word = stateWord({ state, weight });
  const { tone, icon, title } = STATES[word === "on, drains" ? "drain" : word];
  return (
    <span class={`mark ${tone}`} title={title}>
      <Icon name={icon} />
      {word}
    </span>
  );
}

const SEVERITY: Readonly<Record<Severity, { tone: Tone; icon: IconName }>> = {
  info: { tone: "info", icon: "info" },
  warning: { tone: "warn", icon: "warn" },
  critical: { tone: "crit", icon: "crit" },
};

/** How bad something is. */
export function SeverityBadge({ severity }: { severity: Severity }): JSX.Element {
  return <Badge {...SEVERITY[severity]} text={severity} />;
}

/** An instant as an age; the exact time shows on hover and to screen readers that ask. */
export function Ago({ atMs }: { atMs: number | null }): JSX.Element {
  if (atMs === null) return <span class="muted">never</span>;
  return (
    <time dateTime={new Date(atMs).toISOString()} title={formatInstant(atMs)}>
      {formatAgo(atMs, nowMs.value)}
    </time>
  );
}

/** A share of errors in the colour of how bad it is; a dash when nobody called. */
export function ErrorShare(props: { share: number; callsPerSecond: number }): JSX.Element {
  if (props.callsPerSecond === 0 && props.share === 0) {
    return <span class="muted" title="no calls">{UNKNOWN}</span>;
  }
  return (
    <ErrorTone share={props.share} callsPerSecond={props.callsPerSecond}>
      {formatShare(props.share)}
    </ErrorTone>
  );
}

/** Text in the colour of how bad a share of failed calls is. */
export function ErrorTone(
  props: { share: number; callsPerSecond: number; children: ComponentChildren },
): JSX.Element {
  const severity = errorSeverity(props.share, props.callsPerSecond);
  return <span class={severity === null ? "" : `strong ${toneOf(severity)}`}>{props.children}
  </span>;
}

/** What is told of callers that got no node. */
type Refusals = Pick<ModuleSummary, "callsPerSecond" | "refusedPerSecond" | "refusedShare">;

/** Text in the colour of how bad it is that callers are refused. */
export function RefusedTone(
  { of, children }: { of: Refusals; children: ComponentChildren },
): JSX.Element {
  return (
    <ErrorTone share={of.refusedShare} callsPerSecond={of.callsPerSecond + of.refusedPerSecond}>
      {children}
    </ErrorTone>
  );
}

const CAUSES: Readonly<Record<keyof RefusedCauses, string>> = {
  overload: "too few nodes are well",
  unusable: "no node may be called",
  noNode: "it has no nodes",
  noRoute: "its route is not known",
};

/** Callers that got no node, for the heads of pages; nothing where none is refused. */
export function RefusedStat(
  { of, by }: { of: Refusals; by?: RefusedCauses },
): JSX.Element | null {
  if (of.refusedPerSecond === 0) return null;
  const causes = Object.entries(by ?? {}).filter(([, rate]) => rate > 0)
    .map(([cause]) => CAUSES[cause as keyof RefusedCauses]);
  return (
    <Stat label="Refused">
      <RefusedTone of={of}>{formatNumber(of.refusedPerSecond)}</RefusedTone>
      <small>/s</small>
      {causes.length > 0 && <small class="cause">{causes.join(", ")}</small>}
    </Stat>
  );
}

/** A number with its name, for the heads of pages. */
export function Stat(
  props: { label: string; tone?: Tone; unit?: string; children: ComponentChildren },
): JSX.Element {
  return (
    <div class={`stat ${props.tone ?? ""}`}>
      <dt>{props.label}</dt>
      <dd>
        {props.children}
        {props.unit !== undefined && <small>{props.unit}</small>}
      </dd>
    </div>
  );
}

/** A small line of calls/s; without values, a dash. */
export function Sparkline(
  props: { values: readonly (number | null)[]; label: string },
): JSX.Element {
  if (props.values.filter((value) => value !== null).length < 2) {
    return <span class="muted">{UNKNOWN}</span>;
  }
  const { line, area } = sparklinePath(props.values, 88, 22);
  return (
    <svg class="sparkline" viewBox="0 0 88 22" role="img" aria-label={props.label}>
      <path class="area" d={area} />
      <path class="line" d={line} />
    </svg>
  );
}

/** What stands where there is nothing: why, and what to do. */
export function Empty(
  props: { icon?: IconName; title: string; children?: ComponentChildren },
): JSX.Element {
  return (
    <div class="empty">
      <Icon name={props.icon ?? "empty"} />
      <p class="strong">{props.title}</p>
      {props.children !== undefined && <div class="muted">{props.children}</div>}
    </div>
  );
}

/** Grey lines in the place of what is on its way. */
export function Loading({ rows = 5 }: { rows?: number }): JSX.Element {
  return (
    <div class="loading" role="status">
      <span class="hidden">Loading …</span>
      {Array.from({ length: rows }, (_, index) => <div key={index} class="bone" />)}
    </div>
  );
}

const ADVICE: Partial<Record<CallProblem["kind"], string>> = {
  "store-newer": "Everything can still be looked at here.",
  "store-away": "The database does not answer. Agents go on with the routes they have.",
  "not-allowed": "Ask an administrator for a role that may do this.",
  "too-many-requests": "Wait a moment, then try again.",
  "internal": "The log of lars web says more.",
};

/** True when a detail says nothing that its title has not said. */
function isSame(detail: string, title: string): boolean {
  const plain = (text: string): string => text.toLowerCase().replace(/[^a-z]+/g, " ").trim();
  const words = (text: string): string =>
    plain(text).split(" ").filter((word) => word !== "is").sort().join(" ");
  return detail === "" || plain(detail).replace(/^the /, "").startsWith(plain(title)) ||
    words(detail) === words(title);
}

/** What went wrong, in words of the server, and what to do; the faults of fields say it alone. */
export function ProblemBox(
  props: { problem: CallProblem; onRetry?: () => void },
): JSX.Element {
  const { problem, onRetry } = props;
  const advice = ADVICE[problem.kind];
  return (
    <div class="box crit" role="alert">
      <Icon name="crit" />
      <div>
        <p class="strong">{problem.title}</p>
        {problem.errors.length === 0 && !isSame(problem.detail, problem.title) && (
          <p>{problem.detail}</p>
        )}
        {problem.errors.length > 0 && (
          <ul>
            {problem.errors.slice(0, 20).map(({ path, message }) => (
              <li key={path}>
                <code>{path}</code> {message}
              </li>
            ))}
          </ul>
        )}
        {advice !== undefined && <p class="muted">{advice}</p>}
        {onRetry !== undefined && (
          <button type="button" class="small" onClick={onRetry}>Try again</button>
        )}
      </div>
    </div>
  );
}

/** A value, or what stands in its place while it is not there; old values stay with a warning. */
export function Load<T>(props: {
  of: Loaded<T>;
  onRetry?: () => void;
  rows?: number;
  children: (value: T) => ComponentChildren;
}): JSX.Element {
  const { of, onRetry, rows, children } = props;
  return (
    <>
      {of.problem !== undefined && (
        <ProblemBox problem={of.problem} {...(onRetry === undefined ? {} : { onRetry })} />
      )}
      {of.value !== undefined
        ? children(of.value)
        : of.problem === undefined && <Loading rows={rows ?? 5} />}
    </>
  );
}

/** Head of a page: title, what it is about, and what can be done. */
export function PageHead(
  props: { title: ComponentChildren; about?: ComponentChildren; children?: ComponentChildren },
): JSX.Element {
  return (
    <div class="page-head">
      <div class="titles">
        <h1>{props.title}</h1>
        {props.about !== undefined && <p class="muted">{props.about}</p>}
      </div>
      {props.children !== undefined && <div class="actions">{props.children}</div>}
    </div>
  );
}

/** Whether something is switched on. */
export function OnOff({ isOn }: { isOn: boolean }): JSX.Element {
  return (
    <span class={`mark ${isOn ? "ok" : "idle"}`}>
      <Icon name={isOn ? "ok" : "off"} />
      {isOn ? "on" : "off"}
    </span>
  );
}

/**
 * A button that leads to a write. While nothing can be written it stays where it is, looks as if it
 * were off, and says why when it is pressed.
 */
export function WriteButton(props: ButtonHTMLAttributes): JSX.Element {
  const why = readOnly.value;
  if (why === undefined) return <button type="button" {...props} />;
  const say = (event: Event): void => {
    event.preventDefault();
    notify("warn", `Nothing can be changed now: ${why}`);
  };
  return (
    <button
      type="button"
      {...props}
      disabled={false}
      aria-disabled
      title={`Nothing can be changed now: ${why}`}
      onClick={say}
    />
  );
}

/** A button that is an icon; its label is for screen readers, its title for the mouse. */
export function IconButton(
  props: {
    icon: IconName;
    label: string;
    title?: string;
    /** True when it leads to a write. */
    writes?: boolean;
    onClick: () => void;
  },
): JSX.Element {
  const Shown = props.writes === true ? WriteButton : "button";
  return (
    <Shown
      type="button"
      class="icon-button"
      aria-label={props.label}
      title={props.title}
      onClick={props.onClick}
    >
      <Icon name={props.icon} />
    </Shown>
  );
}

/** A button of a row that leads to a write; screen readers also hear what it is `of`. */
export function RowButton(
  props: { text: string; of: string; isBusy?: boolean; onClick: () => void },
): JSX.Element {
  return (
    <WriteButton class="small" disabled={props.isBusy} onClick={props.onClick}>
      {props.text}
      <span class="hidden">{props.of}</span>
    </WriteButton>
  );
}

/** The button that adds to a list, also by the key `n`. */
export function AddButton(
  props: { icon?: IconName; text: string; onClick: () => void },
): JSX.Element {
  return (
    <WriteButton class="primary" data-key="n" onClick={props.onClick}>
      <Icon name={props.icon ?? "plus"} />
      {props.text}
    </WriteButton>
  );
}
