// Shell. Scaling of a running console: rules from the database, looks, orders, drains and events.

import { type Actor, COMMAND_ACTOR } from "../control/access/actor.ts";
import type { ChangeService } from "../control/changes/change_service.ts";
import type { NodeUseService } from "../control/drain/node_use_service.ts";
import { DrainState } from "../control/drain/drain_state.ts";
import { floorAt } from "../control/scaling/scale_floor.ts";
import {
  moduleOfScaleState,
  parseTrack,
  SCALE_STATES,
  type ScaleSettings,
  scaleStateName,
  scaleTrackName,
} from "../control/scaling/scale_settings.ts";
import {
  type LeaseListing,
  type LeaseListWish,
  type ScaledModule,
  type ScaleRule,
  ScaleRuleShape,
  type ScaleStatus,
} from "../control/schemas.ts";
import type { SeenModule, SystemView } from "../control/system/system_model.ts";
import type { SystemReader } from "../control/system/system_reader.ts";
import { ControlError, type RefusalReason } from "../control/control_error.ts";
import { type ModuleKey, moduleText } from "../model/module.ts";
import type { NodeKey } from "../model/node.ts";
import { parseIpv4 } from "../reactor/address.ts";
import { messageOf } from "../reactor/errors.ts";
import type { Logger } from "../reactor/log.ts";
import { type Clock, setRepeating, type Timer } from "../reactor/time/clock.ts";
import { LeaderLease } from "../service/leader_lease.ts";
import type { NewEvent } from "../sql/results/event.ts";
import type { Store } from "../sql/store.ts";
import { lastChangerOf } from "./drain_owner.ts";
import {
  FleetScaler,
  memoryFrom,
  type ScaleEffect,
  type ScaleMemory,
  type ScaleOrder,
} from "./fleet_scaler.ts";
import type { FleetNode } from "./leaving_nodes.ts";
import { loadOfModule } from "./module_load.ts";
import type { LoadSample } from "./scale_decision.ts";
import type { ScaleDrivers } from "./scale_drivers.ts";
import { TrackKeeper } from "./scale_track.ts";

/** Rules that another console or a command changed are read this often, in milliseconds. */
const RELOAD_INTERVAL_MS = 2_000;
/** What was decided is written down this often, and at once when a step is taken. */
const SAVE_INTERVAL_MS = 10_000;
/** Registrations are read this often. */
const LEASES_AGE_MAX_MS = 3_000;
/** Registrations of a module that are looked at; nodes of more stay. */
const LEASES_MAX = 10_000;
const LEASES_PAGE = 500;
/** Orders of one module that wait for the one before; more are given up, and decided anew. */
const ORDERS_WAITING_MAX = 16;
/** Nodes that are asked about in one look. */
const ASKED_MAX = 8;

/** A drain whose end was not heard may still be written for so long. */
const DRAIN_LATE_MS_MAX = 60_000;

/** Refusals that may be none the next time; after any other nothing is tried again. */
const PASSING_REFUSALS: readonly RefusalReason[] = [
  ...["changed-meanwhile", "too-many-requests", "agent-away", "discovery-away"] as const,
];

/** Who drains and restores, in the history and the audit. */
const ACTOR: Actor = { ...COMMAND_ACTOR, name: "lars-scaling", role: "operator" };

/** Of a module whose rule was removed while nobody followed it. */
const NO_RULE = ScaleRuleShape.parse({ metric: "calls", target: 1, max: 1, isEnabled: false });

/** Registrations, as scaling needs them. */
export interface FleetLeases {
  find(wish: LeaseListWish): Promise<LeaseListing>;
  /** Takes back what an operator wants of a node. @throws {ControlError} not-found. */
  free(who: Pick<Actor, "name" | "address">, node: NodeKey): Promise<void>;
}

/** What the service works with. */
export interface ScaleServiceOptions {
  readonly store: Store;
  /** That of the database. */
  readonly clock: Clock;
  readonly log: Logger;
  readonly reader: SystemReader;
  readonly settings: ScaleSettings;
  readonly changes: ChangeService;
  readonly nodeUse: Pick<NodeUseService, "use">;
  readonly leases: FleetLeases;
  readonly drivers: ScaleDrivers;
  /** Tells consoles on one database apart. */
  readonly holder: string;
  /** A new id for each order. */
  makeId(): string;
}

