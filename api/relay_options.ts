// Core. What a client of a relay can be told, and what it is told by others.

import type { Clock } from "../reactor/time/clock.ts";
import type { ClientTls } from "./tls_option.ts";

/** A message of another client. */
export interface RelayLetter {
  /** Name of the sender; empty: it has none. */
  readonly from: string;
  /** Group it was sent to; empty: to this client alone. */
  readonly group: string;
  /** Place in the mailbox, from 1; 0: it was not kept. */
  readonly seq: number;
  readonly id: string;
  /** By the clock of the relay, unix milliseconds. */
  readonly sentAtMs: number;
  readonly data: Uint8Array;
}

/** Where a client stands in its mailbox: to be kept by a program that may die, with what it made of its messages. */
export interface RelayResume {
  readonly epoch: number;
  /** Everything up to this was taken. */
  readonly after: number;
}

/** What a client hears when it has come, or come back. */
export interface RelayWelcome {
  /** Its number at this relay. */
  readonly sid: number;
  /** True: no message is lost. */
  readonly recovered: boolean;
  /** Messages that were kept and will not come: expired, or taken by somebody else of this name. */
  readonly missing: number;
}

/** A client that is here. */
export interface RelayPerson {
  readonly name: string;
  readonly sid: number;
  /** Unix seconds. */
  readonly since: number;
  /** Of a change: it is here no more. */
  readonly gone: boolean;
  /** Where its relay is, `host:port`; empty: it is at the one that answers. */
  readonly relay: string;
}

/** How a client of a relay works. */
export interface RelayClientOptions {
  /** Relays, tried in turn: `host` or `host:port`. @default {["127.0.0.1:2000"]} */
  relays?: readonly string[];
  /** Shared secret, for a relay that wants one. */
  token?: Uint8Array;
  /** Speak TLS with services on other hosts. @default {no} */
  tls?: ClientTls;
  /** Time for an answer, in milliseconds. @default {20000} */
  timeoutMs?: number;
  /** Gets answers that come after their time, which are dropped without it. */
  onLate?: (number: number, data: Uint8Array) => void;
  /** By which others reach this client: 1 to 64 printable ASCII characters without spaces. */
  name?: string;
  /**
   * Gets messages of others, one at a time and in their order. One that was kept counts as taken
   * when this has returned, or the promise is kept; when it fails, the message comes again after the
   * next connection.
   */
  onMessage?: (letter: RelayLetter) => void | Promise<void>;
  /** Messages that were kept while this client was away are wanted. It needs a name. @default {false} */
  mail?: boolean;
  /** Where an earlier life of this program stood, as `RelayClient.resume` said. */
  resume?: RelayResume;
  /** Told each time the relay has welcomed this client. */
  onWelcome?: (welcome: RelayWelcome) => void;
  /** Source of time. @default {the clock of the machine} */
  clock?: Clock;
}

/** Of one request. */
export interface RelayRequestOptions {
  /** Time for the answer, in milliseconds. @default {that of the client} */
  timeoutMs?: number;
  /** Requests of one key go to one worker where that can be; at most 256 bytes. */
  key?: Uint8Array | string;
}

/** Of one message to another client. */
export interface RelaySendOptions {
  /** Keep it until the client takes it. The promise is kept once it is on disk. @default {false} */
  stored?: boolean;
  /** How long it is kept, in seconds. @default {that of the relay} */
  ttlSeconds?: number;
  /** By which it is kept once, however often it is sent. @default {one by chance} */
  id?: string;
  /** Time for the relay to answer, in milliseconds. @default {that of the client} */
  timeoutMs?: number;
}
