// Core. The system as exports see it: modules by number and name, and of each module that is wanted
// its nodes, which of them are drained, and which agents keep out. What was known last stays.

import type { ArrivedRoute } from "../feed/route_subscriber.ts";
import { type ModuleId, moduleId, type ModuleKey, moduleOf } from "../model/module.ts";
import { addressId, type NodeAddress, PORT_MAX, WEIGHT_DEFAULT } from "../model/node.ts";
import type { FleetModules, HostInfo, NodesOut } from "../proto/codec.ts";
import type { CachedModule } from "./fleet_cache.ts";

/** A node is left out when this share of the agents that use its module keep it out. */
export const OUT_SHARE_DEFAULT = 0.25;

/**
 * What an export does with a node: `up` = calls; `drain` = no new calls, those under way go on;
 * `out` = agents find it sick.
 */
export type ExportState = "up" | "drain" | "out";

/** A node of a module, for an export. */
export interface ExportNode extends NodeAddress {
  /** Share of the calls, 0 to 10000; 0 only with state `drain`. */
  readonly weight: number;
  /** "" = none. */
  readonly zone: string;
  readonly state: ExportState;
}

/** A module, for an export. */
export interface ExportModule extends ModuleKey {
  /** "" = it has none. */
  readonly name: string;
  /** By address, each once. */
  readonly nodes: readonly ExportNode[];
}

interface Route {
  readonly nodes: readonly Omit<ExportNode, "state">[];
  readonly drained: ReadonlySet<number>;
}

interface Sum {
  agents: number;
  readonly out: Map<number, number>;
}

/** What a {@linkcode FleetView} tells and needs. */
export interface FleetViewPort {
  /** See {@linkcode OUT_SHARE_DEFAULT}; above 0, at most 1. */
  readonly outShare: number;
  /** The route of a module is wanted from now on. */
  request(modId: number, cmdId: number): void;
  /** Nobody wants it any more. */
  forget(modId: number, cmdId: number): void;
  /** Nodes, states or the name of a module that is wanted have changed. */
  onChanged(key: ModuleKey): void;
  /** There are other modules, or other names, than before. */
  onListed(): void;
}

/** Nothing in it has a time: who wants to know how old it is asks the client that fills it. */
export class FleetView {
  readonly #port: FleetViewPort;
  readonly #names = new Map<ModuleId, string>();
  readonly #byName = new Map<string, ModuleKey>();
  readonly #byLowerName = new Map<string, ModuleKey>();
  /** What has come of modules that are wanted; undefined: nothing yet. */
  readonly #routes = new Map<ModuleId, Route | undefined>();
  /** By source (dns) what its agents keep out. */
  readonly #outs = new Map<number, Map<ModuleId, NodesOut>>();
  readonly #built = new Map<ModuleId, ExportModule>();
  /** Modules of a list that is on its way, which takes the place of the one before when whole. */
  #listing: Map<ModuleId, string> | undefined;
  #isListed = false;

  constructor(port: FleetViewPort) {
    this.#port = port;
  }

  /** True once the whole list of modules has come. */
  get isListed(): boolean {
    return this.#isListed;
  }

  /** Number of modules. */
  get moduleCount(): number {
    return this.#names.size;
  }

  /** Modules that are wanted. */
  get wantedCount(): number {
    return this.#routes.size;
  }

