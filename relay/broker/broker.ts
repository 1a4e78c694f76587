// Core. Who asked what of whom: requests of clients to workers, and the answers back.
//
// It knows clients and workers by what they can take; how they are connected is the shell's matter.

import { type ModuleKey, ModuleTable } from "../../model/module.ts";
import { readPickKey } from "../../proto/pick_key.ts";
import { RELAY_MESSAGE_BYTES_MAX, RelayStatus } from "../../proto/message_ids.ts";
import type { Clock } from "../../reactor/time/clock.ts";
import { type BrokerLimits, LATE_REQUESTS_MAX } from "./broker_limits.ts";
import {
  BrokerClient,
  BrokerRequest,
  BrokerWorker,
  NO_DATA,
  WorkedModule,
} from "./broker_parts.ts";
import type {
  ClientPort,
  ReplyOrder,
  RequestName,
  RequestOrder,
  TaskOrder,
  WorkerPort,
} from "./broker_ports.ts";
import { Deadlines } from "./deadlines.ts";
import type { RelayEvents } from "../relay_events.ts";
import { Ledger, type MessageRefusal } from "./ledger.ts";
import { LinkedList } from "./linked_list.ts";
import { TaskTable } from "./task_table.ts";
import { type WorkerChoice, WorkOutcome } from "./worker_choice.ts";
import { canAllTake, hasOwnWorker, workerOfKey } from "./worker_turns.ts";

/** Requests that are kept to be used again. */
const FREE_REQUESTS_MAX = 4_096;

const NO_MODULES: ReadonlySet<WorkedModule> = new Set();

/** No worker has seen a request that has such an end. */
const UNSEEN: ReadonlySet<RelayStatus> = new Set([RelayStatus.NoWorker, RelayStatus.Stopping]);

const SLOW_REASON = "slow reader: output limit reached";

type Mutable<T> = { -readonly [Key in keyof T]: T[Key] };

/** What is remembered of a request whose time was over while a worker had it. */
interface LateRequest extends RequestName {
  readonly sid: number;
  readonly worker: BrokerWorker;
}

/** What a {@linkcode Broker} is given. */
export interface BrokerOptions {
  readonly clock: Clock;
  /** Replaced as a whole when the configuration is read again. */
  limits: BrokerLimits;
  /** Told what happens, while somebody listens. */
  readonly events?: RelayEvents;
  /** Says which worker is next, and hears how requests end. @default {in turn} */
  readonly choice?: WorkerChoice<BrokerWorker>;
  /**
   * A module has workers that are here, or none any more. In the latter case others may be given to
   * it in this call, and what waits goes to them.
   */
  readonly onServed?: (module: ModuleKey, isServed: boolean) => void;
}

/**
 * Requests wait here, bounded by {@linkcode BrokerLimits}, until a worker of their module can take them.
 * A request is given to one worker, once. Each message ends up in one count of its {@linkcode Ledger}.
 */
