// Core. What the balancer says of a module, as JSON that fits one datagram.

import type { ModuleExplanation } from "../../balancer/mod.ts";

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
