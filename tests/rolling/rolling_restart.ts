// Shell. Nodes restarted one after another, with drain, under calls of every kind: by a client of
// ours, by gRPC over xDS, and through HAProxy. Also a program: deno run -A, with --nodes, --rate.

import { writeFileSync } from "node:fs";
import { Agent, get } from "node:http";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { agentDaemon } from "../../agent/service.ts";
import { LarsClient } from "../../api/mod.ts";
import { type DaemonDefinition, type RunningService, startDaemon } from "../../daemon/daemon.ts";
import { dnsDaemon } from "../../dns/service.ts";
import { exportDaemon } from "../../export/service.ts";
import { silentLogger } from "../../reactor/log.ts";
import { formatIpv4 } from "../../reactor/address.ts";
import { sleep } from "../../reactor/time/clock.ts";
import { systemClock } from "../../reactor/time/system_clock.ts";
import { openStore, type Store } from "../../sql/mod.ts";
import { freePort } from "../support/free_port.ts";
import { LinePeer, xdsBootstrap } from "../support/line_peer.ts";
import { findProgram } from "../support/mariadb.ts";
import { type Processes, withProcesses } from "../support/processes.ts";
import { until } from "../support/until.ts";

/** What is done. */
export interface RollingOptions {
  readonly nodes: number;
  /** Calls a second of each of the three kinds. */
  readonly rate: number;
  /** Nodes after which dns and export are killed and started anew; 0: never. */
  readonly killEvery: number;
  say(text: string): void;
}

/** What became of calls of one kind. */
export interface RollingCalls {
  calls: number;
  failed: number;
  readonly reasons: Record<string, number>;
}

/** What was seen. */
export interface RollingResult {
  readonly calls: Readonly<Record<"lars" | "grpc" | "haproxy", RollingCalls>>;
  /** From the drain to a node without calls, in milliseconds, of each node. */
  readonly drainMs: readonly number[];
  /** From the end of the drain to its first call. */
  readonly returnMs: readonly number[];
  /** Calls that our client made again at another node. */
  readonly retried: number;
}

const LOOPBACK = 0x7f000001;
const WEB = { modId: 1, cmdId: 1 };
const RPC = { modId: 2, cmdId: 1 };
/** A node without a call for so long is at rest, and may be stopped. */
const QUIET_MS = 1_000;

interface NodePorts {
  readonly http: number;
  readonly grpc: number;
}

interface NodeLook {
  readonly active: number;
  readonly calls: number;
  /** Calls by who made them. */
  readonly ways: Readonly<Record<string, number>>;
  readonly quietMs: number;
}

/** A program of `peers.mjs`. */
function startPeers(env: Readonly<Record<string, string>> = {}): LinePeer {
  const script = fileURLToPath(new URL("./peers.mjs", import.meta.url));
  return new LinePeer([findProgram("node") ?? "node", script], env);
}

/** The services, in this process. */
class Services {
  readonly #running = new Map<string, RunningService>();
  readonly #flags = new Map<string, [DaemonDefinition, Record<string, string>]>();

  async start(
    definition: DaemonDefinition,
    flags: Record<string, string>,
  ): Promise<RunningService> {
    this.#flags.set(definition.name, [definition, flags]);
    const all = { "metrics.port": "0", ...flags };
    const service = await startDaemon(definition, { flags: all }, { log: silentLogger });
    this.#running.set(definition.name, service);
    return service;
  }

  stats(name: string): Record<string, number | string> {
    return this.#running.get(name)?.stats() ?? {};
  }

  /** Ends a service and starts it anew, with time between. */
  async restart(name: string): Promise<void> {
    const known = this.#flags.get(name);
    if (known === undefined) throw new Error(`${name} was never started`);
    await this.#running.get(name)?.stop();
    await this.start(...known);
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#running.values()].map((service) => service.stop()));
  }
}

/** Calls by a client of ours, over connections that are kept. */
class LarsCalls {
  readonly counts: RollingCalls = { calls: 0, failed: 0, reasons: {} };
  readonly #client: LarsClient;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 8 });
  #timer: ReturnType<typeof setInterval> | undefined;

  constructor(port: number) {
    this.#client = new LarsClient({ port });
  }

  /** A first call, so that the agent knows the module. */
  async prime(): Promise<void> {
    await until(
      () => this.#client.getHost(WEB.modId, WEB.cmdId).then(() => true, () => false),
      { what: "the agent to know the module" },
    );
  }

