// Shell. Feeds in-process clients over TCP: routes to them, now and after each change, and the
// outcomes of their calls from them.

import { TIME_COUNTED_MS_MAX } from "../../balancer/detection/call_outcome.ts";
import { Publisher } from "../../feed/publisher.ts";
import { type PeerTrust, trustOf, type TrustSource } from "../../session/peer_trust.ts";
import { SessionServer } from "../../session/session_server.ts";
import {
  decodeCallReports,
  decodeTableSubscribe,
  encodeCallReportsTaken,
  encodeGetRouteResponse,
  encodeRoutePart,
  encodeTableSettings,
  encodeTableSubscribe,
  type HostInfo,
  type ModuleCalls,
  type NodeCalls,
  type TableSettings,
} from "../../proto/codec.ts";
import { MessageId } from "../../proto/message_ids.ts";
import { type Address, isLoopback } from "../../reactor/address.ts";
import type { Clock, Timer } from "../../reactor/time/clock.ts";
import { ProtocolError } from "../../reactor/errors.ts";
import { encodeFrame, FRAME_BODY_BYTES_MAX } from "../../reactor/frame.ts";
import { HIGH_WATER_BYTES } from "../../reactor/tcp/framed_link.ts";
import type { Logger } from "../../reactor/log.ts";
import type { Connection } from "../../reactor/tcp/tcp_server.ts";
import type { FeedUsage } from "../status/node_use_query.ts";
import { type PackedRoute, unpackNodes } from "../routes/packed_route.ts";
import { type ModuleId, moduleId, type ModuleKey } from "../../model/module.ts";

/** Connections of in-process clients, one for each; a further one is closed at once. */
export const FEED_CONNECTIONS_MAX = 1024;

/** Modules one client may subscribe to; further ones are answered but not fed, and counted. */
export const FEED_SUBSCRIPTIONS_MAX = 10_000;

/** Clients whose last batch is remembered, the latest ones. */
export const FEED_SESSIONS_MAX = 4096;

/**
 * Calls of one node that one batch can count; what goes beyond is cut. Two seconds of picks as fast
 * as a core can make them.
 */
export const CALLS_PER_NODE_MAX = 1 << 25;

/** How often subscribed modules are marked as used, so that no loop forgets them. */
export const FEED_USE_MS = 5000;

/** What a {@linkcode TableFeed} is given. */
export interface TableFeedOptions extends TrustSource {
  readonly hostname: string;
  readonly clock: Clock;
  readonly log: Logger;
  readonly software: string;
  /** See {@linkcode SessionServerInit}. */
  readonly translated?: boolean;
  /** Modules fed at once, over all clients. */
  readonly modulesMax: number;
  /** By what clients shall judge, and where this agent stands. */
  readonly settings: TableSettings;
  /** The route of a module; undefined while it is not known. */
  routeOf(modId: number, cmdId: number): PackedRoute | undefined;
  /** Clients use these modules: their routes are to be fetched and kept fresh. */
  onUse(keys: readonly ModuleKey[]): void;
  /** Calls that have not been counted before; false: they cannot be counted now. */
  onCalls(modules: readonly ModuleCalls[]): boolean;
}

/** Server of in-process clients. Lives on the main thread, beside the registry of routes. */
export class TableFeed {
  readonly #options: TableFeedOptions;
  readonly #server: SessionServer;
  readonly #publisher: Publisher<Connection, Uint8Array>;
  /** Frames of subscribed modules, each for as long as its route is the latest. */
  readonly #frames = new Map<ModuleId, { route: PackedRoute; bytes: Uint8Array }>();
  /** Clients that have been told the settings. */
  readonly #told = new Set<Connection>();
  /** Seq of the last batch of each client, the latest client last. */
  readonly #sessions = new Map<number, number>();
  readonly #counts = { pushes: 0, batches: 0, repeated: 0, calls: 0 };
  #settings: Uint8Array;
  #timer: Timer | undefined;

