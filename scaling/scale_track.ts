// Core. What a module had and should have had over the last hour, for the chart beside its rule.

import type { ScaleTrack } from "../control/schemas.ts";

/** One value stands for so long. */
export const TRACK_STEP_MS = 15_000;
/** Values that are kept: an hour; of more the oldest are forgotten. */
export const TRACK_STEPS_MAX = 240;

/** A clock that goes back by no more steps than this catches up: what was noted stays meanwhile. */
const BACK_STEPS_MAX = 4;

/** What one look saw. */
export interface TrackedLook {
  /** Nodes that got calls. */
  readonly nodes: number;
  /** Nodes that the load asked for; null: it was not known. */
  readonly wish: number | null;
  /** Of the rule's metric; null: it was not known. */
  readonly load: number | null;
  /** 0 to 1; null: it was not known. */
  readonly errorShare: number | null;
}

/** A mean of what was known. */
class Mean {
  #sum = 0;
  #count = 0;

  add(value: number | null): void {
    if (value === null) return;
    this.#sum += value;
    this.#count++;
  }

  get value(): number | null {
    return this.#count === 0 ? null : Number((this.#sum / this.#count).toPrecision(4));
  }
}

interface Step {
  nodes: number;
  wish: number | null;
  readonly load: Mean;
  readonly errorShare: Mean;
}

/** Notes looks, a value for each step of time. Steps without a look are gaps. */
export class TrackKeeper {
  #steps: (Step | undefined)[] = [];
  #lastSlot = -Infinity;

  /** @param track What was kept before; nothing of it counts when it is from a foreign hand. */
  constructor(track?: ScaleTrack) {
    if (track === undefined || track.stepMs !== TRACK_STEP_MS) return;
    this.#lastSlot = Math.floor(track.fromMs / TRACK_STEP_MS) + track.nodes.length - 1;
    this.#steps = track.nodes.map((nodes, index) => {
      if (nodes === null) return undefined;
      const step = { nodes, wish: track.wish[index], load: new Mean(), errorShare: new Mean() };
      step.load.add(track.load[index]);
      step.errorShare.add(track.errorShare[index]);
      return step;
    });
  }

  /** @returns true when a step has begun by it, so that those before are whole. */
  note(nowMs: number, { nodes, wish, load, errorShare }: TrackedLook): boolean {
    const slot = Math.floor(nowMs / TRACK_STEP_MS);
    if (this.#lastSlot - slot > BACK_STEPS_MAX) this.#dropAhead(slot);
    const isNew = slot > this.#lastSlot;
    if (slot - this.#lastSlot > TRACK_STEPS_MAX) this.#steps = [];
    else for (let at = this.#lastSlot + 1; at < slot; at++) this.#steps.push(undefined);
    if (isNew) {
      this.#lastSlot = slot;
      this.#steps.push({ nodes, wish, load: new Mean(), errorShare: new Mean() });
      this.#steps = this.#steps.slice(-TRACK_STEPS_MAX);
    }
    const step = this.#steps.at(-1);
    // A clock that went back a little: what is noted stays.
    if (step === undefined || slot < this.#lastSlot) return false;
    step.nodes = nodes;
    step.wish = wish;
    step.load.add(load);
    step.errorShare.add(errorShare);
    return isNew;
  }

  /** The clock was ahead: what was noted of a time that is still to come is of none. */
  #dropAhead(slot: number): void {
    const kept = this.#steps.length - (this.#lastSlot - slot) - 1;
    this.#steps.length = Math.max(0, kept);
    this.#lastSlot = slot - 1;
  }

  /** All of it. */
  get track(): ScaleTrack {
    const steps = this.#steps;
    return {
      stepMs: TRACK_STEP_MS,
      fromMs: Math.max(0, (this.#lastSlot - steps.length + 1) * TRACK_STEP_MS),
      nodes: steps.map((step) => step?.nodes ?? null),
      wish: steps.map((step) => step?.wish ?? null),
      load: steps.map((step) => step?.load.value ?? null),
      errorShare: steps.map((step) => step?.errorShare.value ?? null),
    };
  }
}
