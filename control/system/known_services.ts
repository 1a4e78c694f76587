// Shell. The services that signed in to the database.

import { type Address, parseAddress } from "../../reactor/address.ts";
import { StoreError } from "../../reactor/errors.ts";
import type { Clock } from "../../reactor/time/clock.ts";
import type { ServiceInstance, Store } from "../../sql/store.ts";

/** A service that has not signed in for so long is gone, and not waited for, in seconds. */
export const SERVICE_RECENT_S = 30;

/** True for a service that signed in within {@linkcode SERVICE_RECENT_S}. */
export function isRecent({ seenAt }: ServiceInstance, wallMs: number): boolean {
  return wallMs / 1000 - seenAt <= SERVICE_RECENT_S;
}

/**
 * Every known service, or those of some kinds; none on a schema that was never migrated, which has no
 * such table.
 */
export async function knownServices(
  store: Store,
  kinds?: readonly ServiceInstance["kind"][],
): Promise<ServiceInstance[]> {
  try {
    return await store.instances(kinds);
  } catch (error) {
    if (error instanceof StoreError && !error.transient) return [];
    throw error;
  }
}

/** Addresses of every dns that signed in lately. */
export async function liveDns(store: Store, clock: Clock): Promise<Address[]> {
  return (await knownServices(store, ["dns"]))
    .filter((one) => isRecent(one, clock.wallMs()))
    .map(({ address }) => parseAddress(address));
}
