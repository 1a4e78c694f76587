// Shell. Two zones in network namespaces, each with dns, reporter, agent, nodes and a caller, and a database;
// what lies between them can be cut. Needs root and ip, nft, socat.

import { join } from "node:path";
import { parseIpv4 } from "../../reactor/address.ts";
import { openStore, type Store } from "../../sql/mod.ts";
import { findProgram, noPrivateServerReason } from "./mariadb.ts";
import { type Processes, PROJECT_ROOT, scriptCommand, type TestProcess } from "./processes.ts";
import { until } from "./until.ts";
import { SQL_LAST, type ZoneDatabase } from "./zone_database.ts";
import { noNetworkReason, type Zone, ZoneNetwork, ZONES } from "./zone_network.ts";

const NODES = 3;
const NODE_PORT = 7000;
const MODULE = { modId: 1, cmdId: 1 };
/** Last bytes of the addresses of the services of a zone, and of its first node. */
const SERVICE_LAST = 1;
const NODE_LAST = 11;
const DNS_PORT = 7778;
const REPORTER_PORT = 7779;

/** Why there can be no zones here; undefined: there can. */
export function noZonesReason(): string | undefined {
  if (findProgram("socat") === undefined) return "socat is not installed";
  return noNetworkReason() ?? noPrivateServerReason();
}

/** What a caller did in a second. */
export interface ZoneSecond {
  readonly asked: number;
  /** Questions to the agent without a node. */
  readonly unanswered: number;
  /** Calls that went well, by node. */
  readonly calls: Readonly<Record<string, number>>;
  readonly failed: number;
}

/** One zone. */
export interface ZoneParts {
  dns: TestProcess;
  reporter: TestProcess;
  agent: TestProcess;
  caller: TestProcess;
  nodes: TestProcess | undefined;
}

/** The lab; `close` takes the namespaces away, the processes end with the test. */
export class ZoneLab {
  readonly zones = new Map<Zone, ZoneParts>();
  readonly network = new ZoneNetwork();
  store: Store | undefined;
  readonly #processes: Processes;
  readonly #database: ZoneDatabase;

  constructor(processes: Processes, database: ZoneDatabase) {
    this.#processes = processes;
    this.#database = database;
  }

