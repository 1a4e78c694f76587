// Core. Events: what happened when, for people and alerts.

import type { ModuleKey } from "../../model/module.ts";
import type { NodeKey } from "../../model/node.ts";

/** Most characters of the text of an event; more are cut off. */
export const EVENT_TEXT_LENGTH_MAX = 500;

/** Most characters of the detail of an event as JSON. */
export const EVENT_DETAIL_LENGTH_MAX = 16_000;

/** Most events in one `addEvents`. */
export const EVENTS_PER_CALL_MAX = 1_000;

/** Most events that one `readEvents` gives. */
export const EVENTS_READ_MAX = 10_000;

/** How long events are kept, in seconds: 30 days. */
export const EVENT_KEEP_S = 30 * 86_400;

/** Most events kept. */
export const EVENT_COUNT_MAX = 200_000;

/** Every kind of event that this version writes. Newer versions may have stored others. */
export const EVENT_KINDS = [
  ...["node.overload", "node.idle", "alert.firing", "alert.ended"] as const,
  ...["lease.waiting", "lease.checking", "lease.live", "lease.doubt", "lease.failing"] as const,
  ...["lease.drain", "lease.gone"] as const,
  ...["scale.up", "scale.down", "scale.cancel", "scale.gone", "scale.late", "scale.fault"] as const,
] as const;

/** A kind of event that this version writes. */
export type EventKind = typeof EVENT_KINDS[number];

/** Something that happened. */
export interface NewEvent {
  /** When, in unix milliseconds. */
  readonly atMs: number;
  /** A word for its kind, at most 32 of `a-z 0-9 . _ -`: `node.overload`. */
  readonly kind: string;
  /** The module it is about. */
  readonly module?: ModuleKey;
  /** The node it is about. */
  readonly node?: Pick<NodeKey, "ip" | "port">;
  /** The host that saw it (for a node: its agent's), an unsigned IPv4 address. */
  readonly host?: number;
  /** One sentence for people. */
  readonly text: string;
  /** Values for programs; at most `EVENT_DETAIL_LENGTH_MAX` characters as JSON. @default {{}} */
  readonly detail?: Readonly<Record<string, unknown>>;
}

/** An event as stored. */
export interface EventRecord extends NewEvent {
  /** Grows with time; two writers at once may store their events out of order. */
  readonly id: number;
  readonly detail: Readonly<Record<string, unknown>>;
}

/** Which events are wanted. */
export interface EventQuery {
  /**
   * Events with a larger id, oldest first. Left out: the latest ones. A transaction that ends late
   * can store a smaller id than one seen already: who follows events asks from some ids before the
   * last and passes over what he has seen.
   */
  readonly afterId?: number;
  /** Events with a smaller id, the latest ones of them: to page back. */
  readonly beforeId?: number;
  /** These kinds only; a word that ends in `.` stands for all that begin with it. */
  readonly kinds?: readonly string[];
  readonly module?: ModuleKey;
  /** 1 to `EVENTS_READ_MAX`. @default {100} */
  readonly limit?: number;
}

/** How many events are kept. */
export interface EventRetention {
  /** Now, in unix milliseconds. */
  readonly nowMs: number;
  /** @default {EVENT_KEEP_S} */
  readonly keepSeconds?: number;
  /** @default {EVENT_COUNT_MAX} */
  readonly countMax?: number;
}

/** The events in the database. A schema without them reads as empty. */
export interface EventStore {
  /**
   * Stores events, all or none. Repeated after a failure whose outcome is unknown they may be there
   * twice.
   *
   * @throws {StoreError} for good, on a schema without events.
   * @throws {RangeError} when a kind is no word or a number is out of range.
   * @throws {LimitError} with more than `EVENTS_PER_CALL_MAX` events or too long a detail.
   */
  addEvents(events: readonly NewEvent[]): Promise<void>;
  /** Events in order of their id. */
  readEvents(query?: EventQuery): Promise<EventRecord[]>;
  /** Deletes events past their time and the oldest of too many. */
  pruneEvents(retention: EventRetention): Promise<void>;
}
