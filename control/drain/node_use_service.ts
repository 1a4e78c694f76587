// Shell. Asks every dns how its agents use a node, and the database who still reports calls of it.

import type { Secrets } from "../../session/secrets.ts";
import type { ModuleKey } from "../../model/module.ts";
import type { NodeAddress } from "../../model/node.ts";
import { type Address, formatAddress, formatIpv4 } from "../../reactor/address.ts";
import { type Clock, setRepeating, type Timer } from "../../reactor/time/clock.ts";
import { silentLogger } from "../../reactor/log.ts";
import type { Rng } from "../../reactor/time/rng.ts";
import { NodeUseState } from "../../proto/message_ids.ts";
import type { AgentUse, NodeUseReport } from "../../proto/codec.ts";
import type { Store } from "../../sql/store.ts";
import { liveDns } from "../system/known_services.ts";
import { NodeUseQuery } from "./node_use_query.ts";
import { ControlError } from "../control_error.ts";
import type { DnsAnswer, NodeCallers, NodeUseAnswers, NodeUseByAgent } from "../schemas.ts";

/** Questions at once; further ones are refused. */
export const NODE_QUESTIONS_MAX = 64;
/** A line to a dns is kept for so long after the last question, in milliseconds. */
const LINE_KEEP_MS = 30_000;
/** Callers that an answer names; of more the rest is counted. */
const CALLERS_SHOWN = 100;

/** What the service works with. */
export interface NodeUseServiceOptions {
  readonly store: Store;
  readonly clock: Clock;
  readonly rng: Rng;
  readonly software: string;
  /** Shared with dns, if there are any. */
  readonly secrets: Secrets | undefined;
  /** Asked besides those that signed in to the database. */
  readonly addresses: readonly Address[];
}

interface Line {
  readonly query: NodeUseQuery;
  usedAtMs: number;
}

const STATES = new Map<number, NodeUseByAgent["state"]>([
  [NodeUseState.Picked, "picked"],
  [NodeUseState.Draining, "draining"],
  [NodeUseState.Absent, "absent"],
]);

function agentView(use: AgentUse): NodeUseByAgent {
  return {
    agent: use.agent,
    state: STATES.get(use.state) ?? "unknown",
    isSilent: use.silent,
    idleMs: use.idleMs ?? null,
    clientCount: use.clients,
  };
}

function reportView(report: NodeUseReport | undefined): DnsAnswer["report"] {
  if (report === undefined) return null;
  return {
    agents: report.agents.map(agentView),
    plainCount: report.plain,
    isCut: report.cut,
  };
}

/** Asks about nodes, for the command line and for REST alike. */
export class NodeUseService {
  readonly #options: NodeUseServiceOptions;
  readonly #lines = new Map<string, Line>();
  #sweeper: Timer | undefined;
  #asking = 0;

  constructor(options: NodeUseServiceOptions) {
    this.#options = options;
  }

  /**
   * How agents use a node in some modules, as each dns says; one that does not answer within
   * 1.5 s says nothing.
   *
   * @throws {ControlError} too-many-requests.
   */
  async use(node: NodeAddress, modules: readonly ModuleKey[]): Promise<NodeUseAnswers> {
    if (this.#asking >= NODE_QUESTIONS_MAX) {
      throw new ControlError("too-many-requests", "dns is being asked about many nodes already", {
        retryAfterS: 1,
      });
    }
    this.#asking++;
    try {
      const queries = await this.#queries();
      const answers = await Promise.all(
        queries.flatMap((query) =>
          modules.map(async ({ modId, cmdId }) => ({
            dns: query.name,
            modId,
            cmdId,
            report: reportView(await query.ask({ modId, cmdId, ip: node.ip, port: node.port })),
          }))
        ),
      );
      return { dnsCount: queries.length, answers };
    } finally {
      this.#asking--;
    }
  }

  /**
   * Callers whose last report of calls of the node is younger than that: agents without any dns, and
   * those of the original, cannot be asked how they use it.
   */
  async callers(
    node: NodeAddress,
    modules: readonly ModuleKey[],
    withinS: number,
  ): Promise<NodeCallers> {
    const { store, clock } = this.#options;
    const sinceS = Math.floor(clock.wallMs() / 1000) - withinS;
    const callers: NodeCallers["callers"][number][] = [];
    let callerCount = 0;
    for (const { modId, cmdId } of modules) {
      for (const status of await store.readCallStatus({ modId, cmdId })) {
        const calls = status.succCount + status.errCount;
        if (status.ip !== node.ip || status.port !== node.port) continue;
        if (status.ts <= sinceS || calls === 0) continue;
        callerCount++;
        if (callers.length >= CALLERS_SHOWN) continue;
        callers.push({ modId, cmdId, host: formatIpv4(status.caller), calls });
      }
    }
    return { callers, callerCount };
  }

  /** Ends all lines; questions under way are given up. */
  async close(): Promise<void> {
    this.#sweeper?.cancel();
    this.#sweeper = undefined;
    const lines = [...this.#lines.values()];
    this.#lines.clear();
    await Promise.all(lines.map(({ query }) => query.close()));
  }

  /** One line to each dns that signed in, or was named; those that are gone are left. */
  async #queries(): Promise<NodeUseQuery[]> {
    const { store, clock, rng, software, secrets, addresses } = this.#options;
    const wanted = new Map(
      [...await liveDns(store, clock), ...addresses].map((one) => [formatAddress(one), one]),
    );
    for (const [name, { query }] of this.#lines) {
      if (wanted.has(name)) continue;
      this.#lines.delete(name);
      void query.close();
    }
    for (const [name, address] of wanted) {
      let line = this.#lines.get(name);
      if (line === undefined) {
        const log = silentLogger;
        const query = new NodeUseQuery({ address, secrets, software, clock, rng, log });
        this.#lines.set(name, line = { query, usedAtMs: 0 });
      }
      line.usedAtMs = clock.nowMs();
    }
    this.#sweeper ??= setRepeating(clock, LINE_KEEP_MS, () => void this.#sweep());
    return [...this.#lines.values()].map(({ query }) => query);
  }

  /** Ends lines that nobody needs any more. */
  async #sweep(): Promise<void> {
    const beforeMs = this.#options.clock.nowMs() - LINE_KEEP_MS;
    const old = [...this.#lines].filter(([, { usedAtMs }]) => usedAtMs < beforeMs);
    for (const [name] of old) this.#lines.delete(name);
    if (this.#lines.size === 0) {
      this.#sweeper?.cancel();
      this.#sweeper = undefined;
    }
    await Promise.all(old.map(([, { query }]) => query.close()));
  }
}
