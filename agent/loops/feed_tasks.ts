// Core. What in-process clients do, carried over to the balancer of their shard.

import type { RouteLb } from "../../balancer/mod.ts";
import { agentPortIndex } from "../../proto/message_ids.ts";
import type { ModuleCalls } from "../../proto/codec.ts";
import type { AgentTask } from "./loop_messages.ts";
import type { ModuleKey } from "../../model/module.ts";

/** Tasks that come from the feed. */
export type FeedTask = Extract<AgentTask, { type: "use" | "calls" }>;

/** Does a task on the balancer of its shard; nothing when the shard is elsewhere. */
export function applyFeedTask(lb: RouteLb | undefined, task: FeedTask, nowMs: number): void {
  if (lb === undefined) return;
  if (task.type === "use") {
    for (const { modId, cmdId } of task.keys) lb.use(modId, cmdId, nowMs);
    return;
  }
  for (const { modId, cmdId, nodes } of task.modules) {
    for (const node of nodes) lb.reportCalls(modId, cmdId, node.ip, node.port, node, nowMs);
  }
}

/** One task for each shard that has some of the modules. */
function byShard<T extends ModuleKey>(
  modules: readonly T[],
  toTask: (shard: number, modules: T[]) => FeedTask,
): FeedTask[] {
  const shards = new Map<number, T[]>();
  for (const module of modules) {
    const shard = agentPortIndex(module.modId, module.cmdId);
    const some = shards.get(shard);
    if (some === undefined) shards.set(shard, [module]);
    else some.push(module);
  }
  return [...shards].map(([shard, some]) => toTask(shard, some));
}

/** Tasks that mark modules as used. */
export function useTasks(keys: readonly ModuleKey[]): FeedTask[] {
  const plain = keys.map(({ modId, cmdId }) => ({ modId, cmdId }));
  return byShard(plain, (shard, some) => ({ type: "use", shard, keys: some }));
}

/** Tasks that count calls. */
export function callTasks(modules: readonly ModuleCalls[]): FeedTask[] {
  return byShard(modules, (shard, some) => ({ type: "calls", shard, modules: some }));
}
