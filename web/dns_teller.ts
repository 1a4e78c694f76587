// Shell. Tells every known dns of a change right after its commit.

import { DnsNotifier, type Told } from "../dns/dns_notifier.ts";
import { type Address, parseAddress } from "../reactor/address.ts";
import type { Clock } from "../reactor/clock.ts";
import { StoreError } from "../reactor/errors.ts";
import type { ModuleKey, ServiceInstance, Store } from "../sql/store.ts";

/** A dns that has not signed in for so long is not waited for, in seconds. */
export const DNS_RECENT_S = 30;

/** What {@linkcode tellingDns} works with. */
export interface DnsTellerOptions {
  readonly store: Store;
  readonly clock: Clock;
  readonly software: string;
  /** The secret shared with dns, if there is one. */
  readonly token: Uint8Array | undefined;
  /** Told besides those that signed in to the database. */
  readonly addresses: readonly Address[];
}

/** Every known dns; none on a schema that was never migrated, which has no such table. */
async function knownInstances(store: Store): Promise<ServiceInstance[]> {
  try {
    return await store.instances(["dns"]);
  } catch (error) {
    if (error instanceof StoreError && !error.transient) return [];
    throw error;
  }
}

/**
 * Connects to every dns while `commit` runs, and tells them right after it which modules changed.
 * A dns that cannot be told is no fault: it sees the change at its next poll.
 */
export async function tellingDns<T extends { readonly changed: readonly ModuleKey[] }>(
  options: DnsTellerOptions,
  commit: () => Promise<T>,
): Promise<T & { readonly told: readonly Told[] }> {
  const { store, clock, software, token } = options;
  const nowS = clock.wallMs() / 1000;
  const registered = (await knownInstances(store))
    .filter(({ kind, seenAt }) => kind === "dns" && nowS - seenAt <= DNS_RECENT_S)
    .map(({ address }) => parseAddress(address));
  const addresses = [...registered, ...options.addresses];
  const notifier = new DnsNotifier({ addresses, token, software, clock });
  try {
    const outcome = await commit();
    const told = outcome.changed.length === 0 ? [] : await notifier.tell(outcome.changed);
    return { ...outcome, told };
  } finally {
    notifier.close();
  }
}
