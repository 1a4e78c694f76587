// Core. What the console knows of the system: routes, calls and services, brought up to date by samples.

import { parseModulePolicy, policyNameOf } from "../../balancer/module_policy.ts";
import { quantity } from "../../model/quantity.ts";
import { formatIpv4 } from "../../reactor/address.ts";
import type { NodeCallTotals, StoredModule } from "../../sql/console/console_store.ts";
import {
  type CountedRow,
  nodeId,
  type NodeState,
  rowsThatCount,
  takesCalls,
} from "../../model/node.ts";
import type { ModuleRow, RefusedTotal, RouteRow, ServiceInstance } from "../../sql/store.ts";
import { isModule, type ModuleId, moduleId, moduleOf } from "../../model/module.ts";
import type { ModuleHealth, NodeHealth, RefusedCauses, ServiceView } from "../schemas.ts";
import { RefusalRates } from "./refusal_rates.ts";
import { errorSeverity, nodeSeverity, type TroubleSeverity, worseOf } from "./severity.ts";
import { type Look, type Trouble, TroubleTrack } from "./trouble_track.ts";

/** Calls are counted over this many samples, a second apart. */
const RATE_SAMPLES = 10;
/** Length of one value of a sparkline, in milliseconds, and how many there are: five minutes. */
const SPARK_STEP_MS = 10_000;
const SPARK_VALUES = 30;
/** Nodes of one step of an update: about a millisecond. */
const STEP_NODES = 500;
/** A caller that has not reported for so long counts no more, in seconds. */
export const CALLER_RECENT_S = 60;
/** A service without a sign of life for so long is silent, in milliseconds. */
export const SERVICE_SILENT_MS = 30_000;

/** A node as last seen. */
export interface SeenNode {
  readonly modId: number;
  readonly cmdId: number;
  /** `ip:port` */
  readonly name: string;
  readonly ip: string;
  readonly port: number;
  readonly weight: number;
  readonly zone: string;
  readonly state: NodeState;
  /** The worst of the last seconds. */
  readonly health: NodeHealth;
  /** How bad that is; null when it is not, and of nodes that shall get no calls. */
  readonly severity: TroubleSeverity | null;
  /** Since when it has been so bad; null: not bad, or since before the console looked. */
  readonly troubleSinceMs: number | null;
  readonly callsPerSecond: number;
  readonly errorShare: number;
  readonly callerCount: number;
  readonly overloadCallerCount: number;
  readonly reportedAtMs: number | null;
  /** Calls/s; null where nothing is known. */
  readonly sparkline: readonly (number | null)[];
}

/** What is wrong with a module. */
export interface ModuleTrouble {
  readonly health: ModuleHealth;
  /** In words, without its name. */
  readonly text: string;
  /** The one node that it is about. */
  readonly node: string | null;
}

/** A module as last seen. */
export interface SeenModule {
  readonly modId: number;
  readonly cmdId: number;
  readonly name: string;
  /** Name of the policy in force. */
  readonly policy: string;
  readonly policyText: string;
  /** The worst of the last seconds. */
  readonly health: ModuleHealth;
  /** What is wrong with it, the worst of the last seconds; null when nothing is. */
  readonly trouble: Trouble<ModuleTrouble> | null;
  readonly callsPerSecond: number;
  readonly errorShare: number;
  /** Callers that asked for a node and got none, by cause and in all. */
  readonly refusedBy: RefusedCauses;
  readonly refusedPerSecond: number;
  /** Of all that asked. */
  readonly refusedShare: number;
  readonly nodes: readonly SeenNode[];
  readonly onCount: number;
  readonly overloadCount: number;
}

/** Everything at one instant. */
export interface SystemView {
  /** When the database was read, by the wall clock; 0 before the first time. */
  readonly atMs: number;
  readonly isStale: boolean;
  readonly version: number;
  readonly modules: readonly SeenModule[];
  readonly services: readonly ServiceView[];
  readonly nodeCount: number;
  readonly callerCount: number;
}

/** What is read from the database once a second. */
export interface CallSample {
  readonly wallMs: number;
  readonly nowMs: number;
  readonly version: number;
  readonly calls: readonly NodeCallTotals[];
  /** Of all callers ever, so that the totals only grow. */
  readonly refused: readonly RefusedTotal[];
  readonly services: readonly ServiceInstance[];
  readonly callerCount: number;
}

