// Shell. A client of a relay: asks workers it knows nothing of, and writes to other clients.

import type { ModuleKey } from "../model/module.ts";
import {
  decodeRelayHere,
  decodeRelayJoined,
  decodeRelayMessage,
  decodeRelayReply,
  decodeRelaySent,
  encodeRelayGroup,
  encodeRelayJoin,
  encodeRelayRequest,
  encodeRelaySend,
  encodeRelayTaken,
  encodeRelayWho,
  type RelayHere,
  type RelayJoined,
  type RelayReply,
} from "../proto/codec.ts";
import {
  DEFAULT_PORTS,
  MessageId,
  PICK_KEY_BYTES_MAX,
  RELAY_MESSAGE_BYTES_MAX,
  RelayStatus,
} from "../proto/message_ids.ts";
import { systemClock } from "../reactor/time/system_clock.ts";
import { systemRng } from "../reactor/time/system_rng.ts";
import type { SessionClient } from "../session/session_client.ts";
import { checkAddresses } from "./in_process_options.ts";
import { RelayCalls, relayErrorOf } from "./relay_calls.ts";
import { openRelayLink } from "./relay_link.ts";
import type {
  RelayClientOptions,
  RelayLetter,
  RelayPerson,
  RelayRequestOptions,
  RelayResume,
  RelaySendOptions,
} from "./relay_options.ts";

/** How much longer than the relay itself this side waits for an answer, in milliseconds. */
const GRACE_MS = 1_000;

/** Messages that wait for the handler; those that are kept wait at the relay instead. */
export const RELAY_LETTERS_MAX = 1_000;

/** What comes back for a call. */
type Answer = { readonly receivers: number } | RelayReply | RelayHere;

/**
 * One connection to the first of several relays that answers, with many requests under way. It
 * connects by itself and comes back by itself. A request that was sent when a connection broke is
 * not sent again, because a worker may have seen it; a message that is to be kept is, and is kept
 * once.
 *
 * @example
 * ```ts ignore
 * const client = new RelayClient({ relays: ["127.0.0.1:2000"] });
 * const answer = await client.request({ modId: 1, cmdId: 1 }, new TextEncoder().encode("hello"));
 * await client.close();
 * ```
 */
