// Core. Modules as the resources of xDS: what gRPC programs and Envoy are told of a name.

import { addressText } from "../../model/node.ts";
import { formatIpv4 } from "../../reactor/address.ts";
import type { ExportModule, ExportNode } from "../fleet_view.ts";
import { encodeXds, XdsType } from "./messages.ts";

/** One resource, encoded once for all who are told of it. */
export interface XdsResource {
  /** What tells its content from another, also over restarts of this server. */
  readonly version: string;
  /** `google.protobuf.Any` with it inside. */
  readonly packed: Uint8Array;
}

/** A resource of this type with these bytes inside. */
function xdsResource(typeUrl: string, value: Uint8Array): XdsResource {
  return { version: versionOf(value), packed: encodeXds("Any", { type_url: typeUrl, value }) };
}

/** Two hashes of bytes and their number: FNV-1a, from two beginnings. */
function versionOf(bytes: Uint8Array): string {
  let [one, two] = [0x811c9dc5, 0x01234567];
  for (const byte of bytes) {
    one = Math.imul(one ^ byte, 0x01000193);
    two = Math.imul(two ^ byte, 0x5bd1e995);
    two ^= two >>> 13;
  }
  return [one >>> 0, two >>> 0, bytes.length].map((part) => part.toString(36)).join("-");
}

/**
 * Up to so many nodes each has a locality of its own, by whose reports it is known; beyond it those
 * of one weight share one.
 */
export const OWN_LOCALITY_NODES_MAX = 200;

/** Largest answer: gRPC clients drop the stream beyond 4 MiB. */
export const RESPONSE_BYTES_MAX = 4_194_304;

const HCM =
  "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
const ROUTER = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router";
const EDS = 3;
const API_V3 = 2;
const DRAINING = 3;

function routeValues(name: string): Record<string, unknown> {
  const route = { match: { prefix: "" }, route: { cluster: name } };
  return { name, virtual_hosts: [{ name, domains: ["*"], routes: [route] }] };
}

/** The route table of a name, for who asks for it by itself: all to a cluster of the same name. */
export function routeOf(name: string): XdsResource {
  return xdsResource(XdsType.route, encodeXds("RouteConfiguration", routeValues(name)));
}

/** The listener of a name, with its route table inside. */
export function listenerOf(name: string): XdsResource {
  const manager = encodeXds("HttpConnectionManager", {
    route_config: routeValues(name),
    http_filters: [{
      name: "router",
      typed_config: { type_url: ROUTER, value: encodeXds("Empty", {}) },
    }],
  });
  return xdsResource(
    XdsType.listener,
    encodeXds("Listener", {
      name,
      api_listener: { api_listener: { type_url: HCM, value: manager } },
    }),
  );
}

/** Requests at once to a cluster, when nothing is said. */
const REQUESTS_DEFAULT = 1_024;

/**
 * The cluster of a name: its endpoints come over the same stream, and its calls are reported.
 *
 * @param generation How often clients have been told that it is gone: gRPC clients never use one
 * that comes back as it was, so something has to differ.
 */
export function clusterOf(name: string, generation = 0): XdsResource {
  const thresholds = [{ max_requests: { value: REQUESTS_DEFAULT + generation } }];
  const value = encodeXds("Cluster", {
    name,
    ...(generation === 0 ? {} : { circuit_breakers: { thresholds } }),
    type: EDS,
    eds_cluster_config: {
      eds_config: { ads: {}, resource_api_version: API_V3 },
      service_name: name,
    },
    lrs_server: { self: {}, resource_api_version: API_V3 },
  });
  return xdsResource(XdsType.cluster, value);
}

interface Locality {
  readonly zone: string;
  readonly subZone: string;
  readonly nodes: ExportNode[];
  weight: number;
}

/**
 * The endpoints of a name. Weights of nodes are those of localities, because under ROUND_ROBIN no
 * other counts; the nodes of the client's own zone come first (priority 0) when there are any. Sick
 * nodes are left out, drained ones said to be so. Unknown modules have no endpoints: calls fail at
 * once then.
 */
export function endpointsOf(
  name: string,
  module: ExportModule | undefined,
  zone: string,
): XdsResource {
  const nodes = (module?.nodes ?? []).filter(({ state }) => state !== "out");
  const isOwn = nodes.length <= OWN_LOCALITY_NODES_MAX;
  const localities = new Map<string, Locality>();
  for (const node of nodes) {
    // A drained node may have no weight, and a locality without one would be dropped.
    const weight = Math.max(1, node.weight);
    const subZone = isOwn ? addressText(node) : `w${weight}`;
    const key = `${node.zone}\n${subZone}`;
    const locality = localities.get(key) ??
      { zone: node.zone, subZone, nodes: [], weight: 0 };
    localities.set(key, locality);
    locality.nodes.push(node);
    locality.weight += weight;
  }
  const all = [...localities.values()];
  const isNear = ({ zone: own }: Locality): boolean => zone !== "" && own === zone;
  const hasNear = all.some((one) => isNear(one) && one.nodes.some(({ state }) => state === "up"));
  const hasFar = all.some((one) => !isNear(one));
  const value = encodeXds("ClusterLoadAssignment", {
    cluster_name: name,
    endpoints: all.map((locality) => ({
      locality: { region: "", zone: locality.zone, sub_zone: locality.subZone },
      load_balancing_weight: { value: locality.weight },
      // Priorities must have no gap.
      priority: hasNear && hasFar && !isNear(locality) ? 1 : 0,
      lb_endpoints: locality.nodes.map(({ ip, port, state }) => ({
        endpoint: { address: { socket_address: { address: formatIpv4(ip), port_value: port } } },
        health_status: state === "drain" ? DRAINING : 0,
      })),
    })),
  });
  return xdsResource(XdsType.endpoints, value);
}
