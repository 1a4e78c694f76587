// Core. What keeps nodes registered over one link: heartbeats, coming again, leaving in order.

import { NO_REASON, type RegisterValues, type RegistrationState } from "./registration_types.ts";
import { LEASE_BEAT_NAMES_MAX, LEASE_TTL_MS_DEFAULT } from "../model/lease.ts";
import {
  decodeLeaseBeaten,
  decodeLeaseDone,
  decodeLeaseRegistered,
  decodeLeaseSafe,
  encodeLeaseBeat,
  encodeLeaseChange,
  encodeLeaseLeave,
  encodeLeaseRegister,
  encodeLeaseSafeRequest,
  type LeaseName,
} from "../proto/codec.ts";
import { LeaseCode, MessageId } from "../proto/message_ids.ts";
import { FRAME_BODY_BYTES_MAX } from "../reactor/frame.ts";
import { type Clock, sleep, type Timer } from "../reactor/time/clock.ts";
import type { Rng } from "../reactor/time/rng.ts";
import type { Link } from "../session/link.ts";

/** Heartbeats within the shortest time to live. */
const BEATS_PER_TTL = 3;
/** Pause before a busy discovery is asked again: random, up to this. */
const BUSY_PAUSE_MS = 2_000;
/** Time for an answer. */
const ANSWER_MS = 5_000;
/** Between two questions whether it is safe to stop. */
const SAFE_ROUND_MS = 500;
/** Nodes of one registrar; a further one is refused. */
export const PROGRAM_NODES_MAX = 2_000;

/** What a {@linkcode Registrar} works with. */
export interface RegistrarOptions {
  readonly clock: Clock;
  readonly rng: Rng;
  /** The address under which a node is to be reached, once there is a connection. */
  addressOf(values: RegisterValues): number;
}

/** How a registration ended. */
export interface CloseOutcome {
  /** No agent may use the node any more. */
  readonly safe: boolean;
  /** What was still missing, for people; empty when safe. */
  readonly waitsFor: string;
}

/** One node. */
export class Registration {
  readonly values: RegisterValues;
  readonly #registrar: Registrar;
  /** What discovery was told last, or is to be told. */
  isReady: boolean;
  weight: number;
  zone: string;
  note: string;
  ip: number | undefined;
  /** Numbers of its module; of one that is named they come with the answer. */
  modId: number;
  cmdId: number;
  incarnation = 0;
  #state: RegistrationState = "connecting";
  #reason = NO_REASON;
  readonly #waiters = new Set<() => void>();

  constructor(registrar: Registrar, values: RegisterValues) {
    this.#registrar = registrar;
    this.values = values;
    const { modId, cmdId, module = "" } = values;
    if ((modId === undefined || cmdId === undefined) && module === "") {
      throw new RangeError("A registration must name a module: modId and cmdId, or module");
    }
    this.modId = modId ?? 0;
    this.cmdId = cmdId ?? 0;
    this.isReady = values.isReady ?? true;
    this.weight = values.weight ?? 100;
    this.zone = values.zone ?? "";
    this.note = values.note === undefined ? "" : JSON.stringify(values.note);
  }

  /** Where it stands. */
  get state(): RegistrationState {
    return this.#state;
  }

  /** Why it is not registered, for people. */
  get reason(): string {
    return this.#reason;
  }

