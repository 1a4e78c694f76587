// Core. What the peers of one loop of dns tell of themselves, and whether they have what was sent.

import { PORT_MAX, ZONE_LENGTH_MAX } from "../model/node.ts";
import type { AgentStatus, ExportStatus } from "../proto/codec.ts";
import { ProtocolError } from "../reactor/errors.ts";
import type { Clock } from "../reactor/time/clock.ts";
import type { PeerSession } from "../session/server_sessions.ts";

/** Longest texts that are kept of an agent, in characters. */
const HELD_LENGTH_MAX = 600;

/** Longest name of an export, and longest other text of it, in characters; ways that are kept. A row
 * of the database has room for them. */
const EXPORT_NAME_LENGTH_MAX = 100;
const WAY_TEXT_LENGTH_MAX = 200;
const WAYS_MAX = 8;

/**
 * A push counts as arrived for so long before a ping has said so: two intervals of pings, because
 * the first one after the push may have been on its way already.
 */
export const ARRIVAL_GRACE_MS = 3200;

/** One linked agent, in plain values that pass from a loop to the main thread. */
export interface AgentSighting {
  readonly status: AgentStatus;
  readonly software: string;
  /** Since its last ping, in milliseconds. */
  readonly heardMsAgo: number;
  /** For how long a push has been on its way without having arrived; 0: it has everything. */
  readonly behindMs: number;
}

/** One linked export, in plain values as well. */
export interface ExportSighting {
  readonly status: ExportStatus;
  readonly software: string;
  /** Since its last ping, in milliseconds. */
  readonly heardMsAgo: number;
  /** For how long a push has been on its way without having arrived; 0: it has everything. */
  readonly behindMs: number;
}

/** Who else is linked to a loop: exports, and programs that follow routes in their own process. */
export interface OtherSightings {
  readonly exports: readonly ExportSighting[];
  readonly clients: number;
  /** Clients that a push has not reached for longer than two of their pings. */
  readonly clientsBehind: number;
}

interface Link {
  status: AgentStatus | undefined;
  /** What an export tells of itself. */
  exported: ExportStatus | undefined;
  /** Newest revision that was sent, and when. */
  sent: number;
  sentAtMs: number;
  /** The first one that was sent after the one before had arrived, and when. */
  mark: number;
  markAtMs: number;
}

/** Text of a stranger: without what moves a terminal's cursor, and not too long. */
function plainText(text: string, lengthMax: number): string {
  return text.replace(/\p{Cc}/gu, "").slice(0, lengthMax).toWellFormed();
}

/** The agents of one loop. Bounded by its connections: {@linkcode LoopAgents.closed} drops them. */
export class LoopAgents<P> {
  readonly #clock: Clock;
  readonly #sessionOf: (peer: P) => PeerSession | undefined;
  readonly #links = new Map<P, Link>();

  constructor(port: { clock: Clock; sessionOf(peer: P): PeerSession | undefined }) {
    this.#clock = port.clock;
    this.#sessionOf = (peer) => port.sessionOf(peer);
  }

  /**
   * A peer tells of itself.
   *
   * @throws {ProtocolError} when it is no agent that said Hello, or changes its name.
   */
  told(peer: P, status: AgentStatus): void {
    if (this.#sessionOf(peer)?.role !== "agent") {
      throw new ProtocolError("Only an agent that said Hello may send AgentStatus");
    }
    if (status.port < 1 || status.port > PORT_MAX) {
      throw new ProtocolError(
        `AgentStatus.port must be 1 to ${PORT_MAX}: current value is ${status.port}`,
      );
    }
    const link = this.#link(peer);
    const before = link.status;
    if (before !== undefined && (before.ip !== status.ip || before.port !== status.port)) {
      throw new ProtocolError("An agent must keep its name on a connection");
    }
    link.status = {
      ...status,
      zone: plainText(status.zone, ZONE_LENGTH_MAX),
      heldRoutes: plainText(status.heldRoutes, HELD_LENGTH_MAX),
    };
  }

