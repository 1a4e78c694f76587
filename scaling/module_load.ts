// Shell. Load of a module now, from what callers reported.

import { sumCalls } from "../control/counters/recent_calls.ts";
import type { ScaleRule } from "../control/schemas.ts";
import type { SeenModule } from "../control/system/system_model.ts";
import { historyWholeUntil } from "../sql/results/call_history.ts";
import type { Store } from "../sql/store.ts";
import { type LoadSample, staleAfterMs } from "./scale_decision.ts";

/** The history has steps of ten seconds. */
const STEP_S = 10;

/**
 * Load of a module; undefined when nobody reported lately, as then nothing is known.
 *
 * Times of calls come with the history alone, so `inflight` and `latency` are those of its last ten
 * whole seconds. Calls in flight are rate times mean time (Little's law).
 */
export async function loadOfModule(
  store: Pick<Store, "readCallHistory">,
  rule: ScaleRule,
  seen: SeenModule,
  nowMs: number,
): Promise<LoadSample | undefined> {
  const reportedAtMs = Math.max(0, ...seen.nodes.map((node) => node.reportedAtMs ?? 0));
  // Reports carry whole seconds.
  if (nowMs - reportedAtMs > staleAfterMs(rule) + 1000) return undefined;
  const { callsPerSecond, errorShare, modId, cmdId } = seen;
  if (rule.metric === "calls") return { atMs: nowMs, load: callsPerSecond, errorShare };
  const toSeconds = historyWholeUntil(nowMs / 1000);
  const history = await store.readCallHistory({
    ...{ fromSeconds: toSeconds - STEP_S, toSeconds, stepSeconds: STEP_S },
    ...{ module: { modId, cmdId }, groupBy: "module" },
  });
  const { meanMs } = sumCalls(history.points);
  if (meanMs === null) return undefined;
  const load = rule.metric === "latency" ? meanMs : callsPerSecond * meanMs / 1000;
  return { atMs: nowMs, load, errorShare };
}
