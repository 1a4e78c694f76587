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
  type RelayReply,
} from "../proto/codec.ts";
import { MessageId, RELAY_MESSAGE_BYTES_MAX, RelayStatus } from "../proto/message_ids.ts";
import {
  hotReplyBytes,
  hotTaskBytes,
  RelayHotReader,
  writeHotReply,
  writeHotTask,
} from "../proto/relay_hot_codec.ts";
import { type Address, formatAddress } from "../reactor/address.ts";
import type { ByteViews } from "../reactor/byte_views.ts";
import { ProtocolError } from "../reactor/errors.ts";
import type { MessageRouter } from "../reactor/message_router.ts";
import type { Broker } from "./broker/broker.ts";
import type { BrokerClient, BrokerWorker } from "./broker/broker_parts.ts";
import type { ClientPort, ReplyOrder, TaskOrder, WorkerPort } from "./broker/broker_ports.ts";
import type { MessageRefusal } from "./broker/ledger.ts";

/** Bytes that may wait for a worker to read before further requests wait for it in their queue. */
export const WORKER_BYTES_MAX = 64 * 1024;

/** Modules that one worker may serve. */
export const WORKER_MODULES_MAX = 256;

/** What is needed of a connection. */
export interface RelayPeer {
  readonly remote: Address;
  /** What the door keeps of it; nobody else's. */
  attached: unknown;
  /** Bytes that wait for it to read. */
  readonly pendingBytes: number;
  send(msgId: number, body: Uint8Array): boolean;
  /** As a `Connection` has it; absent: messages are encoded first. */
  reserve?(msgId: number, bodyBytes: number): number;
  readonly reserved?: Uint8Array;
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

/** What a door keeps of a peer. */
class PeerRoles {
  client: BrokerClient | undefined = undefined;
  worker: BrokerWorker | undefined = undefined;
}

/** Clients and workers that speak a session with the relay; a peer may be both. */
export class SessionDoor<P extends RelayPeer> {
  readonly #broker: Broker;
  readonly #sessions: RelaySessions<P>;
  readonly #onJoin: (peer: P, sid: number, join: RelayJoin) => void;
  readonly #reader: RelayHotReader;
  #clientCount = 0;

  /**
   * Adds its handlers to the router of `sessions`.
   *
   * @param onJoin Answers a client that has joined.
   * @param views Of the buffer in which most of what comes lies.
   */
  constructor(
    broker: Broker,
    sessions: RelaySessions<P>,
    onJoin: (peer: P, sid: number, join: RelayJoin) => void,
    views?: ByteViews,
  ) {
    this.#reader = new RelayHotReader(views);
    this.#broker = broker;
    this.#onJoin = onJoin;
    this.#sessions = sessions;
    sessions.router
      .add(MessageId.RelayJoin, (body, peer) => this.#join(body, peer))
      .add(MessageId.RelayRequest, (body, peer) => this.#request(body, peer))
      .add(MessageId.RelayWork, (body, peer) => this.#work(body, peer))
      .add(MessageId.RelayDone, (body, peer) => this.#done(body, peer));
  }

  /** Clients that have joined. */
  get clientCount(): number {
    return this.#clientCount;
  }

  /** Call when a connection ends. */
  forget(peer: P): void {
    const { client, worker } = rolesOf(peer);
    peer.attached = undefined;
    if (client !== undefined) {
      this.#clientCount--;
      this.#broker.removeClient(client);
    }
    if (worker !== undefined) this.#broker.removeWorker(worker);
  }

  #join(body: Uint8Array, peer: P): void {
    const join = decodeRelayJoin(body);
    if (!this.#sessions.isExtended(peer)) throw new ProtocolError("RelayJoin came before Hello");
    const roles = rolesOf(peer);
    if (roles.client !== undefined) throw new ProtocolError("RelayJoin came twice");
    const client = this.#broker.addClient(new SessionClientPort(peer, join.late));
    roles.client = client;
    this.#clientCount++;
    peer.attached = roles;
    this.#onJoin(peer, client.sid, join);
  }

  #request(body: Uint8Array, peer: P): void {
    const { client } = rolesOf(peer);
    if (client === undefined) throw new ProtocolError("RelayRequest came before RelayJoin");
    const reader = this.#reader;
    if (reader.readRequest(body)) return this.#broker.request(client, reader);
    const { modId, cmdId, number, ttlMs, key, data } = decodeRelayRequest(body);
    this.#broker.request(client, { modId, cmdId, cpid: 0, number, key, ttlMs, data });
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
    const roles = rolesOf(peer);
    const worker = roles.worker ?? this.#broker.addWorker(new SessionWorkerPort(peer));
    roles.worker = worker;
    peer.attached = roles;
    if (leaving) return this.#broker.serve(worker, []);
    if (served.length > 0) this.#broker.serve(worker, served);
    this.#broker.grant(worker, credit);
  }

  #done(body: Uint8Array, peer: P): void {
    const { worker } = rolesOf(peer);
    if (worker === undefined) throw new ProtocolError("RelayDone came before RelayWork");
    const reader = this.#reader;
    const { task, status, credit, data } = reader.readDone(body) ? reader : decodeRelayDone(body);
    const isOk = status === RelayStatus.Ok;
    this.#broker.reply(worker, task, isOk ? RelayStatus.Ok : RelayStatus.Failed, data);
    this.#broker.grant(worker, credit);
  }
}

/** What is attached to a peer; a new one, of nobody yet, when it is neither client nor worker. */
function rolesOf({ attached }: RelayPeer): PeerRoles {
  return attached instanceof PeerRoles ? attached : new PeerRoles();
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

  takeReply(reply: ReplyOrder): MessageRefusal | undefined {
    const { number, late, data } = reply;
    if (data.length <= RELAY_MESSAGE_BYTES_MAX) return this.#send(reply) ? undefined : "slow";
    const nothing = data.subarray(0, 0);
    const sent = this.#send({ number, status: RelayStatus.TooLarge, late, data: nothing });
    return sent ? "oversize" : "slow";
  }

  #send(reply: RelayReply): boolean {
    const peer = this.#peer;
    if (peer.reserve === undefined || peer.reserved === undefined) {
      return peer.send(MessageId.RelayReply, encodeRelayReply(reply));
    }
    const start = peer.reserve(MessageId.RelayReply, hotReplyBytes(reply));
    if (start >= 0) writeHotReply(peer.reserved, start, reply);
    return start >= 0;
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

  get isFull(): boolean {
    return this.#peer.pendingBytes >= WORKER_BYTES_MAX;
  }

  takeTask(task: TaskOrder): boolean {
    const peer = this.#peer;
    const bytes = hotTaskBytes(task);
    if (bytes < 0 || peer.reserve === undefined || peer.reserved === undefined) {
      const { key, ...more } = task;
      return peer.send(
        MessageId.RelayTask,
        encodeRelayTask(key === undefined ? more : { ...more, key }),
      );
    }
    const start = peer.reserve(MessageId.RelayTask, bytes);
    if (start >= 0) writeHotTask(peer.reserved, start, task);
    return start >= 0;
  }

  cut(reason: string): void {
    this.#peer.close(reason);
  }
}
