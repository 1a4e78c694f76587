// Core. Callers, agents and nodes under virtual time; the agents run the code of `balancer/`.

import {
  type BalanceSettings,
  defaultBalanceSettings,
  type ModulePolicy,
  RouteLb,
  type StateChange,
  TICK_MS,
} from "../balancer/mod.ts";
import { type Rng, seededRng } from "../reactor/time/rng.ts";
import { BUCKETS, CallMeter } from "./call_meter.ts";
import { exponential } from "./chance.ts";
import { EventQueue } from "./event_queue.ts";
import { FaultTracker } from "./fault_tracker.ts";
import {
  type Call,
  CALL_TIMEOUT_MS,
  type Capacity,
  isWell,
  NodeModel,
  UNLIMITED,
} from "./node_model.ts";
import { type Change, type SimScript, zoneOf } from "./scripts.ts";

/** A changed route reaches each agent within this time. Milliseconds. */
export const PUSH_MAX_MS = 50;

/** The module that all callers ask for. */
const MODULE = { modId: 1, cmdId: 1 } as const;

/** Address of node 0; the others follow. */
const FIRST_IP = 0x0a_00_00_01;
const PORT = 7777;

/** How agents know a caller apart from others: 0 is nobody. */
function callerName(caller: number): number {
  return caller + 1;
}

/** What is simulated. */
export interface SimulationOptions {
  readonly modulePolicy: ModulePolicy;
  readonly script: SimScript;
  /** Nodes in the script. From 1. */
  readonly nodes: number;
  /** Callers, dealt out to the agents in turn. From 1. */
  readonly callers: number;
  /** Agents, each with its own view of the nodes. From 1. */
  readonly agents: number;
  /** Calls each caller makes in a second, on average. Above 0. */
  readonly rate: number;
  /** Length of the run. Above 0. */
  readonly seconds: number;
  /** The same seed gives the same run. 0 to 4294967295. */
  readonly seed: number;
  /** @default defaultBalanceSettings */
  readonly settings?: BalanceSettings;
  /** Of each node. @default any number of calls at a time */
  readonly capacity?: Capacity;
  /** Told of each hundredth that is done, from 0 to 1. */
  onProgress?(done: number): void;
}

/** A node became overload or idle at an agent. */
export interface Mark {
  readonly atMs: number;
  readonly overload: boolean;
}

/** What came of a run, as counted. */
export interface SimulationOutcome {
  readonly meter: CallMeter;
  readonly faults: FaultTracker;
  /** Every change of state at every agent, in order. */
  readonly marks: readonly Mark[];
}

type Event =
  | { readonly kind: "call"; readonly caller: number }
  | { readonly kind: "end"; readonly call: Call; readonly caller: number }
  | { readonly kind: "tick" }
  | { readonly kind: "change"; readonly change: Change }
  | { readonly kind: "route"; readonly agent: number; readonly route: readonly number[] };

/** Runs a simulation to its end. */
export function simulate(options: SimulationOptions): SimulationOutcome {
  return new Simulation(options).run();
}

class Simulation {
  readonly #options: SimulationOptions;
  readonly #endMs: number;
  readonly #events = new EventQueue<Event>();
  readonly #nodes: NodeModel[];
  readonly #agents: RouteLb[];
  readonly #meter: CallMeter;
  readonly #faults: FaultTracker;
  readonly #marks: Mark[] = [];
  // Streams of their own, so that every policy meets the same calls at the same times.
  readonly #arrivals: Rng;
  readonly #services: Rng;
  readonly #delays: Rng;
  /** The route as dns knows it. */
  #route: readonly number[];

  constructor(options: SimulationOptions) {
    const { agents, nodes, script, seconds, seed } = options;
    this.#options = options;
    this.#endMs = seconds * 1000;
    this.#arrivals = seededRng(seed);
    this.#services = seededRng(seed ^ 0x5e41_1ce5);
    this.#delays = seededRng(seed ^ 0x0de1_a450);
    this.#nodes = Array.from({ length: nodes }, () => new NodeModel(options.capacity ?? UNLIMITED));
    this.#meter = new CallMeter(agents, nodes, this.#endMs);
    this.#faults = new FaultTracker(agents, nodes);
    this.#route = script.route;
    this.#agents = Array.from({ length: agents }, (_, agent) => this.#createAgent(agent));
  }

