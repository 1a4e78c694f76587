// Core. What a question to the name server is answered: the nodes of a module as A, SRV and TXT.

import { hashText } from "../../balancer/picking/murmur3.ts";
import { moduleText } from "../../model/module.ts";
import { formatIpv4, parseIpv4 } from "../../reactor/address.ts";
import type { ExportModule, ExportNode, FleetView } from "../fleet_view.ts";
import { readModuleNumbers } from "../module_name.ts";
import type { Answer, Packet } from "./dns_packet.d.ts";

/** Smallest and largest answer over UDP, whatever the question offers; without an offer the least. */
export const UDP_BYTES_MIN = 512;
export const UDP_BYTES_MAX = 8_192;

/** Largest answer over TCP. */
export const TCP_BYTES_MAX = 65_535;

/** Bytes of a message before its question. */
export const NAME_HEAD_BYTES = 12;

/** Names and types whose records are kept in order; when there are more all begin anew. */
const ORDERED_MAX = 10_000;

/** Longest question that is read: one name, one type, and what EDNS adds. */
export const QUESTION_BYTES_MAX = 1_024;

/** Different orders of the records of one answer, one after the other. */
export const ORDERS_MAX = 8;

/** Label below the zone under which nodes have addresses: `10-0-0-1.node.lars.`, the target of SRV. */
const NODE_LABEL = "node";

/** SRV weights are 256 times a number from 1 to this: HAProxy maps small ones to one. */
const SRV_WEIGHT_STEPS = 255;

const FLAG_RESPONSE = 0x8000;
const FLAG_AUTHORITATIVE = 0x0400;
const MASK_OPCODE = 0x7800;
const FLAG_TRUNCATED = 0x0200;
const MASK_KEPT = 0x0100 | 0x0010;
/** The head of a message has the lower part of an outcome. */
const RCODE_BITS = 4;
const MASK_RCODE = 0x000f;
/** Type and class behind the name of a question. */
const QUESTION_TAIL_BYTES = 4;

/** Outcomes of a question. */
export const Rcode = {
  ok: 0,
  formErr: 1,
  servFail: 2,
  nxDomain: 3,
  notImp: 4,
  refused: 5,
  /** Of EDNS: its upper part stands in a record. */
  badVers: 16,
} as const;

/** DNS messages to bytes and back, by a package that wants buffers of the runtime. */
export interface DnsCodec {
  /** @throws {Error} when a name or a value in it cannot be written. */
  encode(packet: Packet): Uint8Array;
  /** Bytes of a message when it is written. */
  bytesOf(packet: Packet): number;
  /** @throws {Error} when it is no message. */
  decode(bytes: Uint8Array): Packet;
  /** Bytes as text, a character each, to be the key of a map. */
  textOf(bytes: Uint8Array): string;
}

/** How names are answered. */
export interface ZoneOptions {
  readonly codec: DnsCodec;
  /** With which every name ends, without a dot at its end, in small letters: `lars`. */
  readonly zone: string;
  /** How long an answer may be kept, in seconds. */
  readonly ttlS: number;
  /** Name of this server in SOA and NS. */
  readonly host: string;
}

/** What a name stands for. */
type Meaning =
  | { readonly kind: "module"; readonly module: ExportModule }
  | { readonly kind: "node"; readonly ip: number }
  | { readonly kind: "zone" }
  /** There is no such name. */
  | { readonly kind: "nothing" }
  /** It is not known whether there is. */
  | { readonly kind: "unknown" }
  /** It is none of this zone. */
  | { readonly kind: "foreign" };

/** The parts of an answer. */
export interface Sections {
  readonly rcode: number;
  readonly answers: readonly Answer[];
  readonly authorities: readonly Answer[];
  /** Of each answer the records that go with it. */
  additionalOf?(answer: Answer): Answer | undefined;
}

/** Records in the order in which they are chosen, with the bytes of each. */
interface Ordered {
  readonly sections: Sections;
  readonly ordered: readonly Answer[];
  readonly bytesOf: readonly number[];
}

/** An answer that is ready to be written. */
export interface Prepared {
  readonly question: Question;
  readonly sections: Sections;
  /** The records that fit. */
  readonly chosen: readonly Answer[];
}

