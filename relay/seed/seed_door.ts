// Core. The way in for clients of the original: L0 names two ports, the relay connects to both.

import { isLoopback } from "../../reactor/address.ts";
import { messageOf } from "../../reactor/errors.ts";
import { type Logger, LogRateLimiter } from "../../reactor/log.ts";
import type { Stream, StreamHandlers, TcpConnector } from "../../reactor/runtime/types.ts";
import type { ConnectionBudget } from "../../reactor/tcp/connection_budget.ts";
import { BufferPool } from "../../reactor/tcp/buffer_pool.ts";
import type { FramedLinkSettings } from "../../reactor/tcp/framed_link.ts";
import { type Clock, setRepeating, sleep, type Timer } from "../../reactor/time/clock.ts";
import type { ModuleKey } from "../../model/module.ts";
import type { Broker } from "../broker/broker.ts";
import { Deadlines } from "../broker/deadlines.ts";
import { Ledger } from "../broker/ledger.ts";
import { LinkedList, type ListPlace } from "../broker/linked_list.ts";
import { type LinkLimits, LinkTable } from "./link_table.ts";
import { type ClientPorts, PORTS_TEXT_BYTES_MAX, readPortsText } from "./ports_text.ts";
import { readTransitTarget, type RelayFrame, RelayFrameKind, transitData } from "./relay_frame.ts";
import { LinkedClient, type LinkedClientOwner } from "./linked_client.ts";

/** Time for the text of L0 to be whole. */
export const PORTS_TEXT_MS = 5_000;

/** Time for a client to listen on each of its ports: it begins to only after L0. */
export const LINK_CONNECT_MS = 6_000;

/** First and longest pause between two tries to connect; it doubles in between. */
const RETRY_MIN_MS = 20;
const RETRY_MAX_MS = 250;

/** Longest one try may take. */
const TRY_MS = 3_000;

/** Links that are being made at once; for a further one the oldest is given up. */
export const REGISTRATIONS_MAX = 1_000;

/** Bounds of the clients of the original. */
export interface SeedLimits extends LinkLimits {
  /** Bytes that may wait for one client; one that reads more slowly is cut. */
  readonly outputBytesMax: number;
}

/** What a {@linkcode SeedDoor} is given. */
export interface SeedDoorOptions {
  readonly clock: Clock;
  readonly log: Logger;
  readonly connector: TcpConnector;
  readonly budget: ConnectionBudget;
  readonly broker: Broker;
  /** Whose workers answer. */
  readonly module: ModuleKey;
  readonly limits: SeedLimits;
  /** Ports of this relay on its host, to which it never connects. */
  ownPorts(): readonly number[];
}

/** A client whose links are being made. */
interface Registration extends ClientPorts {
  readonly hostname: string;
  readonly abort: AbortController;
  place: ListPlace<Registration> | undefined;
}

/** Counters since the start. */
interface SeedCounts {
  registered: number;
  refusedText: number;
  refusedPorts: number;
  refusedLimit: number;
  unreachable: number;
  evicted: number;
  ended: number;
  badFrames: number;
}

