// Core. A scripted exchange as its JSON says it: what the driver is told, and how the agent behaves.

import { parseIpv4 } from "../../reactor/address.ts";
import {
  decodeExplainRequest,
  decodeGetHostRequest,
  decodeGetRouteRequest,
  encodeExplainResponse,
  encodeGetHostResponse,
  encodeGetRouteResponse,
  encodeHello,
  type HostInfo,
} from "../../proto/codec.ts";
import { HELLO_PROTOCOL, MessageId, RetCode } from "../../proto/message_ids.ts";
import { HEAD_BYTES } from "../../proto/wire.ts";
import type { TableScript } from "./table_script.ts";

/** One answer of the scripted agent; what is not said is taken from the question. */
export interface Reply {
  /** A node, `ip:port`: the answer to a question for a node. */
  readonly host?: string;
  /** Nodes that are given in turn, one for each question. */
  readonly hosts?: readonly string[];
  /** Return code of the answer to a question for a node. @default {0} */
  readonly retcode?: number;
  /** Nodes of a route: the answer to a question for a route. */
  readonly route?: readonly string[];
  /** True: the answer to Hello. */
  readonly hello?: boolean;
  /** JSON of an explanation, "" for none. */
  readonly explanation?: string;
  /** Bytes of a body after its `seq`, as hex; with `message`. */
  readonly body?: string;
  /** Id in the head of `body`. */
  readonly message?: number;
  /** False: `body` is the whole body and gets no `seq`. @default {true} */
  readonly withSeq?: boolean;
  /** The whole datagram as hex, whatever was asked. */
  readonly datagram?: string;
  /** Added to the `seq` of the question. @default {0} */
  readonly seqPlus?: number;
  /** Module of the answer. @default {that of the question} */
  readonly modid?: number;
  readonly cmdid?: number;
  /** Bytes left off at the end, the head still counts them. @default {0} */
  readonly cutBytes?: number;
  /** Milliseconds after the question. @default {0} */
  readonly afterMs?: number;
  /** `stranger`: sent from another port than the agent's. */
  readonly from?: "stranger";
  /**
   * Where the agent wants a secret: `none` without a seal, `other` with that of another secret,
   * `spoilt` with one that fits another answer. @default {sealed as it should be}
   */
  readonly seal?: "none" | "other" | "spoilt";
  /** How often it is sent. @default {1} */
  readonly copies?: number;
}

/** How the scripted agent answers; the first rule that fits a question and is not used up counts. */
export interface AgentRule {
  /** Id of the message. */
  readonly on: number;
  /** Only for this module; left out: for any. */
  readonly modid?: number;
  readonly cmdid?: number;
  /** Only for questions with this key, as hex. */
  readonly key?: string;
  /** How many questions it takes. @default {all} */
  readonly times?: number;
  /** None: the question is dropped. */
  readonly reply: readonly Reply[];
}

/** One step. Exactly one of the words at the beginning of a line of the table in README.md. */
export interface Step {
  /** A command; its result must come, and fit. */
  readonly do?: string;
  /** A command that is begun; `as` names it for `end`. */
  readonly begin?: string;
  readonly as?: string;
  readonly end?: string;
  /** A command that is repeated until its result fits. */
  readonly until?: string;
  /** Words that the result must have; of a list one text must fit. */
  readonly expect?: string | readonly string[];
  /** Shortest time from command to result. */
  readonly atLeastMs?: number;
  /** Longest time, beside the slack that a busy machine is given. */
  readonly atMostMs?: number;
  readonly agent?: "stop" | "start";
  /** Outcomes that must have reached the agent, all and no others, in any order. */
  readonly outcomes?: readonly string[];
  /** Records that stand for several outcomes: at least so many, or none at all for 0. */
  readonly runs?: number;
  /** Datagrams that the agent refused for want of a good seal: at least so many, or none for 0. */
  readonly refused?: number;
  /** Questions that must have reached the agent. */
  readonly questions?: {
    readonly message: number;
    readonly atLeast?: number;
    readonly atMost?: number;
    /** Bodies without `seq`, as hex: of each question, in order. */
    readonly bodies?: readonly string[];
  };
  /** Another table, in the place of the one before; or what becomes of that. */
  readonly table?: TableScript | "retire" | "age" | "revive";
  /** Which of the agent's ports (0 to 2) the questions came to, in order. */
  readonly ports?: readonly number[];
  /** New routes of the real agent, by `modid,cmdid`. */
  readonly routes?: Readonly<Record<string, readonly string[]>>;
  readonly pauseMs?: number;
}

/** One scripted exchange. */
export interface Exchange {
  readonly name: string;
  /** What goes wrong with a client that fails it. */
  readonly why: string;
  /** Features that a driver must have; others leave it out and say so. */
  readonly needs?: readonly string[];
  /** Words after `open`, beside the ports. */
  readonly options?: string;
  /**
   * The agent listens beyond loopback, at an address of this host, and wants this secret; the client is
   * told both, unless `options` tell it another one. @default {on loopback, without a secret}
   */
  readonly secret?: string;
  /** Rules of the scripted agent; left out: the real agent, with `routes`. */
  readonly agent?: readonly AgentRule[];
  readonly routes?: Readonly<Record<string, readonly string[]>>;
  /** Table of the scripted agent from the beginning on. @default {none} */
  readonly table?: TableScript;
  readonly steps: readonly Step[];
}

/** A question as the scripted agent reads it. */
export interface AskedQuestion {
  readonly msgId: number;
  readonly seq: number;
  readonly modid: number;
  readonly cmdid: number;
  /** Hex; "" for none. */
  readonly key: string;
}

