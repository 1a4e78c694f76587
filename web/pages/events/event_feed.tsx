// Shell. What happened, newest first, as it happens.

import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { call } from "../shell/api.ts";
import { kindText } from "./event_kind.ts";
import { type EventGroup, groupEvents } from "../../../control/reports/event_groups.ts";
import { modulePath } from "../parts/format.ts";
import { useLiveEvents } from "../shell/live.ts";
import { BACK_ROWS, useBackList } from "../parts/paging.ts";
import { useModuleNames } from "../shell/module_names.ts";
import { withQuery } from "../shell/places.ts";
import { ListTable, More } from "../parts/tables.tsx";
import { Ago, Empty, Load, SeverityBadge } from "../parts/widgets.tsx";
import type { EventView } from "../../../control/schemas.ts";

/** Live rows kept; older ones come from the list. */
const LIVE_ROWS_MAX = 500;

interface RowProps {
  readonly event: EventView;
  readonly text: string;
  /** What stands after the text. */
  readonly more?: JSX.Element;
  readonly isLocal: boolean;
  /** One of a story that was told in the row above. */
  readonly isPart?: boolean;
}

function Row({ event, text, more, isLocal, isPart = false }: RowProps): JSX.Element {
  const { modId, cmdId, node } = event;
  const names = useModuleNames();
  return (
    <tr class={isPart ? "quiet" : ""}>
      <td data-label="When" class="nowrap muted">
        <Ago atMs={event.atMs} />
      </td>
      <td data-label="How bad">
        <SeverityBadge severity={event.severity} />
      </td>
      <td class="main-cell prose">
        {names.inText(text)}
        {more}
      </td>
      <td data-label="Kind" class="muted nowrap">{kindText(event.kind)}</td>
      {!isLocal && (
        <td data-label="Module" class="names">
          {modId !== null && cmdId !== null && (
            <a
              data-row
              href={withQuery(modulePath({ modId, cmdId }), { find: node ?? undefined })}
            >
              {names.of({ modId, cmdId })}
            </a>
          )}
        </td>
      )}
    </tr>
  );
}

/** A story of one node, told in one row, or in all of them. */
function Story({ group, isLocal }: { group: EventGroup; isLocal: boolean }): JSX.Element {
  const [isOpen, setOpen] = useState(false);
  const { event, events } = group;
  const worst = events.find(({ severity }) => severity !== "info")?.severity ?? "info";
  return (
    <>
      <Row
        event={{ ...event, severity: worst }}
        isLocal={isLocal}
        text={group.text}
        more={
          <>
            {" "}
            <button
              type="button"
              class="link"
              aria-expanded={isOpen}
              onClick={() => setOpen(!isOpen)}
            >
              {isOpen ? "Hide" : "Show"} all {events.length}
            </button>
          </>
        }
      />
      {isOpen &&
        events.map((one) => (
          <Row key={one.id} event={one} text={one.text} isLocal={isLocal} isPart />
        ))}
    </>
  );
}

/** Events; of one module when it is given, of one kind when that is given. */
export function EventFeed(
  props: { modId?: number; cmdId?: number; kind?: string },
): JSX.Element {
  const isLocal = props.modId !== undefined;
  const module: { modId?: string; cmdId?: string } = isLocal
    ? { modId: String(props.modId), cmdId: String(props.cmdId) }
    : {};
  const kind = props.kind === undefined || props.kind === "" ? {} : { kind: props.kind };
  const key = JSON.stringify({ ...module, ...kind });
  const [live, setLive] = useState<{ key: string; rows: readonly EventView[] }>({ key, rows: [] });
  useLiveEvents(module, (rows) =>
    setLive((old) => ({
      key,
      rows: [...rows.toReversed(), ...(old.key === key ? old.rows : [])].slice(0, LIVE_ROWS_MAX),
    })));
  const list = useBackList(`events ${key}`, async (before, signal) => {
    const query = {
      ...module,
      ...kind,
      limit: String(BACK_ROWS),
      ...(before === undefined ? {} : { before: String(before) }),
    };
    const { events } = await call("listEvents", { query, ...(signal && { signal }) });
    return events;
  });
  return (
    <Load of={list} onRetry={list.reload} rows={8}>
      {(stored) => {
        const known = new Set(stored.map(({ id }) => id));
        const fresh = live.key === key
          ? live.rows.filter((row) =>
            // Of two writers at once the one with the smaller id may be seen later.
            !known.has(row.id) && row.id > (stored.at(-1)?.id ?? 0) &&
            (kind.kind === undefined || row.kind.startsWith(kind.kind))
          )
          : [];
        return (
          <EventTable
            rows={[...fresh, ...stored].toSorted((a, b) => b.id - a.id)}
            isLocal={isLocal}
            list={list}
          />
        );
      }}
    </Load>
  );
}

function EventTable(props: {
  rows: readonly EventView[];
  isLocal: boolean;
  list: { hasMore: boolean; isLoadingMore: boolean; more: () => void };
}): JSX.Element {
  if (props.rows.length === 0) {
    return (
      <Empty icon="events" title="Nothing happened">
        <p>Nodes kept out and back, services that go silent, alerts and changes stand here.</p>
      </Empty>
    );
  }
  return (
    <ListTable
      caption="Events, newest first"
      heads={["When", "How bad", "What", "Kind", ...(props.isLocal ? [] : ["Module"])]}
      below={<More list={props.list} />}
    >
      {groupEvents(props.rows).map((group) =>
        group.events.length === 1
          ? (
            <Row
              key={group.event.id}
              event={group.event}
              text={group.text}
              isLocal={props.isLocal}
            />
          )
          // By its oldest event, so that a story that goes on stays open.
          : <Story key={`story ${group.events.at(-1)?.id}`} group={group} isLocal={props.isLocal} />
      )}
    </ListTable>
  );
}
