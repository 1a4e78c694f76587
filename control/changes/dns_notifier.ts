// Shell. Tells every known dns right after a commit that routes have changed, so that none waits for its poll.

import { MessageId } from "../../proto/message_ids.ts";
import { encodePing, encodeRouteChanged } from "../../proto/codec.ts";
import { type Address, formatAddress } from "../../reactor/address.ts";
import { silentLogger } from "../../reactor/log.ts";
import type { Clock } from "../../reactor/time/clock.ts";
import { systemRng } from "../../reactor/time/system_rng.ts";
import type { SessionTransport } from "../../session/handshake.ts";
import { runtimeTransport } from "../../session/runtime_transport.ts";
import type { Secrets } from "../../session/secrets.ts";
import { SessionClient } from "../../session/session_client.ts";
import type { ModuleKey } from "../../model/module.ts";
import type { Store } from "../../sql/store.ts";
import { liveDns } from "../system/known_services.ts";
import type { Told } from "../schemas.ts";

/** Time one dns has to take the message, from the commit on; later it polls anyway. */
export const TELL_TIMEOUT_MS = 300;

/** Modules in one message: 2000 of at most 16 bytes are well below the largest frame. */
const MODULES_PER_FRAME = 2000;

/** What {@linkcode tellingDns} works with. */
export interface NotifyOptions {
  readonly store: Store;
  readonly clock: Clock;
  readonly software: string;
  /** Shared with dns, if there are any. */
  readonly secrets: Secrets | undefined;
  /** Makes the connections. @default {without TLS} */
  readonly transport?: SessionTransport | undefined;
  /** Told besides those that signed in to the database. */
  readonly addresses: readonly Address[];
}

/**
 * Connects to every dns while `commit` runs, and tells them right after it which modules changed.
 * A dns that cannot be told is no fault: it sees the change at its next poll.
 */
export async function tellingDns<T extends { readonly changed: readonly ModuleKey[] }>(
  options: NotifyOptions,
  commit: () => Promise<T>,
): Promise<T & { readonly told: readonly Told[] }> {
  const { store, clock, software, secrets, transport } = options;
  const addresses = [...await liveDns(store, clock), ...options.addresses];
  const notifier = new DnsNotifier({ addresses, secrets, transport, software, clock });
  try {
    const outcome = await commit();
    const told = outcome.changed.length === 0 ? [] : await notifier.tell(outcome.changed);
    return { ...outcome, told };
  } finally {
    notifier.close();
  }
}

/** What {@linkcode DnsNotifier} is given. */
export interface DnsNotifierOptions {
  readonly addresses: readonly Address[];
  /** The shared ones, when the dns instances ask for one. */
  readonly secrets: Secrets | undefined;
  /** Makes the connections. @default {without TLS} */
  readonly transport?: SessionTransport | undefined;
  readonly software: string;
  readonly clock: Clock;
}

/**
 * One line to each dns. Made before the edit, so that connecting and handshake happen while the
 * transaction runs and the message leaves right after the commit.
 */
export class DnsNotifier {
  readonly #lines: DnsLine[];

  constructor(options: DnsNotifierOptions) {
    const distinct = new Map(options.addresses.map((one) => [formatAddress(one), one]));
    this.#lines = [...distinct.values()].map((address) => new DnsLine(address, options));
  }

  /** Sends the changed modules to every dns and waits for each, at most {@linkcode TELL_TIMEOUT_MS}. */
  tell(modules: readonly ModuleKey[]): Promise<Told[]> {
    return Promise.all(this.#lines.map((line) => line.tell(modules)));
  }

  /** Ends all connections. */
  close(): void {
    for (const line of this.#lines) line.close();
  }
}

/** One session with one dns: RouteChanged, and a Ping as its receipt. It ends with its first fault. */
class DnsLine {
  readonly #address: string;
  readonly #clock: Clock;
  readonly #link: SessionClient;
  #fault: string | undefined;
  #modules: readonly ModuleKey[] | undefined;
  #finish: ((fault: string | undefined) => void) | undefined;

  constructor(address: Address, options: DnsNotifierOptions) {
    this.#address = formatAddress(address);
    this.#clock = options.clock;
    this.#link = new SessionClient({
      ...options,
      name: "dns",
      role: "writer",
      addresses: [address],
      transport: options.transport ?? runtimeTransport,
      rng: systemRng,
      log: silentLogger,
      // The Pong that comes is the receipt.
      heartbeat: { intervalMs: Infinity },
      welcomeWaitMs: Infinity,
      secretMissingReason: "it asks for a secret: give --token-file FILE",
      onReady: () => this.#sendChange(),
      onLost: () => {},
      onFault: (reason) => this.#failed(reason),
      onHeard: (msgId) => {
        if (msgId === MessageId.Pong) this.#finish?.(undefined);
      },
    });
    this.#link.start();
  }

  tell(modules: readonly ModuleKey[]): Promise<Told> {
    const startMs = this.#clock.nowMs();
    return new Promise((resolve) => {
      const timer = this.#clock.setTimer(TELL_TIMEOUT_MS, () => {
        this.#finish?.(`no answer within ${TELL_TIMEOUT_MS} ms`);
      });
      this.#finish = (fault): void => {
        timer.cancel();
        this.#finish = undefined;
        this.close();
        const tookMs = Math.round((this.#clock.nowMs() - startMs) * 10) / 10;
        resolve({
          address: this.#address,
          told: fault === undefined,
          fault: fault ?? null,
          tookMs,
        });
      };
      if (this.#fault !== undefined) return this.#finish(this.#fault);
      this.#modules = modules;
      this.#sendChange();
    });
  }

  close(): void {
    this.#link.destroy();
  }

  #sendChange(): void {
    if (this.#modules === undefined || !this.#link.ready) return;
    for (let at = 0; at < this.#modules.length; at += MODULES_PER_FRAME) {
      const part = this.#modules.slice(at, at + MODULES_PER_FRAME);
      this.#link.send(MessageId.RouteChanged, encodeRouteChanged({ modules: part }));
    }
    // Answered in order, so the answer says that the messages before it have been read.
    if (!this.#link.send(MessageId.Ping, encodePing({ seq: 1 }))) {
      this.#failed("too many changes for one message");
    }
  }

  #failed(reason: string): void {
    this.#fault = reason.replace(`${this.#address}: `, "")
      .replace(/^peer closed$/, "peer closed the connection");
    this.close();
    this.#finish?.(this.#fault);
  }
}
