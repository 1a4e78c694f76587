// Core. Waves of load against the rules of scaling under virtual time: lag, cold nodes, oscillation.

import { type ScaleRule, ScaleRuleShape } from "../control/schemas.ts";
import { type Rng, seededRng } from "../reactor/time/rng.ts";
import { FleetScaler, type ScaleEffect } from "../scaling/fleet_scaler.ts";
import type { FleetNode } from "../scaling/leaving_nodes.ts";
import type { LoadSample } from "../scaling/scale_decision.ts";

/** What befalls a fleet. */
export interface ScalingWave {
  readonly name: string;
  /** One sentence for people. */
  readonly about: string;
  /** Load at an instant, as a multiple of what the first node should have. */
  loadAt(second: number): number;
  readonly seconds: number;
  /** Waves in this time, each of which may have two changes of direction. */
  readonly waves: number;
  /** Seconds until load is seen. */
  readonly lagS: number;
  /** Seconds until an ordered node is there, and until it does all it can. */
  readonly startS: number;
  readonly coldS: number;
  /** Load differs by up to this share from second to second. */
  readonly noise: number;
  /** Fewest nodes with which hardly a call fails: those that last until ordered ones are there. */
  readonly suitedMin: number;
}

/** One second of a simulated fleet. */
export interface ScalingPoint {
  readonly second: number;
  /** Calls/s that come. */
  readonly load: number;
  /** Nodes that take calls. */
  readonly nodes: number;
  /** Calls/s that no node had room for. */
  readonly failed: number;
  /** A step that was taken in this second. */
  readonly step: "up" | "down" | undefined;
}

/** What a wave came to. */
export interface ScalingOutcome {
  readonly wave: ScalingWave;
  readonly rule: ScaleRule;
  readonly points: readonly ScalingPoint[];
  readonly steps: number;
  /** Changes from growing to shrinking or back. */
  readonly turns: number;
  /** Share of calls that no node had room for. */
  readonly failedShare: number;
  readonly nodesMin: number;
  readonly nodesMax: number;
  /** Time of nodes beside what the target asks for at every instant; 1 is just enough. */
  readonly costShare: number;
  /** Nodes that were stopped while they had calls: never any. */
  readonly stoppedInUse: number;
}

/** Calls/s that a node should have, and can have. */
const TARGET = 100;
const CAPACITY = 200;
/** What a cold node can do, as a share of a warm one. */
const COLD_SHARE = 0.4;
/** Seconds until a drained node gets no more calls, and until a stopped one is gone. */
const DRAIN_S = 2;
const STOP_S = 3;

/** 1 before a ramp, `top` after it, and back. */
function ramp(second: number, up: number, down: number, length: number, top = 10): number {
  const share = (from: number): number => Math.min(1, Math.max(0, (second - from) / length));
  return 1 + (top - 1) * (share(up) - share(down));
}

const PLAIN = {
  suitedMin: 1,
  waves: 1,
  lagS: 2,
  startS: 10,
  coldS: 10,
  noise: 0.05,
  seconds: 1800,
};

/** Every wave that is simulated. */
export const SCALING_WAVES: readonly ScalingWave[] = [
  {
    ...PLAIN,
    name: "wave",
    about: "to ten times the load and back, in 2 minutes each",
    loadAt: (second) => ramp(second, 300, 900, 120),
  },
  {
    ...{ ...PLAIN, suitedMin: 5 },
    name: "step",
    about: "to ten times the load from one second to the next",
    loadAt: (second) => ramp(second, 300, 900, 1),
  },
  {
    ...{ ...PLAIN, suitedMin: 3, lagS: 30 },
    name: "lag",
    about: "the wave, seen 30 s late",
    loadAt: (second) => ramp(second, 300, 900, 120),
  },
  {
    ...{ ...PLAIN, suitedMin: 5, startS: 60, coldS: 60 },
    name: "cold",
    about: "the wave, with nodes that need a minute to come and another to be warm",
    loadAt: (second) => ramp(second, 300, 900, 120),
  },
  {
    ...{ ...PLAIN, seconds: 3600, noise: 0.3 },
    name: "oscillation",
    about: "load that swings by 40 % every minute, and 30 % noise",
    // Up for half a minute, down for the other.
    loadAt: (second) => 5 * (1 + 0.4 * (Math.abs((second % 60) / 15 - 2) - 1)),
  },
  {
    ...{ ...PLAIN, seconds: 5400, waves: 3, lagS: 15, startS: 30, coldS: 30, noise: 0.15 },
    suitedMin: 3,
    name: "waves",
    about: "three waves, seen 15 s late, nodes that need 30 s, 15 % noise",
    loadAt: (second) => ramp(second % 1800, 300, 900, 180),
  },
];

