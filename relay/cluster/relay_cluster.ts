// Core. What a relay has in common with others: who is where, messages and requests from one to another.

import type { ModuleKey } from "../../model/module.ts";
import type { RelayPass, RelayPresent } from "../../proto/codec.ts";
import { RelayStatus } from "../../proto/message_ids.ts";
import type { Logger } from "../../reactor/log.ts";
import type { Clock } from "../../reactor/time/clock.ts";
import type { Broker } from "../broker/broker.ts";
import type { Directory, DirectoryEvents, Member, SeenMember } from "../people/directory.ts";
import type { RelayEvents } from "../relay_events.ts";
import { isBetter, type Peer, type RemoteClient } from "./peer_table.ts";
import type { RelayBus } from "./relay_bus.ts";
import { PASS_ANSWER_MS, type PassEnd, RelayPeers } from "./relay_peers.ts";
import { RequestLinks } from "./request_links.ts";

/** How a relay reaches others, and what it is called there. */
export interface ClusterBus {
  readonly bus: RelayBus;
  /** This relay in this life, by chance. */
  readonly relay: string;
}

/** What a {@linkcode RelayCluster} is given. */
export interface RelayClusterOptions extends ClusterBus {
  readonly clock: Clock;
  readonly log: Logger;
  readonly events: RelayEvents;
  /** Where this relay is: `host:port`. */
  address(): string;
}

/** What a cluster has to do with at its own relay. */
export interface ClusterParts {
  readonly broker: Broker;
  readonly directory: Directory;
  /** A message for clients that are here. */
  takeMessage(pass: RelayPass): PassEnd;
}

/** A message on its way to clients of other relays. `data` is not kept beyond the call. */
export type PassedMessage = Pick<RelayPass, "from" | "to" | "id" | "sentAtMs" | "data">;

/** This relay among others. */
export class RelayCluster implements DirectoryEvents {
  readonly #options: RelayClusterOptions;
  readonly #claims = new Map<Member, number>();
  #parts: ClusterParts | undefined;
  #links: RequestLinks | undefined;
  #peers: RelayPeers | undefined;

  constructor(options: RelayClusterOptions) {
    this.#options = options;
  }

  /** Begins to say what is here, and to hear what is elsewhere. Call once. */
  start(parts: ClusterParts): void {
    const { broker, directory, takeMessage } = parts;
    const peers = (): RelayPeers => {
      if (this.#peers === undefined) throw new Error("The cluster has not begun");
      return this.#peers;
    };
    const links = new RequestLinks(broker, this.#options.clock, peers);
    this.#parts = parts;
    this.#links = links;
    this.#peers = new RelayPeers({
      ...this.#options,
      own: {
        clients: () => [...directory.members].map((member) => this.#present(member, false)),
        groups: () => [...directory.groups].map(([group, { size }]) => ({ group, members: size })),
        modules: () => links.ownModules,
      },
      taker: {
        message: takeMessage,
        request: (pass, end) => links.take(pass, end),
      },
      onChange: {
        clientCame: (client) => this.#remoteCame(client),
        clientWent: (client) => directory.tell(seenOf(client), true),
        modulesChanged: (peer) => links.peerChanged(peer),
        relayWent: (peer) => links.peerWent(peer),
      },
    });
  }

  came(member: Member): void {
    const table = this.#peers?.table;
    const other = table?.clients.get(member.name)?.claim ?? 0;
    this.#claims.set(member, Math.max(Math.floor(this.#options.clock.wallMs()), other + 1));
    table?.supersede(member.name);
    this.#peers?.clientChanged(this.#present(member, false));
  }

  went(member: Member): void {
    this.#peers?.clientChanged(this.#present(member, true));
    this.#claims.delete(member);
  }

  groupChanged(group: string, members: number): void {
    this.#peers?.groupChanged(group, members);
  }

  /** A module has workers that are here, or none any more. */
  served(module: ModuleKey, isServed: boolean): void {
    this.#links?.ownChanged(module, isServed);
  }

  /** A client of another relay. */
  find(name: string): RemoteClient | undefined {
    return this.#peers?.table.clients.get(name);
  }

  /** Clients of other relays whose names begin with `prefix`, at most `limit`. */
  who(prefix: string, limit: number): { members: SeenMember[]; cut: boolean } {
    const members: SeenMember[] = [];
    for (const client of this.#peers?.table.clients.values() ?? []) {
      if (!client.name.startsWith(prefix)) continue;
      if (members.length >= limit) return { members, cut: true };
      members.push(seenOf(client));
    }
    return { members, cut: false };
  }

  /** Passes a message to a client of another relay; `end` is called once, with a status. */
  send(client: RemoteClient, message: PassedMessage, end: (status: RelayStatus) => void): void {
    if (this.#peers === undefined) return end(RelayStatus.NoClient);
    const pass = { ...message, ...NO_REQUEST, group: false };
    this.#peers.pass(client.peer, pass, PASS_ANSWER_MS, ({ status }) => end(messageStatus(status)));
  }

  /** Passes a message to members of a group at other relays; `end` is called once, with their number. */
  publish(message: PassedMessage, end: (receivers: number) => void): void {
    const relays = this.#peers?.groupPeers(message.to) ?? [];
    let left = relays.length;
    let sum = 0;
    if (left === 0) return end(0);
    for (const peer of relays) {
      const pass = { ...message, ...NO_REQUEST, group: true };
      this.#peers?.pass(peer, pass, PASS_ANSWER_MS, ({ receivers }) => {
        sum += receivers;
        if (--left === 0) end(sum);
      });
    }
  }

  /** Other relays, for those who run one. */
  rows(): Record<string, unknown>[] {
    const nowMs = this.#options.clock.nowMs();
    return [...this.#peers?.table.peers.values() ?? []].map((peer: Peer) => ({
      ...{ relay: peer.relay, address: peer.address, names: peer.clients.size },
      ...{ groups: peer.groups.size, modules: peer.modules.size },
      silent_ms: Math.round(nowMs - peer.heardAtMs),
    }));
  }

  /** Counters since the start, and present sizes. */
  stats(): Record<string, number> {
    return this.#peers?.stats() ?? {};
  }

  /** Says goodbye to other relays. Harmless when repeated. */
  close(): void {
    this.#links?.close();
    this.#peers?.close();
  }

  #present(member: Member, gone: boolean): RelayPresent {
    const { name, sid, sinceMs } = member;
    const claim = this.#claims.get(member) ?? 0;
    return { name, sid, sinceMs: Math.floor(sinceMs), claim, gone };
  }

  /** @returns false when the one that is here has a better claim. */
  #remoteCame(client: RemoteClient): boolean {
    const { relay } = this.#options;
    const directory = this.#parts?.directory;
    const own = directory?.find(client.name);
    if (own !== undefined) {
      const claim = this.#claims.get(own) ?? 0;
      if (isBetter({ claim, peer: { relay } }, client)) return false;
      directory?.remove(own);
      own.replaced();
    }
    directory?.tell(seenOf(client), false);
    return true;
  }
}

const NO_REQUEST = { modId: 0, cmdId: 0, ttlMs: 0 };

function seenOf({ name, sid, sinceMs, peer }: RemoteClient): SeenMember {
  return { name, sid, sinceMs, relay: peer.address };
}

/** A relay that went away with a message may have delivered it. */
function messageStatus(status: number): RelayStatus {
  switch (status) {
    case RelayStatus.Ok:
    case RelayStatus.NoClient:
    case RelayStatus.Full:
    case RelayStatus.Stopping:
      return status;
    default:
      return RelayStatus.TimedOut;
  }
}
