// Core. One loop's part in following the whole system: hears what its agents keep out, and sends
// what there is to its followers.

import type { ModuleKey } from "../model/module.ts";
import { decodeFleetSubscribe, decodeNodesOut, type NodesOut } from "../proto/codec.ts";
import { MessageId } from "../proto/message_ids.ts";
import { ProtocolError } from "../reactor/errors.ts";
import type { MessageRouter } from "../reactor/message_router.ts";
import { type FleetChange, Followers, LoopOuts } from "./fleet.ts";

/** Main thread to loop. */
export type FleetTask =
  | { readonly type: "fleet"; readonly change: FleetChange }
  /** Say of these modules what your agents keep out, and how many of them use it. */
  | { readonly type: "countOuts"; readonly keys: readonly ModuleKey[] };

/** Loop to main thread. */
export type FleetNote =
  /** Somebody follows the whole system here: tell me of it from now on. */
  | { readonly type: "followed" }
  /** What my agents keep out of a module. */
  | { readonly type: "nodesOut"; readonly message: NodesOut };

/** What a {@linkcode FleetLoop} needs of its loop. */
export interface FleetLoopPort<P> {
  readonly router: MessageRouter<P>;
  note(note: FleetNote): void;
  send(peer: P, msgId: number, body: Uint8Array): void;
  isBusy(peer: P): boolean;
  /** Role of a peer in its Hello; undefined: it has said none. */
  roleOf(peer: P): string | undefined;
  /** Agents of this loop that use a module. */
  agentsOf(key: ModuleKey): number;
}

/** The part of one loop. */
export class FleetLoop<P> {
  readonly #port: FleetLoopPort<P>;
  readonly #outs = new LoopOuts<P>();
  readonly #followers: Followers<P>;

  constructor(port: FleetLoopPort<P>) {
    this.#port = port;
    this.#followers = new Followers<P>({
      send: port.send,
      isBusy: port.isBusy,
      onFirst: () => port.note({ type: "followed" }),
    });
    port.router.add(MessageId.FleetSubscribe, (body, peer) => {
      if (port.roleOf(peer) === undefined) throw new ProtocolError("Hello must come first");
      if (decodeFleetSubscribe(body).end) this.#followers.closed(peer);
      else this.#followers.add(peer);
    });
    port.router.add(MessageId.NodesOut, (body, peer) => {
      if (port.roleOf(peer) !== "agent") {
        throw new ProtocolError("Only an agent that said Hello may send NodesOut");
      }
      const message = decodeNodesOut(body);
      if (this.#outs.told(peer, message)) this.#tell(message);
    });
  }

  /** Counters under their names in the status of dns. */
  stats(): Record<string, number> {
    return {
      followers: this.#followers.count,
      followers_refused: this.#followers.refusedCount,
      nodes_out_ignored: this.#outs.ignoredCount,
    };
  }

  onTask(task: FleetTask): void {
    if (task.type === "fleet") this.#followers.take(task.change);
    else for (const key of task.keys) this.#tell(key);
  }

  closed(peer: P): void {
    this.#followers.closed(peer);
    for (const key of this.#outs.closed(peer)) this.#tell(key);
  }

  drained(peer: P): void {
    this.#followers.drained(peer);
  }

  #tell({ modId, cmdId }: ModuleKey): void {
    const key = { modId, cmdId };
    const message = { ...key, nodes: this.#outs.of(key), agents: this.#port.agentsOf(key) };
    this.#port.note({ type: "nodesOut", message });
  }
}
