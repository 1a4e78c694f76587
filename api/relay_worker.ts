// Shell. A worker behind relays: pulls requests as it has room for them, and answers.

import type { ModuleKey } from "../model/module.ts";
import {
  decodeRelayTask,
  encodeRelayDone,
  encodeRelayWork,
  type RelayTask,
} from "../proto/codec.ts";
import {
  DEFAULT_PORTS,
  MessageId,
  RELAY_MESSAGE_BYTES_MAX,
  RelayStatus,
} from "../proto/message_ids.ts";
import { messageOf } from "../reactor/errors.ts";
import { type Clock, sleep } from "../reactor/time/clock.ts";
import { systemClock } from "../reactor/time/system_clock.ts";
import type { SessionClient } from "../session/session_client.ts";
import { checkWhole } from "./options.ts";
import { checkAddresses } from "./in_process_options.ts";
import { openRelayLink } from "./relay_link.ts";
import type { ClientTls } from "./tls_option.ts";

/** Longest text of an error that goes back to the client, in characters. */
const FAULT_LENGTH_MAX = 1_000;

/** What is said of a relay while no connection to it has been tried. */
export const NOT_CONNECTED_YET = "not connected yet";

/** Time that requests under way get when a worker is closed, in milliseconds. */
export const RELAY_WORKER_DRAIN_MS = 10_000;

/** One request as a worker sees it. */
export interface RelayJob extends ModuleKey {
  readonly data: Uint8Array;
  readonly key: Uint8Array | undefined;
  /** The client, as the relay numbers them. */
  readonly sid: number;
  /** Process of a client of the original; else 0. */
  readonly cpid: number;
  /** Nobody waits for the answer after this, in milliseconds from its coming. */
  readonly ttlMs: number;
}

/** How a worker works. */
export interface RelayWorkerOptions {
  /** Relays, to all of which it attaches: `host` or `host:port`. @default {["127.0.0.1:2000"]} */
  relays?: readonly string[];
  /** Modules it serves. @default {module 0,0, as clients of the original have it} */
  modules?: readonly ModuleKey[];
  /** Shared secret, for relays that want one. */
  token?: Uint8Array;
  /** Speak TLS with services on other hosts. @default {no} */
  tls?: ClientTls;
  /** Requests of each relay under way at once, 1 to 10000. @default {256} */
  concurrency?: number;
  /** Source of time. @default {the clock of the machine} */
  clock?: Clock;
}

/**
 * Serves modules behind relays. An error that the handler throws goes back as its text.
 *
 * @example
 * ```ts ignore
 * const worker = new RelayWorker({ relays: ["127.0.0.1:2000"] }, ({ data }) => data);
 * await worker.close();
 * ```
 */
export class RelayWorker {
  readonly #options: RelayWorkerOptions;
  readonly #handle: (job: RelayJob) => Uint8Array | Promise<Uint8Array>;
  readonly #clock: Clock;
  readonly #concurrency: number;
  readonly #links: SessionClient[];
  #runningCount = 0;
  #answeredCount = 0;
  #failedCount = 0;
  #idle: (() => void) | undefined;

  /** Begins to connect. @throws {RangeError} when an option is wrong. */
  constructor(
    options: RelayWorkerOptions,
    handle: (job: RelayJob) => Uint8Array | Promise<Uint8Array>,
  ) {
    this.#options = options;
    this.#handle = handle;
    this.#clock = options.clock ?? systemClock;
    this.#concurrency = checkWhole("concurrency", options.concurrency ?? 256, 1, 10_000);
    const addresses = checkAddresses("relays", options.relays, DEFAULT_PORTS.relay);
    this.#links = addresses.map((address) => {
      const link: SessionClient = openRelayLink({
        ...{ addresses: [address], token: options.token, tls: options.tls, role: "worker" },
        clock: this.#clock,
        onReady: () => this.#attach(link),
        onLost: () => {},
        // Clients go first, and it serves them until they are gone; it is at the other relays already.
        onLeaving: () => {},
      });
      link.router.add(MessageId.RelayTask, (body) => this.#work(link, decodeRelayTask(body)));
      link.start();
      return link;
    });
  }

  /** Relays it is attached to now. */
  get attachedCount(): number {
    return this.#links.filter(({ ready }) => ready).length;
  }

  /** Requests it has answered, and those among them whose handler failed. */
  get counts(): { readonly answered: number; readonly failed: number } {
    return { answered: this.#answeredCount, failed: this.#failedCount };
  }

  /** What is wrong with each relay it is not attached to: `host:port` and a reason. */
  get faults(): { readonly relay: string; readonly fault: string }[] {
    return this.#links.filter(({ ready }) => !ready).map(({ address, secretFault, fault }) => ({
      relay: `${address.hostname}:${address.port}`,
      fault: secretFault ?? fault ?? NOT_CONNECTED_YET,
    }));
  }

  /** Takes no further requests, ends those under way within `drainMs`, and leaves. */
  async close(drainMs = RELAY_WORKER_DRAIN_MS): Promise<void> {
    const leaving = encodeRelayWork({ modules: [], credit: 0, leaving: true });
    for (const link of this.#links) link.send(MessageId.RelayWork, leaving);
    if (this.#runningCount > 0) {
      const idle = new Promise<void>((resolve) => {
        this.#idle = resolve;
      });
      await Promise.race([idle, sleep(this.#clock, drainMs)]);
    }
    await Promise.all(this.#links.map((link) => link.close()));
  }

  #attach(link: SessionClient): void {
    const { modules = [{ modId: 0, cmdId: 0 }] } = this.#options;
    const work = { modules: [...modules], credit: this.#concurrency, leaving: false };
    link.send(MessageId.RelayWork, encodeRelayWork(work));
  }

  /** Runs one request. An answer goes out in the same turn where the handler gives it at once. */
  #work(link: SessionClient, { task, key, ...rest }: RelayTask): void {
    const connection = link.connectCount;
    this.#runningCount++;
    const done = (status: RelayStatus, data: Uint8Array): void => {
      this.#runningCount--;
      this.#answeredCount++;
      if (status !== RelayStatus.Ok) this.#failedCount++;
      // The relay has told the client already when the connection is another one.
      if (link.connectCount === connection) {
        const answer = encodeRelayDone({ task, status, credit: 1, data });
        const isLost = !link.send(MessageId.RelayDone, answer) && link.ready;
        if (isLost) link.failOver("the relay does not read");
      }
      if (this.#runningCount === 0) this.#idle?.();
    };
    const fail = (error: unknown): void => {
      const text = messageOf(error).slice(0, FAULT_LENGTH_MAX);
      done(RelayStatus.Failed, new TextEncoder().encode(text));
    };
    const answer = (data: Uint8Array): void => {
      if (data.length <= RELAY_MESSAGE_BYTES_MAX) return done(RelayStatus.Ok, data);
      fail(`answer must be at most ${RELAY_MESSAGE_BYTES_MAX} bytes: it has ${data.length}`);
    };
    try {
      const result = this.#handle({ ...rest, key });
      if (result instanceof Uint8Array) answer(result);
      else result.then(answer, fail);
    } catch (error) {
      fail(error);
    }
  }
}