/** What is known of the registration of a node. */
interface NodeLease {
  readonly sinceMs: number;
  readonly isOurs: boolean;
}

/** A node that should get calls again, which could not be written yet. */
interface OwedRestore {
  readonly why: string;
  /** When a drain was tried that may have been written or not; undefined: it was written. */
  readonly triedAtMs?: number;
}

class ScaledFleet {
  module: Omit<ScaledModule, "status">;
  readonly scaler: FleetScaler;
  /** Undefined until it was read. */
  track: TrackKeeper | undefined;
  leases = new Map<string, NodeLease>();
  leasesAtMs = -Infinity;
  order: ScaleStatus["order"] = null;
  /** Effects, one after the other: what takes a drain back comes after the drain. */
  effects: Promise<void> = Promise.resolve();
  orders: Promise<void> = Promise.resolve();
  ordersWaiting = 0;
  isBusy = false;
  /** Why it could not be looked at the last time; empty when it could. */
  fault = "";
  isAsking = false;
  savedAtMs = -Infinity;
  readonly drains = new Map<string, DrainState>();
  /** By name of the node. */
  readonly owed = new Map<string, OwedRestore>();

  constructor(module: Omit<ScaledModule, "status">, memory: ScaleMemory | undefined) {
    this.module = module;
    this.scaler = new FleetScaler(memory);
  }
}

/** True for a rule by which nodes are drained, started and stopped. */
function isActing({ isEnabled, driver }: ScaleRule): boolean {
  return isEnabled && driver !== "dry";
}

/** True for a refusal that is the same however often it is tried. */
function isFinal(error: unknown): boolean {
  return error instanceof ControlError && !PASSING_REFUSALS.includes(error.reason);
}

function isNotFound(error: unknown): boolean {
  return error instanceof ControlError && error.reason === "not-found";
}

/** Nodes that more than one module has. */
function sharedNames({ modules }: SystemView): ReadonlySet<string> {
  const all = new Set<string>();
  const shared = new Set<string>();
  for (const { nodes } of modules) {
    for (const { name } of nodes) (all.has(name) ? shared : all).add(name);
  }
  return shared;
}

/** Follows every module that has a rule; of several consoles the one that leads. */
export class ScaleService {
  readonly #options: ScaleServiceOptions;
  readonly #fleets = new Map<string, ScaledFleet>();
  /** Of rules that were removed, until nothing of them is left. */
  readonly #ended = new Map<string, ScaledFleet>();
  readonly #lease: LeaderLease;
  readonly #timers: Timer[] = [];
  readonly #counts = { orders: 0, ordersFailed: 0, steps: 0 };
  #stopListening: (() => void) | undefined;
  #isReloading = false;
  /** Of the view it was made from: for all modules of a look. */
  #shared: { readonly view: SystemView; readonly names: ReadonlySet<string> } | undefined;

