// Shell. The parts of a relay: its clients, workers and queues, what did not arrive, and what is kept.

import type { ComponentChildren, JSX } from "preact";
import { useState } from "preact/hooks";
import { call } from "../shell/api.ts";
import {
  formatBytes,
  formatCount,
  formatNumber,
  formatShare,
  modulePath,
  plural,
  UNKNOWN,
} from "../parts/format.ts";
import { useLoad } from "../shell/live.ts";
import { useModuleNames } from "../shell/module_names.ts";
import { may, notify } from "../shell/state.ts";
import { Confirm } from "../parts/dialogs.tsx";
import { ListTable } from "../parts/tables.tsx";
import { Ago, Empty, Load, Stat, WriteButton } from "../parts/widgets.tsx";
import type { ModuleKey } from "../../../model/module.ts";
import type {
  RelayClientList,
  RelayDrop,
  RelayFacts,
  RelayQueueList,
  RelayWorkerList,
} from "../../../control/schemas.ts";
import { dropWords, waitText } from "./relay_text.ts";

const REFRESH_MS = 3000;

type Client = RelayClientList["clients"][number];

/** Rows drawn before somebody asks for all that came. */
const ROWS_AT_FIRST = 50;

/** What stands below a list of which not all is shown: of what came, and of what there is. */
function Rest(
  props: { shown: number; came: number; total: number; what: string; onAll: () => void },
): JSX.Element | null {
  const { shown, came, total, what, onAll } = props;
  if (shown >= total) return null;
  return (
    <p class="more muted">
      The first {formatCount(shown)} of {plural(total, what)}{" "}
      {shown < came && (
        <button type="button" class="small" onClick={onAll}>Show {formatCount(came)}</button>
      )}
    </p>
  );
}

/** The first rows of a list, or all that came; and what stands below them. */
function useFirst<Row>(
  what: string,
): (rows: readonly Row[], total: number) => { rows: readonly Row[]; rest: JSX.Element } {
  const [isAll, setAll] = useState(false);
  return (rows, total) => {
    const shown = isAll ? rows : rows.slice(0, ROWS_AT_FIRST);
    const counts = { shown: shown.length, came: rows.length, total };
    return { rows: shown, rest: <Rest {...counts} what={what} onAll={() => setAll(true)} /> };
  };
}

function Module({ module }: { module: ModuleKey }): JSX.Element {
  const names = useModuleNames();
  return <a href={modulePath(module)}>{names.of(module)}</a>;
}

function Bytes({ bytes }: { bytes: number }): JSX.Element {
  return <>{bytes === 0 ? UNKNOWN : formatBytes(bytes)}</>;
}

function clientName({ sid, name }: Client): string {
  return name === "" ? `client ${sid}` : name;
}

function KickDialog(
  props: { relay: string; client: Client; onClose: () => void; onDone: () => void },
): JSX.Element {
  const { relay, client } = props;
  const name = clientName(client);
  return (
    <Confirm
      title={`End the connection of ${name}`}
      action="End connection"
      danger
      onClose={props.onClose}
      onConfirm={async () => {
        await call("kickRelayClient", { params: { relay, sid: client.sid } });
        notify("ok", `${name} is out`);
        props.onDone();
        props.onClose();
      }}
    >
      <p>
        Requests of it that have no answer are lost. A client of ours comes back by itself, so this
        does not keep it out.
      </p>
    </Confirm>
  );
}

/** What a client is, by what relays call it. */
const SPEAKS: Readonly<Record<string, string>> = {
  session: "a session",
  original: "the original's protocol",
  relay: "for another relay",
};

function ClientRow(props: { client: Client; onKick: (client: Client) => void }): JSX.Element {
  const { client } = props;
  const name = clientName(client);
  return (
    <tr>
      <td class="main-cell">
        <span data-row tabIndex={-1} class="cut" title={client.name}>{name}</span>
        {client.name !== "" && <span class="sub muted">number {client.sid}</span>}
      </td>
      <td data-label="From" class="nowrap">
        <code>{client.from}</code>
      </td>
      <td data-label="Speaks">
        {SPEAKS[client.kind] ?? client.kind}
      </td>
      <td data-label="Without answer" class="number">{formatCount(client.requests)}</td>
      <td data-label="Waiting" class="number">
        <Bytes bytes={client.waitingBytes} />
      </td>
      {may("operator") && (
        <td class="row-actions">
          {client.kind !== "relay" && (
            <WriteButton
              class="small"
              aria-label={`Kick ${name}`}
              onClick={() => props.onKick(client)}
            >
              Kick
            </WriteButton>
          )}
        </td>
      )}
    </tr>
  );
}

