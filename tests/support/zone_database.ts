// Shell. The database of two zones: one server at a third place, or a Galera cluster with a node in each
// zone and one between them.

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { freePort } from "./free_port.ts";
import { galeraOptions, statusOf } from "./galera.ts";
import { findProgram, type MariaDb, PrivateServer, runAdmin } from "./mariadb.ts";
import { type Processes, PROJECT_ROOT } from "./processes.ts";
import { until } from "./until.ts";
import type { Place, Zone, ZoneNetwork } from "./zone_network.ts";

const PORT = 3306;
/** Last byte of the address of a node of the cluster. */
export const SQL_LAST = 21;
/** A node that joins copies all data of another; a loaded machine takes its time for that. */
const JOIN_TIMEOUT_MS = 60_000;

/** What the zones share. */
export interface ZoneDatabase {
  /** Makes an empty database, reached from the zones of a network that is there. */
  open(network: ZoneNetwork, processes: Processes): Promise<void>;
  /** Url of it for the test itself, which is in no zone. */
  readonly ownUrl: string;
  /** Url of it for the services of a zone. */
  urlFor(zone: Zone): string;
  close(): Promise<void>;
}

/** A server of the test, reached through the gateway; whoever started it stops it. */
export class OneServer implements ZoneDatabase {
  readonly #server: MariaDb;
  readonly #name = `zones_${process.pid}`;
  #network: ZoneNetwork | undefined;

  constructor(server: MariaDb) {
    this.#server = server;
  }

  async open(network: ZoneNetwork, processes: Processes): Promise<void> {
    this.#network = network;
    const { url, socket } = this.#server;
    await makeDatabase(url, this.#name, "localhost");
    // Through its socket the services are on the host of the server.
    const words = ["socat", `TCP-LISTEN:${PORT},fork,reuseaddr`, `UNIX-CONNECT:${socket}`];
    processes.spawnCommand("sql", [...network.within("gw"), ...words], { cwd: PROJECT_ROOT });
  }

  get ownUrl(): string {
    return `${this.#server.url}/${this.#name}`;
  }

  urlFor(zone: Zone): string {
    return `mysql://zones:pw@${this.#network?.ip(zone, 254)}:${PORT}/${this.#name}`;
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

/** Three nodes: one in each zone, and one at the third place, with which a zone has the majority. */
export class ZoneCluster implements ZoneDatabase {
  readonly #nodes = new Map<Place, PrivateServer>();
  readonly #name = "zones";
  #network: ZoneNetwork | undefined;
  #ownPort = 0;

  async open(network: ZoneNetwork, processes: Processes): Promise<void> {
    this.#network = network;
    const program = findProgram("mariadbd") ?? "";
    const installer = findProgram("mariadb-install-db") ?? "";
    const order: readonly Place[] = ["mid", "east", "west"];
    const hosts = order.map((place) => network.ip(place, SQL_LAST));
    const places = hosts.map((host) => ({ host, group: 4567, ist: 4568, sst: 4444 }));
    // The programs that copy the data ask for the name of whoever connects, which takes seconds else.
    const names = join(processes.directory, "hosts");
    writeFileSync(names, network.hosts);
    const script = 'mount --bind "$1" /etc/hosts && shift && exec "$@"';
    for (const [index, place] of order.entries()) {
      const words = [...network.within(place), "sh", "-c", script, "sh", names];
      const node = new PrivateServer(program, [], words);
      this.#nodes.set(place, node);
      node.install(installer);
      if (index === 0) {
        // Makes the accounts; all others get them with the data.
        await node.start(PORT);
        await makeDatabase(node.url, this.#name, "%");
        await node.shutDown();
      }
      node.options = galeraOptions(index, places);
      await node.start(PORT);
      await until(async () => await statusOf(node, "wsrep_local_state") === "4", {
        ...{ timeoutMs: JOIN_TIMEOUT_MS, what: `the node of ${place} to be synced` },
      });
    }
    // The test is in none of the places, and reaches one that is never cut off.
    this.#ownPort = await freePort();
    processes.spawnCommand("sql", [
      ...["socat", `TCP-LISTEN:${this.#ownPort},bind=127.0.0.1,fork,reuseaddr`],
      `UNIX-CONNECT:${this.#node("mid").socket}`,
    ]);
    await until(() => runAdmin(this.ownUrl, "SELECT 1").then(() => true, () => false), {
      what: "the way to the node between the zones",
    });
  }

  get ownUrl(): string {
    return `mysql://lars:pw@127.0.0.1:${this.#ownPort}/${this.#name}`;
  }

  /** The node of the zone first, then the one between the zones. */
  urlFor(zone: Zone): string {
    const other = zone === "east" ? "west" : "east";
    const hosts = ([zone, "mid", other] as const)
      .map((place) => `${this.#network?.ip(place, SQL_LAST)}:${PORT}`);
    return `mysql://zones:pw@${hosts.join(",")}/${this.#name}`;
  }

  /** A value of SHOW GLOBAL STATUS of the node of a place, also of one that is cut off. */
  status(place: Place, name: string): Promise<string> {
    return statusOf(this.#node(place), name);
  }

  /** Addresses of the nodes of all modules from a number on, as one node of the cluster has them. */
  async routes(place: Place, fromModId: number): Promise<Set<string>> {
    const sql = `SELECT modid, serverip FROM ${this.#name}.RouteData WHERE modid >= ${fromModId}`;
    const rows = await runAdmin(this.#node(place).url, sql);
    return new Set(rows.map(({ modid, serverip }) => `${modid} ${serverip}`));
  }

  async close(): Promise<void> {
    for (const node of [...this.#nodes.values()].reverse()) await node.stop();
  }

  #node(place: Place): PrivateServer {
    const node = this.#nodes.get(place);
    if (node === undefined) throw new Error(`The node of ${place} has not been started`);
    return node;
  }
}

async function makeDatabase(adminUrl: string, name: string, from: string): Promise<void> {
  await runAdmin(
    adminUrl,
    `CREATE DATABASE ${name}`,
    `CREATE USER zones@'${from}' IDENTIFIED BY 'pw'`,
    `GRANT ALL ON ${name}.* TO zones@'${from}'`,
  );
}
