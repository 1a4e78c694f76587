// Shell. The system a command works on: its database, or a console by its REST interface.

import { readFileSync } from "node:fs";
import { userInfo } from "node:os";
import { type OperatorFacts, operatorName } from "./operator_name.ts";
import type { SystemAccess } from "../control/system_access.ts";
import { softwareName } from "../daemon/daemon.ts";
import { systemRng } from "../reactor/time/system_rng.ts";
import { sharedSecrets } from "./shared_secret.ts";
import { ConsoleClient, type ServerFlags } from "./console_client.ts";
import type { EditFlags } from "./route_edit.ts";
import { withStore } from "./store_access.ts";
import { transportOfEnvironment } from "./tls_access.ts";

/** What can be known of who runs this. */
function operatorFacts(): OperatorFacts {
  let user = { username: "", uid: -1 };
  let users = "";
  try {
    user = userInfo();
    users = readFileSync("/etc/passwd", "utf8");
  } catch {
    // Elsewhere there is no such file, and a number may have no user: the name falls back to it.
  }
  return { username: user.username, uid: user.uid, users };
}

/** Who runs this, for the audit. */
export function whoRuns(): string {
  return operatorName(operatorFacts());
}

export { addServerOption } from "./console_client.ts";

/** Options of commands that work on a database or through a console. */
export type SystemFlags = ServerFlags;

/**
 * Opens the database, or looks at the console that `--server` names, for `fn`.
 *
 * @param flags With those of edits: which dns to tell and ask besides those that signed in, and the
 * secret shared with them.
 * @throws {CommandError} when there is neither; what `fn` throws.
 */
export async function withSystem<T>(
  flags: SystemFlags & Partial<EditFlags>,
  fn: (system: SystemAccess) => Promise<T>,
): Promise<T> {
  const client = await ConsoleClient.of(flags);
  if (client !== undefined) {
    const { ServerSystem } = await import("./server_system.ts");
    return await closing(new ServerSystem(client), fn);
  }
  return await withStore(flags, async (store, clock) => {
    const { StoreSystem } = await import("../control/store_system.ts");
    const system = new StoreSystem({
      store,
      clock,
      rng: systemRng,
      software: softwareName(),
      who: whoRuns(),
      secrets: () => sharedSecrets(flags),
      transport: transportOfEnvironment,
      addresses: flags.dns ?? [],
    });
    return await closing(system, fn);
  });
}

async function closing<T>(
  system: SystemAccess,
  fn: (system: SystemAccess) => Promise<T>,
): Promise<T> {
  try {
    return await fn(system);
  } finally {
    await system.close();
  }
}
