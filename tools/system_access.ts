// Shell. The system as commands see it: its database, or a console by its REST interface.

import type { EventQuery, EventRecord } from "../sql/results/event.ts";
import type { EditOptions, ModuleChange, ModuleRow, RouteEdit, RouteRow } from "../sql/store.ts";
import type { ResponseOf, Role } from "../web/contract.ts";
import { ConsoleClient, type ServerFlags } from "./console_client.ts";
import type { EditFlags, EditOutcome } from "./route_edit.ts";
import { withStore } from "./store_access.ts";
import type { ModuleKey } from "../model/module.ts";
import type { NodeAddress } from "../model/node.ts";

export { addServerOption } from "./console_client.ts";

/** Options of commands that work on a database or through a console. */
export type SystemFlags = ServerFlags;

/** How the system is, for people. */
export type Report = ResponseOf<"getReport">;
/** What the database holds, in numbers. */
export type StoreFacts = Report["store"];
/** Counters of every node. */
export type Counters = ResponseOf<"getCounters">;
/** How agents use a node. */
export type NodeUse = ResponseOf<"getNodeUse">;
/** Who has reported calls of a node. */
export type NodeCallers = ResponseOf<"getNodeCallers">;
/** A user of the console. */
export type UserView = ResponseOf<"listUsers">["users"][number];

/** Who may log in to the console. */
export interface UserAccess {
  list(): Promise<UserView[]>;
  /** The one-time password. */
  add(name: string, role: Role): Promise<string>;
  /** The new one-time password. */
  reset(name: string): Promise<string>;
  remove(name: string): Promise<void>;
}

/** What commands need of a system, wherever it is. */
export interface SystemAccess {
  /** All routes, or those of one module. */
  read(module?: ModuleKey): Promise<RouteRow[]>;
  /** The rows of one node, in whichever modules have it. */
  readNode(node: NodeAddress): Promise<RouteRow[]>;
  /** Applies all edits or none; every dns is told. */
  edit(
    edits: readonly RouteEdit[],
    flags: EditFlags,
    options?: EditOptions,
  ): Promise<EditOutcome>;
  /** Says that a route is meant as it is. */
  confirm(module: ModuleKey, flags: EditFlags): Promise<EditOutcome>;
  /** Name and policy of one module; both empty when it has none. */
  module(module: ModuleKey): Promise<ModuleRow>;
  /** All modules with a name or a policy. */
  modules(): Promise<ModuleRow[]>;
  /** Sets names and policies, all or none; every dns is told. */
  setModules(changes: readonly ModuleChange[], flags: EditFlags): Promise<EditOutcome>;
  /** What the database holds. */
  facts(): Promise<StoreFacts>;
  /** How the system is. */
  report(): Promise<Report>;
  /** Counters of every node. */
  counters(): Promise<Counters>;
  /** Events, as `Store.readEvents` gives them. */
  readEvents(query?: EventQuery): Promise<EventRecord[]>;
  /** Asks every dns how its agents use a node in these modules. */
  nodeUse(node: NodeAddress, modules: readonly ModuleKey[]): Promise<NodeUse>;
  /** Who reported calls of a node within the last seconds. */
  nodeCallers(
    node: NodeAddress,
    modules: readonly ModuleKey[],
    withinS: number,
  ): Promise<NodeCallers>;
  readonly users: UserAccess;
  /** Ends whatever is under way; it fails. */
  close(): Promise<void>;
}

/**
 * Opens the database, or looks at the console that `--server` names, for `fn`.
 *
 * @throws {CommandError} when there is neither; what `fn` throws.
 */
export async function withSystem<T>(
  flags: SystemFlags & Partial<EditFlags>,
  fn: (system: SystemAccess) => Promise<T>,
): Promise<T> {
  const client = await ConsoleClient.of(flags);
  if (client !== undefined) {
    const { ServerSystem } = await import("./server_system.ts");
    return await closing(new ServerSystem(client), fn);
  }
  return await withStore(flags, async (store) => {
    const { StoreSystem } = await import("./store_system.ts");
    return await closing(new StoreSystem(store, flags), fn);
  });
}

async function closing<T>(
  system: SystemAccess,
  fn: (system: SystemAccess) => Promise<T>,
): Promise<T> {
  try {
    return await fn(system);
  } finally {
    await system.close();
  }
}