  constructor(options: TableFeedOptions) {
    this.#options = options;
    this.#settings = encodeTableSettings(options.settings);
    const { hostname, clock, log, software, translated, modulesMax } = options;
    this.#publisher = new Publisher<Connection, Uint8Array>(
      {
        frames: (modId, cmdId) => this.#framesOf(modId, cmdId),
        drop: (keys) => keys.forEach((key) => this.#frames.delete(key)),
      },
      {
        send: (peer, frames) => {
          this.#counts.pushes++;
          peer.sendFrames(frames);
        },
        isBusy: (peer) => peer.pendingBytes > HIGH_WATER_BYTES,
        ended: (peer, modId, cmdId) =>
          void peer.send(
            MessageId.TableSubscribe,
            encodeTableSubscribe({ modId, cmdId, end: true }),
          ),
      },
      { perPeerMax: FEED_SUBSCRIPTIONS_MAX, modulesMax },
    );
    this.#server = new SessionServer({
      role: "agent",
      init: {
        hostname,
        connectionsMax: FEED_CONNECTIONS_MAX,
        software,
        ...trustOf(options),
        // As over UDP: callers on this host need no secret.
        wantsProof: !isLoopback(hostname),
        translated,
      },
      clock,
      log,
      onClose: (peer) => {
        this.#told.delete(peer);
        this.#publisher.closed(peer);
      },
      onDrain: (peer) => this.#publisher.drained(peer),
    });
    this.#server.router
      .add(MessageId.TableSubscribe, (body, peer) => this.#subscribe(body, peer))
      .add(MessageId.CallReports, (body, peer) => this.#takeCalls(body, peer));
  }

  /** Counters since the start, and present sizes, under the names of the status. */
  get stats(): Readonly<Record<string, number>> {
    const { connections, protocol_errors, not_authenticated } = this.#server.stats();
    const { pushes, batches, repeated, calls } = this.#counts;
    const { subscribedModules, subscriptionsRefused } = this.#publisher.counts;
    return {
      feedClients: connections,
      feedModules: subscribedModules,
      feedPushes: pushes,
      feedRefused: subscriptionsRefused + not_authenticated,
      feedBatches: batches,
      feedBatchesRepeated: repeated,
      feedCalls: calls,
      feedProtocolErrors: protocol_errors,
    };
  }

  /**
   * Begins to accept clients.
   *
   * @throws {BindError} when the port is taken.
   */
  async listen(port: number): Promise<Address> {
    return await this.#server.listen(port, false);
  }

  /** These are wanted from now on. */
  setTrust(trust: PeerTrust): void {
    this.#server.setTrust(trust);
  }

  /** Marks every subscribed module as used. */
  useAll(): void {
    const modules = this.#publisher.modules();
    if (modules.length > 0) this.#options.onUse(modules);
  }

  /** Every {@linkcode FEED_USE_MS}, until no module is subscribed to: an agent at rest has no timer. */
  #useRegularly(): void {
    this.#timer ??= this.#options.clock.setTimer(FEED_USE_MS, () => {
      this.#timer = undefined;
      if (this.#publisher.counts.subscribedModules === 0) return;
      this.useAll();
      this.#useRegularly();
    });
  }

  /** Clients that have the route of a module from here, and those that have not the latest one. */
  usage(modId: number, cmdId: number): FeedUsage {
    return {
      clients: this.#publisher.subscribers(modId, cmdId).size,
      behind: this.#publisher.behindCount(modId, cmdId),
    };
  }

  /** The configuration was read anew: every client is told. */
  setSettings(settings: TableSettings): void {
    this.#settings = encodeTableSettings(settings);
    // A client that reads too slowly to take so little is closed by the server before long.
    for (const peer of this.#told) peer.send(MessageId.TableSettings, this.#settings);
  }

  /** Dns gave a route; `changed`: it is not the one before. */
  routeCame(modId: number, cmdId: number, changed: boolean): void {
    this.#publisher.publish(modId, cmdId, changed);
  }

  async close(): Promise<void> {
    this.#timer?.cancel();
    await this.#server.close();
  }

  #subscribe(body: Uint8Array, peer: Connection): void {
    const { modId, cmdId, end } = decodeTableSubscribe(body);
    if (!this.#server.isExtended(peer)) throw new ProtocolError("Hello must come first");
    if (end) return this.#publisher.unsubscribe(peer, [moduleId(modId, cmdId)]);
    if (!this.#told.has(peer)) {
      this.#told.add(peer);
      // Before its first route, which is to be judged by them.
      peer.send(MessageId.TableSettings, this.#settings);
    }
    // Who is refused is answered all the same, and asks again when the route is old.
    this.#publisher.request(peer, modId, cmdId);
    this.#useRegularly();
    this.#options.onUse([{ modId, cmdId }]);
  }

  /** Encoded once for all clients. */
  #framesOf(modId: number, cmdId: number): Uint8Array | undefined {
    const route = this.#options.routeOf(modId, cmdId);
    if (route === undefined) return undefined;
    const key = moduleId(modId, cmdId);
    let frames = this.#frames.get(key);
    if (frames?.route !== route) {
      frames = { route, bytes: framesOfRoute(route) };
      this.#frames.set(key, frames);
    }
    return frames.bytes;
  }

  #takeCalls(body: Uint8Array, peer: Connection): void {
    const { session, seq, modules } = decodeCallReports(body);
    if (!this.#server.isExtended(peer)) throw new ProtocolError("Hello must come first");
    // A client sends a batch again when the connection broke before it knew that it was counted.
    const repeated = this.#sessions.get(session) === seq;
    this.#sessions.delete(session);
    this.#sessions.set(session, seq);
    if (this.#sessions.size > FEED_SESSIONS_MAX) {
      const [oldest] = this.#sessions.keys();
      this.#sessions.delete(oldest);
    }
    if (repeated) {
      this.#counts.repeated++;
    } else {
      const nodes = modules.flatMap((module) => module.nodes);
      nodes.forEach(limitCalls);
      if (!this.#options.onCalls(modules)) {
        // The client comes back, and with it the batch, which is not known by then.
        this.#sessions.delete(session);
        peer.close("results cannot be counted now");
        return;
      }
      this.#counts.calls += nodes.reduce((sum, { succ, err }) => sum + succ + err, 0);
      this.#counts.batches++;
    }
    peer.send(MessageId.CallReportsTaken, encodeCallReportsTaken({ seq }));
  }
}

