// Shell. The agents of the fleet: alive or not, on which dns, with which routes, what they hold back.

import type { JSX } from "preact";
import { useState } from "preact/hooks";
import type { QueryOf } from "../../contract.ts";
import { call } from "../shell/api.ts";
import { formatCount, formatSpan, modulePath, plural, UNKNOWN } from "../parts/format.ts";
import { heldRoutes } from "../modules/held_routes.ts";
import { useLoad } from "../shell/live.ts";
import { useModuleNames } from "../shell/module_names.ts";
import { factsOf, freshnessOf } from "../services/service_facts.ts";
import { may, notify, query, serverNowMs, setQuery } from "../shell/state.ts";
import { Confirm } from "../parts/dialogs.tsx";
import { Choice } from "../parts/fields.tsx";
import { ListTable, pageQuery, Pager, SearchBox } from "../parts/tables.tsx";
import { Ago, Badge, Empty, Load, PageHead, WriteButton } from "../parts/widgets.tsx";
import type { AgentRow } from "../../../control/schemas.ts";

/** dns writes what it knows of agents every 10 s; asking more often shows nothing new. */
const REFRESH_MS = 3000;
/** Routes held back that are named. */
const HELD_NAMED = 3;

const STATES = {
  silent: { tone: "crit", icon: "warn", title: "No sign of life for 30 s" },
  holding: {
    tone: "warn",
    icon: "warn",
    title:
      "Keeps the route it had: the new one lost most of its nodes, and nobody said that is meant",
  },
  behind: { tone: "warn", icon: "warn", title: "Lacks a change of a route, or has no dns" },
  ok: { tone: "ok", icon: "ok", title: "Alive, with the newest routes" },
} as const;

type State = "all" | keyof typeof STATES;
type Counts = Readonly<Record<State, number>>;

/** A value of what an agent tells, as text; empty when it does not tell. */
function detailText({ detail }: AgentRow, name: string): string {
  return String(detail[name] ?? "");
}

function Routes({ agent }: { agent: AgentRow }): JSX.Element {
  const found = freshnessOf(agent);
  const held = heldRoutes([agent]);
  const names = useModuleNames();
  if (found === undefined && held.length === 0) return <span class="muted">{UNKNOWN}</span>;
  const { modules } = agent.detail;
  const title = agent.revision === null ? undefined : `route version ${agent.revision}`;
  const tone = agent.isSilent ? "muted" : found?.isWarning === true ? "strong warn" : "";
  return (
    <span>
      {found !== undefined && (held.length === 0 || found.isWarning) && (
        <span class={tone} title={title}>{found.text}</span>
      )}
      {typeof modules === "number" && held.length === 0 && (
        <span class="sub muted">{plural(modules, "module")}</span>
      )}
      {held.slice(0, HELD_NAMED).map((one) => (
        <span key={`${one.modId}/${one.cmdId}`} class="sub">
          <a href={modulePath(one)}>{names.of(one)} held back</a>
        </span>
      ))}
      {held.length > HELD_NAMED && (
        <span class="sub muted">
          and {plural(Number(agent.detail.modulesHeld) - HELD_NAMED, "more")}
        </span>
      )}
    </span>
  );
}

/** What has a column of its own. */
const SHOWN = new Set(["dns", "zone", "modules", "modules held", "routes held back"]);

function Details({ agent }: { agent: AgentRow }): JSX.Element {
  const { first, rest } = factsOf(agent);
  const facts = [...first, ...rest].filter(({ name }) => !SHOWN.has(name));
  if (facts.length === 0) return <>{UNKNOWN}</>;
  return (
    <details>
      <summary>{plural(facts.length, "value")}</summary>
      {facts.map(({ name, text }) => <span key={name}>{name} {text}</span>)}
    </details>
  );
}

/** Program, and below it what runs it. */
function Software({ agent }: { agent: AgentRow }): JSX.Element {
  const [program, ...runtime] = agent.software.split(" ");
  return (
    <span>
      {program || UNKNOWN}
      {runtime.length > 0 && <span class="sub muted">{runtime.join(" ")}</span>}
    </span>
  );
}

