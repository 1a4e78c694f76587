// Goal: each real program goes on, and ends up right, while dns and exports are killed and started
// anew, and a node dies, drains, comes back and gets another weight meanwhile.
// Method: dns and export as processes that get SIGKILL; HAProxy, nginx, gRPC clients of JavaScript and of
// C++ over xDS, dig, and dig behind unbound and dnsmasq beside them; nodes that say their number. What happened, in which order, is the table below.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { createServer, get, type Server } from "node:http";
import { join } from "node:path";
import { test } from "node:test";
import { fleetCacheFormat } from "../export/fleet_cache.ts";
import type { RouteEdit, Store } from "../sql/mod.ts";
import { sqliteTestStore } from "./support/fleet.ts";
import { freePort } from "./support/free_port.ts";
import { findGrpcCore, findGrpcJs } from "./support/grpc_programs.ts";
import { LinePeer, xdsBootstrap } from "./support/line_peer.ts";
import { findProgram } from "./support/mariadb.ts";
import { type Processes, type TestProcess, withProcesses } from "./support/processes.ts";
import { startDnsmasq, startUnbound } from "./support/resolvers.ts";
import { until } from "./support/until.ts";

const NEEDED = ["node", "haproxy", "nginx", "dig"];
const missing = NEEDED.filter((name) => findProgram(name) === undefined);
const skip = missing.length > 0 ? `${missing.join(", ")} must be installed` : false;

const WEB = { modId: 1, cmdId: 1 };
const RPC = { modId: 2, cmdId: 1 };
const LOOPBACK = 0x7f000001;
/** Calls from which shares are counted. */
const CALLS = 24;

/** Which nodes answer, by their number, to a caller of each kind. */
type Way = (calls: number) => Promise<Map<number, number>>;

interface Bench {
  readonly store: Store;
  readonly ways: ReadonlyMap<string, Way>;
  readonly httpPorts: readonly number[];
  readonly grpcPorts: readonly number[];
  /** Ends a program with SIGKILL, or starts it anew. */
  kill(name: "dns" | "export"): Promise<void>;
  start(name: "dns" | "export"): Promise<void>;
  /** Weights of all nodes that the export has on disk. */
  keptWeights(): number[];
  /** Ends a node, as its process would, or brings it back. */
  stopNode(index: number): Promise<void>;
  startNode(index: number): Promise<void>;
}

function startHttpNode(index: number, port: number): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer((_request, response) => response.end(String(index)));
    server.once("error", reject);
    server.listen(port, "127.0.0.1", () => resolve(server));
  });
}

function portOf(server: Server): number {
  const address = server.address();
  return typeof address === "object" && address !== null ? address.port : 0;
}

function byHttp(port: number): Way {
  const once = (): Promise<number> =>
    new Promise((resolve) => {
      get({ host: "127.0.0.1", port, agent: false, timeout: 5_000 }, (response) => {
        let text = "";
        response.on("data", (chunk) => (text += chunk));
        response.on("end", () => resolve(response.statusCode === 200 ? Number(text) : -1));
      }).on("error", () => resolve(-1)).on("timeout", () => resolve(-1));
    });
  return async (calls) => {
    const counts = new Map<number, number>();
    for (let i = 0; i < calls; i++) {
      const by = await once();
      counts.set(by, (counts.get(by) ?? 0) + 1);
    }
    return counts;
  };
}

/** By dig, from the weights of SRV: as if somebody called by them. */
function byNames(port: number, httpPorts: readonly number[]): Way {
  return (calls) =>
    new Promise((resolve) => {
      const argv = ["@127.0.0.1", "-p", String(port), "+short", "+tries=1", "+time=2"];
      execFile("dig", [...argv, "web.lars", "SRV"], { encoding: "utf8" }, (_error, stdout) => {
        const rows = stdout.split("\n").map((line) => line.split(" ")).filter((row) =>
          row.length === 4
        );
        const total = rows.reduce((sum, [, weight]) => sum + Number(weight), 0);
        resolve(
          new Map(rows.map(([, weight, own]) => [
            httpPorts.indexOf(Number(own)),
            Math.round(Number(weight) / total * calls),
          ])),
        );
      });
    });
}

/** By the gRPC client of the tests of xDS. */
function byGrpc(peer: LinePeer): Way {
  return async (calls) => {
    const counts = await peer.ask(`call rpc ${calls}`);
    return new Map(
      Object.entries(counts).map(([by, count]) => [/^\d+$/.test(by) ? Number(by) : -1, count]),
    );
  };
}

