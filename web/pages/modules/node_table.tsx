// Shell. The nodes of a module as rows: filter, order, choose several, act on them.

import { Component, type JSX } from "preact";
import { useState } from "preact/hooks";
import {
  compareNodes,
  formatCount,
  formatNumber,
  formatShare,
  nodeName,
  plural,
} from "../parts/format.ts";
import { Icon } from "../parts/icons.tsx";
import { may, query, setQuery } from "../shell/state.ts";
import { SortHead } from "../parts/tables.tsx";
import {
  Ago,
  Empty,
  ErrorTone,
  IconButton,
  NodeHealthBadge,
  Sparkline,
  StateMark,
  WriteButton,
} from "../parts/widgets.tsx";
import { outByText } from "../leases/lease_text.ts";
import type { LeaseView, NodeStatus } from "../../../control/schemas.ts";
import type { NodeState } from "../../../model/node.ts";

/** Rows drawn before somebody asks for all. */
const ROWS_AT_FIRST = 500;

/** What the table asks its page to do. */
export interface NodeActions {
  readonly onState: (nodes: readonly NodeStatus[], state: NodeState) => void;
  readonly onEdit: (node: NodeStatus) => void;
  readonly onRemove: (nodes: readonly NodeStatus[]) => void;
}

type SortKey = "node" | "state" | "weight" | "zone" | "health" | "calls" | "success";
interface Sort {
  readonly by: SortKey;
  readonly down: boolean;
}

const HEALTH_RANK = { overload: 0, failing: 1, partial: 2, ok: 3, idle: 4 } as const;
const STATE_RANK = { on: 0, drain: 1, off: 2 } as const;

const COMPARE: Readonly<Record<SortKey, (left: NodeStatus, right: NodeStatus) => number>> = {
  node: compareNodes,
  state: (left, right) => STATE_RANK[left.state] - STATE_RANK[right.state],
  weight: (left, right) => left.weight - right.weight,
  zone: (left, right) => left.zone.localeCompare(right.zone),
  health: (left, right) => HEALTH_RANK[left.health] - HEALTH_RANK[right.health],
  calls: (left, right) => left.callsPerSecond - right.callsPerSecond,
  success: (left, right) => right.errorShare - left.errorShare,
};

/** Nodes that have the text in address, zone, state or health, in order. */
function chosenNodes(nodes: readonly NodeStatus[], find: string, sort: Sort): NodeStatus[] {
  const wanted = find.trim().toLowerCase();
  const matching = nodes.filter((node) =>
    wanted === "" ||
    `${nodeName(node)} ${node.zone} ${node.state} ${node.health}`.toLowerCase().includes(wanted)
  );
  const sign = sort.down ? -1 : 1;
  return matching.sort((left, right) =>
    sign * COMPARE[sort.by](left, right) || compareNodes(left, right)
  );
}

interface RowProps {
  readonly node: NodeStatus;
  /** Undefined: it did not register itself. */
  readonly lease: LeaseView | undefined;
  readonly isChecked: boolean;
  readonly canEdit: boolean;
  readonly onCheck: (name: string, isChecked: boolean) => void;
  readonly actions: NodeActions;
}

/** Who keeps a node out, where somebody does: its lease knows, and else an operator did. */
function OutBy(
  { node, lease }: { node: NodeStatus; lease: LeaseView | undefined },
): JSX.Element | null {
  if (lease === undefined) return null;
  const text = outByText(lease);
  if (text === "" || lease.outBy === "calls") return <span class="sub muted">registered</span>;
  if (node.state === "on" && node.weight > 0) return null; // The lease is newer.
  return <span class="sub muted">{text}</span>;
}

function Success({ node }: { node: NodeStatus }): JSX.Element {
  if (node.callsPerSecond === 0) return <span class="muted" title="no calls">–</span>;
  return (
    <ErrorTone share={node.errorShare} callsPerSecond={node.callsPerSecond}>
      {formatShare(1 - node.errorShare)}
    </ErrorTone>
  );
}

