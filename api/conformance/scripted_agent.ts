// Shell. The agent of a scripted exchange: real sockets, answers by the rules of the script.

import { createSocket, type Socket } from "node:dgram";
import { formatIpv4 } from "../../reactor/address.ts";
import { ProtocolError } from "../../reactor/errors.ts";
import { systemClock } from "../../reactor/time/system_clock.ts";
import { decodeBatchedReport, decodeReportRequest } from "../../proto/codec.ts";
import { MessageId } from "../../proto/message_ids.ts";
import {
  OUTCOME_BYTES,
  OUTCOME_TIME_UNKNOWN,
  OutcomeField,
  RUN_TAG,
} from "../../proto/table_layout.ts";
import { SEAL_GROWTH_BYTES, SealJudge } from "../../session/datagram_seal.ts";
import { proofOf } from "../../session/proof.ts";
import { Secrets } from "../../session/secrets.ts";
import { FakeAgent, type Received } from "../testing/fake_agent.ts";
import {
  type AgentRule,
  type AskedQuestion,
  bodyWithoutSeq,
  isFor,
  readQuestion,
  type Reply,
  replyBytes,
} from "./exchange.ts";

/** The agent of an exchange, scripted or real. */
export interface PlayedAgent {
  /** Its three ports. */
  readonly ports: readonly number[];
  /** Frees the ports, as an agent that dies. */
  stop(): Promise<void>;
  /** Takes the same ports again. */
  start(): Promise<void>;
  /** Outcomes that came, each as `modid,cmdid ip:port retcode timecost`. */
  readonly outcomes: readonly string[];
  /** Records that stood for several of them. */
  readonly runCount: number;
  /** Datagrams that had no good seal, where a secret is wanted. */
  readonly refusedCount: number;
  /** Bodies without `seq`, as hex, of the messages of an id that came. */
  bodiesOf(msgId: number): readonly string[];
  /** Which of the ports, 0 to 2, questions came to, in order. */
  portsOf(): readonly number[];
  /** Gives modules other nodes. */
  setRoutes(routes: Readonly<Record<string, readonly string[]>>): void;
  /** Ends it for good. */
  close(): Promise<void>;
}

/** Where an agent is that wants a secret. */
export interface SecretPlace {
  /** An address of this host beyond loopback. */
  readonly address: string;
  readonly secret: string;
}

/** Seals an answer. */
type SealAnswer = (frame: Uint8Array) => Uint8Array;

/** What is told of seals by those who know them, each with its own numbers of senders. */
class Seals {
  readonly #good: SealJudge;
  /** What `seal: "other"` is sealed with. */
  readonly #other: (datagram: Uint8Array) => Uint8Array;
  refusedCount = 0;

  constructor(secret: string) {
    const text = new TextEncoder();
    this.#good = new SealJudge(
      new Secrets([text.encode(secret)]),
      proofOf,
      () => systemClock.wallMs(),
    );
    this.#other = (signed) => proofOf(text.encode("another secret"), signed).subarray(0, 16);
  }

  /** How to seal an answer to a datagram; undefined: its own seal is none. */
  take(datagram: Uint8Array): ((frame: Uint8Array, how: Reply["seal"]) => Uint8Array) | undefined {
    const verdict = this.#good.judge(datagram);
    if ("refused" in verdict) {
      this.refusedCount++;
      return undefined;
    }
    return (frame, how) => this.#seal(frame, how, verdict.answer);
  }

  #seal(frame: Uint8Array, how: Reply["seal"], answer: SealAnswer): Uint8Array {
    if (how === "none") return frame;
    const sealed = answer(frame);
    const macAt = sealed.length - MAC_BYTES;
    if (how === "other") sealed.set(this.#other(sealed.subarray(0, macAt)), macAt);
    // The last byte of what is signed before the seal.
    if (how === "spoilt") sealed[sealed.length - SEAL_GROWTH_BYTES - 1] ^= 1;
    return sealed;
  }
}

const MAC_BYTES = 16;

/** Answers by rules and notes down what comes. */
export class ScriptedAgent implements PlayedAgent {
  readonly #rules: readonly AgentRule[];
  /** Questions that each rule has taken. */
  readonly #turns: number[];
  readonly #stranger: Socket = createSocket("udp4");
  readonly #received: Received[] = [];
  readonly #place: SecretPlace | undefined;
  readonly #seals: Seals | undefined;
  readonly outcomes: string[] = [];
  runCount = 0;
  /** Number that must come next, by sender. */
  readonly #batches = new Map<number, number>();
  #agent: FakeAgent | undefined;
  #ports: readonly number[] = [0, 0, 0];

  private constructor(rules: readonly AgentRule[], place: SecretPlace | undefined) {
    this.#rules = rules;
    this.#place = place;
    this.#seals = place === undefined ? undefined : new Seals(place.secret);
    this.#turns = rules.map(() => 0);
    this.#stranger.on("error", () => {}); // the caller is gone: nobody waits for this answer
  }

  /** Binds to free ports: of loopback, or where a secret is wanted. */
  static async open(rules: readonly AgentRule[], place?: SecretPlace): Promise<ScriptedAgent> {
    const agent = new ScriptedAgent(rules, place);
    await agent.start();
    return agent;
  }

