// Core. Which change drained a node in which module, so that taking it back takes back no more.

import { type ModuleKey, moduleText } from "../../model/module.ts";
import { addressText, type NodeAddress } from "../../model/node.ts";
import type { ChangeLog } from "../system_access.ts";
import type { ChangeDetail, ChangeSummary } from "../schemas.ts";

/** Changes of one module that are looked through for the one that drained a node. */
export const CHANGES_LOOKED_AT_MAX = 100;

/** A module in which a node drains, and the change that made it so. */
export interface DrainedModule extends ModuleKey {
  /** Undefined when the history does not know: another program did it, or it was long ago. */
  readonly change: ChangeSummary | undefined;
}

/** What taking a drain back concerns. */
export interface DrainUndoing {
  /** Modules in which the node gets calls again. */
  readonly undone: readonly DrainedModule[];
  /** Modules in which it stays drained, as another change than that one drained it there. */
  readonly left: readonly DrainedModule[];
}

/** Finds out which change drained the node in each of some modules, where it drains now. */
export async function findDrains(
  history: ChangeLog,
  node: NodeAddress,
  modules: readonly ModuleKey[],
): Promise<DrainedModule[]> {
  const details = new Map<number, ChangeDetail>();
  const detailOf = async (id: number): Promise<ChangeDetail> => {
    const detail = details.get(id) ?? await history.detail(id);
    details.set(id, detail);
    return detail;
  };
  const found: DrainedModule[] = [];
  for (const { modId, cmdId } of modules) {
    const filter = { modId, cmdId, limit: CHANGES_LOOKED_AT_MAX };
    const changes = await history.changes(filter);
    let change: ChangeSummary | undefined;
    for (const one of changes) {
      const became = becameOf(await detailOf(one.id), node, { modId, cmdId });
      if (became === undefined) continue;
      if (became === "drained") change = one;
      break;
    }
    found.push({ modId, cmdId, change });
  }
  return found;
}

/** What a change made of the node's state in a module; undefined when it left it as it was. */
function becameOf(
  { nodes }: ChangeDetail,
  node: NodeAddress,
  module: ModuleKey,
): "drained" | "else" | undefined {
  const key = moduleText(module);
  const name = addressText(node);
  const own = nodes.find((one) => moduleText(one) === key && `${one.ip}:${one.port}` === name);
  if (own === undefined || own.before?.state === own.after?.state) return undefined;
  return own.after?.state === "drain" ? "drained" : "else";
}

/**
 * The modules that the latest drain took the node out of, and those that it found so already.
 *
 * @returns undefined when nobody can say: no change is known, and there are several modules.
 */
export function chooseUndoing(modules: readonly DrainedModule[]): DrainUndoing | undefined {
  const ids = modules.flatMap(({ change }) => change?.id ?? []);
  if (ids.length === 0) return modules.length > 1 ? undefined : { undone: modules, left: [] };
  const latest = Math.max(...ids);
  return {
    undone: modules.filter(({ change }) => change?.id === latest),
    left: modules.filter(({ change }) => change?.id !== latest),
  };
}