/** Clients of a relay; operators may put one out. */
export function RelayClients({ relay }: { relay: string }): JSX.Element {
  const list = useLoad(
    `clients of ${relay}`,
    (signal) => call("listRelayClients", { params: { relay }, signal }),
    REFRESH_MS,
  );
  const [kicked, setKicked] = useState<Client>();
  const heads = ["Client", "From", "Speaks", "#Without answer", "#Waiting"];
  const first = useFirst<Client>("client");
  return (
    <>
      <Load of={list} onRetry={list.reload}>
        {({ clients, total }) => {
          const { rows, rest } = first(clients, total);
          return rows.length === 0
            ? (
              <Empty icon="relay" title="No client is here">
                <p>
                  Programs ask with <code>RelayClient</code>; try{" "}
                  <code>lars relay bench --relay {relay}</code>.
                </p>
              </Empty>
            )
            : (
              <ListTable
                caption="Clients of the relay"
                heads={heads}
                hasActions={may("operator")}
                below={rest}
              >
                {rows.map((client) => (
                  <ClientRow key={client.sid} client={client} onKick={setKicked} />
                ))}
              </ListTable>
            );
        }}
      </Load>
      {kicked !== undefined && (
        <KickDialog
          relay={relay}
          client={kicked}
          onClose={() => setKicked(undefined)}
          onDone={list.reload}
        />
      )}
    </>
  );
}

/** Workers of a relay. */
export function RelayWorkers({ relay }: { relay: string }): JSX.Element {
  const list = useLoad(
    `workers of ${relay}`,
    (signal) => call("listRelayWorkers", { params: { relay }, signal }),
    REFRESH_MS,
  );
  const first = useFirst<RelayWorkerList["workers"][number]>("worker");
  return (
    <Load of={list} onRetry={list.reload}>
      {({ workers, total }) => {
        const { rows, rest } = first(workers, total);
        return rows.length === 0
          ? (
            <Empty icon="relay" title="No worker is attached">
              <p>
                Programs answer with <code>RelayWorker</code>; try{" "}
                <code>lars relay echo --relay {relay}</code>.
              </p>
            </Empty>
          )
          : (
            <ListTable
              caption="Workers of the relay"
              heads={["Worker", "Modules", "#Running", "#Credit", "#Answered"]}
              below={rest}
            >
              {rows.map((worker) => (
                <tr key={worker.from}>
                  <td class="main-cell">
                    <code data-row tabIndex={-1}>{worker.from}</code>
                  </td>
                  <td data-label="Modules" class="prose">
                    {worker.modules.length === 0
                      ? <span class="muted">takes no more</span>
                      : worker.modules.map((module, index) => (
                        <span key={`${module.modId}/${module.cmdId}`}>
                          {index > 0 && ", "}
                          <Module module={module} />
                        </span>
                      ))}
                  </td>
                  <td data-label="Running" class="number">{formatCount(worker.running)}</td>
                  <td data-label="Credit" class="number">{formatCount(worker.credit)}</td>
                  <td data-label="Answered" class="number">{formatCount(worker.answered)}</td>
                </tr>
              ))}
            </ListTable>
          );
      }}
    </Load>
  );
}

