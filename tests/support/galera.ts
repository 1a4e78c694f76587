// Shell. A throwaway Galera cluster on one machine, for tests of what only a real one does.

import { existsSync } from "node:fs";
import { freePort } from "./free_port.ts";
import {
  findProgram,
  type MariaDb,
  noPrivateServerReason,
  PrivateServer,
  runAdmin,
} from "./mariadb.ts";
import { until } from "./until.ts";

/** Where distributions put the library. */
const PROVIDERS = ["/usr/lib/galera/libgalera_smm.so", "/usr/lib64/galera/libgalera_smm.so"];

/** A node that joins copies all data of another; a loaded machine takes its time for that. */
const JOIN_TIMEOUT_MS = 60_000;

/** Why no cluster can be started here, or undefined when it can. */
export function noGaleraReason(): string | undefined {
  const reason = noPrivateServerReason();
  if (reason !== undefined) return reason;
  if (!PROVIDERS.some(existsSync)) return "Galera is not installed (Debian: galera-4)";
  return ["rsync", "wsrep_sst_rsync"].filter((name) => findProgram(name) === undefined)
    .map((name) => `${name} is not installed`)[0];
}

/** Where a node of a cluster talks to the others, beside its port for clients. */
export interface GaleraPlace {
  readonly host: string;
  readonly group: number;
  readonly ist: number;
  readonly sst: number;
}

/** Options of one node of a cluster; the first one begins it. */
export function galeraOptions(index: number, places: readonly GaleraPlace[]): string[] {
  const { host, group, ist, sst } = places[index];
  const all = places.map((one) => `${one.host}:${one.group}`).join(",");
  return [
    "--init-file=", // The account is there already, and nobody may write before the node is ready.
    "--binlog-format=ROW",
    "--innodb-autoinc-lock-mode=2",
    "--innodb-flush-log-at-trx-commit=0",
    "--wsrep-on=ON",
    `--wsrep-provider=${PROVIDERS.find(existsSync)}`,
    "--wsrep-cluster-name=lars-test",
    `--wsrep-node-name=n${index + 1}`,
    `--bind-address=${host}`,
    `--wsrep-node-address=${host}:${group}`,
    "--wsrep-sst-method=rsync",
    `--wsrep-sst-receive-address=${host}:${sst}`,
    `--wsrep-cluster-address=gcomm://${all}`,
    `--wsrep-provider-options=base_port=${group};gmcast.listen_addr=tcp://${host}:${group};` +
    `ist.recv_addr=${host}:${ist};gcache.size=16M;evs.keepalive_period=PT0.3S;` +
    "evs.inactive_check_period=PT0.3S;evs.suspect_timeout=PT1.5S;evs.inactive_timeout=PT3S",
    ...(index === 0 ? ["--wsrep-new-cluster"] : []),
  ];
}

/** One value of SHOW GLOBAL STATUS. */
export async function statusOf(server: MariaDb, name: string): Promise<string> {
  const [row] = await runAdmin(server.url, `SHOW GLOBAL STATUS LIKE '${name}'`);
  return String(row?.Value ?? "");
}

/** Starts a cluster of so many nodes, runs `fn`, and ends all of them. */
export async function withGalera(
  count: number,
  fn: (nodes: readonly MariaDb[]) => Promise<void>,
): Promise<void> {
  const program = findProgram("mariadbd") ?? "";
  const installer = findProgram("mariadb-install-db") ?? "";
  const places: GaleraPlace[] = [];
  for (let index = 0; index < count; index++) {
    const [group, ist, sst] = [await freePort(), await freePort(), await freePort()];
    places.push({ host: "127.0.0.1", group, ist, sst });
  }
  const nodes: PrivateServer[] = [];
  try {
    for (let index = 0; index < count; index++) {
      const node = new PrivateServer(program, []);
      nodes.push(node);
      node.install(installer);
      if (index === 0) {
        // Makes the account; all others get it with the data.
        await node.start(await freePort());
        await node.shutDown();
      }
      node.options = galeraOptions(index, places);
      await node.start(await freePort());
      await until(async () => await statusOf(node, "wsrep_local_state") === "4", {
        timeoutMs: JOIN_TIMEOUT_MS,
        what: `node ${index + 1} to be synced`,
      });
    }
    await fn(nodes);
  } finally {
    for (const node of nodes.reverse()) await node.stop();
  }
}