  /**
   * An export tells of itself.
   *
   * @throws {ProtocolError} when it is none that said Hello, or changes its name.
   */
  toldExport(peer: P, { name: told, ways, ...status }: ExportStatus): void {
    const name = plainText(told, EXPORT_NAME_LENGTH_MAX);
    if (this.#sessionOf(peer)?.role !== "export" || name === "") {
      throw new ProtocolError(
        "Only an export that said Hello and has a name may send ExportStatus",
      );
    }
    const link = this.#link(peer);
    if (link.exported !== undefined && link.exported.name !== name) {
      throw new ProtocolError("An export must keep its name on a connection");
    }
    link.exported = {
      ...status,
      name,
      ways: ways.slice(0, WAYS_MAX).map(({ way, at, fault, ...counts }) => ({
        ...counts,
        way: plainText(way, EXPORT_NAME_LENGTH_MAX),
        at: plainText(at, WAY_TEXT_LENGTH_MAX),
        fault: plainText(fault, WAY_TEXT_LENGTH_MAX),
      })),
    };
  }

  /** Name of the export that a peer is; undefined: none that has told of itself. */
  exportOf(peer: P): string | undefined {
    return this.#links.get(peer)?.exported?.name;
  }

  /** What a peer has told of itself; undefined: nothing. */
  statusOf(peer: P): AgentStatus | undefined {
    return this.#links.get(peer)?.status;
  }

  /** A route of this revision was sent to a peer that said Hello. */
  sent(peer: P, revision: number): void {
    const link = this.#link(peer);
    if (revision <= link.sent) return;
    link.sent = revision;
    link.sentAtMs = this.#clock.nowMs();
    if (this.#arrived(peer) < link.mark) return;
    link.mark = revision;
    link.markAtMs = link.sentAtMs;
  }

  /** A peer is gone. */
  closed(peer: P): void {
    this.#links.delete(peer);
  }

  /** The agent of this name: address of its host, unsigned, and the first of its ports. */
  find(ip: number, port: number): P | undefined {
    for (const [peer, { status }] of this.#links) {
      if (status !== undefined && status.ip === ip && status.port === port) return peer;
    }
    return undefined;
  }

  /** Every agent that has told of itself. */
  sightings(): AgentSighting[] {
    const nowMs = this.#clock.nowMs();
    const sightings: AgentSighting[] = [];
    for (const [peer, link] of this.#links) {
      const session = this.#sessionOf(peer);
      if (link.status === undefined || session === undefined) continue;
      sightings.push({
        status: link.status,
        software: plainText(session.software, Infinity),
        heardMsAgo: nowMs - session.heardAtMs,
        behindMs: this.#behindMs(peer, link, nowMs),
      });
    }
    return sightings;
  }

  /** Who else follows routes over this loop. */
  others(): OtherSightings {
    const nowMs = this.#clock.nowMs();
    const exports: ExportSighting[] = [];
    let [clients, clientsBehind] = [0, 0];
    for (const [peer, link] of this.#links) {
      const session = this.#sessionOf(peer);
      if (session === undefined) continue;
      const behindMs = this.#behindMs(peer, link, nowMs);
      if (session.role === "client") {
        clients++;
        clientsBehind += Number(behindMs > ARRIVAL_GRACE_MS);
      }
      if (link.exported === undefined) continue;
      exports.push({
        ...{ status: link.exported, behindMs, heardMsAgo: nowMs - session.heardAtMs },
        software: plainText(session.software, Infinity),
      });
    }
    return { exports, clients, clientsBehind };
  }

  #behindMs(peer: P, link: Link, nowMs: number): number {
    const arrived = this.#arrived(peer);
    if (arrived >= link.sent) return 0;
    return nowMs - (arrived >= link.mark ? link.sentAtMs : link.markAtMs);
  }

  #arrived(peer: P): number {
    return this.#sessionOf(peer)?.revision ?? 0;
  }

  #link(peer: P): Link {
    let link = this.#links.get(peer);
    if (link === undefined) {
      link = { status: undefined, exported: undefined, sent: 0, sentAtMs: 0, mark: 0, markAtMs: 0 };
      this.#links.set(peer, link);
    }
    return link;
  }
}
