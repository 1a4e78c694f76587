// Goal: over real connections a client that follows by differences is told what it asked for, one
// that sends rubbish or asks for everything costs nobody else anything, and who left is forgotten.
// Method: the server in here, and clients of grpc-js that say what the tests tell them.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { test } from "node:test";
// @ts-types="./grpc.d.ts"
import { Client, type ClientStream, credentials, status } from "@grpc/grpc-js";
import { systemClock } from "../../reactor/time/system_clock.ts";
import { LogList } from "../../tests/support/log_list.ts";
import { until } from "../../tests/support/until.ts";
import { FleetView } from "../fleet_view.ts";
import { decodeXds, encodeXds, type XdsMessage, XdsType } from "./messages.ts";
import { XdsServer } from "./xds_server.ts";

const ADS = "/envoy.service.discovery.v3.AggregatedDiscoveryService";
const LOADS = "/envoy.service.load_stats.v3.LoadReportingService/StreamLoadStats";
const bytes = (one: Buffer): Buffer => one;

type Method = "Stream" | "Delta" | "Loads";

interface Bench {
  readonly view: FleetView;
  readonly server: XdsServer;
  readonly log: LogList;
  readonly wanted: string[];
  modules(...names: string[]): void;
  route(modId: number, ...ports: number[]): void;
  open(method: Method): Scripted;
}

/** One stream, with all that came over it. */
class Scripted {
  readonly #stream: ClientStream;
  readonly #request: XdsMessage;
  readonly raw: Uint8Array[] = [];
  code: number | undefined;

  constructor(client: Client, method: Method) {
    this.#request = method === "Stream" ? "DiscoveryRequest" : "DeltaDiscoveryRequest";
    const path = method === "Loads" ? LOADS : `${ADS}/${method}AggregatedResources`;
    this.#stream = client.makeBidiStreamRequest(path, bytes, bytes);
    this.#stream.on("data", (message) => this.raw.push(message));
    this.#stream.on("error", (error) => (this.code = error.code));
  }

