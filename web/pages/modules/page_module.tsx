// Shell. One module: how it does, its nodes, and everything that can be done with them.

import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { ChangeDialog, type PlannedChange } from "../changes/change_dialog.tsx";
import { ChangeHistory } from "../changes/change_list.tsx";
import { EventFeed } from "../events/event_feed.tsx";
import { ExplainPanel } from "./explain_panel.tsx";
import { formatCount, formatNumber, moduleTitle, nodeName } from "../parts/format.ts";
import { HeldBox } from "./held_box.tsx";
import { HistoryPanel } from "../history/history_panel.tsx";
import { Icon } from "../parts/icons.tsx";
import { HeldNodesBox } from "../leases/held_nodes_box.tsx";
import { useModuleLeases } from "../leases/module_leases.ts";
import { useLive } from "../shell/live.ts";
import {
  AddNodesDialog,
  EditModuleDialog,
  EditNodeDialog,
  moduleRemoval,
  removalOf,
  stateChange,
} from "./module_dialogs.tsx";
import { type NodeActions, NodeTable } from "./node_table.tsx";
import { ScalingPanel } from "./scaling_panel.tsx";
import { SilenceDialog } from "../alerts/silence_dialog.tsx";
import { may } from "../shell/state.ts";
import { tabOf, Tabs } from "../parts/tabs.tsx";
import {
  AddButton,
  Ago,
  Empty,
  ErrorShare,
  HealthBadge,
  Load,
  PageHead,
  RefusedStat,
  Stat,
  WriteButton,
} from "../parts/widgets.tsx";
import type { LeaseView, ModuleDetail, NodeStatus } from "../../../control/schemas.ts";
import type { ModuleKey } from "../../../model/module.ts";

const TABS = [
  ["nodes", "Nodes"],
  ["history", "History"],
  ["explain", "Explain"],
  ["changes", "Changes"],
  ["events", "Events"],
  ["scaling", "Scaling"],
] as const;
type Tab = (typeof TABS)[number][0];

/** What is open over the page. */
type Open =
  | { readonly kind: "none" | "add" | "module" | "silence" }
  | { readonly kind: "node"; readonly node: NodeStatus }
  | { readonly kind: "change"; readonly change: PlannedChange };

function Stats({ module }: { module: ModuleDetail }): JSX.Element {
  const callers = Math.max(0, ...module.nodes.map(({ callerCount }) => callerCount));
  return (
    <dl class="stats">
      <Stat label="Calls" unit="/s">{formatNumber(module.callsPerSecond)}</Stat>
      <Stat label="Error share">
        <ErrorShare share={module.errorShare} callsPerSecond={module.callsPerSecond} />
      </Stat>
      <RefusedStat of={module} by={module.refusedBy} />
      <Stat label="Nodes on" unit={` of ${formatCount(module.nodeCount)}`}>
        {formatCount(module.onCount)}
      </Stat>
      <Stat label="Kept out" {...(module.overloadCount > 0 ? { tone: "warn" } : {})}>
        {formatCount(module.overloadCount)}
      </Stat>
      <Stat label="Callers">{formatCount(callers)}</Stat>
      <Stat label="Policy">
        <span class="word">{module.policy}</span>
      </Stat>
    </dl>
  );
}

function HeadActions(
  props: { module: ModuleDetail; onOpen: (open: Open) => void },
): JSX.Element | null {
  const { module, onOpen } = props;
  if (!may("operator")) return null;
  return (
    <>
      <AddButton text="Add nodes" onClick={() => onOpen({ kind: "add" })} />
      <WriteButton data-key="e" onClick={() => onOpen({ kind: "module" })}>
        <Icon name="edit" />Edit, policy
      </WriteButton>
      <WriteButton onClick={() => onOpen({ kind: "silence" })}>
        <Icon name="bell_off" />Silence
      </WriteButton>
      <WriteButton
        class="danger-text"
        onClick={() => onOpen({ kind: "change", change: moduleRemoval(module) })}
      >
        <Icon name="trash" />Remove
      </WriteButton>
    </>
  );
}

