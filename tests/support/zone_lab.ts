// Shell. Two zones in network namespaces, each with dns, reporter, agent, nodes and a caller, and the
// database at a third place; what lies between them can be cut. Needs root and ip, nft, socat.

import { execFileSync, spawnSync } from "node:child_process";
import { join } from "node:path";
import process from "node:process";
import { parseIpv4 } from "../../reactor/address.ts";
import { openStore, type Store } from "../../sql/mod.ts";
import { findProgram, type MariaDb, noPrivateServerReason, runAdmin } from "./mariadb.ts";
import { type Processes, PROJECT_ROOT, scriptCommand, type TestProcess } from "./processes.ts";
import { until } from "./until.ts";

const NODES = 3;
const NODE_PORT = 7000;
const MODULE = { modId: 1, cmdId: 1 };

/** The zones, and the third byte of the addresses in each. */
export const ZONES = ["east", "west"] as const;
export type Zone = (typeof ZONES)[number];

/** Why there can be no zones here; undefined: there can. */
export function noZonesReason(): string | undefined {
  if (process.getuid?.() !== 0) return "network namespaces need root";
  for (const program of ["ip", "nft", "socat"]) {
    if (findProgram(program) === undefined) return `${program} is not installed`;
  }
  const probe = `lars-probe-${process.pid}`;
  if (spawnSync("ip", ["netns", "add", probe]).status !== 0) {
    return "no network namespace can be made";
  }
  const rules = spawnSync("ip", ["netns", "exec", probe, "nft", "add", "table", "inet", "t"]);
  spawnSync("ip", ["netns", "del", probe]);
  return rules.status === 0 ? noPrivateServerReason() : "nft does not work in a namespace";
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
  store: Store | undefined;
  readonly #processes: Processes;
  readonly #server: MariaDb;
  readonly #tag = `lars${process.pid}`;

  constructor(processes: Processes, server: MariaDb) {
    this.#processes = processes;
    this.#server = server;
  }

  /** Makes the network, the database with a module of three nodes in each zone, and all services. */
  async start(): Promise<void> {
    this.#sh(`ip netns add ${this.#ns("gw")}`, `ip -n ${this.#ns("gw")} link set lo up`);
    this.#in("gw", "sysctl -qw net.ipv4.ip_forward=1");
    ZONES.forEach((zone, index) => this.#link(zone, index));
    const database = `zones_${process.pid}`;
    // Through its socket the services are on the host of the server.
    await runAdmin(this.#server.url, `CREATE DATABASE ${database}`);
    await runAdmin(this.#server.url, "CREATE USER zones@localhost IDENTIFIED BY 'pw'");
    await runAdmin(this.#server.url, `GRANT ALL ON ${database}.* TO zones@localhost`);
    this.store = await openStore(`${this.#server.url}/${database}`);
    await this.store.migrate();
    await this.store.editRoutes(
      ZONES.flatMap((zone) =>
        Array.from({ length: NODES }, (_, i) => ({
          ...{ op: "add" as const, ...MODULE, ip: parseIpv4(this.#nodeIp(zone, i)) },
          ...{ port: NODE_PORT, zone },
        }))
      ),
    );
    await this.store.setModules([{ ...MODULE, name: "zones", policy: '{"zoneAware":true}' }]);
    this.#spawn("gw", "sql", [
      ...["socat", "TCP-LISTEN:3306,fork,reuseaddr", `UNIX-CONNECT:${this.#server.socket}`],
    ]);
    const sqlOf = (zone: Zone): string =>
      `mysql://zones:pw@${this.#ip(zone, 254)}:3306/${database}`;
    await Promise.all(ZONES.map((zone) => this.#startZone(zone, sqlOf(zone))));
  }

  /** Ends the nodes of a zone, or starts them. */
  setNodes(zone: Zone, isUp: boolean): void {
    const parts = this.#parts(zone);
    if (isUp) parts.nodes = this.#spawnNodes(zone);
    else void parts.nodes?.kill9();
  }

  /** Loses what comes to a zone from outside of it, and what goes there as well. */
  cut(zone: Zone, ways: "in" | "both"): void {
    const hook = (chain: string, hookName: string, match: string): string[] => [
      `nft add chain inet cut ${chain} '{ type filter hook ${hookName} priority 0; }'`,
      `nft add rule inet cut ${chain} ${match} drop`,
    ];
    this.#in(zone, "nft add table inet cut");
    for (const line of hook("incoming", "input", "iifname eth0")) this.#in(zone, line);
    if (ways === "in") return;
    for (const line of hook("outgoing", "output", "oifname eth0")) this.#in(zone, line);
  }

  heal(zone: Zone): void {
    this.#in(zone, "nft delete table inet cut");
  }

  /** Seconds that the caller of a zone has told of so far. */
  seconds(zone: Zone): ZoneSecond[] {
    return this.#parts(zone).caller.stdout.split("\n").filter((line) => line.endsWith("}"))
      .map((line) => JSON.parse(line) as ZoneSecond);
  }

  /** Of the calls of some seconds the share that went to a zone. */
  shareTo(zone: Zone, seconds: readonly ZoneSecond[]): number {
    const prefix = this.#ip(zone, 0).replace(/0$/, "");
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
    for (const name of ["gw", ...ZONES]) spawnSync("ip", ["netns", "del", this.#ns(name)]);
  }

  #parts(zone: Zone): ZoneParts {
    const parts = this.zones.get(zone);
    if (parts === undefined) throw new Error(`Zone ${zone} has not been started`);
    return parts;
  }

  async #startZone(zone: Zone, sql: string): Promise<void> {
    const own = this.#ip(zone, 1);
    const service = (name: string, port: number): Promise<TestProcess> =>
      this.#spawn(zone, `${name} ${zone}`, [
        ...scriptCommand(`${name}/main.ts`),
        ...["--json", `--reactor-ip=${own}`, `--reactor-port=${port}`, `--store=${sql}`],
        ...["--auth-allow-insecure=1", "--metrics-port=0", "--dns-poll-interval=0.5"]
          .filter((flag) => name === "dns" || !flag.startsWith("--dns")),
      ]).untilReady();
    const nodes = this.#spawnNodes(zone);
    const [dns, reporter] = await Promise.all([service("dns", 7778), service("reporter", 7779)]);
    const list = (port: number): string =>
      ZONES.map((one) => `${this.#ip(one, 1)}:${port}@${one}`).join(",");
    const agent = await this.#spawn(zone, `agent ${zone}`, [
      ...[...scriptCommand("agent/main.ts"), "--json", "--agent-port=8888", `--agent-zone=${zone}`],
      ...[`--dnsserver-ip=${list(7778)}`, `--reporter-ip=${list(7779)}`, "--metrics-port=0"],
      ...[`--agent-cache-dir=${join(this.#processes.directory, `cache ${zone}`)}`],
      ...["--agent-server-return=1", "--agent-shared-table="],
    ]).untilReady();
    const caller = this.#spawn(zone, `caller ${zone}`, [
      ...scriptCommand("tests/support/zone_caller.ts"),
      ...["8888", String(MODULE.modId), String(MODULE.cmdId)],
    ]);
    this.zones.set(zone, { dns, reporter, agent, caller, nodes });
    await until(() => this.seconds(zone).length > 0, { timeoutMs: 30_000, what: "calls" });
  }

  /** One program that listens on the addresses of all nodes of a zone. */
  #spawnNodes(zone: Zone): TestProcess {
    const hosts = Array.from({ length: NODES }, (_, i) => this.#nodeIp(zone, i));
    const script = "import socket,select,sys\n" +
      "s=[socket.create_server((h,int(sys.argv[1])),backlog=256) for h in sys.argv[2:]]\n" +
      "while True:\n for one in select.select(s,[],[])[0]: one.accept()[0].close()\n";
    return this.#spawn(zone, `nodes ${zone}`, ["python3", "-c", script, `${NODE_PORT}`, ...hosts]);
  }

  #link(zone: Zone, index: number): void {
    const [gw, ns] = [this.#ns("gw"), this.#ns(zone)];
    this.#sh(
      `ip netns add ${ns}`,
      `ip link add eth0 netns ${ns} type veth peer name to${index} netns ${gw}`,
      `ip -n ${gw} addr add ${this.#ip(zone, 254)}/24 dev to${index}`,
      `ip -n ${gw} link set to${index} up`,
      `ip -n ${ns} link set lo up`,
      `ip -n ${ns} addr add ${this.#ip(zone, 1)}/24 dev eth0`,
      ...Array.from(
        { length: NODES },
        (_, i) => `ip -n ${ns} addr add ${this.#nodeIp(zone, i)}/24 dev eth0`,
      ),
      `ip -n ${ns} link set eth0 up`,
      `ip -n ${ns} route add default via ${this.#ip(zone, 254)}`,
    );
  }

  #ip(zone: Zone, last: number): string {
    return `10.99.${ZONES.indexOf(zone) + 1}.${last}`;
  }

  #nodeIp(zone: Zone, index: number): string {
    return this.#ip(zone, 11 + index);
  }

  #ns(name: string): string {
    return `${this.#tag}-${name}`;
  }

  #spawn(ns: string, name: string, argv: readonly string[]): TestProcess {
    const within = ["ip", "netns", "exec", this.#ns(ns)];
    return this.#processes.spawnCommand(name, [...within, ...argv], { cwd: PROJECT_ROOT });
  }

  #sh(...lines: readonly string[]): void {
    for (const line of lines) execFileSync("sh", ["-c", line], { stdio: "pipe" });
  }

  #in(ns: string, line: string): void {
    execFileSync("ip", ["netns", "exec", this.#ns(ns), "sh", "-c", line], { stdio: "pipe" });
  }
}
