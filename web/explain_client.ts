// Shell. The service that explains picks, with the client by which agents are asked.

import { AgentError, LarsClient, NoAgentError } from "../api/mod.ts";
import { isOriginalAgent, probeAgent } from "../control/explain/agent_probe.ts";
import { ExplainService } from "../control/explain/explain_service.ts";
import type { Address } from "../reactor/address.ts";
import { TimeoutError } from "../reactor/errors.ts";
import type { Secrets } from "../session/secrets.ts";

/** Errors of the client that say nothing but that no agent answers. */
const AWAY = [AgentError, NoAgentError, TimeoutError];

/**
 * Explains what one agent picks.
 *
 * @param secrets What the agent asks for, if anything; the first one is shown to it.
 * @param deadlineMs Longest wait for the agent, in milliseconds.
 */
export function explainService(
  agent: Address,
  secrets: Secrets | undefined,
  deadlineMs = 2000,
): ExplainService {
  const options = { ...agent, deadlineMs, lastGoodMs: 0 };
  return new ExplainService({
    agent,
    open: () =>
      new LarsClient(secrets === undefined ? options : { ...options, token: secrets.first }),
    isAway: (error) => AWAY.some((kind) => error instanceof kind),
    // One of ours that wants a secret says Hello all the same.
    isOriginal: async (key) =>
      await probeAgent(agent).then(() => false, () => isOriginalAgent(agent, key)),
  });
}
