// Core. Routes that agents hold back, as their status tells of them.

import type { ServiceView } from "../../../control/schemas.ts";

/** A change of a route that an agent does not take, because too many nodes would go. */
export interface HeldRoute {
  /** Address of the agent. */
  readonly agent: string;
  readonly modId: number;
  readonly cmdId: number;
  /** Nodes that would be left, and that there were. */
  readonly nodesAfter: number;
  readonly nodesBefore: number;
  /** For how long, in milliseconds. */
  readonly heldMs: number;
}

/** `1,2: 0 of 3 nodes, 12 s`, as the agent writes it, five at most. */
const ENTRY = /^(\d+),(\d+): (\d+) of (\d+) nodes, (\d+) s$/;

/** What agents that are alive hold back. */
export function heldRoutes(services: readonly ServiceView[]): HeldRoute[] {
  return services.flatMap(({ kind, address, isSilent, detail }) => {
    const text = detail.routesHeldBack;
    if (kind !== "agent" || isSilent || typeof text !== "string") return [];
    return text.split("; ").flatMap((entry): HeldRoute[] => {
      const match = ENTRY.exec(entry);
      if (match === null) return [];
      const [modId, cmdId, nodesAfter, nodesBefore, seconds] = match.slice(1).map(Number);
      return [{ agent: address, modId, cmdId, nodesAfter, nodesBefore, heldMs: seconds * 1000 }];
    });
  });
}