/** A question as it came. */
export interface Question {
  readonly id: number;
  readonly flags: number;
  readonly name: string;
  readonly type: string;
  /** Bytes that the asker takes over UDP; undefined: it said nothing of EDNS. */
  readonly udpBytes: number | undefined;
  /** Version of EDNS; there is only 0. */
  readonly ednsVersion: number;
}

/** Number of a dot, which separates labels where a name is text. */
const DOT = 0x2e;
/** From here on the length of a label is none: it points elsewhere, or means nothing. */
const LABEL_BYTES_END = 64;

/**
 * True when a label of the first name has a dot in it: as text it would be another name, which an
 * answer could not repeat.
 */
function hasDotInLabel(bytes: Uint8Array): boolean {
  for (let at = NAME_HEAD_BYTES; at < bytes.length; at += bytes[at] + 1) {
    if (bytes[at] === 0 || bytes[at] >= LABEL_BYTES_END) return false;
    if (bytes.subarray(at + 1, at + 1 + bytes[at]).includes(DOT)) return true;
  }
  return false;
}

/**
 * Reads a question; undefined: no question that can be answered at all, as an answer, or rubbish.
 * What is readable but wrong has the rcode to say so.
 */
export function readNameQuestion(
  bytes: Uint8Array,
  codec: DnsCodec,
): Question | { readonly rcode: number } | undefined {
  if (bytes.length < NAME_HEAD_BYTES) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const id = view.getUint16(0);
  const flags = view.getUint16(2);
  // Whoever answers answers would talk to another such server for ever.
  if ((flags & FLAG_RESPONSE) !== 0) return undefined;
  if ((flags & MASK_OPCODE) !== 0) return { rcode: Rcode.notImp };
  if (bytes.length > QUESTION_BYTES_MAX || view.getUint16(4) !== 1 || hasDotInLabel(bytes)) {
    return { rcode: Rcode.formErr };
  }
  try {
    const packet = codec.decode(bytes);
    const [question] = packet.questions ?? [];
    if ((question.class ?? "IN") !== "IN") return { rcode: Rcode.refused };
    const edns = packet.additionals?.find((record) => record.type === "OPT");
    return {
      ...{ id, flags, name: question.name, type: question.type },
      ...{ udpBytes: edns?.udpPayloadSize, ednsVersion: edns?.ednsVersion ?? 0 },
    };
  } catch {
    return { rcode: Rcode.formErr };
  }
}

/** Names to nodes, by the view of the system. */
export class NameZone {
  readonly #view: FleetView;
  readonly #options: ZoneOptions;
  readonly #ordered = new Map<string, Ordered>();
  /** Grows with each change, so that secondary servers could tell. */
  #serial = 1;

  constructor(view: FleetView, options: ZoneOptions) {
    this.#view = view;
    this.#options = options;
  }

  get codec(): DnsCodec {
    return this.#options.codec;
  }

  /** Something has changed. */
  changed(): void {
    this.#ordered.clear();
    this.#serial = (this.#serial + 1) >>> 0;
  }

  /**
   * What is answered to a question, to be written with {@linkcode NameZone.write}. Records that do
   * not fit are left out, the same ones each time: a truncated answer would be taken for the whole
   * by HAProxy, and not be asked again over TCP by musl.
   */
  prepare(question: Question, bytesMax: number): Prepared {
    const { sections, ordered, bytesOf } = this.#orderedOf(question);
    let left = bytesMax - this.#write(question, sections, [], 0).length;
    let count = 0;
    while (count < ordered.length && left >= bytesOf[count]) left -= bytesOf[count++];
    return { question, sections, chosen: ordered.slice(0, count) };
  }

  /** @param order Which of the records comes first, so that those who take the first are spread. */
  write({ question, sections, chosen }: Prepared, order: number): Uint8Array {
    return this.#write(question, sections, chosen, order);
  }

  /** Made once for all who ask the same, until something changes. */
  #orderedOf(question: Question): Ordered {
    const key = `${question.type} ${question.ednsVersion} ${question.name}`;
    const known = this.#ordered.get(key);
    if (known !== undefined) return known;
    const { codec } = this.#options;
    const sections = this.#sections(question);
    const ordered = fitOrder(sections.answers);
    // An additional record is counted for each: two nodes of one address need it once only.
    const bytesOf = ordered.map((answer) => {
      const more = sections.additionalOf?.(answer);
      return bytesOfRecord(codec, answer) + (more === undefined ? 0 : bytesOfRecord(codec, more));
    });
    const made = { sections, ordered, bytesOf };
    if (sections.rcode === Rcode.servFail) return made;
    if (this.#ordered.size >= ORDERED_MAX) this.#ordered.clear();
    this.#ordered.set(key, made);
    return made;
  }

