// Core. Words for relays: how one does, and what did not arrive and why.

import type { RelayDrop, RelayFacts, RelayRow } from "../../../control/schemas.ts";
import type { MessageRefusal } from "../../../relay/broker/ledger.ts";

/** A request that has waited so long is worth a word. */
const WAITS_LONG_MS = 5_000;

/** How a relay is shown. */
export interface RelayLook {
  readonly tone: "ok" | "warn" | "crit" | "idle";
  readonly icon: "ok" | "warn" | "idle";
  readonly text: string;
  readonly title: string;
}

/** How a relay does: the worst of what is to be said. */
export function relayLook({ fault, facts }: Pick<RelayRow, "fault" | "facts">): RelayLook {
  if (facts === null) {
    return { tone: "crit", icon: "warn", text: "away", title: fault ?? "It does not answer" };
  }
  // Those of other relays answer too, and are none of its own.
  if (facts.workers === 0 && !((facts.answersPerSecond ?? 0) > 0)) {
    const isAsked = facts.waiting > 0 || (facts.requestsPerSecond ?? 0) > 0;
    return isAsked
      ? {
        tone: "crit",
        icon: "warn",
        text: "no worker",
        title: "Requests come, and nobody answers",
      }
      : { tone: "idle", icon: "idle", text: "no worker", title: "No worker is attached" };
  }
  const dropped = droppedPerSecond(facts);
  if (dropped > 0) {
    return {
      tone: "warn",
      icon: "warn",
      text: "drops",
      title: "Messages do not arrive: see Drops",
    };
  }
  if (facts.oldestMs >= WAITS_LONG_MS) {
    return { tone: "warn", icon: "warn", text: "slow", title: "Requests wait long for a worker" };
  }
  return { tone: "ok", icon: "ok", text: "ok", title: "Requests find workers at once" };
}

/** Messages of every kind that did not arrive in a second; of one sent twice one has arrived. */
export function droppedPerSecond({ drops }: Pick<RelayFacts, "drops">): number {
  return drops.reduce(
    (sum, { reason, perSecond }) => reason === "repeated" ? sum : sum + (perSecond ?? 0),
    0,
  );
}

const WHATS: Readonly<Record<string, string>> = {
  requests: "Requests",
  replies: "Answers of workers",
  transits: "Frames between clients of the original",
  messages: "Messages between clients",
  mail: "Messages that are kept",
};

const REASONS: Readonly<Record<MessageRefusal | "expired", string>> = {
  expired: "their time was over",
  full: "a queue was full",
  dropped: "the oldest made room for newer ones",
  no_worker: "no worker serves their module",
  no_client: "whom they are for is not here",
  slow: "whom they are for did not read, and was cut",
  oversize: "they were too large for their receiver",
  repeated: "sent again; the first one was taken",
  failed: "a worker or the database could not do it",
  lost: "what kept them is gone",
  late: "the time of the request was over",
  unknown: "nothing was asked that they answer",
  stopping: "the relay stopped",
};

/** What did not arrive, and why, in words; those of a newer relay as it says them. */
export function dropWords({ what, reason }: Pick<RelayDrop, "what" | "reason">): {
  readonly what: string;
  readonly why: string;
} {
  const known: Readonly<Record<string, string>> = REASONS;
  return { what: WHATS[what] ?? what, why: known[reason] ?? reason.replaceAll("_", " ") };
}

/** How long the oldest one has waited: `40 ms`, `1.2 s`, `3 min`; undefined: none waits. */
export function waitText(oldestMs: number): string | undefined {
  if (oldestMs <= 0) return undefined;
  if (oldestMs < 1000) return `${Math.round(oldestMs)} ms`;
  if (oldestMs < 60_000) return `${(oldestMs / 1000).toFixed(1)} s`;
  return `${Math.floor(oldestMs / 60_000)} min`;
}
