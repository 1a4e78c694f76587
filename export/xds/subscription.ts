// Core. What one stream follows of one type of resources: by name, or all there are.

import { decodeXds, encodeXds, type XdsMessage, type XdsNode, XdsType } from "./messages.ts";
import type { XdsResource } from "./resources.ts";

/** Names one stream may ask for of each type; further ones are not answered, and counted. */
export const NAMES_PER_STREAM_MAX = 10_000;

/** Longest name that is answered, in characters. */
export const XDS_NAME_LENGTH_MAX = 256;

/** The name by which a client asks for all there are. */
export const EVERYTHING = "*";

/** Longest text of a client that is kept, in characters. */
const TEXT_LENGTH_MAX = 128;

/** Types of which a client may follow all there are. */
const WHOLE_TYPES: readonly string[] = [XdsType.cluster, XdsType.listener];

/** Types in the order in which they are sent, so that nothing names what has not come. */
export const SENDING_ORDER: readonly string[] = [
  XdsType.cluster,
  XdsType.endpoints,
  XdsType.listener,
  XdsType.route,
];

/** What a stream needs of its server. */
export interface XdsStreamPort {
  nowMs(): number;
  /** False before the modules are known: nothing is sent until then. */
  isReady(): boolean;
  /** A resource as it is now; undefined: its module is known, its route is not yet. */
  resource(typeUrl: string, name: string, zone: string): XdsResource | undefined;
  /** The names of who follows all of a type. */
  everything(typeUrl: string): ReadonlySet<string>;
  /** The stream follows this name from now on; false: there are too many. */
  follow(typeUrl: string, name: string): boolean;
  unfollow(typeUrl: string, name: string): void;
  /** A number that no answer of this server has had. */
  nextNonce(): string;
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
  /** Streams that ended without having taken the endpoints they were sent last. */
  xds_left: number;
}

/** All of them, 0. */
export function newAdsCounts(): AdsCounts {
  return {
    xds_sent: 0,
    xds_taken: 0,
    xds_refused: 0,
    xds_names_refused: 0,
    xds_too_large: 0,
    xds_left: 0,
  };
}

/** One type of one stream. */
export class Subscription {
  readonly typeUrl: string;
  readonly names = new Set<string>();
  /** Of each name the version that the client was sent last. */
  readonly told = new Map<string, string>();
  /** Names that may differ from what the client was sent. */
  readonly untold = new Set<string>();
  /** An answer is due, whether or not there is something in it. */
  isDue = false;
  /** The latest answer; "" before the first. */
  nonce = "";
  /** Since when the client has not taken the latest answer; undefined: it has. */
  untakenSinceMs: number | undefined;
  readonly #port: XdsStreamPort;
  #isWhole = false;

  constructor(typeUrl: string, port: XdsStreamPort) {
    this.typeUrl = typeUrl;
    this.#port = port;
  }

  /** True while all there are are followed. */
  get isWhole(): boolean {
    return this.#isWhole;
  }

  /** True for types of which all can be followed. */
  get mayBeWhole(): boolean {
    return WHOLE_TYPES.includes(this.typeUrl);
  }

