// Shell. The agent's links to dns and reporter: to which of several, and over what.

import type { DaemonContext } from "../daemon/daemon.ts";
import { ipv4OfInterfaces } from "../daemon/reachable_address.ts";
import { ChosenLink } from "../feed/chosen_link.ts";
import { SystemLookup } from "../feed/name_lookup.ts";
import type { LinkEvents } from "../session/link.ts";
import { SessionClient, type SessionClientOptions } from "../session/session_client.ts";
import type { AgentSettings } from "./config.ts";

/** Where an agent stands, and which service it wants. */
export interface AgentLinkOptions {
  readonly name: "dns" | "reporter";
  readonly settings: AgentSettings;
  readonly context: DaemonContext;
  /** Its first port, by which it differs from others of the same host. */
  readonly firstPort: number;
  /** What is done with the link. */
  readonly more: LinkEvents & Partial<SessionClientOptions>;
}

/** A link that is not started. Servers are tried in the order that `[agent] server_order` gives. */
export function openUpstream(options: AgentLinkOptions): ChosenLink {
  const { name, settings, context, firstPort, more } = options;
  const { clock, rng, log, software, secrets, transport } = context;
  const shared = { clock, rng, log, software, secrets, transport };
  const { serverOrder: order, zone, callerIp } = settings;
  const own = callerIp || ipv4OfInterfaces()[0] || "127.0.0.1";
  return new ChosenLink({
    ...more,
    ...{ name, clock, rng, log, lookup: new SystemLookup(clock) },
    servers: name === "dns" ? settings.dnsAddresses : settings.reporterAddresses,
    chooser: { id: `${own}:${firstPort}`, zone, order },
    returnMs: settings.serverReturnMs,
    ageMs: settings.connectionAgeMs,
    open: (addresses, events) =>
      new SessionClient({ ...shared, ...more, ...events, name, role: "agent", addresses }),
  });
}