export class RelayClient {
  readonly #options: RelayClientOptions;
  readonly #link: SessionClient;
  readonly #calls: RelayCalls<Answer>;
  readonly #groups = new Set<string>();
  readonly #letters: RelayLetter[] = [];
  readonly #idPrefix = Array.from(
    { length: 4 },
    () => Math.floor(systemRng.next() * 2 ** 32).toString(36),
  ).join("");
  #lastId = 0;
  #resume: RelayResume;
  /** Place of the newest message that was given to the handler or waits for it. */
  #heardSeq = 0;
  #isHandling = false;
  #watch: { prefix: string; onChange: (person: RelayPerson) => void } | undefined;
  #repeatedCount = 0;
  #droppedCount = 0;

  /** Begins to connect. @throws {RangeError} when an option is wrong. */
  constructor(options: RelayClientOptions = {}) {
    const { relays, token, tls, name, mail, resume, clock = systemClock } = options;
    if (name !== undefined) checkName("name", name);
    if (mail === true && name === undefined) throw new RangeError("mail needs a name");
    this.#options = options;
    this.#resume = resume ?? { epoch: 0, after: 0 };
    this.#link = openRelayLink({
      addresses: checkAddresses("relays", relays, DEFAULT_PORTS.relay),
      ...{ token, tls, role: "client", clock },
      onReady: () => this.#ready(),
      onLost: () => this.#calls.lost(),
      onLeaving: () => this.#calls.leave(() => this.#link.failOver("the relay stops")),
    });
    this.#calls = new RelayCalls(this.#link, clock);
    this.#link.router
      .add(MessageId.RelayJoined, (body) => this.#joined(decodeRelayJoined(body)))
      .add(MessageId.RelayReply, (body) => this.#reply(decodeRelayReply(body)))
      .add(MessageId.RelaySent, (body) => {
        const { number, status, receivers } = decodeRelaySent(body);
        const call = this.#calls.take(number);
        if (status === RelayStatus.Ok) call?.resolve({ receivers });
        else call?.reject(relayErrorOf(status, undefined));
      })
      .add(MessageId.RelayHere, (body) => this.#here(decodeRelayHere(body)))
      .add(MessageId.RelayMessage, (body) => this.#message(decodeRelayMessage(body)));
    this.#link.start();
  }

  /** True while requests can leave at once. */
  get connected(): boolean {
    return this.#link.ready;
  }

  /** Requests and messages without an answer. */
  get pendingCount(): number {
    return this.#calls.size;
  }

  /** Where this client stands in its mailbox. */
  get resume(): RelayResume {
    return this.#resume;
  }

  /** Messages that came a second time and were not given to the handler, and those dropped. */
  get counts(): { readonly repeated: number; readonly dropped: number } {
    return { repeated: this.#repeatedCount, dropped: this.#droppedCount };
  }

  /**
   * Has a worker of the module answer.
   *
   * @throws {RelayError} when there will be no answer: no worker, a full queue, a lost worker.
   * @throws {TimeoutError} when none came in time.
   * @throws {LimitError} when too many requests have no answer.
   * @throws {ClosedError} when the client is closed.
   * @throws {RangeError} when data or key are too long.
   */
  async request(
    { modId, cmdId }: ModuleKey,
    data: Uint8Array,
    options: RelayRequestOptions = {},
  ): Promise<Uint8Array> {
    const timeoutMs = this.#timeoutOf(options);
    const key = typeof options.key === "string"
      ? new TextEncoder().encode(options.key)
      : options.key;
    checkBytes("data", data.length, RELAY_MESSAGE_BYTES_MAX);
    checkBytes("key", key?.length ?? 0, PICK_KEY_BYTES_MAX);
    const ttlMs = Math.max(1, Math.round(timeoutMs));
    const more = key === undefined ? {} : { key };
    const answer = await this.#calls.start({
      msgId: MessageId.RelayRequest,
      encode: (number) => encodeRelayRequest({ number, modId, cmdId, ttlMs, data, ...more }),
      timeoutMs: timeoutMs + GRACE_MS,
      repeatable: false,
    });
    return (answer as RelayReply).data;
  }

  /**
   * Sends a message to another client; a stored one is on disk when this is done, and is sent again
   * by itself until then.
   *
   * @throws {RelayError} when the client is not here, or the relay cannot keep it.
   * @throws {TimeoutError} when the relay did not answer: nobody knows whether it arrives.
   */
  async send(to: string, data: Uint8Array, options: RelaySendOptions = {}): Promise<void> {
    const { stored = false, ttlSeconds: ttlS = 0 } = options;
    const id = options.id ?? `${this.#idPrefix}-${++this.#lastId}`;
    checkName("to", to);
    checkName("id", id);
    await this.#send({ to, group: false, stored, ttlS, id, data }, this.#timeoutOf(options));
  }

  /**
   * Sends a message to all members of a group that are here.
   *
   * @returns to how many it went.
   */
  async publish(group: string, data: Uint8Array): Promise<number> {
    checkName("group", group);
    const message = { to: group, group: true, stored: false, ttlS: 0, id: "", data };
    return await this.#send(message, this.#timeoutOf({}));
  }

  /** Belongs to a group from now on, over all connections. */
  async joinGroup(group: string): Promise<void> {
    checkName("group", group);
    this.#groups.add(group);
    await this.#sayGroup(group, false);
  }

  /** Belongs to a group no more. */
  async leaveGroup(group: string): Promise<void> {
    checkName("group", group);
    this.#groups.delete(group);
    await this.#sayGroup(group, true);
  }

  /** Clients whose names begin with `prefix`; `cut`: there are more. */
  async who(prefix = ""): Promise<{ people: RelayPerson[]; cut: boolean; relay: string }> {
    const here = await this.#askWho(prefix, false);
    return { people: here.members, cut: here.cut, relay: here.relay };
  }

  /** As {@linkcode RelayClient.who}, and tells who comes and goes from then on. */
  async watch(
    prefix: string,
    onChange: (person: RelayPerson) => void,
  ): Promise<{ people: RelayPerson[]; cut: boolean; relay: string }> {
    this.#watch = { prefix, onChange };
    const here = await this.#askWho(prefix, true);
    return { people: here.members, cut: here.cut, relay: here.relay };
  }

  /** Gives up what has no answer, and ends the connection. */
  async close(): Promise<void> {
    this.#calls.close();
    await this.#link.close();
  }

  #timeoutOf({ timeoutMs }: { timeoutMs?: number }): number {
    return timeoutMs ?? this.#options.timeoutMs ?? 20_000;
  }

  async #send(
    message: Omit<Parameters<typeof encodeRelaySend>[0], "number">,
    timeoutMs: number,
  ): Promise<number> {
    checkBytes("data", message.data.length, RELAY_MESSAGE_BYTES_MAX);
    const answer = await this.#calls.start({
      msgId: MessageId.RelaySend,
      encode: (number) => encodeRelaySend({ number, ...message }),
      timeoutMs,
      repeatable: message.stored,
    });
    return (answer as { receivers: number }).receivers;
  }

  async #sayGroup(group: string, leave: boolean): Promise<void> {
    await this.#calls.start({
      msgId: MessageId.RelayGroup,
      encode: (number) => encodeRelayGroup({ number, group, leave }),
      timeoutMs: this.#timeoutOf({}),
      repeatable: true,
    });
  }

  async #askWho(prefix: string, watch: boolean): Promise<RelayHere> {
    return await this.#calls.start({
      msgId: MessageId.RelayWho,
      encode: (number) => encodeRelayWho({ number, prefix, watch }),
      timeoutMs: this.#timeoutOf({}),
      repeatable: true,
    }) as RelayHere;
  }

  #ready(): void {
    const { onLate, name = "", mail = false } = this.#options;
    const join = { name, late: onLate !== undefined, mail, ...this.#resume };
    this.#link.send(MessageId.RelayJoin, encodeRelayJoin(join));
    // The number 0 is nobody's: these are said again, and their answers are not waited for.
    for (const group of this.#groups) {
      const body = encodeRelayGroup({ number: 0, group, leave: false });
      this.#link.send(MessageId.RelayGroup, body);
    }
    if (this.#watch !== undefined) {
      const { prefix } = this.#watch;
      this.#link.send(MessageId.RelayWho, encodeRelayWho({ number: 0, prefix, watch: true }));
    }
    this.#calls.sendAll();
  }

  #joined({ sid, epoch, after, missing, recovered }: RelayJoined): void {
    if (epoch !== 0) {
      // What waits for the handler comes again, unless it is of the same mailbox.
      if (epoch !== this.#resume.epoch) this.#heardSeq = 0;
      const isSame = epoch === this.#resume.epoch;
      this.#resume = { epoch, after: isSame ? Math.max(after, this.#resume.after) : after };
      this.#heardSeq = Math.max(this.#heardSeq, after);
    }
    this.#options.onWelcome?.({ sid, recovered: recovered || epoch === 0, missing });
  }

  #reply({ number, status, late, data }: RelayReply): void {
    if (late) return this.#options.onLate?.(number, data);
    const call = this.#calls.take(number);
    if (status === RelayStatus.Ok) call?.resolve({ number, status, late, data });
    else call?.reject(relayErrorOf(status, data));
  }

  #here(here: RelayHere): void {
    if (here.number !== 0) return this.#calls.take(here.number)?.resolve(here);
    for (const member of here.members) this.#watch?.onChange(member);
  }

  #message(letter: RelayLetter): void {
    if (letter.seq > 0) {
      if (letter.seq <= this.#heardSeq) {
        this.#repeatedCount++;
        this.#sayTaken(letter.seq);
        return;
      }
      this.#heardSeq = letter.seq;
    }
    // Of those that are kept the relay sends no more than it is told were taken.
    if (this.#letters.length >= RELAY_LETTERS_MAX) {
      this.#droppedCount++;
      return;
    }
    this.#letters.push(letter);
    if (!this.#isHandling) void this.#handleAll();
  }

  async #handleAll(): Promise<void> {
    this.#isHandling = true;
    for (let letter = this.#letters.shift(); letter !== undefined; letter = this.#letters.shift()) {
      const { seq } = letter;
      const { epoch } = this.#resume;
      try {
        await this.#options.onMessage?.(letter);
      } catch {
        if (seq > 0) this.#startOver(seq);
        continue;
      }
      // Another mailbox has taken the place of the one this came from.
      if (seq === 0 || epoch !== this.#resume.epoch) continue;
      this.#resume = { epoch, after: seq };
      this.#sayTaken(seq);
    }
    this.#isHandling = false;
  }

  /** Said again of one that comes again: the relay may not have heard it. */
  #sayTaken(seq: number): void {
    if (seq > this.#resume.after) return;
    this.#link.send(MessageId.RelayTaken, encodeRelayTaken({ seq }));
  }

  /** The handler failed: this message and those behind it come again over the next connection. */
  #startOver(seq: number): void {
    this.#letters.splice(0, this.#letters.length, ...this.#letters.filter((one) => one.seq === 0));
    this.#heardSeq = seq - 1;
    this.#link.failOver("a message could not be handled");
  }
}

function checkBytes(name: string, bytes: number, bytesMax: number): void {
  if (bytes <= bytesMax) return;
  throw new RangeError(`${name} must be at most ${bytesMax} bytes: current value is ${bytes}`);
}

function checkName(what: string, text: string): void {
  if (/^[\x21-\x7e]{1,64}$/.test(text)) return;
  throw new RangeError(
    `${what} must be 1 to 64 printable ASCII characters without spaces: ` +
      `current value is ${JSON.stringify(text.slice(0, 100))}`,
  );
}
