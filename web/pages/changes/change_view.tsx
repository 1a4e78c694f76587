// Shell. What a change does: nodes and texts before and after, and whose calls go elsewhere.

import type { JSX } from "preact";
import { useState } from "preact/hooks";
import {
  formatNumber,
  formatShare,
  modulePath,
  moduleTitle,
  nodeName,
  plural,
} from "../parts/format.ts";
import { useModuleNames } from "../shell/module_names.ts";
import { Icon } from "../parts/icons.tsx";
import { Badge } from "../parts/widgets.tsx";
import type { NodeDifferenceView, TrafficShift } from "../../../control/schemas.ts";
import type { ModuleDifference } from "../../../sql/console/console_store.ts";

/** Differences shown before somebody asks for all. */
const ROWS_AT_FIRST = 100;

const SIGNS = {
  added: { sign: "+", word: "added", tone: "ok" },
  removed: { sign: "−", word: "removed", tone: "crit" },
  changed: { sign: "±", word: "changed", tone: "info" },
} as const;

function kindOf(difference: { before: unknown; after: unknown }): keyof typeof SIGNS {
  if (difference.before === null) return "added";
  return difference.after === null ? "removed" : "changed";
}

/** One value, or both with an arrow when they differ. */
function Values(props: { name: string; before?: string; after?: string }): JSX.Element | null {
  const { name, before, after } = props;
  if ((before ?? "") === "" && (after ?? "") === "") return null;
  const shown = (text: string | undefined): string => text === "" ? "none" : text ?? "none";
  if (before === undefined || after === undefined || before === after) {
    return (
      <span class="value">
        <i>{name}</i> {shown(after ?? before)}
      </span>
    );
  }
  return (
    <span class="value differs">
      <i>{name}</i> <del>{shown(before)}</del>
      <span class="hidden">becomes</span>
      <Icon name="right" />
      <ins>{shown(after)}</ins>
    </span>
  );
}

function texts(
  name: string,
  before: string | undefined,
  after: string | undefined,
): { name: string; before?: string; after?: string } {
  return {
    name,
    ...(before === undefined ? {} : { before }),
    ...(after === undefined ? {} : { after }),
  };
}

function NodeLine({ of }: { of: NodeDifferenceView }): JSX.Element {
  const { sign, word, tone } = SIGNS[kindOf(of)];
  const { before, after } = of;
  return (
    <li class={`difference ${tone}`}>
      <b aria-hidden="true">{sign}</b>
      <span class="hidden">{word}</span>
      <code>{nodeName(of)}</code>
      <span class="values">
        <Values {...texts("weight", before?.weight.toString(), after?.weight.toString())} />
        <Values {...texts("zone", before?.zone, after?.zone)} />
        <Values {...texts("state", before?.state, after?.state)} />
      </span>
    </li>
  );
}

function TextLine({ of }: { of: ModuleDifference }): JSX.Element {
  return (
    <li class="difference info">
      <b aria-hidden="true">±</b>
      <span class="hidden">changed</span>
      <code>module</code>
      <span class="values">
        <Values {...texts("name", of.before.name, of.after.name)} />
        <Values {...texts("policy", of.before.policy, of.after.policy)} />
      </span>
    </li>
  );
}

interface Group {
  readonly modId: number;
  readonly cmdId: number;
  readonly lines: JSX.Element[];
}

function groupsOf(
  nodes: readonly NodeDifferenceView[],
  modules: readonly ModuleDifference[],
): Group[] {
  const groups = new Map<string, Group>();
  const groupOf = ({ modId, cmdId }: { modId: number; cmdId: number }): Group => {
    const key = `${modId}/${cmdId}`;
    const group = groups.get(key) ?? { modId, cmdId, lines: [] };
    groups.set(key, group);
    return group;
  };
  for (const module of modules) groupOf(module).lines.push(<TextLine key="module" of={module} />);
  for (const node of nodes) {
    groupOf(node).lines.push(<NodeLine key={nodeName(node)} of={node} />);
  }
  return [...groups.values()];
}

/** Every difference, by module. */
export function Differences(props: {
  nodes: readonly NodeDifferenceView[];
  modules: readonly ModuleDifference[];
}): JSX.Element {
  const [isAll, setAll] = useState(false);
  const names = useModuleNames();
  const count = props.nodes.length + props.modules.length;
  const nodes = isAll ? props.nodes : props.nodes.slice(0, ROWS_AT_FIRST);
  if (count === 0) return <p class="muted">Nothing differs.</p>;
  return (
    <div class="differences">
      {groupsOf(nodes, props.modules).map((group) => (
        <section key={`${group.modId}/${group.cmdId}`}>
          <h3>
            Module <a href={modulePath(group)}>{names.of(group)}</a>
          </h3>
          <ul>{group.lines}</ul>
        </section>
      ))}
      {nodes.length < props.nodes.length && (
        <button
          type="button"
          class="small"
          onClick={() => setAll(true)}
        >
          Show all {plural(count, "difference")}
        </button>
      )}
    </div>
  );
}

function ShiftLine({ of }: { of: TrafficShift }): JSX.Element {
  return (
    <li class="shift">
      <p>
        <a href={modulePath(of)}>{moduleTitle(of)}</a>: {of.emptied
          ? (
            <>
              none of its <b>{formatNumber(of.callsPerSecond)}</b> calls/s finds a node
            </>
          )
          : of.movedShare === 0
          ? "no call goes elsewhere"
          : (
            <>
              <b>{formatShare(of.movedShare)}</b>{" "}
              of its calls go to another node ({formatNumber(of.callsPerSecond * of.movedShare)} of
              {" "}
              {formatNumber(of.callsPerSecond)} calls/s)
            </>
          )}
        {of.callerCount > 0 && (
          <span class="muted" title={of.callers.join(", ")}>
            {` · ${plural(of.callerCount, "caller")}`}
          </span>
        )}
      </p>
      {of.emptied && <Badge tone="crit" icon="crit" text="no node is left that may be called" />}
      {of.nodes.length > 0 && (
        <ul class="bars">
          {of.nodes.slice(0, 8).map((node) => (
            <li key={node.node}>
              <code>{node.node}</code>
              <svg class="bar" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">
                <rect class="before" width={node.before * 100} height="4" />
                <rect class="after" y="5" width={node.after * 100} height="5" />
              </svg>
              <span class="number">
                {formatShare(node.before)} <Icon name="right" />
                <span class="hidden">becomes</span> {formatShare(node.after)}
              </span>
            </li>
          ))}
        </ul>
      )}
    </li>
  );
}

/** Whose calls go elsewhere, by weights. */
export function Traffic({ shifts }: { shifts: readonly TrafficShift[] }): JSX.Element | null {
  if (shifts.length === 0) return null;
  return (
    <section class="traffic">
      <h3>Traffic that shifts</h3>
      <ul>
        {shifts.slice(0, 10).map((shift) => (
          <ShiftLine key={`${shift.modId}/${shift.cmdId}`} of={shift} />
        ))}
      </ul>
      {shifts.length > 10 && <p class="muted">and {plural(shifts.length - 10, "module")} more</p>}
    </section>
  );
}
