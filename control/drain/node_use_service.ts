// Shell. Asks every dns how its agents use a node, and the database who still reports calls of it.

import type { ModuleKey } from "../../model/module.ts";
import type { NodeAddress } from "../../model/node.ts";
import { formatIpv4 } from "../../reactor/address.ts";
import type { Clock } from "../../reactor/time/clock.ts";
import { NodeUseState } from "../../proto/message_ids.ts";
import type { AgentUse, NodeUseReport } from "../../proto/codec.ts";
import type { Store } from "../../sql/store.ts";
import type { DnsLines } from "../system/dns_lines.ts";
import { knownServices } from "../system/known_services.ts";
import { ControlError } from "../control_error.ts";
import type { DnsAnswer, NodeCallers, NodeUseAnswers, NodeUseByAgent } from "../schemas.ts";

/** Questions at once; further ones are refused. */
export const NODE_QUESTIONS_MAX = 64;
/** An agent that was seen within this time may still pick by what it has, in seconds. */
export const LATELY_S = 600;
/** Agents without a link that an answer names. */
const UNLINKED_SHOWN = 100;
/** Hosts that reported calls of a module, beside which those agents are held; of more the busiest. */
const HOSTS_LOOKED_AT_MAX = 100_000;
/** Callers that an answer names; of more the rest is counted. */
const CALLERS_SHOWN = 100;

/** What the service works with. */
export interface NodeUseServiceOptions {
  readonly store: Store;
  readonly clock: Clock;
  readonly lines: DnsLines;
}

const STATES = new Map<number, NodeUseByAgent["state"]>([
  [NodeUseState.Picked, "picked"],
  [NodeUseState.Draining, "draining"],
  [NodeUseState.Absent, "absent"],
]);

function agentView(use: AgentUse): NodeUseByAgent {
  return {
    agent: use.agent,
    name: use.agentIp === undefined || use.agentPort === undefined
      ? null
      : `${formatIpv4(use.agentIp)}:${use.agentPort}`,
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
      const lines = await this.#options.lines.open();
      const answers = await Promise.all(
        lines.flatMap((line) =>
          modules.map(async ({ modId, cmdId }) => ({
            dns: line.name,
            modId,
            cmdId,
            report: reportView(await line.nodeUse({ modId, cmdId, ip: node.ip, port: node.port })),
          }))
        ),
      );
      const unlinked = lines.length === 0 ? [] : await this.#unlinked(modules, answers);
      return { dnsCount: lines.length, answers, unlinked };
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
    const { store } = this.#options;
    const sinceTs = await this.#reportedNowS() - withinS + 1;
    const callers: NodeCallers["callers"][number][] = [];
    let callerCount = 0;
    for (const { modId, cmdId } of modules) {
      const query = { modId, cmdId, node, sinceTs, limit: CALLERS_SHOWN };
      const found = await store.recentCallers(query);
      callerCount += found.count;
      for (const { caller, calls } of found.callers) {
        if (callers.length >= CALLERS_SHOWN) break;
        callers.push({ modId, cmdId, host: formatIpv4(caller), calls });
      }
    }
    return { callers, callerCount };
  }

  /**
   * Now, in unix seconds, by the clocks of those who report: a clock of this host that is ahead would
   * make every report look old. Where theirs are ahead, reports look younger: that errs on the safe
   * side.
   */
  async #reportedNowS(): Promise<number> {
    const { store, clock } = this.#options;
    const ownS = Math.floor(clock.wallMs() / 1000);
    const services = await knownServices(store, ["dns", "reporter"]);
    const newestS = Math.max(...services.map(({ seenAt }) => seenAt));
    return services.length === 0 ? ownS : Math.min(ownS, newestS);
  }

  /**
   * Agents that had the modules a short while ago and cannot be asked now: one that is cut off from
   * every dns goes on picking by what it has.
   */
  async #unlinked(
    modules: readonly ModuleKey[],
    answers: readonly DnsAnswer[],
  ): Promise<NodeUseAnswers["unlinked"]> {
    const { store, clock } = this.#options;
    const nowS = Math.floor(clock.wallMs() / 1000);
    const agents = answers.flatMap(({ report }) => report?.agents ?? []);
    const named = new Set(agents.map(({ name }) => name));
    const lately = (await knownServices(store, ["agent"])).filter(({ address, seenAt }) =>
      nowS - seenAt <= LATELY_S && !named.has(address)
    );
    if (lately.length === 0) return [];
    const hosts = new Set<string>();
    for (const { modId, cmdId } of modules) {
      const query = { modId, cmdId, sinceTs: nowS - LATELY_S, limit: HOSTS_LOOKED_AT_MAX };
      for (const { caller } of (await store.recentCallers(query)).callers) {
        hosts.add(formatIpv4(caller));
      }
    }
    // Of an agent that has not told its name the address of its connection is all there is.
    const nameless = new Set(
      agents.filter(({ name }) => name === null).map(({ agent }) => hostOf(agent)),
    );
    return lately.filter(({ address }) => {
      const host = hostOf(address);
      return hosts.has(host) && !nameless.has(host);
    }).slice(0, UNLINKED_SHOWN).map(({ address, seenAt }) => ({
      name: address,
      seenS: Math.max(0, nowS - seenAt),
    }));
  }
}

/** `10.0.0.1` of `10.0.0.1:8888`. */
function hostOf(address: string): string {
  return address.slice(0, address.lastIndexOf(":"));
}
