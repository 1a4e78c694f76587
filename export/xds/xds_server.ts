// Shell. The management server of xDS, over gRPC: follows names for gRPC programs and Envoy.

import { Buffer } from "node:buffer";
import { createServer, type Server as Door, type Socket } from "node:net";
// @ts-types="./grpc.d.ts"
import { Server, ServerCredentials, type ServerStream, status } from "@grpc/grpc-js";
import { type Address, formatAddress } from "../../reactor/address.ts";
import { BindError, messageOf } from "../../reactor/errors.ts";
import { type Logger, LogRateLimiter } from "../../reactor/log.ts";
import { listenWithin } from "../../reactor/tcp/waiting_places.ts";
import type { Clock } from "../../reactor/time/clock.ts";
import { DueWork } from "../due_work.ts";
import type { FleetView } from "../fleet_view.ts";
import type { ModuleKey } from "../../model/module.ts";
import { findModule, namesOfModule } from "../module_name.ts";
import { StreamPlaces } from "../stream_places.ts";
import { AdsStream } from "./ads_stream.ts";
import type { XdsCalls } from "./call_reports.ts";
import { DeltaStream } from "./delta_stream.ts";
import { decodeXds, encodeXds, type LoadStatsRequest, XdsType } from "./messages.ts";
import { XdsResources } from "./resource_table.ts";
import {
  type AdsCounts,
  newAdsCounts,
  XDS_NAME_LENGTH_MAX,
  type XdsStream,
  type XdsStreamPort,
} from "./subscription.ts";

/** Streams at once that follow names, and as many that report calls; a further one is refused. */
export const XDS_STREAMS_MAX = 4_096;

/** Connections at once; for a further one that is closed which never asked, or was silent for longest. */
export const XDS_CONNECTIONS_MAX = 2 * XDS_STREAMS_MAX;

/** Names that all streams together may follow, of each type; further ones are not answered. */
export const XDS_NAMES_MAX = 1_000_000;

/** Changes that come within this time are sent together. */
const GATHER_MS = 5;

/** Time between two reports of a client on its calls, in seconds. */
const REPORT_INTERVAL_S = 5;

/** Names that every client sends as they are. */
const EASY_NAME = /^[A-Za-z0-9._:-]+$/;

/** gRPC of C++ reads only while it is called, else now and then: sooner it is not late. */
const STREAM_BEHIND_MS = 20_000;

/** Longest reason of a client that is logged, in characters. */
const REASON_MAX = 500;

const raw = (bytes: Buffer): Buffer => bytes;
const METHOD = {
  requestStream: true,
  responseStream: true,
  requestSerialize: raw,
  requestDeserialize: raw,
  responseSerialize: raw,
  responseDeserialize: raw,
} as const;

/** What {@linkcode XdsServer} is given. */
export interface XdsServerOptions {
  readonly view: FleetView;
  readonly hostname: string;
  readonly port: number;
  readonly clock: Clock;
  readonly log: Logger;
  /** @default {XDS_STREAMS_MAX} */
  readonly streamsMax?: number;
  /** A client tells of its calls. */
  onCalls(calls: readonly XdsCalls[]): void;
}

/** One client, for people. */
export interface XdsFollower {
  readonly address: string;
  /** Name that it gives itself; "" = none. */
  readonly id: string;
  readonly software: string;
  readonly zone: string;
  readonly names: number;
  /** For how long it has not taken what it was sent, in milliseconds. */
  readonly behindMs: number;
}

