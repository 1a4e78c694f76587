// Core. The one vocabulary of the agent's threads: what a worker starts with, the tasks that the
// supervisor gives it, and the notes it sends back, whatever carries them.

import type {
  BalanceSettings,
  ModuleReport,
  RouteLbStats,
  StateChange,
} from "../../balancer/mod.ts";
import type { ModuleCalls, NodeUsage } from "../../proto/codec.ts";
import type { HealthVerdict } from "../health/health_plan.ts";
import type { BatchStats } from "./outcome_batches.ts";
import type { PackedRoute } from "../routes/packed_route.ts";
import type { ModuleKey } from "../../model/module.ts";
import type { LogFields, Logger } from "../../reactor/log.ts";
import type { Clock } from "../../reactor/time/clock.ts";

/** One port and the modules behind it. */
export interface ShardInit {
  /** 0 to 2: the port's offset from the first. */
  readonly index: number;
  readonly port: number;
  /** A socket of this port that is there already; only the fast path can serve it. */
  readonly fd?: number;
  /** Routes of the last run, to serve with until dns answers. */
  readonly preload: readonly PackedRoute[];
}

/** What a worker starts with. */
export interface WorkerInit {
  readonly hostname: string;
  readonly shards: readonly ShardInit[];
  readonly settings: BalanceSettings;
  /** Of each shard. */
  readonly modulesMax: number;
  /** Burst and rate of pulls of modules without nodes, of each shard. */
  readonly pullsBurstMax: number;
  readonly pullsPerSecondMax: number;
  /** Secrets with one of which datagrams from beyond loopback must be sealed. */
  readonly secrets: readonly Uint8Array[] | undefined;
  readonly software: string;
  /** Where this host stands; "" = nowhere. */
  readonly zone: string;
  /** The table of picks for callers that map it, where one worker has all shards. */
  readonly sharedTable?: SharedTablePlace | undefined;
}

/** Where the table of picks lies, and who may read it. */
export interface SharedTablePlace {
  readonly path: string;
  readonly mode: number;
  /** Number of a group; undefined: that of the process. */
  readonly group: number | undefined;
}

/** Counters of the main thread as its status shows them. */
export type StatusDetail = Readonly<Record<string, number | string>>;

/** From the supervisor to a worker. */
export type AgentTask =
  /** Dns gave a route. */
  | { readonly type: "route"; readonly shard: number; readonly route: PackedRoute }
  /** Dns gave the route that the shard has. */
  | {
    readonly type: "confirm";
    readonly shard: number;
    readonly modId: number;
    readonly cmdId: number;
  }
  /** In-process clients use these modules of the shard. */
  | { readonly type: "use"; readonly shard: number; readonly keys: readonly ModuleKey[] }
  /** Outcomes of calls that in-process clients made. */
  | { readonly type: "calls"; readonly shard: number; readonly modules: readonly ModuleCalls[] }
  /** What a health check says of a node. */
  | { readonly type: "health"; readonly shard: number; readonly verdict: HealthVerdict }
  /** Does the shard still use this node? Answered by a note with the same id. */
  | {
    readonly type: "nodeUse";
    readonly shard: number;
    readonly id: number;
    readonly modId: number;
    readonly cmdId: number;
    readonly ip: number;
    readonly port: number;
  }
  /** Why is which node of a module picked? Answered by a note with the same id. */
  | {
    readonly type: "explain";
    readonly shard: number;
    readonly id: number;
    readonly modId: number;
    readonly cmdId: number;
    /** First node wanted, counted from 0. */
    readonly from: number;
  }
  /** There is no connection to dns, as at the start: ask for nothing. */
  | { readonly type: "offline" }
  /** The connection to dns is new: ask for everything. */
  | { readonly type: "resubscribe" }
  | { readonly type: "settings"; readonly settings: BalanceSettings }
  /** Accept those who connect here, and note each; for one worker of the fast path. */
  | { readonly type: "watch"; readonly fd: number }
  /** The secrets have changed; as plain numbers, because tasks pass as JSON. */
  | { readonly type: "secrets"; readonly secrets: readonly (readonly number[])[] }
  /** What answers to Hello tell of the main thread and of all shards. */
  | { readonly type: "status"; readonly status: StatusDetail; readonly shards: ShardStats[] };