function RowActions({ node, actions }: { node: NodeStatus; actions: NodeActions }): JSX.Element {
  const name = nodeName(node);
  return (
    <td class="row-actions">
      {node.state === "on"
        ? (
          <WriteButton
            class="small"
            aria-label={`Drain ${name}`}
            onClick={() => actions.onState([node], "drain")}
          >
            <Icon name="pause" />Drain
          </WriteButton>
        )
        : (
          <WriteButton
            class="small"
            aria-label={`Restore ${name}`}
            onClick={() => actions.onState([node], "on")}
          >
            <Icon name="play" />Restore
          </WriteButton>
        )}
      <IconButton
        icon="edit"
        label={`Edit ${name}`}
        title="Edit"
        writes
        onClick={() => actions.onEdit(node)}
      />
      <IconButton
        icon="trash"
        label={`Remove ${name}`}
        title="Remove"
        writes
        onClick={() => actions.onRemove([node])}
      />
    </td>
  );
}

/** A row is drawn again only when its node differs: 500 of them come every second. */
class Row extends Component<RowProps> {
  override shouldComponentUpdate(next: RowProps): boolean {
    return next.isChecked !== this.props.isChecked || next.canEdit !== this.props.canEdit ||
      JSON.stringify([next.node, next.lease]) !==
        JSON.stringify([this.props.node, this.props.lease]);
  }

  override render(): JSX.Element {
    const { node, lease, isChecked, canEdit, onCheck } = this.props;
    const name = nodeName(node);
    const isOut = node.health === "overload" && node.state === "on";
    return (
      <tr class={isOut ? "out" : node.state === "on" ? "" : "quiet"}>
        {canEdit && (
          <td class="check-cell">
            <input
              type="checkbox"
              aria-label={`Choose ${name}`}
              checked={isChecked}
              onInput={(event) => onCheck(name, event.currentTarget.checked)}
            />
          </td>
        )}
        <td class="main-cell">
          <code data-row tabIndex={-1}>{name}</code>
          {node.copies !== undefined && (
            <span
              class="muted sub"
              title="Of several rows of one node the one stored last counts, for agents as here. Remove the node and add it again to make it one."
            >
              in {node.copies} rows, the last counts
            </span>
          )}
        </td>
        <td data-label="Health">
          <NodeHealthBadge node={node} />
          {node.health === "partial" && (
            <span class="muted small nowrap" title="callers that keep it out">
              {" "}
              {node.overloadCallerCount} of {node.callerCount}
            </span>
          )}
        </td>
        <td data-label="State">
          <span>
            <StateMark state={node.state} weight={node.weight} />
            <OutBy node={node} lease={lease} />
          </span>
        </td>
        <td class="number" data-label="Weight">{formatCount(node.weight)}</td>
        <td data-label="Zone">
          <span class="cut" title={node.zone}>{node.zone || "–"}</span>
        </td>
        <td class="number" data-label="Calls/s">{formatNumber(node.callsPerSecond)}</td>
        <td class="number" data-label="Success">
          <Success node={node} />
        </td>
        <td data-label="Calls/s lately">
          <Sparkline values={node.sparkline} label={`Calls per second of ${name} lately`} />
        </td>
        <td class="muted wide-only nowrap" data-label="Reported">
          <Ago atMs={node.reportedAtMs} />
        </td>
        {canEdit && <RowActions node={node} actions={this.props.actions} />}
      </tr>
    );
  }
}

function BulkBar(props: {
  chosen: readonly NodeStatus[];
  actions: NodeActions;
  onClear: () => void;
}): JSX.Element | null {
  const { chosen, actions, onClear } = props;
  if (chosen.length === 0) return null;
  return (
    <div class="bulk" role="group" aria-label="Chosen nodes">
      <b>{plural(chosen.length, "node")} chosen</b>
      <WriteButton class="small" onClick={() => actions.onState(chosen, "drain")}>
        <Icon name="pause" />Drain
      </WriteButton>
      <WriteButton class="small" onClick={() => actions.onState(chosen, "on")}>
        <Icon name="play" />Restore
      </WriteButton>
      <WriteButton class="small" onClick={() => actions.onState(chosen, "off")}>
        <Icon name="off" />Switch off
      </WriteButton>
      <WriteButton class="small danger-text" onClick={() => actions.onRemove(chosen)}>
        <Icon name="trash" />Remove
      </WriteButton>
      <button type="button" class="link" onClick={onClear}>Clear</button>
    </div>
  );
}

