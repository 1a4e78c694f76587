// Core. One stream of a client that follows names over ADS by differences: what has another version
// than the client has, and what is gone.

import { type DeltaDiscoveryRequest } from "./messages.ts";
import { RESPONSE_BYTES_MAX } from "./resources.ts";
import { EVERYTHING, SENDING_ORDER, Subscription, XdsStream } from "./subscription.ts";

/**
 * Characters of refused names that wait to be told; further ones are counted only, as whoever asks and
 * never reads would fill the memory.
 */
export const REFUSED_LENGTH_MAX = 256 * 1024;

/** Differences: the incremental form of ADS. */
export class DeltaStream extends XdsStream {
  /** Names that are not followed, of which the client is told that there are none. */
  readonly #refused = new Map<Subscription, string[]>();
  #refusedLength = 0;

  take(bytes: Uint8Array): void {
    const request = this.read<DeltaDiscoveryRequest>("DeltaDiscoveryRequest", bytes);
    if (request === undefined) return;
    const { type_url: typeUrl, response_nonce: nonce, error_detail: fault } = request;
    const known = this.types.get(typeUrl);
    const subscription = known ?? new Subscription(typeUrl, this.port);
    this.types.set(typeUrl, subscription);
    // Unlike by state of the world, what it says of names counts with each of its messages.
    if (nonce !== "" && nonce === subscription.nonce) this.judged(subscription, fault?.message);
    this.#unsubscribe(subscription, request.resource_names_unsubscribe);
    this.#subscribe(subscription, request.resource_names_subscribe, known === undefined);
    if (known === undefined) this.#takeVersions(subscription, request.initial_resource_versions);
    this.flush();
  }

  flush(): void {
    if (!this.port.isReady()) return;
    for (const typeUrl of SENDING_ORDER) {
      const subscription = this.types.get(typeUrl);
      while (
        subscription !== undefined && !this.isBusy &&
        (subscription.untold.size > 0 || subscription.isDue)
      ) {
        if (!this.#sendDifference(subscription)) break;
      }
    }
  }

  #subscribe(subscription: Subscription, asked: readonly string[], isFirst: boolean): void {
    if (subscription.mayBeWhole && isFirst && asked.length === 0) subscription.setWhole(true);
    for (const name of asked) {
      if (name === EVERYTHING && subscription.mayBeWhole) {
        subscription.setWhole(true);
        continue;
      }
      // Whoever asks again has forgotten it.
      subscription.told.delete(name);
      if (!subscription.subscribe(name)) this.#refuse(subscription, name);
    }
  }

  /** The client is told that there is none, so that it waits for nothing. */
  #refuse(subscription: Subscription, name: string): void {
    this.counts.xds_names_refused++;
    if (subscription.has(name)) return void subscription.untold.add(name);
    if (this.#refusedLength + name.length >= REFUSED_LENGTH_MAX) return;
    this.#refusedLength += name.length + 1;
    const names = this.#refused.get(subscription) ?? [];
    names.push(name);
    this.#refused.set(subscription, names);
    subscription.isDue = true;
  }

  /** Those that were refused since the last answer. */
  #takeRefused(subscription: Subscription): string[] {
    const names = this.#refused.get(subscription) ?? [];
    this.#refused.delete(subscription);
    for (const { length } of names) this.#refusedLength -= length + 1;
    return names;
  }

  #unsubscribe(subscription: Subscription, names: readonly string[]): void {
    for (const name of names) {
      if (name === EVERYTHING && subscription.mayBeWhole) subscription.setWhole(false);
      else subscription.unsubscribe(name);
    }
  }

  /** What a client still has of an earlier stream: only what differs is sent. */
  #takeVersions(subscription: Subscription, versions: Readonly<Record<string, string>>): void {
    for (const [name, version] of Object.entries(versions)) {
      if (!subscription.names.has(name) && !subscription.isWhole) continue;
      subscription.told.set(name, version);
      subscription.untold.add(name);
    }
  }

  /** False: there was nothing to send after all, or nothing that is known yet. */
  #sendDifference(subscription: Subscription): boolean {
    const { told, untold, typeUrl } = subscription;
    const resources: unknown[] = [];
    const removed = this.#takeRefused(subscription);
    let bytes = 0;
    for (const name of untold) {
      if (!subscription.has(name)) {
        if (told.delete(name)) removed.push(name);
        untold.delete(name);
        continue;
      }
      const resource = this.port.resource(typeUrl, name, this.zone);
      if (resource === undefined) continue;
      const { packed, version } = resource;
      const isTooLarge = packed.length > RESPONSE_BYTES_MAX / 2;
      if (isTooLarge) this.counts.xds_too_large++;
      if (isTooLarge || told.get(name) === version) {
        untold.delete(name);
        continue;
      }
      if (bytes + packed.length > RESPONSE_BYTES_MAX / 2) break;
      bytes += packed.length;
      resources.push({ name, version, resource: packed });
      told.set(name, version);
      untold.delete(name);
    }
    if (resources.length + removed.length === 0 && !subscription.isDue) return false;
    const nonce = this.port.nextNonce();
    this.answer(subscription, "DeltaDiscoveryResponse", nonce, {
      ...{ system_version_info: nonce, resources, removed_resources: removed },
    });
    return true;
  }
}
