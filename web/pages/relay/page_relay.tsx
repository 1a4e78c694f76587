// Shell. The relays: clients, workers and queues of each, how fast they are, and what did not arrive.

import type { JSX } from "preact";
import { call } from "../shell/api.ts";
import { formatBytes, formatCount, formatNumber, plural, UNKNOWN } from "../parts/format.ts";
import { useLoad } from "../shell/live.ts";
import { query, setQuery } from "../shell/state.ts";
import { ListTable } from "../parts/tables.tsx";
import { tabOf, Tabs } from "../parts/tabs.tsx";
import { Badge, Empty, Load, PageHead, Stat } from "../parts/widgets.tsx";
import type { RelayFacts, RelayRow } from "../../../control/schemas.ts";
import {
  RelayClients,
  RelayDrops,
  RelayMailBoxes,
  RelayQueues,
  RelayWorkers,
} from "./relay_parts.tsx";
import { droppedPerSecond, relayLook, waitText } from "./relay_text.ts";

const REFRESH_MS = 2000;

const TABS = [
  ["clients", "Clients"],
  ["workers", "Workers"],
  ["queues", "Queues"],
  ["drops", "Drops"],
  ["mail", "Kept messages"],
] as const;

function rateText(rate: number | null): string {
  return rate === null ? UNKNOWN : formatNumber(rate);
}

/** Name of a relay; of several it chooses the one that is shown below. */
function Name(props: { row: RelayRow; isChosen: boolean; isOnly: boolean }): JSX.Element {
  const { row: { relay }, isChosen, isOnly } = props;
  if (isOnly) return <code data-row tabIndex={-1} class="cut" title={relay}>{relay}</code>;
  return (
    <a
      data-row
      class={`cut ${isChosen ? "strong" : ""}`}
      title={relay}
      href={`?relay=${encodeURIComponent(relay)}`}
      aria-current={isChosen ? "true" : undefined}
      onClick={(event) => {
        event.preventDefault();
        setQuery({ relay });
      }}
    >
      <code>{relay}</code>
    </a>
  );
}

function Row(props: { row: RelayRow; isChosen: boolean; isOnly: boolean }): JSX.Element {
  const { row } = props;
  const { facts } = row;
  const dropped = facts === null ? 0 : droppedPerSecond(facts);
  const number = (label: string, text: string | undefined, tone = ""): JSX.Element => (
    <td data-label={label} class={`number ${tone}`}>{text ?? UNKNOWN}</td>
  );
  return (
    <tr class={props.isChosen && !props.isOnly ? "chosen" : ""}>
      <td class="main-cell prose">
        <Name {...props} />
        {row.fault !== null && <span class="sub">{row.fault}</span>}
      </td>
      <td data-label="State">
        <Badge {...relayLook(row)} />
      </td>
      {number("Clients", facts === null ? undefined : formatCount(facts.clients))}
      {number("Workers", facts === null ? undefined : formatCount(facts.workers))}
      {number("Requests/s", facts === null ? undefined : rateText(facts.requestsPerSecond))}
      {number("Waiting", facts === null ? undefined : formatCount(facts.waiting))}
      {number("Oldest", facts === null ? undefined : waitText(facts.oldestMs))}
      {number(
        "Drops/s",
        facts === null ? undefined : formatNumber(dropped),
        dropped > 0 ? "strong warn" : "",
      )}
    </tr>
  );
}

function Stats({ facts }: { facts: RelayFacts }): JSX.Element {
  const oldest = waitText(facts.oldestMs);
  return (
    <dl class="stats">
      <Stat label="Requests" unit="/s">{rateText(facts.requestsPerSecond)}</Stat>
      <Stat label="Answers" unit="/s">{rateText(facts.answersPerSecond)}</Stat>
      <Stat label="Messages" unit="/s">{rateText(facts.messagesPerSecond)}</Stat>
      <Stat label="At workers">{formatCount(facts.running)}</Stat>
      <Stat label="Waiting">
        {formatCount(facts.waiting)}
        {facts.waiting > 0 && <small class="cause">{formatBytes(facts.waitingBytes)}</small>}
      </Stat>
      <Stat label="Oldest waits">{oldest ?? UNKNOWN}</Stat>
      <Stat label="Timed out">{formatCount(facts.timedOut)}</Stat>
      <Stat label="Lost with workers">{formatCount(facts.lostWithWorkers)}</Stat>
    </dl>
  );
}

