// Core. Workers of other relays as workers of this one, for modules that have none here.

import { type ModuleId, moduleId, type ModuleKey } from "../../model/module.ts";
import type { RelayPass } from "../../proto/codec.ts";
import { RelayStatus } from "../../proto/message_ids.ts";
import type { Clock, Timer } from "../../reactor/time/clock.ts";
import type { Broker } from "../broker/broker.ts";
import type { BrokerClient, BrokerWorker } from "../broker/broker_parts.ts";
import type { ClientPort, ReplyOrder, TaskOrder, WorkerPort } from "../broker/broker_ports.ts";
import type { MessageRefusal } from "../broker/ledger.ts";
import type { Peer } from "./peer_table.ts";
import type { PassEnd, RelayPeers } from "./relay_peers.ts";

/** Requests that one other relay may have without an answer; further ones wait in their queue. */
export const LINK_CREDIT = 1_000;

/** A relay that had no worker for a request after all, or stops, is given the next one after this. */
const UNSEEN_PAUSE_MS = 100;

/** How much longer than the client an answer of another relay is waited for, in milliseconds. */
const GRACE_MS = 1_000;

const NO_DATA = new Uint8Array(0);

/** What links need of other relays. */
type LinkPeers = Pick<RelayPeers, "pass" | "moduleChanged">;

/** A relay that takes requests of this one. */
class OutboundLink implements WorkerPort {
  readonly isRelay = true;
  readonly isFull = false;
  worker: BrokerWorker | undefined;

  constructor(readonly peer: Peer, readonly links: RequestLinks) {}

  get label(): string {
    return `relay ${this.peer.address}`;
  }

  takeTask(task: TaskOrder): boolean {
    this.links.passOn(this, task);
    return true;
  }

  cut(): void {
    // It is no connection of ours.
  }
}

/** A relay whose requests are answered here. */
class InboundLink implements ClientPort {
  readonly kind = "relay";
  readonly wantsLate = false;
  readonly waitsForWorkers = false;
  readonly ends = new Map<number, (end: PassEnd) => void>();
  client: BrokerClient | undefined;

  constructor(readonly label: string) {}

  takeReply({ number, status, data }: ReplyOrder): MessageRefusal | undefined {
    const end = this.ends.get(number);
    if (end === undefined) return "no_client";
    this.ends.delete(number);
    end({ status, receivers: 0, data });
    return undefined;
  }

  cut(): void {
    // It is no connection of ours.
  }
}

/** Requests that go to another relay, and those that come from one. */
export class RequestLinks {
  readonly #broker: Broker;
  readonly #peers: () => LinkPeers;
  readonly #outbound = new Map<string, OutboundLink>();
  readonly #inbound = new Map<string, InboundLink>();
  /** Modules with workers that are here. */
  readonly #own = new Map<ModuleId, ModuleKey>();
  readonly #clock: Clock;
  /** Credit that is given back when the pause is over. */
  readonly #paused: BrokerWorker[] = [];
  /** What waits for these is looked at again then: another relay may have a worker. */
  readonly #pausedModules = new Map<ModuleId, ModuleKey>();
  #pause: Timer | undefined;
  #closed = false;

  constructor(broker: Broker, clock: Clock, peers: () => LinkPeers) {
    this.#broker = broker;
    this.#clock = clock;
    this.#peers = peers;
  }

  /** Nothing is due any more. Harmless when repeated. */
  close(): void {
    this.#closed = true;
    this.#pause?.cancel();
  }

  /** Modules that have workers here. */
  get ownModules(): Iterable<ModuleKey> {
    return this.#own.values();
  }

  /** A module has workers here now, or none any more: then those elsewhere serve it. */
  ownChanged({ modId, cmdId }: ModuleKey, isServed: boolean): void {
    const id = moduleId(modId, cmdId);
    const key = { modId, cmdId };
    if (isServed) this.#own.set(id, key);
    else this.#own.delete(id);
    this.#peers().moduleChanged(key, isServed);
    for (const link of this.#outbound.values()) {
      if (link.peer.modules.has(id)) this.#serve(link);
    }
  }

