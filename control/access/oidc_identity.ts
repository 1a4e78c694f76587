// Core. Who somebody is by the word of an OpenID Connect provider: name and role from its claims.

import { ConfigError } from "../../reactor/errors.ts";
import type { UserRole } from "../../sql/console/console_store.ts";
import { userName } from "../schemas.ts";
import { ROLES } from "./actor.ts";
import { LoginFaultError } from "./login_faults.ts";

/** Groups of one claim that are looked at; of a longer list the first ones. */
const GROUPS_MAX = 1000;
/** Somebody whom a provider has proved. */
export interface Identity {
  /** The provider, and what it calls them for ever. */
  readonly issuer: string;
  readonly subject: string;
  /** What they are called here when they first log in. */
  readonly name: string;
  readonly role: UserRole;
}

/** Which claims tell a name and groups, and what groups may do. */
export interface IdentityRules {
  readonly nameClaim: string;
  readonly groupsClaim: string;
  /** Roles by group; `*` stands for everybody whom the provider lets in. */
  readonly roles: ReadonlyMap<string, UserRole>;
}

/**
 * Roles by group, as `[oidc] roles` has them: `lars-admins=admin, ops=operator, *=viewer`. Where a
 * group stands twice its strongest role counts.
 *
 * @throws {ConfigError} naming what is no such pair.
 */
export function groupRoles(text: string): Map<string, UserRole> {
  const roles = new Map<string, UserRole>();
  for (const pair of text.split(",").map((part) => part.trim()).filter((part) => part !== "")) {
    const at = pair.lastIndexOf("=");
    const group = pair.slice(0, Math.max(0, at)).trim();
    const role = ROLES.find((one) => one === pair.slice(at + 1).trim());
    if (group === "" || role === undefined) {
      throw new ConfigError(
        `[oidc] roles must be pairs of group=role with the roles ${ROLES.join(", ")}, such as ` +
          `lars-admins=admin, *=viewer: ${pair} is none`,
      );
    }
    roles.set(group, strongest([role, ...roles.has(group) ? [roles.get(group) ?? role] : []]));
  }
  return roles;
}

function strongest(roles: readonly UserRole[]): UserRole {
  return roles.reduce((a, b) => ROLES.indexOf(b) > ROLES.indexOf(a) ? b : a);
}

/** Groups of a claim: a list of texts, or one text. */
function groupsOf(claim: unknown): string[] {
  const list: readonly unknown[] = Array.isArray(claim) ? claim : [claim];
  return list.slice(0, GROUPS_MAX).filter((group) => typeof group === "string");
}

/**
 * Who somebody is by claims that were proved.
 *
 * @param claims Of the ID token, with those of the user info where it lacks some.
 * @throws {LoginFaultError} bad-name, no-role.
 */
export function identityOf(
  issuer: string,
  claims: Readonly<Record<string, unknown>>,
  { nameClaim, groupsClaim, roles }: IdentityRules,
): Identity {
  const { sub } = claims;
  if (typeof sub !== "string" || sub === "") {
    throw new LoginFaultError("refused", "The provider named no subject (claim sub)");
  }
  const { data: name, success } = userName.safeParse(claims[nameClaim]);
  if (!success) {
    throw new LoginFaultError("bad-name", `Claim ${nameClaim} of ${sub} is no name of a user`);
  }
  const groups = groupsOf(claims[groupsClaim]).filter((group) => group !== "*");
  const given = [...groups, "*"].map((group) => roles.get(group))
    .filter((role) => role !== undefined);
  if (given.length === 0) {
    throw new LoginFaultError("no-role", `No group of ${name} is in [oidc] roles`);
  }
  return { issuer, subject: sub, name, role: strongest(given) };
}

/**
 * Where the browser goes after the login: a path of this console; anything else leads to `/`, so
 * that a link to the login cannot lead to another site. Without a fragment.
 */
export function safeReturnPath(path: string | null): string {
  if (path === null || path.length > 1000) return "/";
  return /^\/(?![/\\])[\x21\x22\x24-\x5b\x5d-\x7e]*$/.test(path) ? path : "/";
}
