// Shell. Asks the agent of this host why it picks which node.

import { AgentError, LarsClient, NoAgentError } from "../api/mod.ts";
import { type Address, formatAddress } from "../reactor/address.ts";
import { TimeoutError } from "../reactor/errors.ts";
import type { ModuleKey } from "../sql/store.ts";
import type { ResponseOf } from "./contract.ts";
import { ApiProblem } from "./problem.ts";

/** Longest wait for the agent, in milliseconds. */
const ANSWER_TIMEOUT_MS = 2000;
/** Questions at once; further ones are refused. */
const QUESTIONS_MAX = 8;
const NODES_SHOWN = 500;

/** Errors of the client that say nothing but that no agent answers. */
const AWAY = [AgentError, NoAgentError, TimeoutError];

/** What the service works with. */
export interface ExplainServiceOptions {
  readonly agent: Address;
  /** The secret the agent asks for, if any. */
  readonly token: Uint8Array | undefined;
}

/** Asks one agent. */
export class ExplainService {
  readonly #options: ExplainServiceOptions;
  #asking = 0;

  constructor(options: ExplainServiceOptions) {
    this.#options = options;
  }

  /** @throws {ApiProblem} not-found, agent-away, too-many-requests. */
  async explain(key: ModuleKey): Promise<ResponseOf<"explainModule">> {
    const { agent, token } = this.#options;
    if (this.#asking >= QUESTIONS_MAX) {
      throw new ApiProblem("too-many-requests", "The agent is being asked already", {
        retryAfterS: 1,
      });
    }
    this.#asking++;
    const client = new LarsClient({
      ...agent,
      deadlineMs: ANSWER_TIMEOUT_MS,
      lastGoodMs: 0,
      ...(token === undefined ? {} : { token }),
    });
    try {
      return this.#view(key, await client.explain(key.modId, key.cmdId));
    } catch (error) {
      if (!AWAY.some((kind) => error instanceof kind)) throw error;
      throw new ApiProblem("agent-away", `No agent answers at ${formatAddress(agent)}`);
    } finally {
      this.#asking--;
      await client.close();
    }
  }

  #view(
    { modId, cmdId }: ModuleKey,
    found: Awaited<ReturnType<LarsClient["explain"]>>,
  ): ResponseOf<"explainModule"> {
    const agent = formatAddress(this.#options.agent);
    if (found === undefined) {
      throw new ApiProblem(
        "not-found",
        `Nobody has asked the agent at ${agent} for ${modId}/${cmdId}`,
      );
    }
    const { module } = found;
    return {
      agent,
      routeState: found.state,
      ageMs: found.ageMs ?? null,
      policy: module?.policy ?? "",
      mode: module?.mode ?? "normal",
      modeReason: module?.modeReason ?? "",
      picksRemembered: module?.picksRemembered ?? 0,
      nodeCount: module?.nodes.length ?? 0,
      nodes: (module?.nodes ?? []).slice(0, NODES_SHOWN).map((node) => ({
        node: node.node,
        zone: node.zone,
        weight: node.weight,
        pickWeight: node.pickWeight,
        condition: node.condition,
        sinceMs: node.sinceMs,
        reason: node.reason ?? "",
        succTotal: node.succTotal,
        errTotal: node.errTotal,
        meanMs: node.meanMs,
        pickShare: node.pickShare ?? null,
      })),
      decisions: (module?.decisions ?? []).map(({ agoMs, node, became, reason }) => ({
        agoMs,
        node: node ?? null,
        became,
        reason,
      })),
    };
  }
}
