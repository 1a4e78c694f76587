// Core. Scaling of one module from look to look: what was decided, ordered, drained and is stopping.

import type { ScaleRule, ScaleStatus } from "../control/schemas.ts";
import {
  decideScale,
  type LoadSample,
  type ScaleAdvice,
  type ScaleDecision,
} from "./scale_decision.ts";
import { type FleetNode, pickLeaving } from "./leaving_nodes.ts";

/** A node that is on its way out. */
export interface LeavingNode {
  readonly name: string;
  /**
   * `stopping`: it was safe, and the driver was told; it never gets calls again. `returning`: its
   * drain is being taken back.
   */
  readonly phase: "draining" | "stopping" | "returning";
  /** Since when it is in this phase, by the clock of the database. */
  readonly sinceMs: number;
}

/** What another service that takes over must know of a module. */
export interface ScaleMemory {
  readonly grownAtMs: number | null;
  readonly shrunkAtMs: number | null;
  /** Nodes that the driver was told there should be; null: nothing is awaited. */
  readonly awaited: { readonly nodes: number; readonly sinceMs: number } | null;
  readonly leaving: readonly LeavingNode[];
}

/** What a driver is told. */
export interface ScaleOrder {
  readonly action: "start" | "stop";
  /** Nodes before and after. */
  readonly from: number;
  readonly to: number;
  /** Nodes to stop; none for `start`. */
  readonly nodes: readonly string[];
  readonly reason: string;
}

/** What a look leads to, for whoever carries it out. */
export type ScaleEffect =
  | { readonly op: "drain" | "restore"; readonly name: string; readonly why: string }
  | { readonly op: "free"; readonly name: string; readonly why: string }
  | { readonly op: "order"; readonly order: ScaleOrder }
  | { readonly op: "event"; readonly kind: ScaleEventKind; readonly text: string };

/** Kinds of events that scaling writes. */
export type ScaleEventKind = `scale.${"up" | "down" | "cancel" | "gone" | "late" | "fault"}`;

/** What one look sees. */
export interface ScaleLook {
  readonly rule: ScaleRule;
  readonly nodes: readonly FleetNode[];
  /** The highest scheduled floor that holds; 0: none. */
  readonly floor: number;
  /** Load now; undefined: it is not known. */
  readonly sample: LoadSample | undefined;
  readonly nowMs: number;
}

/** Looks kept of one module; of more the oldest are forgotten. */
const SAMPLES_MAX = 3600;

/** Until a drain that was written shows in what is read, in milliseconds. */
const SEEN_MS = 15_000;
/** A drain that should be taken back and is not is tried again after this time. */
const REPEAT_MS = 5_000;

const NOTHING: ScaleMemory = {
  ...{ grownAtMs: null, shrunkAtMs: null, awaited: null, leaving: [] },
};

/** What was written down of a module; undefined: nothing, or nothing that can be read. */
export function memoryFrom(text: string | undefined): ScaleMemory | undefined {
  if (text === undefined || text === "") return undefined;
  try {
    const { memory } = JSON.parse(text) as { memory?: ScaleMemory };
    return Array.isArray(memory?.leaving) ? memory : undefined;
  } catch {
    // Of a foreign hand: one module begins anew, and no other waits for it.
    return undefined;
  }
}

/** Scales one module. Carries nothing out: it says what is to be done. */
export class FleetScaler {
  #samples: LoadSample[] = [];
  /** Wishes that could still count as the most of the window, falling. */
  #advice: ScaleAdvice[] = [];
  #watchedSinceMs: number | undefined;
  #grownAtMs: number;
  #shrunkAtMs: number;
  #awaited: ScaleMemory["awaited"];
  #leaving: LeavingNode[];
  #pendingCount = 0;
  #decision: (ScaleDecision & { readonly atMs: number }) | undefined;
  #isDrySaid = "";