interface Reading {
  readonly atMs: number;
  readonly succ: number;
  readonly err: number;
}

interface NodeTrack {
  /** `ip:port`, and the address alone. */
  readonly name: string;
  readonly ip: string;
  readings: Reading[];
  sparkline: (number | null)[];
  sparkAtMs: number;
  /** Made when it is first in trouble. */
  trouble?: TroubleTrack<NodeHealth>;
}

interface Rates {
  readonly callsPerSecond: number;
  readonly errorShare: number;
}

const NO_CALLS: Rates = { callsPerSecond: 0, errorShare: 0 };

/** A node among those of its module; only ports that cannot exist may share a place. */
function placeOf({ ip, port }: { ip: number; port: number }): number {
  return ip * 2 ** 21 + port % 2 ** 21;
}

/** Calls by module, and there by place. Told by numbers: there are many each second. */
function sortCalls(calls: readonly NodeCallTotals[]): Map<ModuleId, Map<number, NodeCallTotals>> {
  const modules = new Map<ModuleId, Map<number, NodeCallTotals>>();
  let modId = -1;
  let cmdId = -1;
  let nodes = new Map<number, NodeCallTotals>();
  for (const one of calls) {
    if (one.modId !== modId || one.cmdId !== cmdId) {
      ({ modId, cmdId } = one);
      nodes = modules.get(moduleId(modId, cmdId)) ?? new Map();
      modules.set(moduleId(modId, cmdId), nodes);
    }
    nodes.set(placeOf(one), one);
  }
  return modules;
}

function ratesOf(track: NodeTrack): Rates {
  const first = track.readings[0];
  const last = track.readings.at(-1);
  if (last === undefined || last.atMs <= first.atMs) return NO_CALLS;
  const succ = last.succ - first.succ;
  const err = last.err - first.err;
  const calls = succ + err;
  if (calls <= 0) return NO_CALLS;
  return { callsPerSecond: calls * 1000 / (last.atMs - first.atMs), errorShare: err / calls };
}

function noteReading(track: NodeTrack, reading: Reading): void {
  const last = track.readings.at(-1);
  // Totals that fall belong to a caller that started anew: what was before tells nothing.
  if (last !== undefined && (reading.succ < last.succ || reading.err < last.err)) {
    track.readings = [];
  }
  track.readings.push(reading);
  if (track.readings.length > RATE_SAMPLES + 1) track.readings.shift();
  if (track.sparkAtMs === -Infinity) track.sparkAtMs = reading.atMs;
  if (reading.atMs - track.sparkAtMs < SPARK_STEP_MS) return;
  track.sparkAtMs = reading.atMs;
  track.sparkline = [
    ...track.sparkline.slice(1 - SPARK_VALUES),
    track.readings.length < 2 ? null : Math.round(ratesOf(track).callsPerSecond * 10) / 10,
  ];
}

function nodeHealth(callers: number, overloads: number, rates: Rates): NodeHealth {
  if (callers === 0) return "idle";
  if (overloads > 0) return overloads === callers ? "overload" : "partial";
  return errorSeverity(rates.errorShare, rates.callsPerSecond) === null ? "ok" : "failing";
}

/** A node as it is at one instant, without what was before. */
type NodeNow = Pick<
  SeenNode,
  "name" | "health" | "state" | "weight" | "errorShare" | "callsPerSecond"
>;

/** What the callers of a module met. */
type Met = Rates & Pick<SeenModule, "refusedPerSecond" | "refusedShare">;

/** How bad it is that callers got no node. */
function refusedSeverity(met: Met): TroubleSeverity | null {
  return errorSeverity(met.refusedShare, met.callsPerSecond + met.refusedPerSecond);
}

function moduleHealth(on: readonly NodeNow[], nodeCount: number, met: Met): ModuleHealth {
  if (nodeCount === 0) return "empty";
  if (on.every((node) => node.health === "overload")) return "down"; // Also with none that is on.
  const isBad = on.some((node) => nodeSeverity(node) !== null) || refusedSeverity(met) !== null;
  if (isBad || errorSeverity(met.errorShare, met.callsPerSecond) !== null) return "degraded";
  return on.every((node) => node.health === "idle") ? "idle" : "ok";
}

