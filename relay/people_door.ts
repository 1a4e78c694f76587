// Core. Clients with names: messages from one to another, groups, who is here, and mailboxes.

import {
  decodeRelayGroup,
  decodeRelaySend,
  decodeRelayTaken,
  decodeRelayWho,
  encodeRelayHere,
  encodeRelayJoined,
  encodeRelayMessage,
  encodeRelaySent,
  type RelayJoin,
  type RelayMember,
  type RelayPass,
  type RelaySend,
} from "../proto/codec.ts";
import { MessageId, RELAY_MESSAGE_BYTES_MAX, RelayStatus } from "../proto/message_ids.ts";
import { messageOf, ProtocolError } from "../reactor/errors.ts";
import { encodeFrame, FRAME_BODY_BYTES_MAX } from "../reactor/frame.ts";
import type { Logger } from "../reactor/log.ts";
import type { Clock, Timer } from "../reactor/time/clock.ts";
import type { Mail, MailOutcome } from "../sql/mail/mail_store.ts";
import { Ledger, type MessageRefusal } from "./broker/ledger.ts";
import type { RemoteClient } from "./cluster/peer_table.ts";
import type { RelayCluster } from "./cluster/relay_cluster.ts";
import type { PassEnd } from "./cluster/relay_peers.ts";
import { type Directory, isClientName, type Member, type SeenMember } from "./people/directory.ts";
import type { MailReceiver, MailRoom } from "./people/mail_room.ts";
import type { RelayPeer, RelaySessions } from "./session_door.ts";

/** Clients of one answer to "who is here?". */
export const HERE_MAX = 500;

/** Time between two tries to open a mailbox. */
const REOPEN_MS = 2_000;

/** What a message has around id and data: two names of 64 characters, a time, a place, and lengths. */
const ENVELOPE_BYTES = 160;

/** Sender of a message whose client has no name. */
const NOBODY = "-";

/** What a {@linkcode PeopleDoor} is given. */
export interface PeopleDoorOptions {
  readonly clock: Clock;
  readonly log: Logger;
  readonly directory: Directory;
  /** Undefined: nothing is kept. */
  readonly mailRoom: MailRoom | undefined;
  /** Other relays. Undefined: there are none. */
  readonly cluster: RelayCluster | undefined;
  /** Time that a message is kept where its sender does not say, and the longest, in milliseconds. */
  readonly mailTtlMs: number;
  readonly mailTtlMsMax: number;
  /** Where this relay is: `host:port`. */
  relayName(): string;
}

/** A connection that joined, with a name or without. */
class Person implements Member, MailReceiver {
  name = "";
  sinceMs = 0;
  /** Its mailbox is looked for again. */
  opening: Timer | undefined;
  /** Opens it anew. */
  openAgain: (() => void) | undefined;

  constructor(
    readonly peer: RelayPeer,
    readonly sid: number,
    readonly describe: (member: SeenMember, gone: boolean) => RelayMember,
    readonly relayName: () => string,
  ) {}

  replaced(): void {
    this.peer.close("another connection has taken this name");
  }

  tell(member: SeenMember, gone: boolean): void {
    const members = [this.describe(member, gone)];
    const here = { number: 0, members, cut: false, relay: this.relayName() };
    this.peer.send(MessageId.RelayHere, encodeRelayHere(here));
  }

  mailboxLost(): void {
    this.openAgain?.();
  }

  takeMail({ seq, sender, id, sentAtMs, data }: Mail): boolean {
    const from = sender === NOBODY ? "" : sender;
    const message = { from, group: "", seq, id, sentAtMs, data };
    return this.peer.send(MessageId.RelayMessage, encodeRelayMessage(message));
  }
}

/** What our own clients may do beside asking workers. */
export class PeopleDoor<P extends RelayPeer> {
  /** Messages from client to client that are not kept; of a group one for each receiver. */
  readonly messages = new Ledger();
  readonly #options: PeopleDoorOptions;
  readonly #people = new Map<P, Person>();
  /** Names of clients by number. */
  readonly #names = new Map<number, string>();