/** Hex text as bytes. */
export function bytesOfHex(hex: string): Uint8Array {
  return Uint8Array.from(hex.match(/../g) ?? [], (pair) => parseInt(pair, 16));
}

/** Bytes as hex text. */
export function hexOf(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * What a datagram asks; undefined for one that asks nothing.
 *
 * @throws {ProtocolError} when it cannot be read.
 */
export function readQuestion(msgId: number, body: Uint8Array): AskedQuestion | undefined {
  if (msgId === MessageId.GetHostRequest) {
    const { seq, modId, cmdId, key } = decodeGetHostRequest(body);
    return { msgId, seq, modid: modId, cmdid: cmdId, key: key === undefined ? "" : hexOf(key) };
  }
  if (msgId === MessageId.ApiGetRouteRequest) {
    const { modId, cmdId } = decodeGetRouteRequest(body);
    return { msgId, seq: 0, modid: modId, cmdid: cmdId, key: "" };
  }
  if (msgId === MessageId.ExplainRequest) {
    const { seq, modId, cmdId } = decodeExplainRequest(body);
    return { msgId, seq, modid: modId, cmdid: cmdId, key: "" };
  }
  return msgId === MessageId.Hello ? { msgId, seq: 0, modid: 0, cmdid: 0, key: "" } : undefined;
}

/** Messages that begin with a `seq`. */
const NUMBERED: readonly number[] = [MessageId.GetHostRequest, MessageId.ExplainRequest];

/**
 * A body without the `seq` at its beginning, and without the seal at its end where there is one, as hex:
 * what two askings have in common.
 */
export function bodyWithoutSeq(msgId: number, body: Uint8Array, sealBytes = 0): string {
  const plain = body.subarray(0, body.length - sealBytes);
  if (!NUMBERED.includes(msgId) || plain[0] !== SEQ_TAG) return hexOf(plain);
  const end = plain.findIndex((byte, index) => index > 0 && byte < 0x80);
  return hexOf(plain.subarray(end + 1));
}

/** True when the rule is for this question. */
export function isFor(rule: AgentRule, question: AskedQuestion): boolean {
  return rule.on === question.msgId &&
    (rule.modid === undefined || rule.modid >>> 0 === question.modid) &&
    (rule.cmdid === undefined || rule.cmdid >>> 0 === question.cmdid) &&
    (rule.key === undefined || rule.key === question.key);
}

/** Tag of field 1 as a number, which is `seq` in every message that has one. */
const SEQ_TAG = 0x08;

function hostInfo(text: string): HostInfo {
  const [ip, port] = text.split(":");
  return { ip: parseIpv4(ip), port: Number(port) };
}

function varint(value: number): number[] {
  const bytes: number[] = [];
  for (let rest = value;; rest = Math.floor(rest / 128)) {
    if (rest < 128) return [...bytes, rest];
    bytes.push((rest % 128) | 0x80);
  }
}

function framed(msgId: number, body: Uint8Array): Uint8Array {
  const frame = new Uint8Array(HEAD_BYTES + body.length);
  const view = new DataView(frame.buffer);
  view.setInt32(0, msgId, true);
  view.setInt32(4, body.length, true);
  frame.set(body, HEAD_BYTES);
  return frame;
}

/** @param turn how many questions the rule has answered before. */
export function replyBytes(reply: Reply, question: AskedQuestion, turn: number): Uint8Array {
  if (reply.datagram !== undefined) return bytesOfHex(reply.datagram);
  const frame = framed(...messageOf(reply, question, turn));
  return frame.subarray(0, frame.length - (reply.cutBytes ?? 0));
}

function messageOf(reply: Reply, question: AskedQuestion, turn: number): [number, Uint8Array] {
  const seq = (question.seq + (reply.seqPlus ?? 0)) >>> 0;
  const module = { modId: reply.modid ?? question.modid, cmdId: reply.cmdid ?? question.cmdid };
  if (reply.body !== undefined) {
    const head = reply.withSeq === false ? [] : [SEQ_TAG, ...varint(seq)];
    return [reply.message ?? 0, Uint8Array.from([...head, ...bytesOfHex(reply.body)])];
  }
  if (reply.hello === true) {
    const hello = { protocol: HELLO_PROTOCOL, software: "scripted", role: "agent" };
    return [MessageId.Hello, encodeHello(hello)];
  }
  if (reply.route !== undefined) {
    const hosts = reply.route.map(hostInfo);
    return [MessageId.ApiGetRouteResponse, encodeGetRouteResponse({ ...module, hosts })];
  }
  if (reply.explanation !== undefined) {
    const { explanation } = reply;
    const page = { seq, ...module, from: 0, explanation };
    return [MessageId.ExplainResponse, encodeExplainResponse(page)];
  }
  const host = reply.host ?? reply.hosts?.[turn % reply.hosts.length];
  const answer = {
    seq,
    ...module,
    retcode: reply.retcode ?? RetCode.Success,
    host: host === undefined ? undefined : hostInfo(host),
  };
  return [MessageId.GetHostResponse, encodeGetHostResponse(answer)];
}

/**
 * True when a result has every word that is expected, and the same first one; a word after `!` must
 * be missing.
 */
export function isExpected(expected: string | readonly string[], result: string): boolean {
  const texts = typeof expected === "string" ? [expected] : expected;
  const words = result.split(" ");
  return texts.some((text) => {
    const [first, ...others] = text.split(" ");
    return first === words[0] &&
      others.every((word) =>
        word.startsWith("!") ? !words.includes(word.slice(1)) : words.includes(word)
      );
  });
}
