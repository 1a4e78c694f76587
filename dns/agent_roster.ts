// Shell. The agents linked to this dns, as all its loops tell: what is known, and what is written.

import { formatIpv4 } from "../reactor/address.ts";
import type { Clock, Timer } from "../reactor/time/clock.ts";
import { messageOf, StoreError } from "../reactor/errors.ts";
import type { Logger } from "../reactor/log.ts";
import type { AgentStatus } from "../proto/codec.ts";
import type { ServiceInstance, Store } from "../sql/store.ts";
import { ExportRoster } from "./export_roster.ts";
import { type AgentSighting, ARRIVAL_GRACE_MS, type OtherSightings } from "./linked_peers.ts";

/** Agents one dns keeps count of; further ones are served, and counted as refused here. */
export const AGENTS_MAX = 10_000;

/** An agent that has gone is known for so long: 7 days, in seconds, as its row in the database. */
export const AGENT_KNOWN_S = 7 * 86_400;

interface Known {
  sighting: AgentSighting;
  /** In unix seconds. */
  seenAt: number;
  /** `RouteVersion` of which all routes had arrived; undefined: that was never so. */
  version: number | undefined;
  writtenSeenAt: number;
}

/** Name of an agent: address of its host and first port. */
function nameOf({ ip, port }: Pick<AgentStatus, "ip" | "port">): string {
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

  /** An agent has stopped because it was asked to: nobody waits for its next sign of life. */
  forget(name: string): void {
    this.#known.delete(name);
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

  /** True while an agent is linked, or was lately. */
  isKnown(name: string): boolean {
    return this.#known.has(name);
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
      ...(status.clients === undefined ? {} : { clients: status.clients }),
      ...(status.tableReaders === undefined ? {} : { tableReaders: status.tableReaders }),
    },
  };
}

const NO_OTHERS: OtherSightings = { exports: [], clients: 0, clientsBehind: 0 };

/** Time between two rounds: loops are asked, and what they say is written. */
export const AGENT_ROUND_MS = 10_000;

/** The first round comes sooner: agents have found a dns that has just started by then. */
const FIRST_ROUND_MS = 3_000;

/** What {@linkcode AgentWriter} is given. */
export interface AgentWriterOptions {
  readonly store: Pick<Store, "sightings" | "forgetInstance">;
  readonly clock: Clock;
  readonly log: Logger;
  readonly loopCount: number;
  /** Address of this dns, as others reach it. */
  readonly address: string;
  /** `RouteVersion` of the routes that the loops have been given. */
  version(): number;
  /** Asks every loop; each answers with {@linkcode AgentWriter.take}. */
  ask(round: number): void;
}

/** The rounds. A database that is away costs nothing but the rows: the next round writes all. */
export class AgentWriter {
  readonly #options: AgentWriterOptions;
  readonly #roster = new AgentRoster();
  readonly #exports = new ExportRoster();
  #round = 0;
  /** Of the round under way. */
  #version = 0;
  readonly #waitsFor = new Set<number>();
  #timer: Timer | undefined;
  #writing: Promise<void> | undefined;
  #isRefused = false;
  #removing: Promise<void> | undefined;
  /** Agents and exports that have said goodbye and whose rows are still there. */
  readonly #departed = new Map<string, { kind: "agent" | "export"; name: string }>();

  constructor(options: AgentWriterOptions) {
    this.#options = options;
  }

  start(): void {
    this.#arm(FIRST_ROUND_MS);
  }

  /** Counters for metrics. */
  stats(): Record<string, number> {
    const { linked, known, refused } = this.#roster.counts;
    const { exports, clients, clientsBehind } = this.#exports.counts;
    return {
      ...{ agents_linked: linked, agents_known: known, agents_refused: refused },
      ...{ exports_linked: exports, clients_linked: clients, clients_behind: clientsBehind },
    };
  }

  /** A loop answers. */
  take(
    loop: number,
    round: number,
    sightings: readonly AgentSighting[],
    others: OtherSightings = NO_OTHERS,
  ): void {
    if (round !== this.#round) return;
    this.#exports.take(loop, others, this.#version);
    this.#roster.take(loop, sightings, this.#version, this.#options.clock.wallMs());
    if (this.#waitsFor.delete(loop) && this.#waitsFor.size === 0) this.#write();
  }

  /** A loop is gone, with its connections. */
  lostLoop(loop: number): void {
    this.#roster.lostLoop(loop);
    this.#exports.lostLoop(loop);
  }

  /** An agent has stopped because it was asked to: its row goes. */
  goodbye(agent: Pick<AgentStatus, "ip" | "port">): void {
    const name = nameOf(agent);
    this.#roster.forget(name);
    this.#departs("agent", name);
  }

  /** An export has stopped because it was asked to: its row goes. */
  exportGone(name: string): void {
    this.#exports.forget(name);
    this.#departs("export", name);
  }

  #departs(kind: "agent" | "export", name: string): void {
    if (this.#departed.size >= AGENTS_MAX) return;
    this.#departed.set(`${kind} ${name}`, { kind, name });
    this.#removeDeparted();
  }

  /** One row after the other, once; what departs meanwhile comes last. */
  #removeDeparted(): void {
    this.#removing ??= this.#removeRows().finally(() => (this.#removing = undefined));
  }

  /** Each after a write that is under way, which may hold the row; the next round tries again. */
  async #removeRows(): Promise<void> {
    for (const [key, { kind, name }] of this.#departed) {
      await this.#writing;
      // It may have come back since.
      const isBack = kind === "agent" ? this.#roster.isKnown(name) : this.#exports.isLinked(name);
      if (isBack) {
        this.#departed.delete(key);
        continue;
      }
      try {
        await this.#options.store.forgetInstance(kind, name);
        this.#departed.delete(key);
      } catch (error) {
        this.#options.log.debug(`Row of an ${kind} that has stopped stays for now`, {
          [kind]: name,
          reason: messageOf(error),
        });
        return;
      }
    }
  }

  /** Begins no round any more, and waits for a write that is under way. */
  async stop(): Promise<void> {
    this.#timer?.cancel();
    await this.#writing;
  }

  #arm(delayMs: number): void {
    this.#timer = this.#options.clock.setTimer(delayMs, () => {
      this.#begin();
      this.#arm(AGENT_ROUND_MS);
    });
  }

  #begin(): void {
    // A loop that did not answer, because it died, keeps nobody else's agents back for longer.
    if (this.#waitsFor.size > 0) this.#write();
    this.#round++;
    this.#version = this.#options.version();
    for (let loop = 0; loop < this.#options.loopCount; loop++) this.#waitsFor.add(loop);
    this.#options.ask(this.#round);
  }

  #write(): void {
    const { address, clock } = this.#options;
    const agents = this.#roster.rows(address);
    const rows = [...agents, ...this.#exports.rows(address, clock.wallMs())];
    if (this.#departed.size > 0) this.#removeDeparted();
    if (this.#writing !== undefined || rows.length === 0) return;
    const { store, log } = this.#options;
    this.#writing = store.sightings(rows).then(
      () => {
        this.#isRefused = false;
        this.#roster.written(agents);
      },
      (error) => {
        // That the database is away is said by those who need it; this will not mend itself.
        const isTransient = error instanceof StoreError && error.transient;
        if (isTransient || this.#isRefused) return;
        this.#isRefused = true;
        log.warn("Database does not take which agents are alive: is it migrated?", {
          reason: messageOf(error),
        });
      },
    ).finally(() => {
      this.#writing = undefined;
    });
  }
}
