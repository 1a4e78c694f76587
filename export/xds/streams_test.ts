// Goal: by state of the world and by differences a client is told exactly what it asked for and does
// not know yet, whatever it says, and however slowly it reads.
// Method: a view with modules, streams without a network, messages of a scripted client.

import assert from "node:assert/strict";
import { test } from "node:test";
import { FleetView } from "../fleet_view.ts";
import { AdsStream } from "./ads_stream.ts";
import { DeltaStream, REFUSED_LENGTH_MAX } from "./delta_stream.ts";
import { decodeXds, encodeXds, type XdsMessage, XdsType } from "./messages.ts";
import { XdsResources } from "./resource_table.ts";
import { newAdsCounts, type XdsStream, type XdsStreamPort } from "./subscription.ts";

const LETTERS: Record<string, string> = {
  [XdsType.cluster]: "C",
  [XdsType.endpoints]: "E",
  [XdsType.listener]: "L",
  [XdsType.route]: "R",
};

/** One message of the server, as far as these tests look: `C a b -c` and its nonce. */
interface Told {
  readonly text: string;
  readonly nonce: string;
  readonly versions: Readonly<Record<string, string>>;
}

function nameIn(any: Uint8Array): string {
  const { value } = decodeXds<{ value: Uint8Array }>("Any", any);
  return decodeXds<{ name?: string; cluster_name?: string }>("Cluster", value).name ?? "";
}

class Bench {
  readonly counts = newAdsCounts();
  readonly refused: string[] = [];
  readonly told: Told[] = [];
  readonly followed = new Set<string>();
  readonly view: FleetView;
  readonly resources: XdsResources;
  nowMs = 1_000;
  isBusy = false;
  namesMax = Infinity;
  stream!: XdsStream;
  #nonce = 0;

  constructor() {
    this.view = new FleetView({
      outShare: 0.25,
      request: () => {},
      forget: () => {},
      onChanged: ({ modId }) => this.stream.changed(XdsType.endpoints, `m${modId}`),
      onListed: () => {
        for (const name of this.resources.listed()) this.stream.changed(XdsType.cluster, name);
        for (const name of this.stream.names) this.stream.changed(XdsType.endpoints, name);
      },
    });
    this.resources = new XdsResources(this.view);
  }

  port(message: XdsMessage): XdsStreamPort {
    return {
      nowMs: () => this.nowMs,
      isReady: () => this.view.isListed,
      resource: (type, name, zone) => this.resources.resource(type, name, zone),
      everything: (type) => this.resources.everything(type),
      follow: (type, name) => {
        if (this.followed.size >= this.namesMax) return false;
        this.followed.add(`${LETTERS[type]} ${name}`);
        return true;
      },
      unfollow: (type, name) => void this.followed.delete(`${LETTERS[type]} ${name}`),
      nextNonce: () => String(++this.#nonce),
      send: (bytes) => {
        this.told.push(message === "DiscoveryResponse" ? readWhole(bytes) : readDelta(bytes));
        return this.isBusy;
      },
      onRefused: (_type, reason) => void this.refused.push(reason),
    };
  }

  /** Modules m1, m2 and so on, with a node each. */
  modules(...ids: number[]): void {
    this.view.takeModules({
      modules: ids.map((modId) => ({ modId, cmdId: 1, name: `m${modId}`, gone: false })),
      ...{ first: true, last: true },
    });
    for (const modId of ids) this.#setRoute(modId, 80);
    this.stream.flush();
  }

  route(modId: number, ...ports: number[]): void {
    this.#setRoute(modId, ...ports);
    this.stream.flush();
  }

  #setRoute(modId: number, ...ports: number[]): void {
    this.view.want({ modId, cmdId: 1 });
    const hosts = ports.map((port) => ({ ip: 1, port }));
    this.view.takeRoute({ modId, cmdId: 1, hosts, policy: "" });
  }

  /** What was sent since the last look. */
  look(): string[] {
    return this.told.splice(0).map(({ text }) => text);
  }
}

function readWhole(bytes: Uint8Array): Told {
  const { type_url, nonce, resources } = decodeXds<
    { type_url: string; nonce: string; resources: Uint8Array[] }
  >("DiscoveryResponse", bytes);
  return { text: [LETTERS[type_url], ...resources.map(nameIn)].join(" "), nonce, versions: {} };
}

