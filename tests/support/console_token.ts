// Shell. API tokens of a console, put into its database by tests.

import type { Store } from "../../sql/store.ts";
import { TOKEN_PREFIX } from "../../control/access/access_service.ts";
import type { Role } from "../../control/access/actor.ts";
import { randomSecret, secretHash } from "../../control/access/secrets.ts";

/**
 * Makes a token.
 *
 * @param owner A user that the database has; the token can do what both may.
 * @param expiresAtMs In unix milliseconds; 0: never.
 */
export async function addConsoleToken(
  store: Store,
  owner: string,
  role: Role,
  expiresAtMs = 0,
): Promise<string> {
  const secret = TOKEN_PREFIX + randomSecret();
  const hash = secretHash(secret);
  const about = { owner, role, createdAtMs: 1, expiresAtMs, usedAtMs: 0 };
  await store.console.addToken({ title: `${role} ${hash.slice(0, 8)}`, hash, ...about }, {
    atMs: 1,
    who: "test",
    action: "token.add",
    target: role,
    outcome: "done",
    detail: "",
    address: "",
  });
  return secret;
}

/** Makes a user who may edit; a token of that user. */
export async function addConsoleEditor(store: Store): Promise<string> {
  await store.console.addUser({
    ...{ name: "ed", role: "admin", passwordHash: "", mustChange: false, disabled: false },
    ...{ createdAtMs: 1, loginAtMs: 0 },
  }, {
    ...{ atMs: 1, who: "test", action: "user.add", target: "ed", outcome: "done" },
    ...{ detail: "", address: "" },
  });
  return await addConsoleToken(store, "ed", "operator");
}