/** The server with its streams. */
export class XdsServer {
  readonly counts: AdsCounts & {
    xds_reports: number;
    xds_malformed: number;
    xds_streams_refused: number;
  } = { ...newAdsCounts(), xds_reports: 0, xds_malformed: 0, xds_streams_refused: 0 };
  readonly #options: XdsServerOptions;
  readonly #limiter: LogRateLimiter;
  /** By stream the address of its client. */
  readonly #streams = new Map<XdsStream, string>();
  /** By type and name who follows it. */
  readonly #followers = new Map<string, Map<string, Set<XdsStream>>>();
  readonly #nameCounts = new Map<string, number>();
  /** Streams that report calls. */
  readonly #reporting = new Set<ServerStream>();
  readonly #resources: XdsResources;
  readonly #server = new Server();
  readonly #places = new StreamPlaces(XDS_CONNECTIONS_MAX);
  /** Connections by the address of the other side, as gRPC names it. */
  readonly #sockets = new Map<string, Socket>();
  #door: Door | undefined;
  /** Streams with something to send. */
  readonly #waiting = new Set<XdsStream>();
  readonly #sending: DueWork;
  #nonce = 0;

  constructor(options: XdsServerOptions) {
    this.#options = options;
    this.#limiter = new LogRateLimiter(options.clock, 1);
    this.#resources = new XdsResources(options.view);
    this.#sending = new DueWork(options.clock, () => {
      for (const stream of this.#waiting) stream.flush();
      this.#waiting.clear();
      return Promise.resolve();
    });
    const service = "/envoy.service.discovery.v3.AggregatedDiscoveryService";
    this.#server.addService({
      StreamAggregatedResources: { ...METHOD, path: `${service}/StreamAggregatedResources` },
      DeltaAggregatedResources: { ...METHOD, path: `${service}/DeltaAggregatedResources` },
    }, {
      StreamAggregatedResources: (stream: ServerStream) =>
        this.#follow(stream, (port) => new AdsStream(port, this.counts)),
      DeltaAggregatedResources: (stream: ServerStream) =>
        this.#follow(stream, (port) => new DeltaStream(port, this.counts)),
    });
    this.#server.addService({
      StreamLoadStats: {
        ...METHOD,
        path: "/envoy.service.load_stats.v3.LoadReportingService/StreamLoadStats",
      },
    }, { StreamLoadStats: (stream: ServerStream) => this.#hear(stream) });
  }

  /** Streams that follow names. */
  get streamCount(): number {
    return this.#streams.size;
  }

  /** Connections closed because there were too many. */
  get refusedCount(): number {
    return this.#places.refusedCount;
  }

  /** @throws {BindError} when the port is taken. */
  listen(): Promise<Address> {
    const { hostname, port } = this.#options;
    const text = formatAddress({ hostname, port });
    const grpc = this.#server.createConnectionInjector(ServerCredentials.createInsecure());
    const door = this.#door = createServer({ noDelay: true }, (socket) => {
      if (!this.#places.take(socket)) return;
      // As gRPC puts it together: without brackets also where it is one of IPv6.
      const peer = `${socket.remoteAddress}:${socket.remotePort}`;
      this.#sockets.set(peer, socket);
      socket.on("close", () => this.#sockets.delete(peer));
      grpc.injectConnection(socket);
    });
    return new Promise((resolve, reject) => {
      const fail = (error: Error): void =>
        reject(new BindError(text, true, `Cannot listen on ${text}: ${messageOf(error)}`));
      door.once("error", fail);
      listenWithin(door, { hostname, port }, () => {
        door.removeListener("error", fail);
        door.on("error", (error) => {
          this.#options.log.warn("The port of xDS has a fault", { reason: error.message });
        });
        const bound = door.address();
        resolve({ hostname, port: typeof bound === "object" && bound ? bound.port : port });
      });
    });
  }

  /** A connection has begun a stream. */
  #heard(stream: ServerStream): void {
    const socket = this.#sockets.get(stream.getPeer());
    if (socket !== undefined) this.#places.heard(socket);
  }

  /** Who follows, those first who lag behind; at most so many. */
  followers(max: number): XdsFollower[] {
    const all = [...this.#streams].map(([stream, address]): XdsFollower => ({
      ...{ address, id: stream.id, software: stream.software, zone: stream.zone },
      ...{ names: stream.names.size, behindMs: stream.behindMs },
    }));
    return all.sort((a, b) => b.behindMs - a.behindMs).slice(0, max);
  }

  /** Streams that have not taken what they were sent for long, and for how long the first of them. */
  behind(): { behind: number; behindMs: number } {
    let [behind, behindMs] = [0, 0];
    for (const stream of this.#streams.keys()) {
      if (stream.behindMs < STREAM_BEHIND_MS) continue;
      behind++;
      behindMs = Math.max(behindMs, stream.behindMs);
    }
    return { behind, behindMs: Math.round(behindMs) };
  }

  /** A module has changed, or is one now. */
  changed(key: ModuleKey): void {
    for (const name of namesOfModule(this.#options.view, key)) {
      this.#changed(XdsType.endpoints, name);
    }
  }

  /** There are other modules or names: a name may stand for another module now. */
  listed(): void {
    for (const name of this.#followers.get(XdsType.endpoints)?.keys() ?? []) {
      this.#want(name);
      if (!this.#resources.isCurrent(name)) this.#changed(XdsType.endpoints, name);
    }
    const touched = this.#resources.listed();
    for (const stream of this.#streams.keys()) {
      for (const name of touched) stream.changed(XdsType.cluster, name);
      // Those who came before the first list wait for it.
      this.#flushSoon(stream);
    }
  }

  async close(): Promise<void> {
    await this.#sending.stop();
    const closed = new Promise<void>((resolve) => {
      if (this.#door === undefined) resolve();
      else this.#door.close(() => resolve());
    });
    await new Promise<void>((resolve) => {
      this.#server.tryShutdown(() => resolve());
      this.#server.forceShutdown();
    });
    this.#places.close();
    await closed;
  }

  #changed(typeUrl: string, name: string): void {
    for (const stream of this.#followers.get(typeUrl)?.get(name) ?? []) {
      stream.changed(typeUrl, name);
      this.#flushSoon(stream);
    }
  }

  #flushSoon(stream: XdsStream): void {
    this.#waiting.add(stream);
    this.#sending.due(GATHER_MS);
  }

  /** Only of modules that there are: whoever asks for any numbers would fill the memory. */
  #want(name: string): void {
    const key = findModule(this.#options.view, name);
    if (key !== undefined && this.#options.view.has(key)) this.#options.view.want(key);
  }

  #addFollower(stream: XdsStream, typeUrl: string, name: string): boolean {
    const count = this.#nameCounts.get(typeUrl) ?? 0;
    if (count >= XDS_NAMES_MAX) return false;
    this.#nameCounts.set(typeUrl, count + 1);
    if (typeUrl !== XdsType.endpoints) return true;
    let names = this.#followers.get(typeUrl);
    if (names === undefined) this.#followers.set(typeUrl, names = new Map());
    let streams = names.get(name);
    if (streams === undefined) names.set(name, streams = new Set());
    streams.add(stream);
    this.#want(name);
    if (!EASY_NAME.test(name)) this.#warnOfName(name);
    return true;
  }

  #warnOfName(name: string): void {
    const held = this.#limiter.admit("name");
    if (held === undefined) return;
    this.#options.log.warn("Some gRPC clients cannot call by a name with such characters", {
      name: name.slice(0, XDS_NAME_LENGTH_MAX),
      ...held,
    });
  }

  #removeFollower(stream: XdsStream, typeUrl: string, name: string): void {
    this.#nameCounts.set(typeUrl, (this.#nameCounts.get(typeUrl) ?? 1) - 1);
    const names = this.#followers.get(typeUrl);
    const streams = names?.get(name);
    streams?.delete(stream);
    if (streams?.size === 0) names?.delete(name);
  }

  #portOf(stream: ServerStream, follower: () => XdsStream): XdsStreamPort {
    const { view, clock, log } = this.#options;
    return {
      nowMs: () => clock.nowMs(),
      isReady: () => view.isListed,
      resource: (typeUrl, name, zone) => this.#resources.resource(typeUrl, name, zone),
      everything: (typeUrl) => this.#resources.everything(typeUrl),
      follow: (typeUrl, name) => this.#addFollower(follower(), typeUrl, name),
      unfollow: (typeUrl, name) => this.#removeFollower(follower(), typeUrl, name),
      nextNonce: () => String(++this.#nonce),
      send: (bytes) => !stream.write(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)),
      onRefused: (typeUrl, reason) => {
        const held = this.#limiter.admit("refused");
        if (held === undefined) return;
        log.warn("A client of xDS refuses what it is told", {
          ...{ client: stream.getPeer(), type: typeUrl, reason: reason.slice(0, REASON_MAX) },
          ...held,
        });
      },
    };
  }

  /** False: there are as many as may be, and this one was refused. */
  #hasRoom({ size }: { readonly size: number }, stream: ServerStream): boolean {
    if (size < (this.#options.streamsMax ?? XDS_STREAMS_MAX)) return true;
    this.counts.xds_streams_refused++;
    stream.emit("error", { code: status.RESOURCE_EXHAUSTED, details: "too many streams" });
    return false;
  }

  #follow(stream: ServerStream, make: (port: XdsStreamPort) => XdsStream): void {
    this.#heard(stream);
    if (!this.#hasRoom(this.#streams, stream)) return;
    const follower: XdsStream = make(this.#portOf(stream, () => follower));
    this.#streams.set(follower, stream.getPeer());
    const gone = (): void => {
      this.#waiting.delete(follower);
      if (this.#streams.delete(follower) && follower.close()) this.#left(stream);
    };
    stream.on("data", (bytes: Buffer) => {
      if (!this.#streams.has(follower)) return;
      try {
        follower.take(bytes);
      } catch (error) {
        this.counts.xds_malformed++;
        gone();
        stream.emit("error", { code: status.INVALID_ARGUMENT, details: messageOf(error) });
      }
    });
    stream.on("drain", () => follower.drained());
    stream.on("error", gone);
    stream.on("cancelled", gone);
    stream.on("end", () => {
      gone();
      stream.end();
    });
  }

  /** A client whose stream ends at each answer gets none through: it may be larger than it takes. */
  #left(stream: ServerStream): void {
    const held = this.#limiter.admit("left");
    if (held === undefined) return;
    this.#options.log.warn("A client of xDS left without having taken what it was sent", {
      client: stream.getPeer(),
      ...held,
    });
  }

  #hear(stream: ServerStream): void {
    this.#heard(stream);
    if (!this.#hasRoom(this.#reporting, stream)) return;
    this.#reporting.add(stream);
    const gone = (): void => void this.#reporting.delete(stream);
    const begin = encodeXds("LoadStatsResponse", {
      load_reporting_interval: { seconds: REPORT_INTERVAL_S },
      send_all_clusters: true,
    });
    stream.write(Buffer.from(begin));
    stream.on("data", (bytes: Buffer) => {
      try {
        this.#takeCalls(decodeXds<LoadStatsRequest>("LoadStatsRequest", bytes));
      } catch (error) {
        this.counts.xds_malformed++;
        stream.emit("error", { code: status.INVALID_ARGUMENT, details: messageOf(error) });
      }
    });
    stream.on("error", gone);
    stream.on("cancelled", gone);
    stream.on("end", () => {
      gone();
      stream.end();
    });
  }

  #takeCalls({ cluster_stats: clusters }: LoadStatsRequest): void {
    this.counts.xds_reports++;
    const calls: XdsCalls[] = [];
    for (const { cluster_name: name, upstream_locality_stats: localities } of clusters) {
      const key = findModule(this.#options.view, name);
      if (key === undefined) continue;
      for (const { locality, ...counts } of localities) {
        const { modId, cmdId } = key;
        calls.push({
          ...{ modId, cmdId, address: locality?.sub_zone ?? "" },
          succ: counts.total_successful_requests,
          err: counts.total_error_requests,
        });
      }
    }
    this.#options.onCalls(calls);
  }
}
