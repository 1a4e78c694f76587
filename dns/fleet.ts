// Core. The whole system for those who follow it (exports): which modules there are, and which nodes
// agents keep out.

import { type ModuleId, moduleId, type ModuleKey } from "../model/module.ts";
import {
  encodeFleetModules,
  encodeNodesOut,
  type FleetModule,
  type NodeOut,
  type NodesOut,
} from "../proto/codec.ts";
import { MessageId } from "../proto/message_ids.ts";
import type { Clock, Timer } from "../reactor/time/clock.ts";

/** Nodes that one agent may say it keeps out; what it says of further modules is not heard. */
export const NODES_OUT_PER_AGENT_MAX = 10_000;

/** Nodes of one module that are passed on, those most agents keep out first: one frame. */
export const NODES_OUT_PER_MODULE_MAX = 2_000;

/** Peers of one loop that may follow the whole system; further ones are refused. */
export const FOLLOWERS_MAX = 64;

/** Modules of one message: 128 characters of name each, of up to three bytes, fit a frame. */
const MODULES_PER_MESSAGE = 100;

function nodeKey({ ip, port }: Pick<NodeOut, "ip" | "port">): number {
  return ip * 65_536 + port;
}

/** What the agents of one loop say they keep out. */
export class LoopOuts<P> {
  readonly #told = new Map<P, { nodes: number; modules: Map<ModuleId, NodesOut> }>();
  /** Who says something, by module. */
  readonly #tellers = new Map<ModuleId, Set<P>>();
  #ignored = 0;

  /** Messages not heard because an agent had said too much. */
  get ignoredCount(): number {
    return this.#ignored;
  }

  /** An agent says what it keeps out of a module; false: nothing has changed. */
  told(peer: P, message: NodesOut): boolean {
    const id = moduleId(message.modId, message.cmdId);
    let told = this.#told.get(peer);
    const before = told?.modules.get(id)?.nodes.length ?? 0;
    const nodes = (told?.nodes ?? 0) - before + message.nodes.length;
    if (nodes > NODES_OUT_PER_AGENT_MAX) {
      this.#ignored++;
      return false;
    }
    if (message.nodes.length === 0 && before === 0) return false;
    if (told === undefined) this.#told.set(peer, told = { nodes: 0, modules: new Map() });
    told.nodes = nodes;
    if (message.nodes.length === 0) {
      told.modules.delete(id);
      this.#forgetTeller(id, peer);
      return true;
    }
    told.modules.set(id, message);
    const tellers = this.#tellers.get(id) ?? new Set();
    this.#tellers.set(id, tellers.add(peer));
    return true;
  }

  /** A peer is gone; the modules that it said something of. */
  closed(peer: P): ModuleKey[] {
    const told = this.#told.get(peer);
    if (told === undefined) return [];
    this.#told.delete(peer);
    for (const id of told.modules.keys()) this.#forgetTeller(id, peer);
    return [...told.modules.values()];
  }

  /** All nodes of a module that somebody keeps out, with the number of agents that do. */
  of({ modId, cmdId }: ModuleKey): NodeOut[] {
    const id = moduleId(modId, cmdId);
    const nodes: NodeOut[] = [];
    for (const peer of this.#tellers.get(id) ?? []) {
      for (const node of this.#told.get(peer)?.modules.get(id)?.nodes ?? []) {
        nodes.push({ ip: node.ip, port: node.port, agents: 1 });
      }
    }
    return sumOfNodes(nodes);
  }

  #forgetTeller(id: ModuleId, peer: P): void {
    const tellers = this.#tellers.get(id);
    tellers?.delete(peer);
    if (tellers?.size === 0) this.#tellers.delete(id);
  }
}

function sumOfNodes(nodes: readonly NodeOut[]): NodeOut[] {
  const sums = new Map<number, NodeOut>();
  for (const { ip, port, agents } of nodes) {
    const sum = sums.get(nodeKey({ ip, port }))?.agents ?? 0;
    sums.set(nodeKey({ ip, port }), { ip, port, agents: sum + agents });
  }
  return [...sums.values()].sort((a, b) => b.agents - a.agents || nodeKey(a) - nodeKey(b))
    .slice(0, NODES_OUT_PER_MODULE_MAX);
}

/** What the agents of all loops keep out. A module of which nobody keeps a node out is not held. */
export class FleetOuts {
  readonly #modules = new Map<ModuleId, Map<number, NodesOut>>();

  get size(): number {
    return this.#modules.size;
  }

  /** True when somebody keeps a node of the module out. */
  has({ modId, cmdId }: ModuleKey): boolean {
    return this.#modules.has(moduleId(modId, cmdId));
  }