  #sections({ name, type, ednsVersion }: Question): Sections {
    if (ednsVersion > 0) return nothing(Rcode.badVers);
    const lower = name.toLowerCase().replace(/\.$/, "");
    const meaning = this.#meaningOf(lower);
    if (meaning.kind === "foreign") return nothing(Rcode.refused);
    if (meaning.kind === "unknown") return nothing(Rcode.servFail);
    if (meaning.kind === "nothing") return this.#negative(Rcode.nxDomain);
    if (meaning.kind === "zone") return this.#ofZone(type);
    if (meaning.kind === "node") {
      if (type !== "A") return this.#negative(Rcode.ok);
      return { ...nothing(Rcode.ok), answers: [this.#a(name, meaning.ip)] };
    }
    return this.#ofModule(name, type, meaning.module);
  }

  #meaningOf(lower: string): Meaning {
    const { zone } = this.#options;
    if (lower === zone) return { kind: "zone" };
    if (!lower.endsWith(`.${zone}`)) return { kind: "foreign" };
    // `_http._tcp.login.lars` asks for the same as `login.lars`.
    const labels = lower.slice(0, -zone.length - 1).split(".").filter((label) => label[0] !== "_");
    if (labels.length === 2 && labels[1] === NODE_LABEL) {
      const ip = readNodeLabel(labels[0]);
      if (ip !== undefined) return { kind: "node", ip };
    }
    const text = labels.join(".");
    const [cmdId, modId] = labels;
    const key = this.#view.byLowerName(text) ??
      (labels.length === 2 ? readModuleNumbers(`${modId}.${cmdId}`) : undefined);
    if (key === undefined) return { kind: this.#view.isListed ? "nothing" : "unknown" };
    const module = this.#view.module(key);
    if (module !== undefined) return { kind: "module", module };
    if (this.#view.isListed && !this.#view.has(key)) return { kind: "nothing" };
    this.#view.want(key);
    return { kind: "unknown" };
  }

  #ofModule(name: string, type: string, module: ExportModule): Sections {
    const up = module.nodes.filter(({ state }) => state === "up");
    if (type === "TXT") {
      const data = [
        `module=${moduleText(module)}`,
        `name=${module.name}`,
        `nodes=${module.nodes.length}`,
        `up=${up.length}`,
      ].map((text) => text.slice(0, 255));
      return { ...nothing(Rcode.ok), answers: [{ ...this.#record(name), type: "TXT", data }] };
    }
    // Nodes of one address are one address.
    if (type === "A") {
      const ips = [...new Set(up.map(({ ip }) => ip))];
      return ips.length === 0
        ? this.#negative(Rcode.ok)
        : { ...nothing(Rcode.ok), answers: ips.map((ip) => this.#a(name, ip)) };
    }
    if (type !== "SRV" || up.length === 0) return this.#negative(Rcode.ok);
    const largest = Math.max(1, ...up.map(({ weight }) => weight));
    return {
      ...nothing(Rcode.ok),
      answers: up.map((node) => this.#srv(name, node, largest)),
      additionalOf: (answer) => {
        const target = answer.type === "SRV" ? answer.data.target : "";
        const ip = readNodeLabel(target.split(".")[0]);
        return ip === undefined ? undefined : this.#a(target, ip);
      },
    };
  }

  #ofZone(type: string): Sections {
    if (type === "SOA") return { ...nothing(Rcode.ok), answers: [this.#soa()] };
    if (type !== "NS") return this.#negative(Rcode.ok);
    const data = this.#options.host;
    const { zone, ttlS } = this.#options;
    return { ...nothing(Rcode.ok), answers: [{ name: zone, type: "NS", ttl: ttlS, data }] };
  }

  #negative(rcode: number): Sections {
    return { rcode, answers: [], authorities: [this.#soa()] };
  }

  #soa(): Answer {
    const { zone, ttlS, host } = this.#options;
    return {
      ...{ name: zone, type: "SOA", ttl: ttlS },
      data: {
        mname: host,
        rname: `hostmaster.${zone}`,
        serial: this.#serial,
        refresh: 60,
        retry: 10,
        expire: 600,
        // How long "there is none" may be kept.
        minimum: ttlS,
      },
    };
  }

  #record(name: string): { name: string; ttl: number; class: "IN" } {
    return { name, ttl: this.#options.ttlS, class: "IN" };
  }

  #a(name: string, ip: number): Answer {
    return { ...this.#record(name), type: "A", data: formatIpv4(ip) };
  }

  #srv(name: string, { ip, port, weight }: ExportNode, largest: number): Answer {
    const share = Math.max(1, Math.round(weight * SRV_WEIGHT_STEPS / largest));
    const target = `${formatIpv4(ip).replaceAll(".", "-")}.${NODE_LABEL}.${this.#options.zone}`;
    return {
      ...this.#record(name),
      type: "SRV",
      data: { priority: 0, weight: 256 * share, port, target },
    };
  }

  #write(
    question: Question,
    sections: Sections,
    chosen: readonly Answer[],
    order: number,
  ): Uint8Array {
    const from = chosen.length === 0 ? 0 : order % chosen.length;
    const answers = [...chosen.slice(from), ...chosen.slice(0, from)];
    const additionals: Answer[] = [];
    const seen = new Set<string>();
    for (const answer of answers) {
      const more = sections.additionalOf?.(answer);
      if (more === undefined || seen.has(more.name)) continue;
      seen.add(more.name);
      additionals.push(more);
    }
    if (question.udpBytes !== undefined) {
      additionals.push({
        ...{ type: "OPT", name: ".", udpPayloadSize: UDP_BYTES_MAX },
        extendedRcode: sections.rcode >> RCODE_BITS,
        ...{ ednsVersion: 0, flags: 0, flag_do: false, options: [] },
      });
    }
    // Not even one fits: to say nothing would say that there is none.
    const isCut = answers.length === 0 && sections.answers.length > 0;
    return this.#options.codec.encode({
      type: "response",
      id: question.id,
      flags: FLAG_AUTHORITATIVE | (isCut ? FLAG_TRUNCATED : 0) | (question.flags & MASK_KEPT) |
        (sections.rcode & MASK_RCODE),
      questions: [{ name: question.name, type: question.type }],
      answers,
      authorities: [...sections.authorities],
      additionals,
    });
  }
}

/** The address in `10-0-0-1`. */
function readNodeLabel(label: string): number | undefined {
  const dotted = label.replaceAll("-", ".");
  try {
    const ip = parseIpv4(dotted);
    return formatIpv4(ip) === dotted ? ip : undefined;
  } catch {
    return undefined;
  }
}

function nothing(rcode: number): Sections {
  return { rcode, answers: [], authorities: [] };
}

function bytesOfRecord(codec: DnsCodec, answer: Answer): number {
  const packet = { type: "response", id: 0, flags: 0, answers: [answer] } as const;
  return codec.bytesOf(packet) - NAME_HEAD_BYTES;
}

/** The answer to what cannot be answered: its head, and the question as it came where it has one. */
export function refusal(asked: Uint8Array, rcode: number): Uint8Array {
  const end = asked[4] === 0 && asked[5] === 1 ? endOfQuestion(asked) : NAME_HEAD_BYTES;
  const bytes = asked.slice(0, end);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  view.setUint16(2, FLAG_RESPONSE | (view.getUint16(2) & (MASK_OPCODE | MASK_KEPT)) | rcode);
  view.setUint16(4, Number(end > NAME_HEAD_BYTES));
  bytes.fill(0, 6, NAME_HEAD_BYTES);
  return bytes;
}

/** Behind the first question of a message; that of its head where there is no whole one. */
function endOfQuestion(bytes: Uint8Array): number {
  let at = NAME_HEAD_BYTES;
  while (at < bytes.length && bytes[at] !== 0 && bytes[at] < LABEL_BYTES_END) at += bytes[at] + 1;
  const end = at + 1 + QUESTION_TAIL_BYTES;
  return bytes[at] === 0 && end <= bytes.length ? end : NAME_HEAD_BYTES;
}

/**
 * Records in the order in which they give way when not all fit: by a hash of what they say, so that
 * the same nodes are chosen each time, of all zones and subnets.
 */
function fitOrder(answers: readonly Answer[]): Answer[] {
  const hashed = answers.map((answer) => [hashText(JSON.stringify(answer)), answer] as const);
  return hashed.sort(([a], [b]) => a - b).map(([, answer]) => answer);
}
