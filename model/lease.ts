// Core. What a lease of a self-registered node is, and its limits.

import type { NodeKey, NodeState, RouteRow } from "./node.ts";

/** Shortest and longest time to live: a second and a day, in milliseconds. */
export const LEASE_TTL_MS_MIN = 1_000;
export const LEASE_TTL_MS_MAX = 86_400_000;

/** Time to live when none is named. */
export const LEASE_TTL_MS_DEFAULT = 15_000;

/** A lease that has no end of its own: of a program that cannot beat. */
export const NO_TTL = 0;

/**
 * Registrations that one heartbeat names: so many fit a frame however long their numbers are, and
 * the answer that names them all too. Who has more says them in several.
 */
export const LEASE_BEAT_NAMES_MAX = 1_000;

/** Longest tags and metadata together, as JSON. Bytes of UTF-8. */
export const LEASE_NOTE_BYTES_MAX = 4_096;

/** Longest name of who registered. */
export const LEASE_OWNER_LENGTH_MAX = 64;

/** Longest check that discovery is asked to make. */
export const LEASE_CHECK_LENGTH_MAX = 512;

/** Where a lease stands. */
export const LEASE_PHASES = [
  ...["waiting", "checking", "live", "doubt", "failing", "drain", "gone"] as const,
] as const;

/**
 * Where a lease stands: `waiting`: registered, not ready yet, in no route. `checking`: ready by its
 * own word, and discovery has not seen it answer yet, so in no route. `live`: gets calls. `doubt`:
 * its connection was lost. `failing`: it does not answer discovery any more. `drain`: it wants no
 * new calls. `gone`: over; the row stays for what an operator wants of the node.
 */
export type LeasePhase = typeof LEASE_PHASES[number];

/** How a node registered: by our own frames, by REST, or by the protocol of seed programs. */
export type LeaseSource = "lars" | "rest" | "seed";

/** What a route says of a node. */
export type RouteValues = Pick<RouteRow, "weight" | "zone" | "state">;

/** What an operator wants of a node, whatever the node says; what is absent is the node's. */
export interface OperatorHand {
  readonly weight?: number | undefined;
  readonly zone?: string | undefined;
  readonly state?: Exclude<NodeState, "on"> | undefined;
}

/** One row of Lease. */
export interface LeaseRow extends NodeKey {
  /** Tells one registration of the node from the next, which has a greater one; from 1 to 2^52. */
  readonly incarnation: number;
  /** The discovery that hears this node, or found that its time was over; 0: none. */
  readonly holder: number;
  readonly phase: LeasePhase;
  /** {@linkcode LEASE_TTL_MS_MIN} to {@linkcode LEASE_TTL_MS_MAX}, or {@linkcode NO_TTL}. */
  readonly ttlMs: number;
  /** What the node wants. */
  readonly weight: number;
  readonly zone: string;
  readonly source: LeaseSource;
  /** Who registered it, for people. */
  readonly owner: string;
  /** Tags and metadata, a JSON object; "" = none. */
  readonly note: string;
  /** What discovery checks, `tcp` or `http:/path`; "" = nothing. */
  readonly check: string;
  /** When it registered, in unix seconds by the database. */
  readonly sinceS: number;
  /** What discovery last wrote into the route; undefined: the node has no row of ours. */
  readonly written: RouteValues | undefined;
  readonly hand: OperatorHand;
}

/** True while a node counts as one of its module. */
export function isHeld({ phase }: Pick<LeaseRow, "phase">): boolean {
  return phase !== "gone";
}

/** True when an operator wants something of the node. */
export function hasHand({ hand }: Pick<LeaseRow, "hand">): boolean {
  return hand.weight !== undefined || hand.zone !== undefined || hand.state !== undefined;
}

/** A lease's route as it should be; undefined: none. The operator's hand wins. */
export function wantedRoute(
  { phase, weight, zone, hand }: Pick<LeaseRow, "phase" | "weight" | "zone" | "hand">,
): RouteValues | undefined {
  if (phase === "waiting" || phase === "checking" || phase === "gone") return undefined;
  const state = phase === "live" ? "on" : "drain";
  return {
    weight: hand.weight ?? weight,
    zone: hand.zone ?? zone,
    state: hand.state === "off" || hand.state === undefined ? hand.state ?? state : "drain",
  };
}

/** Who took a node out; empty: nobody that its lease knows of. */
export type NodeOutBy = "" | "operator" | "lease" | "node" | "check";

/** Who keeps a registered node from getting calls. */
export function nodeOutBy({ phase, weight, hand }: LeaseRow): NodeOutBy {
  if (hand.state !== undefined || hand.weight === 0) return "operator";
  switch (phase) {
    case "doubt":
    case "gone":
      return "lease";
    case "checking":
    case "failing":
      return "check";
    case "waiting":
    case "drain":
      return "node";
    case "live":
      return weight === 0 && hand.weight === undefined ? "node" : "";
  }
}
