// Core. One relay among others: says what it has, knows what they have, and passes messages on.

import type { ModuleKey } from "../../model/module.ts";
import {
  decodeRelayPass,
  decodeRelayPassed,
  decodeRelayPresence,
  encodeRelayPass,
  encodeRelayPassed,
  encodeRelayPresence,
  type RelayPass,
  type RelayPassed,
  type RelayPresence,
  type RelayPresent,
} from "../../proto/codec.ts";
import { RelayStatus } from "../../proto/message_ids.ts";
import { ProtocolError } from "../../reactor/errors.ts";
import { type Logger, LogRateLimiter } from "../../reactor/log.ts";
import { type Clock, setRepeating, type Timer } from "../../reactor/time/clock.ts";
import type { RelayEvents } from "../relay_events.ts";
import { type Peer, type PeerEvents, PeerTable, type RemoteClient } from "./peer_table.ts";
import { ALL_RELAYS, type RelayBus, relaySubject } from "./relay_bus.ts";

/** How often a relay says that it is here, and how long it is believed without. */
export const PRESENCE_MS = 1_000;
export const PEER_SILENT_MS = 5_000;

/** What has changed is told together after this. */
const GATHER_MS = 5;

/** Clients, groups and modules in one message: some 30 KB. */
const PER_MESSAGE_MAX = 300;

/** Messages and requests that were passed on and have no answer, and their bytes; a further one is refused. */
export const PASSES_MAX = 20_000;
export const PASSES_BYTES_MAX = 64 * 1024 * 1024;

/** Time for another relay to say what became of a message. */
export const PASS_ANSWER_MS = 3_000;

/** What has become of something that was passed on. `data` is not kept beyond the call. */
export type PassEnd = Pick<RelayPassed, "status" | "receivers" | "data">;

/** What a relay has, to be told to others. */
export interface OwnPresence {
  clients(): Iterable<RelayPresent>;
  groups(): Iterable<{ readonly group: string; readonly members: number }>;
  modules(): Iterable<ModuleKey>;
}

/** Who takes what others pass on. */
export interface PassTaker {
  /** A message for clients that are here. `data` is not kept beyond the call. */
  message(pass: RelayPass): PassEnd;
  /** A request for a worker that is here; `end` is called once. */
  request(pass: RelayPass, end: (end: PassEnd) => void): void;
}

/** What {@linkcode RelayPeers} are given. */
export interface RelayPeersOptions {
  readonly clock: Clock;
  readonly log: Logger;
  readonly bus: RelayBus;
  readonly events: RelayEvents;
  /** This relay in this life, never used again. */
  readonly relay: string;
  /** Where this relay is: `host:port`. */
  address(): string;
  readonly own: OwnPresence;
  readonly taker: PassTaker;
  readonly onChange: Omit<PeerEvents, "relayCame">;
}

interface PendingPass {
  readonly peer: string;
  readonly bytes: number;
  readonly end: (end: PassEnd) => void;
  readonly timer: Timer;
}

const NO_DATA = new Uint8Array(0);

/** Changes that are not told yet. */
class Changes {
  readonly clients = new Map<string, RelayPresent>();
  readonly groups = new Map<string, number>();
  readonly modules = new Map<string, { readonly key: ModuleKey; readonly isServed: boolean }>();

  get isEmpty(): boolean {
    return this.clients.size + this.groups.size + this.modules.size === 0;
  }

  clear(): void {
    this.clients.clear();
    this.groups.clear();
    this.modules.clear();
  }
}

/** Other relays, as one relay deals with them. */
export class RelayPeers {
  readonly table: PeerTable;
  readonly #options: RelayPeersOptions;
  readonly #changes = new Changes();
  readonly #passes = new Map<number, PendingPass>();
  readonly #logLimiter: LogRateLimiter;
  readonly #heartbeat: Timer;
  #gathering: Timer | undefined;
  /** A whole list is to be told with the next message. */
  #isWholeDue = true;
  #version = 0;
  #lastNumber = 0;
  #passedBytes = 0;
  #counts = { passed: 0, unanswered: 0, refused: 0, taken: 0, broken: 0 };
  #closed = false;

