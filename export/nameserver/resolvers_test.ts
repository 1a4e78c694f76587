// Goal: whoever resolves names follows a module: nodes that come, drain, die and go, other weights, a
// name server that was away; and each says of a name that is none, or has no node, what its callers expect.
// Method: the name server with a view in here; unbound, dnsmasq, the C libraries, Node, Deno and Bun
// beside it; HAProxy and nginx, which resolve by themselves, with nodes that say their address.

import assert from "node:assert/strict";
import { type ChildProcess, execFile, spawn, spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { createServer, get, type Server } from "node:http";
import { join } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { formatIpv4 } from "../../reactor/address.ts";
import { systemClock } from "../../reactor/time/system_clock.ts";
import { freePort } from "../../tests/support/free_port.ts";
import { LogList } from "../../tests/support/log_list.ts";
import { findProgram } from "../../tests/support/mariadb.ts";
import { type Processes, withProcesses } from "../../tests/support/processes.ts";
import { startDnsmasq, startUnbound } from "../../tests/support/resolvers.ts";
import { until } from "../../tests/support/until.ts";
import { FleetView } from "../fleet_view.ts";
import { NameZone } from "./answers.ts";
import { NameServer } from "./name_server.ts";
import { NameSockets } from "./name_sockets.ts";
import { dnsCodec } from "./packets.ts";

const DIG = findProgram("dig");
const KEY = { modId: 1, cmdId: 1 };
const FIRST_IP = 0x7f000001;
const [ONE, TWO] = ["127.0.0.1", "127.0.0.2"];

/**
 * Asks for the addresses of a name, or for its services as `TARGET:PORT WEIGHT`; one word that says why
 * when there are none.
 */
type Resolve = (name: string, type?: "A" | "SRV") => Promise<string[]>;

/** How a node does, or its weight. */
type NodeWish = "up" | "drain" | "out" | number;

interface Bench {
  readonly host: string;
  readonly port: number;
  readonly processes: Processes;
  /** The nodes at 127.0.0.1, 127.0.0.2 and so on, all of one port. */
  set(...nodes: NodeWish[]): void;
  /** Takes the name server away and brings it back. */
  close(): Promise<void>;
  open(): Promise<void>;
}

/** An address of loopback that nobody else has, so that its port 53 is free. */
function ownHost(): string {
  return `127.${64 + process.pid % 128}.${(process.pid >> 7) % 256}.53`;
}

async function withNames(
  nodePort: number,
  where: "53" | "free",
  body: (bench: Bench) => Promise<void>,
): Promise<void> {
  const made: { server?: NameServer } = {};
  const view = new FleetView({
    ...{ outShare: 0.25, request: () => {}, forget: () => {} },
    onChanged: () => made.server?.changed(),
    onListed: () => made.server?.changed(),
  });
  const zone = new NameZone(view, { codec: dnsCodec, zone: "lars", ttlS: 1, host: "ns.lars" });
  const server = new NameServer(zone, systemClock);
  made.server = server;
  view.takeModules({
    modules: [{ ...KEY, name: "login", gone: false }],
    ...{ first: true, last: true },
  });
  view.want(KEY);
  const host = where === "53" ? ownHost() : "127.0.0.1";
  const port = where === "53" ? 53 : await freePort();
  const make = (): NameSockets =>
    new NameSockets({ server, hostname: host, port, clock: systemClock, log: new LogList() });
  let sockets = make();
  await sockets.listen();
  try {
    await withProcesses(async (processes) => {
      await body({
        ...{ host, port, processes },
        set: (...nodes) => {
          const hosts = nodes.map((wish, index) => ({
            ...{ ip: FIRST_IP + index, port: nodePort },
            ...(wish === "drain" ? { state: wish } as const : {}),
            ...(typeof wish === "number" ? { weight: wish } : {}),
          }));
          view.takeRoute({ ...KEY, hosts, policy: "" });
          const outs = hosts.filter((_, index) => nodes[index] === "out");
          view.takeOuts(0, {
            ...{ ...KEY, agents: 1 },
            nodes: outs.map(({ ip, port }) => ({ ip, port, agents: 1 })),
          });
        },
        close: () => sockets.close(),
        open: async () => {
          sockets = make();
          await sockets.listen();
        },
      });
    });
  } finally {
    await sockets.close();
  }
}

function run(argv: readonly string[]): Promise<string> {
  return new Promise((resolve) => {
    execFile(argv[0], argv.slice(1), { encoding: "utf8" }, (_error, stdout) => resolve(stdout));
  });
}

/** By dig, of a name server in between. */
function byDig(port: number): Resolve {
  return async (name, type = "A") => {
    const text = await run([
      ...[DIG ?? "", "@127.0.0.1", "-p", String(port), "+tries=1", "+time=3", name, type],
    ]);
    const rows = text.split("\n").filter((line) => !line.startsWith(";"))
      .map((line) => line.split(/\s+/)).filter((words) => words[2] === "IN" && words[3] === type);
    const found = rows.map((words) => {
      const [, weight, own, target = ""] = words.slice(4);
      return type === "A" ? words[4] : `${target.replace(/\.$/, "")}:${own} ${weight}`;
    }).sort();
    return found.length > 0 ? found : [/status: (\w+)/.exec(text)?.[1] ?? "no answer"];
  };
}

/** By dig, of a resolver that is started. */
function byResolver(start: typeof startUnbound): (bench: Bench, own: number) => Resolve {
  return ({ host, port, processes }, own) => {
    start(processes, { hostname: host, port }, own);
    return byDig(own);
  };
}

/** By getaddrinfo of a C library, which always asks port 53 of what resolv.conf names. */
function byCompiled(compiler: string, ...flags: string[]): (bench: Bench) => Resolve {
  return ({ host, processes }: Bench): Resolve => {
    const source = fileURLToPath(new URL("../testing/addresses.c", import.meta.url));
    const program = join(processes.directory, compiler);
    const made = spawnSync(compiler, ["-O1", "-o", program, source, ...flags], {
      encoding: "utf8",
    });
    assert.equal(made.status, 0, made.stderr);
    const resolv = join(processes.directory, "resolv.conf");
    writeFileSync(resolv, `nameserver ${host}\noptions timeout:2 attempts:2\n`);
    const script = `mount --bind ${resolv} /etc/resolv.conf && exec ${program} "$1"`;
    return async (name) => {
      const text = await run(["unshare", "-m", "sh", "-c", script, "sh", `${name}.`]);
      return text.split("\n").filter((line) => line !== "").sort();
    };
  };
}

const children = new Set<ChildProcess>();

/** By the resolver of a runtime for JavaScript. */
function byRuntime(
  command: readonly string[],
  type: "A" | "native" = "A",
): (bench: Bench) => Resolve {
  return ({ host, port }: Bench): Resolve => {
    const script = fileURLToPath(new URL("../testing/resolve_peer.mjs", import.meta.url));
    const child = spawn(command[0], [...command.slice(1), script, `${host}:${port}`], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    children.add(child);
    const waiting: ((line: string) => void)[] = [];
    if (child.stdout === null) throw new Error("It has no output");
    createInterface({ input: child.stdout }).on("line", (line) => waiting.shift()?.(line));
    return (name, wanted) =>
      new Promise((resolve) => {
        waiting.push((line) => resolve(JSON.parse(line)));
        child.stdin?.write(`${wanted ?? type} ${name}\n`);
      });
  };
}

interface Case {
  readonly name: string;
  readonly where: "53" | "free";
  readonly needs: readonly string[];
  /** What it says of a name that is none, and of one without a node. */
  readonly unknown: RegExp;
  readonly empty: RegExp;
  /** It can be asked for services, with weights. */
  readonly hasServices: boolean;
  start(bench: Bench, ownPort: number): Resolve;
}

const OWN_RUNTIME = process.execPath;
const IS_BUN = process.versions.bun !== undefined;

const CASES: Case[] = [
  {
    ...{
      name: "unbound",
      where: "free",
      needs: ["unbound", "dig"],
      start: byResolver(startUnbound),
    },
    hasServices: true,
    ...{ unknown: /NXDOMAIN/, empty: /NOERROR/ },
  },
  {
    ...{
      name: "dnsmasq",
      where: "free",
      needs: ["dnsmasq", "dig"],
      start: byResolver(startDnsmasq),
    },
    hasServices: true,
    ...{ unknown: /NXDOMAIN/, empty: /NOERROR/ },
  },
  {
    ...{ name: "getaddrinfo of glibc", where: "53", needs: ["gcc", "unshare"], hasServices: false },
    ...{ unknown: /no name/, empty: /no address/, start: byCompiled("gcc") },
  },
  {
    ...{ name: "getaddrinfo of musl", where: "53", needs: ["musl-gcc", "unshare"] },
    hasServices: false,
    ...{
      unknown: /no name/,
      empty: /no name|no address/,
      start: byCompiled("musl-gcc", "-static"),
    },
  },
  {
    ...{ name: "Node", where: "free", needs: ["node"], hasServices: true },
    ...{ unknown: /ENOTFOUND/, empty: /ENODATA/, start: byRuntime(["node"], "A") },
  },
  IS_BUN
    ? {
      ...{ name: "Bun", where: "free", needs: [], hasServices: true },
      ...{ unknown: /ENOTFOUND/, empty: /ENOTFOUND|ENODATA/, start: byRuntime([OWN_RUNTIME], "A") },
    }
    : {
      ...{ name: "Deno", where: "free", needs: [], hasServices: true },
      ...{ unknown: /ENOTFOUND/, empty: /ENOTFOUND|ENODATA/ },
      start: byRuntime([OWN_RUNTIME, "run", "-A", "--quiet", "--no-config"], "A"),
    },
];
if (!IS_BUN) {
  CASES.push({
    ...{ name: "Deno's own", where: "free", needs: [], unknown: /NotFound|ENOTFOUND/ },
    ...{ empty: /NotFound|ENOTFOUND|ENODATA/, hasServices: false },
    start: byRuntime([OWN_RUNTIME, "run", "-A", "--quiet", "--no-config"], "native"),
  });
}

function missing({ needs, where }: Case): string | false {
  const absent = needs.filter((program) => findProgram(program) === undefined);
  if (absent.length > 0) return `${absent.join(", ")} must be installed`;
  if (where === "free") return false;
  const probe = spawnSync("unshare", [
    "-m",
    "mount",
    "--bind",
    "/etc/resolv.conf",
    "/etc/resolv.conf",
  ]);
  return probe.status === 0 ? false : "it needs port 53 and another resolv.conf: run it as root";
}

for (const one of CASES) {
  test(`names by ${one.name}`, { skip: missing(one) }, async () => {
    await withNames(8000, one.where, async (bench) => {
      bench.set("up", "up");
      const resolve = one.start(bench, await freePort());
      const becomes = async (
        what: string,
        name: string,
        expected: RegExp,
        type?: "SRV",
      ): Promise<void> => {
        let seen: string[] = [];
        await until(async () => {
          seen = await resolve(name, type);
          return expected.test(seen.join(" "));
        }, { what: () => `${what}: ${seen.join(" ")}`, timeoutMs: 30_000, intervalMs: 100 });
      };
      const both = new RegExp(`^${ONE} ${TWO}$`);
      await becomes("two nodes", "login.lars", both);
      await becomes("the same by numbers", "1.1.lars", both);
      bench.set("drain", "up");
      await becomes("one is drained", "login.lars", new RegExp(`^${TWO}$`));
      bench.set("drain", "drain");
      await becomes("all are drained", "login.lars", one.empty);
      await becomes("a name that is none", "nobody.lars", one.unknown);
      bench.set("up", "drain");
      await becomes("one is back", "login.lars", new RegExp(`^${ONE}$`));
      bench.set("out", "up");
      await becomes("one has died, as agents say", "login.lars", new RegExp(`^${TWO}$`));
      bench.set("up", "up");
      await becomes("it lives again", "login.lars", both);
      if (one.hasServices) {
        const target = (last: number): string => `127-0-0-${last}\\.node\\.lars:8000`;
        const weights = (first: number, second: number): RegExp =>
          new RegExp(`^${target(1)} ${first} ${target(2)} ${second}$`);
        await becomes("services", "login.lars", weights(65_280, 65_280), "SRV");
        bench.set(100, 50);
        await becomes("another weight", "login.lars", weights(65_280, 32_768), "SRV");
      }
      await bench.close();
      bench.set("up", "up");
      await bench.open();
      await becomes("the name server was away", "login.lars", both);
    });
    for (const child of children) child.kill("SIGKILL");
    children.clear();
  });
}

function startNode(host: string, port: number): Promise<Server> {
  return new Promise((resolve) => {
    const server = createServer((_request, response) => {
      response.setHeader("connection", "close");
      response.end(host);
    });
    server.listen(port, host, () => resolve(server));
  });
}

/** The node that answered, or the status. */
function call(port: number): Promise<string> {
  return new Promise((resolve) => {
    get({ host: "127.0.0.1", port, agent: false, timeout: 5_000 }, (response) => {
      let text = "";
      response.on("data", (chunk) => (text += chunk));
      response.on("end", () => resolve(response.statusCode === 200 ? text : "fault"));
    }).on("error", () => resolve("fault")).on("timeout", () => resolve("silence"));
  });
}

const HAPROXY_CONFIG = (front: number, { host, port }: Bench): string =>
  `resolvers lars
  nameserver local ${host}:${port}
  accepted_payload_size 8192
  timeout resolve 300ms
  hold valid 1s
  hold nx 2s
  hold other 2s
defaults
  mode http
  timeout connect 1s
  timeout client 5s
  timeout server 5s
frontend front
  bind 127.0.0.1:${front}
  default_backend be
backend be
  balance roundrobin
  server-template s 8 _http._tcp.login.lars resolvers lars
`;

const NGINX_CONFIG = (front: number, { host, port, processes }: Bench, nodePort: number): string =>
  `daemon off;
master_process off;
pid ${processes.directory}/nginx.pid;
error_log ${processes.directory}/error.log;
events {}
http {
  access_log off;
  resolver ${host}:${port} valid=1s ipv6=off;
  resolver_timeout 1s;
  server {
    listen 127.0.0.1:${front};
    set $nodes login.lars;
    location / { proxy_pass http://$nodes:${nodePort}; proxy_connect_timeout 1s; }
  }
}
`;

const PROXIES = [
  {
    // It goes on with what it knows for its `hold` times.
    ...{ name: "HAProxy", away: ONE, program: findProgram("haproxy") },
    ...{ flags: ["-db", "-f"], config: HAPROXY_CONFIG },
  },
  {
    // It knows nothing beyond `valid`.
    ...{ name: "nginx", away: "fault", program: findProgram("nginx") },
    ...{ flags: ["-c"], config: NGINX_CONFIG },
  },
];

for (const { name, away, program, flags, config } of PROXIES) {
  const skip = program === undefined ? `${name} is not installed` : false;
  test(`names by ${name}, which calls the nodes`, { skip }, async () => {
    const nodePort = await freePort();
    const nodes = await Promise.all(
      [0, 1].map((index) => startNode(formatIpv4(FIRST_IP + index), nodePort)),
    );
    await withNames(nodePort, "free", async (bench) => {
      const front = await freePort();
      const path = join(bench.processes.directory, "proxy.conf");
      bench.set("up", "up");
      writeFileSync(path, config(front, bench, nodePort));
      bench.processes.spawnCommand(name, [program ?? "", ...flags, path]);
      const becomes = async (what: string, ...expected: string[]): Promise<void> => {
        let seen: string[] = [];
        await until(async () => {
          seen = [...new Set(await Promise.all(Array.from({ length: 8 }, () => call(front))))];
          return seen.sort().join() === expected.join();
        }, { what: () => `${what}: ${seen.join()}`, timeoutMs: 30_000, intervalMs: 100 });
      };
      await becomes("two nodes", ONE, TWO);
      bench.set("drain", "up");
      await becomes("one is drained", TWO);
      bench.set("up", "drain");
      await becomes("the other one", ONE);
      await bench.close();
      await becomes("without a name server", away);
      bench.set("up", "up");
      await bench.open();
      await becomes("it is back", ONE, TWO);
      bench.set("drain", "drain");
      await becomes("none", "fault");
      bench.set("up", "up");
      await becomes("both again", ONE, TWO);
    });
    for (const node of nodes) node.close();
  });
}
