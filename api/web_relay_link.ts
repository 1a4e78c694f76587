// Shell. In a browser's bundle the session with a relay, in the place of `relay_link.ts`: over WebSocket.

import { type Address, formatAddress } from "../reactor/address.ts";
import { silentLogger } from "../reactor/log.ts";
import type { ConnectOptions, Stream, StreamHandlers } from "../reactor/runtime/types.ts";
import { HEAD_BYTES, readHead } from "../reactor/frame.ts";
import type { Clock } from "../reactor/time/clock.ts";
import { systemClock } from "../reactor/time/system_clock.ts";
import { systemRng } from "../reactor/time/system_rng.ts";
import { NONCE_BYTES } from "../session/handshake.ts";
import { SessionClient } from "../session/session_client.ts";
import type { RelayLinkOptions } from "./relay_link.ts";

/** Bytes that may wait in a page for a relay to read; a further message is refused. */
const WEB_OUTPUT_BYTES_MAX = 4 * 1024 * 1024;

/** Bytes that a WebSocket is given before it has sent some. */
const AHEAD_BYTES_MAX = 256 * 1024;

/**
 * Time between two pings, and for an answer: a relay that misses two is left. Browsers slow the timers
 * of pages in the background down, which makes a ping late and costs nothing: answers come all the same.
 */
const WEB_HEARTBEAT = { intervalMs: 15_000, answerMs: 5_000 };

/** Time between two looks whether it has: it does not say. */
const DRAIN_LOOK_MS = 20;

/** A stream over a WebSocket of the browser: a message is a frame. */
class PageStream implements Stream {
  readonly remote: Address;
  /** A page does not know its own address. */
  readonly local: Address = { hostname: "", port: 0 };
  readonly copyBelowBytes = 0;
  readonly #socket: WebSocket;
  readonly #clock: Clock;
  #handlers: StreamHandlers | undefined;
  #isClosed = false;

  constructor(socket: WebSocket, remote: Address, clock: Clock) {
    this.#socket = socket;
    this.remote = remote;
    this.#clock = clock;
    socket.onmessage = ({ data }): void => {
      // One of text is of no relay.
      if (!(data instanceof ArrayBuffer)) return this.#lost("the relay sent text");
      if (!this.#isClosed) this.#handlers?.onData(new Uint8Array(data));
    };
    socket.onclose = ({ code, reason }): void => {
      this.#lost(reason === "" ? `the connection was closed, code ${code}` : reason);
    };
  }

  defer(action: () => void): void {
    queueMicrotask(action);
  }

  start(handlers: StreamHandlers): void {
    this.#handlers = handlers;
  }

  /** The bytes are whole frames, which the browser copies. */
  write(chunk: Uint8Array, length = chunk.length): boolean {
    for (let at = 0; at < length;) {
      const end = at + HEAD_BYTES + readHead(chunk, at).bodyBytes;
      this.#socket.send(chunk.slice(at, end));
      at = end;
    }
    if (this.#socket.bufferedAmount <= AHEAD_BYTES_MAX) return true;
    this.#awaitDrain();
    return false;
  }

  /** A client never pauses. */
  pause(): void {}

  resume(): void {}

  end(): void {
    this.#socket.close(1000);
  }

  close(): void {
    this.#isClosed = true;
    this.#socket.close(1000);
  }

  #awaitDrain(): void {
    this.#clock.setTimer(DRAIN_LOOK_MS, () => {
      if (this.#isClosed) return;
      if (this.#socket.bufferedAmount > AHEAD_BYTES_MAX) this.#awaitDrain();
      else this.#handlers?.onDrain();
    });
  }

  #lost(reason: string): void {
    if (this.#isClosed) return;
    this.close();
    this.#handlers?.onClose(reason);
  }
}

/** Encrypted where the page is: browsers allow nothing else there. */
function connectPage({ hostname, port, signal }: ConnectOptions): Promise<Stream> {
  const scheme = globalThis.location?.protocol === "https:" ? "wss" : "ws";
  const socket = new WebSocket(`${scheme}://${formatAddress({ hostname, port })}/`);
  socket.binaryType = "arraybuffer";
  return new Promise((resolve, reject) => {
    const giveUp = (): void => {
      socket.close();
      reject(signal.reason);
    };
    signal.addEventListener("abort", giveUp, { once: true });
    socket.onopen = (): void => {
      signal.removeEventListener("abort", giveUp);
      resolve(new PageStream(socket, { hostname, port }, systemClock));
    };
    // What is wrong a browser does not tell pages.
    socket.onclose = (): void => {
      signal.removeEventListener("abort", giveUp);
      reject(new Error("the relay cannot be reached, or refuses this page: see web_origins"));
    };
  });
}

/**
 * What `openRelayLink` is elsewhere. A page cannot send the pings of WebSockets, so it sends those of
 * sessions: else one whose relay has vanished from the network would never know.
 *
 * @throws {RangeError} when there is a secret or a certificate: pages have none.
 */
export function openWebRelayLink(options: RelayLinkOptions): SessionClient {
  if (options.token !== undefined || options.tls !== undefined) {
    throw new RangeError("a page proves no secret and shows no certificate: omit token and tls");
  }
  return new SessionClient({
    ...options,
    secrets: undefined,
    name: "relay",
    software: "lars-api-web",
    transport: {
      connectTcp: connectPage,
      prove: () => {
        throw new Error("a page proves no secret");
      },
      newNonce: () => crypto.getRandomValues(new Uint8Array(NONCE_BYTES)),
    },
    rng: systemRng,
    log: silentLogger,
    welcomeWaitMs: Infinity,
    heartbeat: WEB_HEARTBEAT,
    outputBytesMax: WEB_OUTPUT_BYTES_MAX,
    secretMissingReason: "the relay wants a secret, which a page cannot prove",
  });
}
