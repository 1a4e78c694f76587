// Core. Seals of datagrams: proof of the secret, and of when a datagram was made, that shows nothing
// of the secret and is worth nothing a second time.

import { equalSecrets } from "../reactor/equal_secrets.ts";
import type { Prove } from "./handshake.ts";
import type { Secrets } from "./secrets.ts";

/**
 * A seal is the last field of a message, number 31: sender (8 bytes), milliseconds since 1970 (8),
 * number of the datagram (4), and the first 16 bytes of an HMAC-SHA256 of everything before them.
 */
const FIELD_HEAD = [0xfa, 0x01, 36] as const;
const SENDER_BYTES = 8;
const STAMP_BYTES = SENDER_BYTES + 8 + 4;
const SEAL_MAC_BYTES = 16;
const SEAL_BYTES = FIELD_HEAD.length + STAMP_BYTES + SEAL_MAC_BYTES;
const FRAME_HEAD_BYTES = 8;

/** Difference of two hosts' clocks, and age of a datagram, up to which a seal is taken. */
export const SEAL_AGE_MS_MAX = 60_000;

/** Senders of whom is remembered what came; of more the one heard longest ago is forgotten. */
export const SEAL_SENDERS_MAX = 10_000;

/** Numbers back from the highest of a sender that may still come, so that order is free. */
const WINDOW = 32;

const QUESTION = new TextEncoder().encode("lars question");
const ANSWER = new TextEncoder().encode("lars answer");

/** By how much a seal makes a datagram longer, in bytes. */
export const SEAL_GROWTH_BYTES = SEAL_BYTES;

function macOf(
  label: Uint8Array,
  bytes: Uint8Array,
  secret: Uint8Array,
  prove: Prove,
): Uint8Array {
  const all = new Uint8Array(label.length + bytes.length);
  all.set(label);
  all.set(bytes, label.length);
  return prove(secret, all).subarray(0, SEAL_MAC_BYTES);
}

/** The message with a field more, whose last bytes are left for the mac. */
function withRoom(frame: Uint8Array, stamp: Uint8Array): Uint8Array {
  const sealed = new Uint8Array(frame.length + SEAL_BYTES);
  sealed.set(frame);
  sealed.set(FIELD_HEAD, frame.length);
  sealed.set(stamp, frame.length + FIELD_HEAD.length);
  new DataView(sealed.buffer).setInt32(4, sealed.length - FRAME_HEAD_BYTES, true);
  return sealed;
}

function finish(
  sealed: Uint8Array,
  label: Uint8Array,
  secret: Uint8Array,
  prove: Prove,
): Uint8Array {
  const end = sealed.length - SEAL_MAC_BYTES;
  sealed.set(macOf(label, sealed.subarray(0, end), secret, prove), end);
  return sealed;
}

/** What a seal says, in the datagram it came with. */
interface ReadSeal {
  /** Sender, time and number. */
  readonly stamp: Uint8Array;
  readonly signed: Uint8Array;
  readonly mac: Uint8Array;
}

function readSeal(datagram: Uint8Array): ReadSeal | undefined {
  const at = datagram.length - SEAL_BYTES;
  if (at < FRAME_HEAD_BYTES) return undefined;
  if (FIELD_HEAD.some((byte, index) => datagram[at + index] !== byte)) return undefined;
  const end = datagram.length - SEAL_MAC_BYTES;
  return {
    stamp: datagram.subarray(at + FIELD_HEAD.length, end),
    signed: datagram.subarray(0, end),
    mac: datagram.subarray(end),
  };
}

/** Seals the datagrams of one sender. */
export class Sealer {
  readonly #sender: Uint8Array;
  readonly #prove: Prove;
  readonly #wallMs: () => number;
  #number = 0;

  /** `sender`: 8 random bytes at least, which no other sender has. */
  constructor(sender: Uint8Array, prove: Prove, wallMs: () => number) {
    this.#sender = sender.slice(0, SENDER_BYTES);
    this.#prove = prove;
    this.#wallMs = wallMs;
  }