interface Proxies {
  readonly haproxySocket: string;
  readonly nginxFile: string;
  readonly reload: string;
  readonly ways: readonly (readonly [string, Way])[];
}

async function startProxies(processes: Processes): Promise<Proxies> {
  const [haproxyFront, nginxFront] = [await freePort(), await freePort()];
  const at = (name: string): string => join(processes.directory, name);
  writeFileSync(
    at("haproxy.cfg"),
    `global
  stats socket ${at("haproxy.sock")} level admin
defaults
  mode http
  timeout connect 1s
  timeout client 5s
  timeout server 5s
  retries 3
  option redispatch
frontend front
  bind 127.0.0.1:${haproxyFront}
  default_backend be
backend be
  balance roundrobin
`,
  );
  writeFileSync(at("lars.conf"), "upstream web { server 127.0.0.1:1 down; }\n");
  writeFileSync(
    at("nginx.conf"),
    `daemon off;
pid ${at("nginx.pid")};
error_log ${at("error.log")};
events {}
http {
  access_log off;
  include ${at("lars.conf")};
  server {
    listen 127.0.0.1:${nginxFront};
    location / { proxy_pass http://web; proxy_connect_timeout 1s; }
  }
}
`,
  );
  processes.spawnCommand("haproxy", [findProgram("haproxy") ?? "", "-db", "-f", at("haproxy.cfg")]);
  // Its workers would keep the pipes of this test open after it is killed.
  const quiet = ["sh", "-c", 'exec "$@" >/dev/null 2>&1', "sh"];
  processes.spawnCommand("nginx", [...quiet, findProgram("nginx") ?? "", "-c", at("nginx.conf")]);
  return {
    haproxySocket: at("haproxy.sock"),
    nginxFile: at("lars.conf"),
    reload: `${findProgram("nginx")} -c ${at("nginx.conf")} -s reload`,
    ways: [["HAProxy", byHttp(haproxyFront)], ["nginx", byHttp(nginxFront)]],
  };
}

/** Resolvers that keep answers, with their ports, as far as they are installed. */
async function startResolvers(
  processes: Processes,
  namePort: number,
): Promise<(readonly [name: string, port: number])[]> {
  const found: (readonly [string, number])[] = [];
  const all = [["names by unbound", startUnbound], ["names by dnsmasq", startDnsmasq]] as const;
  for (const [name, start] of all) {
    if (findProgram(name.split(" ")[2]) === undefined) continue;
    const port = await freePort();
    start(processes, { hostname: "127.0.0.1", port: namePort }, port);
    found.push([name, port]);
  }
  return found;
}

async function withBench(body: (bench: Bench) => Promise<void>): Promise<void> {
  await withProcesses(async (processes) => {
    const { store, url } = await sqliteTestStore(processes);
    const [dnsPort, xdsPort, namePort] = [await freePort(), await freePort(), await freePort()];
    const proxies = await startProxies(processes);
    const peer = new LinePeer(findGrpcJs() ?? [], xdsBootstrap(xdsPort));
    const core = findGrpcCore() === undefined
      ? undefined
      : new LinePeer(findGrpcCore() ?? [], xdsBootstrap(xdsPort));
    const resolvers = await startResolvers(processes, namePort);
    const http = await Promise.all([0, 1, 2].map((index) => startHttpNode(index, 0)));
    const httpPorts = http.map(portOf);
    const grpcPorts: number[] = [];
    for (const index of [0, 1, 2]) grpcPorts.push((await peer.ask(`node ${index}`)).port);
    const flags = {
      dns: ["--store-url", url, "--reactor-port", String(dnsPort), "--dns-poll-interval", "0.05"],
      export: [
        ...["--dnsserver-ip", "127.0.0.1", "--dnsserver-port", String(dnsPort)],
        ...["--export-cache-dir", join(processes.directory, "cache")],
        ...["--xds-port", String(xdsPort), "--nameserver-port", String(namePort)],
        ...["--haproxy-socket", proxies.haproxySocket, "--haproxy-backends", "be=web"],
        ...["--nginx-out", proxies.nginxFile, "--nginx-upstreams", "web=web"],
        ...["--nginx-reload", proxies.reload, "--nginx-interval", "1"],
      ],
    };
    const running = new Map<string, TestProcess>();
    const start = async (name: "dns" | "export"): Promise<void> => {
      const all = ["--json", "--metrics-port", "0", ...flags[name]];
      running.set(name, await processes.spawn(name, `${name}/main.ts`, all).untilReady());
    };
    try {
      await start("dns");
      await start("export");
      await body({
        ...{ store, httpPorts, grpcPorts, start },
        ways: new Map([
          ...proxies.ways,
          ["gRPC", byGrpc(peer)],
          ...core === undefined ? [] : [["gRPC of C++", byGrpc(core)] as const],
          ["names", byNames(namePort, httpPorts)],
          ...resolvers.map(([name, port]) => [name, byNames(port, httpPorts)] as const),
        ]),
        kill: async (name) => await running.get(name)?.kill9(),
        keptWeights: () => {
          const file = join(processes.directory, "cache", fleetCacheFormat.fileName);
          const read = existsSync(file) ? fleetCacheFormat.decode(readFileSync(file)) : undefined;
          if (read?.ok !== true) return [];
          return read.routes.flatMap(({ hosts = [] }) => hosts.map(({ weight = 100 }) => weight));
        },
        stopNode: async (index) => {
          await peer.ask(`stop ${index}`);
          http[index].closeAllConnections();
          await new Promise<void>((resolve) => http[index].close(() => resolve()));
        },
        startNode: async (index) => {
          await peer.ask(`node ${index} ${grpcPorts[index]}`);
          http[index] = await startHttpNode(index, httpPorts[index]);
        },
      });
    } finally {
      peer.close();
      core?.close();
      for (const server of http) server.close();
      await store.close();
    }
  });
}

