// Shell. One event loop of dns: accepts connections, answers and pushes.

import type { Address } from "../reactor/address.ts";
import { HIGH_WATER_BYTES } from "../reactor/framed_link.ts";
import { MessageRouter } from "../reactor/message_router.ts";
import { type Connection, TcpServer } from "../reactor/tcp_server.ts";
import { HelloGate } from "../daemon/hello.ts";
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
export interface RouteLoopInit {
  readonly hostname: string;
  readonly connectionsMax: number;
  readonly subscriptionsMax: number;
  /** All loops together keep at most this many subscriptions; this is the share of one. */
  readonly subscriptionsTotalMax: number;
  readonly software: string;
  readonly token: Uint8Array | undefined;
}

/** A server with its connections and what they are subscribed to. */
export class RouteLoop implements ServiceLoop<RouteTask> {
  readonly #init: RouteLoopInit;
  readonly #around: LoopSurroundings<RouteNote>;
  readonly #router: MessageRouter<Connection>;
  readonly #gate: HelloGate<Connection>;
  readonly #plan: PushPlan<Connection>;
  #server: TcpServer | undefined;
  #requestCount = 0;

  constructor(init: RouteLoopInit, around: LoopSurroundings<RouteNote>) {
    const { clock, log } = around;
    this.#init = init;
    this.#around = around;
    this.#router = new MessageRouter<Connection>({ log, clock });
    this.#gate = new HelloGate<Connection>({
      software: init.software,
      role: "dns",
      ...(init.token === undefined ? {} : { token: init.token }),
      clock,
      log,
    });
    this.#gate.install(this.#router);
    this.#plan = new PushPlan<Connection>({
      send: (peer, frames) =>
        void peer.sendFrames(this.#gate.isExtended(peer) ? frames.extended : frames.legacy),
      isBusy: (peer) => peer.pendingBytes > HIGH_WATER_BYTES,
      want: (modId, cmdId) => around.note({ type: "want", modId, cmdId }),
      drop: (keys) => around.note({ type: "drop", keys }),
    }, { perPeerMax: init.subscriptionsMax, totalMax: init.subscriptionsTotalMax });
    this.#router.add(MessageId.GetRouteRequest, (body, peer) => {
      const { modId, cmdId } = decodeGetRouteRequest(body);
      this.#requestCount++;
      this.#plan.request(peer, modId, cmdId);
    });
    this.#router.add(MessageId.RouteChanged, (body) => {
      around.note({ type: "routesChanged", keys: decodeRouteChanged(body).modules });
    });
  }

  listen(port: number, reusePort: boolean): Promise<Address> {
    const { hostname, connectionsMax } = this.#init;
    this.#server = new TcpServer({
      hostname,
      port,
      reusePort,
      connectionsMax,
      router: this.#router,
      clock: this.#around.clock,
      log: this.#around.log,
      onAccept: (peer) => this.#gate.accept(peer),
      onClose: (peer) => {
        this.#gate.forget(peer);
        this.#plan.closed(peer);
      },
      onDrain: (peer) => this.#plan.drained(peer),
    });
    return this.#server.listen();
  }

  onTask(task: RouteTask): void {
    this.#plan.deliver(task.modId, task.cmdId, task.frames);
  }

  stats(): LoopStats {
    const counts = this.#plan.counts;
    const server = this.#server?.stats;
    return {
      connections: server?.open ?? 0,
      connections_accepted: server?.accepted ?? 0,
      connections_refused: server?.refusedOverLimit ?? 0,
      requests: this.#requestCount,
      answers: counts.answered,
      pushes: counts.pushed,
      pushes_held_back: counts.pushesHeldBack,
      requests_dropped: counts.requestsDropped,
      subscriptions: counts.subscriptions,
      subscriptions_refused: counts.subscriptionsRefused,
      protocol_errors: server?.protocolErrors ?? 0,
      unknown_ids: server?.unknownIds ?? 0,
      slow_readers: server?.slowReaders ?? 0,
      frame_timeouts: server?.frameTimeouts ?? 0,
      handler_errors: server?.handlerErrors ?? 0,
      not_authenticated: this.#gate.refusedCount,
    };
  }

  async close(): Promise<void> {
    await this.#server?.close();
  }
}
