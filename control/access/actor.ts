// Core. Who asks.

import type { AuditEntry } from "../../sql/console/console_store.ts";

/** Roles of people, weakest first; each may do what those before it may. */
export const ROLES = ["viewer", "operator", "admin"] as const;

/** What a token may be; a `registrar` registers nodes, and may look at nothing. */
export type Role = (typeof ROLES)[number] | "registrar";

/** Whoever makes a request or runs a command. */
export interface Actor {
  readonly name: string;
  readonly role: Role;
  readonly via: "cookie" | "token" | "command";
  /** Title of the token, if there is one. */
  readonly title?: string;
  /** Where the request came from; empty for commands. */
  readonly address: string;
  /** Hash of the session; empty for others. */
  readonly session: string;
  readonly csrfToken: string | null;
  readonly mustChangePassword: boolean;
  /** True when a one-time link let them in: a new password then needs no old one. */
  readonly isByLink: boolean;
  /** True for who logs in by a provider, and so has no password here. */
  readonly isByProvider?: boolean;
  readonly expiresAtMs: number | null;
}

/** True when a role may do what another one may. */
export function mayAct(role: Role, needed: Role): boolean {
  if (role === "registrar") return needed === "registrar";
  if (needed === "registrar") return role !== "viewer";
  return ROLES.indexOf(role) >= ROLES.indexOf(needed);
}

/** The lesser of two roles; undefined when neither may do what the other may. */
export function lesserRole(a: Role, b: Role): Role | undefined {
  if (mayAct(a, b)) return b;
  return mayAct(b, a) ? a : undefined;
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

/** Who works on the database itself; the name is that of the user of the machine. */
export const COMMAND_ACTOR: Actor = {
  name: "",
  role: "admin",
  via: "command",
  address: "",
  session: "",
  csrfToken: null,
  mustChangePassword: false,
  isByLink: false,
  expiresAtMs: null,
};
