// Shell. Asks a discovery on behalf of programs that speak REST: any of those that signed in.

import { ControlError } from "../control/control_error.ts";
import { liveServices } from "../control/system/known_services.ts";
import type { NodeKey } from "../model/node.ts";
import {
  decodeLeaseBeaten,
  decodeLeaseDone,
  decodeLeaseRegistered,
  encodeLeaseBeat,
  encodeLeaseChange,
  encodeLeaseLeave,
  encodeLeaseRegister,
  type LeaseChange,
  type LeaseName,
  type LeaseRegister,
} from "../proto/codec.ts";
import { LeaseCode, MessageId } from "../proto/message_ids.ts";
import { silentLogger } from "../reactor/log.ts";
import type { Clock, Timer } from "../reactor/time/clock.ts";
import type { Rng } from "../reactor/time/rng.ts";
import { runtimeTransport } from "../session/runtime_transport.ts";
import type { SessionTransport } from "../session/handshake.ts";
import type { Secrets } from "../session/secrets.ts";
import { SessionClient } from "../session/session_client.ts";
import type { Store } from "../sql/store.ts";

/** Requests that wait for an answer; further ones are refused. */
export const LEASE_QUESTIONS_MAX = 5_000;
/** Longest wait for discovery, which itself waits up to 10 s for its database. */
const ANSWER_MS = 12_000;
/** Longest wait for a connection. */
const CONNECT_MS = 3_000;
/** Between two looks which discoveries there are. */
const LOOK_MS = 5_000;
/** When a discovery that is away should be asked again, in seconds. */
const RETRY_S = 2;

/** What a {@linkcode LeaseClient} works with. */
export interface LeaseClientOptions {
  readonly store: Store;
  readonly clock: Clock;
  readonly rng: Rng;
  readonly software: string;
  /** Shared with discovery, if there are any. */
  readonly secrets: Secrets | undefined;
  /** Default: plain TCP. */
  readonly transport?: SessionTransport | undefined;
}

/** A node and the registration of it that is meant. */
export type NamedLease = NodeKey & { readonly incarnation: number };

interface Question {
  readonly msgId: number;
  readonly body: Uint8Array;
  readonly timer: Timer;
  resolve(body: Uint8Array): void;
  reject(error: unknown): void;
}

/** One line to a discovery, opened by the first question. */
export class LeaseClient {
  readonly #options: LeaseClientOptions;
  readonly #questions = new Map<number, Question>();
  /** Those of them that are still to be sent, oldest first. */
  readonly #unsent = new Set<number>();
  #link: SessionClient | undefined;
  #lookedMs = -Infinity;
  #looking: Promise<void> | undefined;
  #seq = 0;
  /** Who asks and waits for the look, or has been put among the questions. */
  #askerCount = 0;
  #isClosed = false;

  constructor(options: LeaseClientOptions) {
    this.#options = options;
  }

