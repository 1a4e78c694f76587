// Shell. Tells every known dns of a change right after its commit.

import { DnsNotifier, type Told } from "./dns_notifier.ts";
import { type Address, parseAddress } from "../../reactor/address.ts";
import type { Clock } from "../../reactor/time/clock.ts";
import type { Store } from "../../sql/store.ts";
import { isRecent, knownServices } from "../system/known_services.ts";
import type { ModuleKey } from "../../model/module.ts";

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

/** Addresses of every dns that signed in lately. */
export async function liveDns(store: Store, clock: Clock): Promise<Address[]> {
  return (await knownServices(store, ["dns"]))
    .filter((one) => isRecent(one, clock.wallMs()))
    .map(({ address }) => parseAddress(address));
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
  const addresses = [...await liveDns(store, clock), ...options.addresses];
  const notifier = new DnsNotifier({ addresses, token, software, clock });
  try {
    const outcome = await commit();
    const told = outcome.changed.length === 0 ? [] : await notifier.tell(outcome.changed);
    return { ...outcome, told };
  } finally {
    notifier.close();
  }
}