/** A task for one shard. */
export type ShardTask = AgentTask & { readonly shard: number };

/** A shard asks for a route, or has forgotten one it had asked for. */
export interface ModuleEvent {
  readonly kind: "pull" | "forget";
  readonly shard: number;
  readonly modId: number;
  readonly cmdId: number;
}

/** Counters of one shard. */
export interface ShardStats extends RouteLbStats, BatchStats, Partial<TableCounts> {
  readonly shard: number;
  datagramsIn: number;
  datagramsOut: number;
  /** Answers the system would not send. */
  answersDropped: number;
  /** Datagrams that came while the socket had no room for them, where the system tells. */
  datagramsDropped: number;
  /** Programs that told of calls by the table of picks in the last minute. */
  tableReaders: number;
  /** Datagrams that are no message. */
  malformed: number;
  /** Datagrams with a message id that is not for an agent. */
  unknownIds: number;
  /** Datagrams from beyond loopback without a good seal. */
  refusedToken: number;
  /** Routes that did not fit the answer to a caller and were cut. */
  answersCut: number;
}

/** Counters of the table of picks, among those of the first shard. */
export interface TableCounts {
  /** Modules that callers can pick from it. */
  readonly tableModules: number;
  /** Modules for which it has no room. */
  readonly tableModulesLeftOut: number;
  readonly tableBytes: number;
  /** Times a larger file took the place of a full one. */
  readonly tableGrown: number;
}

/** From a worker to the supervisor. */
export type AgentNote =
  /** In the order in which they happened. */
  | { readonly type: "modules"; readonly events: ModuleEvent[] }
  | { readonly type: "reports"; readonly reports: ModuleReport[] }
  | { readonly type: "changes"; readonly changes: StateChange[] }
  | { readonly type: "stats"; readonly shards: ShardStats[] }
  | {
    readonly type: "nodeUse";
    readonly shard: number;
    readonly id: number;
    readonly usage: NodeUsage;
  }
  /** JSON of the explanation; empty: the shard does not know the module. */
  | { readonly type: "explained"; readonly id: number; readonly explanation: string }
  /** Somebody has connected to what is watched: with this descriptor. */
  | { readonly type: "knocked"; readonly fd: number }
  | {
    readonly type: "log";
    readonly level: keyof Logger;
    readonly message: string;
    readonly fields: Record<string, unknown> | undefined;
  };

/**
 * The status of the whole agent: its own entries, and the sums of what the shards count.
 */
export function mergeStatus(
  status: StatusDetail,
  shards: Iterable<ShardStats>,
): Record<string, number | string> {
  const merged: Record<string, number | string> = { ...status };
  for (const { shard: _shard, ...counts } of shards) {
    for (const [name, value] of Object.entries(counts)) {
      merged[name] = Number(merged[name] ?? 0) + value;
    }
  }
  return merged;
}

/** Workers that run, as the supervisor has them: on either carrier the same. */
export interface Workers {
  /** Which way datagrams take: many in a system call, or one by one through the runtime. */
  readonly path: "fast" | "portable";
  /** Tasks and notes that found no room between the threads. */
  readonly droppedCount: number;
  /** Gives a task to the worker of one shard; false when it had to be dropped. */
  send(shard: number, task: AgentTask): boolean;
  /** Gives a task to every worker. */
  broadcast(task: AgentTask): void;
  /** Descriptors of the ports, in their order; none on the portable path. */
  sockets?(): readonly number[];
  /** Stops serving; the last notes come before it resolves. */
  close(): Promise<void>;
}

/** How workers are started, on either carrier. */
export interface CarrierOptions {
  /** One worker for each. */
  readonly inits: readonly WorkerInit[];
  readonly clock: Clock;
  readonly log: Logger;
  onNote(note: AgentNote): void;
  /** A worker died; all must be closed and started anew. */
  onCrash(error: Error): void;
}

/** Time a worker has to hand over its last reports. */
export const WORKER_STOP_MS = 500;

/** The log of a worker: its lines are notes, because logging is set up on the main thread only. */
export function noteLogger(note: (note: AgentNote) => void): Logger {
  const line = (level: keyof Logger) => (message: string, fields?: LogFields): void =>
    note({ type: "log", level, message, fields });
  return { debug: line("debug"), info: line("info"), warn: line("warn"), error: line("error") };
}
