// Core. What other relays say they have: clients with names, groups, modules that have workers.

import { type ModuleId, moduleId, type ModuleKey } from "../../model/module.ts";
import type { RelayPresence, RelayPresent } from "../../proto/codec.ts";

/** Other relays; a further one is not heard. */
export const PEERS_MAX = 64;

/** Clients of all other relays; a further one is not known, and counted. */
export const PEER_CLIENTS_MAX = 1_000_000;

/** Groups, and modules, of one other relay; a further one is not known. */
export const PEER_GROUPS_MAX = 100_000;
export const PEER_MODULES_MAX = 10_000;

/** A client of another relay. */
export interface RemoteClient {
  readonly name: string;
  readonly sid: number;
  readonly sinceMs: number;
  /** Of several that have a name the highest keeps it. */
  readonly claim: number;
  /** Its relay, and where that is. */
  readonly peer: Peer;
}

/** Clients, groups and modules by their keys. */
interface Unnamed {
  readonly clients: Set<string>;
  readonly groups: Set<string>;
  readonly modules: Set<ModuleId>;
}

/** Another relay. */
export class Peer {
  address = "";
  /** Of what is known of it; -1: nothing is, and it has to be asked. */
  version = -1;
  heardAtMs = 0;
  readonly clients = new Map<string, RemoteClient>();
  readonly groups = new Map<string, number>();
  readonly modules = new Map<ModuleId, ModuleKey>();
  /** What a whole list that is being told has not named yet. */
  unnamed: Unnamed | undefined;
  /** Some of its clients are not known, as others had better claims to their names. */
  hasHidden = false;

  constructor(readonly relay: string) {}
}

/** Whoever wants to know of changes. */
export interface PeerEvents {
  /** A client is at another relay now; false: one that is here has a better claim to the name. */
  clientCame(client: RemoteClient): boolean;
  clientWent(client: RemoteClient): void;
  /** The modules of a relay are others, or the relay is gone and has none. */
  modulesChanged(peer: Peer): void;
  relayCame(peer: Peer): void;
  relayWent(peer: Peer): void;
}

/** All other relays. Each says everything once, and then what changes; a gap shows in the versions. */
export class PeerTable {
  readonly #events: PeerEvents;
  readonly #peers = new Map<string, Peer>();
  /** Whoever has each name. */
  readonly #clients = new Map<string, RemoteClient>();
  #unknownCount = 0;

  constructor(events: PeerEvents) {
    this.#events = events;
  }

  /** Other relays that are here. */
  get peers(): ReadonlyMap<string, Peer> {
    return this.#peers;
  }

  /** Clients of other relays that have names. */
  get clients(): ReadonlyMap<string, RemoteClient> {
    return this.#clients;
  }

  /** Relays, clients and groups that were too many. */
  get unknownCount(): number {
    return this.#unknownCount;
  }

  /**
   * A relay has said something.
   *
   * @returns true when something of it was missed, so that it is to be asked for everything.
   */
  hear(said: RelayPresence, nowMs: number): boolean {
    const { relay, address, version, whole, quiet, leaving } = said;
    if (leaving) {
      this.remove(relay);
      return false;
    }
    let peer = this.#peers.get(relay);
    if (peer === undefined) {
      if (this.#peers.size >= PEERS_MAX) {
        this.#unknownCount++;
        return false;
      }
      peer = new Peer(relay);
      peer.address = address;
      this.#peers.set(relay, peer);
      this.#events.relayCame(peer);
    }
    peer.heardAtMs = nowMs;
    peer.address = address;
    if (quiet) {
      if (version !== peer.version) return true;
      this.#endWhole(peer);
      return false;
    }
    if (whole) this.#beginWhole(peer);
    else if (peer.version < 0 || version !== peer.version + 1) return peer.version < version;
    peer.version = version;
    this.#change(peer, said);
    return false;
  }

  /** A relay is gone, with all that it had. */
  remove(relay: string): void {
    const peer = this.#peers.get(relay);
    if (peer === undefined) return;
    this.#peers.delete(relay);
    for (const client of [...peer.clients.values()]) this.#removeClient(client);
    for (const other of this.#peers.values()) {
      // One of those may have had a name that this one had.
      if (other.hasHidden) other.version = -1;
    }
    peer.groups.clear();
    peer.modules.clear();
    this.#events.modulesChanged(peer);
    this.#events.relayWent(peer);
  }

