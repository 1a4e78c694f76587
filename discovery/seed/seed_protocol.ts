// Core. The seed's protocol on a router: what each command does, and what is answered.

import { parseIpv4 } from "../../reactor/address.ts";
import type { MessageRouter } from "../../reactor/message_router.ts";
import type { Address } from "../../reactor/address.ts";
import { isNodePort, type NodeAddress } from "../../model/node.ts";
import {
  connectAnswer,
  NO_SERVER,
  readConnectBack,
  readServerId,
  readServerInfo,
  registerAnswer,
  SeedCommand,
} from "./seed_frames.ts";
import type { SeedServers } from "./seed_servers.ts";

/** What is needed of a connection. */
export interface SeedPeer {
  readonly remote: Address;
  send(msgId: number, body: Uint8Array): boolean;
  sendFrames(bytes: Uint8Array): boolean;
}

/** What the registry is told, and asked. */
export interface SeedEvents {
  /** A server wants in: may it be, and may clients be given it? One refused is told "no room". */
  onRegister(node: NodeAddress, peer: Address): "usable" | "unusable" | "refused";
  /** A server took itself out. False when it is not one that this protocol may take out. */
  onUnregister(node: NodeAddress): boolean;
  /** A server said that it lives: from then on it has a lease. */
  onHeart(node: NodeAddress): void;
}

/** Servers that one connection registered and may mean with an empty heart; the first ones count. */
const OWN_SERVERS_MAX = 1_000;

/** The commands of one listener. */
export class SeedProtocol<P extends SeedPeer & WeakKey> {
  readonly #servers: SeedServers;
  readonly #events: SeedEvents;
  /** Which servers each connection registered, for hearts that name none. */
  readonly #own = new WeakMap<P, NodeAddress[]>();

  constructor(servers: SeedServers, events: SeedEvents) {
    this.#servers = servers;
    this.#events = events;
  }

  /** Gives the commands their handlers. Any other id has none: its argument is passed over. */
  addTo(router: MessageRouter<P>): void {
    router
      .add(SeedCommand.Connect, (_body, peer) => this.#answer(peer))
      .add(SeedCommand.BackConnect, (body, peer) => this.#backConnect(body, peer))
      .add(SeedCommand.Unconnect, (body) => {
        this.#servers.unconnected(readServerId(body, "unconnect"));
      })
      .add(SeedCommand.Register, (body, peer) => this.#register(body, peer))
      .add(SeedCommand.Unregister, (body) => this.#unregister(body))
      .add(SeedCommand.Heart, (body, peer) => this.#heart(body, peer));
  }

  #answer(peer: P): void {
    peer.sendFrames(connectAnswer(this.#servers.choose()));
  }

  #backConnect(body: Uint8Array, peer: P): void {
    const { isConnected, id } = readConnectBack(body);
    this.#servers.connected(id, isConnected);
    if (!isConnected) this.#answer(peer);
  }

  #register(body: Uint8Array, peer: P): void {
    const { ip = ipOfPeer(peer), port } = readServerInfo(body);
    peer.send(SeedCommand.Register, registerAnswer(this.#take(ip, port, peer)));
  }

  #take(ip: number | undefined, port: number, peer: P): number {
    if (ip === undefined || !isNodePort(port)) return NO_SERVER;
    const node = { ip, port };
    if (!this.#servers.hasRoomFor(node)) return NO_SERVER;
    const verdict = this.#events.onRegister(node, peer.remote);
    if (verdict === "refused") return NO_SERVER;
    const id = this.#servers.register(node, verdict === "usable");
    const own = this.#own.get(peer) ?? [];
    this.#own.set(peer, own);
    if (own.length < OWN_SERVERS_MAX) own.push(node);
    return id;
  }

  #unregister(body: Uint8Array): void {
    const server = this.#servers.byId(readServerId(body, "unregister"));
    if (server === undefined || !this.#events.onUnregister(server)) return;
    this.#servers.remove(server);
  }

  /** Without an id it means the servers of this connection, else those of the peer's address. */
  #heart(body: Uint8Array, peer: P): void {
    if (body.length > 0) {
      const server = this.#servers.byId(readServerId(body, "heart"));
      if (server !== undefined) this.#events.onHeart(server);
      return;
    }
    const ip = ipOfPeer(peer);
    const own = this.#own.get(peer) ?? this.#servers.list().filter((server) => server.ip === ip);
    for (const node of own) this.#events.onHeart(node);
  }
}

function ipOfPeer({ remote }: SeedPeer): number | undefined {
  try {
    return parseIpv4(remote.hostname);
  } catch {
    return undefined; // IPv6: nodes have IPv4 addresses alone.
  }
}
