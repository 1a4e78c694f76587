// Shell. Asks an agent why it picks which node.

import type { ModuleExplanation } from "../../balancer/routes/route_records.ts";
import type { ModuleKey } from "../../model/module.ts";
import { type Address, formatAddress } from "../../reactor/address.ts";
import { ControlError } from "../control_error.ts";
import type { Explanation } from "../schemas.ts";

/** Questions at once; further ones are refused. */
const QUESTIONS_MAX = 8;
/** Nodes of an explanation unless told otherwise. */
export const NODES_SHOWN = 500;

/** A line to one agent, as `LarsClient` is one. */
export interface ExplainClient {
  explain(modId: number, cmdId: number): Promise<ModuleExplanation | undefined>;
  close(): Promise<void>;
}

/** What the service works with. */
export interface ExplainServiceOptions {
  readonly agent: Address;
  /** Opens a line for one question. */
  open(): ExplainClient;
  /** True for errors that say nothing but that no agent answers. */
  isAway(error: unknown): boolean;
  /** Whether an agent of the original is there, asked when no other answers. @default no */
  isOriginal?(key: ModuleKey): Promise<boolean>;
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
   * @throws {ControlError} agent-away, too-many-requests.
   */
  async explain(key: ModuleKey, nodesMax = NODES_SHOWN): Promise<Explanation> {
    const { agent } = this.#options;
    if (this.#asking >= QUESTIONS_MAX) {
      throw new ControlError("too-many-requests", "The agent is being asked already", {
        retryAfterS: 1,
      });
    }
    this.#asking++;
    const client = this.#options.open();
    try {
      return explanationView(
        formatAddress(agent),
        await client.explain(key.modId, key.cmdId),
        nodesMax,
      );
    } catch (error) {
      if (!this.#options.isAway(error)) throw error;
      if (await this.#options.isOriginal?.(key) === true) {
        throw new ControlError(
          "agent-away",
          `At ${
            formatAddress(agent)
          } is an agent of the original: it picks nodes for its callers, ` +
            "and cannot say why",
        );
      }
      throw new ControlError(
        "agent-away",
        `No agent answers at ${formatAddress(agent)}: is it running, and does it want a token?`,
      );
    } finally {
      this.#asking--;
      await client.close();
    }
  }
}

/** What an agent said, as clients get it. */
export function explanationView(
  agent: string,
  found: ModuleExplanation | undefined,
  nodesMax: number,
): Explanation {
  const module = found?.module;
  return {
    agent,
    routeState: found?.state ?? "unknown",
    ageMs: found?.ageMs ?? null,
    hasNodes: module !== undefined,
    policy: module?.policy ?? "",
    settings: module?.settings ?? {},
    mode: module?.mode ?? "normal",
    modeReason: module?.modeReason ?? "",
    modeSinceMs: module?.modeSinceMs ?? null,
    zones: module?.zones ?? [],
    picksRemembered: module?.picksRemembered ?? 0,
    nodeCount: module?.nodes.length ?? 0,
    nodes: (module?.nodes ?? []).slice(0, nodesMax).map((node) => ({
      ...node,
      reason: node.reason ?? "",
      // An older agent does not tell it.
      expectedShare: (node as Partial<typeof node>).expectedShare ?? null,
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
