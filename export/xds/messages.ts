// Core. The messages of xDS that are used here, a small part of Envoy's public API with the same
// field numbers: what is left out is skipped when it comes.

import protobuf from "protobufjs";

const SCHEMA = `
syntax = "proto3";
message Any { string type_url = 1; bytes value = 2; }
message UInt32 { uint32 value = 1; }
message Duration { int64 seconds = 1; int32 nanos = 2; }
message Status { int32 code = 1; string message = 2; }
message Locality { string region = 1; string zone = 2; string sub_zone = 3; }
message Node { string id = 1; string cluster = 2; Locality locality = 4; string user_agent_name = 6; }
message DiscoveryRequest {
  string version_info = 1; Node node = 2; repeated string resource_names = 3; string type_url = 4;
  string response_nonce = 5; Status error_detail = 6;
}
message DiscoveryResponse {
  string version_info = 1; repeated bytes resources = 2; string type_url = 4; string nonce = 5;
}
message DeltaDiscoveryRequest {
  Node node = 1; string type_url = 2; repeated string resource_names_subscribe = 3;
  repeated string resource_names_unsubscribe = 4; map<string, string> initial_resource_versions = 5;
  string response_nonce = 6; Status error_detail = 7;
}
message Resource { string version = 1; bytes resource = 2; string name = 3; }
message DeltaDiscoveryResponse {
  string system_version_info = 1; repeated Resource resources = 2; string type_url = 4;
  string nonce = 5; repeated string removed_resources = 6;
}
message ConfigSource { Empty ads = 3; Empty self = 5; int32 resource_api_version = 6; }
message Empty {}
message ApiListener { Any api_listener = 1; }
message Listener { string name = 1; ApiListener api_listener = 19; }
message HttpFilter { string name = 1; Any typed_config = 4; }
message HttpConnectionManager { RouteConfiguration route_config = 4; repeated HttpFilter http_filters = 5; }
message RouteMatch { oneof path { string prefix = 1; } }
message RouteAction { string cluster = 1; }
message Route { RouteMatch match = 1; RouteAction route = 2; }
message VirtualHost { string name = 1; repeated string domains = 2; repeated Route routes = 3; }
message RouteConfiguration { string name = 1; repeated VirtualHost virtual_hosts = 2; }
message EdsClusterConfig { ConfigSource eds_config = 1; string service_name = 2; }
message Thresholds { int32 priority = 1; UInt32 max_requests = 4; }
message CircuitBreakers { repeated Thresholds thresholds = 1; }
message Cluster {
  string name = 1; int32 type = 2; EdsClusterConfig eds_cluster_config = 3; int32 lb_policy = 6;
  CircuitBreakers circuit_breakers = 10;
  ConfigSource lrs_server = 42;
}
message SocketAddress { int32 protocol = 1; string address = 2; uint32 port_value = 3; }
message Address { SocketAddress socket_address = 1; }
message Endpoint { Address address = 1; }
message LbEndpoint { Endpoint endpoint = 1; int32 health_status = 2; }
message LocalityLbEndpoints {
  Locality locality = 1; repeated LbEndpoint lb_endpoints = 2; UInt32 load_balancing_weight = 3;
  uint32 priority = 5;
}
message ClusterLoadAssignment { string cluster_name = 1; repeated LocalityLbEndpoints endpoints = 2; }
message UpstreamLocalityStats {
  Locality locality = 1; uint64 total_successful_requests = 2; uint64 total_error_requests = 4;
}
message ClusterStats { string cluster_name = 1; repeated UpstreamLocalityStats upstream_locality_stats = 2; }
message LoadStatsRequest { Node node = 1; repeated ClusterStats cluster_stats = 2; }
message LoadStatsResponse { Duration load_reporting_interval = 2; bool send_all_clusters = 4; }
`;

const root = protobuf.parse(SCHEMA, { keepCase: true }).root;

/** Names of the messages. */
export type XdsMessage =
  | "DiscoveryRequest"
  | "DiscoveryResponse"
  | "DeltaDiscoveryRequest"
  | "DeltaDiscoveryResponse"
  | "Any"
  | "RouteConfiguration"
  | "Listener"
  | "HttpConnectionManager"
  | "Cluster"
  | "ClusterLoadAssignment"
  | "LoadStatsRequest"
  | "LoadStatsResponse"
  | "Empty";

/** Kinds of resources by their `type_url`. */
export const XdsType = {
  listener: "type.googleapis.com/envoy.config.listener.v3.Listener",
  route: "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
  cluster: "type.googleapis.com/envoy.config.cluster.v3.Cluster",
  endpoints: "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
} as const;

/** Who a client is. */
export interface XdsNode {
  readonly id: string;
  readonly user_agent_name: string;
  readonly locality?: { readonly zone: string } | null;
}

/** A message of a client that follows by state of the world. */
export interface DiscoveryRequest {
  readonly node: XdsNode | null;
  readonly resource_names: readonly string[];
  readonly type_url: string;
  readonly response_nonce: string;
  readonly error_detail: { readonly code: number; readonly message: string } | null;
}

/** A message of a client that follows by differences. */
export interface DeltaDiscoveryRequest {
  readonly node: XdsNode | null;
  readonly type_url: string;
  readonly resource_names_subscribe: readonly string[];
  readonly resource_names_unsubscribe: readonly string[];
  readonly initial_resource_versions: Readonly<Record<string, string>>;
  readonly response_nonce: string;
  readonly error_detail: { readonly code: number; readonly message: string } | null;
}

/** What a client says of calls since the report before. */
export interface LoadStatsRequest {
  readonly cluster_stats: readonly {
    readonly cluster_name: string;
    readonly upstream_locality_stats: readonly {
      readonly locality: { readonly sub_zone: string } | null;
      readonly total_successful_requests: number;
      readonly total_error_requests: number;
    }[];
  }[];
}

const types = new Map<XdsMessage, protobuf.Type>();

function typeOf(message: XdsMessage): protobuf.Type {
  let type = types.get(message);
  if (type === undefined) types.set(message, type = root.lookupType(message));
  return type;
}

/** A message as bytes. */
export function encodeXds(message: XdsMessage, value: Record<string, unknown>): Uint8Array {
  const type = typeOf(message);
  return type.encode(type.fromObject(value)).finish();
}

/**
 * A message from bytes.
 *
 * @throws {Error} when they are none.
 */
export function decodeXds<T>(message: XdsMessage, bytes: Uint8Array): T {
  const type = typeOf(message);
  return type.toObject(type.decode(bytes), { defaults: true, longs: Number }) as T;
}
