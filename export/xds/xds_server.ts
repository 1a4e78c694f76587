// Shell. The management server of xDS, over gRPC: follows names for gRPC programs and Envoy.

import { Buffer } from "node:buffer";
// @ts-types="./grpc.d.ts"
import { Server, ServerCredentials, type ServerStream, status } from "@grpc/grpc-js";
import { type Address, formatAddress } from "../../reactor/address.ts";
import { BindError, messageOf } from "../../reactor/errors.ts";
import { type Logger, LogRateLimiter } from "../../reactor/log.ts";
import type { Clock } from "../../reactor/time/clock.ts";
import type { FleetView } from "../fleet_view.ts";
import type { ModuleKey } from "../../model/module.ts";
import { findModule, namesOfModule } from "../module_name.ts";
import { type AdsCounts, AdsStream } from "./ads_stream.ts";
import type { XdsCalls } from "./call_reports.ts";
import { decodeXds, encodeXds, type LoadStatsRequest } from "./messages.ts";
import { endpointsOf } from "./resources.ts";

/** Streams at once; a further one is refused. */
export const XDS_STREAMS_MAX = 4_096;

/** Endpoints that are kept encoded; when there are more all begin anew. */
const ENCODED_MAX = 10_000;

/** Time between two reports of a client on its calls, in seconds. */
const REPORT_INTERVAL_S = 5;

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
  /** A client tells of its calls. */
  onCalls(calls: readonly XdsCalls[]): void;
}

/** The server with its streams. */
export class XdsServer {
  readonly counts: AdsCounts & { xds_reports: number; xds_streams_refused: number } = {
    xds_sent: 0,
    xds_taken: 0,
    xds_refused: 0,
    xds_names_refused: 0,
    xds_too_large: 0,
    xds_reports: 0,
    xds_streams_refused: 0,
  };
  readonly #options: XdsServerOptions;
  readonly #limiter: LogRateLimiter;
  readonly #streams = new Set<AdsStream>();
  readonly #server = new Server();
  /** Endpoints by zone and name, encoded once for all streams, until something changes. */
  readonly #encoded = new Map<string, Uint8Array>();

  constructor(options: XdsServerOptions) {
    this.#options = options;
    this.#limiter = new LogRateLimiter(options.clock, 1);
    this.#server.addService({
      StreamAggregatedResources: {
        ...METHOD,
        path: "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources",
      },
    }, { StreamAggregatedResources: (stream: ServerStream) => this.#follow(stream) });
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

  /** @throws {BindError} when the port is taken. */
  listen(): Promise<Address> {
    const { hostname, port } = this.#options;
    const text = formatAddress({ hostname, port });
    return new Promise((resolve, reject) => {
      this.#server.bindAsync(text, ServerCredentials.createInsecure(), (error, bound) => {
        if (error === null) resolve({ hostname, port: bound });
        else reject(new BindError(text, true, `Cannot listen on ${text}: ${messageOf(error)}`));
      });
    });
  }

  /** A module has changed, or is one now. */
  changed(key: ModuleKey): void {
    this.#encoded.clear();
    const names = namesOfModule(this.#options.view, key);
    for (const stream of this.#streams) {
      for (const name of names) stream.changed(name);
      stream.flush();
    }
  }

  /** There are other modules or names: a name may stand for another module now. */
  listed(): void {
    this.#encoded.clear();
    for (const stream of this.#streams) {
      for (const name of stream.names) {
        this.#want(name);
        stream.changed(name);
      }
      stream.flush();
    }
  }

  async close(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#server.tryShutdown(() => resolve());
      this.#server.forceShutdown();
    });
  }

  #want(name: string): void {
    const key = findModule(this.#options.view, name);
    if (key !== undefined) this.#options.view.want(key);
  }

  #endpoints(name: string, zone: string): Uint8Array | undefined {
    const { view } = this.#options;
    const key = findModule(view, name);
    const isModule = key !== undefined && view.has(key);
    const module = key === undefined ? undefined : view.module(key);
    // Its route is on its way: no endpoints now would make calls fail for a moment.
    if (isModule && module === undefined) return undefined;
    const place = `${zone}\n${name}`;
    let encoded = this.#encoded.get(place);
    if (encoded === undefined) {
      encoded = endpointsOf(name, isModule ? module : undefined, zone);
      if (this.#encoded.size >= ENCODED_MAX) this.#encoded.clear();
      this.#encoded.set(place, encoded);
    }
    return encoded;
  }

  #follow(stream: ServerStream): void {
    if (this.#streams.size >= XDS_STREAMS_MAX) {
      this.counts.xds_streams_refused++;
      stream.emit("error", { code: status.RESOURCE_EXHAUSTED, details: "too many streams" });
      return;
    }
    const { view, log } = this.#options;
    const ads = new AdsStream({
      isReady: () => view.isListed,
      endpoints: (name, zone) => this.#endpoints(name, zone),
      want: (name) => this.#want(name),
      send: (bytes) => !stream.write(Buffer.from(bytes)),
      onRefused: (typeUrl, reason) => {
        const held = this.#limiter.admit("refused");
        if (held === undefined) return;
        log.warn("A gRPC client refuses what it is told", { type: typeUrl, reason, ...held });
      },
    }, this.counts);
    this.#streams.add(ads);
    const gone = (): void => void this.#streams.delete(ads);
    stream.on("data", (bytes: Buffer) => {
      try {
        ads.take(bytes);
      } catch (error) {
        gone();
        stream.emit("error", { code: status.INVALID_ARGUMENT, details: messageOf(error) });
      }
    });
    stream.on("drain", () => ads.drained());
    stream.on("error", gone);
    stream.on("cancelled", gone);
    stream.on("end", () => {
      gone();
      stream.end();
    });
  }

  #hear(stream: ServerStream): void {
    const begin = encodeXds("LoadStatsResponse", {
      load_reporting_interval: { seconds: REPORT_INTERVAL_S },
      send_all_clusters: true,
    });
    stream.write(Buffer.from(begin));
    stream.on("data", (bytes: Buffer) => {
      try {
        this.#takeCalls(decodeXds<LoadStatsRequest>("LoadStatsRequest", bytes));
      } catch (error) {
        stream.emit("error", { code: status.INVALID_ARGUMENT, details: messageOf(error) });
      }
    });
    stream.on("error", () => undefined);
    stream.on("end", () => stream.end());
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
