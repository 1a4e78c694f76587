// Core. The way in for our own clients and workers: one session, everything over it.

import { type ModuleKey, uniqueModules } from "../model/module.ts";
import {
  decodeRelayDone,
  decodeRelayJoin,
  decodeRelayRequest,
  decodeRelayWork,
  encodeRelayReply,
  encodeRelayTask,
  type RelayJoin,
} from "../proto/codec.ts";
import { MessageId, RELAY_MESSAGE_BYTES_MAX, RelayStatus } from "../proto/message_ids.ts";
import { type Address, formatAddress } from "../reactor/address.ts";
import { ProtocolError } from "../reactor/errors.ts";
import type { MessageRouter } from "../reactor/message_router.ts";
import type {
  Broker,
  BrokerClient,
  BrokerWorker,
  ClientPort,
  ReplyOrder,
  TaskOrder,
  WorkerPort,
} from "./broker/broker.ts";
import type { MessageRefusal } from "./broker/ledger.ts";

/** Modules that one worker may serve. */
export const WORKER_MODULES_MAX = 256;

/** What is needed of a connection. */
export interface RelayPeer {
  readonly remote: Address;
  send(msgId: number, body: Uint8Array): boolean;
  /** Sends whole frames encoded before. */
  sendFrames(bytes: Uint8Array): boolean;
  close(reason?: string): void;
}

/** What is needed of the sessions of a server. */
export interface RelaySessions<P> {
  readonly router: MessageRouter<P>;
  /** True when the peer said Hello. */
  isExtended(peer: P): boolean;
}

/** Clients and workers that speak a session with the relay; a peer may be both. */
export class SessionDoor<P extends RelayPeer> {
  readonly #broker: Broker;
  readonly #sessions: RelaySessions<P>;
  readonly #onJoin: (peer: P, sid: number, join: RelayJoin) => void;
  readonly #clients = new Map<P, BrokerClient>();
  readonly #workers = new Map<P, BrokerWorker>();

  /**
   * Adds its handlers to the router of `sessions`.
   *
   * @param onJoin Answers a client that has joined.
   */
  constructor(
    broker: Broker,
    sessions: RelaySessions<P>,
    onJoin: (peer: P, sid: number, join: RelayJoin) => void,
  ) {
    this.#broker = broker;
    this.#onJoin = onJoin;
    this.#sessions = sessions;
    sessions.router
      .add(MessageId.RelayJoin, (body, peer) => this.#join(body, peer))
      .add(MessageId.RelayRequest, (body, peer) => this.#request(body, peer))
      .add(MessageId.RelayWork, (body, peer) => this.#work(body, peer))
      .add(MessageId.RelayDone, (body, peer) => this.#done(body, peer));
  }

  /** Call when a connection ends. */
  forget(peer: P): void {
    const client = this.#clients.get(peer);
    const worker = this.#workers.get(peer);
    this.#clients.delete(peer);
    this.#workers.delete(peer);
    if (client !== undefined) this.#broker.removeClient(client);
    if (worker !== undefined) this.#broker.removeWorker(worker);
  }

  #join(body: Uint8Array, peer: P): void {
    const join = decodeRelayJoin(body);
    if (!this.#sessions.isExtended(peer)) throw new ProtocolError("RelayJoin came before Hello");
    if (this.#clients.has(peer)) throw new ProtocolError("RelayJoin came twice");
    const client = this.#broker.addClient(new SessionClientPort(peer, join.late));
    this.#clients.set(peer, client);
    this.#onJoin(peer, client.sid, join);
  }

  #request(body: Uint8Array, peer: P): void {
    const client = this.#clients.get(peer);
    if (client === undefined) throw new ProtocolError("RelayRequest came before RelayJoin");
    this.#broker.request(client, { ...decodeRelayRequest(body), cpid: 0 });
  }

  #work(body: Uint8Array, peer: P): void {
    const { modules, credit, leaving } = decodeRelayWork(body);
    if (!this.#sessions.isExtended(peer)) throw new ProtocolError("RelayWork came before Hello");
    const served: ModuleKey[] = uniqueModules(modules);
    if (served.length > WORKER_MODULES_MAX) {
      throw new ProtocolError(
        `RelayWork must name at most ${WORKER_MODULES_MAX} modules: it names ${served.length}`,
      );
    }
    let worker = this.#workers.get(peer);
    if (worker === undefined) {
      worker = this.#broker.addWorker(new SessionWorkerPort(peer));
      this.#workers.set(peer, worker);
    }
    if (leaving) return this.#broker.serve(worker, []);
    if (served.length > 0) this.#broker.serve(worker, served);
    this.#broker.grant(worker, credit);
  }

  #done(body: Uint8Array, peer: P): void {
    const { task, status, credit, data } = decodeRelayDone(body);
    const worker = this.#workers.get(peer);
    if (worker === undefined) throw new ProtocolError("RelayDone came before RelayWork");
    const isOk = status === RelayStatus.Ok;
    this.#broker.reply(worker, task, isOk ? RelayStatus.Ok : RelayStatus.Failed, data);
    this.#broker.grant(worker, credit);
  }
}

class SessionClientPort implements ClientPort {
  readonly kind = "session";
  readonly wantsLate: boolean;
  readonly waitsForWorkers = false;
  readonly #peer: RelayPeer;

  constructor(peer: RelayPeer, wantsLate: boolean) {
    this.#peer = peer;
    this.wantsLate = wantsLate;
  }

  get label(): string {
    return formatAddress(this.#peer.remote);
  }

  takeReply({ number, status, late, data }: ReplyOrder): MessageRefusal | undefined {
    const isTooLarge = data.length > RELAY_MESSAGE_BYTES_MAX;
    const reply = isTooLarge
      ? { number, status: RelayStatus.TooLarge, late, data: data.subarray(0, 0) }
      : { number, status, late, data };
    if (!this.#peer.send(MessageId.RelayReply, encodeRelayReply(reply))) return "slow";
    return isTooLarge ? "oversize" : undefined;
  }

  cut(reason: string): void {
    this.#peer.close(reason);
  }
}

class SessionWorkerPort implements WorkerPort {
  readonly #peer: RelayPeer;

  constructor(peer: RelayPeer) {
    this.#peer = peer;
  }

  get label(): string {
    return formatAddress(this.#peer.remote);
  }

  takeTask({ key, ...task }: TaskOrder): boolean {
    const body = encodeRelayTask(key === undefined ? task : { ...task, key });
    return this.#peer.send(MessageId.RelayTask, body);
  }

  cut(reason: string): void {
    this.#peer.close(reason);
  }
}
