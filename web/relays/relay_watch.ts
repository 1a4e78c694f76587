// Shell. Looks after the relays that the console is told of: asks them while somebody, or a rule, looks on.

import type {
  RelayClientList,
  RelayList,
  RelayMail,
  RelayQueueList,
  RelayRow,
  RelayWorkerList,
} from "../../control/schemas.ts";
import type { SeenRelay } from "../../control/alerts/relay_checks.ts";
import { type Actor, auditOf } from "../../control/access/actor.ts";
import { type Address, formatAddress } from "../../reactor/address.ts";
import { messageOf } from "../../reactor/errors.ts";
import type { Clock, Timer } from "../../reactor/time/clock.ts";
import {
  RelayAdmin,
  type RelayAdminOptions,
  RelayAnswerError,
  RelayAwayError,
  type RelayTelling,
} from "../../relay/relay_admin.ts";
import type { Store } from "../../sql/store.ts";
import { ApiProblem } from "../problem.ts";
import { relayClients, relayFacts, relayMail, relayQueues, relayWorkers } from "./relay_facts.ts";

/** A connection to a relay ends when nobody has looked for so long. */
export const RELAY_IDLE_MS = 60_000;

/** Longest wait for a relay; one that could not be reached the last time is not waited for. */
const RELAY_WAIT_MS = 2_000;

/** Rates are over this time at most, in seconds: over a longer one they would say nothing of now. */
const RATE_S_MAX = 10;

/** An answer of the same kind is given again for so long, so that many pages cost what one does. */
const FRESH_MS = 900;

/** Relays are asked for rules of alerts this often at most, in milliseconds. */
const RELAY_LOOK_MS = 5_000;

/** What a {@linkcode RelayWatch} is given. */
export interface RelayWatchOptions extends Omit<RelayAdminOptions, "address"> {
  readonly addresses: readonly Address[];
  /** They were asked for: that one does not answer means something, also when it never has. */
  readonly areExpected: boolean;
  readonly store: Store;
}

/** Counters of a relay at one time. */
interface Sample {
  readonly atMs: number;
  readonly stats: RelayTelling;
}

/** One relay: the connection is there only while somebody looks. */
class WatchedRelay {
  readonly name: string;
  readonly #options: RelayAdminOptions;
  readonly #answers = new Map<string, { atMs: number; answer: Promise<RelayTelling> }>();
  #admin: RelayAdmin | undefined;
  #idle: Timer | undefined;
  #before: Sample | undefined;
  #latest: Sample | undefined;
  #hasAnswered = false;

  constructor(options: RelayAdminOptions) {
    this.name = formatAddress(options.address);
    this.#options = options;
  }

  /** It has answered since the start. */
  get hasAnswered(): boolean {
    return this.#hasAnswered;
  }

  async row(): Promise<RelayRow> {
    try {
      const stats = await this.ask("stats");
      this.#hasAnswered = true;
      if (this.#latest?.stats !== stats) {
        this.#before = this.#latest;
        this.#latest = { atMs: this.#options.clock.nowMs(), stats };
      }
      const before = this.#before;
      const agoS = (this.#latest.atMs - (before?.atMs ?? Infinity)) / 1000;
      const isRate = before !== undefined && agoS > 0 && agoS <= RATE_S_MAX;
      const earlier = isRate ? { ...before, agoS } : undefined;
      return { relay: this.name, fault: null, facts: relayFacts(stats, earlier) };
    } catch (error) {
      this.#before = this.#latest = undefined;
      return { relay: this.name, fault: messageOf(error), facts: null };
    }
  }

  /** What is wanted of it; the same for all who ask within {@linkcode FRESH_MS}. */
  ask(what: string): Promise<RelayTelling> {
    const nowMs = this.#options.clock.nowMs();
    const known = this.#answers.get(what);
    if (known !== undefined && nowMs - known.atMs < FRESH_MS) return known.answer;
    const answer = this.put({ ask: what });
    this.#answers.set(what, { atMs: nowMs, answer });
    return answer;
  }

  async put(question: RelayTelling): Promise<RelayTelling> {
    const { clock } = this.#options;
    this.#idle?.cancel();
    this.#idle = clock.setTimer(RELAY_IDLE_MS, () => void this.close());
    const admin = this.#admin ??= new RelayAdmin(this.#options);
    await admin.connected(RELAY_WAIT_MS, true);
    return await admin.ask(question, RELAY_WAIT_MS);
  }

  async close(): Promise<void> {
    this.#idle?.cancel();
    this.#answers.clear();
    this.#before = this.#latest = undefined;
    const admin = this.#admin;
    this.#admin = undefined;
    await admin?.close();
  }
}

/** The relays of a console. */
export class RelayWatch {
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #relays: readonly WatchedRelay[];
  readonly #areExpected: boolean;
  #seen: readonly SeenRelay[] = [];
  #lookedAtMs = -Infinity;
  #isLooking = false;

