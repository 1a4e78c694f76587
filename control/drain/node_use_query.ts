// Shell. Asks dns instances, again and again, how their agents use a node.

import { runtimeTransport } from "../../session/runtime_transport.ts";
import type { Secrets } from "../../session/secrets.ts";
import { SessionClient } from "../../session/session_client.ts";
import { MessageId } from "../../proto/message_ids.ts";
import {
  decodeNodeUseReport,
  encodeNodeUseRequest,
  type NodeUseReport,
  type NodeUseRequest,
} from "../../proto/codec.ts";
import { type Address, formatAddress } from "../../reactor/address.ts";
import type { Clock, Timer } from "../../reactor/time/clock.ts";
import type { Logger } from "../../reactor/log.ts";
import type { Rng } from "../../reactor/time/rng.ts";
import type { NodeKey } from "../../model/node.ts";

/** Time one dns has to gather what its agents say. */
export const REPORT_TIMEOUT_MS = 1500;

/** What a {@linkcode NodeUseQuery} is given. */
export interface NodeUseQueryOptions {
  readonly address: Address;
  readonly secrets: Secrets | undefined;
  readonly software: string;
  readonly clock: Clock;
  readonly rng: Rng;
  readonly log: Logger;
}

interface Question {
  readonly done: (report: NodeUseReport | undefined) => void;
  readonly timer: Timer;
}

/** The line to one dns; made anew when it breaks. */
export class NodeUseQuery {
  readonly name: string;
  readonly #clock: Clock;
  readonly #link: SessionClient;
  readonly #questions = new Map<number, Question>();
  #seq = 0;

  constructor(options: NodeUseQueryOptions) {
    const { address, clock } = options;
    this.name = formatAddress(address);
    this.#clock = clock;
    this.#link = new SessionClient({
      ...options,
      name: "dns",
      role: "tool",
      addresses: [address],
      transport: runtimeTransport,
      onReady: () => {},
      onLost: () => {},
    });
    this.#link.router.add(MessageId.NodeUseReport, (body) => {
      const report = decodeNodeUseReport(body);
      this.#finish(report.seq, report);
    });
    this.#link.start();
  }

  /** How the agents of this dns use a node; undefined when it does not say so in time. */
  ask({ modId, cmdId, ip, port }: NodeKey): Promise<NodeUseReport | undefined> {
    const seq = ++this.#seq;
    const request: NodeUseRequest = { seq, modId, cmdId, ip, port };
    return new Promise((done) => {
      const timer = this.#clock.setTimer(REPORT_TIMEOUT_MS, () => this.#finish(seq, undefined));
      this.#questions.set(seq, { done, timer });
      // The original is never sent what it does not know; then, as when away, time runs out.
      if (this.#link.ready && this.#link.extended) {
        this.#link.send(MessageId.NodeUseRequest, encodeNodeUseRequest(request));
      }
    });
  }

  async close(): Promise<void> {
    for (const seq of [...this.#questions.keys()]) this.#finish(seq, undefined);
    await this.#link.close();
  }

  #finish(seq: number, report: NodeUseReport | undefined): void {
    const question = this.#questions.get(seq);
    this.#questions.delete(seq);
    question?.timer.cancel();
    question?.done(report);
  }
}