  /**
   * Registers a node. @returns the number of the registration.
   *
   * @throws {ControlError} with what discovery says of it, or discovery-away.
   */
  async register(request: Omit<LeaseRegister, "seq">): Promise<number> {
    const body = await this.#ask(
      MessageId.LeaseRegister,
      (seq) => encodeLeaseRegister({ ...request, seq }),
    );
    const { code, reason, incarnation } = decodeLeaseRegistered(body);
    requireDone(code, reason);
    return incarnation;
  }

  /** Changes values of a node. @throws {ControlError} as {@linkcode LeaseClient.register}. */
  async change(
    lease: NamedLease,
    values: Pick<LeaseChange, "weight" | "zone" | "note" | "ready">,
    owner: string,
  ): Promise<void> {
    const body = await this.#ask(
      MessageId.LeaseChange,
      (seq) => encodeLeaseChange({ ...values, lease, owner, seq }),
    );
    const { code, reason } = decodeLeaseDone(body);
    requireDone(code, reason);
  }

  /** Unregisters a node. @throws {ControlError} as {@linkcode LeaseClient.register}. */
  async leave(lease: NamedLease, owner: string): Promise<void> {
    const body = await this.#ask(
      MessageId.LeaseLeave,
      (seq) => encodeLeaseLeave({ lease, owner, seq }),
    );
    const { code, reason } = decodeLeaseDone(body);
    requireDone(code, reason);
  }

  /** Says that nodes live. @returns those that are not registered so any more. */
  async beat(leases: readonly NamedLease[], owner: string): Promise<LeaseName[]> {
    const body = await this.#ask(
      MessageId.LeaseBeat,
      (seq) => encodeLeaseBeat({ lease: [...leases], owner, seq }),
    );
    return decodeLeaseBeaten(body).lost;
  }

  /** Gives up what was asked. */
  async close(): Promise<void> {
    this.#isClosed = true;
    for (const seq of [...this.#questions.keys()]) this.#fail(seq, "this console stops");
    await this.#link?.close();
  }

  async #ask(msgId: number, encode: (seq: number) => Uint8Array): Promise<Uint8Array> {
    if (this.#askerCount >= LEASE_QUESTIONS_MAX) {
      throw new ControlError("too-many-requests", "Too many requests about leases wait", {
        retryAfterS: RETRY_S,
      });
    }
    this.#askerCount++;
    try {
      await this.#look();
      return await this.#put(msgId, encode);
    } finally {
      this.#askerCount--;
    }
  }

  async #put(msgId: number, encode: (seq: number) => Uint8Array): Promise<Uint8Array> {
    if (this.#isClosed) throw away("this console stops");
    if (this.#link === undefined) throw away("none has signed in to the database");
    this.#seq = this.#seq % 0xffff_ffff + 1;
    const seq = this.#seq;
    return await new Promise((resolve, reject) => {
      const { clock } = this.#options;
      const waitMs = this.#link?.ready === true ? ANSWER_MS : CONNECT_MS;
      const timer = clock.setTimer(waitMs, () => this.#late(seq));
      this.#questions.set(seq, { msgId, body: encode(seq), timer, resolve, reject });
      this.#unsent.add(seq);
      this.#flush();
    });
  }

  /**
   * Which discoveries there are, now and then. Only the first look is waited for: while the database
   * is away the discovery that is known is asked still, which hears nodes without it.
   */
  async #look(): Promise<void> {
    const { clock } = this.#options;
    if (this.#isClosed) return;
    const isKnown = this.#link !== undefined;
    if (isKnown && clock.nowMs() - this.#lookedMs < LOOK_MS) return;
    this.#lookedMs = clock.nowMs();
    this.#looking ??= this.#lookNow().finally(() => (this.#looking = undefined));
    if (isKnown) this.#looking.catch(() => {});
    else await this.#looking;
  }

  async #lookNow(): Promise<void> {
    const { store, clock } = this.#options;
    const addresses = await liveServices(store, clock, "discovery");
    if (addresses.length === 0 || this.#isClosed) return;
    if (this.#link !== undefined) return this.#link.setAddresses(addresses);
    const link = new SessionClient({
      ...this.#options,
      ...{ name: "discovery", role: "console", addresses, log: silentLogger },
      transport: this.#options.transport ?? runtimeTransport,
      welcomeWaitMs: Infinity,
      onReady: () => this.#flush(),
      onLost: () => this.#lost(),
    });
    const take = (seq: number, body: Uint8Array): void => this.#answered(seq, body.slice());
    link.router
      .add(MessageId.LeaseRegistered, (body) => take(decodeLeaseRegistered(body).seq, body))
      .add(MessageId.LeaseDone, (body) => take(decodeLeaseDone(body).seq, body))
      .add(MessageId.LeaseBeaten, (body) => take(decodeLeaseBeaten(body).seq, body));
    this.#link = link;
    link.start();
  }

  /** As many as the connection takes; the others when there is an answer, which makes room. */
  #flush(): void {
    if (this.#link?.ready !== true) return;
    for (const seq of this.#unsent) {
      const question = this.#questions.get(seq);
      if (question !== undefined && !this.#link.send(question.msgId, question.body)) return;
      this.#unsent.delete(seq);
    }
  }

  #answered(seq: number, body: Uint8Array): void {
    this.#take(seq)?.resolve(body);
    this.#flush();
  }

  #take(seq: number): Question | undefined {
    const question = this.#questions.get(seq);
    this.#questions.delete(seq);
    this.#unsent.delete(seq);
    question?.timer.cancel();
    return question;
  }

  /** What was sent over a connection that is lost may have been done: who asked looks, or repeats it. */
  #lost(): void {
    for (const seq of [...this.#questions.keys()]) {
      if (!this.#unsent.has(seq)) this.#fail(seq, "the connection to it was lost");
    }
  }

  #late(seq: number): void {
    this.#fail(seq, this.#link?.secretFault ?? this.#link?.fault ?? "it does not answer in time");
  }

  #fail(seq: number, why: string): void {
    this.#take(seq)?.reject(away(why));
  }
}

function away(why: string): ControlError {
  return new ControlError("discovery-away", `No discovery takes it: ${why}`, {
    retryAfterS: RETRY_S,
  });
}

function requireDone(code: number, reason: string): void {
  switch (code) {
    case LeaseCode.Done:
      return;
    case LeaseCode.Superseded:
      throw new ControlError("conflict", reason);
    case LeaseCode.Unknown:
    case LeaseCode.NoModule:
      throw new ControlError("not-found", reason);
    case LeaseCode.Foreign:
      throw new ControlError("not-allowed", reason);
    case LeaseCode.Invalid:
      throw new ControlError("invalid", reason);
    default:
      throw away(reason);
  }
}