/** Clients of the original, from L0 to their end. */
export class SeedDoor implements LinkedClientOwner {
  readonly broker: Broker;
  readonly module: ModuleKey;
  readonly linkSettings: FramedLinkSettings;
  /** Frames from client to client. */
  readonly transits = new Ledger();
  readonly #options: SeedDoorOptions;
  readonly #table = new LinkTable<LinkedClient>();
  readonly #registrations = new LinkedList<Registration>();
  readonly #texts: Deadlines<PortsTalk>;
  readonly #logLimiter: LogRateLimiter;
  readonly #looks: Timer;
  readonly #counts: SeedCounts = {
    registered: 0,
    refusedText: 0,
    refusedPorts: 0,
    refusedLimit: 0,
    unreachable: 0,
    evicted: 0,
    ended: 0,
    badFrames: 0,
  };
  #closed = false;

  constructor(options: SeedDoorOptions) {
    const { clock, broker, module, limits } = options;
    this.#options = options;
    this.broker = broker;
    this.module = module;
    this.#logLimiter = new LogRateLimiter(clock);
    this.#texts = new Deadlines(clock, (talk) => talk.giveUp());
    this.linkSettings = {
      clock,
      pool: new BufferPool(),
      outputBytesMax: limits.outputBytesMax,
      pauseAtHighWater: false,
      counters: { framesIn: 0, framesOut: 0, bytesIn: 0, bytesOut: 0 },
    };
    this.#looks = setRepeating(clock, 1000, () => {
      for (const client of [...this.#table.links()]) client.look();
    });
  }

  /** Clients whose links stand. */
  links(): IterableIterator<LinkedClient> {
    return this.#table.links();
  }

  /** A connection that seems to be an L0; its bytes follow. */
  accept(stream: Stream): void {
    if (this.#closed || !this.#options.budget.take()) return stream.close();
    const talk: PortsTalk = new PortsTalk(stream, {
      onPorts: (ports) => this.#register(stream, ports),
      onFault: (fault) => {
        this.#counts.refusedText++;
        this.#tell("Client refused: what it said over L0 makes no sense", stream, fault);
      },
      onGone: () => this.#options.budget.give(),
    });
    talk.deadline = this.#texts.add(talk, PORTS_TEXT_MS);
    stream.start(talk);
  }

  /** Called by a client. */
  onTransit(from: LinkedClient, frame: RelayFrame): void {
    this.transits.accept();
    const target = readTransitTarget(frame.data);
    const client = target === undefined ? undefined : this.#table.find(target);
    if (client === undefined) return this.transits.refuse("no_client");
    const { hostname, port1, sid } = from;
    const data = transitData({ hostname, port1 }, frame.data);
    const { cpid, msgid } = frame;
    if (client.send({ kind: RelayFrameKind.Transit, cpid, sid, msgid, data })) {
      return this.transits.deliver();
    }
    this.transits.refuse("slow");
    client.cut("slow reader: output limit reached");
  }

  /** Called by a client. */
  onBadFrame(): void {
    this.#counts.badFrames++;
  }

  /** Called by a client. */
  onEnded(client: LinkedClient, reason: string): void {
    this.#counts.ended++;
    this.#table.remove(client);
    this.#table.give(client.hostname);
    this.#options.log.debug("Client of the original ended", { host: client.hostname, reason });
  }

  /** Called by a client. */
  onSocketGone(): void {
    this.#options.budget.give();
  }

  /** Counters since the start, and present sizes. */
  stats(): Record<string, number> {
    const counts = this.#counts;
    let links = 0;
    for (const _ of this.#table.links()) links++;
    return {
      ...this.transits.stats("transits"),
      links,
      links_being_made: this.#registrations.size,
      links_registered: counts.registered,
      links_ended: counts.ended,
      links_refused_text: counts.refusedText,
      links_refused_ports: counts.refusedPorts,
      links_refused_limit: counts.refusedLimit,
      links_unreachable: counts.unreachable,
      links_evicted: counts.evicted,
      bad_frames: counts.badFrames,
    };
  }

  /** Ends all links; what has been sent still leaves. */
  close(): void {
    this.#closed = true;
    this.#looks.cancel();
    this.#texts.clear();
    for (const registration of this.#registrations.items()) registration.abort.abort();
    for (const client of [...this.#table.links()]) client.close("the relay stops");
  }

  #register(stream: Stream, ports: ClientPorts): void {
    const { remote: { hostname }, local } = stream;
    const isOwnHost = isLoopback(hostname) || hostname === local.hostname;
    const own = this.#options.ownPorts();
    if (isOwnHost && (own.includes(ports.port1) || own.includes(ports.port2))) {
      this.#counts.refusedPorts++;
      return this.#tell("Client refused: its port is one of this relay", stream, `${own}`);
    }
    if (!this.#table.take(hostname, this.#options.limits)) {
      this.#counts.refusedLimit++;
      return this.#tell("Client refused: it or all have links enough", stream, hostname);
    }
    if (this.#registrations.size >= REGISTRATIONS_MAX) {
      this.#counts.evicted++;
      const oldest = this.#registrations.shift();
      oldest?.abort.abort();
    }
    const registration: Registration = {
      ...ports,
      hostname,
      abort: new AbortController(),
      place: undefined,
    };
    registration.place = this.#registrations.add(registration);
    void this.#connect(registration);
  }

  /** Makes L1 and then L2; never fails. */
  async #connect(registration: Registration): Promise<void> {
    const { hostname, port1, port2, place } = registration;
    const l1 = await this.#reach(registration, port1);
    if (l1 === undefined) {
      this.#table.give(hostname);
    } else {
      const client = new LinkedClient(this, l1, hostname, port1);
      const l2 = await this.#reach(registration, port2);
      if (l2 !== undefined) this.#open(client, l2);
      else client.cut("L2 could not be made");
    }
    place?.remove();
  }

  #open(client: LinkedClient, l2: Stream): void {
    if (client.ended || this.#closed) {
      l2.close();
      this.onSocketGone();
      return client.cut("the relay stops");
    }
    this.#counts.registered++;
    this.#table.add(client);
    client.open(l2);
  }

  /** Connects to a port of a client that may not listen yet; undefined: it did not in time. */
  async #reach(
    { hostname, abort: { signal } }: Registration,
    port: number,
  ): Promise<Stream | undefined> {
    const { clock, budget } = this.#options;
    const endMs = clock.nowMs() + LINK_CONNECT_MS;
    let pauseMs = RETRY_MIN_MS;
    let fault = "no try was made";
    while (!signal.aborted && clock.nowMs() < endMs) {
      if (budget.take()) {
        const result = await this.#try(hostname, port, signal);
        if (typeof result !== "string") return result;
        budget.give();
        fault = result;
      }
      await sleep(clock, pauseMs);
      pauseMs = Math.min(RETRY_MAX_MS, pauseMs * 2);
    }
    this.#counts.unreachable++;
    this.#options.log.debug("Client gave a port that cannot be reached", { hostname, port, fault });
    return undefined;
  }

  /** One try; a text says why it failed. */
  async #try(hostname: string, port: number, signal: AbortSignal): Promise<Stream | string> {
    const { clock, connector } = this.#options;
    const one = new AbortController();
    const giveUp = (): void => one.abort(new Error(`no answer within ${TRY_MS} ms`));
    const timer = clock.setTimer(TRY_MS, giveUp);
    signal.addEventListener("abort", giveUp, { once: true });
    try {
      const stream = await connector.connectTcp({ hostname, port, signal: one.signal });
      // Nobody listens, and the system gave this side the very port it was to reach.
      const isItself = stream.local.port === port && stream.local.hostname === hostname;
      if (!isItself && !signal.aborted) return stream;
      stream.close();
      return isItself ? "connected to itself" : "given up";
    } catch (error) {
      return messageOf(error);
    } finally {
      timer.cancel();
      signal.removeEventListener("abort", giveUp);
    }
  }

  #tell(what: string, { remote }: Stream, fault: string): void {
    const held = this.#logLimiter.admit(what);
    if (held === undefined) return;
    this.#options.log.warn(what, { host: remote.hostname, fault, ...held });
  }
}

