// Core. What befalls the nodes, as lists of timed changes.

import { type Condition, REFUSING, SILENT, WELL } from "./node_model.ts";

/** Names of the scripts, as on the command line. */
export const SCRIPT_NAMES = [
  "steady",
  "crash",
  "timeout",
  "errors",
  "slow",
  "flapping",
  "cold-start",
  "deploy-wave",
  "route-change",
  "all-sick",
  "zone-loss",
] as const;

/** One of {@linkcode SCRIPT_NAMES}. */
export type ScriptName = (typeof SCRIPT_NAMES)[number];

/** One thing that happens. Nodes are numbers from 0. */
export type Change =
  | {
    readonly atMs: number;
    readonly kind: "condition";
    readonly nodes: readonly number[];
    readonly condition: Condition;
  }
  /** The route changes: agents learn of it a moment later. */
  | { readonly atMs: number; readonly kind: "route"; readonly route: readonly number[] };

/** A script made out for a number of nodes and a length of time. */
export interface SimScript {
  readonly name: ScriptName;
  /** What happens, for people. */
  readonly about: string;
  /** Number of zones; 1 = zones do not matter. */
  readonly zones: number;
  /** Nodes to which something happens. */
  readonly struck: readonly number[];
  /** The route at the start. */
  readonly route: readonly number[];
  /** In order of time. */
  readonly changes: readonly Change[];
  /** When the first thing happens. Milliseconds. */
  readonly fromMs: number;
  /** When all is as before. Milliseconds. */
  readonly toMs: number;
}

/** Share of the time after which things begin to happen. */
export const FROM_SHARE = 0.2;

/** Share of the time after which they are over. */
export const TO_SHARE = 0.6;

/** Share of the nodes that a script strikes; at least one node. */
export const STRUCK_SHARE = 0.2;

/** Nodes that flap go down, and come up, this many times. */
export const FLAPS = 4;

/** A cold node is well after this many steps of one second. */
export const COLD_STEPS = 10;

/** Batches of a deployment, one after the other. */
export const DEPLOY_BATCHES = 10;

/** Zones of a script that is about zones, unless another number is asked for. */
export const ZONES_USUAL = 3;

/** What a script is made out for. */
export interface ScriptSizes {
  readonly nodes: number;
  /** Length of the run. */
  readonly seconds: number;
  /** Zones the nodes are dealt out to in turn. @default 1, or 3 for `zone-loss` */
  readonly zones?: number;
  /** Nodes the script strikes. @default a fifth of them */
  readonly struck?: number;
  /** How slow the nodes of `slow` are, as a multiple of well ones. @default 20 */
  readonly slowness?: number;
}

/** Zone of a node, or of an agent: they are dealt out in turn. */
export function zoneOf(index: number, zones: number): number {
  return index % zones;
}

interface Plan {
  readonly zones: number;
  readonly slowness: number;
  readonly all: readonly number[];
  readonly struck: readonly number[];
  readonly fromMs: number;
  readonly toMs: number;
}

type Outcome = Pick<SimScript, "about" | "changes"> & Partial<SimScript>;

/** The nodes are in this condition from then on. */
function become(atMs: number, nodes: readonly number[], condition: Condition): Change {
  return { atMs, kind: "condition", nodes, condition };
}

/** Something is wrong with the struck nodes from the beginning to the end. */
function spell(plan: Plan, condition: Condition, about: string, struck = plan.struck): Outcome {
  const { fromMs, toMs } = plan;
  const changes = [become(fromMs, struck, condition), become(toMs, struck, WELL)];
  return { about, struck, changes };
}

function flapping({ struck, fromMs, toMs }: Plan): Outcome {
  const stepMs = (toMs - fromMs) / (2 * FLAPS);
  const changes = Array.from(
    { length: 2 * FLAPS },
    (_, step) => become(fromMs + step * stepMs, struck, step % 2 === 0 ? REFUSING : WELL),
  );
  return { about: `refuse every call, ${FLAPS} times, as long as they are well between`, changes };
}