  /** Called by the registrar. */
  become(state: RegistrationState, reason = NO_REASON): void {
    const isNew = state !== this.#state || reason !== this.#reason;
    this.#state = state;
    this.#reason = reason;
    for (const wake of [...this.#waiters]) wake();
    if (isNew) this.values.onState?.(state, reason);
  }

  /** Resolves with the next change of its state, or after that time. */
  changed(clock: Clock, timeoutMs: number): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        timer.cancel();
        this.#waiters.delete(done);
        resolve();
      };
      const timer = clock.setTimer(timeoutMs, done);
      this.#waiters.add(done);
    });
  }

  /** Says whether it wants calls. */
  setReady(isReady: boolean): Promise<void> {
    this.isReady = isReady;
    return this.#registrar.tell(this, { ready: isReady ? 1 : 0 });
  }

  /** Says other values of itself. @throws {RangeError} when they cannot be; then all stays. */
  async update(
    { weight, zone, note }: Pick<RegisterValues, "weight" | "zone" | "note">,
  ): Promise<void> {
    const before = { weight: this.weight, zone: this.zone, note: this.note };
    if (note !== undefined) this.note = JSON.stringify(note);
    this.weight = weight ?? this.weight;
    this.zone = zone ?? this.zone;
    try {
      this.#registrar.requireRoom(this);
    } catch (error) {
      Object.assign(this, before);
      throw error;
    }
    await this.#registrar.tell(this, {
      ...(weight === undefined ? {} : { weight }),
      ...(zone === undefined ? {} : { zone }),
      ...(note === undefined ? {} : { note: this.note }),
    });
  }

  /**
   * Takes no new calls, waits until no agent may use it, at most `limitMs`, and unregisters.
   *
   * @param quietMs Time without any use that makes it safe.
   */
  close(limitMs: number, quietMs: number): Promise<CloseOutcome> {
    return this.#registrar.leave(this, limitMs, quietMs);
  }
}

interface Answer {
  resolve(body: Uint8Array | undefined): void;
  readonly timer: Timer;
}

/** Nodes of one program, which share a connection and its heartbeat. */
export class Registrar {
  readonly #options: RegistrarOptions;
  readonly #all = new Set<Registration>();
  /** Registered over this connection. */
  readonly #bound = new Set<Registration>();
  readonly #answers = new Map<number, Answer>();
  #link: Link | undefined;
  /** Counts connections made and lost: what was begun over one is not gone on with over the next. */
  #connections = 0;
  #seq = 0;
  #beat: Timer | undefined;

  constructor(options: RegistrarOptions) {
    this.#options = options;
  }

  /** The link that is used; its events are to be passed to `ready` and `lost`. */
  use(link: Link): void {
    this.#link = link;
    const take = (seq: number, body: Uint8Array): void => this.#answered(seq, body.slice());
    link.router.add(
      MessageId.LeaseRegistered,
      (body) => take(decodeLeaseRegistered(body).seq, body),
    );
    link.router.add(MessageId.LeaseDone, (body) => take(decodeLeaseDone(body).seq, body));
    link.router.add(MessageId.LeaseBeaten, (body) => take(decodeLeaseBeaten(body).seq, body));
    link.router.add(MessageId.LeaseSafe, (body) => take(decodeLeaseSafe(body).seq, body));
  }