/** What is told of an L0. */
interface PortsListener {
  onPorts(ports: ClientPorts): void;
  onFault(fault: string): void;
  onGone(): void;
}

/** One L0: a few bytes in, then its end. */
class PortsTalk implements StreamHandlers {
  deadline: ListPlace<PortsTalk> | undefined;
  readonly #stream: Stream;
  readonly #listener: PortsListener;
  readonly #bytes = new Uint8Array(PORTS_TEXT_BYTES_MAX);
  #length = 0;
  #over = false;

  constructor(stream: Stream, listener: PortsListener) {
    this.#stream = stream;
    this.#listener = listener;
  }

  /** Its time is over. */
  giveUp(): void {
    this.#end("no whole text in time");
  }

  onData(chunk: Uint8Array): void {
    if (this.#over) return;
    const taken = chunk.subarray(0, PORTS_TEXT_BYTES_MAX - this.#length);
    this.#bytes.set(taken, this.#length);
    this.#length += taken.length;
    const text = readPortsText(this.#bytes.subarray(0, this.#length));
    if (text === "more") return;
    if ("fault" in text) return this.#end(text.fault);
    this.#end(undefined);
    this.#listener.onPorts(text);
  }

  onDrain(): void {}

  onEnd(): void {
    this.#end("it ended before its text was whole");
  }

  onClose(): void {
    this.onEnd();
  }

  #end(fault: string | undefined): void {
    if (this.#over) return;
    this.#over = true;
    this.deadline?.remove();
    this.#stream.close();
    this.#listener.onGone();
    if (fault !== undefined) this.#listener.onFault(fault);
  }
}
