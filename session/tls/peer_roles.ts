// Core. Which roles a certificate must hold for what: the one table of who may do what over TLS.

import type { PeerCertificate } from "../../reactor/runtime/types.ts";
import { MessageId } from "../../proto/message_ids.ts";

/** Before a role in a name of a certificate that is a resource identifier: `lars:role:agent`. */
export const ROLE_PREFIX = "lars:role:";

/** Roles that a certificate can hold, and what each is for. */
export const CERTIFICATE_ROLES = {
  agent: "an agent: asks dns, reports, feeds in-process clients of its host",
  dns: "is believed to be dns",
  reporter: "is believed to be the reporter",
  discovery: "is believed to be discovery",
  relay: "is believed to be a relay",
  registrar: "registers nodes with discovery",
  editor: "tells dns of edits and asks it about its agents: console, discovery, lars",
  export: "follows routes for other programs",
  client: "asks dns, agent or relay, and reports, as the program that makes the calls",
  worker: "answers requests of a relay",
} as const;

/** Any role of {@linkcode CERTIFICATE_ROLES}. */
export type CertificateRole = keyof typeof CERTIFICATE_ROLES;

/** What a peer says it is in Hello, and the role that lets it; any other needs the role it says. */
const NEEDED: ReadonlyMap<string, CertificateRole> = new Map([
  ["node", "registrar"],
  ["writer", "editor"],
  ["tool", "editor"],
  ["web", "editor"],
]);

/** What the peers of each service may be. A service that is not here takes every known role. */
const PEERS: Readonly<Record<string, readonly string[]>> = {
  dns: ["agent", "client", "export", "writer", "tool"],
  reporter: ["agent", "client", "export"],
  discovery: ["node", "tool"],
  relay: ["client", "worker", "tool"],
  agent: ["client", "tool"],
};

/** Messages that only peers of some kinds may send; of any other kind they are refused. */
const SENDERS: ReadonlyMap<number, readonly string[]> = new Map([
  [MessageId.RouteChanged, ["writer", "tool"]],
  [MessageId.NodeUseRequest, ["writer", "tool"]],
  [MessageId.ExplainRequest, ["writer", "tool"]],
  [MessageId.FleetSubscribe, ["export"]],
  [MessageId.NodesOut, ["agent"]],
  [MessageId.ExportStatus, ["export"]],
  [MessageId.AgentStatus, ["agent"]],
  [MessageId.RelayWork, ["worker"]],
  [MessageId.RelayAsk, ["tool"]],
]);

/** The role that a certificate must hold for one that says it is `said`. */
export function neededRole(said: string): string {
  return NEEDED.get(said) ?? said;
}

/** True when a certificate holds a role. */
export function holdsRole({ uris }: PeerCertificate, role: string): boolean {
  return uris.includes(ROLE_PREFIX + role);
}

/** Roles that a certificate holds, known here or not. */
export function rolesOf({ uris }: PeerCertificate): string[] {
  return uris.filter((uri) => uri.startsWith(ROLE_PREFIX))
    .map((uri) => uri.slice(ROLE_PREFIX.length));
}

/**
 * True when a service takes a peer with this certificate for what it says it is.
 *
 * @param service What the service says it is itself.
 */
export function mayBe(service: string, said: string, certificate: PeerCertificate): boolean {
  const kinds = PEERS[service];
  return (kinds === undefined || kinds.includes(said)) &&
    holdsRole(certificate, neededRole(said));
}

/**
 * True when a peer that is `said` may send a message. Those of the original are for whoever the
 * service takes at all.
 */
export function maySend(said: string, msgId: number): boolean {
  return SENDERS.get(msgId)?.includes(said) ?? true;
}
