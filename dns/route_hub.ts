// Core. The middle between the route table and the loops: which loop wants which module.

import { type ModuleId, moduleId, type ModuleKey, moduleOf } from "../model/module.ts";
import { type RouteFrameCache, type RouteFrames } from "./route_frames.ts";
import type { RouteTable } from "./route_table.ts";
import { Subscriptions } from "../feed/subscriptions.ts";

/** Modules looked at between two yields of {@linkcode RouteHub.publish}. */
const STEP_MODULES = 64;

/** Hands frames to a loop. */
export type LoopSender = (
  loop: number,
  modId: number,
  cmdId: number,
  frames: RouteFrames,
) => void;

/** Remembers what each loop needs, and sends it frames when they are known or have changed. */
export class RouteHub {
  readonly #table: RouteTable;
  readonly #cache: RouteFrameCache;
  readonly #send: LoopSender;
  readonly #wanted = new Subscriptions<number>({ perPeerMax: Infinity, totalMax: Infinity });

  constructor(table: RouteTable, cache: RouteFrameCache, send: LoopSender) {
    this.#table = table;
    this.#cache = cache;
    this.#send = send;
  }

  /** Modules that some loop needs. */
  get wantedCount(): number {
    return this.#wanted.keyCount;
  }

  /** A loop asks; it is answered at once, or after the first load. */
  want(loop: number, modId: number, cmdId: number): void {
    this.#wanted.subscribe(loop, moduleId(modId, cmdId));
    if (this.#table.loaded) this.#send(loop, modId, cmdId, this.#cache.get(modId, cmdId));
  }

  /** A loop needs these modules no more. */
  drop(loop: number, keys: readonly ModuleId[]): void {
    for (const key of keys) this.#wanted.unsubscribe(loop, key);
  }

  /** A loop is gone. */
  removeLoop(loop: number): void {
    this.#wanted.removePeer(loop);
  }

  /** Sends every loop what it needs of the changed modules, as they are at that moment. */
  *publish(changed: readonly ModuleKey[]): Generator<void, void> {
    for (let i = 0; i < changed.length; i++) {
      if (i % STEP_MODULES === STEP_MODULES - 1) yield;
      const { modId, cmdId } = changed[i];
      this.#publishModule(modId, cmdId);
    }
  }

  /** Sends every loop everything it needs: after the first load. */
  *publishAll(): Generator<void, void> {
    let step = 0;
    for (const key of [...this.#wanted.keys()]) {
      if (++step % STEP_MODULES === 0) yield;
      const { modId, cmdId } = moduleOf(key);
      this.#publishModule(modId, cmdId);
    }
  }

  #publishModule(modId: number, cmdId: number): void {
    for (const loop of this.#wanted.subscribers(moduleId(modId, cmdId))) {
      this.#send(loop, modId, cmdId, this.#cache.get(modId, cmdId));
    }
  }
}
