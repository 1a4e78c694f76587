// Goal: endpoints are said so that no gRPC client refuses or drops them, and weights count.
// Method: modules as the message they become; what clients do with it is in xds_test.ts.

import assert from "node:assert/strict";
import { test } from "node:test";
import type { ExportNode } from "../fleet_view.ts";
import { AdsStream } from "./ads_stream.ts";
import { decodeXds, encodeXds, XdsType } from "./messages.ts";
import { clusterOf, endpointsOf, OWN_LOCALITY_NODES_MAX, RESPONSE_BYTES_MAX } from "./resources.ts";
import { newAdsCounts } from "./subscription.ts";

interface Assignment {
  readonly endpoints: readonly {
    readonly locality: { readonly zone: string; readonly sub_zone: string };
    readonly load_balancing_weight: { readonly value: number };
    readonly priority: number;
    readonly lb_endpoints: readonly {
      readonly endpoint: { readonly address: { readonly socket_address: { port_value: number } } };
      readonly health_status: number;
    }[];
  }[];
}

function read<T>(message: "ClusterLoadAssignment" | "Cluster", packed: Uint8Array): T {
  return decodeXds<T>(message, decodeXds<{ value: Uint8Array }>("Any", packed).value);
}

const node = (port: number, more: Partial<ExportNode> = {}): ExportNode => ({
  ...{ ip: 0x0a000001, port, weight: 100, zone: "", state: "up" },
  ...more,
});

/** `zone/port:priority:weight`, with `!` for a node that is drained. */
function told(nodes: readonly ExportNode[], zone = ""): string[] {
  const { packed } = endpointsOf("m", { modId: 1, cmdId: 1, name: "m", nodes }, zone);
  return read<Assignment>("ClusterLoadAssignment", packed).endpoints.map((one) => {
    const ports = one.lb_endpoints.map(({ endpoint, health_status }) =>
      `${endpoint.address.socket_address.port_value}${health_status === 3 ? "!" : ""}`
    );
    const weight = one.load_balancing_weight.value;
    return `${one.locality.zone}/${ports.join("+")}:${one.priority}:${weight}`;
  });
}

const CASES: [what: string, nodes: ExportNode[], zone: string, expected: string[]][] = [
  ["weights are those of localities", [node(1), node(2, { weight: 300 })], "", [
    "/1:0:100",
    "/2:0:300",
  ]],
  [
    "sick ones are left out, drained ones said to be so, no weight is 0",
    [
      node(1, { state: "out" }),
      node(2, { state: "drain", weight: 0 }),
      node(3),
    ],
    "",
    ["/2!:0:1", "/3:0:100"],
  ],
  [
    "its own zone first, priorities without a gap",
    [
      node(1, { zone: "east" }),
      node(2, { zone: "west" }),
      node(3),
    ],
    "east",
    ["east/1:0:100", "west/2:1:100", "/3:1:100"],
  ],
  [
    "nothing in its zone that is up: all are alike",
    [
      node(1, { zone: "east", state: "drain" }),
      node(2, { zone: "west" }),
    ],
    "east",
    ["east/1!:0:100", "west/2:0:100"],
  ],
  ["all in its zone", [node(1, { zone: "east" })], "east", ["east/1:0:100"]],
  ["none", [], "east", []],
];

for (const [what, nodes, zone, expected] of CASES) {
  test(`endpoints: ${what}`, () => assert.deepEqual(told(nodes, zone), expected));
}

test("many nodes: one locality for each zone and weight, each once in all", () => {
  const nodes = Array.from(
    { length: OWN_LOCALITY_NODES_MAX + 1 },
    (_, index) =>
      node(index + 1, { weight: index % 2 === 0 ? 100 : 50, zone: index % 3 === 0 ? "east" : "" }),
  );
  const { packed } = endpointsOf("m", { modId: 1, cmdId: 1, name: "m", nodes }, "east");
  const { endpoints } = read<Assignment>("ClusterLoadAssignment", packed);
  const keys = endpoints.map(({ locality }) => `${locality.zone}/${locality.sub_zone}`);
  assert.deepEqual(keys.sort(), ["/w100", "/w50", "east/w100", "east/w50"]);
  const sum = endpoints.reduce((all, { load_balancing_weight: { value } }) => all + value, 0);
  assert.equal(sum, nodes.reduce((all, { weight }) => all + weight, 0));
});

test("clusters have the one policy that every client takes, and report their calls", () => {
  const cluster = read<Record<string, unknown>>("Cluster", clusterOf("m").packed);
  assert.equal(cluster.lb_policy, 0);
  assert.notEqual(cluster.lrs_server, null);
  assert.notEqual(clusterOf("m").version, clusterOf("m", 1).version);
});

test("what is larger than a client takes is not sent, and counted; the others are", () => {
  const counts = newAdsCounts();
  const sent: Uint8Array[] = [];
  const stream = new AdsStream({
    nowMs: () => 0,
    isReady: () => true,
    resource: (_type, name) => ({
      version: "1",
      packed: new Uint8Array(
        name === "large" ? RESPONSE_BYTES_MAX / 2 + 1 : RESPONSE_BYTES_MAX / 4,
      ),
    }),
    everything: () => new Set(),
    follow: () => true,
    unfollow: () => {},
    nextNonce: () => "1",
    send: (bytes) => sent.push(bytes) === 0,
    onRefused: () => {},
  }, counts);
  const ask = { type_url: XdsType.endpoints, resource_names: ["a", "large", "b", "c"] };
  stream.take(encodeXds("DiscoveryRequest", ask));
  stream.flush();
  assert.equal(counts.xds_too_large, 1);
  assert.ok(
    sent.every(({ length }) => length < RESPONSE_BYTES_MAX),
    sent.map((one) => one.length).join(),
  );
  assert.ok(sent.length >= 2, "in several answers");
});
