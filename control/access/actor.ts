// Core. Who asks.

import type { AuditEntry } from "../../sql/console/console_store.ts";
import { type Role, ROLES } from "../../web/contract.ts";

/** Whoever makes a request or runs a command. */
export interface Actor {
  readonly name: string;
  readonly role: Role;
  readonly via: "cookie" | "token" | "command";
  /** Where the request came from; empty for commands. */
  readonly address: string;
  /** Hash of the session; empty for others. */
  readonly session: string;
  readonly csrfToken: string | null;
  readonly mustChangePassword: boolean;
  readonly expiresAtMs: number | null;
}

/** True when a role may do what another one may. */
export function mayAct(role: Role, needed: Role): boolean {
  return ROLES.indexOf(role) >= ROLES.indexOf(needed);
}

/** The lesser of two roles. */
export function lesserRole(a: Role, b: Role): Role {
  return mayAct(a, b) ? b : a;
}

/** An audit entry of something that was done. */
export function auditOf(
  actor: Pick<Actor, "name" | "address">,
  atMs: number,
  action: string,
  target = "",
  detail = "",
): AuditEntry {
  const { name: who, address } = actor;
  return { atMs, who, action, target, outcome: "done", detail, address };
}
