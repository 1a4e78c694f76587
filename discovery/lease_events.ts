// Core. What is said of changes of leases: in the audit, and as events.

import type { LeasePhase } from "../model/lease.ts";
import { quantity } from "../model/quantity.ts";
import { nodeText } from "../model/node.ts";
import type { EventKind, NewEvent } from "../sql/results/event.ts";
import type { LeaseStep } from "./lease_plan.ts";

/** Events of one batch and kind; of more one tells how many. */
const EVENTS_OF_KIND_MAX = 20;

/** Words for what became of a lease, by phase. */
const WORDS: Record<LeasePhase, { readonly kind: EventKind; readonly text: string }> = {
  waiting: { kind: "lease.waiting", text: "registered, not ready yet" },
  checking: { kind: "lease.checking", text: "registered, and is checked" },
  live: { kind: "lease.live", text: "registered and ready" },
  doubt: { kind: "lease.doubt", text: "lost its connection to discovery" },
  failing: { kind: "lease.failing", text: "does not answer the check of discovery" },
  drain: { kind: "lease.drain", text: "wants no new calls" },
  gone: { kind: "lease.gone", text: "is no longer registered" },
};

/** One line for the audit; empty: nothing happened. */
export function stepsSummary(steps: readonly LeaseStep[]): string {
  const counts = new Map<LeasePhase, LeaseStep[]>();
  for (const step of steps) {
    const some = counts.get(step.row.phase);
    if (some === undefined) counts.set(step.row.phase, [step]);
    else some.push(step);
  }
  return [...counts].map(([phase, some]) =>
    `${WORDS[phase].kind}: ${
      some.length === 1 ? nodeText(some[0].row) : quantity(some.length, "node")
    }`
  ).join(", ");
}

/** Events for people, and for the rules that watch them. */
export function eventsOf(steps: readonly LeaseStep[], wallMs: number): NewEvent[] {
  const counts = new Map<LeasePhase, number>();
  const events: NewEvent[] = [];
  for (const { row, before } of steps) {
    const count = (counts.get(row.phase) ?? 0) + 1;
    counts.set(row.phase, count);
    if (count > EVENTS_OF_KIND_MAX) continue;
    const { kind, text } = WORDS[row.phase];
    const { modId, cmdId, ip, port } = row;
    events.push({
      ...{ atMs: wallMs, kind, module: { modId, cmdId }, node: { ip, port } },
      text: `Node ${nodeText(row)} ${text}`,
      detail: { source: row.source, owner: row.owner, before: before ?? "" },
    });
  }
  for (const [phase, count] of counts) {
    if (count <= EVENTS_OF_KIND_MAX) continue;
    const { kind, text } = WORDS[phase];
    const more = quantity(count - EVENTS_OF_KIND_MAX, "more node");
    events.push({ atMs: wallMs, kind, text: `${more}: ${text}`, detail: { count } });
  }
  return events;
}
