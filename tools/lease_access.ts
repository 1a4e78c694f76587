// Shell. The leases a command works on: in its database, or through a console.

import { ControlError } from "../control/control_error.ts";
import type { LeaseListing, LeaseView } from "../control/schemas.ts";
import { PAGE_ROWS_MAX } from "../control/schemas.ts";
import { softwareName } from "../daemon/daemon.ts";
import type { LeaseAccess } from "../discovery/lease_admin.ts";
import type { ModuleKey } from "../model/module.ts";
import { addressText, type NodeKey } from "../model/node.ts";
import { ConsoleClient } from "./console_client.ts";
import { type SystemFlags, whoRuns } from "./system_access.ts";
import { sharedSecrets } from "./shared_secret.ts";
import { transportOfEnvironment } from "./tls_access.ts";
import { withStore } from "./store_access.ts";

/** Leases that a command lists. */
export const LISTED_LEASES_MAX = 100_000;

/** Leases behind a console. */
class ServerLeases implements LeaseAccess {
  readonly #client: ConsoleClient;

  constructor(client: ConsoleClient) {
    this.#client = client;
  }

  find(
    { modId, cmdId, phase, search, offset = 0, limit = PAGE_ROWS_MAX }: Parameters<
      LeaseAccess["find"]
    >[0],
  ): Promise<LeaseListing> {
    const query = {
      ...(modId === undefined ? {} : { modId: `${modId}` }),
      ...(cmdId === undefined ? {} : { cmdId: `${cmdId}` }),
      ...(phase === undefined ? {} : { phase }),
      ...(search === undefined ? {} : { search }),
      ...{ offset: `${offset}`, limit: `${limit}` },
    };
    return this.#client.call("listLeases", { query });
  }

  async end(node: NodeKey): Promise<boolean> {
    return await this.#client.find("endLease", { params: paramsOf(node) }) !== undefined;
  }

  async free(node: NodeKey): Promise<boolean> {
    return await this.#client.find("freeLease", { params: paramsOf(node) }) !== undefined;
  }

  async confirm({ modId, cmdId }: ModuleKey): Promise<boolean> {
    return await this.#client.find("confirmLosses", { params: { modId, cmdId } }) !== undefined;
  }
}

function paramsOf({ modId, cmdId, ...node }: NodeKey): Record<string, string | number> {
  return { modId, cmdId, node: addressText(node) };
}

/**
 * Opens the database, or looks at the console that `--server` names, for `fn`.
 *
 * @throws {CommandError} when there is neither, or a console refuses something.
 */
export async function withLeases<T>(
  flags: SystemFlags,
  fn: (leases: LeaseAccess) => Promise<T>,
): Promise<T> {
  const client = await ConsoleClient.of(flags);
  if (client !== undefined) {
    try {
      return await fn(new ServerLeases(client));
    } finally {
      client.close();
    }
  }
  return await withStore(flags, async (store, clock) => {
    const { LeaseAdmin } = await import("../discovery/lease_admin.ts");
    const transport = await transportOfEnvironment();
    const secrets = await sharedSecrets(flags);
    const admin = new LeaseAdmin({
      ...{ store, clock, software: softwareName(), secrets, transport, addresses: [] },
    });
    const who = { name: whoRuns(), address: "" };
    return await fn({
      find: (wish) => admin.find(wish),
      end: (node) => isDone(admin.end(who, node)),
      free: (node) => isDone(admin.free(who, node)),
      confirm: (module) => isDone(admin.confirm(who, module)),
    });
  });
}

/** False when there was nothing of the kind. */
async function isDone(change: Promise<void>): Promise<boolean> {
  try {
    await change;
    return true;
  } catch (error) {
    if (error instanceof ControlError && error.reason === "not-found") return false;
    throw error;
  }
}

/** All leases of a filter, page by page, and what is held back. */
export async function allLeases(
  access: LeaseAccess,
  { modId, cmdId }: Partial<ModuleKey>,
): Promise<Pick<LeaseListing, "leases" | "held" | "atMs">> {
  const found: LeaseView[] = [];
  for (;;) {
    const page = { modId, cmdId, offset: found.length, limit: PAGE_ROWS_MAX };
    const { leases, held, total, atMs } = await access.find(page);
    found.push(...leases);
    const isLast = leases.length === 0 || found.length >= total;
    if (isLast || found.length >= LISTED_LEASES_MAX) return { leases: found, held, atMs };
  }
}
