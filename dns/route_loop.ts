// Shell. One event loop of dns: accepts connections, answers and pushes.

import type { Address } from "../reactor/address.ts";
import { HIGH_WATER_BYTES } from "../reactor/framed_link.ts";
import type { Connection } from "../reactor/tcp_server.ts";
import { GreetingServer, type GreetingServerInit } from "../daemon/greeting_server.ts";
import type { LoopStats, LoopSurroundings, ServiceLoop } from "../daemon/loop_group.ts";
import { MessageId } from "../proto/message_ids.ts";
import { decodeGetRouteRequest, decodeRouteChanged } from "../proto/messages.ts";
import type { ModuleKey } from "../sql/store.ts";
import type { ModuleId } from "./module_id.ts";
import { PushPlan } from "./push_plan.ts";
import type { RouteFrames } from "./route_frames.ts";

/** Main thread to loop: the frames of a module it wants. */
export interface RouteTask {
  readonly modId: number;
  readonly cmdId: number;
  readonly frames: RouteFrames;
}

/** Loop to main thread. */
export type RouteNote =
  /** Send me the frames of this module now and after each change. */
  | { readonly type: "want"; readonly modId: number; readonly cmdId: number }
  /** I need these modules no more. */
  | { readonly type: "drop"; readonly keys: readonly ModuleId[] }
  /** A writer says that it changed these modules; none named: any. */
  | { readonly type: "routesChanged"; readonly keys: readonly ModuleKey[] };

/** Plain values that a loop is started with. */
export interface RouteLoopInit extends GreetingServerInit {
  readonly subscriptionsMax: number;
  /** All loops together keep at most this many subscriptions; this is the share of one. */
  readonly subscriptionsTotalMax: number;
}

/** A server with its connections and what they are subscribed to. */
export class RouteLoop implements ServiceLoop<RouteTask> {
  readonly #server: GreetingServer;
  readonly #plan: PushPlan<Connection>;
  #requestCount = 0;

  constructor(init: RouteLoopInit, around: LoopSurroundings<RouteNote>) {
    const { clock, log } = around;
    this.#server = new GreetingServer({
      role: "dns",
      init,
      clock,
      log,
      onClose: (peer) => this.#plan.closed(peer),
      onDrain: (peer) => this.#plan.drained(peer),
    });
    this.#plan = new PushPlan<Connection>({
      send: (peer, frames) =>
        void peer.sendFrames(this.#server.isExtended(peer) ? frames.extended : frames.legacy),
      isBusy: (peer) => peer.pendingBytes > HIGH_WATER_BYTES,
      want: (modId, cmdId) => around.note({ type: "want", modId, cmdId }),
      drop: (keys) => around.note({ type: "drop", keys }),
    }, { perPeerMax: init.subscriptionsMax, totalMax: init.subscriptionsTotalMax });
    this.#server.router.add(MessageId.GetRouteRequest, (body, peer) => {
      const { modId, cmdId } = decodeGetRouteRequest(body);
      this.#requestCount++;
      this.#plan.request(peer, modId, cmdId);
    });
    this.#server.router.add(MessageId.RouteChanged, (body) => {
      around.note({ type: "routesChanged", keys: decodeRouteChanged(body).modules });
    });
  }

  listen(port: number, reusePort: boolean): Promise<Address> {
    return this.#server.listen(port, reusePort);
  }

  onTask(task: RouteTask): void {
    this.#plan.deliver(task.modId, task.cmdId, task.frames);
  }

  stats(): LoopStats {
    const counts = this.#plan.counts;
    return {
      ...this.#server.stats(),
      requests: this.#requestCount,
      answers: counts.answered,
      pushes: counts.pushed,
      pushes_held_back: counts.pushesHeldBack,
      requests_dropped: counts.requestsDropped,
      subscriptions: counts.subscriptions,
      subscriptions_refused: counts.subscriptionsRefused,
    };
  }

  close(): Promise<void> {
    return this.#server.close();
  }
}
