// Core. A link to the server that suits best of several: fails over when it is lost, and comes back
// when it is there again, each client at its own time and with a new connection before the old ends.

import { encodePing, type Pong } from "../proto/codec.ts";
import { MessageId } from "../proto/message_ids.ts";
import { type Address, formatAddress } from "../reactor/address.ts";
import { messageOf } from "../reactor/errors.ts";
import type { Logger } from "../reactor/log.ts";
import type { Clock, Timer } from "../reactor/time/clock.ts";
import type { Rng } from "../reactor/time/rng.ts";
import type { Link, LinkChoice, LinkEvents } from "../session/link.ts";
import { SPREAD_MS_MAX } from "../session/reconnect_pace.ts";
import { LEAVING_REASON, type SessionClient } from "../session/session_client.ts";
import type { SessionClientOptions } from "../session/session_client.ts";
import { BehindServer } from "./behind_server.ts";
import {
  type Chooser,
  formatServer,
  isName,
  rankServers,
  resolveServers,
  type ServerAddress,
  type ServerLookup,
} from "./server_choice.ts";

/** Time between two looks whether a better server is back, and the longest; see below. */
export const RETURN_MS = 4_000;
export const RETURN_MS_MAX = 60_000;

/** Moments of chance bunch: so much longer than the time over which clients would spread evenly. */
const SPREAD_FACTOR = 1.5;

/** Looks at the first of these paces: a server that restarts is back long before they are over. */
const SOON_LOOKS = 15;

/** A better server that is lost sooner than this after the return to it is looked for half as often. */
const LASTING_MS = 10_000;

/** Age at which a connection is made anew, on average: what a name or a proxy stands for may differ. */
export const CONNECTION_AGE_MS = 3_600_000;

/** Time that a better server has to answer Hello and a ping, connecting included. */
export const WELCOME_MS = 3_000;

/** What a {@linkcode ChosenLink} is given. */
export interface ChosenLinkOptions extends LinkEvents {
  /** What the other side is, for logs: `dns`. */
  readonly name: string;
  readonly servers: readonly ServerAddress[];
  readonly chooser: Chooser;
  readonly lookup: ServerLookup;
  /** Time between two looks whether a better server is back; 0: it is never looked. */
  readonly returnMs: number;
  /** Average age at which a connection is made anew; 0: never. */
  readonly ageMs: number;
  readonly clock: Clock;
  readonly rng: Rng;
  readonly log: Logger;
  /** Makes a client that is not started. */
  open(
    addresses: readonly Address[],
    events: LinkEvents & Pick<SessionClientOptions, "onFault" | "onLeaving" | "onPong">,
  ): SessionClient;
  /** The server in use has answered a ping. */
  onPong?: SessionClientOptions["onPong"];
}

/** Why a connection to another server is made, and what it counts as. */
type ChangeCount = "returns" | "renewals" | "leavings" | "fresher";

/** A server that is behind serves: there is more time than after one that is lost, ten seconds. */
const BEHIND_PAUSE_FACTOR = 2.5;

/** Why a server is not moved to. */
const BEHIND_REASON = "its data is behind";

/** After a move to a server that is not behind the first looks for a better one come later. */
const VAIN_LOOKS_AFTER_FRESHER = SOON_LOOKS + 5;

type Handler = (body: Uint8Array) => void;

/** A client, and whether it is still to be heard. */
interface Held {
  client: SessionClient;
}

/**
 * Servers are ranked ({@linkcode rankServers}) and tried from the first. While the one in use is not
 * the first, or is old, another connection is made to a better one, and takes over once it has
 * answered Hello and a ping; so nothing is without a server for a moment. A server that accepts and
 * says nothing is not moved to, and neither is one of the original.
 *
 * A server that says that its data is behind is not returned to from one that has its data. While
 * the one in use is behind, another one is looked for ({@linkcode BehindServer}), of this client's
 * zone if the one in use is of it; when all are behind the one in use stays.
 *
 * Each looks whether a better one is back once in each `returnMs`, at a moment of its own; in a large
 * fleet in each time over which the clients of the server in use would spread. So those that lost a
 * server together do not come back together, and all are back in that time. After
 * {@linkcode SOON_LOOKS} in vain the next look is twice as far, and so on up to fifteen times; so it is
 * while the better one is lost again soon after each return.
 */
