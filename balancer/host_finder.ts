// Core. The node that a report names, found without a map: keys beyond 31 bits are dear there.

import { addressId } from "../model/node.ts";
import type { Host } from "./host.ts";

/** Places at most; nodes that find none are looked up in the map. */
const PLACES_MAX = 4096;

/** What a module has that nobody reported of since its nodes changed. */
const NONE: readonly (Host | undefined)[] = [undefined, undefined];

/** Of one module. Two places next to each other for each node, of which another one may have both. */
export class HostFinder {
  readonly #hosts: ReadonlyMap<number, Host>;
  #places: (Host | undefined)[] = NONE as (Host | undefined)[];

  /** `hosts` by their {@linkcode addressId}; whoever changes it calls {@linkcode forget}. */
  constructor(hosts: ReadonlyMap<number, Host>) {
    this.#hosts = hosts;
  }

  /** The node at an address, signed or not; undefined when the route does not name it. */
  find(ip: number, port: number): Host | undefined {
    const places = this.#places;
    const signedIp = ip | 0;
    const at = (Math.imul(signedIp ^ port, 0x9e37_79b1) >>> 16) & (places.length - 1);
    const first = places[at];
    if (first !== undefined && first.signedIp === signedIp && first.port === port) return first;
    const second = places[at ^ 1];
    if (second !== undefined && second.signedIp === signedIp && second.port === port) return second;
    return this.#look(ip >>> 0, port, at);
  }

  /** The nodes are others from now on. */
  forget(): void {
    this.#places = NONE as (Host | undefined)[];
  }

  #look(ip: number, port: number, at: number): Host | undefined {
    const host = this.#hosts.get(addressId(ip, port));
    if (host === undefined) return undefined;
    if (this.#places === NONE) {
      let count = 2;
      while (count < 2 * this.#hosts.size && count < PLACES_MAX) count *= 2;
      this.#places = new Array(count).fill(undefined);
      return this.find(ip, port);
    }
    const places = this.#places;
    const place = places[at] === undefined ? at : at ^ 1;
    // Both are taken: the one that is looked at last makes room.
    places[place] = host;
    return host;
  }
}