function Overlays(
  props: { module: ModuleDetail; open: Open; onClose: () => void },
): JSX.Element | null {
  const { module, open, onClose } = props;
  switch (open.kind) {
    case "add":
      return <AddNodesDialog module={module} onClose={onClose} />;
    case "module":
      return <EditModuleDialog module={module} onClose={onClose} />;
    case "silence":
      return <SilenceDialog module={module} onClose={onClose} />;
    case "node":
      return <EditNodeDialog module={module} node={open.node} onClose={onClose} />;
    case "change":
      return <ChangeDialog change={open.change} onClose={onClose} />;
    default:
      return null;
  }
}

function TabBody(
  props: {
    tab: Tab;
    module: ModuleDetail;
    leases: ReadonlyMap<string, LeaseView>;
    onOpen: (open: Open) => void;
  },
): JSX.Element {
  const { tab, module, onOpen } = props;
  const actions: NodeActions = {
    onState: (nodes, state) =>
      onOpen({ kind: "change", change: stateChange(module, nodes, state) }),
    onEdit: (node) => onOpen({ kind: "node", node }),
    onRemove: (nodes) => onOpen({ kind: "change", change: removalOf(module, nodes) }),
  };
  if (tab === "history") return <HistoryPanel modId={module.modId} cmdId={module.cmdId} />;
  if (tab === "explain") return <ExplainPanel module={module} />;
  if (tab === "changes") return <ChangeHistory modId={module.modId} cmdId={module.cmdId} />;
  if (tab === "events") return <EventFeed modId={module.modId} cmdId={module.cmdId} />;
  if (tab === "scaling") return <ScalingPanel module={module} />;
  if (module.nodes.length > 0) {
    return <NodeTable nodes={module.nodes} leases={props.leases} actions={actions} />;
  }
  return (
    <Empty icon="modules" title="This module has no nodes">
      {may("operator")
        ? (
          <WriteButton class="primary" onClick={() => onOpen({ kind: "add" })}>
            <Icon name="plus" />Add nodes
          </WriteButton>
        )
        : <p>An operator adds the first one.</p>}
    </Empty>
  );
}

function isSameModule(left: ModuleKey, right: ModuleKey): boolean {
  return left.modId === right.modId && left.cmdId === right.cmdId;
}

function Body({ module }: { module: ModuleDetail }): JSX.Element {
  useEffect(() => void (document.title = `${moduleTitle(module)} · Lars`), [module.name]);
  const [open, setOpen] = useState<Open>({ kind: "none" });
  const leases = useModuleLeases(module);
  const tab = tabOf(TABS);
  return (
    <>
      <PageHead
        title={moduleTitle(module)}
        about={
          <>
            <HealthBadge health={module.health} severity={module.severity} />{" "}
            {module.troubleSinceMs !== null && (
              <>
                began <Ago atMs={module.troubleSinceMs} />
                {" · "}
              </>
            )}
            Module {module.modId}, command {module.cmdId}
          </>
        }
      >
        <HeadActions module={module} onOpen={setOpen} />
      </PageHead>
      <HeldBox module={module} />
      <HeldNodesBox
        held={(leases.value?.held ?? []).filter((held) => isSameModule(held, module))}
        onDone={leases.reload}
      />
      <Stats module={module} />
      <Tabs label="Parts of the module" tabs={TABS} tab={tab} />
      <TabBody
        tab={tab}
        module={module}
        leases={new Map(leases.value?.leases.map((lease) => [nodeName(lease), lease]))}
        onOpen={setOpen}
      />
      <Overlays module={module} open={open} onClose={() => setOpen({ kind: "none" })} />
    </>
  );
}

/** The page of a module. */
export function ModulePage(props: { modId: number; cmdId: number }): JSX.Element {
  const { modId, cmdId } = props;
  const module = useLive("module", { modId: String(modId), cmdId: String(cmdId) });
  if (module.problem?.kind === "not-found") {
    return (
      <>
        <PageHead title={`${modId} / ${cmdId}`} about="Module" />
        <HeldBox module={{ modId, cmdId }} />
        <Empty icon="modules" title="There is no such module">
          <p>
            It was removed, or never added. <a href="/modules">All modules</a>
            {may("operator") && (
              <>
                , or <a href="/modules?add=1">add it</a>
              </>
            )}. What it was stands under <a href="/changes">changes</a>.
          </p>
        </Empty>
      </>
    );
  }
  return <Load of={module} rows={10}>{(value) => <Body module={value} />}</Load>;
}
