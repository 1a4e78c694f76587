// Shell. Asks the agent of this host why it picks which node.

import { AgentError, LarsClient, NoAgentError } from "../../api/mod.ts";
import { type Address, formatAddress } from "../../reactor/address.ts";
import { TimeoutError } from "../../reactor/errors.ts";
import type { ModuleKey } from "../../model/module.ts";
import type { ResponseOf } from "../../web/contract.ts";
import { ApiProblem } from "../problem.ts";

/** Longest wait for the agent unless told otherwise, in milliseconds. */
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
  /** Longest wait for the agent, in milliseconds. @default {2000} */
  readonly deadlineMs?: number;
}

/** Asks one agent. */
export class ExplainService {
  readonly #options: ExplainServiceOptions;
  #asking = 0;

  constructor(options: ExplainServiceOptions) {
    this.#options = options;
  }

  /**
   * A module that nobody asked the agent for is `unknown`, which is no fault.
   *
   * @throws {ApiProblem} agent-away, too-many-requests.
   */
  async explain(
    key: ModuleKey,
    nodesMax = NODES_SHOWN,
  ): Promise<ResponseOf<"explainModule">> {
    const { agent, token, deadlineMs = ANSWER_TIMEOUT_MS } = this.#options;
    if (this.#asking >= QUESTIONS_MAX) {
      throw new ApiProblem("too-many-requests", "The agent is being asked already", {
        retryAfterS: 1,
      });
    }
    this.#asking++;
    const client = new LarsClient({
      ...agent,
      deadlineMs,
      lastGoodMs: 0,
      ...(token === undefined ? {} : { token }),
    });
    try {
      return this.#view(await client.explain(key.modId, key.cmdId), nodesMax);
    } catch (error) {
      if (!AWAY.some((kind) => error instanceof kind)) throw error;
      throw new ApiProblem(
        "agent-away",
        `No agent answers at ${formatAddress(agent)}: is it running, and does it want a token?`,
      );
    } finally {
      this.#asking--;
      await client.close();
    }
  }

  #view(
    found: Awaited<ReturnType<LarsClient["explain"]>>,
    nodesMax: number,
  ): ResponseOf<"explainModule"> {
    const module = found?.module;
    return {
      agent: formatAddress(this.#options.agent),
      routeState: found?.state ?? "unknown",
      ageMs: found?.ageMs ?? null,
      hasNodes: module !== undefined,
      policy: module?.policy ?? "",
      settings: { ...module?.settings },
      mode: module?.mode ?? "normal",
      modeReason: module?.modeReason ?? "",
      modeSinceMs: module?.modeSinceMs ?? null,
      zones: (module?.zones ?? []).map((zone) => ({ ...zone })),
      picksRemembered: module?.picksRemembered ?? 0,
      nodeCount: module?.nodes.length ?? 0,
      nodes: (module?.nodes ?? []).slice(0, nodesMax).map((node) => ({
        ...node,
        reason: node.reason ?? "",
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
