// Core. Fills the view of an export: routes by one subscriber, the list of modules and the verdicts
// of agents from every dns.

import { PUSH_GUARD_MS, RouteSubscriber } from "../feed/route_subscriber.ts";
import { type ModuleKey, modulePair } from "../model/module.ts";
import {
  decodeFleetModules,
  decodeNodesOut,
  encodeExportStatus,
  encodeFleetSubscribe,
  type ExportStatus,
  type NodeUseRequest,
} from "../proto/codec.ts";
import { MessageId, NodeUseState } from "../proto/message_ids.ts";
import { type Address, formatAddress } from "../reactor/address.ts";
import type { Logger } from "../reactor/log.ts";
import { type Clock, type Timer } from "../reactor/time/clock.ts";
import type { Link, LinkEvents } from "../session/link.ts";
import type { SessionClientOptions } from "../session/session_client.ts";
import { FleetView, type FleetViewPort } from "./fleet_view.ts";

/**
 * What a dns said of its agents counts for so long after the connection to it was lost: the agents
 * have gone to another dns by then, and say it there.
 */
export const OUTS_KEPT_MS = 10_000;

/** Routes that dns does not push, because it has too many subscriptions, are asked for this often. */
const NOT_PUSHED_ASKED_MS = 15_000;

/** What a {@linkcode FleetClient} needs. */
export interface FleetClientOptions {
  readonly addresses: readonly Address[];
  readonly outShare: number;
  readonly clock: Clock;
  readonly log: Logger;
  /** A link that is not started; `addresses`: tried in turn. */
  openLink(
    addresses: readonly Address[],
    events: LinkEvents & Pick<Partial<SessionClientOptions>, "revision">,
  ): Link;
  readonly onChanged: FleetViewPort["onChanged"];
  readonly onListed: FleetViewPort["onListed"];
}

/** The view, and the connections that fill it. */
export class FleetClient {
  readonly view: FleetView;
  readonly #options: FleetClientOptions;
  readonly #routes: RouteSubscriber;
  readonly #followers: Follower[];

  constructor(options: FleetClientOptions) {
    this.#options = options;
    this.view = new FleetView({
      outShare: options.outShare,
      request: (modId, cmdId) => this.#routes.request(modId, cmdId),
      forget: (modId, cmdId) => this.#routes.forget(modId, cmdId),
      onChanged: options.onChanged,
      onListed: options.onListed,
    });
    this.#routes = new RouteSubscriber({
      openLink: (events) =>
        options.openLink(options.addresses, { ...events, revision: () => this.#routes.revision }),
      clock: options.clock,
      pushGuardMs: PUSH_GUARD_MS,
      askAgainMs: NOT_PUSHED_ASKED_MS,
      pickableCount: (modId, cmdId) => this.#pickableCount({ modId, cmdId }),
      onReady: () => this.#askAll(),
      onLost: () => {},
      onNodeUse: (request) =>
        this.#routes.answerNodeUse({
          ...{ seq: request.seq, clients: 0 },
          state: this.#useOf(request),
        }),
      onRoute: (route) => this.view.takeRoute(route),
      onGuard: (event) => options.log.warn(event),
    });
    this.#followers = options.addresses.map((address, source) =>
      new Follower(address, source, this.view, options)
    );
  }

  /** True while something tells of changes. */
  get isLinked(): boolean {
    return this.#routes.link.ready;
  }

  /** What is wrong with the connections, for people; undefined: nothing. */
  get fault(): string | undefined {
    const { link } = this.#routes;
    if (link.ready) return undefined;
    return `${formatAddress(link.address)}: ${link.secretFault ?? link.fault ?? "not connected"}`;
  }

  /** Counters under their names in the status. */
  get stats(): Record<string, number> {
    const { routes, requests, connects } = this.#routes.stats;
    return {
      dns_connected: Number(this.#routes.link.ready),
      dns_connects: connects,
      dns_requests: requests,
      routes,
      dns_followed: this.#followers.filter(({ isReady }) => isReady).length,
      modules: this.view.moduleCount,
      modules_wanted: this.view.wantedCount,
      ...this.#routes.guard.stats,
    };
  }

  start(): void {
    this.#routes.link.start();
    for (const follower of this.#followers) follower.start();
  }

  /** Tells the dns from which the routes come how those do who follow through this export. */
  tell(status: ExportStatus): void {
    const { link } = this.#routes;
    if (link.extended) link.send(MessageId.ExportStatus, encodeExportStatus(status));
  }

  async close(): Promise<void> {
    this.#routes.link.sayGoodbye("stopped");
    await Promise.all([this.#routes.close(), ...this.#followers.map((one) => one.close())]);
  }

  #askAll(): void {
    for (const { modId, cmdId } of this.view.wanted()) this.#routes.request(modId, cmdId);
  }

  /** Whether those who follow this export may still be sent to a node. */
  #useOf({ modId, cmdId, ip, port }: NodeUseRequest): NodeUseState {
    const module = this.view.module({ modId, cmdId });
    if (module === undefined) return NodeUseState.Unknown;
    const node = module.nodes.find((one) => one.ip === ip && one.port === port);
    if (node === undefined) return NodeUseState.Absent;
    return node.state === "drain" ? NodeUseState.Draining : NodeUseState.Picked;
  }

  #pickableCount(key: ModuleKey): number {
    const nodes = this.view.module(key)?.nodes ?? [];
    return nodes.reduce((sum, { state }) => sum + Number(state !== "drain"), 0);
  }
}

/** What one dns says of modules and agents. */
class Follower {
  readonly #link: Link;
  readonly #view: FleetView;
  readonly #source: number;
  readonly #clock: Clock;
  #timer: Timer | undefined;

  constructor(
    address: Address,
    source: number,
    view: FleetView,
    { openLink, clock, log }: FleetClientOptions,
  ) {
    this.#view = view;
    this.#source = source;
    this.#clock = clock;
    let isTold = false;
    this.#link = openLink([address], {
      onReady: () => this.#ask(),
      onExtended: () => this.#ask(),
      onLost: () => this.#lost(),
    });
    this.#link.router.add(MessageId.FleetModules, (body) => {
      const message = decodeFleetModules(body);
      if (message.first) this.#begins();
      view.takeModules(message);
    });
    this.#link.router.add(MessageId.NodesOut, (body) => {
      const message = decodeNodesOut(body);
      if (!isTold && message.nodes.length > 0) {
        isTold = true;
        log.info("Agents keep nodes out; further ones are not logged", {
          module: modulePair(message),
          nodes: message.nodes.length,
        });
      }
      view.takeOuts(source, message);
    });
  }

  get isReady(): boolean {
    return this.#link.ready;
  }

  start(): void {
    this.#link.start();
  }

  async close(): Promise<void> {
    this.#timer?.cancel();
    await this.#link.close();
  }

  #ask(): void {
    if (!this.#link.extended) return;
    this.#link.send(MessageId.FleetSubscribe, encodeFleetSubscribe({ end: false }));
  }

  #begins(): void {
    this.#timer?.cancel();
    this.#view.forgetOuts(this.#source);
  }

  #lost(): void {
    this.#timer?.cancel();
    this.#timer = this.#clock.setTimer(
      OUTS_KEPT_MS,
      () => this.#view.forgetOuts(this.#source),
    );
  }
}