  begin(rate: number): void {
    const startMs = systemClock.nowMs();
    let done = 0;
    this.#timer = setInterval(() => {
      const due = Math.floor((systemClock.nowMs() - startMs) / 1000 * rate);
      for (; done < due; done++) void this.#call();
    }, 5);
  }

  /** Calls that were made again at another node. */
  get retriedCount(): number {
    return this.#client.stats.retried;
  }

  async end(): Promise<void> {
    clearInterval(this.#timer);
    await sleep(systemClock, QUIET_MS);
    this.#agent.destroy();
    await this.#client.close();
  }

  async #call(): Promise<void> {
    let fault: string | undefined;
    try {
      await this.#client.call(WEB.modId, WEB.cmdId, async ({ ip, port }) => {
        fault = await this.#get(ip, port);
        if (fault !== undefined) throw new Error(fault);
      }, { retries: 2 });
      fault = undefined;
    } catch (error) {
      fault ??= String(error);
    }
    this.counts.calls++;
    if (fault === undefined) return;
    this.counts.failed++;
    this.counts.reasons[fault] = (this.counts.reasons[fault] ?? 0) + 1;
  }

  #get(host: string, port: number): Promise<string | undefined> {
    return new Promise((resolve) => {
      const request = get(
        { host, port, agent: this.#agent, path: "/lars", timeout: 5_000 },
        (response) => {
          response.resume();
          response.on(
            "end",
            () =>
              resolve(response.statusCode === 200 ? undefined : `status ${response.statusCode}`),
          );
        },
      );
      request.on("timeout", () => request.destroy(new Error("timeout")));
      request.on("error", (error) => resolve("code" in error ? String(error.code) : error.message));
    });
  }
}

async function startHaproxy(processes: Processes): Promise<{ socket: string; front: number }> {
  const front = await freePort();
  const socket = join(processes.directory, "haproxy.sock");
  const config = join(processes.directory, "haproxy.cfg");
  writeFileSync(
    config,
    `global
  stats socket ${socket} level admin
  maxconn 2000
defaults
  mode http
  timeout connect 2s
  timeout client 20s
  timeout server 20s
  retries 3
  option redispatch
frontend front
  bind 127.0.0.1:${front}
  default_backend be
backend be
  balance roundrobin
`,
  );
  processes.spawnCommand("haproxy", [findProgram("haproxy") ?? "", "-db", "-f", config]);
  return { socket, front };
}

/** The run itself. */
class Rolling {
  readonly #options: RollingOptions;
  readonly #store: Store;
  readonly #nodes: LinePeer;
  readonly #services: Services;
  readonly #ports: readonly NodePorts[];
  readonly drainMs: number[] = [];
  readonly returnMs: number[] = [];

  constructor(
    options: RollingOptions,
    store: Store,
    nodes: LinePeer,
    services: Services,
    ports: readonly NodePorts[],
  ) {
    this.#options = options;
    this.#store = store;
    this.#nodes = nodes;
    this.#services = services;
    this.#ports = ports;
  }

  async run(): Promise<void> {
    const { nodes, killEvery, say } = this.#options;
    for (let index = 0; index < nodes; index++) {
      await this.#restart(index);
      if ((index + 1) % 10 === 0) {
        say(
          `${index + 1} of ${nodes} nodes restarted, drained in ${
            Math.round(this.drainMs.at(-1) ?? 0)
          } ms`,
        );
      }
      if (killEvery > 0 && (index + 1) % killEvery === 0) {
        await Promise.all([this.#services.restart("dns"), this.#services.restart("export")]);
      }
    }
  }

  async #restart(index: number): Promise<void> {
    const startMs = systemClock.nowMs();
    await this.#setState(index, "drain");
    const first = await this.#look(index);
    let seen = first;
    await until(async () => {
      seen = await this.#look(index);
      const drainedMs = systemClock.nowMs() - startMs;
      return seen.active === 0 && Math.min(seen.quietMs, drainedMs) > QUIET_MS;
    }, {
      what: () => `node ${index} to be at rest: ${JSON.stringify([first, seen])}`,
      timeoutMs: 60_000,
      intervalMs: 20,
    });
    this.drainMs.push(systemClock.nowMs() - startMs - QUIET_MS);
    await this.#nodes.ask(`stop ${index}`);
    const { http, grpc } = this.#ports[index];
    await this.#nodes.ask(`start ${index} ${http} ${grpc}`);
    const before = (await this.#look(index)).calls;
    const backMs = systemClock.nowMs();
    await this.#setState(index, "on");
    await until(async () => (await this.#look(index)).calls > before, {
      what: `node ${index} to be called again`,
      timeoutMs: 60_000,
      intervalMs: 20,
    });
    this.returnMs.push(systemClock.nowMs() - backMs);
  }

  async #setState(index: number, state: "on" | "drain"): Promise<void> {
    const { http, grpc } = this.#ports[index];
    await this.#store.editRoutes([
      { op: "set", ...WEB, ip: LOOPBACK, port: http, state },
      { op: "set", ...RPC, ip: LOOPBACK, port: grpc, state },
    ]);
  }

  #look(index: number): Promise<NodeLook> {
    return this.#nodes.ask(`node ${index}`);
  }
}