function coldStart({ all, struck, fromMs, toMs }: Plan): Outcome {
  const stepMs = Math.min(1000, (toMs - fromMs) / COLD_STEPS);
  const warming = Array.from({ length: COLD_STEPS + 1 }, (_, step): Change => {
    const cold = (COLD_STEPS - step) / COLD_STEPS;
    const condition: Condition = cold === 0
      ? WELL
      : { answers: "serve", errorShare: 0.2 * cold, slowness: 1 + 9 * cold };
    return become(fromMs + step * stepMs, struck, condition);
  });
  const route = all.filter((node) => !struck.includes(node));
  return {
    about: "join the route ten times as slow and failing 20 % of calls, and warm up",
    route,
    changes: [warming[0], { atMs: fromMs, kind: "route", route: all }, ...warming.slice(1)],
    toMs: fromMs + COLD_STEPS * stepMs,
  };
}

function deployWave({ all, fromMs, toMs }: Plan): Outcome {
  const batches = Math.min(DEPLOY_BATCHES, all.length);
  const stepMs = (toMs - fromMs) / batches;
  const changes = Array.from({ length: batches }, (_, batch): Change[] => {
    const nodes = all.filter((node) => node % batches === batch);
    const atMs = fromMs + batch * stepMs;
    return [become(atMs, nodes, REFUSING), become(atMs + stepMs, nodes, WELL)];
  });
  // Of one time, the end of a batch comes before the beginning of the next.
  const inOrder = changes.flat().sort((a, b) => a.atMs - b.atMs);
  return { about: `restart in ${batches} batches, unannounced`, changes: inOrder, struck: all };
}

function routeChange({ all, struck, fromMs, toMs }: Plan): Outcome {
  const route = all.filter((node) => !struck.includes(node));
  return {
    about: "leave the route, and come back",
    changes: [
      { atMs: fromMs, kind: "route", route },
      { atMs: toMs, kind: "route", route: all },
    ],
  };
}

const MAKERS: Record<ScriptName, (plan: Plan) => Outcome> = {
  "steady": () => ({ about: "nothing happens", changes: [], struck: [] }),
  "crash": (plan) => spell(plan, REFUSING, "refuse every call at once"),
  "timeout": (plan) => spell(plan, SILENT, "do not answer; callers give up after 1 s"),
  "errors": (plan) => spell(plan, { ...WELL, errorShare: 0.3 }, "fail 30 % of calls"),
  "slow": (plan) =>
    spell(plan, { ...WELL, slowness: plan.slowness }, `take ${plan.slowness} times as long`),
  "flapping": flapping,
  "cold-start": coldStart,
  "deploy-wave": deployWave,
  "route-change": routeChange,
  "all-sick": (plan) => spell(plan, REFUSING, "refuse every call at once", plan.all),
  "zone-loss": (plan) =>
    spell(
      plan,
      REFUSING,
      `all of one of ${plan.zones} zones refuse every call at once`,
      plan.all.filter((node) => zoneOf(node, plan.zones) === 0),
    ),
};

/** Makes a script out. */
export function makeScript(name: ScriptName, sizes: ScriptSizes): SimScript {
  const { nodes, seconds, slowness = 20 } = sizes;
  const zones = sizes.zones ?? (name === "zone-loss" ? ZONES_USUAL : 1);
  const all = Array.from({ length: nodes }, (_, node) => node);
  const count = sizes.struck ?? Math.max(1, Math.floor(nodes * STRUCK_SHARE));
  const plan: Plan = {
    zones,
    slowness,
    all,
    struck: all.slice(0, count),
    fromMs: seconds * 1000 * FROM_SHARE,
    toMs: seconds * 1000 * TO_SHARE,
  };
  return {
    name,
    zones,
    struck: plan.struck,
    route: all,
    fromMs: plan.fromMs,
    toMs: plan.toMs,
    ...MAKERS[name](plan),
  };
}