  /** Modules of which somebody keeps a node out. */
  modules(): ModuleKey[] {
    return [...this.#modules.values()].map((loops) => {
      const [{ modId, cmdId }] = loops.values();
      return { modId, cmdId };
    });
  }

  /**
   * A loop says what its agents keep out of a module, and how many of them use it.
   *
   * @returns what all say; undefined when it is as before.
   */
  take(loop: number, message: NodesOut): NodesOut | undefined {
    const { modId, cmdId } = message;
    const id = moduleId(modId, cmdId);
    const before = this.#modules.get(id);
    const text = before === undefined ? "" : JSON.stringify(this.#sum(before));
    const loops = before ?? new Map<number, NodesOut>();
    loops.set(loop, message);
    const sum = this.#sum(loops);
    if (sum.nodes.length > 0) this.#modules.set(id, loops);
    else this.#modules.delete(id);
    if (text === "" && sum.nodes.length === 0) return undefined;
    return JSON.stringify(sum) === text ? undefined : sum;
  }

  /** A loop is gone with its agents; what is true of its modules now. */
  lostLoop(loop: number): NodesOut[] {
    const changed: NodesOut[] = [];
    for (const [id, loops] of this.#modules) {
      if (!loops.has(loop)) continue;
      const { modId, cmdId } = this.#sum(loops);
      loops.delete(loop);
      const sum = loops.size === 0 ? { modId, cmdId, nodes: [], agents: 0 } : this.#sum(loops);
      if (sum.nodes.length === 0) this.#modules.delete(id);
      changed.push(sum);
    }
    return changed;
  }

  /** All that is kept out. */
  all(): NodesOut[] {
    return [...this.#modules.values()].map((loops) => this.#sum(loops));
  }

  #sum(loops: ReadonlyMap<number, NodesOut>): NodesOut {
    const all = [...loops.values()];
    const [{ modId, cmdId }] = all;
    const agents = all.reduce((sum, one) => sum + one.agents, 0);
    return { modId, cmdId, nodes: sumOfNodes(all.flatMap(({ nodes }) => nodes)), agents };
  }
}

/** What a loop is told for those who follow the whole system. */
export interface FleetChange {
  readonly modules: readonly FleetModule[];
  readonly outs: readonly NodesOut[];
  /** The list of modules is whole from here on. */
  readonly whole: boolean;
}

/** How {@linkcode Followers} reaches its peers. */
export interface FollowerPort<P> {
  send(peer: P, msgId: number, body: Uint8Array): void;
  /** True while the peer has more output waiting than it should. */
  isBusy(peer: P): boolean;
  /** The first peer has come: whoever knows the system tells it from now on. */
  onFirst(): void;
}

/**
 * Those who follow the whole system over one loop. Each is sent all there is, then changes; one that
 * reads slowly gets nothing until it has read, and then all of it anew.
 */
export class Followers<P> {
  readonly #port: FollowerPort<P>;
  /** True: it has been sent everything so far. */
  readonly #peers = new Map<P, boolean>();
  readonly #modules = new Map<ModuleId, FleetModule>();
  readonly #outs = new Map<ModuleId, NodesOut>();
  #isWhole = false;
  #isAsked = false;
  #refused = 0;

  constructor(port: FollowerPort<P>) {
    this.#port = port;
  }

  get count(): number {
    return this.#peers.size;
  }

  /** Peers refused because there were too many. */
  get refusedCount(): number {
    return this.#refused;
  }

  /** A peer wants to follow. */
  add(peer: P): void {
    if (!this.#peers.has(peer) && this.#peers.size >= FOLLOWERS_MAX) {
      this.#refused++;
      return;
    }
    this.#peers.set(peer, false);
    if (!this.#isAsked) {
      this.#isAsked = true;
      this.#port.onFirst();
    }
    this.drained(peer);
  }

  /** A peer is gone, or wants no more. */
  closed(peer: P): void {
    this.#peers.delete(peer);
  }

