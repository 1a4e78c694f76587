// Core. Tells dns which nodes this agent keeps out, for those who follow the whole system.

import type { ModuleReport } from "../../balancer/routes/route_records.ts";
import { type ModuleId, moduleId, type ModuleKey } from "../../model/module.ts";
import { addressId, type NodeAddress } from "../../model/node.ts";
import type { NodesOut } from "../../proto/codec.ts";
import type { PackedRoute } from "../routes/packed_route.ts";

/** Nodes that are told of, over all modules; dns hears no more of one agent. Further ones are not told. */
export const NODES_OUT_MAX = 10_000;

/** Nodes of one module that are told of: dns passes no more on, and more than 3,800 would fit no frame. */
export const NODES_OUT_TOLD_MAX = 2_000;

interface ModuleOuts extends ModuleKey {
  readonly nodes: Map<number, NodeAddress>;
}

/** What is out by the results that the shards report, and what dns has been told of it. */
export class OutNotifier {
  readonly #send: (message: NodesOut) => boolean;
  readonly #modules = new Map<ModuleId, ModuleOuts>();
  /** Modules of which dns has to be told. */
  readonly #untold = new Map<ModuleId, ModuleKey>();
  #count = 0;

  /** @param send False: it could not be sent now, and is tried again with `flush`. */
  constructor(send: (message: NodesOut) => boolean) {
    this.#send = send;
  }

  /** Nodes that are out. */
  get count(): number {
    return this.#count;
  }

  /** Results have come from the shards. */
  take(reports: readonly ModuleReport[]): void {
    for (const { modId, cmdId, results } of reports) {
      // Of most modules no node is out.
      const id = moduleId(modId, cmdId);
      for (const { ip, port, overload } of results) {
        const mayBeKnown = this.#modules.size > 0 && this.#modules.has(id);
        if (overload || mayBeKnown) this.#set({ modId, cmdId }, { ip, port }, overload);
      }
    }
    this.flush();
  }

  /** The nodes of a module are others now: what has left is not out. */
  routeCame({ modId, cmdId, ips, ports }: PackedRoute): void {
    const outs = this.#modules.get(moduleId(modId, cmdId));
    if (outs === undefined) return;
    const left = new Map(outs.nodes);
    for (let i = 0; i < ips.length && left.size > 0; i++) left.delete(addressId(ips[i], ports[i]));
    for (const node of left.values()) this.#set({ modId, cmdId }, node, false);
    this.flush();
  }

  /** The module is not used any more. */
  forget(modId: number, cmdId: number): void {
    const outs = this.#modules.get(moduleId(modId, cmdId));
    for (const node of [...outs?.nodes.values() ?? []]) this.#set({ modId, cmdId }, node, false);
    this.flush();
  }

  /** The connection is lost: the next dns knows nothing. */
  reset(): void {
    this.#untold.clear();
    for (const [id, { modId, cmdId }] of this.#modules) this.#untold.set(id, { modId, cmdId });
  }

  /** Sends what dns has not been told; call it as often as is convenient. */
  flush(): void {
    for (const [id, { modId, cmdId }] of this.#untold) {
      const nodes: NodesOut["nodes"] = [];
      for (const { ip, port } of this.#modules.get(id)?.nodes.values() ?? []) {
        if (nodes.length >= NODES_OUT_TOLD_MAX) break;
        nodes.push({ ip, port, agents: 0 });
      }
      if (!this.#send({ modId, cmdId, nodes, agents: 0 })) return;
      this.#untold.delete(id);
    }
  }

  #set({ modId, cmdId }: ModuleKey, { ip, port }: NodeAddress, isOut: boolean): void {
    const id = moduleId(modId, cmdId);
    const node = addressId(ip, port);
    const outs = this.#modules.get(id);
    if ((outs?.nodes.has(node) ?? false) === isOut) return;
    if (isOut) {
      if (this.#count >= NODES_OUT_MAX) return;
      this.#count++;
      if (outs !== undefined) outs.nodes.set(node, { ip, port });
      else this.#modules.set(id, { modId, cmdId, nodes: new Map([[node, { ip, port }]]) });
    } else {
      this.#count--;
      outs?.nodes.delete(node);
      if (outs?.nodes.size === 0) this.#modules.delete(id);
    }
    this.#untold.set(id, { modId, cmdId });
  }
}
