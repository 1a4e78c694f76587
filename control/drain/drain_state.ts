// Core. When is a drained node safe to stop? What agents say, gathered and judged.

import type { NodeUseAnswers, NodeUseByAgent } from "../schemas.ts";

/** How far a drain is. */
export interface DrainVerdict {
  readonly safe: boolean;
  /** Agents that use a module of the node, each once for each module. */
  readonly agents: number;
  /** Of them: picks it no more. */
  readonly stopped: number;
  /** Peers of the original, which cannot be asked. */
  readonly plain: number;
  /** Milliseconds since the last use that is known of; undefined while somebody may pick it. */
  readonly quietMs: number | undefined;
  /** What is still missing, in words; empty when safe. */
  readonly waitsFor: readonly string[];
}

/** Reasons that are named; further ones are counted. */
const REASONS_MAX = 5;

/**
 * Follows the answers. An agent that cannot say when it used the node last (it has dropped the node
 * altogether) counts as quiet since it was first heard to pick it no more.
 */
export class DrainState {
  readonly #quietMs: number;
  readonly #changedAtMs: number;
  readonly #stoppedAtMs = new Map<string, number>();
  /** Agents that may have picked the node when they were last heard of, and for which module. */
  readonly #owing = new Map<string, string>();
  /** Agents that somebody says are stopped. */
  readonly #gone: ReadonlySet<string>;

  /**
   * @param quietMs Time without any use after which a node is safe to stop.
   * @param changedAtMs When the drain was written and told; peers that cannot be asked are quiet
   * from then on at best.
   * @param gone Names of agents that are known to be stopped: they are not waited for.
   */
  constructor(quietMs: number, changedAtMs: number, gone: readonly string[] = []) {
    this.#gone = new Set(gone);
    this.#quietMs = quietMs;
    this.#changedAtMs = changedAtMs;
  }

  /** Judges a round of answers. */
  judge(
    { answers, unlinked }: Pick<NodeUseAnswers, "answers" | "unlinked">,
    nowMs: number,
  ): DrainVerdict {
    const waitsFor = unlinked.filter(({ name }) => !this.#gone.has(name)).map(({ name, seenS }) =>
      `agent ${name}, seen ${seenS} s ago, is linked to no dns and may still pick it`
    );
    for (const { name } of unlinked) this.#owing.delete(name);
    const seen = new Set<string>();
    const asked = new Set<string>();
    let [agents, stopped, plain] = [0, 0, 0];
    let quietMs = nowMs - this.#changedAtMs;
    for (const { dns, modId, cmdId, report } of answers) {
      const module = `(${modId},${cmdId})`;
      if (report === null) {
        waitsFor.push(`dns ${dns} does not answer`);
        continue;
      }
      plain += report.plainCount;
      if (report.isCut) waitsFor.push(`dns ${dns} has more agents than it can name`);
      for (const use of report.agents) {
        if (use.state === "unknown" && !use.isSilent && use.clientCount === 0) continue;
        agents++;
        const name = `${dns} ${use.agent} ${module}`;
        const since = this.#quietSince(name, use, nowMs);
        if (use.name !== null) {
          if (since === undefined) this.#owing.set(use.name, module);
          else this.#owing.delete(use.name);
          asked.add(use.name);
        }
        if (since === undefined) {
          const what = use.isSilent ? "does not answer" : "may still pick it";
          waitsFor.push(`agent ${use.agent} ${what} for ${module}`);
          continue;
        }
        seen.add(name);
        stopped++;
        quietMs = Math.min(quietMs, since);
      }
    }
    // Cut off while it was asked: what it does with the node is not known.
    for (const [name, module] of this.#owing) {
      if (asked.has(name) || this.#gone.has(name)) continue;
      waitsFor.push(`agent ${name} has gone before it said that it had stopped for ${module}`);
    }
    for (const name of this.#stoppedAtMs.keys()) {
      if (!seen.has(name)) this.#stoppedAtMs.delete(name);
    }
    const blocked = waitsFor.length > 0;
    if (!blocked && quietMs < this.#quietMs) {
      waitsFor.push(`quiet for ${seconds(quietMs)} of ${seconds(this.#quietMs)} s`);
    }
    const more = waitsFor.length - REASONS_MAX;
    return {
      safe: waitsFor.length === 0,
      agents,
      stopped,
      plain,
      quietMs: blocked ? undefined : quietMs,
      waitsFor: more > 0 ? [...waitsFor.slice(0, REASONS_MAX), `${more} more`] : waitsFor,
    };
  }

  /** A round that could not be asked: what befell in it is not known, so all counts anew. */
  unheard(reason: string): DrainVerdict {
    this.#stoppedAtMs.clear();
    return { safe: false, agents: 0, stopped: 0, plain: 0, quietMs: undefined, waitsFor: [reason] };
  }

  /** How long an agent has not used the node; undefined while it may. */
  #quietSince(name: string, use: NodeUseByAgent, nowMs: number): number | undefined {
    if (use.isSilent || use.state === "picked") return undefined;
    const stoppedAtMs = this.#stoppedAtMs.get(name) ?? nowMs;
    this.#stoppedAtMs.set(name, stoppedAtMs);
    return use.idleMs ?? nowMs - stoppedAtMs;
  }
}

function seconds(ms: number): string {
  return (ms / 1000).toFixed(1);
}