  /** Adds its handlers to the router of `sessions`. */
  constructor(options: PeopleDoorOptions, { router }: RelaySessions<P>) {
    this.#options = options;
    router
      .add(MessageId.RelaySend, (body, peer) => this.#send(decodeRelaySend(body), peer))
      .add(MessageId.RelayTaken, (body, peer) => this.#taken(decodeRelayTaken(body).seq, peer))
      .add(MessageId.RelayGroup, (body, peer) => this.#group(body, peer))
      .add(MessageId.RelayWho, (body, peer) => this.#who(body, peer));
  }

  /** A client has joined: it is told its number and what becomes of its mailbox. */
  join(peer: P, sid: number, join: RelayJoin): void {
    const { name, mail } = join;
    const { clock, directory, mailRoom, relayName } = this.#options;
    const person = new Person(peer, sid, (member, gone) => describe(member, gone), relayName);
    this.#people.set(peer, person);
    if (name === "" && !mail) return joined(peer, sid, RelayStatus.Ok);
    if (!isClientName(name)) return joined(peer, sid, RelayStatus.BadName);
    person.name = name;
    this.#names.set(sid, name);
    person.sinceMs = clock.wallMs();
    directory.add(person);
    if (!mail) return joined(peer, sid, RelayStatus.Ok);
    if (mailRoom === undefined) return joined(peer, sid, RelayStatus.NoStore);
    person.openAgain = () => void this.#openMail(mailRoom, peer, person, join, false);
    person.openAgain();
  }

  /** Tries until it succeeds or the client is gone; the client is told the first failure. */
  async #openMail(
    mailRoom: MailRoom,
    peer: P,
    person: Person,
    join: RelayJoin,
    isAgain: boolean,
  ): Promise<void> {
    const { clock, directory, log } = this.#options;
    const { name, sid } = person;
    const isHere = (): boolean =>
      this.#people.get(peer) === person && directory.find(name) === person;
    try {
      const opening = await mailRoom.open(name, join);
      if (!isHere()) return;
      joined(peer, sid, RelayStatus.Ok, opening);
      // Another mailbox than this one is not the one it knows, if it comes to that.
      const { epoch, after } = opening;
      const again = { ...join, epoch, after };
      person.openAgain = () => void this.#openMail(mailRoom, peer, person, again, false);
      mailRoom.begin(name, person, opening.after);
    } catch (error) {
      if (!isAgain) log.warn("Mailbox could not be opened", { name, error: messageOf(error) });
      if (!isHere()) return;
      if (!isAgain) joined(peer, sid, RelayStatus.NoStore);
      person.opening = clock.setTimer(REOPEN_MS, () => {
        void this.#openMail(mailRoom, peer, person, join, true);
      });
    }
  }

  /** Call when a connection ends. */
  forget(peer: P): void {
    const person = this.#people.get(peer);
    if (person === undefined) return;
    this.#people.delete(peer);
    person.opening?.cancel();
    this.#names.delete(person.sid);
    this.#options.directory.remove(person);
    this.#options.mailRoom?.end(person.name, person);
  }

  /** Names of clients by number, as they are now. */
  get names(): ReadonlyMap<number, string> {
    return this.#names;
  }

  /** Counters since the start, and present sizes. */
  stats(): Record<string, number> {
    const { directory, mailRoom } = this.#options;
    return {
      ...this.messages.stats("messages"),
      names: directory.size,
      groups: directory.groupCount,
      ...mailRoom?.stats() ?? {},
    };
  }

  #personOf(peer: P, what: string): Person {
    const person = this.#people.get(peer);
    if (person === undefined) throw new ProtocolError(`${what} came before RelayJoin`);
    return person;
  }

  #send(message: RelaySend, peer: P): void {
    const person = this.#personOf(peer, "RelaySend");
    const { number, to, group, stored, data } = message;
    if (isTooLarge(message)) return sent(peer, number, RelayStatus.TooLarge);
    if (!isClientName(to)) return sent(peer, number, RelayStatus.BadName);
    if (group) return this.#publish(person, message, peer);
    if (stored) return this.#keep(person, message, peer);
    this.messages.accept();
    const receiver = this.#options.directory.find(to) as Person | undefined;
    if (receiver === undefined) {
      const remote = this.#options.cluster?.find(to);
      if (remote !== undefined) return this.#passOn(remote, person, message, peer);
      this.messages.refuse("no_client");
      return sent(peer, number, RelayStatus.NoClient);
    }
    const body = encodeRelayMessage({ ...this.#envelope(person), id: message.id, data });
    const isTaken = receiver.peer.send(MessageId.RelayMessage, body);
    if (isTaken) this.messages.deliver();
    else this.messages.refuse("slow");
    sent(peer, number, isTaken ? RelayStatus.Ok : RelayStatus.NoClient);
  }

  /** To a client of another relay; it is counted here, and not there. */
  #passOn(
    remote: RemoteClient,
    person: Person,
    { number, to, id, data }: RelaySend,
    peer: P,
  ): void {
    const { from, sentAtMs } = this.#envelope(person);
    this.#options.cluster?.send(remote, { from, to, id, sentAtMs, data }, (status) => {
      if (status === RelayStatus.Ok) this.messages.deliver();
      else if (status === RelayStatus.TimedOut) this.messages.expire();
      else this.messages.refuse(REFUSAL_OF[status] ?? "no_client");
      if (this.#people.get(peer) === person) sent(peer, number, status);
    });
  }

  /** A message of a client of another relay, for a client or a group that is here. */
  takePassed({ from, to, group, id, sentAtMs, data }: RelayPass): PassEnd {
    const end = (status: RelayStatus, receivers = 0): PassEnd => ({
      ...{ status, receivers, data: NO_DATA },
    });
    if (isTooLarge({ id, data })) return end(RelayStatus.TooLarge);
    const message = { from, group: group ? to : "", seq: 0, id, sentAtMs, data };
    const body = encodeRelayMessage(message);
    if (group) {
      const frame = encodeFrame(MessageId.RelayMessage, body);
      return end(RelayStatus.Ok, this.#sendToGroup(to, frame, undefined));
    }
    const receiver = this.#options.directory.find(to) as Person | undefined;
    const isTaken = receiver?.peer.send(MessageId.RelayMessage, body) === true;
    return end(isTaken ? RelayStatus.Ok : RelayStatus.NoClient);
  }

  /** Encoded once, whatever the number of members. */
  #publish(person: Person, { number, to, stored, id, data }: RelaySend, peer: P): void {
    if (stored) return sent(peer, number, RelayStatus.NoStore);
    const body = encodeRelayMessage({ ...this.#envelope(person), group: to, id, data });
    const frame = encodeFrame(MessageId.RelayMessage, body);
    const receivers = this.#sendToGroup(to, frame, person);
    const { cluster } = this.#options;
    if (cluster === undefined) return sent(peer, number, RelayStatus.Ok, receivers);
    const { from, sentAtMs } = this.#envelope(person);
    cluster.publish({ from, to, id, sentAtMs, data }, (elsewhere) => {
      if (this.#people.get(peer) !== person) return;
      sent(peer, number, RelayStatus.Ok, receivers + elsewhere);
    });
  }

  /** To all members that are here but one. @returns to how many it went. */
  #sendToGroup(group: string, frame: Uint8Array, but: Person | undefined): number {
    let receivers = 0;
    for (const member of [...this.#options.directory.groupMembers(group)] as Person[]) {
      if (member === but) continue;
      this.messages.accept();
      if (member.peer.sendFrames(frame)) {
        this.messages.deliver();
        receivers++;
      } else {
        this.messages.refuse("slow");
      }
    }
    return receivers;
  }

  #keep(person: Person, { number, to, ttlS, id, data }: RelaySend, peer: P): void {
    const { clock, mailRoom, mailTtlMs, mailTtlMsMax } = this.#options;
    if (mailRoom === undefined) return sent(peer, number, RelayStatus.NoStore);
    if (!isClientName(id)) return sent(peer, number, RelayStatus.BadName);
    const sentAtMs = clock.wallMs();
    const ttlMs = Math.min(ttlS * 1000 || mailTtlMs, mailTtlMsMax);
    const sender = person.name === "" ? NOBODY : person.name;
    const mail = { name: to, sender, id, sentAtMs, expiresAtMs: sentAtMs + ttlMs, data };
    mailRoom.put(mail, (outcome) => {
      if (this.#people.get(peer) === person) sent(peer, number, STATUS_OF[outcome]);
    });
  }

  #taken(seq: number, peer: P): void {
    const { name } = this.#personOf(peer, "RelayTaken");
    if (name !== "") this.#options.mailRoom?.taken(name, seq);
  }

  #group(body: Uint8Array, peer: P): void {
    const { number, group, leave } = decodeRelayGroup(body);
    const person = this.#personOf(peer, "RelayGroup");
    const { directory } = this.#options;
    if (!isClientName(group)) return sent(peer, number, RelayStatus.BadName);
    if (leave) directory.leave(person, group);
    else if (!directory.join(person, group)) return sent(peer, number, RelayStatus.BadName);
    sent(peer, number, RelayStatus.Ok);
  }

  #who(body: Uint8Array, peer: P): void {
    const { number, prefix, watch } = decodeRelayWho(body);
    const person = this.#personOf(peer, "RelayWho");
    const { directory, relayName, cluster } = this.#options;
    const isWatching = !watch || directory.watch(person, prefix);
    const { members, cut } = directory.who(prefix, HERE_MAX);
    const elsewhere = cluster?.who(prefix, HERE_MAX - members.length);
    const all: SeenMember[] = [...members, ...elsewhere?.members ?? []];
    const here = {
      number,
      members: all.map((member) => describe(member, false)),
      cut: cut || elsewhere?.cut === true || !isWatching,
      relay: relayName(),
    };
    peer.send(MessageId.RelayHere, encodeRelayHere(here));
  }

  #envelope({ name }: Person): { from: string; group: string; seq: number; sentAtMs: number } {
    return { from: name, group: "", seq: 0, sentAtMs: this.#options.clock.wallMs() };
  }
}

const STATUS_OF: Readonly<Record<MailOutcome["kind"] | "failed", RelayStatus>> = {
  stored: RelayStatus.Ok,
  known: RelayStatus.Ok,
  full: RelayStatus.Full,
  failed: RelayStatus.NoStore,
};

/** Why a message that was passed on was not taken. */
const REFUSAL_OF: Readonly<Partial<Record<RelayStatus, MessageRefusal>>> = {
  [RelayStatus.Full]: "full",
  [RelayStatus.Stopping]: "stopping",
};

const NO_DATA = new Uint8Array(0);

const NO_MAILBOX = { epoch: 0, after: 0, missing: 0, recovered: false };

function joined(peer: RelayPeer, sid: number, status: RelayStatus, mailbox = NO_MAILBOX): void {
  peer.send(MessageId.RelayJoined, encodeRelayJoined({ sid, status, ...mailbox }));
}

/** More than a frame carries to a receiver; the id is of any length where nothing is kept. */
function isTooLarge({ id, data }: Pick<RelaySend, "id" | "data">): boolean {
  // A UTF-16 unit takes at most three bytes.
  return data.length > RELAY_MESSAGE_BYTES_MAX ||
    data.length + 3 * id.length > FRAME_BODY_BYTES_MAX - ENVELOPE_BYTES;
}

function sent(peer: RelayPeer, number: number, status: RelayStatus, receivers = 0): void {
  peer.send(MessageId.RelaySent, encodeRelaySent({ number, status, receivers }));
}

function describe(
  { name, sid, sinceMs, relay = "" }: SeenMember,
  gone: boolean,
): RelayMember {
  return { name, sid, since: Math.floor(sinceMs / 1000), gone, relay };
}