  /** A relay has other modules than before. */
  peerChanged(peer: Peer): void {
    let link = this.#outbound.get(peer.relay);
    if (link === undefined) {
      if (peer.modules.size === 0) return;
      link = new OutboundLink(peer, this);
      this.#outbound.set(peer.relay, link);
      link.worker = this.#broker.addWorker(link);
      this.#broker.grant(link.worker, LINK_CREDIT);
    }
    this.#serve(link);
  }

  /** A relay is gone; what it had has been told as lost. */
  peerWent({ relay }: Peer): void {
    const outbound = this.#outbound.get(relay);
    this.#outbound.delete(relay);
    if (outbound?.worker !== undefined) this.#broker.removeWorker(outbound.worker);
    const inbound = this.#inbound.get(relay);
    this.#inbound.delete(relay);
    if (inbound?.client !== undefined) this.#broker.removeClient(inbound.client);
  }

  /** Another relay asks. */
  take(pass: RelayPass, end: (end: PassEnd) => void): void {
    const { relay, number, modId, cmdId, ttlMs, key, data } = pass;
    // Not on to a third one, which might send it back.
    if (!this.#own.has(moduleId(modId, cmdId))) {
      return end({ status: RelayStatus.NoWorker, receivers: 0, data: NO_DATA });
    }
    let link = this.#inbound.get(relay);
    if (link === undefined) {
      link = new InboundLink(`relay ${relay}`);
      link.client = this.#broker.addClient(link);
      this.#inbound.set(relay, link);
    }
    if (link.client === undefined) return;
    link.ends.set(number, end);
    this.#broker.request(link.client, { modId, cmdId, cpid: 0, number, key, ttlMs, data });
  }

  /** Called by a link that has been given a request. */
  passOn({ peer, worker }: OutboundLink, order: TaskOrder): void {
    const { task, sid, modId, cmdId, ttlMs, key, data } = order;
    const port = this.#broker.clients.get(sid)?.port;
    const kept = port?.waitsForWorkers === true ? data.slice() : undefined;
    const end = ({ status, data: answer }: PassEnd): void => {
      if (worker === undefined || worker.gone) return;
      const isAnswer = status === RelayStatus.Ok || status === RelayStatus.Failed;
      if (isAnswer) this.#broker.reply(worker, task, status, answer);
      else this.#broker.giveBack(worker, task, statusOf(status), kept);
      const isUnseen = status === RelayStatus.NoWorker || status === RelayStatus.Stopping;
      if (isUnseen) this.#grantLater(worker, { modId, cmdId });
      else this.#broker.grant(worker, 1);
    };
    // What comes from another relay goes to no third one, which might send it back.
    const isPassed = port?.kind === "relay";
    // Not within the call that hands it over.
    const later = (given: PassEnd): void => queueMicrotask(() => end(given));
    if (isPassed) return later({ status: RelayStatus.NoWorker, receivers: 0, data: NO_DATA });
    let isWithin = true;
    const nobody = { from: "", to: "", group: false, id: "", sentAtMs: 0 };
    const keyed = key === undefined ? {} : { key };
    const pass = { ...nobody, modId, cmdId, ttlMs, data, ...keyed };
    this.#peers().pass(peer, pass, ttlMs + GRACE_MS, (given) => {
      if (isWithin) later(given);
      else end(given);
    });
    isWithin = false;
  }

  /** What waits would come back at once, again and again, until the other relay's news is here. */
  #grantLater(worker: BrokerWorker, module: ModuleKey): void {
    if (this.#closed) return;
    this.#paused.push(worker);
    this.#pausedModules.set(moduleId(module.modId, module.cmdId), module);
    this.#pause ??= this.#clock.setTimer(UNSEEN_PAUSE_MS, () => {
      this.#pause = undefined;
      const modules = [...this.#pausedModules.values()];
      this.#pausedModules.clear();
      for (const one of this.#paused.splice(0)) this.#broker.grant(one, 1);
      for (const one of modules) this.#broker.feed(one);
    });
  }

  #serve({ peer, worker }: OutboundLink): void {
    if (worker === undefined) return;
    const modules = [...peer.modules].flatMap(([id, key]) => this.#own.has(id) ? [] : [key]);
    this.#broker.serve(worker, modules);
  }
}

/** Any number that a relay may send as a status of ours. */
function statusOf(status: number): RelayStatus {
  const known = Object.values(RelayStatus).find((one) => one === status);
  return known ?? RelayStatus.Failed;
}
