// Core. What a broker keeps: clients, workers, modules, and requests without an answer.

import type { ModuleKey } from "../../model/module.ts";
import type { ClientPort, WorkerPort } from "./broker_ports.ts";
import { LinkedList, ListPlace } from "./linked_list.ts";

/** Data of a request that is not kept. */
export const NO_DATA = new Uint8Array(0);

/** A client that is connected. */
export class BrokerClient {
  readonly sid: number;
  readonly port: ClientPort;
  /** Its requests that have no answer yet; made with the first. */
  requests: LinkedList<BrokerRequest> | undefined;
  /** Bytes of those that wait for a worker. */
  waitingBytes = 0;
  /** It has left. */
  gone = false;

  constructor(sid: number, port: ClientPort) {
    this.sid = sid;
    this.port = port;
  }
}

/** A worker that is connected. */
export class BrokerWorker {
  readonly port: WorkerPort;
  modules: readonly WorkedModule[] = [];
  /** Requests it may still be given. */
  credit = 0;
  /** Requests it has. */
  readonly tasks = new LinkedList<BrokerRequest>();
  answeredCount = 0;
  /** It has left. */
  gone = false;

  constructor(port: WorkerPort) {
    this.port = port;
  }

  /** It may be given a request now. */
  get canTake(): boolean {
    return this.credit > 0 && !this.port.isFull;
  }
}

/** A module that has workers, or requests that wait for one. */
export class WorkedModule implements ModuleKey {
  readonly modId: number;
  readonly cmdId: number;
  readonly workers: BrokerWorker[] = [];
  readonly waiting = new LinkedList<BrokerRequest>();
  waitingBytes = 0;
  /** Worker whose turn is next. */
  turn = 0;

  constructor({ modId, cmdId }: ModuleKey) {
    this.modId = modId;
    this.cmdId = cmdId;
  }

  /** For how long its oldest request has waited, in milliseconds; 0: none waits. */
  oldestMs(nowMs: number): number {
    const oldest = this.waiting.first;
    return oldest === undefined ? 0 : Math.max(0, Math.round(nowMs - oldest.sinceMs));
  }
}

/** A request without an answer: it waits, or a worker has it. Used again after its answer. */
export class BrokerRequest {
  client: BrokerClient;
  module: WorkedModule;
  cpid = 0;
  number = 0;
  key: Uint8Array | undefined = undefined;
  dueMs = 0.5;
  /** A copy while it waits, then empty. */
  data: Uint8Array = NO_DATA;
  task = 0;
  /** When it came; once a worker has it, when that got it. */
  sinceMs = 0.5;
  worker: BrokerWorker | undefined = undefined;
  /** Its places in the queue of the module or of the worker, among its client's, and among deadlines. */
  readonly queued = new ListPlace<BrokerRequest>(this);
  readonly owned = new ListPlace<BrokerRequest>(this);
  readonly deadline = new ListPlace<BrokerRequest>(this);

  constructor(client: BrokerClient, module: WorkedModule) {
    this.client = client;
    this.module = module;
  }
}
