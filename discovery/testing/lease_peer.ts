// Shell. A node for tests that registers over our own session, one request after the other.

import type { NodeKey } from "../../model/node.ts";
import {
  decodeLeaseBeaten,
  decodeLeaseDone,
  decodeLeaseRegistered,
  encodeLeaseBeat,
  encodeLeaseChange,
  encodeLeaseLeave,
  encodeLeaseRegister,
  type LeaseBeaten,
  type LeaseChange,
  type LeaseDone,
  type LeaseRegister,
  type LeaseRegistered,
} from "../../proto/codec.ts";
import { MessageId } from "../../proto/message_ids.ts";
import { silentLogger } from "../../reactor/log.ts";
import { systemClock } from "../../reactor/time/system_clock.ts";
import { systemRng } from "../../reactor/time/system_rng.ts";
import { runtimeTransport } from "../../session/runtime_transport.ts";
import type { Secrets } from "../../session/secrets.ts";
import { SessionClient } from "../../session/session_client.ts";

/** A connection to discovery. It never beats by itself. */
export class LeasePeer {
  readonly link: SessionClient;
  #seq = 0;
  readonly #waiters = new Map<number, (body: Uint8Array) => void>();

  private constructor(port: number, onReady: () => void, secrets: Secrets | undefined) {
    this.link = new SessionClient({
      ...{ name: "discovery", role: "node", software: "test", secrets },
      addresses: [{ hostname: "127.0.0.1", port }],
      ...{ transport: runtimeTransport, clock: systemClock, rng: systemRng, log: silentLogger },
      welcomeWaitMs: Infinity,
      onReady,
      onLost: () => {},
    });
    const take = (seq: number, body: Uint8Array): void => {
      this.#waiters.get(seq)?.(body.slice());
      this.#waiters.delete(seq);
    };
    this.link.router
      .add(MessageId.LeaseRegistered, (body) => take(decodeLeaseRegistered(body).seq, body))
      .add(MessageId.LeaseDone, (body) => take(decodeLeaseDone(body).seq, body))
      .add(MessageId.LeaseBeaten, (body) => take(decodeLeaseBeaten(body).seq, body));
  }

  /** Connects; resolves when messages may be sent. */
  static open(port: number, secrets?: Secrets): Promise<LeasePeer> {
    return new Promise((resolve) => {
      const peer: LeasePeer = new LeasePeer(port, () => resolve(peer), secrets);
      peer.link.start();
    });
  }

  async register(node: NodeKey, values: Partial<LeaseRegister> = {}): Promise<LeaseRegistered> {
    const message = {
      ...{ ...node, ttlMs: 15_000, weight: 100, zone: "", note: "", waiting: false },
      ...{ incarnation: 0, makesModule: true, detached: false, ...values },
    };
    return decodeLeaseRegistered(
      await this.#ask(MessageId.LeaseRegister, (seq) => encodeLeaseRegister({ ...message, seq })),
    );
  }

  async change(
    node: NodeKey,
    incarnation: number,
    values: Partial<LeaseChange>,
  ): Promise<LeaseDone> {
    const lease = { ...node, incarnation };
    return decodeLeaseDone(
      await this.#ask(
        MessageId.LeaseChange,
        (seq) => encodeLeaseChange({ owner: "", ...values, lease, seq }),
      ),
    );
  }

  async leave(node: NodeKey, incarnation: number, owner = ""): Promise<LeaseDone> {
    const lease = { ...node, incarnation };
    return decodeLeaseDone(
      await this.#ask(MessageId.LeaseLeave, (seq) => encodeLeaseLeave({ lease, seq, owner })),
    );
  }

  async beat(
    lease: readonly (NodeKey & { incarnation: number })[] = [],
    owner = "",
  ): Promise<LeaseBeaten> {
    return decodeLeaseBeaten(
      await this.#ask(
        MessageId.LeaseBeat,
        (seq) => encodeLeaseBeat({ seq, lease: [...lease], owner }),
      ),
    );
  }

  /** Breaks the connection without a word. */
  destroy(): void {
    this.link.destroy();
  }

  #ask(msgId: number, encode: (seq: number) => Uint8Array): Promise<Uint8Array> {
    const seq = ++this.#seq;
    return new Promise((resolve, reject) => {
      this.#waiters.set(seq, resolve);
      if (!this.link.send(msgId, encode(seq))) reject(new Error("It cannot be sent"));
    });
  }
}