  /** Every module there is, and its name. */
  *modules(): Generator<ModuleKey & { readonly name: string }> {
    for (const [id, name] of this.#names) yield { ...moduleOf(id), name };
  }

  /** The module with this name. */
  byName(name: string): ModuleKey | undefined {
    return this.#byName.get(name);
  }

  /** The module with this name, where capital letters are no matter: `text` has none. */
  byLowerName(text: string): ModuleKey | undefined {
    return this.#byLowerName.get(text);
  }

  /** True when there is such a module. */
  has({ modId, cmdId }: ModuleKey): boolean {
    return this.#names.has(moduleId(modId, cmdId));
  }

  /** The route of a module is wanted from now on. */
  want({ modId, cmdId }: ModuleKey): void {
    const id = moduleId(modId, cmdId);
    if (this.#routes.has(id)) return;
    this.#routes.set(id, undefined);
    this.#port.request(modId, cmdId);
  }

  /** Nobody wants a module any more. */
  forget({ modId, cmdId }: ModuleKey): void {
    const id = moduleId(modId, cmdId);
    if (!this.#routes.delete(id)) return;
    this.#built.delete(id);
    this.#port.forget(modId, cmdId);
  }

  /** Every module that is wanted, to ask for it anew. */
  *wanted(): Generator<ModuleKey> {
    for (const id of this.#routes.keys()) yield moduleOf(id);
  }

  /** A module that is wanted, as it is known; undefined: its route has not come yet. */
  module({ modId, cmdId }: ModuleKey): ExportModule | undefined {
    const id = moduleId(modId, cmdId);
    const built = this.#built.get(id);
    if (built !== undefined) return built;
    const route = this.#routes.get(id);
    if (route === undefined) return undefined;
    const name = this.#names.get(id) ?? "";
    const module = { modId, cmdId, name, nodes: this.#judged(id, route) };
    this.#built.set(id, module);
    return module;
  }

  /** A route has come; undefined nodes: the last good ones stay. */
  takeRoute({ modId, cmdId, hosts }: ArrivedRoute): void {
    const id = moduleId(modId, cmdId);
    if (hosts === undefined || !this.#routes.has(id)) return;
    const nodes = new Map<number, Omit<ExportNode, "state">>();
    const drained = new Set<number>();
    for (const { ip, port, weight = WEIGHT_DEFAULT, zone = "", state } of hosts) {
      const address = addressId(ip, port);
      if (port < 1 || port > PORT_MAX || nodes.has(address)) continue;
      nodes.set(address, { ip, port, weight, zone });
      if (state === "drain" || weight === 0) drained.add(address);
    }
    const sorted = [...nodes].sort(([a], [b]) => a - b).map(([, node]) => node);
    this.#routes.set(id, { nodes: sorted, drained });
    this.#rebuild(id);
  }

  /** Part of the list of modules, or a change of it. */
  takeModules({ modules, first, last }: FleetModules): void {
    if (first) this.#listing = new Map();
    const names = this.#listing ?? this.#names;
    const touched = new Set<ModuleId>();
    for (const { modId, cmdId, name, gone } of modules) {
      const id = moduleId(modId, cmdId);
      touched.add(id);
      if (gone) names.delete(id);
      else names.set(id, name);
    }
    if (this.#listing !== undefined) {
      if (!last) return;
      for (const id of [...this.#names.keys(), ...this.#listing.keys()]) touched.add(id);
      this.#names.clear();
      for (const [id, name] of this.#listing) this.#names.set(id, name);
      this.#listing = undefined;
      this.#isListed = true;
    }
    this.#nameAll();
    this.#port.onListed();
    for (const id of touched) if (this.#built.has(id)) this.#rebuild(id);
  }

  /** Every module there is, to be kept for {@linkcode FleetView.restore}. */
  *saved(): Generator<CachedModule> {
    for (const [id, name] of this.#names) {
      const route = this.#routes.get(id);
      const hosts = route?.nodes.map((node): HostInfo =>
        route.drained.has(addressId(node.ip, node.port)) ? { ...node, state: "drain" } : node
      );
      yield { ...moduleOf(id), name, hosts };
    }
  }

  /** What was known in an earlier run, until a dns tells what is true now. */
  restore(modules: readonly CachedModule[]): void {
    if (modules.length === 0 || this.#isListed) return;
    for (const { modId, cmdId, hosts } of modules) {
      if (hosts === undefined) continue;
      this.want({ modId, cmdId });
      this.takeRoute({ modId, cmdId, hosts: [...hosts], policy: undefined });
    }
    const all = modules.map(({ modId, cmdId, name }) => ({ modId, cmdId, name, gone: false }));
    this.takeModules({ modules: all, first: true, last: true });
  }

  /** A dns says what its agents keep out of a module. */
  takeOuts(source: number, message: NodesOut): void {
    const id = moduleId(message.modId, message.cmdId);
    const outs = this.#outs.get(source) ?? new Map<ModuleId, NodesOut>();
    this.#outs.set(source, outs);
    if (message.nodes.length === 0) outs.delete(id);
    else outs.set(id, message);
    if (this.#routes.get(id) !== undefined) this.#rebuild(id);
  }

  /** What this dns has said counts no more: a new connection to it tells everything anew. */
  forgetOuts(source: number): void {
    const outs = this.#outs.get(source);
    this.#outs.delete(source);
    for (const id of outs?.keys() ?? []) {
      if (this.#routes.get(id) !== undefined) this.#rebuild(id);
    }
  }

  #nameAll(): void {
    this.#byName.clear();
    this.#byLowerName.clear();
    for (const [id, name] of this.#names) {
      // Names are unique but while one wanders, or in small letters: the first then has it.
      if (name === "" || this.#byName.has(name)) continue;
      this.#byName.set(name, moduleOf(id));
      const lower = name.toLowerCase();
      if (!this.#byLowerName.has(lower)) this.#byLowerName.set(lower, moduleOf(id));
    }
  }

  #rebuild(id: ModuleId): void {
    const before = this.#built.get(id);
    this.#built.delete(id);
    const key = moduleOf(id);
    const after = this.module(key);
    if (after === undefined || sameModule(before, after)) return;
    this.#port.onChanged(key);
  }

  #judged(id: ModuleId, { nodes, drained }: Route): ExportNode[] {
    const { agents, out } = this.#sumOf(id);
    const isOut = ({ ip, port }: NodeAddress): boolean =>
      (out.get(addressId(ip, port)) ?? 0) >= Math.max(1, agents * this.#port.outShare);
    const callable = nodes.filter(({ ip, port }) => !drained.has(addressId(ip, port)));
    const outCount = callable.filter(isOut).length;
    // Where most look sick the evidence is doubtful, or the load would fell the rest: all stay.
    const isTrusted = outCount * 2 <= callable.length && outCount < callable.length;
    return nodes.map((node): ExportNode => {
      if (drained.has(addressId(node.ip, node.port))) return { ...node, state: "drain" };
      return { ...node, state: isTrusted && isOut(node) ? "out" : "up" };
    });
  }

  #sumOf(id: ModuleId): Sum {
    const sum: Sum = { agents: 0, out: new Map() };
    for (const outs of this.#outs.values()) {
      const message = outs.get(id);
      if (message === undefined) continue;
      sum.agents += message.agents;
      for (const { ip, port, agents } of message.nodes) {
        const address = addressId(ip, port);
        sum.out.set(address, (sum.out.get(address) ?? 0) + agents);
      }
    }
    return sum;
  }
}

function sameModule(a: ExportModule | undefined, b: ExportModule): boolean {
  return a !== undefined && a.name === b.name && a.nodes.length === b.nodes.length &&
    a.nodes.every((node, index) => sameNode(node, b.nodes[index]));
}

function sameNode(a: ExportNode, b: ExportNode): boolean {
  return a.ip === b.ip && a.port === b.port && a.weight === b.weight && a.zone === b.zone &&
    a.state === b.state;
}