/** Queues of the modules of a relay, longest first. */
export function RelayQueues({ relay }: { relay: string }): JSX.Element {
  const list = useLoad(
    `queues of ${relay}`,
    (signal) => call("listRelayQueues", { params: { relay }, signal }),
    REFRESH_MS,
  );
  const first = useFirst<RelayQueueList["queues"][number]>("module");
  return (
    <Load of={list} onRetry={list.reload}>
      {({ queues, total }) => {
        const { rows, rest } = first(queues, total);
        return rows.length === 0
          ? (
            <Empty icon="relay" title="No module is served">
              <p>A module stands here while it has a worker, or requests that wait.</p>
            </Empty>
          )
          : (
            <ListTable
              caption="Queues of the relay, longest first"
              heads={["Module", "#Workers", "#Waiting", "#Bytes", "#Oldest"]}
              below={rest}
            >
              {rows.map((queue) => (
                <tr key={`${queue.modId}/${queue.cmdId}`}>
                  <td class="main-cell">
                    <span data-row tabIndex={-1}>
                      <Module module={queue} />
                    </span>
                  </td>
                  <td
                    data-label="Workers"
                    class={`number ${queue.workers === 0 ? "strong crit" : ""}`}
                  >
                    {formatCount(queue.workers)}
                  </td>
                  <td data-label="Waiting" class="number">{formatCount(queue.waiting)}</td>
                  <td data-label="Bytes" class="number">
                    <Bytes bytes={queue.waitingBytes} />
                  </td>
                  <td data-label="Oldest" class="number">
                    {waitText(queue.oldestMs) ?? UNKNOWN}
                  </td>
                </tr>
              ))}
            </ListTable>
          );
      }}
    </Load>
  );
}

/** What did not arrive, and why. */
export function RelayDrops({ drops }: { drops: readonly RelayDrop[] }): JSX.Element {
  if (drops.length === 0) {
    return (
      <Empty icon="ok" title="Everything has arrived">
        <p>What a queue refuses, or comes too late, is counted here by its reason.</p>
      </Empty>
    );
  }
  return (
    <ListTable caption="What did not arrive" heads={["What", "Why", "#Per second", "#In all"]}>
      {drops.map((drop) => {
        const { what, why } = dropWords(drop);
        const isNow = (drop.perSecond ?? 0) > 0;
        return (
          <tr key={`${drop.what} ${drop.reason}`}>
            <td class="main-cell">
              <span data-row tabIndex={-1}>{what}</span>
            </td>
            <td data-label="Why" class="prose">{why}</td>
            <td data-label="Per second" class={`number ${isNow ? "strong warn" : ""}`}>
              {drop.perSecond === null ? UNKNOWN : formatNumber(drop.perSecond)}
            </td>
            <td data-label="In all" class="number">{formatCount(drop.count)}</td>
          </tr>
        );
      })}
    </ListTable>
  );
}

function NoMail({ title, children }: { title: string; children: ComponentChildren }): JSX.Element {
  return (
    <Empty icon="relay" title={title}>
      <p>{children}</p>
    </Empty>
  );
}

/** Mailboxes with messages for clients that are away. */
export function RelayMailBoxes(props: { relay: string; facts: RelayFacts }): JSX.Element {
  if (props.facts.mailWaiting === null) {
    return (
      <NoMail title="This relay keeps no messages">
        With <code>store</code> of <code>[relay]</code> it keeps those for clients that are away.
      </NoMail>
    );
  }
  return <MailBoxes relay={props.relay} share={props.facts.mailShare} />;
}

function MailBoxes({ relay, share }: { relay: string; share: number | null }): JSX.Element {
  const list = useLoad(
    `mail of ${relay}`,
    (signal) => call("getRelayMail", { params: { relay }, signal }),
    REFRESH_MS,
  );
  return (
    <Load of={list} onRetry={list.reload}>
      {({ boxes, waiting, waitingBytes, oldestSentAtMs }) =>
        boxes.length === 0
          ? (
            <NoMail title="No message waits">
              Messages that are sent <code>stored</code> wait here until their client takes them.
            </NoMail>
          )
          : (
            <>
              <dl class="stats">
                <Stat label="Kept">{formatCount(waiting)}</Stat>
                <Stat label="Bytes">{formatBytes(waitingBytes)}</Stat>
                <Stat label="Of its room">{share === null ? UNKNOWN : formatShare(share)}</Stat>
                <Stat label="Oldest">
                  <Ago atMs={oldestSentAtMs} />
                </Stat>
              </dl>
              <ListTable caption="Mailboxes, fullest first" heads={["For", "#Messages", "#Bytes"]}>
                {boxes.map((box) => (
                  <tr key={box.name}>
                    <td class="main-cell">
                      <span data-row tabIndex={-1} class="cut" title={box.name}>{box.name}</span>
                    </td>
                    <td data-label="Messages" class="number">{formatCount(box.waiting)}</td>
                    <td data-label="Bytes" class="number">{formatBytes(box.waitingBytes)}</td>
                  </tr>
                ))}
              </ListTable>
            </>
          )}
    </Load>
  );
}
