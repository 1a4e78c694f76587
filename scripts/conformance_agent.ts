// Shell. The real agent of an exchange, between a dns and a reporter that do what the script says.

import { existsSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { agentDaemon } from "../agent/service.ts";
import { FakeDns, FakeReporter } from "../agent/testing/fake_upstream.ts";
import type { RealAgentOptions } from "../api/conformance/player.ts";
import type { PlayedAgent } from "../api/conformance/scripted_agent.ts";
import { type RunningService, startDaemon } from "../daemon/daemon.ts";
import type { HostInfo } from "../proto/codec.ts";
import { AGENT_PORT_COUNT } from "../proto/message_ids.ts";
import { formatIpv4, parseIpv4 } from "../reactor/address.ts";
import { BindError } from "../reactor/errors.ts";
import { silentLogger } from "../reactor/log.ts";
import { nextInt } from "../reactor/time/rng.ts";
import { sleep } from "../reactor/time/clock.ts";
import { systemClock } from "../reactor/time/system_clock.ts";
import { systemRng } from "../reactor/time/system_rng.ts";

/** Where the ports of an agent lie: below those that a system gives to outgoing connections. */
const FIRST_PORT = 11_000;
const LAST_PORT = 14_990;
const TRIES_MAX = 20;

/** How long the agent may take to make its table, and how often it is looked for. Milliseconds. */
const TABLE_MS_MAX = 30_000;
const TABLE_LOOK_MS = 10;

/** An agent of this build, in this process. */
export class ConformanceAgent implements PlayedAgent {
  readonly #dns: FakeDns;
  readonly #reporter: FakeReporter;
  #agent: RunningService | undefined;
  #port = 0;
  readonly #options: RealAgentOptions;
  /** Where its secret is. */
  readonly #folder: string;
  /** Records are not seen here: what the agent makes of them is. */
  readonly runCount = 0;

  private constructor(
    dns: FakeDns,
    reporter: FakeReporter,
    options: RealAgentOptions,
    folder: string,
  ) {
    this.#dns = dns;
    this.#reporter = reporter;
    this.#options = options;
    this.#folder = folder;
  }

  /** Starts all three; an agent that cannot start leaves nothing behind. */
  static async open(options: RealAgentOptions): Promise<ConformanceAgent> {
    const { routes, place } = options;
    const folder = await mkdtemp(join(tmpdir(), "lars-secret-"));
    if (place !== undefined) {
      await writeFile(join(folder, "token"), `${place.secret}\n`, { mode: 0o600 });
    }
    // The agent speaks to nobody who does not know its secret.
    const upstream = place === undefined ? {} : { token: new TextEncoder().encode(place.secret) };
    const dns = await FakeDns.start(upstream);
    const agent = new ConformanceAgent(dns, await FakeReporter.start(upstream), options, folder);
    try {
      for (const [module, nodes] of Object.entries(routes)) {
        agent.#dns.routes.set(module, nodes.map(hostOf));
      }
      await agent.#startFirst();
      const { tablePath } = options;
      if (tablePath !== undefined) await waitForFile(tablePath);
    } catch (error) {
      await agent.close();
      throw error;
    }
    return agent;
  }

  get ports(): readonly number[] {
    return Array.from({ length: AGENT_PORT_COUNT }, (_, index) => this.#port + index);
  }

  /** At ports that no outgoing connection takes while the agent is away. */
  async #startFirst(): Promise<void> {
    for (let tries = 1;; tries++) {
      this.#port = nextInt(systemRng, LAST_PORT - FIRST_PORT) + FIRST_PORT;
      try {
        return await this.start();
      } catch (error) {
        if (!(error instanceof BindError) || tries === TRIES_MAX) throw error;
      }
    }
  }

  async start(): Promise<void> {
    const { place, tablePath } = this.#options;
    this.#agent = await startDaemon(agentDaemon, {
      flags: {
        "agent.port": String(this.#port),
        // The table is written by a thread that does nothing else.
        "agent.threads": tablePath === undefined ? "0" : "1",
        ...(tablePath === undefined ? {} : { "agent.shared_table": tablePath }),
        ...(place === undefined
          ? {}
          : { "agent.ip": place.address, "auth.token_file": join(this.#folder, "token") }),
        "dnsserver.ip": `127.0.0.1:${this.#dns.port}`,
        "reporter.ip": `127.0.0.1:${this.#reporter.port}`,
      },
    }, { log: silentLogger });
  }

  async stop(): Promise<void> {
    await this.#agent?.stop();
    this.#agent = undefined;
  }

  /** Totals of each node that the reporter was told of. */
  get outcomes(): readonly string[] {
    const totals = new Map<string, string>();
    for (const { modId, cmdId, results } of this.#reporter.reports) {
      for (const { ip, port, succTotal = 0, errTotal = 0 } of results) {
        if (succTotal + errTotal === 0) continue;
        const node = `${modId},${cmdId} ${formatIpv4(ip)}:${port}`;
        totals.set(node, `${node} succ=${succTotal} err=${errTotal}`);
      }
    }
    return [...totals.values()];
  }

  get refusedCount(): number {
    throw new RangeError("The real agent logs what it refuses: use a scripted one");
  }

  bodiesOf(): readonly string[] {
    throw new RangeError("The real agent keeps no questions: use a scripted one");
  }

  portsOf(): readonly number[] {
    throw new RangeError("The real agent keeps no questions: use a scripted one");
  }

  setRoutes(routes: Readonly<Record<string, readonly string[]>>): void {
    for (const [module, nodes] of Object.entries(routes)) {
      const [modId, cmdId] = module.split(",").map(Number);
      this.#dns.push(modId, cmdId, nodes.map(hostOf));
    }
  }

  async close(): Promise<void> {
    await this.stop();
    await this.#dns.close();
    await this.#reporter.close();
    await rm(this.#folder, { recursive: true, force: true });
  }
}

/** The table is there once a thread of its own runs. @throws {Error} when it does not come. */
async function waitForFile(path: string): Promise<void> {
  const endMs = systemClock.nowMs() + TABLE_MS_MAX;
  while (!existsSync(path)) {
    if (systemClock.nowMs() > endMs) {
      throw new Error(
        `${path} must be there after ${TABLE_MS_MAX} ms: the agent has made no table`,
      );
    }
    await sleep(systemClock, TABLE_LOOK_MS);
  }
}

function hostOf(node: string): HostInfo {
  const [ip, port] = node.split(":");
  return { ip: parseIpv4(ip), port: Number(port) };
}