  /** A peer may have read what it was sent. */
  drained(peer: P): void {
    if (this.#peers.get(peer) !== false || !this.#isWhole || this.#port.isBusy(peer)) return;
    this.#peers.set(peer, true);
    this.#send(peer, [...this.#modules.values()], [...this.#outs.values()], true);
  }

  /** Something of the system has changed, or is told the first time. */
  take({ modules, outs, whole }: FleetChange): void {
    const changed = modules.filter((module) => this.#keep(module));
    for (const one of outs) {
      const id = moduleId(one.modId, one.cmdId);
      if (one.nodes.length === 0) this.#outs.delete(id);
      else this.#outs.set(id, one);
    }
    if (whole) this.#isWhole = true;
    for (const [peer, isCurrent] of this.#peers) {
      if (!isCurrent) this.drained(peer);
      else if (this.#port.isBusy(peer)) this.#peers.set(peer, false);
      else this.#send(peer, changed, outs, false);
    }
  }

  /** False when it is known. */
  #keep(module: FleetModule): boolean {
    const id = moduleId(module.modId, module.cmdId);
    if (module.gone) return this.#modules.delete(id);
    if (this.#modules.get(id)?.name === module.name) return false;
    this.#modules.set(id, module);
    return true;
  }

  #send(
    peer: P,
    modules: readonly FleetModule[],
    outs: readonly NodesOut[],
    isWhole: boolean,
  ): void {
    for (
      let from = 0;
      from < modules.length || (isWhole && from === 0);
      from += MODULES_PER_MESSAGE
    ) {
      const some = modules.slice(from, from + MODULES_PER_MESSAGE);
      const last = isWhole && from + MODULES_PER_MESSAGE >= modules.length;
      const body = encodeFleetModules({ modules: some, first: isWhole && from === 0, last });
      this.#port.send(peer, MessageId.FleetModules, body);
    }
    for (const one of outs) this.#port.send(peer, MessageId.NodesOut, encodeNodesOut(one));
  }
}

/** Time between two counts of the agents that use a module of which somebody keeps a node out. */
export const COUNT_INTERVAL_MS = 5_000;

/** Modules of one {@linkcode FleetChange}, so that a long list does not hold up a loop. */
const MODULES_PER_CHANGE = 2_000;

/** What {@linkcode FleetTeller} needs of dns. */
export interface FleetTellerPort {
  readonly clock: Clock;
  readonly loopCount: number;
  /** Every module there is, once the routes have been read; undefined: not yet. */
  modules(): Iterable<FleetModule> | undefined;
  module(key: ModuleKey): FleetModule;
  tell(loop: number, change: FleetChange): void;
  /** Has a loop say how many agents use these modules, and what they keep out of them. */
  count(loop: number, keys: readonly ModuleKey[]): void;
}

/** Keeps the loops that are followed up to date. */
export class FleetTeller {
  readonly #port: FleetTellerPort;
  readonly #outs = new FleetOuts();
  readonly #followed = new Set<number>();
  #timer: Timer | undefined;

  constructor(port: FleetTellerPort) {
    this.#port = port;
  }

  /** Modules of which some agent keeps a node out. */
  get outCount(): number {
    return this.#outs.size;
  }

  /** A loop has its first follower. */
  followed(loop: number): void {
    this.#followed.add(loop);
    this.#tellAll(loop);
  }

  /** The routes have been read the first time. */
  loaded(): void {
    for (const loop of this.#followed) this.#tellAll(loop);
  }

  /** These modules are new, have another name, or are gone; or other nodes, which is no matter. */
  changed(keys: readonly ModuleKey[]): void {
    if (this.#followed.size === 0) return;
    for (let from = 0; from < keys.length; from += MODULES_PER_CHANGE) {
      const modules = keys.slice(from, from + MODULES_PER_CHANGE).map((key) =>
        this.#port.module(key)
      );
      this.#tell({ modules, outs: [], whole: false });
    }
  }

  /** A loop says what its agents keep out of a module. */
  take(loop: number, message: NodesOut): void {
    const isNew = !this.#outs.has(message) && message.nodes.length > 0;
    const sum = this.#outs.take(loop, message);
    if (sum !== undefined) this.#tell({ modules: [], outs: [sum], whole: false });
    // The others have not said how many of their agents use it.
    if (isNew) this.#count([{ modId: message.modId, cmdId: message.cmdId }], loop);
    if (this.#outs.size > 0) this.#arm();
  }

  /** A loop is gone, with its agents and its followers. */
  lostLoop(loop: number): void {
    this.#followed.delete(loop);
    const outs = this.#outs.lostLoop(loop);
    if (outs.length > 0) this.#tell({ modules: [], outs, whole: false });
  }

  stop(): void {
    this.#timer?.cancel();
  }

  #arm(): void {
    this.#timer ??= this.#port.clock.setTimer(COUNT_INTERVAL_MS, () => {
      this.#timer = undefined;
      this.#count(this.#outs.modules());
    });
  }

  #count(keys: readonly ModuleKey[], except?: number): void {
    if (keys.length === 0) return;
    for (let loop = 0; loop < this.#port.loopCount; loop++) {
      if (loop !== except) this.#port.count(loop, keys);
    }
  }

  #tellAll(loop: number): void {
    const all = this.#port.modules();
    if (all === undefined) return;
    const modules = [...all];
    for (let from = 0; from < modules.length; from += MODULES_PER_CHANGE) {
      const some = modules.slice(from, from + MODULES_PER_CHANGE);
      this.#port.tell(loop, { modules: some, outs: [], whole: false });
    }
    this.#port.tell(loop, { modules: [], outs: this.#outs.all(), whole: true });
  }

  #tell(change: FleetChange): void {
    for (const loop of this.#followed) this.#port.tell(loop, change);
  }
}
