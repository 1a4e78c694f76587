// Shell. Lines to dns instances: asks, again and again, how agents use a node and why they pick it.

import type { SessionTransport } from "../../session/handshake.ts";
import { runtimeTransport } from "../../session/runtime_transport.ts";
import type { Secrets } from "../../session/secrets.ts";
import { SessionClient } from "../../session/session_client.ts";
import { MessageId } from "../../proto/message_ids.ts";
import {
  decodeExplainResponse,
  decodeNodeUseReport,
  encodeExplainRequest,
  encodeNodeUseRequest,
  type ExplainRequest,
  type ExplainResponse,
  type NodeUseReport,
} from "../../proto/codec.ts";
import { type Address, formatAddress } from "../../reactor/address.ts";
import type { Clock, Timer } from "../../reactor/time/clock.ts";
import type { Logger } from "../../reactor/log.ts";
import type { Rng } from "../../reactor/time/rng.ts";
import type { NodeKey } from "../../model/node.ts";

/** Time one dns has to gather what its agents say. */
export const REPORT_TIMEOUT_MS = 1500;

/** What a {@linkcode DnsLine} is given. */
export interface DnsLineOptions {
  readonly address: Address;
  readonly secrets: Secrets | undefined;
  /** Makes the connection. @default {without TLS} */
  readonly transport?: SessionTransport | undefined;
  readonly software: string;
  readonly clock: Clock;
  readonly rng: Rng;
  readonly log: Logger;
}

type Answer = NodeUseReport | ExplainResponse;

interface Question {
  readonly msgId: number;
  readonly body: Uint8Array;
  readonly done: (answer: Answer | undefined) => void;
  readonly timer: Timer;
  isSent: boolean;
}

/** A question of one module to one agent. */
export type AgentQuestion = Required<
  Pick<ExplainRequest, "modId" | "cmdId" | "from" | "agentIp" | "agentPort">
>;

/** The line to one dns; made anew when it breaks. */
export class DnsLine {
  readonly name: string;
  readonly #clock: Clock;
  readonly #link: SessionClient;
  readonly #questions = new Map<number, Question>();
  #seq = 0;

  constructor(options: DnsLineOptions) {
    const { address, clock } = options;
    this.name = formatAddress(address);
    this.#clock = clock;
    this.#link = new SessionClient({
      ...options,
      name: "dns",
      role: "tool",
      addresses: [address],
      transport: options.transport ?? runtimeTransport,
      onReady: () => this.#flush(),
      onExtended: () => this.#flush(),
      onLost: () => {},
    });
    this.#link.router.add(MessageId.NodeUseReport, (body) => {
      const report = decodeNodeUseReport(body);
      this.#finish(report.seq, report);
    });
    this.#link.router.add(MessageId.ExplainResponse, (body) => {
      const response = decodeExplainResponse(body);
      this.#finish(response.seq, response);
    });
    this.#link.start();
  }

  /** How the agents of this dns use a node; undefined when it does not say so in time. */
  async nodeUse({ modId, cmdId, ip, port }: NodeKey): Promise<NodeUseReport | undefined> {
    const answer = await this.#ask(
      MessageId.NodeUseRequest,
      (seq) => encodeNodeUseRequest({ seq, modId, cmdId, ip, port }),
    );
    return answer !== undefined && "agents" in answer ? answer : undefined;
  }

  /** Why an agent picks which node, as it tells this dns; undefined when dns says nothing in time. */
  async explain(question: AgentQuestion): Promise<ExplainResponse | undefined> {
    const answer = await this.#ask(
      MessageId.ExplainRequest,
      (seq) => encodeExplainRequest({ seq, ...question }),
    );
    return answer !== undefined && "explanation" in answer ? answer : undefined;
  }

  #ask(msgId: number, bodyOf: (seq: number) => Uint8Array): Promise<Answer | undefined> {
    const seq = ++this.#seq;
    return new Promise((done) => {
      const timer = this.#clock.setTimer(REPORT_TIMEOUT_MS, () => this.#finish(seq, undefined));
      const question = { msgId, body: bodyOf(seq), done, timer, isSent: false };
      this.#questions.set(seq, question);
      this.#flush();
    });
  }

  /** The original is never sent what it does not know; then, as when away, time runs out. */
  #flush(): void {
    if (!this.#link.ready || !this.#link.extended) return;
    for (const question of this.#questions.values()) {
      if (!question.isSent) question.isSent = this.#link.send(question.msgId, question.body);
    }
  }

  async close(): Promise<void> {
    for (const seq of [...this.#questions.keys()]) this.#finish(seq, undefined);
    await this.#link.close();
  }

  #finish(seq: number, answer: Answer | undefined): void {
    const question = this.#questions.get(seq);
    this.#questions.delete(seq);
    question?.timer.cancel();
    question?.done(answer);
  }
}