function readDelta(bytes: Uint8Array): Told {
  const { type_url, nonce, resources, removed_resources } = decodeXds<{
    type_url: string;
    nonce: string;
    resources: { name: string; version: string; resource: Uint8Array }[];
    removed_resources: string[];
  }>("DeltaDiscoveryResponse", bytes);
  for (const { name, resource } of resources) assert.equal(nameIn(resource), name);
  const words = [
    ...resources.map(({ name }) => name),
    ...removed_resources.map((one) => `-${one}`),
  ];
  return {
    text: [LETTERS[type_url], ...words].join(" "),
    nonce,
    versions: Object.fromEntries(resources.map(({ name, version }) => [name, version])),
  };
}

interface Whole extends Bench {
  ask(type: string, names: readonly string[], more?: Record<string, unknown>): void;
}

function wholeBench(): Whole {
  const bench = new Bench() as Whole;
  bench.stream = new AdsStream(bench.port("DiscoveryResponse"), bench.counts);
  bench.ask = (type, names, more = {}) =>
    bench.stream.take(
      encodeXds("DiscoveryRequest", { type_url: type, resource_names: names, ...more }),
    );
  return bench;
}

interface Delta extends Bench {
  ask(type: string, on: readonly string[], off?: readonly string[], more?: object): void;
}

function deltaBench(): Delta {
  const bench = new Bench() as Delta;
  bench.stream = new DeltaStream(bench.port("DeltaDiscoveryResponse"), bench.counts);
  bench.ask = (type, on, off = [], more = {}) =>
    bench.stream.take(encodeXds("DeltaDiscoveryRequest", {
      type_url: type,
      resource_names_subscribe: on,
      resource_names_unsubscribe: off,
      ...more,
    }));
  return bench;
}

const { cluster: CDS, endpoints: EDS, listener: LDS, route: RDS } = XdsType;

test("whole: nothing before the modules are known, then clusters, endpoints, listeners, routes", () => {
  const bench = wholeBench();
  for (const type of [RDS, LDS, EDS, CDS]) bench.ask(type, ["m1"]);
  assert.deepEqual(bench.look(), []);
  bench.modules(1);
  assert.deepEqual(bench.look(), ["C m1", "E m1", "L m1", "R m1"]);
  bench.modules(1);
  assert.deepEqual(bench.look(), [], "nothing has changed");
});

test("whole: all clusters each time, endpoints that changed, none of old nonces", () => {
  const bench = wholeBench();
  bench.ask(CDS, ["m1"]);
  bench.modules(1, 2, 3);
  const first = bench.told[0].nonce;
  assert.deepEqual(bench.look(), ["C m1"]);
  bench.ask(CDS, ["m1", "m2"], { response_nonce: first });
  const second = bench.told[0].nonce;
  assert.deepEqual(bench.look(), ["C m1 m2"]);
  bench.ask(CDS, ["m1", "m2", "m3"], { response_nonce: first });
  assert.deepEqual(bench.look(), [], "an answer to one that is old");
  bench.ask(CDS, ["m2"], { response_nonce: second });
  assert.deepEqual(bench.look(), [], "who follows fewer knows enough");
  bench.ask(EDS, ["m1", "m2"]);
  assert.deepEqual(bench.look(), ["E m1 m2"]);
  bench.route(1, 81);
  bench.route(1, 81);
  bench.route(3, 81);
  assert.deepEqual(bench.look(), ["E m1"]);
  bench.ask(EDS, ["m2"]);
  bench.ask(EDS, ["m1", "m2"]);
  assert.deepEqual(bench.look(), ["E m1"], "asked for again");
  assert.deepEqual([...bench.followed].sort(), ["C m2", "E m1", "E m2"]);
});

test("whole: a version from an earlier stream means nothing", () => {
  const bench = wholeBench();
  bench.ask(EDS, ["m1"], { version_info: "77" });
  bench.modules(1);
  assert.deepEqual(bench.look(), ["E m1"]);
});

