// Core. One stream of a client that follows names over ADS: what it asked for, what it has been sent,
// what it took.

import { decodeXds, type DiscoveryRequest, encodeXds, XdsType } from "./messages.ts";
import { clusterOf, listenerOf, RESPONSE_BYTES_MAX } from "./resources.ts";

/** Names one stream may ask for; further ones are not answered, and counted. */
export const NAMES_PER_STREAM_MAX = 10_000;

/** Longest name that is answered, in characters. */
const NAME_LENGTH_MAX = 256;

/** What a {@linkcode AdsStream} needs. */
export interface AdsStreamPort {
  /** False before the modules are known: nothing is sent until then. */
  isReady(): boolean;
  /** The endpoints of a name; undefined: its module is known, its route is not yet. */
  endpoints(name: string, zone: string): Uint8Array | undefined;
  /** The stream follows this name from now on. */
  want(name: string): void;
  /** True while the client has more to read than it should: `drained` follows. */
  send(bytes: Uint8Array): boolean;
  /** A client did not take what it was sent. */
  onRefused(typeUrl: string, reason: string): void;
}

/** Counters of all streams under their names in the status. */
export interface AdsCounts {
  xds_sent: number;
  xds_taken: number;
  xds_refused: number;
  xds_names_refused: number;
  xds_too_large: number;
}

interface Subscription {
  names: Set<string>;
  nonce: string;
  /** Names whose latest resource the client has not been sent. */
  readonly untold: Set<string>;
}

/** State of the world: listeners and clusters always all, endpoints those that changed. */
export class AdsStream {
  readonly #port: AdsStreamPort;
  readonly #counts: AdsCounts;
  readonly #types = new Map<string, Subscription>();
  #zone = "";
  #nonce = 0;
  #isBusy = false;

  constructor(port: AdsStreamPort, counts: AdsCounts) {
    this.#port = port;
    this.#counts = counts;
  }

  /** Names whose endpoints are followed. */
  get names(): ReadonlySet<string> {
    return this.#types.get(XdsType.endpoints)?.names ?? new Set();
  }

  /**
   * A request came, which takes or refuses what was sent, or asks for other names.
   *
   * @throws {Error} when it cannot be read.
   */
  take(bytes: Uint8Array): void {
    const request = decodeXds<DiscoveryRequest>("DiscoveryRequest", bytes);
    const { type_url: typeUrl, response_nonce: nonce } = request;
    const locality = request.node?.locality ?? null;
    if (locality !== null) this.#zone = locality.zone;
    if (!(Object.values(XdsType) as string[]).includes(typeUrl)) return;
    let subscription = this.#types.get(typeUrl);
    // A client of another stream's life says a nonce that is none of this one: it knows nothing.
    if (subscription !== undefined && nonce !== "" && nonce !== subscription.nonce) return;
    if (subscription === undefined) {
      subscription = { names: new Set(), nonce: "", untold: new Set() };
      this.#types.set(typeUrl, subscription);
    } else if (nonce !== "") this.#judged(request);
    this.#rename(subscription, request.resource_names);
    this.flush();
  }

  /** The endpoints of a name have changed. */
  changed(name: string): void {
    const subscription = this.#types.get(XdsType.endpoints);
    if (subscription?.names.has(name)) subscription.untold.add(name);
  }

  /** The client has read. */
  drained(): void {
    this.#isBusy = false;
    this.flush();
  }

  /** Sends what the client does not know, unless it reads too slowly: then the latest, later. */
  flush(): void {
    if (!this.#port.isReady()) return;
    for (const typeUrl of [XdsType.cluster, XdsType.endpoints, XdsType.listener]) {
      const subscription = this.#types.get(typeUrl);
      if (this.#isBusy || subscription === undefined || subscription.untold.size === 0) continue;
      if (typeUrl === XdsType.endpoints) this.#sendEndpoints(subscription);
      else {
        // What an answer of these leaves out would be deleted.
        const make = typeUrl === XdsType.cluster ? clusterOf : listenerOf;
        const resources = [...subscription.names].map((name) => make(name));
        subscription.untold.clear();
        this.#send(typeUrl, subscription, resources);
      }
    }
  }

  #judged({ type_url: typeUrl, error_detail: fault }: DiscoveryRequest): void {
    if (fault === null) {
      this.#counts.xds_taken++;
      return;
    }
    this.#counts.xds_refused++;
    this.#port.onRefused(typeUrl, fault.message);
  }

  #rename(subscription: Subscription, asked: readonly string[]): void {
    const names = new Set<string>();
    for (const name of asked) {
      if (names.size >= NAMES_PER_STREAM_MAX || name.length > NAME_LENGTH_MAX) {
        this.#counts.xds_names_refused++;
        continue;
      }
      names.add(name);
      if (subscription.names.has(name)) continue;
      subscription.untold.add(name);
      this.#port.want(name);
    }
    for (const name of subscription.untold) if (!names.has(name)) subscription.untold.delete(name);
    subscription.names = names;
  }

  #sendEndpoints(subscription: Subscription): void {
    const resources: Uint8Array[] = [];
    let bytes = 0;
    for (const name of subscription.untold) {
      const resource = this.#port.endpoints(name, this.#zone);
      if (resource === undefined) continue;
      if (resource.length > RESPONSE_BYTES_MAX / 2) {
        this.#counts.xds_too_large++;
        subscription.untold.delete(name);
        continue;
      }
      if (bytes + resource.length > RESPONSE_BYTES_MAX / 2) break;
      bytes += resource.length;
      resources.push(resource);
      subscription.untold.delete(name);
    }
    if (resources.length > 0) this.#send(XdsType.endpoints, subscription, resources);
  }

  #send(typeUrl: string, subscription: Subscription, resources: readonly Uint8Array[]): void {
    subscription.nonce = String(++this.#nonce);
    this.#counts.xds_sent++;
    this.#isBusy = this.#port.send(encodeXds("DiscoveryResponse", {
      version_info: subscription.nonce,
      nonce: subscription.nonce,
      type_url: typeUrl,
      resources: resources.map((value) => ({ type_url: typeUrl, value })),
    }));
  }
}
