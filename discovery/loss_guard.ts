// Core. Holds nodes in their routes when too many seem to be lost at once: then it is more likely
// that something between them and discovery broke than that they all ended.

import { type ModuleId, moduleId, type ModuleKey } from "../model/module.ts";

/** When the guard holds nodes back. */
export interface LossGuardSettings {
  /** Most of a module's nodes that may be lost within {@linkcode windowMs}; 1: no limit. */
  readonly moduleShare: number;
  /** The same of all nodes together. */
  readonly totalShare: number;
  /** So many may always be lost, however few there are: of a module, and of all. */
  readonly moduleNodesMin: number;
  readonly totalNodesMin: number;
  /** Time within which losses count together, in milliseconds. */
  readonly windowMs: number;
}

/** What a guard does unless told otherwise. */
export const LOSS_GUARD_DEFAULTS: LossGuardSettings = {
  moduleShare: 0.5,
  totalShare: 0.5,
  moduleNodesMin: 2,
  totalNodesMin: 20,
  windowMs: 60_000,
};

/** A node that seems to be lost. */
export interface LostNode {
  readonly module: ModuleKey;
  /** Within its module and beyond, unique. */
  readonly id: string;
  /** Its host refused a connection: it is not there. */
  readonly isProved: boolean;
}

/** A module of which nodes are held. */
export interface HeldModule extends ModuleKey {
  /** Nodes that seem to be lost and stay. */
  readonly heldCount: number;
  /** Nodes of the module that get calls, those included. */
  readonly liveCount: number;
  /** Since when, by the time given to {@linkcode LossGuard.split}. */
  readonly sinceMs: number;
}

/** What several guards hold, of each module together. */
export function allHeld(guards: readonly LossGuard[]): HeldModule[] {
  const all = new Map<ModuleId, HeldModule>();
  for (const one of guards.flatMap(({ held }) => held)) {
    const key = moduleId(one.modId, one.cmdId);
    const known = all.get(key);
    all.set(key, {
      ...one,
      heldCount: one.heldCount + (known?.heldCount ?? 0),
      sinceMs: Math.min(one.sinceMs, known?.sinceMs ?? Infinity),
    });
  }
  return [...all.values()];
}

/** Nodes lost lately, by id, with the time. */
class Losses {
  readonly #atMs = new Map<string, number>();

  add(id: string, nowMs: number): void {
    this.#atMs.delete(id); // So that it comes last.
    this.#atMs.set(id, nowMs);
  }

  delete(id: string): void {
    this.#atMs.delete(id);
  }

  /** Those since a time that are none of `group`, which may have been counted before. */
  countSince(fromMs: number, group: readonly LostNode[]): number {
    for (const [id, atMs] of this.#atMs) {
      if (atMs >= fromMs) break; // In order of their coming.
      this.#atMs.delete(id);
    }
    return this.#atMs.size - group.filter(({ id }) => this.#atMs.has(id)).length;
  }
}

/**
 * One for each discovery: it judges what this one hears, beside what all others have lost. Nodes held are
 * asked about again.
 */
export class LossGuard {
  #settings: LossGuardSettings;
  readonly #lost = new Map<ModuleId, Losses>();
  readonly #allLost = new Losses();
  readonly #confirmed = new Set<ModuleId>();
  #held = new Map<ModuleId, HeldModule>();

  constructor(settings: LossGuardSettings = LOSS_GUARD_DEFAULTS) {
    this.#settings = settings;
  }

  /** Modules of which nodes are held now. */
  get held(): readonly HeldModule[] {
    return [...this.#held.values()];
  }

  setSettings(settings: LossGuardSettings): void {
    this.#settings = settings;
  }

  /** Somebody says that the losses of a module are real: they go, until none is held any more. */
  confirm(module: ModuleKey): void {
    this.#confirmed.add(moduleId(module.modId, module.cmdId));
  }

  /**
   * Another discovery has lost a node. So two that are cut off from their nodes at once do not let a share
   * go each.
   */
  lostElsewhere(module: ModuleKey, id: string, nowMs: number): void {
    this.#losses(module).add(id, nowMs);
    this.#allLost.add(id, nowMs);
  }

  /** A node is back, or went of its own will: it is no loss. */
  returned({ modId, cmdId }: ModuleKey, id: string): void {
    this.#lost.get(moduleId(modId, cmdId))?.delete(id);
    this.#allLost.delete(id);
  }

  /**
   * Which of the nodes that seem to be lost may go now. To be asked of all of them each time.
   *
   * @param liveCount Nodes of a module that get calls, the lost ones included; of all without one.
   */
  split<T extends LostNode>(
    nodes: readonly T[],
    liveCount: (module?: ModuleKey) => number,
    nowMs: number,
  ): { go: T[]; hold: T[] } {
    const go: T[] = [];
    const doubtful = new Map<ModuleId, T[]>();
    for (const node of nodes) {
      const key = moduleId(node.module.modId, node.module.cmdId);
      if (node.isProved || this.#confirmed.has(key)) {
        go.push(node);
        continue;
      }
      const group = doubtful.get(key) ?? [];
      group.push(node);
      doubtful.set(key, group);
    }
    const { hold, passed } = this.#judge(doubtful, liveCount, nowMs);
    for (const node of passed) {
      this.#losses(node.module).add(node.id, nowMs);
      this.#allLost.add(node.id, nowMs);
    }
    this.#noteHeld(hold, liveCount, nowMs);
    return { go: [...go, ...passed], hold };
  }

  #judge<T extends LostNode>(
    groups: ReadonlyMap<ModuleId, readonly T[]>,
    liveCount: (module?: ModuleKey) => number,
    nowMs: number,
  ): { hold: T[]; passed: T[] } {
    const { moduleShare, totalShare, moduleNodesMin, totalNodesMin, windowMs } = this.#settings;
    const fromMs = nowMs - windowMs;
    const hold: T[] = [];
    const passed: T[] = [];
    for (const group of groups.values()) {
      const [{ module }] = group;
      const before = this.#losses(module).countSince(fromMs, group);
      const most = Math.max(moduleNodesMin, Math.floor(moduleShare * (liveCount(module) + before)));
      (group.length + before > most ? hold : passed).push(...group);
    }
    const before = this.#allLost.countSince(fromMs, passed);
    const most = Math.max(totalNodesMin, Math.floor(totalShare * (liveCount() + before)));
    if (passed.length + before <= most) return { hold, passed };
    return { hold: [...hold, ...passed], passed: [] };
  }

  #losses({ modId, cmdId }: ModuleKey): Losses {
    const key = moduleId(modId, cmdId);
    const losses = this.#lost.get(key) ?? new Losses();
    this.#lost.set(key, losses);
    return losses;
  }

  #noteHeld(
    nodes: readonly LostNode[],
    liveCount: (module?: ModuleKey) => number,
    nowMs: number,
  ): void {
    const before = this.#held;
    this.#held = new Map();
    for (const { module: { modId, cmdId } } of nodes) {
      const key = moduleId(modId, cmdId);
      const known = this.#held.get(key);
      this.#held.set(key, {
        ...{ modId, cmdId },
        heldCount: (known?.heldCount ?? 0) + 1,
        liveCount: known?.liveCount ?? liveCount({ modId, cmdId }),
        sinceMs: before.get(key)?.sinceMs ?? nowMs,
      });
    }
    for (const key of this.#confirmed) if (!this.#held.has(key)) this.#confirmed.delete(key);
  }
}
