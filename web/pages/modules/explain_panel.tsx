// Shell. Why each node gets its calls: by what all callers report, and in the words of an agent.

import type { ComponentChildren, JSX } from "preact";
import { useId, useState } from "preact/hooks";
import { call } from "../shell/api.ts";
import { explainHealth, explainNodes, sinceText, stateTextOf, whyText } from "./explain.ts";
import {
  formatCount,
  formatNumber,
  formatShare,
  formatSpan,
  nodeName,
  UNKNOWN,
} from "../parts/format.ts";
import { ConfirmRouteDialog } from "./held_box.tsx";
import { useLoad } from "../shell/live.ts";
import { may, query, setQuery } from "../shell/state.ts";
import { Heads } from "../parts/tables.tsx";
import { Badge, Empty, Load, NodeHealthBadge, WriteButton } from "../parts/widgets.tsx";
import type { Explanation, ModuleDetail } from "../../../control/schemas.ts";

/** An agent answers from what it has in memory, and the table is read by people. */
const REFRESH_MS = 3000;
/** Agents that are offered while one is typed. */
const AGENTS_OFFERED = 20;

/** Nodes in order that a phone shows before it is asked for the others. */
const UNFOLDED_IN_ORDER = 2;

interface Fold {
  /** Class of the table. */
  readonly table: string;
  /** Class of a row; to be asked for each of them, in order. */
  row(isInOrder: boolean): string;
  /** What unfolds the others, below the table; where nothing is folded there is none. */
  button(): JSX.Element | null;
}

/** On a phone a card for each node is a long way: those in order are folded, but for the first. */
function useFold(): Fold {
  const [isOpen, setOpen] = useState(false);
  let inOrder = 0;
  return {
    table: isOpen ? "rows cards" : "rows cards folds",
    row: (isInOrder) => isInOrder && ++inOrder > UNFOLDED_IN_ORDER ? "folded" : "",
    button: () =>
      isOpen || inOrder <= UNFOLDED_IN_ORDER ? null : (
        <p class="more narrow-only">
          <button type="button" onClick={() => setOpen(true)}>
            {inOrder - UNFOLDED_IN_ORDER} more in order
          </button>
        </p>
      ),
  };
}

function ByReports({ module }: { module: ModuleDetail }): JSX.Element {
  const explained = explainNodes(module);
  const fold = useFold();
  return (
    <div class="panel flush">
      <p class="lead">{explainHealth(module)}</p>
      <table class={fold.table}>
        <caption class="hidden">Why each node gets the calls it gets</caption>
        <Heads names={["Node", "Health", "#By weight", "#Really", "Why"]} />
        <tbody>
          {module.nodes.map((node, index) => (
            <tr key={nodeName(node)} class={fold.row(node.health === "ok")}>
              <td class="main-cell fit">
                <code>{nodeName(node)}</code>
              </td>
              <td data-label="Health">
                <NodeHealthBadge node={node} />
              </td>
              <td class="number" data-label="By weight">
                {formatShare(explained[index].wantedShare)}
              </td>
              <td class="number" data-label="Really">
                {explained[index].realShare === null
                  ? UNKNOWN
                  : formatShare(explained[index].realShare ?? 0)}
              </td>
              <td data-label="Why" class="prose">{explained[index].reason}</td>
            </tr>
          ))}
        </tbody>
      </table>
      {fold.button()}
    </div>
  );
}

function AgentNode(
  { node, folded }: { node: Explanation["nodes"][number]; folded: string },
): JSX.Element {
  const { tone, icon, text, title } = stateTextOf(node.condition);
  const weight = Math.round(node.pickWeight * 10) / 10;
  return (
    <tr class={icon === "off" && tone === "warn" ? "out" : folded}>
      <td class="main-cell fit">
        <code>{node.node}</code>
        {node.zone !== "" && <span class="sub muted cut" title={node.zone}>{node.zone}</span>}
      </td>
      <td data-label="State" class="nowrap">
        <Badge tone={tone} icon={icon} text={text} title={title} />
        {sinceText(node) !== "" && <span class="sub muted">{sinceText(node)}</span>}
      </td>
      <td class="number" data-label="Weight">
        {weight === node.weight ? node.weight : `${weight} of ${node.weight}`}
      </td>
      <td class="number" data-label="Picks">
        {node.pickShare === null ? UNKNOWN : formatShare(node.pickShare)}
      </td>
      <td class="number" data-label="Good">{formatCount(node.succTotal)}</td>
      <td class="number" data-label="Failed">{formatCount(node.errTotal)}</td>
      <td class="number" data-label="Mean time">
        {node.meanMs === 0 ? UNKNOWN : `${formatNumber(node.meanMs)} ms`}
      </td>
      <td data-label="Why" class="prose">{whyText(node)}</td>
    </tr>
  );
}