  /** A framed message with its seal; to be called for each datagram anew, also for a repeated one. */
  seal(frame: Uint8Array, secret: Uint8Array): Uint8Array {
    const stamp = new Uint8Array(STAMP_BYTES);
    const view = new DataView(stamp.buffer);
    stamp.set(this.#sender);
    view.setBigUint64(SENDER_BYTES, BigInt(Math.trunc(this.#wallMs())), true);
    this.#number = (this.#number + 1) >>> 0;
    view.setUint32(SENDER_BYTES + 8, this.#number, true);
    return finish(withRoom(frame, stamp), QUESTION, secret, this.#prove);
  }

  /** True when an answer is sealed by one who knows the secret, for a question of this sender. */
  isAnswer(datagram: Uint8Array, secret: Uint8Array): boolean {
    const seal = readSeal(datagram);
    if (seal === undefined) return false;
    if (!equalSecrets(seal.stamp.subarray(0, SENDER_BYTES), this.#sender)) return false;
    const mac = macOf(ANSWER, seal.signed, secret, this.#prove);
    return equalSecrets(mac, seal.mac);
  }
}

/** What a seal is worth: the seal of its answer, or why it is refused. */
export type SealVerdict =
  | { readonly answer: (frame: Uint8Array) => Uint8Array }
  | { readonly refused: string };

interface Sender {
  highest: number;
  /** Bit n: the number `highest - n` has come. */
  seen: number;
}

/** Judges the seals of datagrams that come in, each once. */
export class SealJudge {
  readonly #secrets: Secrets;
  readonly #prove: Prove;
  readonly #wallMs: () => number;
  /** By their random bytes, the one heard longest ago first. */
  readonly #senders = new Map<string, Sender>();

  constructor(secrets: Secrets, prove: Prove, wallMs: () => number) {
    this.#secrets = secrets;
    this.#prove = prove;
    this.#wallMs = wallMs;
  }

  /** Takes the datagram as come, when its seal is good. */
  judge(datagram: Uint8Array): SealVerdict {
    const seal = readSeal(datagram);
    if (seal === undefined) {
      return { refused: "it has no seal: its sender knows no secret, or is of an older build" };
    }
    const secret = this.#secrets.all.find((one) =>
      equalSecrets(seal.mac, macOf(QUESTION, seal.signed, one, this.#prove))
    );
    if (secret === undefined) return { refused: "its secret is another one" };
    const fault = this.#take(seal.stamp);
    if (fault !== undefined) return { refused: fault };
    const stamp = seal.stamp.slice();
    return {
      answer: (frame) => finish(withRoom(frame, stamp), ANSWER, secret, this.#prove),
    };
  }

  /** @returns why the stamp is refused. */
  #take(stamp: Uint8Array): string | undefined {
    const view = new DataView(stamp.buffer, stamp.byteOffset);
    const atMs = Number(view.getBigUint64(SENDER_BYTES, true));
    const number = view.getUint32(SENDER_BYTES + 8, true);
    const aheadMs = atMs - this.#wallMs();
    if (Math.abs(aheadMs) > SEAL_AGE_MS_MAX) {
      const way = aheadMs > 0 ? "ahead" : "behind";
      const seconds = Math.round(Math.abs(aheadMs) / 1000);
      return `its time is ${seconds} s ${way}: compare the clocks of both hosts`;
    }
    const key = String.fromCharCode(...stamp.subarray(0, SENDER_BYTES));
    const sender = this.#senders.get(key) ?? { highest: number, seen: 0 };
    const fault = takeNumber(sender, number);
    if (fault !== undefined) return fault;
    this.#senders.delete(key);
    this.#senders.set(key, sender);
    if (this.#senders.size > SEAL_SENDERS_MAX) {
      const [oldest] = this.#senders.keys();
      this.#senders.delete(oldest);
    }
    return undefined;
  }
}

/** Notes a number as come; wraps around at 2^32. @returns why it is refused. */
function takeNumber(sender: Sender, number: number): string | undefined {
  const ahead = (number - sender.highest) | 0;
  if (ahead > 0) {
    sender.seen = ahead >= WINDOW ? 1 : ((sender.seen << ahead) | 1) >>> 0;
    sender.highest = number;
    return undefined;
  }
  const bit = -ahead >= WINDOW ? 0 : (1 << -ahead) >>> 0;
  if (bit === 0 || (sender.seen & bit) !== 0) return "it has come before";
  sender.seen = (sender.seen | bit) >>> 0;
  return undefined;
}