test("whole: who refuses is heard by what it says, by no code, and told again what changes", () => {
  const bench = wholeBench();
  bench.modules(1);
  bench.ask(EDS, ["m1"]);
  const [{ nonce }] = bench.told;
  bench.nowMs += 700;
  assert.equal(bench.stream.behindMs, 700);
  bench.ask(EDS, ["m1"], { response_nonce: nonce, error_detail: { code: 0, message: "no" } });
  assert.deepEqual([bench.refused, bench.counts.xds_refused, bench.counts.xds_taken], [
    ["no"],
    1,
    0,
  ]);
  assert.equal(bench.stream.behindMs, 0);
  bench.look();
  bench.route(1, 82);
  assert.deepEqual(bench.look(), ["E m1"]);
  const again = bench.counts.xds_left;
  bench.nowMs++;
  assert.equal(bench.stream.close(), true, "it left without having taken the last");
  assert.deepEqual([bench.counts.xds_left - again, bench.followed.size], [1, 0]);
});

test("whole: all clusters for who names none, less what is gone, another when it comes back", () => {
  const bench = wholeBench();
  bench.ask(CDS, []);
  bench.ask(LDS, []);
  bench.modules();
  assert.deepEqual(bench.look(), ["C", "L"], "none is an answer as well");
  bench.modules(1, 2);
  assert.deepEqual(bench.look(), ["C m1 m2"]);
  const before = bench.resources.resource(CDS, "m2", "")?.version;
  bench.modules(1);
  assert.deepEqual(bench.look(), ["C m1"]);
  bench.modules(1, 2);
  assert.deepEqual(bench.look(), ["C m1 m2"]);
  assert.notEqual(bench.resources.resource(CDS, "m2", "")?.version, before);
  bench.ask(CDS, ["m1"], {});
  bench.look();
  bench.modules(1, 2, 3);
  assert.deepEqual(bench.look(), [], "it follows by name now");
  bench.ask(CDS, ["*", "other"], {});
  assert.deepEqual(bench.look(), ["C other m1 m2 m3"]);
});

test("a name that is none, or gone, is a cluster without endpoints, and comes back", () => {
  for (const bench of [wholeBench(), deltaBench()]) {
    const endpoints = (): number => {
      const any = bench.resources.resource(EDS, "m1", "")?.packed ?? new Uint8Array();
      const { value } = decodeXds<{ value: Uint8Array }>("Any", any);
      return decodeXds<{ endpoints: unknown[] }>("ClusterLoadAssignment", value).endpoints.length;
    };
    bench.modules();
    for (const type of [CDS, EDS]) bench.ask(type, ["m1"]);
    assert.deepEqual([bench.look(), endpoints()], [["C m1", "E m1"], 0]);
    bench.modules(1);
    assert.deepEqual([bench.look().includes("E m1"), endpoints()], [true, 1]);
    bench.modules();
    assert.deepEqual([bench.look().includes("E m1"), endpoints()], [true, 0]);
    bench.modules(1);
    assert.deepEqual([bench.look().includes("E m1"), endpoints()], [true, 1]);
  }
});

test("a module whose route is on its way is waited for; the others are told", () => {
  for (const bench of [wholeBench(), deltaBench()]) {
    bench.view.takeModules({
      modules: [{ modId: 2, cmdId: 1, name: "m2", gone: false }],
      ...{ first: true, last: true },
    });
    bench.ask(EDS, ["m2", "m3"]);
    assert.deepEqual(bench.look(), ["E m3"]);
    bench.route(2, 80);
    assert.deepEqual(bench.look(), ["E m2"]);
  }
});

test("who reads slowly is sent nothing, then only the latest", () => {
  for (const bench of [wholeBench(), deltaBench()]) {
    bench.modules(1, 2);
    bench.isBusy = true;
    bench.ask(EDS, ["m1", "m2"]);
    assert.deepEqual(bench.look(), ["E m1 m2"]);
    for (let port = 81; port < 90; port++) bench.route(1, port);
    assert.deepEqual(bench.look(), []);
    bench.isBusy = false;
    bench.stream.drained();
    assert.deepEqual(bench.look(), ["E m1"]);
  }
});

test("too many names, and names that are too long, are counted; rubbish is an error", () => {
  const many = Array.from({ length: 10_005 }, (_, index) => `n${index}`);
  const whole = wholeBench();
  whole.modules();
  whole.ask(EDS, [...many, "x".repeat(300)]);
  assert.equal(whole.counts.xds_names_refused, 6);
  assert.equal(whole.followed.size, 10_000);
  whole.ask("type.googleapis.com/unknown", ["a"]);
  assert.throws(() => whole.stream.take(new Uint8Array([0xff, 0xff])));
  const delta = deltaBench();
  delta.namesMax = 2;
  delta.modules();
  delta.ask(EDS, ["a", "b", "c"]);
  assert.deepEqual(delta.look(), ["E a b -c"], "it is told that there is none");
  assert.equal(delta.counts.xds_names_refused, 1);
  assert.throws(() => delta.stream.take(new Uint8Array([0xff, 0xff])));
});