  /** Relays that have not been heard since. */
  removeSilent(heardBeforeMs: number): void {
    for (const peer of [...this.#peers.values()]) {
      if (peer.heardAtMs < heardBeforeMs) this.remove(peer.relay);
    }
  }

  /** A client that is here has a better claim. */
  supersede(name: string): void {
    const client = this.#clients.get(name);
    if (client !== undefined) this.#removeClient(client);
  }

  /** A whole list begins: what it does not name is gone when it is over, and not before. */
  #beginWhole(peer: Peer): void {
    peer.hasHidden = false;
    peer.unnamed = {
      clients: new Set(peer.clients.keys()),
      groups: new Set(peer.groups.keys()),
      modules: new Set(peer.modules.keys()),
    };
  }

  #endWhole(peer: Peer): void {
    const { unnamed } = peer;
    if (unnamed === undefined) return;
    peer.unnamed = undefined;
    for (const name of unnamed.clients) {
      const client = peer.clients.get(name);
      if (client !== undefined) this.#removeClient(client);
    }
    for (const group of unnamed.groups) peer.groups.delete(group);
    for (const id of unnamed.modules) peer.modules.delete(id);
    if (unnamed.modules.size > 0) this.#events.modulesChanged(peer);
  }

  #change(peer: Peer, { clients, groups, served, unserved, whole }: RelayPresence): void {
    const { unnamed } = peer;
    for (const client of clients) this.#changeClient(peer, client);
    for (const { group, members } of groups) {
      unnamed?.groups.delete(group);
      const named = peer.groups.size - (unnamed?.groups.size ?? 0);
      if (members === 0) peer.groups.delete(group);
      else if (named < PEER_GROUPS_MAX || peer.groups.has(group)) peer.groups.set(group, members);
      else this.#unknownCount++;
    }
    for (const { modId, cmdId } of served) {
      const id = moduleId(modId, cmdId);
      unnamed?.modules.delete(id);
      const named = peer.modules.size - (unnamed?.modules.size ?? 0);
      if (named < PEER_MODULES_MAX || peer.modules.has(id)) peer.modules.set(id, { modId, cmdId });
      else this.#unknownCount++;
    }
    for (const { modId, cmdId } of unserved) peer.modules.delete(moduleId(modId, cmdId));
    if (whole || served.length + unserved.length > 0) this.#events.modulesChanged(peer);
  }

  #changeClient(peer: Peer, { name, sid, sinceMs, claim, gone }: RelayPresent): void {
    const known = peer.clients.get(name);
    peer.unnamed?.clients.delete(name);
    if (gone) {
      // That of an earlier one may never have been told: the later ones have higher numbers.
      if (known !== undefined && known.sid <= sid) this.#removeClient(known);
      return;
    }
    if (known?.sid === sid && known.claim === claim) return;
    const holder = this.#clients.get(name);
    const client = { name, sid, sinceMs, claim, peer };
    if (holder !== undefined && holder.peer !== peer && !isBetter(client, holder)) {
      peer.hasHidden = true;
      return;
    }
    if (holder !== undefined) this.#removeClient(holder);
    if (this.#clients.size >= PEER_CLIENTS_MAX) {
      this.#unknownCount++;
      return;
    }
    if (!this.#events.clientCame(client)) return;
    peer.clients.set(name, client);
    this.#clients.set(name, client);
  }

  #removeClient(client: RemoteClient): void {
    client.peer.clients.delete(client.name);
    if (this.#clients.get(client.name) !== client) return;
    this.#clients.delete(client.name);
    this.#events.clientWent(client);
  }
}

/** The newest connection has a name; of two as new, the one at the relay with the higher number. */
export function isBetter(
  one: { readonly claim: number; readonly peer: { readonly relay: string } },
  other: { readonly claim: number; readonly peer: { readonly relay: string } },
): boolean {
  if (one.claim !== other.claim) return one.claim > other.claim;
  return one.peer.relay > other.peer.relay;
}