/** The rule for a wave: the defaults, with the times of its nodes. */
export function ruleForWave({ startS, coldS }: ScalingWave, min = 1): ScaleRule {
  return simulatedRule({ startS: Math.max(60, startS * 2), warmUpS: coldS, min });
}

/** The rule that is simulated: the defaults of a rule. */
export function simulatedRule(values: Partial<ScaleRule> = {}): ScaleRule {
  const usual = { metric: "calls", target: TARGET, min: 1, max: 40, driver: "webhook" };
  return ScaleRuleShape.parse({ ...usual, ...values });
}

class Fleet {
  readonly nodes = new Map<string, FleetNode & { readonly atS: number }>();
  readonly #wave: ScalingWave;
  /** Nodes that come, by the second in which they do. */
  readonly #coming: number[] = [];
  readonly #going = new Map<string, number>();
  readonly #drained = new Map<string, number>();
  #next = 1;
  stoppedInUse = 0;

  /** As many nodes as the load at the beginning asks for. */
  constructor(wave: ScalingWave, min: number) {
    this.#wave = wave;
    const count = Math.max(min, Math.ceil(wave.loadAt(0)));
    for (let index = 0; index < count; index++) this.#add(-1000);
  }

  #add(atS: number): void {
    const port = this.#next++;
    const name = `10.0.0.1:${port}`;
    const node = { modId: 1, cmdId: 1, ip: 0x0a00_0001, port, name, isKeptOut: false };
    const more = { callsPerSecond: 0, sinceMs: atS * 1000, canLeave: true };
    this.nodes.set(name, { ...node, ...more, state: "on", atS });
  }

  #setState(name: string, state: "on" | "drain"): void {
    const node = this.nodes.get(name);
    if (node !== undefined) this.nodes.set(name, { ...node, state });
  }

  /** Carries out what the rules say. */
  take(effects: readonly ScaleEffect[], second: number): void {
    for (const effect of effects) {
      if (effect.op === "drain") {
        this.#setState(effect.name, "drain");
        this.#drained.set(effect.name, second);
      } else if (effect.op === "restore") {
        this.#setState(effect.name, "on");
        this.#drained.delete(effect.name);
      } else if (effect.op === "order") {
        const { action, from, to, nodes } = effect.order;
        for (let count = from; action === "start" && count < to; count++) {
          this.#coming.push(second + this.#wave.startS);
        }
        for (const name of nodes) this.#going.set(name, second + STOP_S);
      }
    }
  }

  /** What happens by itself. */
  pass(second: number): void {
    while (this.#coming.length > 0 && this.#coming[0] <= second) {
      this.#coming.shift();
      this.#add(second);
    }
    for (const [name, atS] of this.#going) {
      if (atS > second) continue;
      if (this.nodes.get(name)?.state === "on") this.stoppedInUse++;
      this.nodes.delete(name);
      this.#going.delete(name);
      this.#drained.delete(name);
    }
  }

  serving(second: number): FleetNode[] {
    return [...this.nodes.values()].filter(({ name, state }) =>
      state === "on" || second - (this.#drained.get(name) ?? second) < DRAIN_S
    );
  }

  capacity(second: number): number {
    return this.serving(second).reduce((sum, { name }) => {
      const ageS = second - (this.nodes.get(name)?.atS ?? 0);
      return sum + CAPACITY * (ageS < this.#wave.coldS ? COLD_SHARE : 1);
    }, 0);
  }

  /** Drained nodes that nobody has used for so long. */
  quiet(second: number, quietS: number): string[] {
    return [...this.#drained].filter(([, atS]) => second - atS >= DRAIN_S + quietS)
      .map(([name]) => name);
  }
}

function stepIn(effects: readonly ScaleEffect[]): ScalingPoint["step"] {
  for (const effect of effects) {
    if (effect.op !== "event") continue;
    if (effect.kind === "scale.up") return "up";
    if (effect.kind === "scale.down") return "down";
  }
  return undefined;
}

function loadOf({ loadAt, noise }: ScalingWave, second: number, rng: Rng): number {
  return TARGET * 0.9 * loadAt(second) * (1 + noise * (2 * rng.next() - 1));
}

/** Runs a wave. The same seed gives the same outcome. */
export function simulateScaling(
  wave: ScalingWave,
  rule: ScaleRule,
  seed: number,
): ScalingOutcome {
  const rng = seededRng(seed);
  const fleet = new Fleet(wave, rule.min);
  const scaler = new FleetScaler();
  const seen: LoadSample[] = [];
  const points: ScalingPoint[] = [];
  for (let second = 0; second < wave.seconds; second++) {
    fleet.pass(second);
    const load = loadOf(wave, second, rng);
    const failed = Math.max(0, load - fleet.capacity(second));
    seen.push({ atMs: second * 1000, load, errorShare: failed / load });
    const late = seen[second - wave.lagS];
    const nowMs = second * 1000;
    const effects = scaler.look({
      ...{ rule, floor: 0, nowMs, nodes: [...fleet.nodes.values()] },
      sample: late === undefined ? undefined : { ...late, atMs: nowMs },
    });
    fleet.take(effects, second);
    const draining = new Set(scaler.draining.map(({ name }) => name));
    const quiet = fleet.quiet(second, rule.quietS).filter((name) => draining.has(name));
    fleet.take(scaler.safe(quiet, nowMs), second);
    const nodes = fleet.serving(second).length;
    points.push({ second, load, nodes, failed, step: stepIn(effects) });
  }
  return { ...judge(wave, points), rule, stoppedInUse: fleet.stoppedInUse };
}

function judge(
  wave: ScalingWave,
  points: readonly ScalingPoint[],
): Omit<ScalingOutcome, "rule" | "stoppedInUse"> {
  const steps = points.flatMap(({ step }) => step === undefined ? [] : [step]);
  const sum = (valueOf: (point: ScalingPoint) => number): number =>
    points.reduce((all, point) => all + valueOf(point), 0);
  const nodes = points.map((point) => point.nodes);
  return {
    ...{ wave, points, steps: steps.length },
    turns: steps.filter((step, index) => index > 0 && step !== steps[index - 1]).length,
    failedShare: sum(({ failed }) => failed) / sum(({ load }) => load),
    nodesMin: Math.min(...nodes),
    nodesMax: Math.max(...nodes),
    costShare: sum((point) => point.nodes) / sum(({ load }) => Math.max(1, load / TARGET)),
  };
}

/** Heads and rows of a table of outcomes. */
export function scalingTable(
  outcomes: readonly ScalingOutcome[],
): { readonly heads: string[]; readonly rows: string[][] } {
  return {
    heads: ["WAVE", "NODES", "STEPS", "TURNS", "FAILED", "NODE TIME", "STOPPED IN USE"],
    rows: outcomes.map((one) => [
      one.rule.min === 1 ? one.wave.name : `${one.wave.name}, min ${one.rule.min}`,
      `${one.nodesMin}-${one.nodesMax}`,
      `${one.steps}`,
      `${one.turns}`,
      `${(one.failedShare * 100).toFixed(2)} %`,
      `${one.costShare.toFixed(2)} x`,
      `${one.stoppedInUse}`,
    ]),
  };
}