  constructor(options: RelayPeersOptions) {
    const { bus, clock, relay } = options;
    this.#options = options;
    this.#logLimiter = new LogRateLimiter(clock);
    this.table = new PeerTable(this.#eventsOf(options));
    bus.subscribe(ALL_RELAYS, this.#guarded((body) => this.#hear(decodeRelayPresence(body))));
    bus.subscribe(relaySubject(relay, "ask"), () => this.#tellAll());
    bus.subscribe(
      relaySubject(relay, "pass"),
      this.#guarded((body) => this.#take(decodeRelayPass(body))),
    );
    bus.subscribe(
      relaySubject(relay, "passed"),
      this.#guarded((body) => {
        const passed = decodeRelayPassed(body);
        this.#end(passed.number, passed);
      }),
    );
    bus.onState((connected) => this.#stateChanged(connected));
    this.#heartbeat = setRepeating(clock, PRESENCE_MS, () => this.#beat());
    if (bus.connected) this.#greet();
  }

  /** Counters since the start, and present sizes. */
  stats(): Record<string, number> {
    const { passed, unanswered, refused, taken, broken } = this.#counts;
    return {
      relays: this.table.peers.size,
      relays_connected: this.#options.bus.connected ? 1 : 0,
      relays_names: this.table.clients.size,
      relays_unknown: this.table.unknownCount,
      relays_passes_pending: this.#passes.size,
      relays_passed: passed,
      relays_passes_taken: taken,
      relays_passes_unanswered: unanswered,
      relays_passes_refused: refused,
      relays_broken_messages: broken,
    };
  }

  /** A client that is here has come or gone. */
  clientChanged(client: RelayPresent): void {
    this.#changes.clients.set(client.name, client);
    this.#gather();
  }

  /** A group has so many members here. */
  groupChanged(group: string, members: number): void {
    this.#changes.groups.set(group, members);
    this.#gather();
  }

  /** A module has workers here, or none any more. */
  moduleChanged(key: ModuleKey, isServed: boolean): void {
    this.#changes.modules.set(`${key.modId},${key.cmdId}`, { key, isServed });
    this.#gather();
  }

  /** Members of a group at each other relay. */
  groupPeers(group: string): Peer[] {
    return [...this.table.peers.values()].filter(({ groups }) => groups.has(group));
  }

  /**
   * Passes a message or a request on. `end` is called once, in this call or later.
   *
   * @param answerMs time for the other relay to answer.
   */
  pass(
    peer: Peer,
    pass: Omit<RelayPass, "relay" | "number">,
    answerMs: number,
    end: (end: PassEnd) => void,
  ): void {
    const { bus, relay, clock } = this.#options;
    const number = ++this.#lastNumber;
    const bytes = pass.data.length;
    if (this.#passes.size >= PASSES_MAX || this.#passedBytes + bytes > PASSES_BYTES_MAX) {
      this.#counts.refused++;
      return end({ status: RelayStatus.Full, receivers: 0, data: NO_DATA });
    }
    const body = encodeRelayPass({ ...pass, relay, number });
    if (this.#closed || !bus.publish(relaySubject(peer.relay, "pass"), body)) {
      this.#counts.refused++;
      const status = pass.to === "" ? RelayStatus.NoWorker : RelayStatus.NoClient;
      return end({ status, receivers: 0, data: NO_DATA });
    }
    this.#counts.passed++;
    const timer = clock.setTimer(answerMs, () => this.#giveUp(number, RelayStatus.TimedOut));
    this.#passedBytes += bytes;
    this.#passes.set(number, { peer: peer.relay, bytes, end, timer });
  }

  /** Says goodbye, and gives up what has no answer. */
  close(): void {
    if (this.#closed) return;
    this.#publish({ leaving: true });
    this.#closed = true;
    this.#heartbeat.cancel();
    this.#gathering?.cancel();
    for (const number of [...this.#passes.keys()]) this.#giveUp(number, RelayStatus.Stopping);
  }

  #eventsOf({ onChange, events, log }: RelayPeersOptions): PeerEvents {
    return {
      ...onChange,
      clientCame: (client: RemoteClient) => onChange.clientCame(client),
      clientWent: (client: RemoteClient) => onChange.clientWent(client),
      modulesChanged: (peer: Peer) => onChange.modulesChanged(peer),
      relayCame: ({ relay, address }) => {
        events.tell("relay_came", { relay, from: address });
        log.info("Another relay is here", { relay, address });
      },
      relayWent: (peer) => {
        const { relay, address } = peer;
        events.tell("relay_went", { relay, from: address });
        log.info("Another relay is gone", { relay, address });
        for (const [number, pass] of [...this.#passes]) {
          if (pass.peer === relay) this.#giveUp(number, RelayStatus.WorkerLost);
        }
        onChange.relayWent(peer);
      },
    };
  }

  #stateChanged(connected: boolean): void {
    const { events, log, clock } = this.#options;
    if (this.#closed) return;
    events.tell(connected ? "bus_came" : "bus_went", {});
    if (connected) {
      log.info("Other relays can be reached");
      return this.#greet();
    }
    log.warn("Other relays cannot be reached: clients and workers that are here go on");
    // What is under way may have been seen; nothing further will be heard of it.
    for (const number of [...this.#passes.keys()]) this.#giveUp(number, RelayStatus.TimedOut);
    // They may be gone: believed once more for so long.
    this.table.removeSilent(clock.nowMs() - PEER_SILENT_MS);
  }

  #greet(): void {
    this.#tellAll();
    this.#publish({ ask: true, quiet: true });
  }

  #beat(): void {
    const { clock } = this.#options;
    this.table.removeSilent(clock.nowMs() - PEER_SILENT_MS);
    if (this.#gathering === undefined) this.#publish({ quiet: true });
  }

  /** Everything that is here is told soon, in place of what was told. */
  #tellAll(): void {
    this.#isWholeDue = true;
    this.#gather();
  }

  #gather(): void {
    if (this.#closed) return;
    this.#gathering ??= this.#options.clock.setTimer(GATHER_MS, () => {
      this.#gathering = undefined;
      if (!this.#options.bus.connected) {
        this.#isWholeDue = true;
        return this.#changes.clear();
      }
      if (this.#isWholeDue) this.#publishAll();
      else this.#publishChanges();
      this.#publish({ quiet: true });
    });
  }

  #publishAll(): void {
    const { own } = this.#options;
    this.#isWholeDue = false;
    this.#changes.clear();
    const served = [...own.modules()].map(({ modId, cmdId }) => ({ modId, cmdId }));
    const groups = [...own.groups()].map(({ group, members }) => ({ group, members }));
    this.#publishParts([...own.clients()], groups, served, [], true);
  }

  #publishChanges(): void {
    const { clients, groups, modules } = this.#changes;
    if (this.#changes.isEmpty) return;
    const of = (isServed: boolean): ModuleKey[] =>
      [...modules.values()].flatMap((one) => one.isServed === isServed ? [one.key] : []);
    const sizes = [...groups].map(([group, members]) => ({ group, members }));
    this.#publishParts([...clients.values()], sizes, of(true), of(false), false);
    this.#changes.clear();
  }

  #publishParts(
    clients: RelayPresent[],
    groups: { group: string; members: number }[],
    served: ModuleKey[],
    unserved: ModuleKey[],
    whole: boolean,
  ): void {
    const most = Math.max(clients.length, groups.length, served.length, unserved.length);
    for (let at = 0; at === 0 || at < most; at += PER_MESSAGE_MAX) {
      const part = <T>(all: readonly T[]): T[] => all.slice(at, at + PER_MESSAGE_MAX);
      this.#version++;
      this.#publish({
        ...{ whole: whole && at === 0, clients: part(clients), groups: part(groups) },
        ...{ served: part(served), unserved: part(unserved) },
      });
    }
  }

  #publish(said: Partial<RelayPresence>): void {
    const { bus, relay, address } = this.#options;
    const none = { clients: [], groups: [], served: [], unserved: [] };
    const flags = { whole: false, ask: false, leaving: false, quiet: false };
    const body = encodeRelayPresence({
      ...{ relay, address: address(), version: this.#version },
      ...flags,
      ...none,
      ...said,
    });
    if (!bus.publish(ALL_RELAYS, body)) this.#isWholeDue = true;
  }

  #hear(said: RelayPresence): void {
    const { relay, clock, bus } = this.#options;
    if (said.relay === relay || this.#closed) return;
    if (said.ask) this.#tellAll();
    const isMissing = this.table.hear(said, clock.nowMs());
    if (isMissing) bus.publish(relaySubject(said.relay, "ask"), NO_DATA);
  }

  #take(pass: RelayPass): void {
    const { taker, bus, relay } = this.#options;
    this.#counts.taken++;
    const end = ({ status, receivers, data }: PassEnd): void => {
      const passed = { relay, number: pass.number, status, receivers, data };
      bus.publish(relaySubject(pass.relay, "passed"), encodeRelayPassed(passed));
    };
    if (pass.to === "") taker.request(pass, end);
    else end(taker.message(pass));
  }

  #end(number: number, end: PassEnd): void {
    const pass = this.#passes.get(number);
    if (pass === undefined) return;
    this.#passes.delete(number);
    this.#passedBytes -= pass.bytes;
    pass.timer.cancel();
    pass.end(end);
  }

  #giveUp(number: number, status: RelayStatus): void {
    this.#counts.unanswered++;
    this.#end(number, { status, receivers: 0, data: NO_DATA });
  }

  /** What cannot be read is counted, and harms nothing. */
  #guarded(take: (body: Uint8Array) => void): (body: Uint8Array) => void {
    return (body) => {
      try {
        take(body);
      } catch (error) {
        if (!(error instanceof ProtocolError)) throw error;
        this.#counts.broken++;
        const held = this.#logLimiter.admit("broken");
        if (held === undefined) return;
        this.#options.log.warn("A message of another relay cannot be read", {
          error: error.message,
          ...held,
        });
      }
    };
  }
}