export class ChosenLink implements Link {
  readonly router: { add(msgId: number, handler: Handler): void };
  readonly #options: ChosenLinkOptions;
  readonly #handlers: [msgId: number, handler: Handler][] = [];
  #servers: readonly ServerAddress[];
  #ranked: readonly ServerAddress[];
  #current: Held;
  /** A connection to a better server that has not answered yet. */
  #candidate: Held | undefined;
  #candidateTimer: Timer | undefined;
  /** Servers that the candidate has not tried. */
  #triesLeft = 0;
  /** What it counts as when it takes over. */
  #candidateCount: ChangeCount = "returns";
  #returnTimer: Timer | undefined;
  #ageTimer: Timer | undefined;
  readonly #behind: BehindServer;
  #vainLooks = 0;
  /** Over how long the clients of the server in use would come to another one. */
  #spreadMs = 0;
  /** When a better server took over from another one; undefined: the one in use is no better one. */
  #returnedAtMs: number | undefined;
  /** Returns in a row that did not last. */
  #shortReturns = 0;
  #started = false;
  #closed = false;
  /** Connections of clients that are no more. */
  #connectCount = 0;
  readonly #counts = { returns: 0, renewals: 0, leavings: 0, fresher: 0 };

  constructor(options: ChosenLinkOptions) {
    this.#options = options;
    this.#servers = options.servers;
    this.#ranked = rankServers(options.servers, options.chooser);
    const { clock, rng, returnMs } = options;
    this.#behind = new BehindServer({
      ...{ clock, rng, pauseMs: BEHIND_PAUSE_FACTOR * (returnMs === 0 ? RETURN_MS : returnMs) },
      search: () => void this.#try(() => this.#others(), "fresher"),
    });
    this.#current = this.#open(this.#ranked);
    this.router = {
      add: (msgId, handler): void => {
        this.#handlers.push([msgId, handler]);
        this.#addHandler(this.#current, msgId, handler);
      },
    };
  }

  get ready(): boolean {
    return this.#current.client.ready;
  }

  get extended(): boolean {
    return this.#current.client.extended;
  }

  get address(): Address {
    return this.#current.client.address;
  }

  get local(): Address | undefined {
    return this.#current.client.local;
  }

  get fault(): string | undefined {
    return this.#current.client.fault;
  }

  get secretFault(): string | undefined {
    return this.#current.client.secretFault;
  }

  get connectCount(): number {
    return this.#connectCount + this.#current.client.connectCount;
  }

  get pendingBytes(): number {
    return this.#current.client.pendingBytes;
  }

  get choice(): LinkChoice {
    const { returns, leavings, renewals, fresher } = this.#counts;
    const { behindMs } = this.#behind;
    return { rank: this.rank, returns: returns + leavings, renewals, fresher, behindMs };
  }

  /** How the server in use ranks for this client: 0 is the one that suits best. */
  get rank(): number {
    const used = formatAddress(this.address);
    return Math.max(0, this.#ranked.findIndex((server) => formatAddress(server) === used));
  }

  start(): void {
    if (this.#started || this.#closed) return;
    this.#started = true;
    if (this.#hasNames) void this.#resolve().then(() => this.#current.client.start());
    else this.#current.client.start();
  }

  send(msgId: number, body: Uint8Array): boolean {
    return this.#current.client.send(msgId, body);
  }

  sayGoodbye(reason: string): void {
    this.#current.client.sayGoodbye(reason);
  }

  failOver(reason: string): void {
    this.#current.client.failOver(reason);
  }

  setAddresses(servers: readonly ServerAddress[]): void {
    const same = servers.map(formatServer).join() === this.#servers.map(formatServer).join();
    if (same) return;
    this.#servers = servers;
    this.#rank(servers);
    if (this.#hasNames) void this.#resolve();
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#stopTimers();
    this.#dropCandidate();
    await this.#current.client.close();
  }

  get #hasNames(): boolean {
    return this.#servers.some(({ hostname }) => isName(hostname));
  }

  async #resolve(): Promise<void> {
    const asked = this.#servers;
    const resolved = await resolveServers(asked, this.#options.lookup);
    if (asked === this.#servers && resolved.length > 0) this.#rank(resolved);
  }

  /** @throws {RangeError} when there are none. */
  #rank(servers: readonly ServerAddress[]): void {
    const ranked = rankServers(servers, this.#options.chooser);
    this.#current.client.setAddresses(ranked);
    this.#ranked = ranked;
    if (this.#current.client.ready) this.#plan();
  }

  #open(addresses: readonly Address[]): Held {
    const { open } = this.#options;
    const held = {} as Held;
    const isCurrent = (): boolean => held === this.#current;
    held.client = open(addresses, {
      onReady: () => isCurrent() ? this.#nowReady() : this.#candidateReady(held),
      onExtended: () => isCurrent() ? this.#options.onExtended?.() : this.#candidateReady(held),
      onLost: () => isCurrent() && this.#lost(),
      onHeard: (msgId) => isCurrent() && this.#options.onHeard?.(msgId),
      onFault: (reason) => held === this.#candidate && this.#candidateFault(reason),
      onLeaving: () => isCurrent() && this.#leave(),
      onPong: (pong) => isCurrent() ? this.#ponged(pong) : this.#candidatePonged(held, pong),
    });
    for (const [msgId, handler] of this.#handlers) this.#addHandler(held, msgId, handler);
    return held;
  }

  #addHandler(held: Held, msgId: number, handler: Handler): void {
    held.client.router.add(msgId, (body) => {
      // What an old connection still had to say does not come after what a new one says.
      if (held === this.#current) handler(body);
    });
  }

  #ponged(pong: Pong): void {
    this.#spreadMs = Math.min(pong.spreadMs ?? 0, SPREAD_MS_MAX);
    this.#behind.told(pong);
    this.#options.onPong?.(pong);
  }

  #nowReady(vainLooks = 0): void {
    this.#vainLooks = vainLooks;
    this.#behind.reset();
    this.#plan();
    this.#planRenewal();
    this.#options.onReady();
  }

  #lost(): void {
    const { clock } = this.#options;
    const isShort = clock.nowMs() - (this.#returnedAtMs ?? -Infinity) < LASTING_MS;
    this.#shortReturns = isShort ? this.#shortReturns + 1 : 0;
    this.#returnedAtMs = undefined;
    this.#stopTimers();
    this.#dropCandidate();
    this.#options.onLost();
    if (this.#hasNames && !this.#closed) void this.#resolve();
  }

  /** Looks for a better server in a while, unless there is none; first at a moment of its own. */
  #plan(isFirst = true): void {
    const { clock, rng, returnMs } = this.#options;
    this.#returnTimer?.cancel();
    if (returnMs === 0 || this.#closed || this.rank === 0) return;
    const share = this.#vainLooks > SOON_LOOKS ? 0.5 + rng.next() : isFirst ? rng.next() : 1;
    const pauseMs = this.#lookPauseMs() * share;
    this.#returnTimer = clock.setTimer(
      pauseMs,
      () => void this.#try(() => this.#ranked.slice(0, this.rank), "returns"),
    );
  }

  #lookPauseMs(): number {
    const { returnMs } = this.#options;
    const doublings = Math.max(0, this.#vainLooks - SOON_LOOKS) + this.#shortReturns;
    const limitMs = returnMs * RETURN_MS_MAX / RETURN_MS;
    return Math.max(
      SPREAD_FACTOR * this.#spreadMs,
      Math.min(limitMs, returnMs * 2 ** Math.min(doublings, 30)),
    );
  }

  #planRenewal(): void {
    const { clock, rng, ageMs } = this.#options;
    this.#ageTimer?.cancel();
    if (ageMs === 0) return;
    this.#ageTimer = clock.setTimer(ageMs * (0.5 + rng.next()), () => {
      this.#planRenewal();
      void this.#try(() => this.#ranked.slice(0, this.rank + 1), "renewals");
    });
  }

  /** The server in use stops: there is time to connect to another one first. */
  #leave(): void {
    const used = formatAddress(this.address);
    const others = this.#ranked.filter((server) => formatAddress(server) !== used);
    if (others.length === 0) return this.failOver(LEAVING_REASON);
    this.#dropCandidate();
    this.#connect(others, "leavings");
  }

  /** Servers beside the one in use that suit no worse than it but for their place. */
  #others(): readonly ServerAddress[] {
    const { zone } = this.#options.chooser;
    const used = formatAddress(this.address);
    const isHome = (server: ServerAddress | undefined): boolean =>
      zone === "" || server?.zone === zone;
    const isUsedHome = isHome(this.#ranked.find((server) => formatAddress(server) === used));
    return this.#ranked.filter((server) =>
      formatAddress(server) !== used && (isHome(server) || !isUsedHome)
    );
  }

  async #try(choose: () => readonly ServerAddress[], count: ChangeCount): Promise<void> {
    if (this.#hasNames) await this.#resolve();
    if (this.#closed || !this.ready) return;
    if (this.#candidate !== undefined) {
      // One that is not behind is looked for meanwhile: when that fails nobody else plans the next look.
      if (count === "returns") this.#plan(false);
      return;
    }
    const servers = choose();
    if (servers.length > 0) this.#connect(servers, count);
    else if (count === "fresher") this.#behind.searchedInVain();
  }

  #connect(servers: readonly ServerAddress[], count: ChangeCount): void {
    const held = this.#open(servers);
    this.#candidate = held;
    this.#candidateCount = count;
    this.#triesLeft = servers.length;
    this.#awaitWelcome(held);
    held.client.start();
  }

  #awaitWelcome({ client }: Held): void {
    this.#candidateTimer?.cancel();
    this.#candidateTimer = this.#options.clock.setTimer(
      WELCOME_MS,
      () => client.failOver(client.extended ? "no answer to a ping" : "no answer to Hello"),
    );
  }

  /** Each server of a candidate is tried once. */
  #candidateFault(reason: string): void {
    this.#triesLeft--;
    if (this.#triesLeft > 0 && this.#candidate !== undefined) this.#awaitWelcome(this.#candidate);
    else this.#candidateFailed(reason);
  }

  #candidateFailed(reason: string): void {
    const { log, name } = this.#options;
    const server = this.#candidate === undefined
      ? ""
      : formatAddress(this.#candidate.client.address);
    log.debug(`Better ${name} is not there yet`, { server, reason });
    this.#dropCandidate();
    if (this.#candidateCount === "fresher") return this.#behind.searchedInVain();
    this.#vainLooks++;
    this.#plan(false);
  }

  #dropCandidate(): void {
    this.#candidateTimer?.cancel();
    const candidate = this.#candidate;
    this.#candidate = undefined;
    if (candidate === undefined) return;
    this.#connectCount += candidate.client.connectCount;
    candidate.client.destroy();
  }

  /** A server that answers Hello is asked how it does, unless there is no choice. */
  #candidateReady(held: Held): void {
    if (held !== this.#candidate || !held.client.extended) return;
    if (this.#candidateCount === "leavings") this.#takeOver(held);
    else held.client.send(MessageId.Ping, encodePing({ seq: 0 }));
  }

  #candidatePonged(held: Held, pong: Pong): void {
    if (held !== this.#candidate) return;
    const isBetterWanted = this.#candidateCount === "fresher" ||
      this.#behind.behindMs === undefined;
    if (pong.behindMs !== undefined && isBetterWanted) return held.client.failOver(BEHIND_REASON);
    this.#takeOver(held);
    this.#ponged(pong);
  }

  /** The better server has answered: it takes over. */
  #takeOver(held: Held): void {
    const { name, log } = this.#options;
    const old = this.#current.client;
    const count = this.#candidateCount;
    const oldRank = this.rank;
    this.#candidateTimer?.cancel();
    this.#candidate = undefined;
    this.#stopTimers();
    this.#current = held;
    this.#connectCount += old.connectCount;
    this.#counts[count]++;
    this.#returnedAtMs = this.rank < oldRank ? this.#options.clock.nowMs() : undefined;
    held.client.setAddresses(this.#ranked);
    log.info(`Changes to another connection to ${name}`, {
      from: formatAddress(old.address),
      to: formatAddress(held.client.address),
      ...(count === "fresher" ? { reason: "the data of the one before was behind" } : {}),
    });
    if (old.ready) this.#options.onLost();
    old.close().catch((error) => log.warn("Old connection", { error: messageOf(error) }));
    this.#nowReady(count === "fresher" ? VAIN_LOOKS_AFTER_FRESHER : 0);
  }

  #stopTimers(): void {
    this.#returnTimer?.cancel();
    this.#ageTimer?.cancel();
    this.#behind.pause();
  }
}