  /** Follows all there are from now on, or no more. */
  setWhole(isWhole: boolean): void {
    if (isWhole === this.#isWhole) return;
    this.#isWhole = isWhole;
    if (isWhole) {
      this.isDue = true;
      for (const name of this.#port.everything(this.typeUrl)) this.untold.add(name);
    } else {
      for (const name of [...this.told.keys(), ...this.untold]) {
        if (!this.names.has(name)) this.#forget(name);
      }
    }
  }

  /** False: it may not follow this name as well. */
  subscribe(name: string): boolean {
    if (!this.names.has(name)) {
      const isOver = this.names.size >= NAMES_PER_STREAM_MAX || name.length > XDS_NAME_LENGTH_MAX;
      if (isOver || !this.#port.follow(this.typeUrl, name)) return false;
      this.names.add(name);
    }
    this.untold.add(name);
    return true;
  }

  unsubscribe(name: string): void {
    if (!this.names.delete(name)) return;
    this.#port.unfollow(this.typeUrl, name);
    this.#forget(name);
    if (this.has(name)) this.untold.add(name);
  }

  /** True for a name that is followed, by itself or as one of all. */
  has(name: string): boolean {
    return this.names.has(name) ||
      (this.#isWhole && this.#port.everything(this.typeUrl).has(name));
  }

  /** Every name that is followed, each once. */
  all(): Iterable<string> {
    if (!this.#isWhole) return this.names;
    return new Set([...this.names, ...this.#port.everything(this.typeUrl)]);
  }

  /** A name may have changed; no matter if it is not followed. */
  changed(name: string): void {
    if (this.names.has(name) || this.#isWhole) this.untold.add(name);
  }

  /** An answer is on its way. */
  sent(nonce: string): void {
    this.nonce = nonce;
    this.isDue = false;
    this.untakenSinceMs ??= this.#port.nowMs();
  }

  /** The stream has ended. */
  close(): void {
    for (const name of this.names) this.#port.unfollow(this.typeUrl, name);
    this.names.clear();
  }

  #forget(name: string): void {
    this.told.delete(name);
    this.untold.delete(name);
  }
}

/** What both kinds of streams have in common. */
export abstract class XdsStream {
  protected readonly port: XdsStreamPort;
  protected readonly counts: AdsCounts;
  protected readonly types = new Map<string, Subscription>();
  protected isBusy = false;
  #id = "";
  #zone = "";
  #software = "";

  constructor(port: XdsStreamPort, counts: AdsCounts) {
    this.port = port;
    this.counts = counts;
  }

  /** Name that the client gives itself; "" = none. */
  get id(): string {
    return this.#id;
  }

  /** Program of the client, as it says. */
  get software(): string {
    return this.#software;
  }

  /** "" = it said none. */
  get zone(): string {
    return this.#zone;
  }

  /** Names whose endpoints are followed. */
  get names(): ReadonlySet<string> {
    return this.types.get(XdsType.endpoints)?.names ?? new Set();
  }

  /** For how long the client has not taken the endpoints it was sent; 0: it has all. */
  get behindMs(): number {
    const since = this.types.get(XdsType.endpoints)?.untakenSinceMs;
    return since === undefined ? 0 : this.port.nowMs() - since;
  }

  /**
   * A request came, which takes or refuses what was sent, or asks for other names.
   *
   * @throws {Error} when it cannot be read.
   */
  abstract take(bytes: Uint8Array): void;

  /** Sends what the client does not know, unless it reads too slowly: then the latest, later. */
  abstract flush(): void;

  /** A resource may have changed. */
  changed(typeUrl: string, name: string): void {
    this.types.get(typeUrl)?.changed(name);
  }

  /** The client has read. */
  drained(): void {
    this.isBusy = false;
    this.flush();
  }

  /** The stream has ended. True: the client has never taken the endpoints it was sent last. */
  close(): boolean {
    const hasLeft = this.behindMs > 0;
    for (const subscription of this.types.values()) subscription.close();
    if (hasLeft) this.counts.xds_left++;
    return hasLeft;
  }

  /** Reads a request, and who sent it. Undefined: of a type that is none of ours. */
  protected read<T extends { readonly node: XdsNode | null; readonly type_url: string }>(
    message: XdsMessage,
    bytes: Uint8Array,
  ): T | undefined {
    const request = decodeXds<T>(message, bytes);
    const { node } = request;
    if (node !== null) {
      if (node.locality) this.#zone = node.locality.zone.slice(0, TEXT_LENGTH_MAX);
      this.#id = node.id.slice(0, TEXT_LENGTH_MAX);
      this.#software = node.user_agent_name.slice(0, TEXT_LENGTH_MAX);
    }
    return SENDING_ORDER.includes(request.type_url) ? request : undefined;
  }

  /** The client says whether it took the latest answer. */
  protected judged(subscription: Subscription, reason: string | undefined): void {
    subscription.untakenSinceMs = undefined;
    if (reason === undefined) {
      this.counts.xds_taken++;
      return;
    }
    this.counts.xds_refused++;
    this.port.onRefused(subscription.typeUrl, reason);
  }

  /** Sends an answer. */
  protected answer(
    subscription: Subscription,
    message: XdsMessage,
    nonce: string,
    values: Readonly<Record<string, unknown>>,
  ): void {
    subscription.sent(nonce);
    this.counts.xds_sent++;
    const bytes = encodeXds(message, { ...values, type_url: subscription.typeUrl, nonce });
    this.isBusy = this.port.send(bytes);
  }
}
