// Shell. Server-sent events: each client gets the latest value of one view, never a queue.

import { type Clock, setRepeating, type Timer } from "../reactor/time/clock.ts";

/** Clients at once; further ones get 507. */
export const LIVE_CLIENTS_MAX = 200;
/** Of one user; further ones get 507 as well. */
export const LIVE_CLIENTS_PER_USER_MAX = 20;
/** Bytes a second that one client costs in the long run: what is larger is sent less often. */
export const LIVE_BYTES_PER_SECOND_MAX = 40_000;
/** A comment is sent after so much silence, so that both ends notice a lost connection, in ms. */
const KEEP_ALIVE_MS = 15_000;
/** Whether the client may still look is asked this often, in milliseconds. */
const CHECK_INTERVAL_MS = 5_000;

/** An event for a client. */
export interface LiveMessage {
  readonly event: string;
  readonly data: unknown;
}

/** What a stream shows. */
export interface LiveSource {
  /** What is to be shown now; undefined: nothing new. */
  next(): LiveMessage | undefined | Promise<LiveMessage | undefined>;
  /** False ends the stream: the session is over. */
  isAllowed(): Promise<boolean>;
}

/** What streams work with. */
export interface LiveHubOptions {
  readonly clock: Clock;
}

/** All streams of one console. */
export class LiveHub {
  readonly #clock: Clock;
  readonly #clients = new Set<LiveClient>();
  #sentBytes = 0;

  constructor({ clock }: LiveHubOptions) {
    this.#clock = clock;
  }

  /** Clients now. */
  get clientCount(): number {
    return this.#clients.size;
  }

  /** Bytes of events given to all clients since the start. */
  get sentBytes(): number {
    return this.#sentBytes;
  }

  /** True when no more clients fit. */
  get isFull(): boolean {
    return this.#clients.size >= LIVE_CLIENTS_MAX;
  }

  /** True when a user has as many clients as one may have. */
  isFullFor(user: string): boolean {
    let count = 0;
    for (const client of this.#clients) if (client.user === user) count++;
    return count >= LIVE_CLIENTS_PER_USER_MAX;
  }

  /** A stream for one client of a user, for the body of an answer; "" is nobody in particular. */
  open(source: LiveSource, user = ""): ReadableStream<Uint8Array> {
    const client = new LiveClient(source, user, this.#clock, {
      onEnd: () => void this.#clients.delete(client),
      onSent: (bytes) => void (this.#sentBytes += bytes),
    });
    this.#clients.add(client);
    return client.stream;
  }

  /** There may be something new. */
  wake(): void {
    for (const client of this.#clients) client.wake();
  }

  /** Ends all streams. */
  close(): void {
    for (const client of [...this.#clients]) client.end();
  }
}

interface LiveClientEvents {
  onEnd(): void;
  onSent(bytes: number): void;
}

class LiveClient {
  readonly stream: ReadableStream<Uint8Array>;
  readonly #source: LiveSource;
  readonly #clock: Clock;
  readonly #events: LiveClientEvents;
  readonly #encoder = new TextEncoder();
  readonly #timers: Timer[] = [];
  #controller: ReadableStreamDefaultController<Uint8Array> | undefined;
  #isWanted = true;
  #isBusy = false;
  #ended = false;
  #lastText = "";
  #sentAtMs: number;
  #notBeforeMs = 0;

  constructor(source: LiveSource, readonly user: string, clock: Clock, events: LiveClientEvents) {
    this.#source = source;
    this.#clock = clock;
    this.#events = events;
    this.#sentAtMs = clock.nowMs();
    this.stream = new ReadableStream({
      start: (controller) => {
        this.#controller = controller;
      },
      // Called when the client has taken what there was: until then nothing is made for it.
      pull: () => this.#send(),
      cancel: () => this.end(),
    }, { highWaterMark: 1 });
    this.#timers.push(
      setRepeating(clock, KEEP_ALIVE_MS / 3, () => this.#keepAlive()),
      setRepeating(clock, CHECK_INTERVAL_MS, () => void this.#check()),
    );
  }

  wake(): void {
    this.#isWanted = true;
    void this.#send();
  }

  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    for (const timer of this.#timers) timer.cancel();
    this.#events.onEnd();
    try {
      this.#controller?.close();
    } catch {
      // Closed already by the client; there is nothing left to end.
    }
  }

  async #send(): Promise<void> {
    const controller = this.#controller;
    if (this.#ended || this.#isBusy || !this.#isWanted || controller === undefined) return;
    if ((controller.desiredSize ?? 0) <= 0 || this.#clock.nowMs() < this.#notBeforeMs) return;
    this.#isBusy = true;
    this.#isWanted = false;
    try {
      const message = await this.#source.next();
      if (message !== undefined && !this.#ended) this.#write(message);
    } catch {
      this.end(); // The page connects again and is then told what is wrong.
    } finally {
      this.#isBusy = false;
    }
  }

  #write({ event, data }: LiveMessage): void {
    const json = JSON.stringify(data);
    const text = `event: ${event}\ndata: ${json}\n\n`;
    if (text === this.#lastText) return;
    this.#lastText = text;
    const bytes = this.#encoder.encode(text);
    this.#controller?.enqueue(bytes);
    this.#events.onSent(bytes.length);
    this.#sentAtMs = this.#clock.nowMs();
    this.#notBeforeMs = this.#sentAtMs + bytes.length / LIVE_BYTES_PER_SECOND_MAX * 1000;
  }

  #keepAlive(): void {
    if (this.#ended || (this.#controller?.desiredSize ?? 0) <= 0) return;
    if (this.#clock.nowMs() - this.#sentAtMs < KEEP_ALIVE_MS) return;
    this.#sentAtMs = this.#clock.nowMs();
    this.#controller?.enqueue(this.#encoder.encode(":\n\n"));
  }

  async #check(): Promise<void> {
    const isAllowed = await this.#source.isAllowed().catch(() => true);
    if (isAllowed || this.#ended) return;
    this.#write({ event: "bye", data: { reason: "The session has ended" } });
    this.end();
  }
}