function AgentNodes({ found }: { found: Explanation }): JSX.Element {
  const { nodes, nodeCount } = found;
  const fold = useFold();
  const inOrder = (condition: string): boolean => condition === "idle";
  const shown = [
    ...nodes.filter(({ condition }) => !inOrder(condition)),
    ...nodes.filter(({ condition }) => inOrder(condition)),
  ];
  return (
    <>
      <table class={fold.table}>
        <caption class="hidden">Nodes as the agent sees them, those out of order first</caption>
        <Heads
          names={["Node", "State", "#Weight", "#Picks", "#Good", "#Failed", "#Mean time", "Why"]}
        />
        <tbody>
          {shown.map((node) => (
            <AgentNode key={node.node} node={node} folded={fold.row(inOrder(node.condition))} />
          ))}
        </tbody>
      </table>
      {fold.button()}
      {nodeCount > nodes.length && (
        <p class="more muted">
          The first {formatCount(nodes.length)} of {formatCount(nodeCount)} nodes.
        </p>
      )}
    </>
  );
}

function Decisions({ found }: { found: Explanation }): JSX.Element {
  if (found.decisions.length === 0) {
    return <p class="note muted">It has decided nothing about this module yet.</p>;
  }
  return (
    <table class="rows cards">
      <caption class="hidden">What it decided last, newest first</caption>
      <Heads names={["When", "Node", "Became", "Why"]} />
      <tbody>
        {found.decisions.map(({ agoMs, node, became, reason }, index) => (
          <tr key={`${index} ${node}`}>
            <td data-label="When" class="nowrap muted">{formatSpan(agoMs)} ago</td>
            <td class="main-cell fit">
              {node === null ? "The module" : <code>{node}</code>}
            </td>
            <td data-label="Became" class="nowrap">
              {node === null ? became : stateTextOf(became).text}
            </td>
            <td data-label="Why" class="prose">{reason}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function AgentFacts({ found }: { found: Explanation }): JSX.Element {
  const { agent, routeState, ageMs, policy, mode, modeReason, picksRemembered } = found;
  return (
    <div class="note">
      <p>
        The agent at <code>{agent}</code>
        {policy === "" ? ": its route is " : ` chooses by ${policy}. Its route is `}
        {routeState}
        {ageMs === null ? ", from its cache" : `, ${formatSpan(ageMs)} old`}.{" "}
        {mode !== "normal" && (
          <span class="strong warn">
            Now: {mode}
            {modeReason === "" ? "" : `, because ${modeReason}`}.
          </span>
        )}
      </p>
      <p class="muted">
        {picksRemembered === 0
          ? "It counts who is picked from the first look on, and nothing was picked since."
          : `Picks are shares of the last ${formatCount(picksRemembered)}.`}{" "}
        Good and failed calls are those told to this agent since it knows the node.
      </p>
    </div>
  );
}

function AgentSays({ found }: { found: Explanation }): JSX.Element {
  return (
    <>
      <AgentFacts found={found} />
      {found.nodes.length > 0 && <AgentNodes found={found} />}
      <h3 class="note">Last decisions</h3>
      <Decisions found={found} />
    </>
  );
}

/** Chooses one of the agents of the fleet; empty is the one beside the console. */
function AgentChooser({ agent }: { agent: string }): JSX.Element {
  const id = useId();
  const [text, setText] = useState(agent);
  const agents = useLoad(
    `agents like ${text}`,
    (signal) =>
      call("listAgents", {
        query: { limit: String(AGENTS_OFFERED), ...(text === "" ? {} : { search: text }) },
        signal,
      }),
    undefined,
    true,
  );
  const choose = (next: string): void => {
    setText(next);
    setQuery({ agent: next.trim() });
  };
  return (
    <form
      class="table-tools"
      onSubmit={(event) => {
        event.preventDefault();
        choose(text);
      }}
    >
      <label htmlFor={id}>Agent</label>
      <input
        id={id}
        list={`${id}-list`}
        autoComplete="off"
        spellcheck={false}
        placeholder="The one of the console's host"
        value={text}
        onInput={(event) => setText(event.currentTarget.value)}
        onChange={(event) => choose(event.currentTarget.value)}
      />
      <datalist id={`${id}-list`}>
        {agents.value?.agents.map(({ address, state }) => (
          <option key={address} value={address}>{state}</option>
        ))}
      </datalist>
      <button type="submit">Ask</button>
      {agent !== "" && (
        <button type="button" onClick={() => choose("")}>That of the console's host</button>
      )}
    </form>
  );
}

/** Says what to do where the agent has nothing to say; else what was found. */
function AgentAnswer({ module, agent }: { module: ModuleDetail; agent: string }): JSX.Element {
  const { modId, cmdId } = module;
  const found = useLoad(
    `explain ${modId}/${cmdId} ${agent}`,
    (signal) =>
      call("explainModule", {
        params: { modId: String(modId), cmdId: String(cmdId) },
        query: agent === "" ? {} : { agent },
        signal,
      }),
    REFRESH_MS,
    true,
  );
  if (found.value?.routeState === "unknown") {
    return (
      <Empty icon="services" title="No caller on that host has asked for this module">
        <p>
          The agent at <code>{found.value.agent}</code> does not know it.
        </p>
        <p>
          Choose another agent, ask once, or look on a host that calls it:{" "}
          <code>lars test gethost {modId} {cmdId}</code>
          , then <code>lars explain {modId} {cmdId}</code>.
        </p>
      </Empty>
    );
  }
  if (agent === "" && found.problem?.kind === "agent-away" && found.value === undefined) {
    return (
      <Empty icon="services" title="No agent answers on this host">
        <p>{found.problem.detail}.</p>
        <p>
          Start one beside the console, or name another with <code>[web] agent</code>
          , or choose one of the fleet above.
        </p>
      </Empty>
    );
  }
  return (
    <Load of={found} onRetry={found.reload} rows={4}>{(value) => <AgentSays found={value} />}</Load>
  );
}

function Meant({ module }: { module: ModuleDetail }): JSX.Element | null {
  const [isOpen, setOpen] = useState(false);
  if (!may("operator")) return null;
  return (
    <section class="panel" aria-labelledby="meant">
      <h2 id="meant">Held back?</h2>
      <p>
        An agent keeps the nodes it has when a change would take more than half of them and nobody
        says that it is meant. Changes made here are always meant; those made in the database by
        hand are not. What an agent holds back now stands above, and on the page Agents.
      </p>
      <p class="buttons">
        <WriteButton onClick={() => setOpen(true)}>The route is meant …</WriteButton>
      </p>
      {isOpen && <ConfirmRouteDialog module={module} onClose={() => setOpen(false)} />}
    </section>
  );
}

function Part(props: { id: string; title: string; children: ComponentChildren }): JSX.Element {
  return (
    <section class="panel flush" aria-labelledby={props.id}>
      <h2 id={props.id} class="note">{props.title}</h2>
      {props.children}
    </section>
  );
}

/** The part of a module's page that explains. */
export function ExplainPanel({ module }: { module: ModuleDetail }): JSX.Element {
  const agent = query.value.get("agent") ?? "";
  return (
    <>
      <ByReports module={module} />
      <Part
        id="agent"
        title={agent === "" ? "What the agent of the console's host says" : `What ${agent} says`}
      >
        <AgentChooser key={agent} agent={agent} />
        <AgentAnswer key={`answer ${agent}`} module={module} agent={agent} />
      </Part>
      <Meant module={module} />
    </>
  );
}
