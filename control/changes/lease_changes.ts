// Shell. Changes of leases and of the routes that they become: audited and told to dns as every change.

import type { NodeKey } from "../../model/node.ts";
import type { LeaseChangeOutcome, LeaseEdits, StoredLeases } from "../../sql/leases/lease_store.ts";
import { type Actor, auditOf } from "../access/actor.ts";
import type { Told } from "../schemas.ts";
import { withPresets } from "./change_edits.ts";
import { type NotifyOptions, tellingDns } from "./dns_notifier.ts";

/** What is to become of leases. */
export interface LeaseDecision extends Pick<LeaseEdits, "leases" | "routes"> {
  /** For the audit; empty: nothing that it should know. */
  readonly summary: string;
}

/**
 * Changes leases of nodes. It stands in the audit, is marked as meant, and dns is told, as of every
 * change; a module that it makes gets the preset of those that our tools make. It has no place in
 * the history of changes, since nobody could undo it: the nodes would do it again.
 *
 * @param who For the audit.
 * @param decide May be called again after a deadlock.
 */
export function changeLeases(
  options: NotifyOptions,
  who: Pick<Actor, "name" | "address">,
  nodes: readonly NodeKey[],
  decide: (stored: StoredLeases) => LeaseDecision,
): Promise<LeaseChangeOutcome & { readonly told: readonly Told[] }> {
  const { store, clock } = options;
  return tellingDns(options, () =>
    store.leases.change({
      nodes,
      decide(stored): LeaseEdits {
        const { leases, routes, summary } = decide(stored);
        const { modules = [] } = withPresets(stored.modules, { routes }, true);
        const atMs = Math.trunc(clock.wallMs());
        const audit = summary === "" ? undefined : auditOf(who, atMs, "lease.change", "", summary);
        return { leases, routes, modules, audit };
      },
    }));
}
