// Shell. Tells dns instances right after a commit that routes have changed, so that they need not wait for their poll.

import { HELLO_PROTOCOL, proofOf } from "../../session/hello.ts";
import { MessageId } from "../../proto/message_ids.ts";
import {
  decodeHello,
  encodeHello,
  encodeHelloProof,
  encodePing,
  encodeRouteChanged,
} from "../../proto/codec.ts";
import { type Address, formatAddress } from "../../reactor/address.ts";
import type { Clock, Timer } from "../../reactor/time/clock.ts";
import { messageOf } from "../../reactor/errors.ts";
import { encodeFrame, FrameDecoder } from "../../reactor/frame.ts";
import { runtime, type Stream } from "../../reactor/runtime/mod.ts";
import type { ModuleKey } from "../../model/module.ts";

/** Time one dns has to take the message, from the commit on; later it polls anyway. */
export const TELL_TIMEOUT_MS = 300;

/** Modules in one message: 2000 of at most 16 bytes are well below the largest frame. */
const MODULES_PER_FRAME = 2000;

/** How telling one dns went. */
export interface Told {
  /** `host:port` */
  readonly address: string;
  /** True when the dns has confirmed that it got the message. */
  readonly told: boolean;
  /** Why not, for a warning. */
  readonly fault?: string;
  /** Milliseconds from the call of `tell` to the answer. */
  readonly tookMs: number;
}

/** What {@linkcode DnsNotifier} is given. */
export interface DnsNotifierOptions {
  readonly addresses: readonly Address[];
  /** The shared secret, when the dns instances ask for one. */
  readonly token: Uint8Array | undefined;
  readonly software: string;
  readonly clock: Clock;
}

/**
 * One line to each dns. Made before the edit, so that connecting and greeting happen while the
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

/** The conversation with one dns: Hello, proof if asked, RouteChanged, and a Ping as its receipt. */
class DnsLine {
  readonly #address: Address;
  readonly #options: DnsNotifierOptions;
  readonly #abort = new AbortController();
  readonly #decoder = new FrameDecoder();
  #stream: Stream | undefined;
  #writing = false;
  #waiting: Uint8Array[] = [];
  #greeted = false;
  #proved = false;
  #fault: string | undefined;
  #modules: readonly ModuleKey[] | undefined;
  #finish: ((fault: string | undefined) => void) | undefined;

  constructor(address: Address, options: DnsNotifierOptions) {
    this.#address = address;
    this.#options = options;
    void this.#connect();
  }

  tell(modules: readonly ModuleKey[]): Promise<Told> {
    const { clock } = this.#options;
    const address = formatAddress(this.#address);
    const startMs = clock.nowMs();
    return new Promise((resolve) => {
      let timer: Timer | undefined = undefined;
      this.#finish = (fault): void => {
        timer?.cancel();
        this.#finish = undefined;
        const tookMs = Math.round((clock.nowMs() - startMs) * 10) / 10;
        this.close();
        resolve({ address, told: fault === undefined, tookMs, ...(fault ? { fault } : {}) });
      };
      if (this.#fault !== undefined) return this.#finish(this.#fault);
      timer = clock.setTimer(TELL_TIMEOUT_MS, () => {
        this.#end(`no answer within ${TELL_TIMEOUT_MS} ms`);
      });
      this.#modules = modules;
      if (this.#greeted) this.#sendChange(modules);
    });
  }

  close(): void {
    this.#abort.abort();
    this.#stream?.close();
    this.#stream = undefined;
  }

  async #connect(): Promise<void> {
    const { hostname, port } = this.#address;
    try {
      const stream = await runtime.connectTcp({ hostname, port, signal: this.#abort.signal });
      if (this.#abort.signal.aborted) return stream.close();
      this.#stream = stream;
      stream.start({
        onData: (chunk) => this.#read(chunk),
        onDrain: () => {
          this.#writing = false;
          this.#write();
        },
        onEnd: () => this.#lost("peer closed the connection"),
        onClose: (reason) => this.#lost(reason),
      });
      const { software } = this.#options;
      this.#send(
        MessageId.Hello,
        encodeHello({ protocol: HELLO_PROTOCOL, software, role: "writer" }),
      );
    } catch (error) {
      this.#end(messageOf(error).replace(`${formatAddress(this.#address)}: `, ""));
    }
  }

  #read(chunk: Uint8Array): void {
    try {
      this.#decoder.push(chunk, (msgId, body) => {
        if (msgId === MessageId.Hello) this.#hello(body);
        else if (msgId === MessageId.Pong) this.#finish?.(undefined);
      });
    } catch (error) {
      this.#end(messageOf(error));
    }
  }

  #hello(body: Uint8Array): void {
    const { nonce } = decodeHello(body);
    const { token } = this.#options;
    if (nonce !== undefined && nonce.length > 0) {
      if (token === undefined) return this.#end("it asks for a token: give --token-file FILE");
      const mac = proofOf(token, nonce);
      this.#proved = true;
      this.#send(MessageId.HelloProof, encodeHelloProof({ mac }));
    }
    this.#greeted = true;
    if (this.#modules !== undefined) this.#sendChange(this.#modules);
  }

  #sendChange(modules: readonly ModuleKey[]): void {
    for (let at = 0; at < modules.length; at += MODULES_PER_FRAME) {
      const part = modules.slice(at, at + MODULES_PER_FRAME);
      this.#send(MessageId.RouteChanged, encodeRouteChanged({ modules: part }));
    }
    // Answered in order, so the answer says that the messages before it have been read.
    this.#send(MessageId.Ping, encodePing({ seq: 1 }));
  }

  #send(msgId: number, body: Uint8Array): void {
    this.#waiting.push(encodeFrame(msgId, body));
    this.#write();
  }

  /** The stream takes one buffer at a time and says when it is free again. */
  #write(): void {
    while (!this.#writing && this.#stream !== undefined) {
      const frame = this.#waiting.shift();
      if (frame === undefined) return;
      this.#writing = !this.#stream.write(frame);
    }
  }

  #lost(reason: string): void {
    this.#end(this.#proved ? `${reason}; wrong token?` : reason);
  }

  /** The first fault counts; it ends the conversation whether or not `tell` waits for it. */
  #end(fault: string): void {
    this.#fault ??= fault;
    this.#finish?.(this.#fault);
    this.close();
  }
}
