// Shell. The services that signed in to the database.

import { type Address, parseAddress } from "../../reactor/address.ts";
import { StoreError } from "../../reactor/errors.ts";
import type { Clock } from "../../reactor/time/clock.ts";
import type { ServiceInstance, Store } from "../../sql/store.ts";

/** A service that has not signed in for so long is gone, and not waited for, in seconds. */
export const SERVICE_RECENT_S = 30;

/** So far ahead of the clock of every dns a clock may be, in seconds. */
const CLOCK_AHEAD_MAX_S = 600;

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

/** Addresses of every dns that signed in lately; see {@linkcode liveServices}. */
export function liveDns(store: Store, clock: Clock): Promise<Address[]> {
  return liveServices(store, clock, "dns");
}

/**
 * Addresses of every service of a kind that signed in lately. When by the clock of this host none
 * has, those of the last minutes are tried: it may be ahead of theirs, and who answers lives.
 */
export async function liveServices(
  store: Store,
  clock: Clock,
  kind: ServiceInstance["kind"],
): Promise<Address[]> {
  const known = await knownServices(store, [kind]);
  const wallMs = clock.wallMs();
  const recent = known.filter((one) => isRecent(one, wallMs));
  const tried = recent.length > 0
    ? recent
    : known.filter(({ seenAt }) => wallMs / 1000 - seenAt <= CLOCK_AHEAD_MAX_S);
  return tried.map(({ address }) => parseAddress(address));
}