function percentText(share: number): string {
  return `${share < 0.1 ? (share * 100).toFixed(1) : Math.round(share * 100)} %`;
}

/** What is wrong with a module at one instant. */
function moduleTrouble(
  health: ModuleHealth,
  on: readonly NodeNow[],
  met: Met,
): { severity: TroubleSeverity; facts: ModuleTrouble } | null {
  if (health === "down") {
    return { severity: "critical", facts: { health, text: "no node can be called", node: null } };
  }
  if (health !== "degraded") return null;
  const out = on.filter((node) => node.health === "overload" || node.health === "partial");
  const failing = on.filter((node) => node.health === "failing");
  const ofAll = errorSeverity(met.errorShare, met.callsPerSecond);
  const refused = refusedSeverity(met);
  const parts = [
    ...(out.length > 0 ? [`${out.length} of ${quantity(on.length, "node")} kept out`] : []),
    ...(refused !== null ? [`${percentText(met.refusedShare)} of the calls are refused`] : []),
    ...(ofAll !== null ? [`${percentText(met.errorShare)} of the calls fail`] : []),
    ...(ofAll === null && failing.length === 1
      ? [`${failing[0].name} fails ${percentText(failing[0].errorShare)} of its calls`]
      : []),
    ...(ofAll === null && failing.length > 1
      ? [`${failing.length} of ${on.length} nodes fail many of their calls`]
      : []),
  ];
  const bad = [...out, ...failing];
  const severity = bad.map(nodeSeverity).reduce(worseOf, worseOf(ofAll, refused)) ?? "warning";
  return {
    severity,
    facts: { health, text: parts.join(", "), node: bad.length === 1 ? bad[0].name : null },
  };
}

/** Name of the policy a text chooses; a text that a foreign hand spoiled is said to be so. */
export function policyName(text: string): string {
  try {
    return policyNameOf(parseModulePolicy(text));
  } catch {
    return "invalid";
  }
}

/** Since when a service has worked with a route version that is not the newest. */
interface Lag {
  readonly known: number;
  readonly sinceMs: number;
}

/** The route version that a service says it works with. */
function knownVersion({ detail }: ServiceInstance): number | null {
  return typeof detail.version === "number" ? detail.version : null;
}

function serviceView(
  instance: ServiceInstance,
  wallMs: number,
  lag: Lag | undefined,
): ServiceView {
  const { kind, address, software, detail } = instance;
  const known = knownVersion(instance);
  const isSilent = wallMs - instance.seenAt * 1000 > SERVICE_SILENT_MS;
  // What an agent or an export knows is told of less often than it changes: more than was told is not known.
  const isTold = kind === "agent" || kind === "export";
  const untilMs = isTold && !isSilent ? instance.seenAt * 1000 : wallMs;
  return {
    kind,
    address,
    software,
    startedAtMs: instance.startedAt * 1000,
    seenAtMs: instance.seenAt * 1000,
    isSilent,
    revision: known,
    revisionLag: known === null
      ? null
      : Math.max(0, Math.trunc((untilMs - (lag?.sinceMs ?? untilMs)) / 1000)),
    detail,
  };
}

/** Sum of the calls of some nodes. */
export function sumRates(nodes: readonly Rates[]): Rates {
  const calls = nodes.reduce((sum, node) => sum + node.callsPerSecond, 0);
  if (calls === 0) return NO_CALLS;
  const errors = nodes.reduce((sum, node) => sum + node.callsPerSecond * node.errorShare, 0);
  return { callsPerSecond: calls, errorShare: errors / calls };
}

