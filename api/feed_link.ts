// Shell. A stream to an agent, a dns or a reporter: connects, greets, pings, and comes back.

import { createHmac } from "node:crypto";
import { connect, type Socket } from "node:net";
import {
  decodeHello,
  decodePing,
  encodeHello,
  encodeHelloProof,
  encodePing,
  encodePong,
} from "../proto/codec.ts";
import { MessageId } from "../proto/message_ids.ts";
import type { Address } from "../reactor/address.ts";
import { type Clock, setRepeating, type Timer } from "../reactor/time/clock.ts";
import { messageOf, ProtocolError } from "../reactor/errors.ts";
import { encodeFrame, FrameDecoder } from "../reactor/frame.ts";
import { reconnectDelayMs, STABLE_CONNECTION_MS } from "../reactor/tcp/reconnect_schedule.ts";
import type { Rng } from "../reactor/time/rng.ts";
import type { Link, LinkEvents } from "../session/link.ts";

/** Time a connection may take to be made, the look-up of the name included. */
export const CONNECT_MS_MAX = 3000;

/** Time between two pings, and pings without an answer after which a peer counts as gone. */
export const PING_MS = 800;
const PINGS_MISSED_MAX = 2;

/** Bounds of the pause before the next try; see `reconnectDelayMs`. */
const RECONNECT_MIN_MS = 100;
const RECONNECT_MAX_MS = 5000;

/** Bytes that may wait in a connection; a further message is refused. */
export const OUTPUT_BYTES_MAX = 256 * 1024;

/** Time that what waits has to leave while closing. */
const CLOSE_MS_MAX = 1000;

/** Version of our extensions, said in Hello. */
const HELLO_PROTOCOL = 1;

/** What a {@linkcode FeedLink} is given. */
export interface FeedLinkOptions extends LinkEvents {
  /** Tried in turn. */
  readonly addresses: readonly Address[];
  /** What this side is, said in Hello. */
  readonly role: string;
  readonly token: Uint8Array | undefined;
  /**
   * For how long a peer may leave Hello unanswered before it counts as one of the original, in
   * milliseconds; Infinity: for ever, it must be one of ours.
   */
  readonly helloWaitMs: number;
  /** Its timers should not keep the program alive. */
  readonly clock: Clock;
  readonly rng: Rng;
  /** For what must be waited for while closing. @default {clock} */
  readonly closeClock?: Clock;
  /** A message without a handler in `router`; `body` is valid during the call. */
  onMessage?(msgId: number, body: Uint8Array): void;
}

interface Line {
  readonly socket: Socket;
  readonly address: Address;
  readonly decoder: FrameDecoder;
  connectedAtMs: number | undefined;
  timer: Timer;
  /** Ends the wait for Hello. */
  greeting: Timer | undefined;
  ready: boolean;
  extended: boolean;
  missed: number;
}

/** One connection at a time. Does not keep the program alive. */
export class FeedLink implements Link {
  /** Handlers of what comes; a ProtocolError ends the connection. */
  readonly router = {
    add: (msgId: number, handler: (body: Uint8Array) => void) =>
      void this.#handlers.set(msgId, handler),
  };
  readonly #handlers = new Map<number, (body: Uint8Array) => void>();
  #options: FeedLinkOptions;
  #line: Line | undefined;
  #retry: Timer | undefined;
  #next = 0;
  #failures = 0;
  #connects = 0;
  #pingSeq = 0;
  #fault: string | undefined;
  #closed = false;

  constructor(options: FeedLinkOptions) {
    this.#options = options;
  }

  /** True when messages may be sent. */
  get ready(): boolean {
    return this.#line?.ready ?? false;
  }

  /** True while connected to a peer that speaks our extensions. */
  get extended(): boolean {
    return this.#line?.extended ?? false;
  }

  /** The peer in use, or tried next. */
  get address(): Address {
    const { addresses } = this.#options;
    return this.#line?.address ?? addresses[this.#next % addresses.length];
  }

  get local(): Address | undefined {
    const { localAddress, localPort } = this.#line?.socket ?? {};
    return localAddress === undefined ? undefined : {
      hostname: localAddress.replace(/^::ffff:/, ""),
      port: localPort ?? 0,
    };
  }

  get pendingBytes(): number {
    return this.#line?.socket.writableLength ?? 0;
  }

  /** Why the last connection failed or ended. */
  get fault(): string | undefined {
    return this.#fault;
  }

  /** Connections made. */
  get connectCount(): number {
    return this.#connects;
  }