  constructor(memory: ScaleMemory = NOTHING) {
    this.#grownAtMs = memory.grownAtMs ?? -Infinity;
    this.#shrunkAtMs = memory.shrunkAtMs ?? -Infinity;
    this.#awaited = memory.awaited;
    this.#leaving = [...memory.leaving];
  }

  /** What another service that takes over must know. */
  get memory(): ScaleMemory {
    const orNull = (ms: number): number | null => Number.isFinite(ms) ? ms : null;
    return {
      grownAtMs: orNull(this.#grownAtMs),
      shrunkAtMs: orNull(this.#shrunkAtMs),
      awaited: this.#awaited,
      leaving: this.#leaving,
    };
  }

  /** Nodes that drain and are asked about. */
  get draining(): readonly LeavingNode[] {
    return this.#leaving.filter(({ phase }) => phase === "draining");
  }

  /** Nodes that the driver was told to stop. */
  get stopping(): readonly LeavingNode[] {
    return this.#leaving.filter(({ phase }) => phase === "stopping");
  }

  /** What people are shown; null before the first look. */
  get status(): Omit<ScaleStatus, "order"> | null {
    if (this.#decision === undefined) return null;
    const named = (phase: LeavingNode["phase"]): string[] =>
      this.#leaving.filter((one) => one.phase === phase).map(({ name }) => name);
    return {
      ...this.#decision,
      pendingCount: this.#pendingCount,
      draining: named("draining"),
      stopping: named("stopping"),
    };
  }

  /** Looks at the module once. Call it about once a second. */
  look(look: ScaleLook): ScaleEffect[] {
    const { rule, nodes, sample, nowMs } = look;
    const effects = this.#follow(look);
    this.#note(rule, sample, nowMs);
    const phases = new Map(this.#leaving.map(({ name, phase }) => [name, phase]));
    const on = nodes.filter(({ state, name }) => {
      const phase = phases.get(name);
      return phase === undefined ? state === "on" : phase === "returning";
    });
    const stopping = this.#leaving.filter(({ phase }) => phase === "stopping").length;
    // Nodes that stop still run: with them there are never more than max.
    const max = Math.max(rule.min, rule.max - stopping);
    effects.push(...this.#await(rule, on.length, nowMs));
    const decision = decideScale({
      ...{
        rule: { ...rule, max },
        floor: look.floor,
        nowMs,
        samples: this.#samples,
        advice: this.#advice,
      },
      counts: {
        on: on.length,
        keptOut: on.filter(({ isKeptOut }) => isKeptOut).length,
        cold: on.filter(({ sinceMs }) => sinceMs !== null && nowMs - sinceMs < rule.warmUpS * 1000)
          .length,
        pending: this.#pendingCount,
      },
      watchedSinceMs: this.#watchedSinceMs,
      grownAtMs: this.#grownAtMs,
      shrunkAtMs: this.#shrunkAtMs,
    });
    this.#advise(rule, decision, nowMs);
    this.#decision = { ...decision, atMs: nowMs };
    if (decision.kind === "up") effects.push(...this.#grow(rule, decision, nowMs));
    if (decision.kind === "down") effects.push(...this.#shrink(rule, on, decision, nowMs));
    return effects;
  }

  /** Nobody uses these draining nodes any more: the driver is told to stop them. */
  safe(names: readonly string[], nowMs: number): ScaleEffect[] {
    const isSafe = new Set(names);
    const stopped = this.draining.filter(({ name }) => isSafe.has(name)).map(({ name }) => name);
    if (stopped.length === 0) return [];
    this.#leaving = this.#leaving.map((one) =>
      stopped.includes(one.name) ? { name: one.name, phase: "stopping", sinceMs: nowMs } : one
    );
    const to = this.#decision?.from ?? 0;
    const reason = `nobody uses ${stopped.join(", ")} any more`;
    const from = to + stopped.length;
    return [{ op: "order", order: { action: "stop", from, to, nodes: stopped, reason } }];
  }

  /**
   * An order could not be given. One to stop may have been heard all the same, so its nodes get no
   * calls again: it is repeated when its time is over.
   */
  failed(order: ScaleOrder): void {
    if (order.action === "start") this.#awaited = null;
  }

  /** A node is not on its way out any more: its drain could not be written, or it is gone. */
  stays(name: string): void {
    this.#leaving = this.#leaving.filter((one) => one.name !== name);
  }

  /** Everything that drains gets calls again: the rule is off, or somebody cancels. */
  cancel(why: string, nowMs: number): ScaleEffect[] {
    return this.#takeBack(this.draining.map(({ name }) => name), why, nowMs);
  }

  #takeBack(names: readonly string[], why: string, nowMs: number): ScaleEffect[] {
    this.#leaving = this.#leaving.map((one) =>
      names.includes(one.name) ? { name: one.name, phase: "returning", sinceMs: nowMs } : one
    );
    return names.map((name) => ({ op: "restore", name, why }));
  }

  /** Follows nodes that are on their way out. */
  #follow({ rule, nodes, nowMs }: ScaleLook): ScaleEffect[] {
    const effects: ScaleEffect[] = [];
    const known = new Map(nodes.map((node) => [node.name, node]));
    const left: LeavingNode[] = [];
    for (const one of this.#leaving) {
      const next = this.#followOne(one, known.get(one.name), rule, nowMs);
      effects.push(...next.effects);
      if (next.node !== undefined) left.push(next.node);
    }
    this.#leaving = left;
    return effects;
  }

  #followOne(
    one: LeavingNode,
    node: FleetNode | undefined,
    rule: ScaleRule,
    nowMs: number,
  ): { readonly node?: LeavingNode; readonly effects: ScaleEffect[] } {
    const { name, phase, sinceMs } = one;
    const ageMs = nowMs - sinceMs;
    const event = (kind: ScaleEventKind, text: string): ScaleEffect => ({
      op: "event",
      kind,
      text,
    });
    if (node === undefined) {
      const why = `${name} has stopped`;
      return { effects: [{ op: "free", name, why }, event("scale.gone", why)] };
    }
    if (phase === "returning") {
      if (node.state !== "drain") return { effects: [] };
      if (ageMs < REPEAT_MS) return { node: one, effects: [] };
      const again: ScaleEffect = { op: "restore", name, why: "its drain is taken back" };
      return { node: { name, phase, sinceMs: nowMs }, effects: [again] };
    }
    if (phase === "draining" && node.state === "on" && ageMs > SEEN_MS) {
      return { effects: [event("scale.cancel", `${name} stays: somebody took its drain back`)] };
    }
    if (phase === "draining" && node.state === "off") {
      return {
        effects: [event("scale.cancel", `${name} is left alone: somebody switched it off`)],
      };
    }
    if (phase === "draining" && ageMs > rule.drainS * 1000) {
      const why = `${name} was not safe to stop within ${rule.drainS} s`;
      return {
        node: { name, phase: "returning", sinceMs: nowMs },
        effects: [
          { op: "restore", name, why },
          event("scale.cancel", `${why}: it gets calls again`),
        ],
      };
    }
    if (phase === "stopping" && ageMs > rule.startS * 1000) {
      const reason = `${name} should have stopped within ${rule.startS} s`;
      const count = this.#decision?.from ?? 0;
      return {
        node: { name, phase, sinceMs: nowMs },
        effects: [event("scale.late", `${reason}: ordered again`), {
          op: "order",
          order: { action: "stop", from: count + 1, to: count, nodes: [name], reason },
        }],
      };
    }
    return { node: one, effects: [] };
  }

  /** Counts what was ordered and has not come; not longer than it may take. */
  #await(rule: ScaleRule, on: number, nowMs: number): ScaleEffect[] {
    const awaited = this.#awaited;
    this.#pendingCount = 0;
    if (awaited === null) return [];
    const missing = awaited.nodes - on;
    if (missing <= 0) this.#awaited = null;
    else if (nowMs - awaited.sinceMs <= rule.startS * 1000) this.#pendingCount = missing;
    else {
      this.#awaited = null;
      const text = `${missing} of ${awaited.nodes} nodes did not come within ${rule.startS} s`;
      return [{ op: "event", kind: "scale.late", text }];
    }
    return [];
  }

  #note(rule: ScaleRule, sample: LoadSample | undefined, nowMs: number): void {
    const fromMs = nowMs - rule.windowS * 1000;
    if (sample !== undefined && sample.atMs > (this.#samples.at(-1)?.atMs ?? -Infinity)) {
      this.#samples.push(sample);
    }
    this.#samples = this.#samples.filter(({ atMs }) => atMs > fromMs && atMs <= nowMs)
      .slice(-SAMPLES_MAX);
  }

  #advise(rule: ScaleRule, { wish }: ScaleDecision, nowMs: number): void {
    if (wish === null) {
      this.#watchedSinceMs = undefined;
      this.#advice = [];
      return;
    }
    this.#watchedSinceMs ??= nowMs;
    const fromMs = nowMs - rule.stabilisationS * 1000;
    while ((this.#advice.at(-1)?.nodes ?? Infinity) <= wish) this.#advice.pop();
    this.#advice.push({ atMs: nowMs, nodes: wish });
    this.#advice = this.#advice.filter(({ atMs }) => atMs >= fromMs);
  }

  #grow(rule: ScaleRule, decision: ScaleDecision, nowMs: number): ScaleEffect[] {
    const { from, to, reason } = decision;
    const what = `${from} -> ${to} nodes: ${reason}`;
    if (rule.driver === "dry") return this.#sayDry("scale.up", what);
    this.#grownAtMs = nowMs;
    // The youngest drains are taken back first: those nodes are warm and there.
    const back = this.draining.slice(-(to - from)).map(({ name }) => name);
    const effects: ScaleEffect[] = [
      { op: "event", kind: "scale.up", text: what },
      ...this.#takeBack(back, reason, nowMs),
    ];
    if (from + back.length >= to) return effects;
    this.#awaited = { nodes: to, sinceMs: nowMs };
    const order: ScaleOrder = { action: "start", from: from + back.length, to, nodes: [], reason };
    return [...effects, { op: "order", order }];
  }

  #shrink(
    rule: ScaleRule,
    on: readonly FleetNode[],
    decision: ScaleDecision,
    nowMs: number,
  ): ScaleEffect[] {
    const { from, reason } = decision;
    const nodes = pickLeaving(on, from - decision.to);
    if (nodes.length === 0) {
      this.#decision = {
        ...{ ...decision, kind: "hold", to: from, atMs: nowMs },
        reason: `${reason}; none of the nodes may be stopped: none registered itself`,
      };
      return [];
    }
    const names = nodes.map(({ name }) => name);
    const what = `${from} -> ${from - nodes.length} nodes, by ${names.join(", ")}: ${reason}`;
    if (rule.driver === "dry") return this.#sayDry("scale.down", what);
    this.#shrunkAtMs = nowMs;
    this.#awaited = null;
    for (const name of names) this.#leaving.push({ name, phase: "draining", sinceMs: nowMs });
    return [
      { op: "event", kind: "scale.down", text: what },
      ...names.map((name): ScaleEffect => ({ op: "drain", name, why: reason })),
    ];
  }

  /** Says a step that is not taken, once: nothing changes by it, so it would be said for ever. */
  #sayDry(kind: "scale.up" | "scale.down", what: string): ScaleEffect[] {
    const said = `${kind} ${this.#decision?.from} ${this.#decision?.to}`;
    if (said === this.#isDrySaid) return [];
    this.#isDrySaid = said;
    return [{ op: "event", kind, text: `would do, as it runs dry: ${what}` }];
  }
}
