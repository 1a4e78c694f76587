// Core. Words for leases: where they stand, and who keeps their nodes out.

import type { LeaseView } from "../../../control/schemas.ts";
import type { LeasePhase } from "../../../model/lease.ts";

/** How a phase is shown. */
export interface PhaseLook {
  readonly tone: "ok" | "warn" | "idle";
  readonly icon: "ok" | "warn" | "idle" | "pause" | "off";
  readonly title: string;
}

/** Phases in the order in which people look for them. */
export const PHASE_LOOKS: Readonly<Record<LeasePhase, PhaseLook>> = {
  live: { tone: "ok", icon: "ok", title: "Registered and ready: it gets calls" },
  doubt: {
    tone: "warn",
    icon: "warn",
    title: "Its connection to discovery was lost: no new calls",
  },
  failing: { tone: "warn", icon: "warn", title: "It does not answer discovery: no new calls" },
  drain: { tone: "idle", icon: "pause", title: "It wants no new calls" },
  waiting: { tone: "idle", icon: "idle", title: "Registered, and not ready yet" },
  checking: { tone: "idle", icon: "idle", title: "Discovery has not seen it answer yet" },
  gone: { tone: "idle", icon: "off", title: "Over; what an operator wants of it is kept" },
};

const OUT_BY: Readonly<Record<NonNullable<LeaseView["outBy"]>, string>> = {
  operator: "by an operator",
  lease: "its connection was lost",
  node: "by itself",
  check: "it does not answer checks",
  calls: "by its callers",
};

/** Who keeps a node out; empty: nobody. */
export function outByText({ outBy }: Pick<LeaseView, "outBy">): string {
  return outBy === null ? "" : OUT_BY[outBy];
}

/** What an operator wants of a node: `off, weight 3`; empty: nothing. */
export function operatorText({ operator }: Pick<LeaseView, "operator">): string {
  const { state, weight, zone } = operator;
  return [
    state ?? [],
    weight === undefined ? [] : `weight ${weight}`,
    zone === undefined ? [] : zone === "" ? "no zone" : `zone ${zone}`,
  ].flat().join(", ");
}

/** Tags and metadata as pairs of name and text. */
export function noteFacts({ note }: Pick<LeaseView, "note">): { name: string; text: string }[] {
  return Object.entries(note ?? {}).map(([name, value]) => ({
    name,
    text: typeof value === "string" ? value : JSON.stringify(value),
  }));
}