/** The system as the console knows it. Not for several databases. */
export class SystemModel {
  #routes = new Map<ModuleId, CountedRow[]>();
  /** The same rows with what is remembered of them. */
  #tracked = new Map<ModuleId, { row: RouteRow; track: NodeTrack }[]>();
  #texts = new Map<ModuleId, ModuleRow & { policyName: string }>();
  #tracks = new Map<string, NodeTrack>();
  #lags = new Map<string, Lag>();
  /** Of modules that were in trouble. */
  #troubles = new Map<ModuleId, TroubleTrack<ModuleTrouble>>();
  readonly #refusals = new RefusalRates();
  #view: SystemView = {
    atMs: 0,
    isStale: true,
    version: 0,
    modules: [],
    services: [],
    nodeCount: 0,
    callerCount: 0,
  };

  /** The system at the last sample. */
  get view(): SystemView {
    return this.#view;
  }

  /** Takes over all routes, names and policies. Copies of one node count once. */
  setRoutes(rows: readonly RouteRow[], texts: readonly ModuleRow[]): void {
    const routes = new Map<ModuleId, CountedRow[]>();
    const seen = new Set<string>();
    for (const row of rowsThatCount(rows)) {
      seen.add(nodeId(row));
      const key = moduleId(row.modId, row.cmdId);
      const nodes = routes.get(key);
      if (nodes === undefined) routes.set(key, [row]);
      else nodes.push(row);
    }
    this.#texts = new Map(texts.map((row) => [
      moduleId(row.modId, row.cmdId),
      { ...row, policyName: policyName(row.policy) },
    ]));
    for (const [key, row] of this.#texts) {
      if (!routes.has(key) && isModule(row)) routes.set(key, []);
    }
    this.#routes = routes;
    for (const key of this.#tracks.keys()) if (!seen.has(key)) this.#tracks.delete(key);
    this.#tracked = new Map(
      [...routes].map(([key, nodes]) => [
        key,
        nodes.map((row) => ({ row, track: this.#trackOf(row) })),
      ]),
    );
    for (const key of this.#troubles.keys()) if (!routes.has(key)) this.#troubles.delete(key);
  }

  /** Takes over what was read now. */
  update(sample: CallSample): void {
    const steps = this.updateSteps(sample);
    while (steps.next().done !== true);
  }

  /** The same in small steps, so that others may run between them; the view changes with the last. */
  *updateSteps(sample: CallSample): Generator<void, void> {
    const calls = sortCalls(sample.calls);
    this.#refusals.look(sample.refused, sample.nowMs);
    const modules: SeenModule[] = [];
    let nodeCount = 0;
    let stepNodes = 0;
    for (const [key, nodes] of this.#tracked) {
      const module = this.#moduleView(key, nodes, calls.get(key), sample);
      nodeCount += nodes.length;
      stepNodes += nodes.length + 1;
      modules.push(module);
      if (stepNodes < STEP_NODES) continue;
      stepNodes = 0;
      yield;
    }
    modules.sort((a, b) => a.modId - b.modId || a.cmdId - b.cmdId);
    this.#view = {
      atMs: sample.wallMs,
      isStale: false,
      version: sample.version,
      modules,
      services: this.#serviceViews(sample),
      nodeCount,
      callerCount: sample.callerCount,
    };
  }

  /**
   * Versions are unix seconds of changes: after a quiet night their difference is hours although the
   * change is new. So the time counts from when a service was first seen behind with what it knows;
   * each sign that it knows more starts anew.
   */
  #serviceViews({ services, version, wallMs }: CallSample): ServiceView[] {
    const lags = new Map<string, Lag>();
    const views = services.map((instance) => {
      const key = `${instance.kind} ${instance.address}`;
      const known = knownVersion(instance);
      if (known === null || known >= version) return serviceView(instance, wallMs, undefined);
      const before = this.#lags.get(key);
      const lag = before?.known === known ? before : { known, sinceMs: wallMs };
      lags.set(key, lag);
      return serviceView(instance, wallMs, lag);
    });
    this.#lags = lags;
    return views;
  }

  /** The database did not answer: what is known is old. */
  markStale(): void {
    if (!this.#view.isStale) this.#view = { ...this.#view, isStale: true };
  }

  /** One module, or undefined when there is none. */
  module(modId: number, cmdId: number): SeenModule | undefined {
    return this.#view.modules.find((one) => one.modId === modId && one.cmdId === cmdId);
  }

  /** A module as it was stored when the routes were last read. */
  stored(modId: number, cmdId: number): StoredModule | undefined {
    const nodes = this.#routes.get(moduleId(modId, cmdId));
    if (nodes === undefined) return undefined;
    const texts = this.#texts.get(moduleId(modId, cmdId));
    return { modId, cmdId, name: texts?.name ?? "", policy: texts?.policy ?? "", nodes };
  }

  #trackOf(row: RouteRow): NodeTrack {
    const key = nodeId(row);
    let track = this.#tracks.get(key);
    if (track === undefined) {
      const ip = formatIpv4(row.ip);
      const name = `${ip}:${row.port}`;
      track = { name, ip, readings: [], sparkline: [], sparkAtMs: -Infinity };
      this.#tracks.set(key, track);
    }
    return track;
  }

  #moduleView(
    key: ModuleId,
    tracked: readonly { row: RouteRow; track: NodeTrack }[],
    calls: ReadonlyMap<number, NodeCallTotals> | undefined,
    sample: CallSample,
  ): SeenModule {
    const { modId, cmdId } = moduleOf(key);
    const look = { nowMs: sample.nowMs, wallMs: sample.wallMs, isFirst: this.#view.atMs === 0 };
    const now = tracked.map(({ row, track }) =>
      nodeNow(row, track, calls?.get(placeOf(row)), sample.nowMs)
    );
    const nodes = now.map((node, index) => seenNode(node, tracked[index].track, look));
    const rates = sumRates(nodes);
    const refused = this.#refusals.of(key, rates.callsPerSecond);
    const met = { ...rates, ...refused };
    const on = now.filter(takesCalls);
    const health = moduleHealth(on, nodes.length, met);
    const trouble = this.#troubleOf(key, moduleTrouble(health, on, met), look);
    const texts = this.#texts.get(key);
    return {
      modId,
      cmdId,
      name: texts?.name ?? "",
      policy: texts?.policyName ?? "lars",
      policyText: texts?.policy ?? "",
      health: trouble?.facts.health ?? health,
      trouble,
      ...rates,
      ...refused,
      nodes,
      onCount: nodes.filter(takesCalls).length,
      overloadCount: nodes.filter(({ overloadCallerCount }) => overloadCallerCount > 0).length,
    };
  }

  #troubleOf(
    key: ModuleId,
    found: { severity: TroubleSeverity; facts: ModuleTrouble } | null,
    look: Look,
  ): Trouble<ModuleTrouble> | null {
    let track = this.#troubles.get(key);
    if (track === undefined) {
      if (found === null) return null;
      this.#troubles.set(key, track = new TroubleTrack());
    }
    const trouble = track.look(found, look);
    if (trouble === null) this.#troubles.delete(key);
    return trouble;
  }
}