/** Makes counts that a hostile client may have sent ones that could have been. */
function limitCalls(node: NodeCalls): void {
  node.succ = Math.min(node.succ, CALLS_PER_NODE_MAX);
  node.err = Math.min(node.err, CALLS_PER_NODE_MAX);
  // At least one for each failure, and at most what a failure of an hour counts.
  node.errWeight = Math.min(Math.max(node.errWeight, node.err), node.err * 36_000);
  node.continSucc = Math.min(node.continSucc, node.succ);
  node.continErr = node.continSucc > 0 ? 0 : Math.min(node.continErr, node.err);
  // Together at most all failures.
  node.errPushback = Math.min(node.errPushback, node.err);
  node.errRefused = Math.min(node.errRefused, node.err - node.errPushback);
  node.errTimeout = Math.min(node.errTimeout, node.err - node.errPushback - node.errRefused);
  node.timed = Math.min(node.timed, node.succ + node.err);
  node.timeMs = Math.min(node.timeMs, node.timed * TIME_COUNTED_MS_MAX);
}

/** Bytes that the fields around the nodes take at most: four numbers of up to 11, a policy's head. */
const FIELDS_BYTES = 64;

/** Bytes of a node without its zone at most: tag and length 4, ip 11, port 4, weight 5, zone 4. */
const NODE_BYTES = 28;

/** The frames of a route, one behind the other. */
export function framesOfRoute(
  route: PackedRoute,
  bodyBytesMax = FRAME_BODY_BYTES_MAX,
): Uint8Array {
  const { modId, cmdId, policy } = route;
  // A UTF-16 unit takes at most three bytes.
  const parts = partsOf(route, bodyBytesMax - FIELDS_BYTES - 3 * policy.length);
  if (parts.length === 1) {
    const body = encodeGetRouteResponse({ modId, cmdId, hosts: parts[0], policy });
    return encodeFrame(MessageId.GetRouteResponse, body);
  }
  const frames = parts.map((hosts, part) =>
    encodeFrame(
      MessageId.RoutePart,
      encodeRoutePart({ modId, cmdId, hosts, part, partCount: parts.length, policy }),
    )
  );
  return concat(frames);
}

function partsOf(route: PackedRoute, bytesMax: number): HostInfo[][] {
  const parts: HostInfo[][] = [[]];
  let bytes = 0;
  for (const { ip, port, weight, zone = "", state } of unpackNodes(route)) {
    // A UTF-16 unit takes at most three bytes. A zone that fits no frame is left out.
    const zoneBytes = 3 * zone.length;
    const host: HostInfo = NODE_BYTES + zoneBytes <= bytesMax && zone !== ""
      ? { ip, port, weight, zone }
      : { ip, port, weight };
    if (state === "drain") host.state = state;
    const hostBytes = NODE_BYTES + (host.zone === undefined ? 0 : zoneBytes);
    if (bytes + hostBytes > bytesMax) {
      parts.push([]);
      bytes = 0;
    }
    bytes += hostBytes;
    parts[parts.length - 1].push(host);
  }
  return parts;
}

function concat(pieces: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(pieces.reduce((bytes, piece) => bytes + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    all.set(piece, at);
    at += piece.length;
  }
  return all;
}