  /** Makes the network, the database with a module of three nodes in each zone, and all services. */
  async start(): Promise<void> {
    const nodes = Array.from({ length: NODES }, (_, index) => NODE_LAST + index);
    this.network.make([SERVICE_LAST, SQL_LAST, ...nodes]);
    await this.#database.open(this.network, this.#processes);
    this.store = await openStore(this.#database.ownUrl);
    await this.store.migrate();
    await this.store.editRoutes(
      ZONES.flatMap((zone) =>
        nodes.map((last) => ({
          ...{ op: "add" as const, ...MODULE, ip: parseIpv4(this.network.ip(zone, last)) },
          ...{ port: NODE_PORT, zone },
        }))
      ),
    );
    await this.store.setModules([{ ...MODULE, name: "zones", policy: '{"zoneAware":true}' }]);
    await Promise.all(ZONES.map((zone) => this.#startZone(zone)));
  }

  /** Starts a script of this project in a zone. */
  spawnScript(zone: Zone, name: string, script: string, args: readonly string[]): TestProcess {
    return this.#spawn(zone, `${name} ${zone}`, [...scriptCommand(script), ...args]);
  }

  /** Where the dns of a zone listens. */
  dnsAddress(zone: Zone): { readonly hostname: string; readonly port: number } {
    return { hostname: this.network.ip(zone, SERVICE_LAST), port: DNS_PORT };
  }

  /** Ends the nodes of a zone, or starts them. */
  setNodes(zone: Zone, isUp: boolean): void {
    const parts = this.#parts(zone);
    if (isUp) parts.nodes = this.#spawnNodes(zone);
    else void parts.nodes?.kill9();
  }

  /** Seconds that the caller of a zone has told of so far. */
  seconds(zone: Zone): ZoneSecond[] {
    return this.#parts(zone).caller.stdout.split("\n").filter((line) => line.endsWith("}"))
      .map((line) => JSON.parse(line) as ZoneSecond);
  }

  /** Of the calls of some seconds the share that went to a zone. */
  shareTo(zone: Zone, seconds: readonly ZoneSecond[]): number {
    const prefix = this.network.ip(zone, 0).replace(/0$/, "");
    let all = 0;
    let there = 0;
    for (const [name, count] of seconds.flatMap(({ calls }) => Object.entries(calls))) {
      all += count;
      if (name.startsWith(prefix)) there += count;
    }
    return all === 0 ? 0 : there / all;
  }

  async close(): Promise<void> {
    await this.store?.close();
    await this.#database.close();
    this.network.close();
  }

  #parts(zone: Zone): ZoneParts {
    const parts = this.zones.get(zone);
    if (parts === undefined) throw new Error(`Zone ${zone} has not been started`);
    return parts;
  }

  async #startZone(zone: Zone): Promise<void> {
    const own = this.network.ip(zone, SERVICE_LAST);
    const sql = this.#database.urlFor(zone);
    const service = (name: string, port: number): Promise<TestProcess> =>
      this.#spawn(zone, `${name} ${zone}`, [
        ...scriptCommand(`${name}/main.ts`),
        ...["--json", `--reactor-ip=${own}`, `--reactor-port=${port}`, `--store=${sql}`],
        ...["--auth-allow-insecure=1", "--metrics-port=0", "--dns-poll-interval=0.5"]
          .filter((flag) => name === "dns" || !flag.startsWith("--dns")),
      ]).untilReady();
    const nodes = this.#spawnNodes(zone);
    const [dns, reporter] = await Promise.all([
      service("dns", DNS_PORT),
      service("reporter", REPORTER_PORT),
    ]);
    const list = (port: number): string =>
      ZONES.map((one) => `${this.network.ip(one, SERVICE_LAST)}:${port}@${one}`).join(",");
    const agent = await this.#spawn(zone, `agent ${zone}`, [
      ...[...scriptCommand("agent/main.ts"), "--json", "--agent-port=8888", `--agent-zone=${zone}`],
      ...[
        `--dnsserver-ip=${list(DNS_PORT)}`,
        `--reporter-ip=${list(REPORTER_PORT)}`,
        "--metrics-port=0",
      ],
      ...[`--agent-cache-dir=${join(this.#processes.directory, `cache ${zone}`)}`],
      ...["--agent-server-return=1", "--agent-shared-table="],
    ]).untilReady();
    const words = ["8888", String(MODULE.modId), String(MODULE.cmdId)];
    const caller = this.spawnScript(zone, "caller", "tests/support/zone_caller.ts", words);
    this.zones.set(zone, { dns, reporter, agent, caller, nodes });
    await until(() => this.seconds(zone).length > 0, { timeoutMs: 30_000, what: "calls" });
  }

  /** One program that listens on the addresses of all nodes of a zone. */
  #spawnNodes(zone: Zone): TestProcess {
    const hosts = Array.from({ length: NODES }, (_, i) => this.network.ip(zone, NODE_LAST + i));
    const script = "import socket,select,sys\n" +
      "s=[socket.create_server((h,int(sys.argv[1])),backlog=256) for h in sys.argv[2:]]\n" +
      "while True:\n for one in select.select(s,[],[])[0]: one.accept()[0].close()\n";
    return this.#spawn(zone, `nodes ${zone}`, ["python3", "-c", script, `${NODE_PORT}`, ...hosts]);
  }

  #spawn(zone: Zone, name: string, argv: readonly string[]): TestProcess {
    const words = [...this.network.within(zone), ...argv];
    return this.#processes.spawnCommand(name, words, { cwd: PROJECT_ROOT });
  }
}