  get ports(): readonly number[] {
    return this.#ports;
  }

  async start(): Promise<void> {
    this.#agent = await FakeAgent.start(this.#ports, this.#place?.address);
    this.#ports = this.#agent.ports;
    this.#agent.onReceive = (received) => this.#onReceive(received);
  }

  async stop(): Promise<void> {
    await this.#agent?.stop();
    this.#agent = undefined;
  }

  bodiesOf(msgId: number): string[] {
    return this.#received.filter((one) => one.msgId === msgId)
      .map(({ body }) =>
        bodyWithoutSeq(msgId, body, this.#seals === undefined ? 0 : SEAL_GROWTH_BYTES)
      );
  }

  get refusedCount(): number {
    return this.#seals?.refusedCount ?? 0;
  }

  portsOf(): number[] {
    return this.#received.map(({ portIndex }) => portIndex);
  }

  setRoutes(): void {
    throw new RangeError("The scripted agent has no routes: use rules, or leave out `agent`");
  }

  async close(): Promise<void> {
    await this.stop();
    await new Promise<void>((resolve) => this.#stranger.close(() => resolve()));
  }

  #onReceive(datagram: Received): void {
    const seal = this.#seals?.take(datagram.datagram);
    if (this.#seals !== undefined && seal === undefined) return;
    const received: SealedQuestion = { ...datagram, seal: seal ?? ((frame) => frame) };
    this.#received.push(received);
    const { msgId, body } = received;
    if (msgId === MessageId.ReportRequest) {
      this.outcomes.push(outcomeOf(body));
      return;
    }
    if (msgId === MessageId.BatchedReport) {
      const { outcomes, runCount } = batchedOutcomes(body, this.#batches);
      this.outcomes.push(...outcomes);
      this.runCount += runCount;
      return;
    }
    let question: AskedQuestion | undefined;
    try {
      question = readQuestion(msgId, body);
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
    }
    if (question !== undefined) this.#answer(received, question);
  }

  #answer(received: SealedQuestion, question: AskedQuestion): void {
    const index = this.#rules.findIndex((rule, at) =>
      isFor(rule, question) && this.#turns[at] < (rule.times ?? Infinity)
    );
    if (index < 0) return;
    const turn = this.#turns[index]++;
    for (const reply of this.#rules[index].reply) {
      const bytes = received.seal(replyBytes(reply, question, turn), reply.seal);
      for (let copy = 0; copy < (reply.copies ?? 1); copy++) this.#send(received, reply, bytes);
    }
  }

  #send(received: Received, reply: Reply, bytes: Uint8Array): void {
    const send = (): void => {
      if (reply.from === "stranger") {
        this.#stranger.send(
          bytes,
          received.callerPort,
          this.#place?.address ?? "127.0.0.1",
          () => {},
        );
      } else if (this.#agent !== undefined) received.reply(bytes);
    };
    if (reply.afterMs === undefined) send();
    else systemClock.setTimer(reply.afterMs, send);
  }
}

/** What was received, and how an answer to it is sealed. */
interface SealedQuestion extends Received {
  seal(frame: Uint8Array, how: Reply["seal"]): Uint8Array;
}

function outcomeOf(body: Uint8Array): string {
  const { modId, cmdId, host, retcode, timecostMs } = decodeReportRequest(body);
  const node = `${formatIpv4(host.ip)}:${host.port}`;
  return `${modId},${cmdId} ${node} ${retcode} ${timecostMs ?? "unknown"}`;
}

/** Outcomes of a batch; a batch that does not begin where the one before ended is an outcome too. */
function batchedOutcomes(
  body: Uint8Array,
  batches: Map<number, number>,
): { outcomes: string[]; runCount: number } {
  const { sender, first, outcomes } = decodeBatchedReport(body);
  const view = new DataView(outcomes.buffer, outcomes.byteOffset, outcomes.byteLength);
  const told: string[] = [];
  let count = 0;
  let runCount = 0;
  if (first !== (batches.get(sender) ?? 0)) told.push(`a batch begins at ${first}`);
  for (let at = 0; at < outcomes.length; at += OUTCOME_BYTES) {
    const port = view.getUint16(at + OutcomeField.Port, true);
    const isRun = (view.getUint16(at + OutcomeField.Tag, true) & RUN_TAG) !== 0;
    const times = isRun ? view.getUint32(at + OutcomeField.Count, true) : 1;
    const code = isRun ? 0 : view.getInt32(at + OutcomeField.RetCode, true);
    const module = `${view.getUint32(at, true)},${view.getUint32(at + OutcomeField.CmdId, true)}`;
    const time = view.getUint32(at + OutcomeField.TimeMs, true);
    const node = `${formatIpv4(view.getUint32(at + OutcomeField.Ip, true))}:${port}`;
    // A record without a port says that a module is in use, or a caller was refused.
    if (port === 0) {
      if (code === 1) told.push(`${module} refused`);
    } else {
      const took = time === OUTCOME_TIME_UNKNOWN ? "unknown" : time;
      told.push(...new Array(times).fill(`${module} ${node} ${code} ${took}`));
    }
    if (isRun) runCount++;
    count += times;
  }
  batches.set(sender, first + count);
  return { outcomes: told, runCount };
}
