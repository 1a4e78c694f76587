// Shell. The small parts every page is made of.

import type { ComponentChildren, InputHTMLAttributes, JSX } from "preact";
import { useId, useLayoutEffect, useRef, useState } from "preact/hooks";
import type { ApiProblem } from "../shell/api.ts";
import type { Severity } from "../events/event_kind.ts";
import { formatAgo, formatInstant, formatShare, UNKNOWN } from "./format.ts";
import { Icon, type IconName } from "./icons.tsx";
import type { Loaded } from "../shell/live.ts";
import { sparklinePath } from "../history/series.ts";
import { notify, nowMs } from "../shell/state.ts";
import type { Health, NodeHealth, NodeState } from "../shell/types.ts";

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

const HEALTH: Readonly<Record<Health, { tone: Tone; icon: IconName; title: string }>> = {
  ok: { tone: "ok", icon: "ok", title: "Calls succeed" },
  degraded: { tone: "warn", icon: "warn", title: "A node is kept out, or the error share is high" },
  down: { tone: "crit", icon: "crit", title: "No node that may be called works" },
  idle: { tone: "idle", icon: "idle", title: "No calls within the last minute" },
  empty: { tone: "idle", icon: "empty", title: "The module has no nodes" },
};

/** How a module does. */
export function HealthBadge({ health }: { health: Health }): JSX.Element {
  const { tone, icon, title } = HEALTH[health];
  return <Badge tone={tone} icon={icon} text={health} title={title} />;
}

const NODE_HEALTH: Readonly<
  Record<NodeHealth, { tone: Tone; icon: IconName; text: string; title: string }>
> = {
  ok: { tone: "ok", icon: "ok", text: "ok", title: "Callers use it" },
  partial: { tone: "warn", icon: "warn", text: "partly out", title: "Some callers keep it out" },
  overload: { tone: "crit", icon: "crit", text: "kept out", title: "All callers keep it out" },
  idle: { tone: "idle", icon: "idle", text: "idle", title: "Nobody reported on it lately" },
};

/** How a node does: kept out or not, by whom it is called. */
export function NodeHealthBadge({ health }: { health: NodeHealth }): JSX.Element {
  const { tone, icon, text, title } = NODE_HEALTH[health];
  return <Badge tone={tone} icon={icon} text={text} title={title} />;
}

const STATES: Readonly<Record<NodeState, { tone: Tone; icon: IconName; title: string }>> = {
  on: { tone: "ok", icon: "play", title: "Gets calls" },
  drain: { tone: "info", icon: "pause", title: "Gets no new calls; those under way may end" },
  off: { tone: "idle", icon: "off", title: "Gets no calls" },
};

