// Shell. Every service of the project by its name, for scripts that write about all of them.

import type { DaemonDefinition } from "../daemon/daemon.ts";

/** The definition of each service: `dns`, `reporter`, and so on. */
export async function daemonDefinitions(): Promise<Record<string, DaemonDefinition>> {
  const [dns, reporter, agent, web, discovery, relay, exports] = await Promise.all([
    import("../dns/service.ts"),
    import("../reporter/service.ts"),
    import("../agent/service.ts"),
    import("../web/service.ts"),
    import("../discovery/service.ts"),
    import("../relay/service.ts"),
    import("../export/service.ts"),
  ]);
  return {
    dns: dns.dnsDaemon,
    reporter: reporter.reporterDaemon,
    agent: agent.agentDaemon,
    web: web.webDaemon,
    discovery: discovery.discoveryDaemon,
    relay: relay.relayDaemon,
    export: exports.exportDaemon,
  } as Record<string, DaemonDefinition>;
}
