// Core. How a broker reaches clients and workers, and what passes between them.

import type { ModuleKey } from "../../model/module.ts";
import type { RelayStatus } from "../../proto/message_ids.ts";
import type { MessageRefusal } from "./ledger.ts";

/** Whose request it is and how the client calls it. */
export interface RequestName {
  /** Process on the client's host; 0 where there is no such thing. */
  readonly cpid: number;
  /** The client's number for the request. */
  readonly number: number;
}

/** A request as a client sends it. Neither it nor `data` is kept beyond the call. */
export interface RequestOrder extends RequestName, ModuleKey {
  /** Requests of one key go to one worker where that can be. */
  readonly key?: Uint8Array | undefined;
  /** Time for the answer to come; 0 = that of the relay. */
  readonly ttlMs: number;
  readonly data: Uint8Array;
}

/** An answer as a client gets it. Neither it nor `data` is kept beyond the call. */
export interface ReplyOrder extends RequestName {
  readonly status: RelayStatus;
  /** It comes after the time of its request. */
  readonly late: boolean;
  readonly data: Uint8Array;
}

/** How a client is reached. */
export interface ClientPort {
  /** Where it is: `host:port`. */
  readonly label: string;
  /** What it speaks. */
  readonly kind: "session" | "original" | "relay";
  /** Answers that come too late are wanted. */
  readonly wantsLate: boolean;
  /** It cannot be told that there is no worker, so its requests wait for one. */
  readonly waitsForWorkers: boolean;
  /** @returns why not, when it did not take it; one that is `slow` will be cut. */
  takeReply(reply: ReplyOrder): MessageRefusal | undefined;
  /** Ends the connection. {@linkcode Broker.removeClient} follows, in this call or later. */
  cut(reason: string): void;
}

/** A request as a worker gets it. Neither it nor `data` is kept beyond the call. */
export interface TaskOrder extends ModuleKey {
  readonly task: number;
  readonly sid: number;
  readonly cpid: number;
  /** After this nobody waits for the answer. */
  readonly ttlMs: number;
  readonly key: Uint8Array | undefined;
  readonly data: Uint8Array;
}

/** How a worker is reached. */
export interface WorkerPort {
  /** It is another relay, which has workers. @default {false} */
  readonly isRelay?: boolean;
  /** Where it is: `host:port`. */
  readonly label: string;
  /** So much waits for it to read that further requests should wait here, until it has answered some. */
  readonly isFull: boolean;
  /** @returns false when it reads too slowly to be given any more. */
  takeTask(task: TaskOrder): boolean;
  /** Ends the connection. {@linkcode Broker.removeWorker} follows, in this call or later. */
  cut(reason: string): void;
}
