// Core. One stream of a client that follows names over ADS by state of the world: listeners and
// clusters always all, endpoints and route tables those that changed.

import { type DiscoveryRequest, XdsType } from "./messages.ts";
import { RESPONSE_BYTES_MAX, type XdsResource } from "./resources.ts";
import { EVERYTHING, SENDING_ORDER, Subscription, XdsStream } from "./subscription.ts";

/** Types of which what an answer leaves out would be deleted. */
const WHOLE_ANSWERS: readonly string[] = [XdsType.cluster, XdsType.listener];

/** State of the world. */
export class AdsStream extends XdsStream {
  take(bytes: Uint8Array): void {
    const request = this.read<DiscoveryRequest>("DiscoveryRequest", bytes);
    if (request === undefined) return;
    const { type_url: typeUrl, response_nonce: nonce, error_detail: fault } = request;
    const known = this.types.get(typeUrl);
    // It answers one that is old: what it says of the names will come again.
    if (known !== undefined && nonce !== "" && nonce !== known.nonce) return;
    const subscription = known ?? new Subscription(typeUrl, this.port);
    this.types.set(typeUrl, subscription);
    // A client that has come from another stream says a version, but knows nothing for certain.
    if (known !== undefined && nonce !== "") this.judged(subscription, fault?.message);
    this.#rename(subscription, request.resource_names, known === undefined);
    this.flush();
  }

  flush(): void {
    if (!this.port.isReady()) return;
    for (const typeUrl of SENDING_ORDER) {
      const subscription = this.types.get(typeUrl);
      if (subscription === undefined) continue;
      if (this.isBusy) return;
      if (subscription.untold.size === 0 && !subscription.isDue) continue;
      if (WHOLE_ANSWERS.includes(typeUrl)) this.#sendAll(subscription);
      else this.#sendChanged(subscription);
    }
  }

  #rename(subscription: Subscription, asked: readonly string[], isFirst: boolean): void {
    const names = new Set(asked);
    if (subscription.mayBeWhole) {
      // Who names none at first wants all, until it names some.
      const isSilent = names.size === 0 &&
        (isFirst || (subscription.isWhole && subscription.names.size === 0));
      subscription.setWhole(names.delete(EVERYTHING) || isSilent);
    }
    for (const name of [...subscription.names]) {
      if (!names.has(name)) subscription.unsubscribe(name);
    }
    for (const name of names) {
      if (subscription.names.has(name)) continue;
      // Whoever asks again has forgotten it.
      subscription.told.delete(name);
      if (!subscription.subscribe(name)) this.counts.xds_names_refused++;
    }
  }

  #sendAll(subscription: Subscription): void {
    const { told, untold, typeUrl } = subscription;
    let isChanged = subscription.isDue;
    for (const name of untold) {
      const version = subscription.has(name)
        ? this.#resource(subscription, name)?.version
        : undefined;
      isChanged ||= version !== told.get(name);
    }
    untold.clear();
    if (!isChanged) return;
    const resources: XdsResource[] = [];
    let bytes = 0;
    told.clear();
    for (const name of subscription.all()) {
      const resource = this.port.resource(typeUrl, name, this.zone);
      if (resource === undefined) continue;
      told.set(name, resource.version);
      resources.push(resource);
      bytes += resource.packed.length;
    }
    // Only gRPC clients have a limit, and they always name what they follow.
    if (!subscription.isWhole && bytes > RESPONSE_BYTES_MAX) this.counts.xds_too_large++;
    else this.#send(subscription, resources);
  }

  #sendChanged(subscription: Subscription): void {
    const { told, untold } = subscription;
    const resources: XdsResource[] = [];
    let bytes = 0;
    for (const name of untold) {
      const resource = this.#resource(subscription, name);
      if (resource === undefined) continue;
      const { length } = resource.packed;
      const isTooLarge = length > RESPONSE_BYTES_MAX / 2;
      if (isTooLarge) this.counts.xds_too_large++;
      if (isTooLarge || told.get(name) === resource.version) {
        untold.delete(name);
        continue;
      }
      if (bytes + length > RESPONSE_BYTES_MAX / 2) break;
      bytes += length;
      resources.push(resource);
      told.set(name, resource.version);
      untold.delete(name);
    }
    if (resources.length > 0) this.#send(subscription, resources);
  }

  #resource({ typeUrl }: Subscription, name: string): XdsResource | undefined {
    return this.port.resource(typeUrl, name, this.zone);
  }

  #send(subscription: Subscription, resources: readonly XdsResource[]): void {
    const nonce = this.port.nextNonce();
    this.answer(subscription, "DiscoveryResponse", nonce, {
      version_info: nonce,
      resources: resources.map(({ packed }) => packed),
    });
  }
}
