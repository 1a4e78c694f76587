// Shell. NATS servers for tests, with streams in files: one alone, or three together.

import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import process from "node:process";
import { fileOfDebianPackage } from "./debian_package.ts";
import { freePort } from "./free_port.ts";
import type { Processes, TestProcess } from "./processes.ts";
import { until } from "./until.ts";

/** Longest wait for an answer of the monitoring, in milliseconds. */
const MONITOR_MS = 2_000;

/**
 * Where the program is: where `LARS_TEST_NATS_SERVER` says, else that of the system; undefined: it is
 * not here, and cannot be fetched.
 */
export function natsProgram(): string | undefined {
  const wanted = process.env.LARS_TEST_NATS_SERVER;
  if (wanted !== undefined) return wanted;
  const installed = ["/usr/sbin/nats-server", "/usr/bin/nats-server", "/usr/local/bin/nats-server"];
  return installed.find((path) => existsSync(path)) ??
    fileOfDebianPackage("nats-server", "usr/sbin/nats-server");
}

/** From 2.10 on servers can be told to sync each message before they acknowledge it. */
export function canSyncAlways(program: string): boolean {
  const said = spawnSync(program, ["--version"], { encoding: "utf8" }).stdout;
  const [, major, minor] = /v(\d+)\.(\d+)\./.exec(said) ?? [];
  return Number(major) > 2 || (Number(major) === 2 && Number(minor) >= 10);
}

/** One server, which may be killed and started again with what it had. */
export class NatsServer {
  #process: TestProcess | undefined;

  /** `serverName`: how it is called among the servers. */
  constructor(
    readonly name: string,
    readonly serverName: string,
    readonly port: number,
    readonly monitorPort: number,
    readonly program: string,
    readonly file: string,
    readonly processes: Processes,
    readonly directory: string,
  ) {}

  get monitor(): string {
    return `http://127.0.0.1:${this.monitorPort}`;
  }

  /** What it has said since its last start. */
  get log(): string {
    return this.#process?.stderr ?? "";
  }

  get url(): string {
    return `nats://127.0.0.1:${this.port}`;
  }

  /**
   * @param under Words of a program that runs it.
   * @returns when it takes connections.
   */
  async start(under: readonly string[] = []): Promise<void> {
    const argv = [...under, this.program, "-c", this.file];
    const started = this.processes.spawnCommand(this.name, argv);
    this.#process = started;
    await until(async () => {
      if (!started.alive) throw new Error(`${this.name} ended: ${started.stderr}`);
      return await answers(this.port);
    }, { what: `${this.name} to listen` });
  }

  async kill9(): Promise<void> {
    await this.#process?.kill9();
  }

  /** The same where another program runs it, which ends with it. */
  kill9ByFile(): void {
    process.kill(Number(readFileSync(join(this.directory, "pid"), "utf8")), "SIGKILL");
  }

  signal(name: "SIGSTOP" | "SIGCONT"): void {
    this.#process?.signal(name);
  }
}

/** Starts so many servers that know each other. They sync each message, where they can. */
export async function startNats(
  processes: Processes,
  program: string,
  count: 1 | 3,
): Promise<NatsServer[]> {
  const servers = await newNats(processes, program, count, canSyncAlways(program));
  await Promise.all(servers.map((server) => server.start()));
  return servers;
}

/** The same, not started. */
export async function newNats(
  processes: Processes,
  program: string,
  count: 1 | 3,
  syncsAlways: boolean,
): Promise<NatsServer[]> {
  const clusterPorts = await Promise.all(Array.from({ length: count }, () => freePort()));
  const routes = clusterPorts.map((port) => `nats://127.0.0.1:${port}`).join(", ");
  const servers: NatsServer[] = [];
  for (const [index, clusterPort] of clusterPorts.entries()) {
    const [port, monitorPort] = [await freePort(), await freePort()];
    const directory = join(processes.directory, `nats${index}`);
    mkdirSync(directory, { recursive: true });
    const file = join(directory, "nats.conf");
    const cluster = count === 1
      ? ""
      : `cluster { name: test, listen: "127.0.0.1:${clusterPort}", routes: [${routes}] }\n`;
    writeFileSync(
      file,
      `server_name: n${index}\nlisten: "127.0.0.1:${port}"\nhttp: "127.0.0.1:${monitorPort}"\n` +
        `pid_file: "${directory}/pid"\n` +
        `jetstream { store_dir: "${directory}"${syncsAlways ? ", sync_interval: always" : ""} }\n` +
        cluster,
    );
    const names = [`nats${index}`, `n${index}`] as const;
    servers.push(new NatsServer(...names, port, monitorPort, program, file, processes, directory));
  }
  return servers;
}

/** What a server says of a stream that it keeps. */
export interface StreamView {
  readonly server: NatsServer;
  /** It says of itself that it leads. */
  readonly leads: boolean;
  /** Number of the newest message that it has. */
  readonly last: number;
  /** Where it leads: names of the other servers that it says have everything. */
  readonly current: readonly string[];
}

/** What those servers say of a stream that answer within {@linkcode MONITOR_MS} and have it. */
export async function streamViews(
  servers: readonly NatsServer[],
  stream: string,
): Promise<StreamView[]> {
  const views = await Promise.all(servers.map(async (server): Promise<StreamView | undefined> => {
    const answer = await monitored(server, "/jsz?streams=1") as JetStreamAnswer | undefined;
    const details = answer?.account_details?.flatMap((one) => one.stream_detail ?? []) ?? [];
    const detail = details.find(({ name }) => name === stream);
    if (detail === undefined) return undefined;
    const { leader, replicas = [] } = detail.cluster ?? {};
    return {
      server,
      leads: leader === server.serverName,
      last: detail.state?.last_seq ?? 0,
      current: replicas.filter(({ current, offline }) => current === true && !offline)
        .map(({ name }) => name ?? ""),
    };
  }));
  return views.filter((view) => view !== undefined);
}

/** The server that leads a stream; undefined: none does now, or it has no other replicas. */
export async function leaderOf(
  servers: readonly NatsServer[],
  stream: string,
): Promise<NatsServer | undefined> {
  const leading = (await streamViews(servers, stream)).filter(({ leads }) => leads);
  // One that stood still believes for a moment that it leads still.
  return leading.sort((a, b) => b.last - a.last)[0]?.server;
}

/** True when a server says that it is in touch with the others, and has what they agreed upon. */
export async function isHealthy(server: NatsServer): Promise<boolean> {
  const answer = await monitored(server, "/healthz?js-server-only=true") as
    | { status?: string }
    | undefined;
  return answer?.status === "ok";
}

interface JetStreamAnswer {
  account_details?: {
    stream_detail?: {
      name: string;
      state?: { last_seq?: number };
      cluster?: {
        leader?: string;
        replicas?: { name?: string; current?: boolean; offline?: boolean }[];
      };
    }[];
  }[];
}

/** Undefined: it does not answer. */
async function monitored(server: NatsServer, path: string): Promise<unknown> {
  const signal = AbortSignal.timeout(MONITOR_MS);
  return await fetch(`${server.monitor}${path}`, { signal })
    .then((one) => one.json(), () => undefined)
    .catch(() => undefined);
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    const end = (result: boolean): void => {
      socket.destroy();
      resolve(result);
    };
    socket.once("data", () => end(true)); // INFO: it is ready
    socket.once("error", () => end(false));
    socket.once("close", () => end(false));
  });
}