function Heads(props: {
  sort: Sort;
  onSort: (by: SortKey) => void;
  canEdit: boolean;
  areAll: boolean;
  onAll: (isChecked: boolean) => void;
}): JSX.Element {
  const shared = { sort: props.sort, onSort: props.onSort };
  return (
    <thead>
      <tr>
        {props.canEdit && (
          <th scope="col" class="check-cell">
            <input
              type="checkbox"
              aria-label="Choose all that are shown"
              checked={props.areAll}
              onInput={(event) => props.onAll(event.currentTarget.checked)}
            />
          </th>
        )}
        <SortHead<SortKey> by="node" {...shared}>Node</SortHead>
        <SortHead<SortKey> by="health" {...shared}>Health</SortHead>
        <SortHead<SortKey> by="state" {...shared}>State</SortHead>
        <SortHead<SortKey> by="weight" number {...shared}>Weight</SortHead>
        <SortHead<SortKey> by="zone" {...shared}>Zone</SortHead>
        <SortHead<SortKey> by="calls" number {...shared}>Calls/s</SortHead>
        <SortHead<SortKey> by="success" number {...shared}>Success</SortHead>
        <th scope="col">Lately</th>
        <th scope="col" class="wide-only">Reported</th>
        {props.canEdit && (
          <th scope="col">
            <span class="hidden">Actions</span>
          </th>
        )}
      </tr>
    </thead>
  );
}

/** Names of nodes that are chosen. */
function useChosen(): {
  readonly names: ReadonlySet<string>;
  readonly check: (name: string, isChecked: boolean) => void;
  readonly set: (names: readonly string[]) => void;
} {
  const [names, setNames] = useState<ReadonlySet<string>>(new Set());
  const check = (name: string, isChecked: boolean): void =>
    setNames((old) => {
      const next = new Set(old);
      if (isChecked) next.add(name);
      else next.delete(name);
      return next;
    });
  return { names, check, set: (list) => setNames(new Set(list)) };
}

/** The nodes of a module. */
export function NodeTable(
  props: {
    nodes: readonly NodeStatus[];
    /** Of those that registered themselves, by name. */
    leases: ReadonlyMap<string, LeaseView>;
    actions: NodeActions;
  },
): JSX.Element {
  const { nodes, leases, actions } = props;
  const canEdit = may("operator");
  const find = query.value.get("find") ?? "";
  const [sort, setSort] = useState<Sort>({ by: "health", down: false });
  const { names, check, set } = useChosen();
  const [isAll, setAll] = useState(false);
  const matching = chosenNodes(nodes, find, sort);
  const shown = isAll ? matching : matching.slice(0, ROWS_AT_FIRST);
  const chosen = nodes.filter((node) => names.has(nodeName(node)));
  const areAll = shown.length > 0 && shown.every((node) => names.has(nodeName(node)));
  return (
    <div class="panel flush">
      <div class="table-tools">
        <input
          type="search"
          aria-label="Filter nodes by address, zone, state or health"
          placeholder="Filter: address, zone, state"
          data-key="f"
          value={find}
          onInput={(event) => setQuery({ find: event.currentTarget.value })}
        />
        <span class="muted">
          {matching.length === nodes.length
            ? plural(nodes.length, "node")
            : `${formatCount(matching.length)} of ${plural(nodes.length, "node")}`}
        </span>
        <BulkBar chosen={chosen} actions={actions} onClear={() => set([])} />
      </div>
      <table class="rows cards nodes">
        <caption class="hidden">Nodes</caption>
        <Heads
          sort={sort}
          canEdit={canEdit}
          areAll={areAll}
          onSort={(by) => setSort({ by, down: sort.by === by ? !sort.down : false })}
          onAll={(isChecked) => set(isChecked ? shown.map(nodeName) : [])}
        />
        <tbody>
          {shown.map((node) => (
            <Row
              key={nodeName(node)}
              node={node}
              lease={leases.get(nodeName(node))}
              isChecked={names.has(nodeName(node))}
              canEdit={canEdit}
              onCheck={check}
              actions={actions}
            />
          ))}
        </tbody>
      </table>
      {matching.length === 0 && (
        <Empty title="No node matches">
          <button type="button" class="small" onClick={() => setQuery({ find: undefined })}>
            Show all
          </button>
        </Empty>
      )}
      {shown.length < matching.length && (
        <p class="more">
          <button type="button" onClick={() => setAll(true)}>
            Show all {plural(matching.length, "node")}
          </button>
        </p>
      )}
    </div>
  );
}
