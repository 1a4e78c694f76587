// Shell. The real agent of an exchange, between a dns and a reporter that do what the script says.

import { agentDaemon } from "../agent/service.ts";
import { FakeDns, FakeReporter } from "../agent/testing/fake_upstream.ts";
import type { PlayedAgent } from "../api/conformance/scripted_agent.ts";
import { type RunningService, startDaemon } from "../daemon/daemon.ts";
import type { HostInfo } from "../proto/codec.ts";
import { AGENT_PORT_COUNT } from "../proto/message_ids.ts";
import { formatIpv4, parseIpv4 } from "../reactor/address.ts";
import { BindError } from "../reactor/errors.ts";
import { silentLogger } from "../reactor/log.ts";
import { nextInt } from "../reactor/time/rng.ts";
import { systemRng } from "../reactor/time/system_rng.ts";

/** Where the ports of an agent lie: below those that a system gives to outgoing connections. */
const FIRST_PORT = 11_000;
const LAST_PORT = 14_990;
const TRIES_MAX = 20;

/** An agent of this build, in this process. */
export class ConformanceAgent implements PlayedAgent {
  readonly #dns: FakeDns;
  readonly #reporter: FakeReporter;
  #agent: RunningService | undefined;
  #port = 0;
  /** Records are not seen here: what the agent makes of them is. */
  readonly runCount = 0;

  private constructor(dns: FakeDns, reporter: FakeReporter) {
    this.#dns = dns;
    this.#reporter = reporter;
  }

  /** Starts all three; `routes` as in an exchange. */
  static async open(
    routes: Readonly<Record<string, readonly string[]>>,
  ): Promise<ConformanceAgent> {
    const agent = new ConformanceAgent(await FakeDns.start(), await FakeReporter.start());
    for (const [module, nodes] of Object.entries(routes)) {
      agent.#dns.routes.set(module, nodes.map(hostOf));
    }
    await agent.#startFirst();
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
    this.#agent = await startDaemon(agentDaemon, {
      flags: {
        "agent.port": String(this.#port),
        "agent.threads": "0",
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
  }
}

function hostOf(node: string): HostInfo {
  const [ip, port] = node.split(":");
  return { ip: parseIpv4(ip), port: Number(port) };
}
