// Core. Events of one node that goes out and comes back again and again, as one line.

import { isRecovery } from "../system/severity.ts";
import type { EventView } from "../schemas.ts";

/** Changes of one node further apart than this belong to different stories, in milliseconds. */
export const FLIP_PAUSE_MAX_MS = 10 * 60_000;
/** Fewer changes than this stand each for itself. */
const FLIPS_MIN = 3;

/** One event, or several that tell one story. */
export interface EventGroup {
  /** The newest. */
  readonly event: EventView;
  /** All of them, newest first; one when the event stands for itself. */
  readonly events: readonly EventView[];
  /** What the story is, in one sentence. */
  readonly text: string;
}

/** What an event is about, when it is of a node that goes out or comes back. */
function nodeOf({ kind, modId, cmdId, node }: EventView): string | undefined {
  if (node === null || (kind !== "node.overload" && kind !== "node.idle")) return undefined;
  return `${modId}/${cmdId} ${node}`;
}

function spanText(ms: number): string {
  return ms < 120_000 ? `${Math.round(ms / 1000)} s` : `${Math.round(ms / 60_000)} min`;
}

function storyText(events: readonly EventView[]): string {
  const [newest] = events;
  if (events.length === 1) return newest.text;
  const outCount = events.filter(({ kind }) => !isRecovery(kind)).length;
  const hosts = new Set(events.map(({ host }) => host)).size;
  const tookMs = newest.atMs - (events.at(-1)?.atMs ?? newest.atMs);
  const where = hosts > 1 ? ` at ${hosts} hosts` : "";
  const now = isRecovery(newest.kind) ? "came back last" : "went out last";
  return `${newest.node} was kept out ${outCount} ${
    outCount === 1 ? "time" : "times"
  }${where} and ` +
    `came back ${events.length - outCount} ${events.length - outCount === 1 ? "time" : "times"} ` +
    `within ${spanText(tookMs)}; it ${now}`;
}

/**
 * Puts the changes of each node together that follow one another within
 * {@linkcode FLIP_PAUSE_MAX_MS}; the group stands where its newest event stood.
 *
 * @param events Newest first.
 */
export function groupEvents(events: readonly EventView[]): EventGroup[] {
  const groups: EventView[][] = [];
  const open = new Map<string, EventView[]>();
  for (const event of events) {
    const key = nodeOf(event);
    const group = key === undefined ? undefined : open.get(key);
    const last = group?.at(-1);
    if (group !== undefined && last !== undefined && last.atMs - event.atMs <= FLIP_PAUSE_MAX_MS) {
      group.push(event);
      continue;
    }
    const begun = [event];
    groups.push(begun);
    if (key !== undefined) open.set(key, begun);
  }
  return groups.flatMap((group) => group.length < FLIPS_MIN ? group.map((one) => [one]) : [group])
    .sort((a, b) => b[0].id - a[0].id)
    .map((all) => ({ event: all[0], events: all, text: storyText(all) }));
}