  /** A connection stands that knows nothing of the one before. */
  ready(): void {
    this.#connections++;
    this.#bound.clear();
    for (const one of this.#all) void this.#register(one);
  }

  /** The connection is lost. */
  lost(reason: string): void {
    this.#connections++;
    this.#bound.clear();
    this.#beat?.cancel();
    this.#beat = undefined;
    for (const seq of [...this.#answers.keys()]) this.#answered(seq, undefined);
    for (const one of this.#all) {
      if (one.state === "registered") one.become("connecting", reason);
    }
  }

  /** Refuses what no message carries. @throws {RangeError} */
  requireRoom(one: Registration): void {
    const { length } = this.#registerBody(one, 0xffff_ffff);
    if (length <= FRAME_BODY_BYTES_MAX) return;
    throw new RangeError(
      `A registration must be at most ${FRAME_BODY_BYTES_MAX} bytes: current value is ${length}`,
    );
  }

  /**
   * Registers a node, now or as soon as there is a connection.
   *
   * @throws {RangeError} when its values cannot be, or there are too many nodes.
   */
  add(values: RegisterValues): Registration {
    if (this.#all.size >= PROGRAM_NODES_MAX) {
      throw new RangeError(`Nodes of one program must be at most ${PROGRAM_NODES_MAX}`);
    }
    const one = new Registration(this, values);
    this.requireRoom(one);
    this.#all.add(one);
    if (this.#link?.ready === true) void this.#register(one);
    return one;
  }

  /** Tells a change, if it is registered; a registration tells it anyway. */
  async tell(
    one: Registration,
    values: { weight?: number; zone?: string; note?: string; ready?: number },
  ): Promise<void> {
    if (!this.#bound.has(one)) return;
    const lease = this.#nameOf(one);
    const body = await this.#ask(
      MessageId.LeaseChange,
      (seq) => encodeLeaseChange({ seq, lease, owner: "", ...values }),
    );
    if (body === undefined) {
      // Whether it was heard is not known; over another connection all is said again anyway.
      if (this.#bound.has(one)) void this.#register(one);
      return;
    }
    const { code, reason } = decodeLeaseDone(body);
    if (code === LeaseCode.Invalid) throw new RangeError(reason);
    if (code === LeaseCode.Superseded) this.#drop(one, "superseded", reason);
    else if (code !== LeaseCode.Done) await this.#register(one);
  }

  /** See {@linkcode Registration.close}. */
  async leave(one: Registration, limitMs: number, quietMs: number): Promise<CloseOutcome> {
    const { clock } = this.#options;
    const endMs = clock.nowMs() + limitMs;
    let outcome: CloseOutcome = { safe: false, waitsFor: "it is not registered" };
    if (this.#bound.has(one)) {
      await one.setReady(false);
      while (clock.nowMs() < endMs) {
        outcome = await this.#askSafe(one, quietMs);
        if (outcome.safe) break;
        await sleep(clock, Math.min(SAFE_ROUND_MS, Math.max(0, endMs - clock.nowMs())));
      }
    }
    if (this.#bound.has(one)) {
      const lease = this.#nameOf(one);
      await this.#ask(MessageId.LeaseLeave, (seq) => encodeLeaseLeave({ seq, lease, owner: "" }));
    }
    this.#drop(one, "closed", NO_REASON);
    return outcome;
  }

  /** Nodes that are to be registered. */
  get count(): number {
    return this.#all.size;
  }

  async #askSafe(one: Registration, quietMs: number): Promise<CloseOutcome> {
    const lease = this.#nameOf(one);
    const body = await this.#ask(
      MessageId.LeaseSafeRequest,
      (seq) => encodeLeaseSafeRequest({ seq, lease, quietMs }),
    );
    if (body === undefined) return { safe: false, waitsFor: "discovery does not answer" };
    const { safe, waitsFor } = decodeLeaseSafe(body);
    return { safe, waitsFor };
  }

  async #register(one: Registration): Promise<void> {
    const { clock, rng, addressOf } = this.#options;
    const connection = this.#connections;
    for (;;) {
      try {
        one.ip ??= addressOf(one.values);
      } catch (error) {
        const reason = error instanceof Error ? error.message : String(error);
        return this.#drop(one, "refused", reason);
      }
      const { isReady, weight, zone, note } = one;
      const body = await this.#ask(MessageId.LeaseRegister, (seq) => this.#registerBody(one, seq));
      if (this.#connections !== connection || !this.#all.has(one)) return; // The next one goes on.
      if (body === undefined) {
        // It is late, or was never asked: who waited for it longer would wait for ever.
        await sleep(clock, BUSY_PAUSE_MS * rng.next());
        if (this.#connections !== connection || !this.#all.has(one)) return;
        continue;
      }
      const { code, reason, incarnation, modId, cmdId } = decodeLeaseRegistered(body);
      if (code === LeaseCode.Done) {
        if (one.values.module !== undefined) Object.assign(one, { modId, cmdId });
        this.#registered(one, incarnation);
        // What it said meanwhile was not part of it.
        const isSame = isReady === one.isReady && weight === one.weight && zone === one.zone &&
          note === one.note;
        if (!isSame) void this.tell(one, valuesOf(one)).catch(() => {});
        return;
      }
      if (code === LeaseCode.Superseded) return this.#drop(one, "superseded", reason);
      if (code !== LeaseCode.Busy) return this.#drop(one, "refused", reason);
      one.become("connecting", reason);
      await sleep(clock, BUSY_PAUSE_MS * rng.next());
      if (this.#connections !== connection || !this.#all.has(one)) return;
    }
  }

  #registerBody(one: Registration, seq: number): Uint8Array {
    const { port, ttlMs = LEASE_TTL_MS_DEFAULT, createModule = false } = one.values;
    const { module = "", check = "" } = one.values;
    const { modId, cmdId, ip = 0, weight, zone, note, isReady, incarnation } = one;
    return encodeLeaseRegister({
      ...{ seq, modId, cmdId, ip, port, ttlMs, weight, zone, note, waiting: !isReady },
      ...{ incarnation, makesModule: createModule, detached: false },
      ...(module === "" && check === "" ? {} : { terms: { module, check } }),
    });
  }

  #registered(one: Registration, incarnation: number): void {
    one.incarnation = incarnation;
    this.#bound.add(one);
    one.become("registered");
    this.#scheduleBeat();
  }

  #drop(one: Registration, state: RegistrationState, reason: string): void {
    this.#all.delete(one);
    this.#bound.delete(one);
    one.become(state, reason);
  }

  #scheduleBeat(): void {
    if (this.#beat !== undefined || this.#bound.size === 0) return;
    const ttls = [...this.#bound].map(({ values }) => values.ttlMs ?? LEASE_TTL_MS_DEFAULT);
    const { clock } = this.#options;
    const waitMs = ttls.reduce((least, ttl) => Math.min(least, ttl), Infinity) / BEATS_PER_TTL;
    this.#beat = clock.setTimer(waitMs, () => {
      this.#beat = undefined;
      void this.#beatNow().finally(() => this.#scheduleBeat());
    });
  }

  /** One frame for all. When discovery counts fewer, each is asked for by name. */
  async #beatNow(): Promise<void> {
    const expected = this.#bound.size;
    const first = await this.#askBeat([]);
    if (first === undefined || first.count === expected) return;
    const names = new Map([...this.#bound].map((one) => [keyOf(this.#nameOf(one)), one]));
    const all = [...this.#bound].map((one) => this.#nameOf(one));
    const lost = new Set<string>();
    let count = 0;
    for (let from = 0; from < all.length; from += LEASE_BEAT_NAMES_MAX) {
      const answer = await this.#askBeat(all.slice(from, from + LEASE_BEAT_NAMES_MAX));
      if (answer === undefined) return;
      count = answer.count;
      for (const name of answer.lost) lost.add(keyOf(name));
    }
    // Those that are known and not of this connection are bound to it again.
    const some = count < names.size
      ? [...names.values()]
      : [...names].filter(([key]) => lost.has(key)).map(([, one]) => one);
    for (const one of some) void this.#register(one);
  }

  async #askBeat(
    lease: readonly LeaseName[],
  ): Promise<{ count: number; lost: LeaseName[] } | undefined> {
    const body = await this.#ask(
      MessageId.LeaseBeat,
      (seq) => encodeLeaseBeat({ seq, lease: [...lease], owner: "" }),
    );
    return body === undefined ? undefined : decodeLeaseBeaten(body);
  }

  #nameOf({ values: { port }, modId, cmdId, ip = 0, incarnation }: Registration): LeaseName {
    return { modId, cmdId, ip, port, incarnation };
  }

