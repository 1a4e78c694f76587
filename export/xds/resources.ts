// Core. Modules as the resources of xDS: what gRPC programs and Envoy are told of a name.

import { addressText } from "../../model/node.ts";
import { formatIpv4 } from "../../reactor/address.ts";
import type { ExportModule, ExportNode } from "../fleet_view.ts";
import { encodeXds } from "./messages.ts";

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

/** The listener of a name, with its route inside, to a cluster of the same name. */
export function listenerOf(name: string): Uint8Array {
  const route = { match: { prefix: "" }, route: { cluster: name } };
  const manager = encodeXds("HttpConnectionManager", {
    route_config: { name, virtual_hosts: [{ name, domains: ["*"], routes: [route] }] },
    http_filters: [{
      name: "router",
      typed_config: { type_url: ROUTER, value: encodeXds("Empty", {}) },
    }],
  });
  return encodeXds("Listener", {
    name,
    api_listener: { api_listener: { type_url: HCM, value: manager } },
  });
}

/** The cluster of a name: its endpoints come over the same stream, and its calls are reported. */
export function clusterOf(name: string): Uint8Array {
  return encodeXds("Cluster", {
    name,
    type: EDS,
    eds_cluster_config: {
      eds_config: { ads: {}, resource_api_version: API_V3 },
      service_name: name,
    },
    lrs_server: { self: {}, resource_api_version: API_V3 },
  });
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
): Uint8Array {
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
  return encodeXds("ClusterLoadAssignment", {
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
}
