// Core. An agent's explanation of a module, read from its JSON and joined from its pages.

import type { ModuleExplanation } from "./route_records.ts";
import { messageOf, ProtocolError } from "../../reactor/errors.ts";

/** One answer of an agent. */
export interface ExplanationPage {
  readonly explanation: ModuleExplanation;
  /** Nodes in this page, and all that the module has. */
  readonly nodesHere: number;
  readonly nodeCount: number;
}

/**
 * Reads one page; undefined when the agent does not know the module.
 *
 * @throws {ProtocolError} when it is none.
 */
export function readExplanation(text: string): ExplanationPage | undefined {
  if (text === "") return undefined;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new ProtocolError(`Explanation must be JSON: ${messageOf(error)}`, { cause: error });
  }
  const { state, module } = (value ?? {}) as { state?: unknown; module?: unknown };
  const { nodes, nodeCount } = (module ?? { nodes: [], nodeCount: 0 }) as {
    nodes?: unknown;
    nodeCount?: unknown;
  };
  if (typeof state !== "string" || !Array.isArray(nodes) || typeof nodeCount !== "number") {
    throw new ProtocolError("Explanation must have a state, and nodes with their number");
  }
  return { explanation: value as ModuleExplanation, nodesHere: nodes.length, nodeCount };
}

/** The first page with the nodes of all pages. */
export function joinExplanations(pages: readonly ModuleExplanation[]): ModuleExplanation {
  const [{ state, ageMs, module }] = pages;
  if (module === undefined) return { state, ageMs, module };
  const nodes = pages.flatMap((page) => page.module?.nodes ?? []);
  // Only the agent's answers have it: it is the number of nodes, which one sees now.
  const { nodeCount: _, ...view } = module as typeof module & { nodeCount?: number };
  return { state, ageMs, module: { ...view, nodes } };
}
