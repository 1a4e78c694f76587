// Shell. xDS for a benchmark: our server with modules of its own, or the plainest one there could be,
// which sends each client all of its endpoints whenever one of them changes.

import { Buffer } from "node:buffer";
import { createServer } from "node:net";
// @ts-types="../export/xds/grpc.d.ts"
import { Server, ServerCredentials, type ServerStream } from "@grpc/grpc-js";
import { FleetView } from "../export/fleet_view.ts";
import { decodeXds, type DiscoveryRequest, encodeXds, XdsType } from "../export/xds/messages.ts";
import { clusterOf, endpointsOf, listenerOf, type XdsResource } from "../export/xds/resources.ts";
import { XdsServer } from "../export/xds/xds_server.ts";
import type { Address } from "../reactor/address.ts";
import { silentLogger } from "../reactor/log.ts";
import { runtime } from "../reactor/runtime/mod.ts";
import { systemClock } from "../reactor/time/system_clock.ts";
import { readWords, tellReady } from "./program.ts";

const words = readWords(runtime.args);
const [names, nodes] = [words.number("names", 50), words.number("nodes", 20)];
const made: { server?: XdsServer } = {};
const view = new FleetView({
  ...{ outShare: 0.25, request: () => {}, forget: () => {} },
  onChanged: (key) => made.server?.changed(key),
  onListed: () => made.server?.listed(),
});

function setRoute(modId: number, weight: number): void {
  const hosts = Array.from({ length: nodes }, (_, index) => ({
    ...{ ip: 0x0a000000 + modId * 256 + index, port: 8000 },
    weight: index === 0 ? weight : 100,
  }));
  view.takeRoute({ modId, cmdId: 1, policy: "", hosts });
}

view.takeModules({
  modules: Array.from({ length: names }, (_, index) => ({
    ...{ modId: index + 1, cmdId: 1, name: `m${index + 1}`, gone: false },
  })),
  ...{ first: true, last: true },
});
for (let modId = 1; modId <= names; modId++) {
  view.want({ modId, cmdId: 1 });
  setRoute(modId, 100);
}

interface PlainClient {
  readonly stream: ServerStream;
  readonly asked: Map<string, readonly string[]>;
  version: number;
}

/** What a gRPC server of a page would do. */
class PlainServer {
  readonly #clients = new Set<PlainClient>();

  changed(): void {
    for (const client of this.#clients) this.#send(client, XdsType.endpoints);
  }

  listen(): Promise<Address> {
    const raw = (bytes: Buffer): Buffer => bytes;
    const server = new Server();
    server.addService({
      Follow: {
        ...{ requestStream: true, responseStream: true },
        ...{ requestSerialize: raw, requestDeserialize: raw },
        ...{ responseSerialize: raw, responseDeserialize: raw },
        path: "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources",
      },
    }, { Follow: (stream: ServerStream) => this.#follow(stream) });
    return new Promise((resolve, reject) => {
      server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, port) => {
        if (error !== null) reject(error);
        else resolve({ hostname: "127.0.0.1", port });
      });
    });
  }

  #follow(stream: ServerStream): void {
    const client: PlainClient = { stream, asked: new Map(), version: 0 };
    this.#clients.add(client);
    stream.on("data", (bytes) => {
      const { type_url: type, resource_names, response_nonce } = decodeXds<DiscoveryRequest>(
        "DiscoveryRequest",
        bytes,
      );
      client.asked.set(type, resource_names);
      if (response_nonce === "") this.#send(client, type);
    });
    for (const event of ["end", "cancelled"] as const) {
      stream.on(event, () => void this.#clients.delete(client));
    }
    stream.on("error", () => void this.#clients.delete(client));
  }

  #send(client: PlainClient, type: string): void {
    const version = String(++client.version);
    const resources = (client.asked.get(type) ?? []).map((name) =>
      plainResource(type, name).packed
    );
    client.stream.write(
      Buffer.from(
        encodeXds("DiscoveryResponse", {
          ...{ version_info: version, nonce: version, type_url: type, resources },
        }),
      ),
    );
  }
}

function plainResource(type: string, name: string): XdsResource {
  if (type === XdsType.cluster) return clusterOf(name);
  if (type === XdsType.listener) return listenerOf(name);
  const key = view.byName(name);
  return endpointsOf(name, key === undefined ? undefined : view.module(key), "");
}

async function listen(): Promise<Address> {
  if (words.text("mode", "lars") === "plain") {
    const server = new PlainServer();
    plain = server;
    return await server.listen();
  }
  made.server = new XdsServer({
    ...{ view, hostname: "127.0.0.1", port: 0, clock: systemClock, log: silentLogger },
    onCalls: () => {},
  });
  return await made.server.listen();
}

let plain: PlainServer | undefined;
const address = await listen();
/** Each byte that comes changes the first module. */
const control = createServer((socket) => {
  let weight = 100;
  socket.on("data", (bytes) => {
    for (let i = 0; i < bytes.length; i++) setRoute(1, ++weight);
    plain?.changed();
  });
  socket.on("error", () => socket.destroy());
});
control.listen(0, "127.0.0.1", () => {
  const own = control.address();
  const port = typeof own === "object" && own !== null ? own.port : 0;
  tellReady([address, { hostname: "127.0.0.1", port }]);
});
