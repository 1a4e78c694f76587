// Shell. A console with registrars, and a discovery as a process, for tests of leases over REST.

import { Client, type ConsoleBench, withConsole } from "./console_bench.ts";
import { type TestProcess, withProcesses } from "./processes.ts";

/** A module that tests register nodes of by our own frames. */
export const NODES_OF_TEST = { modId: 8, cmdId: 1, ip: 0x7f000001 } as const;

/** Two registrars, and what they talk to. */
export interface RegistrarBench extends ConsoleBench {
  /** A token of the admin, titled `first`, and its secret. */
  readonly first: Client;
  readonly secret: string;
  /** A token of the operator. */
  readonly second: Client;
  readonly discoveryPort: number;
  startDiscovery(): Promise<void>;
  stopDiscovery(): Promise<void>;
}

/** Runs `fn` with a console and a discovery on one database. */
export function withRegistrars(
  fn: (bench: RegistrarBench) => Promise<void>,
  flags: readonly string[] = [],
): Promise<void> {
  return withConsole((bench) =>
    withProcesses(async (processes) => {
      let discovery: TestProcess | undefined;
      const startDiscovery = async (): Promise<void> => {
        const words = ["--reactor-port=0", `--store=${bench.url}`, "--metrics-port=0", ...flags];
        discovery = await processes.start("discovery", words);
      };
      await startDiscovery();
      const tokenOf = async (client: Client, title: string): Promise<string> => {
        const body = { title, role: "registrar", days: 1 };
        return (await client.get<{ secret: string }>("POST /tokens", { body })).secret;
      };
      const secret = await tokenOf(bench.clients.admin, "first");
      const clientOf = (token: string): Client =>
        new Client(bench.base, { Authorization: `Bearer ${token}` });
      await fn({
        ...bench,
        ...{ secret, first: clientOf(secret) },
        second: clientOf(await tokenOf(bench.clients.operator, "second")),
        discoveryPort: discovery?.port() ?? 0,
        startDiscovery,
        stopDiscovery: async () => void await discovery?.stop(),
      });
    })
  );
}