  constructor(options: ScaleServiceOptions) {
    this.#options = options;
    const { store, clock, log, holder } = options;
    this.#lease = new LeaderLease({
      ...{ store: store.console, clock, log, name: "scaling", holder },
      onLead: async () => {
        this.#fleets.clear();
        this.#ended.clear();
        await this.#reload();
        await this.#findEnded();
      },
    });
  }

  /** Counters for metrics. */
  stats(): Record<string, number> {
    const { orders, ordersFailed, steps } = this.#counts;
    return {
      scaling_rules: this.#fleets.size,
      scaling_steps: steps,
      scaling_orders_done: orders,
      scaling_orders_failed: ordersFailed,
    };
  }

  /** Begins to follow. */
  async start(): Promise<void> {
    await this.#lease.start();
    const { reader, clock } = this.#options;
    this.#stopListening = reader.onReading(() => this.#look());
    this.#timers.push(setRepeating(clock, RELOAD_INTERVAL_MS, () => void this.#follow()));
  }

  /** Takes no further step. What is under way is written down, for who leads next. */
  async stop(): Promise<void> {
    this.#stopListening?.();
    this.#lease.stop();
    for (const timer of this.#timers) timer.cancel();
    if (!this.#lease.leads) return;
    for (const fleet of this.#fleets.values()) await this.#save(fleet);
  }

  #nowMs(): number {
    return Math.trunc(this.#options.clock.wallMs());
  }

  async #follow(): Promise<void> {
    if (this.#isReloading) return;
    this.#isReloading = true;
    try {
      if (this.#lease.leads) await this.#reload();
    } catch (error) {
      this.#options.log.debug("Rules of scaling could not be read", { error: messageOf(error) });
    } finally {
      this.#isReloading = false;
    }
  }

  async #reload(): Promise<void> {
    const { settings, store } = this.#options;
    const rules = new Map((await settings.rules()).map((one) => [moduleText(one), one]));
    for (const [id, fleet] of this.#fleets) {
      if (rules.has(id)) continue;
      this.#fleets.delete(id);
      this.#ended.set(id, fleet);
      await this.#letGo(fleet);
    }
    for (const [id, module] of rules) {
      const known = this.#fleets.get(id) ?? this.#ended.get(id);
      if (known === undefined) {
        const text = await store.console.state(scaleStateName(module));
        const fleet = new ScaledFleet(module, memoryFrom(text));
        this.#fleets.set(id, fleet);
        if (!isActing(module.rule)) await this.#letGo(fleet);
        continue;
      }
      this.#ended.delete(id);
      this.#fleets.set(id, known);
      const wasActing = isActing(known.module.rule);
      known.module = module;
      if (wasActing && !isActing(module.rule)) await this.#letGo(known);
    }
    await this.#settle();
  }

  /** Rules that were removed while no console followed them. */
  async #findEnded(): Promise<void> {
    const { settings, store } = this.#options;
    if (!await settings.isKept()) return;
    for (const { name, content } of await store.console.states(SCALE_STATES)) {
      const key = moduleOfScaleState(name);
      if (content === "" || key === undefined || this.#fleets.has(moduleText(key))) continue;
      const module = { ...key, rule: NO_RULE, updatedAtMs: 0 };
      const fleet = new ScaledFleet(module, memoryFrom(content));
      this.#ended.set(moduleText(key), fleet);
      await this.#letGo(fleet);
    }
    await this.#settle();
  }

  /** Does what is still owed to nodes, and forgets rules that owe nothing any more. */
  async #settle(): Promise<void> {
    const { reader, store } = this.#options;
    for (const fleet of [...this.#ended.values(), ...this.#fleets.values()]) {
      const owed = [...fleet.owed];
      await this.#carryOut(fleet, owed.map(([name, { why }]) => ({ op: "restore", name, why })));
    }
    if (reader.model.view.isStale) return;
    for (const [id, fleet] of this.#ended) {
      const { modId, cmdId } = fleet.module;
      const known = new Set(reader.model.module(modId, cmdId)?.nodes.map(({ name }) => name));
      const gone = fleet.scaler.stopping.filter(({ name }) => !known.has(name));
      for (const { name } of gone) {
        fleet.scaler.stays(name);
        await this.#free(fleet, name);
      }
      if (fleet.owed.size > 0 || fleet.scaler.stopping.length > 0) continue;
      await store.console.putState(scaleTrackName(fleet.module), "");
      await store.console.putState(scaleStateName(fleet.module), "");
      this.#ended.delete(id);
    }
  }

  /** False when another leads, or the rule was removed or paused meanwhile. */
  #follows(fleet: ScaledFleet): boolean {
    const { module } = fleet;
    return this.#lease.leads && module.rule.isEnabled &&
      this.#fleets.get(moduleText(module)) === fleet;
  }

  /** Nodes that drain by a rule which holds no more get calls again. */
  async #letGo(fleet: ScaledFleet): Promise<void> {
    const effects = fleet.scaler.cancel("its rule of scaling acts no more", this.#nowMs());
    await this.#carryOut(fleet, effects);
  }

  #look(): void {
    const { reader } = this.#options;
    if (!this.#lease.leads || reader.model.view.isStale) return;
    for (const fleet of this.#fleets.values()) {
      if (fleet.module.rule.isEnabled && !fleet.isBusy) void this.#lookAt(fleet);
    }
  }

  async #lookAt(fleet: ScaledFleet): Promise<void> {
    const { reader, store, log } = this.#options;
    const { modId, cmdId } = fleet.module;
    fleet.isBusy = true;
    try {
      const seen = reader.model.module(modId, cmdId);
      await this.#readLeases(fleet);
      const nowMs = this.#nowMs();
      const sample = seen === undefined
        ? undefined
        : await loadOfModule(store, fleet.module.rule, seen, nowMs);
      if (!this.#follows(fleet)) return;
      const { rule } = fleet.module;
      const effects = fleet.scaler.look({
        ...{ rule, sample, nowMs, nodes: this.#nodesOf(fleet, seen) },
        floor: floorAt(rule.floors, nowMs),
      });
      await this.#carryOut(fleet, effects);
      this.#ask(fleet);
      await this.#track(fleet, sample);
      const isDue = nowMs - fleet.savedAtMs >= SAVE_INTERVAL_MS;
      if (isDue || effects.length > 0) await this.#save(fleet);
      fleet.fault = "";
    } catch (error) {
      const fault = messageOf(error);
      const module = moduleText(fleet.module);
      // Once: it is tried again every second.
      if (fault !== fleet.fault) log.warn("A module cannot be scaled", { module, error: fault });
      fleet.fault = fault;
    } finally {
      fleet.isBusy = false;
    }
  }

  async #readLeases(fleet: ScaledFleet): Promise<void> {
    const { clock, leases } = this.#options;
    if (clock.nowMs() - fleet.leasesAtMs < LEASES_AGE_MAX_MS) return;
    const { modId, cmdId } = fleet.module;
    const found = new Map<string, NodeLease>();
    for (let offset = 0; offset < LEASES_MAX; offset += LEASES_PAGE) {
      const page = await leases.find({ modId, cmdId, offset, limit: LEASES_PAGE });
      for (const { ip, port, sinceMs, phase, operator } of page.leases) {
        const isOurs = phase === "live" && Object.keys(operator).length === 0;
        found.set(`${ip}:${port}`, { sinceMs, isOurs });
      }
      if (page.leases.length < LEASES_PAGE) break;
    }
    fleet.leases = found;
    fleet.leasesAtMs = clock.nowMs();
  }

  #nodesOf({ leases }: ScaledFleet, seen: SeenModule | undefined): FleetNode[] {
    const { view } = this.#options.reader.model;
    if (this.#shared?.view !== view) this.#shared = { view, names: sharedNames(view) };
    const shared = this.#shared.names;
    return (seen?.nodes ?? []).map((node) => {
      const lease = leases.get(node.name);
      return {
        ...{ modId: node.modId, cmdId: node.cmdId, ip: parseIpv4(node.ip), port: node.port },
        ...{ name: node.name, state: node.state, callsPerSecond: node.callsPerSecond },
        isKeptOut: node.health === "overload",
        sinceMs: lease?.sinceMs ?? null,
        canLeave: lease?.isOurs === true && !shared.has(node.name),
      };
    });
  }

  /** Never fails: what could not be done is an event. */
  #carryOut(fleet: ScaledFleet, effects: readonly ScaleEffect[]): Promise<void> {
    return fleet.effects = fleet.effects.then(() => this.#carryOutNow(fleet, effects));
  }

  async #carryOutNow(fleet: ScaledFleet, effects: readonly ScaleEffect[]): Promise<void> {
    for (const effect of effects) {
      if (effect.op === "event") await this.#tell(fleet.module, effect.kind, effect.text);
      else if (effect.op === "order") this.#order(fleet, effect.order);
      else if (effect.op === "free") await this.#free(fleet, effect.name);
      else await this.#setState(fleet, effect);
    }
  }

  async #tell(module: ModuleKey, kind: `scale.${string}`, text: string): Promise<void> {
    const { modId, cmdId } = module;
    if (kind === "scale.up" || kind === "scale.down") this.#counts.steps++;
    const event: NewEvent = { atMs: this.#nowMs(), kind, module: { modId, cmdId }, text };
    try {
      await this.#options.store.addEvents([event]);
    } catch (error) {
      this.#options.log.warn("An event of scaling could not be written", {
        ...{ kind, text, error: messageOf(error) },
      });
    }
  }

  async #setState(
    fleet: ScaledFleet,
    { op, name, why }: { readonly op: "drain" | "restore"; readonly name: string; why: string },
  ): Promise<void> {
    const { changes, clock } = this.#options;
    const state = op === "drain" ? "drain" : "on";
    if (op === "restore" && this.#isOff(fleet, name)) return void fleet.owed.delete(name);
    const triedAtMs = this.#nowMs();
    try {
      if (op === "restore" && !await this.#isOurs(fleet, name)) return;
      const said = { why: `scaling: ${why}`.slice(0, 500) };
      await changes.patchNode(ACTOR, fleet.module, name, { state }, said, `node.${op}`);
      fleet.owed.delete(name);
      if (op === "restore") fleet.drains.delete(name);
      else {
        const quietMs = fleet.module.rule.quietS * 1000;
        fleet.drains.set(name, new DrainState(quietMs, clock.nowMs()));
      }
    } catch (error) {
      // A drain that failed is off, and so is the wish to take one back that is refused for good.
      if (op === "drain" || isFinal(error)) fleet.scaler.stays(name);
      const owed = fleet.owed.get(name);
      fleet.owed.delete(name);
      if (op === "restore" && isNotFound(error)) return;
      // Who was refused knows that nothing was written. Else it may have been, and is taken back.
      const isOver = op === "drain" ? error instanceof ControlError : isFinal(error);
      if (!isOver) fleet.owed.set(name, op === "drain" ? { why, triedAtMs } : owed ?? { why });
      if (owed !== undefined && !isOver) return;
      await this.#tell(fleet.module, "scale.fault", `${name} could not ${op}: ${messageOf(error)}`);
    }
  }

  /**
   * True when a drain is ours to take back, as the history tells: somebody may have drained the node
   * as well. One whose end was not heard may never have been written.
   */
  async #isOurs(fleet: ScaledFleet, name: string): Promise<boolean> {
    const { triedAtMs } = fleet.owed.get(name) ?? {};
    const { changes } = this.#options;
    // Both times are of the database, read at different moments.
    const sinceMs = triedAtMs === undefined ? 0 : triedAtMs - DRAIN_LATE_MS_MAX;
    const who = await lastChangerOf(changes, fleet.module, name, sinceMs);
    if (who === ACTOR.name) return true;
    if (triedAtMs === undefined) {
      if (who === undefined) return true;
      await this.#leaveAlone(fleet, name, who);
      return false;
    }
    const isLate = this.#nowMs() - triedAtMs > DRAIN_LATE_MS_MAX;
    if (who !== undefined || isLate) fleet.owed.delete(name);
    return false;
  }

  /** A node that somebody else has drained as well is not of scaling any more. */
  async #leaveAlone(fleet: ScaledFleet, name: string, who: string): Promise<void> {
    fleet.owed.delete(name);
    fleet.drains.delete(name);
    fleet.scaler.stays(name);
    await this.#tell(fleet.module, "scale.cancel", `${name} is left alone: ${who} drained it`);
  }

  /** True for a node that somebody has switched off meanwhile: that is not ours to take back. */
  #isOff({ module: { modId, cmdId } }: ScaledFleet, name: string): boolean {
    const seen = this.#options.reader.model.module(modId, cmdId);
    return seen?.nodes.find((node) => node.name === name)?.state === "off";
  }

  /** A node that has stopped leaves no wish of ours behind: another may have its address. */
  async #free(fleet: ScaledFleet, name: string): Promise<void> {
    fleet.drains.delete(name);
    const [ip, port] = name.split(":");
    const { modId, cmdId } = fleet.module;
    try {
      const node = { modId, cmdId, ip: parseIpv4(ip), port: Number(port) };
      await this.#options.leases.free(ACTOR, node);
    } catch (error) {
      this.#options.log.debug("A stopped node is not known", { name, error: messageOf(error) });
    }
  }

  /** Asks whether draining nodes are used still; one round at a time. */
  #ask(fleet: ScaledFleet): void {
    const draining = fleet.scaler.draining.slice(0, ASKED_MAX);
    if (draining.length === 0 || fleet.isAsking) return;
    fleet.isAsking = true;
    void Promise.all(draining.map(({ name }) => this.#isSafe(fleet, name)))
      .then(async (answers) => {
        const safe: string[] = [];
        for (const [index, { name }] of draining.entries()) {
          if (answers[index] && await this.#isOurs(fleet, name)) safe.push(name);
        }
        if (!this.#follows(fleet)) return;
        await this.#carryOut(fleet, fleet.scaler.safe(safe, this.#nowMs()));
      })
      .catch((error) => {
        this.#options.log.debug("Who drains a node is not known", { error: messageOf(error) });
      })
      .finally(() => {
        fleet.isAsking = false;
      });
  }

  async #isSafe(fleet: ScaledFleet, name: string): Promise<boolean> {
    const { nodeUse, clock } = this.#options;
    const { modId, cmdId, rule } = fleet.module;
    const state = fleet.drains.get(name) ?? new DrainState(rule.quietS * 1000, clock.nowMs());
    fleet.drains.set(name, state);
    const [ip, port] = name.split(":");
    try {
      const node = { ip: parseIpv4(ip), port: Number(port) };
      const answers = await nodeUse.use(node, [{ modId, cmdId }]);
      if (answers.dnsCount === 0) state.unheard("no dns is known");
      else return state.judge(answers, clock.nowMs()).safe;
    } catch (error) {
      state.unheard(messageOf(error));
    }
    return false;
  }

  /** Gives an order after those before it. */
  #order(fleet: ScaledFleet, order: ScaleOrder): void {
    if (fleet.ordersWaiting >= ORDERS_WAITING_MAX) {
      fleet.scaler.failed(order);
      void this.#tell(fleet.module, "scale.fault", "the driver is too slow: an order is given up");
      return;
    }
    fleet.ordersWaiting++;
    fleet.orders = fleet.orders.then(() => this.#give(fleet, order)).finally(() => {
      fleet.ordersWaiting--;
    });
  }

  async #give(fleet: ScaledFleet, order: ScaleOrder): Promise<void> {
    const { drivers, makeId, reader } = this.#options;
    const { rule, modId, cmdId } = fleet.module;
    const id = makeId();
    const what = order.action === "start"
      ? `start ${order.from} -> ${order.to}`
      : `stop ${order.nodes.join(", ")}`;
    const name = reader.model.module(modId, cmdId)?.name ?? "";
    const atMs = this.#nowMs();
    fleet.order = { id, text: what, outcome: "under way" };
    const outcome = await drivers.give(rule, { ...order, id, modId, cmdId, name, atMs });
    fleet.order = { id, text: what, outcome: outcome.text };
    if (outcome.isDone) {
      this.#counts.orders++;
      return;
    }
    this.#counts.ordersFailed++;
    fleet.scaler.failed(order);
    await this.#tell(fleet.module, "scale.fault", `order ${what} failed: ${outcome.text}`);
  }

  /** Notes what was seen, for a chart. */
  async #track(fleet: ScaledFleet, sample: LoadSample | undefined): Promise<void> {
    const { status } = fleet.scaler;
    if (status === null) return;
    const { console: states } = this.#options.store;
    const name = scaleTrackName(fleet.module);
    fleet.track ??= new TrackKeeper(parseTrack(await states.state(name)));
    const { load = null, errorShare = null } = sample ?? {};
    const nodes = Math.max(0, status.from - status.pendingCount);
    const isWhole = fleet.track.note(status.atMs, { nodes, wish: status.wish, load, errorShare });
    if (isWhole && this.#follows(fleet)) {
      await states.putState(name, JSON.stringify(fleet.track.track));
    }
  }

  async #save(fleet: ScaledFleet): Promise<void> {
    const { status, memory } = fleet.scaler;
    if (status === null || this.#fleets.get(moduleText(fleet.module)) !== fleet) return;
    const content = JSON.stringify({ status: { ...status, order: fleet.order }, memory });
    await this.#options.store.console.putState(scaleStateName(fleet.module), content);
    fleet.savedAtMs = this.#nowMs();
  }
}
