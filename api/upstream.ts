// Core. Where an in-process client has its routes from and tells its results to.

import type { ModuleReport } from "../balancer/routes/route_records.ts";
import type { RouteNode } from "../model/node.ts";
import type { NodeUsage, NodeUseRequest } from "../proto/codec.ts";
import type { Link } from "../session/link.ts";
import type { CallLedger } from "./call_ledger.ts";

/** What an upstream tells its client. */
export interface UpstreamEvents {
  /** Routes can be asked for over a new connection, which knows of no subscription yet. */
  onReady(): void;
  /** The connection is lost; questions are dropped until `onReady`. */
  onLost(): void;
  /** Something came from the source of routes, so that what it sent before is still true. */
  onHeard(): void;
  /** Dns asks whether this program still uses a node. */
  onNodeUse(request: NodeUseRequest): NodeUsage;
  /** By what rules the agent judges, as JSON, and where it stands. */
  onSettings(rules: string, zone: string): void;
  /** Nodes that may be picked by the last good route of a module; 0 when there is none. */
  pickableCount(modId: number, cmdId: number): number;
  /**
   * A route, asked for or changed: its nodes, undefined = those before stay, and the JSON of the
   * module's policy: "" = none, undefined = a dns of the original, which knows none.
   */
  onRoute(
    modId: number,
    cmdId: number,
    nodes: readonly RouteNode[] | undefined,
    policy: string | undefined,
  ): void;
}

/** Counters of an upstream. */
export interface UpstreamStats {
  /** Connections made. */
  readonly connects: number;
  /** Nodes with results that have not been sent, or not been confirmed. */
  readonly resultsPending: number;
  /** Calls whose outcome was dropped because too many nodes waited. */
  readonly resultsDropped: number;
  /** Messages with results that were sent. */
  readonly batches: number;
}

/** The way of an in-process client to the rest of the system. */
export interface Upstream {
  /** Where routes come from while it is ready. */
  readonly source: Pick<Link, "ready" | "address" | "fault">;
  readonly stats: UpstreamStats;
  start(): void;
  /** Asks for a route and its changes; dropped while there is no connection. */
  ask(modId: number, cmdId: number): void;
  /** The route is wanted no more. */
  forget(modId: number, cmdId: number): void;
  /** Takes each reported call; undefined for an upstream that is told what became of nodes. */
  readonly calls: Pick<CallLedger, "add"> | undefined;
  /** What the client's own balancer has to report; for an upstream that does not judge. */
  addReports(reports: readonly ModuleReport[]): void;
  /**
   * Sends what is due. Called about ten times a second.
   *
   * @param settled Every route the client holds has come over this connection too.
   */
  tick(nowMs: number, settled: boolean): void;
  /** Sends what waits, as far as that can be done soon, and closes. */
  close(): Promise<void>;
}