/** A node with the worst of its last seconds. */
function seenNode(
  node: Omit<SeenNode, "severity" | "troubleSinceMs">,
  track: NodeTrack,
  look: Look,
): SeenNode {
  const isOn = takesCalls(node); // Who takes a node out of use wants to see what it is now.
  const severity = isOn ? nodeSeverity(node) : null;
  if (severity !== null) track.trouble ??= new TroubleTrack();
  const trouble = track.trouble?.look(
    severity === null ? null : { severity, facts: node.health },
    look,
  ) ?? null;
  if (trouble === null) delete track.trouble;
  return {
    ...node,
    health: isOn ? trouble?.facts ?? node.health : node.health,
    severity: isOn ? trouble?.severity ?? null : null,
    troubleSinceMs: isOn ? trouble?.sinceMs ?? null : null,
  };
}

function nodeNow(
  row: RouteRow,
  track: NodeTrack,
  calls: NodeCallTotals | undefined,
  nowMs: number,
): Omit<SeenNode, "severity" | "troubleSinceMs"> {
  noteReading(track, { atMs: nowMs, succ: calls?.succTotal ?? 0, err: calls?.errTotal ?? 0 });
  const callerCount = calls?.callerCount ?? 0;
  const overloadCallerCount = calls?.overloadCount ?? 0;
  const rates = ratesOf(track);
  return {
    modId: row.modId,
    cmdId: row.cmdId,
    name: track.name,
    ip: track.ip,
    port: row.port,
    weight: row.weight,
    zone: row.zone,
    state: row.state,
    health: nodeHealth(callerCount, overloadCallerCount, rates),
    ...rates,
    callerCount,
    overloadCallerCount,
    reportedAtMs: calls === undefined || calls.ts === 0 ? null : calls.ts * 1000,
    sparkline: track.sparkline,
  };
}
