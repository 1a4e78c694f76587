// Shell. Resolvers that keep answers, in front of a name server of ours, for tests.

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Address } from "../../reactor/address.ts";
import { findProgram } from "./mariadb.ts";
import type { Processes } from "./processes.ts";

/** Starts unbound on a port of 127.0.0.1; it asks `upstream` for names below lars. */
export function startUnbound(processes: Processes, upstream: Address, port: number): void {
  const config = join(processes.directory, "unbound.conf");
  writeFileSync(
    config,
    `server:
  interface: 127.0.0.1@${port}
  do-daemonize: no
  do-not-query-localhost: no
  domain-insecure: "lars"
  chroot: ""
  username: ""
  pidfile: ""
  use-syslog: no
  directory: "${processes.directory}"
forward-zone:
  name: "lars."
  forward-addr: ${upstream.hostname}@${upstream.port}
`,
  );
  processes.spawnCommand("unbound", [findProgram("unbound") ?? "", "-d", "-c", config]);
}

/** The same with dnsmasq. */
export function startDnsmasq(processes: Processes, upstream: Address, port: number): void {
  processes.spawnCommand("dnsmasq", [
    ...[findProgram("dnsmasq") ?? "", "--keep-in-foreground", "--conf-file=/dev/null"],
    ...["--no-resolv", "--no-hosts", `--server=/lars/${upstream.hostname}#${upstream.port}`],
    ...[`--port=${port}`, "--listen-address=127.0.0.1", "--bind-interfaces", "--pid-file="],
    ...["--user=", "--no-negcache"],
  ]);
}