  /** Undefined: there was no answer. */
  #ask(msgId: number, encode: (seq: number) => Uint8Array): Promise<Uint8Array | undefined> {
    this.#seq = this.#seq % 0xffff_ffff + 1;
    const seq = this.#seq;
    return new Promise((resolve) => {
      if (this.#link?.send(msgId, encode(seq)) !== true) return resolve(undefined);
      const timer = this.#options.clock.setTimer(ANSWER_MS, () => {
        this.#answered(seq, undefined);
        // A discovery that is stuck is left for the next one.
        if (msgId === MessageId.LeaseBeat) this.#link?.failOver("no answer to a heartbeat");
      });
      this.#answers.set(seq, { resolve, timer });
    });
  }

  #answered(seq: number, body: Uint8Array | undefined): void {
    const answer = this.#answers.get(seq);
    if (answer === undefined) return;
    this.#answers.delete(seq);
    answer.timer.cancel();
    answer.resolve(body);
  }
}

function valuesOf(
  { isReady, weight, zone, note }: Registration,
): { weight: number; zone: string; note: string; ready: number } {
  return { weight, zone, note, ready: isReady ? 1 : 0 };
}

function keyOf({ modId, cmdId, ip, port }: LeaseName): string {
  return `${modId >>> 0}/${cmdId >>> 0} ${ip >>> 0}:${port}`;
}