  constructor({ addresses, areExpected, store, ...options }: RelayWatchOptions) {
    this.#store = store;
    this.#areExpected = areExpected;
    this.#clock = options.clock;
    this.#relays = addresses.map((address) => new WatchedRelay({ ...options, address }));
  }

  /** All of them, in the order of the configuration; those that do not answer say why. */
  async list(): Promise<RelayList> {
    return { relays: await Promise.all(this.#relays.map((relay) => relay.row())) };
  }

  /**
   * All of them as they last answered, for rules of alerts. They are asked again for the calls to
   * come, every {@linkcode RELAY_LOOK_MS} at most.
   */
  seen(): readonly SeenRelay[] {
    const nowMs = this.#clock.nowMs();
    if (!this.#isLooking && nowMs - this.#lookedAtMs >= RELAY_LOOK_MS) {
      this.#lookedAtMs = nowMs;
      void this.#look();
    }
    return this.#seen;
  }

  /** Never fails. */
  async #look(): Promise<void> {
    this.#isLooking = true;
    this.#seen = await Promise.all(this.#relays.map(async (relay): Promise<SeenRelay> => {
      const row = await relay.row();
      return { ...row, isExpected: this.#areExpected || relay.hasAnswered };
    }));
    this.#isLooking = false;
  }

  /** @throws {ApiProblem} `not-found`, or `relay-away`; so do the others. */
  async clients(relay: string): Promise<RelayClientList> {
    return relayClients(await this.#ask(relay, "clients"));
  }

  async workers(relay: string): Promise<RelayWorkerList> {
    return relayWorkers(await this.#ask(relay, "workers"));
  }

  async queues(relay: string): Promise<RelayQueueList> {
    return relayQueues(await this.#ask(relay, "modules"));
  }

  /** @throws {ApiProblem} `conflict` when it keeps none. */
  async mail(relay: string): Promise<RelayMail> {
    return relayMail(await this.#ask(relay, "mail"));
  }

  /** Ends the connection of a client. @throws {ApiProblem} `not-found` when it is not there. */
  async kick(actor: Actor, relay: string, sid: number): Promise<void> {
    const found = this.#find(relay);
    try {
      await found.put({ ask: "kick", sid });
    } catch (error) {
      throw problemOf(error, "not-found");
    }
    const atMs = Math.trunc(this.#clock.wallMs());
    await this.#store.console.audit(auditOf(actor, atMs, "relay.kick", `${relay} client ${sid}`));
  }

  /** Ends all connections. */
  async close(): Promise<void> {
    await Promise.all(this.#relays.map((relay) => relay.close()));
  }

  async #ask(relay: string, what: string): Promise<RelayTelling> {
    try {
      return await this.#find(relay).ask(what);
    } catch (error) {
      throw problemOf(error, "conflict");
    }
  }

  #find(name: string): WatchedRelay {
    const found = this.#relays.find((relay) => relay.name === name);
    if (found !== undefined) return found;
    throw new ApiProblem("not-found", `[web] relays names no relay ${name}`);
  }
}

/** What a fault of a relay is to those who asked; `refused`: what its own refusal is. */
function problemOf(error: unknown, refused: "conflict" | "not-found"): unknown {
  if (error instanceof RelayAnswerError) return new ApiProblem(refused, error.message);
  if (error instanceof RelayAwayError) return new ApiProblem("relay-away", error.message);
  return error;
}
