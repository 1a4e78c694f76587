// Shell. A console, dns, an agent and an export, with followers of every kind that is installed and nodes
// that they call, for measurements of edits.

import { writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { join } from "node:path";
import { Client, startTestConsole } from "../support/console_bench.ts";
import { addConsoleEditor } from "../support/console_token.ts";
import { sqliteTestStore } from "../support/fleet.ts";
import { freePort, freePorts } from "../support/free_port.ts";
import { findGrpcCore, findGrpcJs } from "../support/grpc_programs.ts";
import { LinePeer, xdsBootstrap } from "../support/line_peer.ts";
import { findProgram } from "../support/mariadb.ts";
import { type Processes, type TestProcess, withProcesses } from "../support/processes.ts";
import { startDnsmasq } from "../support/resolvers.ts";
import {
  askingClient,
  type Follower,
  grpcProgram,
  haproxyState,
  httpDiscovery,
  httpProxy,
  inProcessClient,
  nameAsker,
  tableClient,
  writtenFile,
} from "./followers.ts";

/** Nodes of each of the two modules. */
export const LAB_NODES = 5;
/** Weight of each of them at first. */
export const LAB_WEIGHT = 100;
const LOOPBACK = "127.0.0.1";
const NGINX_INTERVAL_S = 1;
const TTL_S = 1;

/** HTTP nodes that answer with their port, and gRPC nodes that answer with their number. */
export interface LabNodes {
  readonly http: readonly number[];
  readonly grpc: readonly number[];
}

type Started = Map<"dns" | "export", TestProcess>;

/** Everything that runs. */
export interface EditLab {
  readonly console: Client;
  readonly nodes: LabNodes;
  readonly followers: readonly Follower[];
  readonly missing: readonly string[];
  /** Kills dns and export; both are ready again when it is over. */
  killAndStart(): Promise<void>;
}

function startHttpNode(): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer((request, response) => {
      response.end(String(request.socket.localPort));
    });
    server.once("error", reject);
    server.listen(0, LOOPBACK, () => resolve(server));
  });
}

function portOf(server: Server): number {
  const address = server.address();
  return typeof address === "object" && address !== null ? address.port : 0;
}

const HAPROXY_CONFIG = `
defaults
  mode http
  timeout connect 1s
  timeout client 5s
  timeout server 5s
backend be
  balance roundrobin
`;

/** Starts HAProxy and nginx where they are installed. */
async function startProxies(
  processes: Processes,
): Promise<{ flags: string[]; followers: Follower[]; missing: string[] }> {
  const [haproxy, nginx] = [findProgram("haproxy"), findProgram("nginx")];
  const at = (name: string): string => join(processes.directory, name);
  const found = { flags: [] as string[], followers: [] as Follower[], missing: [] as string[] };
  if (haproxy === undefined) found.missing.push("HAProxy: not installed");
  else {
    const socket = at("haproxy.sock");
    writeFileSync(
      at("haproxy.cfg"),
      `global\n  stats socket ${socket} level admin${HAPROXY_CONFIG}`,
    );
    processes.spawnCommand("haproxy", [haproxy, "-db", "-f", at("haproxy.cfg")]);
    found.flags.push("--haproxy-socket", socket, "--haproxy-backends", "be=web");
    found.followers.push(haproxyState(socket, "be"));
  }
  if (nginx === undefined) found.missing.push("nginx: not installed");
  else {
    const front = await freePort();
    writeFileSync(at("lars.conf"), "upstream web { server 127.0.0.1:1 down; }\n");
    writeFileSync(
      at("nginx.conf"),
      `daemon off;\npid ${at("nginx.pid")};\nerror_log ${at("error.log")};\nevents {}\n` +
        `http {\n  access_log off;\n  include ${at("lars.conf")};\n  server {\n` +
        `    listen ${LOOPBACK}:${front};\n    location / { proxy_pass http://web; }\n  }\n}\n`,
    );
    // Its workers would keep the pipes of this program open after it is killed.
    const quiet = ["sh", "-c", 'exec "$@" >/dev/null 2>&1', "sh"];
    processes.spawnCommand("nginx", [...quiet, nginx, "-c", at("nginx.conf")]);
    found.flags.push("--nginx-out", at("lars.conf"), "--nginx-upstreams", "web=web");
    found.flags.push("--nginx-reload", `${nginx} -c ${at("nginx.conf")} -s reload`);
    found.flags.push("--nginx-interval", String(NGINX_INTERVAL_S));
    found.followers.push(httpProxy("nginx", front, {
      allowedMs: NGINX_INTERVAL_S * 1_000,
      why: `[nginx] interval ${NGINX_INTERVAL_S} s`,
    }));
  }
  return found;
}

/** A resolver that keeps answers, in front of the name server; undefined: not installed. */
async function startResolver(
  processes: Processes,
  namePort: number,
): Promise<Follower | undefined> {
  if (findProgram("dnsmasq") === undefined) return undefined;
  const port = await freePort();
  startDnsmasq(processes, { hostname: LOOPBACK, port: namePort }, port);
  const why = `ttl ${TTL_S} s`;
  return { ...nameAsker(port, "web.lars"), name: "dnsmasq", allowedMs: TTL_S * 1_000, why };
}

/** gRPC programs: nodes, and callers of each kind that is installed. */
class GrpcPrograms {
  readonly nodes: LinePeer;
  readonly missing: readonly string[];
  readonly #callers: readonly (readonly [name: string, peer: LinePeer])[];

