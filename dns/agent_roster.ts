// Core. The agents linked to this dns: what they said, what has reached them, what is written down.

import { formatIpv4 } from "../reactor/address.ts";
import type { Clock } from "../reactor/time/clock.ts";
import { ProtocolError } from "../reactor/errors.ts";
import type { PeerSession } from "../session/server_sessions.ts";
import type { AgentStatus } from "../proto/codec.ts";
import type { ServiceInstance } from "../sql/store.ts";
import { PORT_MAX, ZONE_LENGTH_MAX } from "../model/node.ts";

/** Agents one dns keeps count of; further ones are served, and counted as refused here. */
export const AGENTS_MAX = 10_000;

/** An agent that has gone is known for so long: 7 days, in seconds, as its row in the database. */
export const AGENT_KNOWN_S = 7 * 86_400;

/**
 * A push counts as arrived for so long before a ping has said so: two intervals of pings, because
 * the first one after the push may have been on its way already.
 */
export const ARRIVAL_GRACE_MS = 3200;

/** Longest texts that are kept of an agent, in characters. */
const HELD_LENGTH_MAX = 600;

/** One linked agent, in plain values that pass from a loop to the main thread. */
export interface AgentSighting {
  readonly status: AgentStatus;
  readonly software: string;
  /** Since its last ping, in milliseconds. */
  readonly heardMsAgo: number;
  /** For how long a push has been on its way without having arrived; 0: it has everything. */
  readonly behindMs: number;
}

interface Link {
  status: AgentStatus | undefined;
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
      link = { status: undefined, sent: 0, sentAtMs: 0, mark: 0, markAtMs: 0 };
      this.#links.set(peer, link);
    }
    return link;
  }
}

interface Known {
  sighting: AgentSighting;
  /** In unix seconds. */
  seenAt: number;
  /** `RouteVersion` of which all routes had arrived; undefined: that was never so. */
  version: number | undefined;
  writtenSeenAt: number;
}

/** Name of an agent: address of its host and first port. */
function nameOf({ ip, port }: AgentStatus): string {
  return `${formatIpv4(ip)}:${port}`;
}

/** The agents of all loops, on the main thread. */
export class AgentRoster {
  readonly #known = new Map<string, Known>();
  /** Names by loop, as of its last word. */
  readonly #linked = new Map<number, ReadonlySet<string>>();
  readonly #agentsMax: number;
  #refusedCount = 0;

  constructor(agentsMax: number = AGENTS_MAX) {
    this.#agentsMax = agentsMax;
  }

  /** Agents linked now, and those known besides that were linked in the last days. */
  get counts(): { linked: number; known: number; refused: number } {
    return {
      linked: this.#linkedNames().size,
      known: this.#known.size,
      refused: this.#refusedCount,
    };
  }

  /**
   * A loop says who is linked to it.
   *
   * @param version `RouteVersion` of the routes that had been given to the loop when it was asked.
   * @param wallMs Now.
   */
  take(loop: number, sightings: readonly AgentSighting[], version: number, wallMs: number): void {
    const names = new Set<string>();
    for (const sighting of sightings) {
      const name = nameOf(sighting.status);
      const seenAt = Math.floor((wallMs - sighting.heardMsAgo) / 1000);
      const known = this.#known.get(name);
      if (known === undefined && !this.#makeRoom()) {
        this.#refusedCount++;
        continue;
      }
      names.add(name);
      // A connection that died unnoticed beside the one that took its place.
      if (known !== undefined && known.seenAt > seenAt) continue;
      const hasAll = version > 0 && sighting.behindMs <= ARRIVAL_GRACE_MS;
      this.#known.set(name, {
        sighting,
        seenAt,
        version: hasAll ? version : known?.version,
        writtenSeenAt: known?.writtenSeenAt ?? -1,
      });
    }
    this.#linked.set(loop, names);
    this.#forgetOld(Math.floor(wallMs / 1000));
  }

  /** A loop is gone, with its connections. */
  lostLoop(loop: number): void {
    this.#linked.delete(loop);
  }

  /**
   * Rows of agents that were heard since they were written last. One that has gone has none: its
   * row tells by itself when it was seen last, and another dns may know better.
   *
   * @param dns Address of this dns.
   */
  rows(dns: string): ServiceInstance[] {
    const rows: ServiceInstance[] = [];
    for (const name of this.#linkedNames()) {
      const known = this.#known.get(name);
      if (known !== undefined && known.seenAt > known.writtenSeenAt) {
        rows.push(rowOf(name, known, dns));
      }
    }
    return rows;
  }

  /** These rows are stored. */
  written(rows: readonly ServiceInstance[]): void {
    for (const { address, seenAt } of rows) {
      const known = this.#known.get(address);
      if (known !== undefined) known.writtenSeenAt = Math.max(known.writtenSeenAt, seenAt);
    }
  }

  #linkedNames(): Set<string> {
    return new Set([...this.#linked.values()].flatMap((names) => [...names]));
  }

  #isLinked(name: string): boolean {
    for (const names of this.#linked.values()) if (names.has(name)) return true;
    return false;
  }

  /** One that has gone gives way to one that is here; false when all are here. */
  #makeRoom(): boolean {
    if (this.#known.size < this.#agentsMax) return true;
    for (const name of this.#known.keys()) {
      if (this.#isLinked(name)) continue;
      this.#known.delete(name);
      return true;
    }
    return false;
  }

  #forgetOld(nowS: number): void {
    for (const [name, { seenAt }] of this.#known) {
      if (seenAt < nowS - AGENT_KNOWN_S) this.#known.delete(name);
    }
  }
}

function rowOf(
  address: string,
  { sighting, seenAt, version }: Known,
  dns: string,
): ServiceInstance {
  const { status, software } = sighting;
  return {
    kind: "agent",
    address,
    software,
    startedAt: Math.min(status.startedAt, seenAt),
    seenAt,
    detail: {
      dns,
      ...(version === undefined ? {} : { version }),
      zone: status.zone,
      modules: status.modules,
      modulesHeld: status.held,
      routesHeldBack: status.heldRoutes,
      policiesRefused: status.policiesRefused,
      reporterConnected: Number(status.reporterConnected),
    },
  };
}
