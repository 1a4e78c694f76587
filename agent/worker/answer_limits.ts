// Core. How much of a long answer fits its one datagram: nodes of a route, and of an explanation.

import type { ModuleExplanation } from "../../balancer/mod.ts";
import type { HostInfo } from "../../proto/codec.ts";

/** Largest payload of a UDP datagram over IPv4. */
export const ANSWER_BYTES_MAX = 65_507;

/** Head, and modid and cmdid of up to 11 bytes each. */
const FIXED_BYTES = 8 + 11 + 11;

/** Bytes of an int32 field with a one-byte tag; 0 is not written, negative ones take ten bytes. */
function int32FieldBytes(value: number): number {
  const signed = value | 0;
  if (signed === 0) return 0;
  if (signed < 0) return 11;
  let bytes = 2;
  for (let rest = signed >>> 7; rest > 0; rest >>>= 7) bytes++;
  return bytes;
}

/** How many nodes, from the first, one answer can hold. */
export function hostsThatFit(
  hosts: readonly Pick<HostInfo, "ip" | "port">[],
  bytesMax = ANSWER_BYTES_MAX,
): number {
  let bytes = FIXED_BYTES;
  for (let i = 0; i < hosts.length; i++) {
    // Tag and length of the inner message, then its two fields.
    bytes += 2 + int32FieldBytes(hosts[i].ip) + int32FieldBytes(hosts[i].port);
    if (bytes > bytesMax) return i;
  }
  return hosts.length;
}

/** Bytes of JSON in one answer: with the fields around it below the 65,507 of a datagram. */
export const EXPLANATION_BYTES_MAX = 60_000;

/**
 * The explanation with as many nodes from number `from` on as fit, and the number of all nodes as
 * `nodeCount` beside them. At least one node is in it, if there is one from there on.
 */
export function explanationPage(
  explained: ModuleExplanation,
  from: number,
  bytesMax = EXPLANATION_BYTES_MAX,
): string {
  const { module } = explained;
  if (module === undefined) return JSON.stringify(explained);
  const encoder = new TextEncoder();
  const nodes: unknown[] = [];
  const page = { ...explained, module: { ...module, nodes, nodeCount: module.nodes.length } };
  let bytes = encoder.encode(JSON.stringify(page)).length;
  for (const node of module.nodes.slice(from)) {
    bytes += 1 + encoder.encode(JSON.stringify(node)).length;
    if (bytes > bytesMax && nodes.length > 0) break;
    nodes.push(node);
  }
  return JSON.stringify(page);
}