  run(): SimulationOutcome {
    const { callers, script } = this.#options;
    for (let agent = 0; agent < this.#agents.length; agent++) {
      this.#agents[agent].use(MODULE.modId, MODULE.cmdId, 0);
      this.#takeRoute(agent, script.route, 0);
    }
    for (const change of script.changes) this.#events.add(change.atMs, { kind: "change", change });
    for (let caller = 0; caller < callers; caller++) {
      this.#events.add(this.#gapMs(), { kind: "call", caller });
    }
    this.#events.add(TICK_MS, { kind: "tick" });
    let reported = 0;
    for (;;) {
      const nowMs = this.#events.nextMs;
      if (!(nowMs < this.#endMs)) break;
      const event = this.#events.take();
      if (event !== undefined) this.#handle(event, nowMs);
      const done = Math.floor(nowMs / this.#endMs * BUCKETS);
      if (done > reported) this.#options.onProgress?.((reported = done) / BUCKETS);
    }
    this.#finish();
    return { meter: this.#meter, faults: this.#faults, marks: this.#marks };
  }

  /** Calls that are under way come to their end; nothing new begins. */
  #finish(): void {
    for (let event = this.#events.take(); event !== undefined; event = this.#events.take()) {
      if (event.kind === "end") this.#endCall(event, event.call.endMs);
    }
    for (let node = 0; node < this.#nodes.length; node++) {
      if (!isWell(this.#nodes[node].condition)) this.#faults.faultEnds(node, this.#endMs);
    }
  }

  #createAgent(agent: number): RouteLb {
    const settings = this.#options.settings ?? defaultBalanceSettings;
    return new RouteLb({
      settings,
      rng: seededRng(this.#options.seed + agent + 1),
      modulePolicy: this.#options.modulePolicy,
      nodesMax: this.#options.nodes,
      zone: this.#zoneName(agent),
      onPull: () => this.#sendRoute(agent),
      onStateChange: (change) => this.#stateChanged(agent, change),
    });
  }

  #handle(event: Event, nowMs: number): void {
    switch (event.kind) {
      case "call":
        this.#call(event.caller, nowMs);
        this.#events.add(nowMs + this.#gapMs(), event);
        return;
      case "end":
        return this.#endCall(event, nowMs);
      case "tick":
        for (const agent of this.#agents) agent.tick(nowMs);
        return this.#events.add(nowMs + TICK_MS, event);
      case "change":
        return this.#change(event.change, nowMs);
      case "route":
        return this.#takeRoute(event.agent, event.route, nowMs);
    }
  }

  #call(caller: number, nowMs: number): void {
    const agent = caller % this.#agents.length;
    const host = this.#agents[agent].getHost(MODULE.modId, MODULE.cmdId, nowMs);
    if (typeof host === "number") return this.#meter.refused(agent, nowMs);
    const node = host.ip - FIRST_IP;
    const { zones } = this.#options.script;
    this.#meter.picked(node, zoneOf(node, zones) === zoneOf(agent, zones), nowMs);
    const call = this.#nodes[node].begin(agent, node, nowMs, this.#services);
    this.#agents[agent].given(callerName(caller), MODULE.modId, MODULE.cmdId, host.ip, PORT);
    this.#events.add(call.endMs, { kind: "end", call, caller });
  }

  #endCall(
    { call, caller }: { readonly call: Call; readonly caller: number },
    nowMs: number,
  ): void {
    const { agent, node, startMs } = call;
    if (!this.#nodes[node].finish(call)) {
      return this.#events.add(call.endMs, { kind: "end", call, caller });
    }
    const failed = call.retcode !== 0;
    this.#meter.ended(agent, startMs, nowMs, failed);
    if (failed) this.#faults.callFailed(agent, node, startMs);
    // What comes after the end of the run is seen by callers, and no longer by agents.
    if (nowMs >= this.#endMs) return;
    const { modId, cmdId } = MODULE;
    const tookMs = Math.floor(nowMs - startMs);
    this.#agents[agent].report(
      modId,
      cmdId,
      FIRST_IP + node,
      PORT,
      call.retcode,
      tookMs,
      nowMs,
      callerName(caller),
    );
  }

  #change(change: Change, nowMs: number): void {
    // What fell due before the change must not count as after it.
    for (const agent of this.#agents) agent.tick(nowMs);
    if (change.kind === "route") {
      this.#route = change.route;
      for (let agent = 0; agent < this.#agents.length; agent++) this.#sendRoute(agent);
      return;
    }
    for (const node of change.nodes) {
      const turn = this.#nodes[node].become(change.condition, nowMs);
      if (turn > 0) this.#faults.faultBegins(node, nowMs);
      if (turn < 0) this.#faults.faultEnds(node, nowMs);
    }
  }

  #sendRoute(agent: number): void {
    const nowMs = this.#events.nowMs;
    const atMs = nowMs + PUSH_MAX_MS * this.#delays.next();
    this.#events.add(atMs, { kind: "route", agent, route: this.#route });
  }

  #takeRoute(agent: number, sent: readonly number[], nowMs: number): void {
    // An answer that was overtaken by a push is older than what the agent has.
    if (sent !== this.#route) return;
    const nodes = sent.map((node) => ({
      ip: FIRST_IP + node,
      port: PORT,
      zone: this.#zoneName(node),
    }));
    const change = this.#agents[agent].update(MODULE.modId, MODULE.cmdId, nodes, nowMs);
    if (change === undefined || change.removed === 0) return;
    const kept = new Set(sent);
    for (let node = 0; node < this.#nodes.length; node++) {
      if (!kept.has(node)) this.#faults.forget(agent, node);
    }
  }

  /** Zone of a node or an agent; nobody has one where there is only one. */
  #zoneName(index: number): string {
    const { zones } = this.#options.script;
    return zones === 1 ? "" : `zone ${zoneOf(index, zones)}`;
  }

  #stateChanged(agent: number, { ip, overload, atMs, dryRun, held }: StateChange): void {
    const node = ip - FIRST_IP;
    // Judged, but in use all the same.
    if (dryRun === true || held === true) {
      if (overload) this.#faults.nodeJudged(agent, node, atMs);
      return;
    }
    this.#marks.push({ atMs, overload });
    if (!overload) return this.#faults.nodeBack(agent, node, atMs);
    const wellForMs = atMs - this.#nodes[node].wellSinceMs;
    this.#faults.nodeOut(agent, node, atMs, wellForMs > CALL_TIMEOUT_MS);
  }

  /** Time to the next call of one caller. */
  #gapMs(): number {
    return exponential(this.#arrivals) * 1000 / this.#options.rate;
  }
}