export class Broker {
  readonly requests = new Ledger();
  readonly replies = new Ledger();
  readonly #options: BrokerOptions;
  readonly #modules = new ModuleTable<WorkedModule>();
  readonly #clients = new Map<number, BrokerClient>();
  readonly #workers = new Set<BrokerWorker>();
  readonly #tasks = new TaskTable();
  readonly #late = new Map<number, LateRequest>();
  readonly #deadlines: Deadlines<BrokerRequest>;
  readonly #free: BrokerRequest[] = [];
  #lastSid = 0;
  /** Of all requests and answers, one after the other: they need no object of their own. */
  readonly #order: Mutable<TaskOrder> = {
    ...{ task: 0, modId: 0, cmdId: 0, sid: 0, cpid: 0, ttlMs: 0, key: undefined, data: NO_DATA },
  };
  readonly #answerOrder: Mutable<ReplyOrder> = {
    ...{ cpid: 0, number: 0, status: RelayStatus.Ok, late: false, data: NO_DATA },
  };
  #waitingBytes = 0;
  /** Of the workers, and of the clients, those that are other relays. */
  #relayWorkerCount = 0;
  #relayClientCount = 0;
  #timedOutCount = 0;
  #lostCount = 0;
  #stopping = false;

  constructor(options: BrokerOptions) {
    this.#options = options;
    this.#deadlines = new Deadlines(options.clock, (request) => this.#timeOut(request));
  }

  /** Takes other limits from now on. */
  setLimits(limits: BrokerLimits): void {
    this.#options.limits = limits;
  }

  /** Clients now, by number. */
  get clients(): ReadonlyMap<number, BrokerClient> {
    return this.#clients;
  }

  /** Workers now. */
  get workers(): ReadonlySet<BrokerWorker> {
    return this.#workers;
  }

  /** Modules that have workers, or requests that wait. */
  get modules(): Iterable<WorkedModule> {
    return this.#modules;
  }

  /** Requests that workers have. */
  get runningCount(): number {
    return this.#tasks.size;
  }

  /** A client has come. Its number is never given again. @throws {RangeError} after 2^31 clients. */
  addClient(port: ClientPort): BrokerClient {
    if (this.#lastSid >= 0x7fff_ffff) throw new RangeError("Numbers of clients are used up");
    const client = new BrokerClient(++this.#lastSid, port);
    this.#clients.set(client.sid, client);
    if (port.kind === "relay") this.#relayClientCount++;
    this.#options.events?.tell("client_came", { sid: client.sid, from: port.label });
    return client;
  }

  /** A client is gone; what it waits for is given up. Harmless when repeated. */
  removeClient(client: BrokerClient): void {
    if (!this.#clients.delete(client.sid)) return;
    client.gone = true;
    if (client.port.kind === "relay") this.#relayClientCount--;
    this.#options.events?.tell("client_went", { sid: client.sid, from: client.port.label });
    for (const request of client.requests?.items() ?? []) {
      if (request.worker === undefined) this.#giveUp(request, "no_client");
    }
  }

  /** A worker has come; it gets nothing before {@linkcode Broker.serve}. */
  addWorker(port: WorkerPort): BrokerWorker {
    const worker = new BrokerWorker(port);
    this.#workers.add(worker);
    if (port.isRelay === true) this.#relayWorkerCount++;
    this.#options.events?.tell("worker_came", { from: port.label });
    return worker;
  }

  /** A worker serves these modules from now on, in place of those before. */
  serve(worker: BrokerWorker, modules: readonly ModuleKey[]): void {
    if (!this.#workers.has(worker)) return;
    const served = new Set(modules.map((key) => this.#moduleOf(key)));
    const added = [...served].filter((module) => !worker.modules.includes(module));
    this.#leaveModules(worker, served);
    worker.modules = [...served];
    for (const module of added) {
      const isFirst = worker.port.isRelay !== true && !hasOwnWorker(module.workers);
      module.workers.push(worker);
      if (isFirst) this.#options.onServed?.(module, true);
      this.#options.choice?.setWorkers(module, module.workers);
      this.#feed(module);
    }
  }

  /** A worker may be given so many further requests. */
  grant(worker: BrokerWorker, credit: number): void {
    if (worker.gone) return;
    if (credit === 0) return;
    worker.credit = Math.min(worker.credit + credit, this.#options.limits.creditMax);
    if (!worker.modules.some(hasWaiting)) return;
    // In turn, so that no module of several is served alone.
    for (let fed = true; fed && worker.credit > 0;) {
      fed = false;
      for (const module of worker.modules) {
        if (worker.credit > 0) fed = this.#feedOne(module) || fed;
      }
    }
  }

  /** A worker is gone: whoever waits for it is told at once. Harmless when repeated. */
  removeWorker(worker: BrokerWorker): void {
    if (!this.#workers.delete(worker)) return;
    worker.gone = true;
    if (worker.port.isRelay === true) this.#relayWorkerCount--;
    this.#options.events?.tell("worker_went", { from: worker.port.label });
    this.#leaveModules(worker, NO_MODULES);
    this.#options.choice?.forget(worker);
    for (const request of worker.tasks.items()) {
      this.#lostCount++;
      this.#forget(request);
      this.#answer(request, RelayStatus.WorkerLost);
    }
  }

  /** A client asks. */
  request(client: BrokerClient, order: RequestOrder): void {
    this.requests.accept();
    const { limits } = this.#options;
    if (this.#stopping) return this.#refuse(client, order, "stopping", RelayStatus.Stopping);
    if (order.data.length > RELAY_MESSAGE_BYTES_MAX) {
      return this.#refuse(client, order, "oversize", RelayStatus.TooLarge);
    }
    const known = this.#modules.get(order.modId, order.cmdId);
    if ((known?.workers.length ?? 0) === 0 && !client.port.waitsForWorkers) {
      return this.#refuse(client, order, "no_worker", RelayStatus.NoWorker);
    }
    const requestsMax = client.port.kind === "relay" ? Infinity : limits.clientRequestsMax;
    if ((client.requests?.size ?? 0) >= requestsMax) {
      return this.#tooMany(client, order);
    }
    const module = known ?? this.#moduleOf(order);
    const ttlMs = Math.min(order.ttlMs || limits.timeoutMs, limits.ttlMsMax);
    const nowMs = this.#options.clock.nowMs();
    const request = this.#newRequest(client, module, order, nowMs);
    request.dueMs = nowMs + ttlMs;
    if (module.waiting.size === 0 && this.#handOver(request, order.data, nowMs)) {
      return this.#keep(request);
    }
    this.#wait(request, order);
    this.#dropEmpty(module);
  }

  /** A worker answers. `status`: {@linkcode RelayStatus.Ok} or `Failed`. */
  reply(worker: BrokerWorker, task: number, status: RelayStatus, data: Uint8Array): void {
    this.replies.accept();
    const request = this.#tasks.get(task);
    if (request === undefined || request.worker !== worker) {
      return this.#lateReply(worker, task, data);
    }
    worker.answeredCount++;
    this.#judge(request, status === RelayStatus.Ok ? WorkOutcome.Done : WorkOutcome.Failed);
    this.#forget(request);
    const { client, cpid, number } = request;
    if (this.#free.length < FREE_REQUESTS_MAX) this.#free.push(request);
    if (client.gone) return this.replies.refuse("no_client");
    const answer = this.#answerOrder;
    answer.cpid = cpid;
    answer.number = number;
    answer.status = status;
    answer.data = data;
    this.#deliver(client, answer);
  }

  /**
   * A worker could not have a request answered, and says why: whoever asked is told. Who cannot be
   * told that there is no worker waits for one again, as one more request that was sent.
   *
   * @param data of the request, where it may have to wait again; it is not kept beyond the call.
   */
  giveBack(worker: BrokerWorker, task: number, status: RelayStatus, data?: Uint8Array): void {
    const request = this.#tasks.get(task);
    if (request === undefined || request.worker !== worker) return;
    if (status === RelayStatus.WorkerLost) this.#lostCount++;
    this.#judge(request, WorkOutcome.Failed);
    this.#forget(request);
    const { client } = request;
    const waits = client.port.waitsForWorkers && !client.gone && !this.#stopping;
    if (!waits || data === undefined || !UNSEEN.has(status)) return this.#answer(request, status);
    this.requests.accept();
    request.worker = undefined;
    const { cpid, number, key, module } = request;
    const { modId, cmdId } = module;
    this.#wait(request, { modId, cmdId, cpid, number, key, ttlMs: 0, data });
    // One may have come meanwhile, and has nothing else to do. Other relays may know no better.
    if (hasOwnWorker(module.workers)) this.#feed(module);
    this.#dropEmpty(module);
  }

  /** Gives what waits for a module to workers that can take it. */
  feed({ modId, cmdId }: ModuleKey): void {
    const module = this.#modules.get(modId, cmdId);
    if (module !== undefined) this.#feed(module);
  }

  /** Takes no further request; those under way go on. */
  stopTaking(): void {
    this.#stopping = true;
  }

  /** Nothing falls due any more. */
  close(): void {
    this.#options.choice?.close();
    this.#deadlines.clear();
  }

  /** For how long the oldest request of all has waited for a worker, in milliseconds; 0: none waits. */
  get oldestMs(): number {
    const nowMs = this.#options.clock.nowMs();
    let oldestMs = 0;
    for (const module of this.#modules) oldestMs = Math.max(oldestMs, module.oldestMs(nowMs));
    return oldestMs;
  }

  /** Counters since the start, and present sizes. */
  stats(): Record<string, number> {
    return {
      ...this.requests.stats("requests"),
      ...this.replies.stats("replies"),
      clients: this.#clients.size - this.#relayClientCount,
      workers: this.#workers.size - this.#relayWorkerCount,
      modules: this.#modules.count,
      requests_at_workers: this.#tasks.size,
      requests_timed_out: this.#timedOutCount,
      requests_lost_with_worker: this.#lostCount,
      waiting_bytes: this.#waitingBytes,
      oldest_waiting_seconds: this.oldestMs / 1000,
    };
  }

  #newRequest(
    client: BrokerClient,
    module: WorkedModule,
    { cpid, number, key }: RequestOrder,
    nowMs: number,
  ): BrokerRequest {
    const request = this.#free.pop() ?? new BrokerRequest(client, module);
    request.client = client;
    request.module = module;
    request.cpid = cpid;
    request.number = number;
    request.key = key;
    request.sinceMs = nowMs;
    request.task = 0;
    request.worker = undefined;
    return request;
  }

  #moduleOf(key: ModuleKey): WorkedModule {
    const known = this.#modules.get(key.modId, key.cmdId);
    if (known !== undefined) return known;
    const module = new WorkedModule(key);
    this.#modules.add(module);
    return module;
  }

  /** Modules come from peers: one that means nothing any more is not kept. */
  #dropEmpty(module: WorkedModule): void {
    if (module.workers.length > 0 || module.waiting.size > 0) return;
    if (this.#modules.get(module.modId, module.cmdId) === module) this.#modules.remove(module);
  }

  #leaveModules(worker: BrokerWorker, but: ReadonlySet<WorkedModule>): void {
    const modules = worker.modules.filter((module) => !but.has(module));
    worker.modules = worker.modules.filter((module) => but.has(module));
    for (const module of modules) {
      module.workers.splice(module.workers.indexOf(worker), 1);
      const isLast = worker.port.isRelay !== true && !hasOwnWorker(module.workers);
      if (isLast) this.#options.onServed?.(module, false);
      this.#options.choice?.setWorkers(module, module.workers);
      if (module.workers.length === 0) this.#abandon(module);
      this.#dropEmpty(module);
    }
  }

  /** The last worker of a module is gone: those who can be told need not wait. */
  #abandon(module: WorkedModule): void {
    for (const request of module.waiting.items()) {
      if (request.client.port.waitsForWorkers) continue;
      this.#giveUp(request, "no_worker");
      this.#answer(request, RelayStatus.NoWorker);
    }
  }

  #feed(module: WorkedModule): void {
    while (this.#feedOne(module));
  }

  /** Gives the oldest request that waits to a worker; false: none can take it. */
  #feedOne(module: WorkedModule): boolean {
    const request = module.waiting.first;
    const nowMs = this.#options.clock.nowMs();
    return request !== undefined && this.#handOver(request, request.data, nowMs);
  }

  /** Gives a request to the next worker that takes it; false: none does. */
  #handOver(request: BrokerRequest, data: Uint8Array, nowMs: number): boolean {
    const { module, key } = request;
    const text = key === undefined ? undefined : readPickKey(key);
    for (;;) {
      const worker = text === undefined
        ? this.#nextWorker(module, nowMs)
        : workerOfKey(this.#wellWorkers(module), text);
      if (worker === undefined) return false;
      const task = this.#tasks.next();
      worker.credit--;
      if (worker.port.takeTask(this.#orderOf(request, task, data, nowMs))) {
        this.requests.deliver();
        this.#unqueue(request);
        request.task = task;
        request.sinceMs = nowMs;
        request.worker = worker;
        worker.tasks.put(request.queued);
        this.#tasks.add(request);
        return true;
      }
      worker.port.cut(SLOW_REASON);
      this.removeWorker(worker);
    }
  }

  #orderOf(
    { module, client, cpid, key, dueMs }: BrokerRequest,
    task: number,
    data: Uint8Array,
    nowMs: number,
  ): TaskOrder {
    const order = this.#order;
    order.task = task;
    order.modId = module.modId;
    order.cmdId = module.cmdId;
    order.sid = client.sid;
    order.cpid = cpid;
    order.ttlMs = Math.max(1, Math.round(dueMs - nowMs));
    order.key = key;
    order.data = data;
    return order;
  }

  /**
   * The next worker that can take one: by the balancer while all of them can, so that what it
   * picks is also given; else in turn, those that it keeps out last.
   */
  #nextWorker(module: WorkedModule, nowMs: number): BrokerWorker | undefined {
    const { choice } = this.#options;
    if (choice !== undefined && canAllTake(module.workers)) {
      const picked = choice.pick(module, nowMs);
      if (picked !== undefined) return picked;
    }
    const workers = this.#wellWorkers(module);
    for (let step = 0; step < workers.length; step++) {
      const at = (module.turn + step) % workers.length;
      if (!workers[at].canTake) continue;
      module.turn = at + 1;
      return workers[at];
    }
    return undefined;
  }

  /** Workers that are not kept out; all, when none of these can take one. */
  #wellWorkers(module: WorkedModule): readonly BrokerWorker[] {
    const { choice } = this.#options;
    if (choice === undefined) return module.workers;
    const well = module.workers.filter((worker) => !choice.isOut(module, worker));
    return well.some(({ canTake }) => canTake) ? well : module.workers;
  }

  /** Tells the balancer how a request ended that a worker had. */
  #judge({ module, worker, sinceMs }: BrokerRequest, outcome: WorkOutcome): void {
    const { choice, clock } = this.#options;
    if (worker === undefined || choice === undefined) return;
    const nowMs = clock.nowMs();
    choice.report(module, worker, outcome, nowMs - sinceMs, nowMs);
  }

  /** Nobody can take a request now: it waits, where there is room and somebody may come. */
  #wait(request: BrokerRequest, order: RequestOrder): void {
    const { client, module } = request;
    // The last worker may have been cut just now.
    if (module.workers.length === 0 && !client.port.waitsForWorkers) {
      return this.#refuse(client, order, "no_worker", RelayStatus.NoWorker);
    }
    if (!this.#makeRoom(client, module, order)) return;
    if (this.#modules.get(module.modId, module.cmdId) === undefined) this.#modules.add(module);
    request.data = order.data.slice();
    module.waiting.put(request.queued);
    this.#countWaiting(request, request.data.length);
    this.#keep(request);
  }

  /** A request that has come to stay is among its client's, and has its time. */
  #keep(request: BrokerRequest): void {
    request.client.requests ??= new LinkedList();
    request.client.requests.put(request.owned);
    this.#deadlines.put(request.deadline, request.dueMs);
  }

  /** It has an answer, or will have none. */
  #forget(request: BrokerRequest): void {
    if (request.worker === undefined) this.#unqueue(request);
    else this.#tasks.remove(request.task);
    request.queued.remove();
    request.owned.remove();
    request.deadline.remove();
  }

  #unqueue(request: BrokerRequest): void {
    request.queued.remove();
    if (request.data === NO_DATA) return;
    this.#countWaiting(request, -request.data.length);
    request.data = NO_DATA;
  }

  #countWaiting({ client, module }: BrokerRequest, bytes: number): void {
    client.waitingBytes += bytes;
    module.waitingBytes += bytes;
    this.#waitingBytes += bytes;
  }

  /** A request that waits is given up. */
  #giveUp(request: BrokerRequest, reason: MessageRefusal): void {
    this.requests.refuse(reason);
    this.#forget(request);
    this.#dropEmpty(request.module);
  }

  #makeRoom(client: BrokerClient, module: WorkedModule, order: RequestOrder): boolean {
    const { limits } = this.#options;
    const bytes = order.data.length;
    const clientBytesMax = client.port.kind === "relay" ? Infinity : limits.clientBytesMax;
    if (
      client.waitingBytes + bytes > clientBytesMax ||
      this.#waitingBytes + bytes > limits.totalBytesMax
    ) {
      this.#tooMany(client, order);
      return false;
    }
    const isFull = (): boolean =>
      module.waiting.size >= limits.moduleRequestsMax ||
      module.waitingBytes + bytes > limits.moduleBytesMax;
    if (limits.whenFull === "drop_oldest") {
      for (let oldest = module.waiting.first; isFull() && oldest !== undefined;) {
        this.#giveUp(oldest, "dropped");
        this.#answer(oldest, RelayStatus.Full);
        oldest = module.waiting.first;
      }
    }
    if (!isFull()) return true;
    this.#tooMany(client, order);
    return false;
  }

  /** Refuses the newest, and has the client cut where the policy says so. */
  #tooMany(client: BrokerClient, order: RequestOrder): void {
    this.#refuse(client, order, "full", RelayStatus.Full);
    if (this.#options.limits.whenFull === "cut") client.port.cut("too many requests");
  }

  #refuse(
    client: BrokerClient,
    order: RequestOrder,
    reason: MessageRefusal,
    status: RelayStatus,
  ): void {
    this.requests.refuse(reason);
    const { modId, cmdId, number } = order;
    const { sid } = client;
    this.#options.events?.tell("request_refused", { reason, sid, number, modId, cmdId });
    this.#tell(client, order, status);
  }

  /** Tells whoever asked that no worker will answer. */
  #answer({ client, cpid, number }: BrokerRequest, status: RelayStatus): void {
    this.#tell(client, { cpid, number }, status);
  }

  #tell(client: BrokerClient, { cpid, number }: RequestName, status: RelayStatus): void {
    if (client.gone) return;
    const reply = { cpid, number, status, late: false, data: NO_DATA };
    if (client.port.takeReply(reply) === "slow") client.port.cut(SLOW_REASON);
  }

  #deliver(client: BrokerClient, reply: ReplyOrder): void {
    const refusal = client.port.takeReply(reply);
    if (refusal === undefined) return this.replies.deliver();
    this.replies.refuse(refusal);
    if (refusal === "slow") client.port.cut(SLOW_REASON);
  }

  #timeOut(request: BrokerRequest): void {
    this.#timedOutCount++;
    const { worker, task, client: { sid }, cpid, number } = request;
    if (worker === undefined) {
      this.requests.expire();
    } else {
      this.#judge(request, WorkOutcome.TimedOut);
      if (this.#late.size >= LATE_REQUESTS_MAX) {
        for (const oldest of this.#late.keys()) {
          this.#late.delete(oldest);
          break;
        }
      }
      this.#late.set(task, { sid, cpid, number, worker });
    }
    this.#forget(request);
    this.#dropEmpty(request.module);
    const { modId, cmdId } = request.module;
    const seen = worker !== undefined;
    this.#options.events?.tell("request_timed_out", { sid, number, modId, cmdId, seen });
    this.#answer(request, RelayStatus.TimedOut);
  }

  #lateReply(worker: BrokerWorker, task: number, data: Uint8Array): void {
    const late = this.#late.get(task);
    if (late === undefined || late.worker !== worker) return this.replies.refuse("unknown");
    this.#late.delete(task);
    const { sid, cpid, number } = late;
    const client = this.#clients.get(sid);
    if (client === undefined) return this.replies.refuse("no_client");
    if (!client.port.wantsLate) return this.replies.refuse("late");
    this.#deliver(client, { cpid, number, status: RelayStatus.Ok, late: true, data });
  }
}

function hasWaiting({ waiting }: WorkedModule): boolean {
  return waiting.size > 0;
}