function Row(props: { agent: AgentRow; onForget: (agent: AgentRow) => void }): JSX.Element {
  const { agent } = props;
  const zone = detailText(agent, "zone");
  return (
    <tr>
      <td class="main-cell fit">
        <code data-row tabIndex={-1}>{agent.address}</code>
        {zone !== "" && <span class="sub muted cut" title={zone}>zone {zone}</span>}
      </td>
      <td data-label="State">
        <Badge {...STATES[agent.state]} text={agent.state} />
      </td>
      <td data-label="Last seen" class="nowrap">
        <Ago atMs={agent.seenAtMs} />
      </td>
      <td data-label="Routes" class="nowrap">
        <Routes agent={agent} />
      </td>
      <td data-label="dns" class="nowrap">
        <code class={agent.isSilent ? "muted" : ""}>{detailText(agent, "dns") || UNKNOWN}</code>
      </td>
      <td data-label="Version" class="nowrap">
        <Software agent={agent} />
      </td>
      <td data-label="Up for" class="number">{formatSpan(serverNowMs() - agent.startedAtMs)}</td>
      <td data-label="Details" class="muted details">
        <Details agent={agent} />
      </td>
      {may("operator") && (
        <td class="row-actions">
          {agent.isSilent && (
            <WriteButton
              class="small"
              aria-label={`Forget ${agent.address}`}
              onClick={() => props.onForget(agent)}
            >
              Forget
            </WriteButton>
          )}
        </td>
      )}
    </tr>
  );
}

function ForgetDialog(
  props: { agent: AgentRow; onClose: () => void; onDone: () => void },
): JSX.Element {
  const { address } = props.agent;
  return (
    <Confirm
      title={`Forget ${address}`}
      action="Forget"
      danger
      onClose={props.onClose}
      onConfirm={async () => {
        await call("forgetAgent", { params: { address } });
        notify("ok", `${address} is forgotten`);
        props.onDone();
        props.onClose();
      }}
    >
      <p>
        It leaves the list, and its alerts end. Do this when the host is gone for good; an agent
        that starts again there comes back by itself.
      </p>
    </Confirm>
  );
}

function Filters({ counts }: { counts: Counts | undefined }): JSX.Element {
  const state = (query.value.get("state") ?? "all") as State;
  const options = (["all", "silent", "holding", "behind", "ok"] as const).map((name) => {
    const word = name === "all"
      ? "All"
      : name === "ok"
      ? "OK"
      : name[0].toUpperCase() + name.slice(1);
    return [name, counts === undefined ? word : `${word} ${formatCount(counts[name])}`] as const;
  });
  return (
    <form class="filters" role="search" onSubmit={(event) => event.preventDefault()}>
      <SearchBox
        label="Begin of an address, a zone, or the address of a dns"
        placeholder="Address, zone or dns"
      />
      <Choice<State>
        label="State"
        value={state}
        options={options}
        onChange={(value) =>
          setQuery({ state: value === "all" ? undefined : value, page: undefined })}
      />
    </form>
  );
}

function NoAgents({ isFiltered }: { isFiltered: boolean }): JSX.Element {
  return (
    <Empty icon="agents" title={isFiltered ? "No agent matches" : "No agent has been heard of"}>
      {isFiltered
        ? (
          <button
            type="button"
            class="small"
            onClick={() => setQuery({ search: undefined, state: undefined, page: undefined })}
          >
            Show all
          </button>
        )
        : (
          <p>
            Start one on each host that calls, with the address of a dns:{" "}
            <code>lars agent --dnsserver-ip HOST:7778</code>. It stands here seconds later.
          </p>
        )}
    </Empty>
  );
}

/** Connections of programs that do not tell of themselves. */
function PlainNote({ count }: { count: number }): JSX.Element | null {
  if (count === 0) return null;
  return (
    <p class="muted">
      {plural(count, "more connection")} to dns {count === 1 ? "is" : "are"}{" "}
      of programs that tell nothing of themselves: agents of the original system, mostly. They get
      routes, and are only counted.
    </p>
  );
}

/** The page of agents. */
export function AgentsPage(): JSX.Element {
  const wish: QueryOf<"listAgents"> = pageQuery(["search", "state"]);
  const list = useLoad(
    `agents ${JSON.stringify(wish)}`,
    (signal) => call("listAgents", { query: wish, signal }),
    REFRESH_MS,
  );
  const [forgetting, setForgetting] = useState<AgentRow>();
  const isFiltered = query.value.has("search") || query.value.has("state");
  const names = ["Agent", "State", "Last seen", "Routes", "dns", "Version", "#Up for", "Details"];
  return (
    <>
      <PageHead
        title="Agents"
        about="One on each host that calls; what dns knows of them, written every 10 s"
      />
      <Filters counts={list.value?.counts} />
      <Load of={list} onRetry={list.reload} rows={10}>
        {({ agents, total, plainConnections }) => (
          <>
            {agents.length === 0 ? <NoAgents isFiltered={isFiltered} /> : (
              <ListTable
                caption="Agents, worst first"
                heads={names}
                hasActions={may("operator")}
                below={<Pager total={total} />}
              >
                {agents.map((agent) => (
                  <Row key={agent.address} agent={agent} onForget={setForgetting} />
                ))}
              </ListTable>
            )}
            <PlainNote count={plainConnections} />
          </>
        )}
      </Load>
      {forgetting !== undefined && (
        <ForgetDialog
          agent={forgetting}
          onClose={() => setForgetting(undefined)}
          onDone={list.reload}
        />
      )}
    </>
  );
}