function about({ clients, originals, webSockets, names }: RelayFacts): string {
  const kinds = [
    originals === 0 ? [] : `${formatCount(originals)} of the original`,
    webSockets === 0 ? [] : plural(webSockets, "WebSocket"),
    names === 0 ? [] : `${formatCount(names)} with names`,
  ].flat();
  return kinds.length === 0
    ? plural(clients, "client")
    : `${plural(clients, "client")}, of which ${kinds.join(", ")}`;
}

/** What one relay has. */
function Chosen({ relay, facts }: { relay: string; facts: RelayFacts }): JSX.Element {
  const tab = tabOf(TABS);
  return (
    <>
      <h2>
        <code>{relay}</code> <small class="muted">{about(facts)}</small>
      </h2>
      <Stats facts={facts} />
      <Tabs label="Parts of the relay" tabs={TABS} tab={tab} />
      {tab === "clients" && <RelayClients key={relay} relay={relay} />}
      {tab === "workers" && <RelayWorkers key={relay} relay={relay} />}
      {tab === "queues" && <RelayQueues key={relay} relay={relay} />}
      {tab === "drops" && <RelayDrops drops={facts.drops} />}
      {tab === "mail" && <RelayMailBoxes key={relay} relay={relay} facts={facts} />}
    </>
  );
}

/** What to do where there is none. */
function NoRelay({ relays }: { relays: readonly RelayRow[] }): JSX.Element {
  return (
    <Empty icon="relay" title="No relay answers">
      {relays.map(({ relay, fault }) => <p key={relay}>{fault ?? `${relay} does not answer`}</p>)}
      <p>
        A relay takes requests of many clients to few workers. Start one with{" "}
        <code>lars up --relay 127.0.0.1:2000</code> or{" "}
        <code>lars relay --relay-port 2000</code>, and a worker with{" "}
        <code>lars relay echo</code>. The console looks where <code>relays</code> of{" "}
        <code>[web]</code> says: <code>relays = HOST:PORT, HOST:PORT</code>.
      </p>
    </Empty>
  );
}

function Relays({ relays }: { relays: readonly RelayRow[] }): JSX.Element {
  const wanted = query.value.get("relay");
  const chosen = relays.find(({ relay }) => relay === wanted) ??
    relays.find(({ facts }) => facts !== null);
  if (chosen === undefined) return <NoRelay relays={relays} />;
  const heads = [
    ...["Relay", "State", "#Clients", "#Workers", "#Requests/s", "#Waiting", "#Oldest", "#Drops/s"],
  ];
  return (
    <>
      <ListTable caption="Relays" heads={heads}>
        {relays.map((row) => (
          <Row
            key={row.relay}
            row={row}
            isChosen={row === chosen}
            isOnly={relays.length === 1}
          />
        ))}
      </ListTable>
      {chosen.facts !== null && <Chosen relay={chosen.relay} facts={chosen.facts} />}
    </>
  );
}

/** The page of relays. */
export function RelayPage(): JSX.Element {
  const list = useLoad("relays", (signal) => call("listRelays", { signal }), REFRESH_MS);
  return (
    <>
      <PageHead
        title="Relay"
        about="Requests of many clients to few workers: who is here, what waits, what did not arrive"
      />
      <Load of={list} onRetry={list.reload} rows={6}>
        {({ relays }) => <Relays relays={relays} />}
      </Load>
    </>
  );
}