/** What was chosen for a node. */
export function StateMark({ state }: { state: NodeState }): JSX.Element {
  const { tone, icon, title } = STATES[state];
  return (
    <span class={`mark ${tone}`} title={title}>
      <Icon name={icon} />
      {state}
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

/** A share of errors, coloured from 1 % and from 10 % on; a dash when nobody called. */
export function ErrorShare(props: { share: number; callsPerSecond: number }): JSX.Element {
  if (props.callsPerSecond === 0 && props.share === 0) {
    return <span class="muted" title="no calls">{UNKNOWN}</span>;
  }
  const tone = props.share >= 0.1 ? "crit" : props.share >= 0.01 ? "warn" : "";
  return <span class={tone === "" ? "" : `strong ${tone}`}>{formatShare(props.share)}</span>;
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
export function Sparkline(props: { values: readonly number[]; label: string }): JSX.Element {
  if (props.values.length < 2) return <span class="muted">{UNKNOWN}</span>;
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

const ADVICE: Partial<Record<ApiProblem["kind"], string>> = {
  "store-away": "The database does not answer. Agents go on with the routes they have.",
  "not-allowed": "Ask an administrator for a role that may do this.",
  "too-many-requests": "Wait a moment, then try again.",
  "internal": "The log of lars web says more.",
};

/** What went wrong, in words of the server, and what to do. */
export function ProblemBox(
  props: { problem: ApiProblem; onRetry?: () => void },
): JSX.Element {
  const { problem, onRetry } = props;
  const advice = ADVICE[problem.kind];
  return (
    <div class="box crit" role="alert">
      <Icon name="crit" />
      <div>
        <p class="strong">{problem.title}</p>
        {problem.detail !== "" && problem.detail !== problem.title && <p>{problem.detail}</p>}
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

/** A window over the page; Escape, the cross and a press beside it close it. */
export function Dialog(props: {
  title: string;
  wide?: boolean;
  onClose: () => void;
  children: ComponentChildren;
}): JSX.Element {
  const ref = useRef<HTMLDialogElement>(null);
  const titleId = useId();
  // Before anything is painted: the next key already belongs to the window.
  useLayoutEffect(() => {
    const opener = document.activeElement;
    ref.current?.showModal();
    return () => {
      if (opener instanceof HTMLElement && opener.isConnected) opener.focus();
    };
  }, []);
  return (
    <dialog
      ref={ref}
      class={props.wide === true ? "wide" : ""}
      aria-labelledby={titleId}
      onCancel={(event) => {
        event.preventDefault();
        props.onClose();
      }}
    >
      <header>
        <h2 id={titleId}>{props.title}</h2>
        <button type="button" class="icon-button" aria-label="Close" onClick={props.onClose}>
          <Icon name="close" />
        </button>
      </header>
      {props.children}
    </dialog>
  );
}

/** Text or number field with label, hint and fault. */
export function Field(props: {
  label: string;
  hint?: string;
  fault?: string | undefined;
  children: (
    parts: { id: string; "aria-describedby"?: string; "aria-invalid"?: boolean },
  ) => JSX.Element;
}): JSX.Element {
  const id = useId();
  const note = props.fault ?? props.hint;
  const parts = {
    id,
    ...(note === undefined ? {} : { "aria-describedby": `${id}-note` }),
    ...(props.fault === undefined ? {} : { "aria-invalid": true }),
  };
  return (
    <div class="field">
      <label htmlFor={id}>{props.label}</label>
      {props.children(parts)}
      {note !== undefined && (
        <p id={`${id}-note`} class={props.fault === undefined ? "hint" : "fault"}>{note}</p>
      )}
    </div>
  );
}

/** A line of text with its label; what else an input takes goes through. */
export function TextField(
  props: {
    label: string;
    hint?: string;
    fault?: string | undefined;
    value: string;
    onText: (text: string) => void;
    input?: InputHTMLAttributes;
  },
): JSX.Element {
  const { label, hint, fault, value, onText, input } = props;
  return (
    <Field label={label} {...(hint === undefined ? {} : { hint })} fault={fault}>
      {(parts) => (
        <input
          autoComplete="off"
          {...input}
          {...parts}
          value={value}
          onInput={(event) => onText(event.currentTarget.value)}
        />
      )}
    </Field>
  );
}

/** One of a few values with its label. */
export function SelectField<T extends string>(props: {
  label: string;
  hint?: string;
  fault?: string | undefined;
  value: T;
  options: readonly (readonly [T, string])[];
  onValue: (value: T) => void;
}): JSX.Element {
  const { label, hint, fault, value, options, onValue } = props;
  return (
    <Field label={label} {...(hint === undefined ? {} : { hint })} fault={fault}>
      {(parts) => (
        <select
          {...parts}
          value={value}
          onInput={(event) => {
            const option = options.find(([name]) => name === event.currentTarget.value);
            if (option !== undefined) onValue(option[0]);
          }}
        >
          {options.map(([name, text]) => <option key={name} value={name}>{text}</option>)}
        </select>
      )}
    </Field>
  );
}

/** Fault of a field in an answer of the server; paths end with the name of the field. */
export function faultOf(problem: ApiProblem | undefined, field: string): string | undefined {
  return problem?.errors.find(({ path }) => path.split(".").at(-1) === field)?.message;
}

/** A choice of one of a few, as a row of buttons. */
export function Choice<T extends string>(props: {
  label: string;
  value: T;
  options: readonly (readonly [T, string])[];
  onChange: (value: T) => void;
}): JSX.Element {
  return (
    <div class="choice" role="group" aria-label={props.label}>
      {props.options.map(([value, text]) => (
        <button
          key={value}
          type="button"
          aria-pressed={value === props.value}
          onClick={() => props.onChange(value)}
        >
          {text}
        </button>
      ))}
    </div>
  );
}

/** Head of a column that sorts by it. */
export function SortHead<Key extends string>(props: {
  by: Key;
  sort: { readonly by: string; readonly down: boolean };
  onSort: (by: Key) => void;
  number?: boolean;
  children: ComponentChildren;
}): JSX.Element {
  const isOn = props.sort.by === props.by;
  const order = isOn ? (props.sort.down ? "descending" : "ascending") : "none";
  return (
    <th scope="col" class={props.number === true ? "number" : ""} aria-sort={order}>
      <button type="button" class="sort" onClick={() => props.onSort(props.by)}>
        {props.children}
        {isOn && <Icon name={props.sort.down ? "down" : "up"} />}
      </button>
    </th>
  );
}

/** A text shown once, with a button that copies it. */
export function Secret(props: { label: string; text: string }): JSX.Element {
  const ref = useRef<HTMLInputElement>(null);
  const copy = async (): Promise<void> => {
    ref.current?.select();
    try {
      await navigator.clipboard.writeText(props.text);
      notify("ok", `${props.label} copied`);
    } catch {
      notify("warn", "This browser does not let a page copy here: press Ctrl-C");
    }
  };
  return (
    <Field label={props.label} hint="Shown this once. Keep it in a safe place before you close.">
      {(parts) => (
        <div class="secret">
          <input {...parts} ref={ref} class="mono" readOnly value={props.text} />
          <button
            type="button"
            onClick={() => void copy()}
          >
            <Icon name="copy" />Copy
          </button>
        </div>
      )}
    </Field>
  );
}

/** Runs one action at a time and keeps what went wrong. */
export function useAction(): {
  readonly isBusy: boolean;
  readonly problem: ApiProblem | undefined;
  readonly run: (action: () => Promise<void>) => void;
  readonly clear: () => void;
} {
  const [state, setState] = useState<{ isBusy: boolean; problem?: ApiProblem }>({ isBusy: false });
  const run = (action: () => Promise<void>): void => {
    setState({ isBusy: true });
    action().then(
      () => setState({ isBusy: false }),
      (problem) => setState({ isBusy: false, problem: problem as ApiProblem }),
    );
  };
  return {
    isBusy: state.isBusy,
    problem: state.problem,
    run,
    clear: () => setState({ isBusy: false }),
  };
}

/**
 * Head of a table. A name that begins with `#` is of a column of numbers, one with `-` of a column
 * that narrow windows leave out; an empty one is of the actions, which only screen readers hear.
 */
export function Heads({ names }: { names: readonly string[] }): JSX.Element {
  return (
    <thead>
      <tr>
        {names.map((name) => (
          <th
            key={name}
            scope="col"
            class={name.startsWith("#") ? "number" : name.startsWith("-") ? "wide-only" : ""}
          >
            {name === "" ? <span class="hidden">Actions</span> : name.replace(/^[#-]/, "")}
          </th>
        ))}
      </tr>
    </thead>
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

/** A question before something that is not easily undone. */
export function Confirm(props: {
  title: string;
  children: ComponentChildren;
  action: string;
  danger?: boolean;
  onClose: () => void;
  onConfirm: () => Promise<void>;
}): JSX.Element {
  const { isBusy, problem, run } = useAction();
  return (
    <Dialog title={props.title} onClose={props.onClose}>
      <div class="body">
        {props.children}
        {problem !== undefined && <ProblemBox problem={problem} />}
      </div>
      <footer>
        <button type="button" onClick={props.onClose}>Cancel</button>
        <button
          type="button"
          class={props.danger === true ? "danger" : "primary"}
          disabled={isBusy}
          onClick={() => run(props.onConfirm)}
        >
          {isBusy ? "Working …" : props.action}
        </button>
      </footer>
    </Dialog>
  );
}
