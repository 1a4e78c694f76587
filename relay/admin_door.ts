// Core. Questions of those who run a relay: who is here, what waits, away with this one, tell me all.

import { decodeRelayAsk, encodeRelayTold } from "../proto/codec.ts";
import { MessageId } from "../proto/message_ids.ts";
import { messageOf, ProtocolError } from "../reactor/errors.ts";
import { FRAME_BODY_BYTES_MAX } from "../reactor/frame.ts";
import type { Logger } from "../reactor/log.ts";
import type { Clock } from "../reactor/time/clock.ts";
import type { MailStore } from "../sql/mail/mail_store.ts";
import type { Broker } from "./broker/broker.ts";
import type { RelayCluster } from "./cluster/relay_cluster.ts";
import type { RelayEvents } from "./relay_events.ts";
import type { RelayPeer, RelaySessions } from "./session_door.ts";

/** Rows of one answer: each takes some 150 bytes. Of longer ones fewer fit a frame. */
export const ADMIN_ROWS_MAX = 250;

/** What an {@linkcode AdminDoor} is given. */
export interface AdminDoorOptions {
  readonly clock: Pick<Clock, "nowMs">;
  readonly log: Logger;
  readonly broker: Broker;
  readonly events: RelayEvents;
  /** Undefined: nothing is kept. */
  readonly mail: MailStore | undefined;
  /** Other relays. Undefined: there are none. */
  readonly cluster: RelayCluster | undefined;
  /** Names of clients by number, as they are now. */
  readonly names: ReadonlyMap<number, string>;
  stats(): Record<string, number>;
}

/** A question as it comes; anything may be in it. */
type Question = Readonly<Record<string, unknown>>;

/** Answers {@linkcode MessageId.RelayAsk}. */
export class AdminDoor<P extends RelayPeer> {
  readonly #options: AdminDoorOptions;
  readonly #sessions: RelaySessions<P>;
  /** What ends the tail of each peer that has one. */
  readonly #tails = new Map<P, () => void>();

  /** Adds its handler to the router of `sessions`. */
  constructor(options: AdminDoorOptions, sessions: RelaySessions<P>) {
    this.#options = options;
    this.#sessions = sessions;
    sessions.router.add(MessageId.RelayAsk, (body, peer) => this.#ask(body, peer));
  }

  /** Call when a connection ends. */
  forget(peer: P): void {
    this.#tails.get(peer)?.();
    this.#tails.delete(peer);
  }

  #ask(body: Uint8Array, peer: P): void {
    const { number, question: text } = decodeRelayAsk(body);
    if (!this.#sessions.isExtended(peer)) throw new ProtocolError("RelayAsk came before Hello");
    const tell = (answer: unknown): void => {
      peer.send(MessageId.RelayTold, toldBody(number, answer));
    };
    const question = parseQuestion(text);
    if (question.ask === "tail") return this.#tail(peer, tell);
    if (question.ask === "mail") {
      void this.#mail().then(tell, (error) => tell({ error: messageOf(error) }));
      return;
    }
    tell(this.#answer(question, peer));
  }

  #answer(question: Question, peer: P): unknown {
    switch (question.ask) {
      case "stats":
        return this.#options.stats();
      case "clients":
        return this.#clients();
      case "workers":
        return this.#workers();
      case "modules":
        return this.#modules();
      case "relays":
        return this.#relays();
      case "kick":
        return this.#kick(question, peer);
      default:
        return {
          error: "Question must be stats, clients, workers, modules, relays, mail, kick or tail",
        };
    }
  }

  #clients(): unknown {
    const { names, broker: { clients } } = this.#options;
    const rows = firstOf(clients.values()).map(({ sid, port, requests, waitingBytes }) => ({
      ...{ sid, name: names.get(sid) ?? "", from: port.label, kind: port.kind },
      ...{ requests: requests?.size ?? 0, waiting_bytes: waitingBytes },
    }));
    return { rows, count: clients.size };
  }