  say(values: Record<string, unknown>): void {
    this.write(encodeXds(this.#request, values));
  }

  write(message: Uint8Array): void {
    this.#stream.write(Buffer.from(message));
  }

  cancel(): void {
    this.#stream.cancel();
  }
}

interface DeltaAnswer {
  readonly nonce: string;
  readonly resources: readonly { readonly name: string; readonly version: string }[];
  readonly removed_resources: readonly string[];
}

function deltas(stream: Scripted): DeltaAnswer[] {
  return stream.raw.map((one) => decodeXds<DeltaAnswer>("DeltaDiscoveryResponse", one));
}

async function withServer(
  body: (bench: Bench) => Promise<void>,
  streamsMax?: number,
): Promise<void> {
  const made: { server?: XdsServer } = {};
  const wanted: string[] = [];
  const view = new FleetView({
    outShare: 0.25,
    request: (modId, cmdId) => void wanted.push(`${modId}/${cmdId}`),
    forget: () => {},
    onChanged: (key) => made.server?.changed(key),
    onListed: () => made.server?.listed(),
  });
  const log = new LogList();
  const server = new XdsServer({
    ...{ view, hostname: "127.0.0.1", port: 0, clock: systemClock, log, onCalls: () => {} },
    ...(streamsMax === undefined ? {} : { streamsMax }),
  });
  made.server = server;
  const { port } = await server.listen();
  const clients: Client[] = [];
  try {
    await body({
      ...{ view, server, log, wanted },
      modules: (...names) =>
        view.takeModules({
          modules: names.map((name, index) => ({ modId: index + 1, cmdId: 1, name, gone: false })),
          ...{ first: true, last: true },
        }),
      route: (modId, ...ports) => {
        view.want({ modId, cmdId: 1 });
        const hosts = ports.map((one) => ({ ip: 1, port: one }));
        view.takeRoute({ modId, cmdId: 1, hosts, policy: "" });
      },
      open: (method) => {
        const client = new Client(`127.0.0.1:${port}`, credentials.createInsecure());
        clients.push(client);
        return new Scripted(client, method);
      },
    });
  } finally {
    for (const client of clients) client.close();
    await server.close();
  }
}

test("a delta client follows, takes, refuses, leaves names, and all clusters", async () => {
  await withServer(async ({ server, log, modules, route, open }) => {
    modules("shop", "pay");
    route(1, 80);
    route(2, 80);
    const stream = open("Delta");
    const node = { id: "one", user_agent_name: "test", locality: { zone: "east" } };
    stream.say({
      ...{ node, type_url: XdsType.endpoints },
      resource_names_subscribe: ["shop", "1.1", "nobody"],
    });
    await until(() => stream.raw.length === 1, { what: "the first answer" });
    const [first] = deltas(stream);
    assert.deepEqual(first.resources.map(({ name }) => name), ["shop", "1.1", "nobody"]);
    assert.equal(first.resources[0].version === first.resources[2].version, false);
    const [follower] = server.followers(10);
    assert.deepEqual([follower.id, follower.software, follower.zone, follower.names], [
      "one",
      "test",
      "east",
      3,
    ]);
    stream.say({ type_url: XdsType.endpoints, response_nonce: first.nonce });
    await until(() => server.counts.xds_taken === 1, { what: "its yes" });
    assert.equal(server.followers(10)[0].behindMs, 0);
    route(1, 80, 81);
    await until(() => stream.raw.length === 2, { what: "the change" });
    assert.deepEqual(deltas(stream)[1].resources.map(({ name }) => name), ["shop", "1.1"]);
    stream.say({
      ...{ type_url: XdsType.endpoints, response_nonce: deltas(stream)[1].nonce },
      ...{ error_detail: { code: 13, message: "does not please" } },
      resource_names_unsubscribe: ["1.1"],
    });
    await until(() => server.counts.xds_refused === 1, { what: "its no" });
    assert.match(JSON.stringify(log.lines), /does not please/);
    stream.say({ type_url: XdsType.cluster });
    await until(() => stream.raw.length === 3, { what: "all clusters" });
    modules("shop");
    await until(() => stream.raw.length === 4, { what: "a module that is gone" });
    assert.deepEqual(deltas(stream)[3].removed_resources, ["pay"]);
    stream.cancel();
    await until(() => server.streamCount === 0, { what: "the end" });
  });
});

test("rubbish ends its own stream with a clear code, and nothing else", async () => {
  await withServer(async ({ server, modules, route, open }) => {
    modules("shop");
    route(1, 80);
    for (const method of ["Stream", "Delta"] as const) {
      const good = open(method);
      good.say({
        type_url: XdsType.endpoints,
        [method === "Stream" ? "resource_names" : "resource_names_subscribe"]: ["shop"],
      });
      const bad = open(method);
      bad.write(new Uint8Array([0xff, 0xff, 0xff]));
      await until(() => bad.code === status.INVALID_ARGUMENT, { what: "the code" });
      await until(() => good.raw.length === 1, { what: "the answer of another stream" });
      good.cancel();
    }
    await until(() => server.streamCount === 0, { what: "the end of all" });
    assert.equal(server.counts.xds_malformed, 2);
  });
});

test("streams of each kind are bounded, and who leaves makes room", async () => {
  await withServer(async ({ server, modules, route, open }) => {
    modules("shop");
    route(1, 80);
    const first = {
      Stream: { type_url: XdsType.endpoints, resource_names: ["shop"] },
      Loads: { node: null },
    };
    for (const method of ["Stream", "Loads"] as const) {
      const begin = async (): Promise<Scripted> => {
        const stream = open(method);
        stream.say(first[method]);
        await until(() => stream.raw.length > 0 || stream.code !== undefined, { what: method });
        return stream;
      };
      const [one, two] = [await begin(), await begin()];
      assert.deepEqual([one.code, two.code], [undefined, undefined], method);
      const refused = server.counts.xds_streams_refused;
      assert.equal((await begin()).code, status.RESOURCE_EXHAUSTED, method);
      assert.equal(server.counts.xds_streams_refused, refused + 1);
      one.cancel();
      await until(async () => (await begin()).code === undefined, { what: "room again" });
    }
  }, 2);
});

test("a name that some clients cannot call by is answered, and said", async () => {
  await withServer(async ({ modules, route, open, log }) => {
    modules("a/b");
    route(1, 80);
    const stream = open("Stream");
    stream.say({ type_url: XdsType.endpoints, resource_names: ["a/b", "A/B"] });
    await until(() => stream.raw.length === 1, { what: "the answer" });
    const { resources } = decodeXds<{ resources: unknown[] }>("DiscoveryResponse", stream.raw[0]);
    assert.equal(resources.length, 2, "capital letters make another name, which is none");
    assert.equal(log.count("cannot call by a name"), 1);
    stream.cancel();
  });
});

test("names in a loop: no module is asked for that there is not, and the bound is counted", async () => {
  await withServer(async ({ server, wanted, modules, open }) => {
    modules("shop");
    const stream = open("Delta");
    for (let round = 0; round < 12; round++) {
      const names = Array.from({ length: 1_000 }, (_, index) => `${round * 1_000 + index + 2}.1`);
      stream.say({ type_url: XdsType.endpoints, resource_names_subscribe: names });
    }
    await until(() => server.counts.xds_names_refused === 2_000, { what: "the bound" });
    assert.deepEqual(wanted, []);
    assert.equal(server.followers(1)[0].names, 10_000);
  });
});
