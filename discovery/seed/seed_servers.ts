// Core. The servers of one listener of the seed's protocol, and which of them a client is given.

import {
  EARNED_WEIGHT_MAX,
  earnedWeight,
} from "../../balancer/picking/policy_weight_minus_connections.ts";
import { addressId, type NodeAddress } from "../../model/node.ts";
import { NO_SERVER } from "./seed_frames.ts";

/** Servers of one listener; a further one is told that there is no room. */
export const SEED_SERVERS_MAX = 20_000;

/** Ids end with the 32 bits that carry them. */
const ID_MAX = 0x7fff_ffff;

/** A connection that was counted so long ago counts no more, unless told otherwise. */
export const SEED_CONNECTION_AGE_MS = 3_600_000;

/** Parts of that time by which connections are told apart. */
const AGE_SLOTS = 60;

/** A server as it stands. */
export interface SeedServer extends NodeAddress {
  readonly id: number;
  /** 1 to 1024: doubled by each connect that went well, halved by each that failed. */
  readonly weight: number;
  /** Clients that said they are connected, and did not say they have left. */
  readonly connections: number;
  /** False: known, and given to nobody. */
  readonly usable: boolean;
}

interface Entry extends NodeAddress {
  readonly id: number;
  weight: number;
  connections: number;
  usable: boolean;
  /** Counted connections by the slot of time in which they came; undefined: none yet. */
  slots: number[] | undefined;
}

/** What {@linkcode SeedServers} are given. */
export interface SeedServersOptions {
  /** By a clock that only goes forward. */
  nowMs(): number;
  /** @default {SEED_CONNECTION_AGE_MS} */
  readonly connectionAgeMs?: number;
  /** @default {SEED_SERVERS_MAX} */
  readonly serversMax?: number;
}

/**
 * The rule of the seed: greatest weight minus connections, the lowest id of equals. Its own clients
 * leave without a word, so each connection is forgotten when it is an hour old: a server is not
 * condemned for ever by clients that crashed. One that says it leaves takes the oldest away.
 */
export class SeedServers {
  readonly #options: SeedServersOptions;
  readonly #slotMs: number;
  /** By id, which is also the order of their coming. */
  readonly #byId = new Map<number, Entry>();
  readonly #byAddress = new Map<number, Entry>();
  #nextId = 0;
  #slot: number;

  constructor(options: SeedServersOptions) {
    this.#options = options;
    this.#slotMs = (options.connectionAgeMs ?? SEED_CONNECTION_AGE_MS) / AGE_SLOTS;
    this.#slot = this.#slotNow();
  }

  /** Servers known, usable or not. */
  get count(): number {
    return this.#byId.size;
  }

  /** All servers, by id. */
  list(): SeedServer[] {
    this.#age();
    return [...this.#byId.values()].map(({ slots: _slots, ...server }) => server);
  }

  /**
   * Takes a server in, as a new one: an entry with the same address is superseded.
   *
   * @returns its id; {@linkcode NO_SERVER} when there is no room.
   */
  register({ ip, port }: NodeAddress, usable = true): number {
    const known = this.#byAddress.get(addressId(ip, port));
    if (known !== undefined) {
      known.weight = EARNED_WEIGHT_MAX;
      known.connections = 0;
      known.slots = undefined;
      known.usable = usable;
      return known.id;
    }
    if (!this.hasRoomFor({ ip, port })) return NO_SERVER;
    const entry: Entry = {
      ...{ id: this.#nextId++, ip, port, usable },
      ...{ weight: EARNED_WEIGHT_MAX, connections: 0, slots: undefined },
    };
    this.#byId.set(entry.id, entry);
    this.#byAddress.set(addressId(ip, port), entry);
    return entry.id;
  }

  /** True when a server can be taken in: it is known, or there are fewer than the most. */
  hasRoomFor(address: NodeAddress): boolean {
    const { serversMax = SEED_SERVERS_MAX } = this.#options;
    if (this.byAddress(address) !== undefined) return true;
    return this.#byId.size < serversMax && this.#nextId <= ID_MAX;
  }

  /** Says whether a server may be given to clients; one that is not known is taken in. */
  setUsable(address: NodeAddress, usable: boolean): void {
    const known = this.#byAddress.get(addressId(address.ip, address.port));
    if (known === undefined) this.register(address, usable);
    else known.usable = usable;
  }

  /** The server with this id. */
  byId(id: number): SeedServer | undefined {
    return this.#byId.get(id);
  }

  /** The server with this address. */
  byAddress({ ip, port }: NodeAddress): SeedServer | undefined {
    return this.#byAddress.get(addressId(ip, port));
  }

  /** Forgets a server; nothing happens when it is not known. */
  remove({ ip, port }: NodeAddress): void {
    const entry = this.#byAddress.get(addressId(ip, port));
    if (entry === undefined) return;
    this.#byId.delete(entry.id);
    this.#byAddress.delete(addressId(ip, port));
  }

  /** The server that a client should take; undefined when there is none. O(servers). */
  choose(): SeedServer | undefined {
    this.#age();
    let best: Entry | undefined;
    let bestScore = -Infinity;
    // In order of ids, so of equals the lowest stays.
    for (const entry of this.#byId.values()) {
      const score = entry.weight - entry.connections;
      if (score <= bestScore || !entry.usable) continue;
      best = entry;
      bestScore = score;
    }
    return best;
  }

  /** A client could connect to a server, or could not. An unknown id does nothing. */
  connected(id: number, isConnected: boolean): void {
    this.#age();
    const entry = this.#byId.get(id);
    if (entry === undefined) return;
    entry.weight = earnedWeight(entry.weight, isConnected);
    if (!isConnected) return;
    entry.connections++;
    entry.slots ??= new Array<number>(AGE_SLOTS).fill(0);
    entry.slots[this.#slot % AGE_SLOTS]++;
  }

  /** A client has left a server. An unknown id, or one without connections, does nothing. */
  unconnected(id: number): void {
    this.#age();
    const entry = this.#byId.get(id);
    if (entry?.slots === undefined || entry.connections === 0) return;
    for (let step = 1; step <= AGE_SLOTS; step++) {
      const at = (this.#slot + step) % AGE_SLOTS; // The oldest slot first, the present one last.
      if (entry.slots[at] === 0) continue;
      entry.slots[at]--;
      entry.connections--;
      return;
    }
  }

  #slotNow(): number {
    return Math.floor(this.#options.nowMs() / this.#slotMs);
  }

  /** Forgets the connections of the slots that are over. */
  #age(): void {
    const slotNow = this.#slotNow();
    const steps = Math.min(AGE_SLOTS, slotNow - this.#slot);
    if (steps <= 0) return;
    for (const entry of this.#byId.values()) {
      if (entry.slots === undefined) continue;
      for (let step = 0; step < steps; step++) {
        const at = (slotNow - step) % AGE_SLOTS;
        entry.connections -= entry.slots[at];
        entry.slots[at] = 0;
      }
    }
    this.#slot = slotNow;
  }
}
