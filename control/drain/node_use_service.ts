// Shell. Asks every dns how its agents use a node, and the database who still reports calls of it.

import type { ModuleKey } from "../../model/module.ts";
import type { NodeAddress } from "../../model/node.ts";
import { formatIpv4 } from "../../reactor/address.ts";
import type { Clock } from "../../reactor/time/clock.ts";
import { NodeUseState } from "../../proto/message_ids.ts";
import type { AgentUse, NodeUseReport } from "../../proto/codec.ts";
import type { Store } from "../../sql/store.ts";
import type { DnsLines } from "../system/dns_lines.ts";
import { ControlError } from "../control_error.ts";
import type { DnsAnswer, NodeCallers, NodeUseAnswers, NodeUseByAgent } from "../schemas.ts";

/** Questions at once; further ones are refused. */
export const NODE_QUESTIONS_MAX = 64;
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
      return { dnsCount: lines.length, answers };
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
}