/** Starts services that know the nodes; ports of agent and xDS. */
async function startServices(
  services: Services,
  folder: string,
  url: string,
  haproxySocket: string,
): Promise<{ agentPort: number; xdsPort: number }> {
  const [dnsPort, xdsPort] = [await freePort(), await freePort()];
  const own = { "dnsserver.ip": "127.0.0.1", "dnsserver.port": String(dnsPort) };
  const reporter = { "reporter.port": String(await freePort()) };
  await services.start(dnsDaemon, {
    ...{ "store.url": url, "reactor.port": String(dnsPort), "dns.poll_interval": "0.05" },
  });
  const agent = await services.start(agentDaemon, {
    ...{ ...own, ...reporter, "agent.port": "0", "agent.threads": "0" },
  });
  await services.start(exportDaemon, {
    ...{ ...own, ...reporter, "export.cache_dir": join(folder, "cache") },
    "xds.port": String(xdsPort),
    "haproxy.socket": haproxySocket,
    "haproxy.backends": "be=web",
  });
  return { agentPort: Number(agent.addresses[0].split(":")[1]), xdsPort };
}

/** Restarts all nodes one after another while calls go on. */
export async function rollingRestart(options: RollingOptions): Promise<RollingResult> {
  const { nodes: count, rate, say } = options;
  const seen: { result?: RollingResult } = {};
  await withProcesses(async (processes) => {
    const url = `sqlite:${join(processes.directory, "lars.db")}`;
    const store = await openStore(url);
    await store.migrate();
    const services = new Services();
    const nodes = startPeers();
    const open: { callers?: LinePeer; lars?: LarsCalls } = {};
    try {
      const ports: NodePorts[] = [];
      for (let i = 0; i < count; i++) ports.push(await nodes.ask<NodePorts>(`start ${i}`));
      await store.editRoutes(ports.flatMap(({ http, grpc }) => [
        { op: "add", ...WEB, ip: LOOPBACK, port: http } as const,
        { op: "add", ...RPC, ip: LOOPBACK, port: grpc } as const,
      ]));
      await store.setModules([{ ...WEB, name: "web" }, { ...RPC, name: "rpc" }]);
      const { socket, front } = await startHaproxy(processes);
      const own = await startServices(services, processes.directory, url, socket);
      const lars = new LarsCalls(own.agentPort);
      open.lars = lars;
      await lars.prime();
      // Adding a server takes its check and its state as well.
      await until(() => Number(services.stats("export").haproxy_commands) >= 3 * count, {
        what: "HAProxy to know all nodes",
        timeoutMs: 60_000,
      });
      const callers = startPeers(xdsBootstrap(own.xdsPort));
      open.callers = callers;
      say(`${count} nodes at ${formatIpv4(LOOPBACK)}, ${rate} calls a second of each kind`);
      await sleep(systemClock, 2_500);
      await callers.ask(`haproxy ${rate} ${front}`);
      await callers.ask(`grpc ${rate} rpc`);
      lars.begin(rate);
      const rolling = new Rolling(options, store, nodes, services, ports);
      await rolling.run();
      await lars.end();
      const { haproxy, grpc } = await callers.ask<Record<"haproxy" | "grpc", RollingCalls>>("halt");
      const { drainMs, returnMs } = rolling;
      const retried = lars.retriedCount;
      seen.result = { calls: { lars: lars.counts, grpc, haproxy }, drainMs, returnMs, retried };
    } finally {
      open.callers?.close();
      nodes.close();
      await services.stop();
      await store.close();
    }
  });
  if (seen.result === undefined) throw new Error("The run has come to no end");
  return seen.result;
}

function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return Math.round(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? NaN);
}

/** What was seen, for people. */
export function rollingText({ calls, drainMs, returnMs, retried }: RollingResult): string {
  const lines = Object.entries(calls).map(([way, { calls, failed, reasons }]) =>
    `${way.padEnd(8)} ${String(calls).padStart(8)} calls ${String(failed).padStart(6)} failed ` +
    `${failed > 0 ? JSON.stringify(reasons) : ""}`
  );
  const times = [["drained after", drainMs], ["called again after", returnMs]] as const;
  return [
    ...lines,
    `lars: ${retried} calls made again at another node`,
    ...times.map(([what, ms]) =>
      `${what}: median ${quantile(ms, 0.5)} ms, p99 ${quantile(ms, 0.99)} ms`
    ),
  ].join("\n") + "\n";
}