  #workers(): unknown {
    const { workers } = this.#options.broker;
    const rows = firstOf(workers)
      .map(({ port, modules, credit, tasks, answeredCount }) => ({
        from: port.label,
        modules: modules.slice(0, 5).map(({ modId, cmdId }) => `${modId},${cmdId}`).join(" "),
        ...{ credit, running: tasks.size, answered: answeredCount },
      }));
    return { rows, count: workers.size };
  }

  #modules(): unknown {
    const all = [...this.#options.broker.modules].sort((a, b) => b.waiting.size - a.waiting.size);
    const nowMs = this.#options.clock.nowMs();
    const rows = all.slice(0, ADMIN_ROWS_MAX).map((module) => ({
      ...{ modid: module.modId, cmdid: module.cmdId, workers: module.workers.length },
      ...{ waiting: module.waiting.size, waiting_bytes: module.waitingBytes },
      oldest_ms: module.oldestMs(nowMs),
    }));
    return { rows, count: all.length };
  }

  #relays(): unknown {
    const { cluster } = this.#options;
    if (cluster === undefined) return { error: "This relay knows no others: set [relay] nats" };
    const rows = cluster.rows();
    return { rows: rows.slice(0, ADMIN_ROWS_MAX), count: rows.length };
  }

  async #mail(): Promise<unknown> {
    const { mail } = this.#options;
    if (mail === undefined) return { error: "This relay keeps no messages: set [relay] store" };
    const { boxes, oldestSentAtMs } = await mail.list(ADMIN_ROWS_MAX);
    const totals = await mail.totals();
    const rows = boxes.map(({ name, waiting, waitingBytes, lastSeq, takenSeq }) => ({
      ...{ name, waiting, waiting_bytes: waitingBytes, last: lastSeq, taken: takenSeq },
    }));
    const oldest = oldestSentAtMs === undefined ? {} : { oldest_sent_at_ms: oldestSentAtMs };
    return { rows, waiting: totals.waiting, waiting_bytes: totals.waitingBytes, ...oldest };
  }

  #kick({ sid, name }: Question, peer: P): unknown {
    const { broker, names, log } = this.#options;
    const wanted = typeof name === "string" ? [...names].find(([, own]) => own === name)?.[0] : sid;
    const client = typeof wanted === "number" ? broker.clients.get(wanted) : undefined;
    if (client === undefined) {
      const whom = typeof name === "string"
        ? `called "${name.slice(0, 64)}"`
        : `with sid ${typeof sid === "number" ? sid : "that is no number"}`;
      return { error: `No client ${whom} is here: \`lars relay ls\` shows who is` };
    }
    const { kind, label } = client.port;
    if (kind === "relay") {
      return { error: `Client ${client.sid} stands for clients of ${label}: put them out there` };
    }
    log.info("Client is kicked", { sid: client.sid, by: peer.remote.hostname });
    client.port.cut("kicked by an operator");
    return { kicked: client.sid };
  }

  #tail(peer: P, tell: (answer: unknown) => void): void {
    this.forget(peer);
    const end = this.#options.events.listen(tell);
    if (end === undefined) return tell({ error: "Too many look on already" });
    this.#tails.set(peer, end);
    tell({ event: "tail" });
  }
}

/** An answer as it is sent: with fewer rows where names and addresses are too long for all of them. */
export function toldBody(number: number, answer: unknown): Uint8Array {
  const body = encodeRelayTold({ number, answer: JSON.stringify(answer) });
  if (body.length <= FRAME_BODY_BYTES_MAX) return body;
  const { rows } = answer as { readonly rows?: readonly unknown[] };
  if (rows === undefined || rows.length === 0) {
    return toldBody(number, { error: "The answer is too long for a message" });
  }
  const fewer = { ...(answer as object), rows: rows.slice(0, Math.floor(rows.length * 0.9)) };
  return toldBody(number, fewer);
}

/** As many as one answer holds: there may be very many, who are all served meanwhile. */
function firstOf<T>(all: Iterable<T>): T[] {
  const first: T[] = [];
  for (const one of all) {
    if (first.length >= ADMIN_ROWS_MAX) break;
    first.push(one);
  }
  return first;
}

function parseQuestion(text: string): Question {
  try {
    const parsed: unknown = JSON.parse(text);
    if (typeof parsed === "object" && parsed !== null) return parsed as Question;
  } catch {
    // Told as what it is below.
  }
  throw new ProtocolError("RelayAsk must hold a JSON object");
}