test("delta: of refused names no more is kept than a bound, however long the client does not read", () => {
  const bench = deltaBench();
  bench.namesMax = 1;
  bench.modules();
  bench.isBusy = true;
  bench.ask(EDS, ["a"]);
  bench.look();
  const name = (index: number): string => `${index}`.padEnd(1023, "x");
  for (let index = 0; index < 1_000; index++) bench.ask(EDS, [name(index)]);
  assert.equal(bench.counts.xds_names_refused, 1_000);
  bench.isBusy = false;
  bench.stream.drained();
  const [text] = bench.look();
  assert.equal(text.split(" ").length - 1, REFUSED_LENGTH_MAX / 1024);
  bench.ask(EDS, ["again"]);
  assert.deepEqual(bench.look(), ["E -again"]);
});

test("delta: by name, each version once; again for who asks again; nothing for who left", () => {
  const bench = deltaBench();
  bench.ask(EDS, ["m1", "m2"]);
  assert.deepEqual(bench.look(), [], "nothing before the modules are known");
  bench.modules(1, 2);
  const [{ nonce }] = bench.told;
  assert.deepEqual(bench.look(), ["E m1 m2"]);
  bench.ask(EDS, [], [], { response_nonce: nonce });
  assert.deepEqual([bench.look(), bench.counts.xds_taken], [[], 1]);
  bench.route(2, 81);
  assert.deepEqual(bench.look(), ["E m2"]);
  bench.ask(EDS, ["m1"], [], { response_nonce: "of another time" });
  assert.deepEqual(bench.look(), ["E m1"], "names count with each message");
  bench.ask(EDS, [], ["m1", "never"]);
  bench.route(1, 82);
  assert.deepEqual(bench.look(), []);
  const { told } = bench;
  bench.ask(EDS, ["m1"]);
  const last = told[0].nonce;
  bench.ask(EDS, [], [], { response_nonce: last, error_detail: { code: 14, message: "bad" } });
  assert.deepEqual([bench.refused, bench.counts.xds_refused], [["bad"], 1]);
});

test("delta: all clusters for who names none, what is gone as removed, what is back as another", () => {
  const bench = deltaBench();
  bench.modules(1, 2);
  bench.ask(CDS, []);
  const before = bench.told[0].versions;
  assert.deepEqual(bench.look(), ["C m1 m2"]);
  bench.modules(1, 3);
  assert.deepEqual(bench.look(), ["C m3 -m2"]);
  bench.modules(1, 2, 3);
  assert.notEqual(bench.told[0].versions.m2, before.m2);
  assert.deepEqual(bench.look(), ["C m2"]);
  bench.ask(CDS, [], ["*"]);
  bench.modules(1);
  assert.deepEqual(bench.look(), [], "it wants no more");
  bench.ask(CDS, ["*", "x"]);
  assert.deepEqual(bench.look(), ["C m1 x"]);
  bench.ask(LDS, []);
  assert.deepEqual(bench.look(), ["L"], "its listeners are its own");
});

test("delta: a client that comes back is told what differs from what it has", () => {
  const first = deltaBench();
  first.modules(1, 2);
  first.ask(CDS, []);
  first.ask(EDS, ["m1", "m2"]);
  const [clusters, endpoints] = first.told.map(({ versions }) => versions);
  // Another server, where a module is gone and a route is another one.
  const second = deltaBench();
  second.modules(1);
  second.route(1, 99);
  second.ask(CDS, [], [], { initial_resource_versions: clusters });
  second.ask(EDS, ["m1", "m2"], [], { initial_resource_versions: endpoints });
  assert.deepEqual(second.look(), ["C -m2", "E m1 m2"]);
  const third = deltaBench();
  third.modules(1, 2);
  third.ask(CDS, [], [], { initial_resource_versions: clusters });
  third.ask(EDS, ["m1", "m2"], [], { initial_resource_versions: endpoints });
  assert.deepEqual(third.look(), ["C"], "nothing differs");
});