  /** Begins to connect. */
  start(): void {
    if (this.#line === undefined && this.#retry === undefined && !this.#closed) this.#connect();
  }

  /** Sends a message; false when it was not taken. */
  send(msgId: number, body: Uint8Array): boolean {
    const line = this.#line;
    if (line === undefined || !line.ready) return false;
    if (line.socket.writableLength > OUTPUT_BYTES_MAX) return false;
    line.socket.write(encodeFrame(msgId, body));
    return true;
  }

  /** Leaves this peer for the next one. */
  failOver(reason: string): void {
    if (this.#line !== undefined) this.#end(this.#line, reason);
  }

  setAddresses(addresses: readonly Address[]): void {
    this.#options = { ...this.#options, addresses };
  }

  /** Closes after what was sent has left, at most a second. May be called again. */
  close(
    clock = this.#options.closeClock ?? this.#options.clock,
    waitMs = CLOSE_MS_MAX,
  ): Promise<void> {
    this.#closed = true;
    this.#retry?.cancel();
    const line = this.#line;
    this.#line = undefined;
    if (line === undefined) return Promise.resolve();
    line.timer.cancel();
    line.greeting?.cancel();
    return new Promise((resolve) => {
      const limit = clock.setTimer(waitMs, () => line.socket.destroy());
      line.socket.once("close", () => {
        limit.cancel();
        resolve();
      });
      line.socket.ref();
      // The other side closes when it has read everything; to destroy now could lose the rest.
      line.socket.end();
    });
  }

  #connect(): void {
    const { clock, addresses } = this.#options;
    this.#retry = undefined;
    const address = addresses[this.#next % addresses.length];
    const socket = connect({ host: address.hostname, port: address.port, noDelay: true });
    socket.unref();
    const line: Line = {
      socket,
      address,
      decoder: new FrameDecoder(),
      connectedAtMs: undefined,
      timer: clock.setTimer(CONNECT_MS_MAX, () => {
        this.#end(line, `no connection within ${CONNECT_MS_MAX} ms`);
      }),
      greeting: undefined,
      ready: false,
      extended: false,
      missed: 0,
    };
    this.#line = line;
    socket.on("connect", () => this.#connected(line));
    socket.on("data", (chunk: Uint8Array) => this.#received(line, chunk));
    socket.on("error", (error) => this.#end(line, messageOf(error)));
    socket.on("close", () => this.#end(line, "the other side closed the connection"));
  }

  #connected(line: Line): void {
    if (this.#line !== line) return;
    const { clock, role, token, helloWaitMs } = this.#options;
    line.connectedAtMs = clock.nowMs();
    line.timer.cancel();
    line.timer = setRepeating(clock, PING_MS, () => this.#ping(line));
    this.#connects++;
    const hello = encodeHello({ protocol: HELLO_PROTOCOL, software: "lars-api", role });
    line.socket.write(encodeFrame(MessageId.Hello, hello));
    // A peer that knows nothing of Hello wants no token either, and one that wants it must ask.
    if (token !== undefined || helloWaitMs === Infinity) return;
    if (helloWaitMs > 0) {
      line.greeting = clock.setTimer(helloWaitMs, () => this.#becomeReady(line));
    } else {
      this.#becomeReady(line);
    }
  }

  #becomeReady(line: Line): void {
    line.greeting?.cancel();
    if (line.ready) return;
    line.ready = true;
    this.#fault = undefined;
    this.#options.onReady();
  }

  #received(line: Line, chunk: Uint8Array): void {
    if (this.#line !== line) return;
    try {
      line.missed = 0;
      line.decoder.push(chunk, (msgId, body) => {
        if (this.#line === line) this.#message(line, msgId, body);
      });
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.#end(line, messageOf(error));
    }
  }

  #message(line: Line, msgId: number, body: Uint8Array): void {
    if (msgId === MessageId.Hello) {
      this.#greeted(line, decodeHello(body).nonce);
    } else if (msgId === MessageId.Ping) {
      const { seq } = decodePing(body);
      line.socket.write(encodeFrame(MessageId.Pong, encodePong({ seq })));
    } else {
      this.#options.onHeard?.();
      const handler = this.#handlers.get(msgId);
      if (handler !== undefined) handler(body);
      else this.#options.onMessage?.(msgId, body);
    }
  }

  #greeted(line: Line, nonce: Uint8Array | undefined): void {
    const { token } = this.#options;
    if (nonce !== undefined) {
      if (token === undefined) {
        this.#end(line, "the other side wants a token and there is none");
        return;
      }
      const mac = createHmac("sha256", token).update(nonce).digest();
      line.socket.write(encodeFrame(MessageId.HelloProof, encodeHelloProof({ mac })));
    }
    line.extended = true;
    if (line.ready) this.#options.onExtended?.();
    else this.#becomeReady(line);
  }

  #ping(line: Line): void {
    // A peer of the original answers no ping, nor does one that has not greeted yet.
    if (!line.extended && this.#options.helloWaitMs !== Infinity) return;
    if (line.missed >= PINGS_MISSED_MAX) {
      this.#end(line, `no answer to ${PINGS_MISSED_MAX} pings`);
      return;
    }
    line.missed++;
    if (!line.extended) return;
    this.#pingSeq = (this.#pingSeq + 1) >>> 0;
    line.socket.write(encodeFrame(MessageId.Ping, encodePing({ seq: this.#pingSeq })));
  }

  #end(line: Line, reason: string): void {
    if (this.#line !== line) return;
    const { clock, rng, addresses, onLost } = this.#options;
    this.#line = undefined;
    this.#fault = reason;
    line.timer.cancel();
    line.greeting?.cancel();
    line.socket.destroy();
    const livedMs = clock.nowMs() - (line.connectedAtMs ?? Infinity);
    this.#failures = livedMs >= STABLE_CONNECTION_MS ? 1 : this.#failures + 1;
    this.#next = (this.#next + 1) % addresses.length;
    const pauseMs = reconnectDelayMs(
      this.#failures,
      addresses.length,
      RECONNECT_MIN_MS,
      RECONNECT_MAX_MS,
      rng,
    );
    if (!this.#closed) this.#retry = clock.setTimer(pauseMs, () => this.#connect());
    if (line.ready) onLost();
  }
}