test(
  "real programs go on while dns and exports are killed, and end up right",
  { skip, timeout: 300_000 },
  async () => {
    await withBench(async (bench) => {
      const { store, ways, httpPorts, grpcPorts, kill, start, stopNode, startNode } = bench;
      const edit = (index: number, more: Partial<RouteEdit>): Promise<unknown> =>
        store.editRoutes([
          { op: "set", ...WEB, ip: LOOPBACK, port: httpPorts[index], ...more } as RouteEdit,
          { op: "set", ...RPC, ip: LOOPBACK, port: grpcPorts[index], ...more } as RouteEdit,
        ]);
      const happened: string[] = [];
      /** Of the calls of each way these shares go to the nodes, to an eighth; none fails. */
      const becomes = async (
        what: string,
        shares: readonly number[],
        names: readonly string[] = [...ways.keys()],
      ): Promise<void> => {
        await Promise.all(names.map(async (name) => {
          let seen = new Map<number, number>();
          await until(async () => {
            seen = await ways.get(name)?.(CALLS) ?? seen;
            const isRight = shares.every((share, index) => {
              const own = (seen.get(index) ?? 0) / CALLS;
              return share === 0 ? own === 0 : Math.abs(own - share) <= 0.125;
            });
            return isRight && (seen.get(-1) ?? 0) === 0;
          }, { what: () => `${what}, ${name}: ${JSON.stringify([...seen])}`, timeoutMs: 60_000 });
        }));
        happened.push(what);
      };
      for (const index of [0, 1, 2]) await edit(index, { op: "add" });
      await store.setModules([{ ...WEB, name: "web" }, { ...RPC, name: "rpc" }]);
      const third = 1 / 3;
      await becomes("three nodes", [third, third, third]);

      await kill("dns");
      await edit(0, { state: "drain" });
      await becomes("dns is dead: what was known", [third, third, third]);
      await start("dns");
      await becomes("dns is back: the drain", [0, 0.5, 0.5]);

      await kill("export");
      await edit(0, { state: "on" });
      await edit(1, { weight: 300 });
      // Nobody answers names then; all others have been told.
      const told = [...ways.keys()].filter((name) => !name.startsWith("names"));
      await becomes("export is dead: what it said last", [0, 0.5, 0.5], told);
      await start("export");
      await becomes("export is back: the node and the weight", [0.2, 0.6, 0.2]);
      // What it knows is on disk a second later; killed before that it would come back with less.
      await until(() => bench.keptWeights().filter((weight) => weight === 300).length === 2, {
        what: "both new weights on disk",
      });

      await kill("dns");
      await kill("export");
      await start("export");
      await becomes("export is back without a dns", [0.2, 0.6, 0.2]);

      // Nobody but the callers themselves can know of it; they go elsewhere.
      await stopNode(2);
      await becomes("a node dies", [0.25, 0.75, 0], told);
      await startNode(2);
      await start("dns");
      await edit(1, { weight: 100 });
      await becomes("it comes back, and dns", [third, third, third]);
      assert.deepEqual(happened, [
        "three nodes",
        "dns is dead: what was known",
        "dns is back: the drain",
        "export is dead: what it said last",
        "export is back: the node and the weight",
        "export is back without a dns",
        "a node dies",
        "it comes back, and dns",
      ]);
    });
  },
);