  constructor(xdsPort: number) {
    const env = xdsBootstrap(xdsPort);
    const all = [["gRPC, JavaScript", findGrpcJs()], ["gRPC, C++", findGrpcCore()]] as const;
    this.nodes = new LinePeer(findGrpcJs() ?? [], env);
    this.#callers = all.flatMap(([name, program]) =>
      program === undefined ? [] : [[name, new LinePeer(program, env)] as const]
    );
    this.missing = all.flatMap(([name, program]) =>
      program === undefined ? [`${name}: not installed`] : []
    );
  }

  followers(ports: readonly number[]): Follower[] {
    return this.#callers.map(([name, peer]) => grpcProgram(name, peer, ports));
  }

  close(): void {
    this.nodes.close();
    for (const [, peer] of this.#callers) peer.close();
  }
}

async function addModules(console: Client, { http, grpc }: LabNodes): Promise<void> {
  const add = (modId: number, port: number): unknown => ({
    ...{ op: "add", modId, cmdId: 1, ip: LOOPBACK, port, weight: LAB_WEIGHT },
  });
  const edits = [...http.map((port) => add(1, port)), ...grpc.map((port) => add(2, port))];
  await console.get("POST /changes", { body: { edits } });
}

/** Ports and files by which everything finds everything. */
interface Places {
  readonly dnsPort: number;
  readonly dnsMetrics: number;
  readonly agentPort: number;
  readonly xdsPort: number;
  readonly namePort: number;
  readonly template: string;
  readonly file: string;
}

async function choosePlaces(processes: Processes): Promise<Places> {
  const [dnsPort, dnsMetrics, xdsPort, namePort] = await Promise.all(
    [freePort(), freePort(), freePort(), freePort()],
  );
  const at = (name: string): string => join(processes.directory, name);
  writeFileSync(at("template"), "{{#modules}}{{#up}}{{port}} {{weight}}\n{{/up}}{{/modules}}");
  return {
    ...{ dnsPort, dnsMetrics, xdsPort, namePort, agentPort: await freePorts(3) },
    ...{ template: at("template"), file: at("nodes.txt") },
  };
}

/** Starts dns, agent and export; a function that starts dns or export again. */
async function startServices(
  processes: Processes,
  url: string,
  places: Places,
  exportFlags: readonly string[],
): Promise<() => Promise<void>> {
  const { dnsPort, dnsMetrics, agentPort, xdsPort, namePort, template, file } = places;
  const dnsserver = ["--dnsserver-ip", LOOPBACK, "--dnsserver-port", String(dnsPort)];
  const reporter = ["--reporter-port", String(await freePort())];
  const at = (name: string): string => join(processes.directory, name);
  const flags = {
    dns: ["--store-url", url, "--reactor-port", String(dnsPort), "--metrics-port", `${dnsMetrics}`],
    export: [
      ...[...dnsserver, ...reporter, "--metrics-port", "0", "--export-cache-dir", at("cache")],
      ...["--xds-port", String(xdsPort), "--nameserver-port", String(namePort)],
      ...["--file-template", template, "--file-out", file, "--file-modules", "web"],
      ...["--file-interval", "0", ...exportFlags],
    ],
  };
  const running: Started = new Map();
  const start = async (name: "dns" | "export"): Promise<void> => {
    running.set(name, await processes.start(name, flags[name]));
  };
  await start("dns");
  await processes.start("agent", [
    ...[...dnsserver, ...reporter, "--metrics-port", "0", "--agent-port", String(agentPort)],
  ]);
  await start("export");
  return async () => {
    await Promise.all([...running.values()].map((one) => one.kill9()));
    await Promise.all([start("dns"), start("export")]);
  };
}

/** Starts everything; `body` runs while it does. */
export async function withEditLab(body: (lab: EditLab) => Promise<void>): Promise<void> {
  await withProcesses(async (processes) => {
    const { store, url } = await sqliteTestStore(processes);
    const places = await choosePlaces(processes);
    const grpc = new GrpcPrograms(places.xdsPort);
    const servers = await Promise.all(Array.from({ length: LAB_NODES }, startHttpNode));
    const service = await startTestConsole(url);
    const followers: Follower[] = [];
    try {
      const nodes = { http: servers.map(portOf), grpc: [] as number[] };
      for (let i = 0; i < LAB_NODES; i++) nodes.grpc.push((await grpc.nodes.ask(`node ${i}`)).port);
      const headers = { Authorization: `Bearer ${await addConsoleEditor(store)}` };
      const console = new Client(`http://${service.addresses[0]}`, headers);
      await addModules(console, nodes);
      await store.setModules([{ modId: 1, cmdId: 1, name: "web" }, {
        ...{ modId: 2, cmdId: 1, name: "rpc" },
      }]);
      const proxies = await startProxies(processes);
      const killAndStart = await startServices(processes, url, places, proxies.flags);
      const table = await tableClient(places.agentPort);
      const resolver = await startResolver(processes, places.namePort);
      followers.push(
        askingClient(places.agentPort),
        ...table === undefined ? [] : [table],
        inProcessClient(places.agentPort),
        ...grpc.followers(nodes.grpc),
        ...proxies.followers,
        nameAsker(places.namePort, "web.lars"),
        ...resolver === undefined ? [] : [resolver],
        writtenFile(places.file, { allowedMs: 0, why: "" }),
        httpDiscovery(places.dnsMetrics),
      );
      const missing = [...proxies.missing, ...grpc.missing];
      if (table === undefined) missing.push("agent, table: none on this runtime");
      if (resolver === undefined) missing.push("dnsmasq: not installed");
      await body({ console, nodes, followers, missing, killAndStart });
    } finally {
      for (const follower of followers) await follower.close();
      grpc.close();
      await service.stop();
      for (const server of servers) server.close();
      await store.close();
    }
  });
}
