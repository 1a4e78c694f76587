// Core. Whose drain of a node holds, by the history of changes.

import type { ChangeDetail, ChangeSummary } from "../control/schemas.ts";
import type { ModuleKey } from "../model/module.ts";

/** Changes of a module that are looked through, newest first. */
const CHANGES_MAX = 100;

/** The history of changes, as far as it is needed here. */
export interface PastChanges {
  changes(
    filter: { readonly modId: number; readonly cmdId: number; readonly limit: number },
  ): Promise<readonly ChangeSummary[]>;
  detail(id: number): Promise<ChangeDetail>;
}

/**
 * Who last said whether a node gets calls: also one who drained it again. Weight and zone are no word
 * on that.
 *
 * @param sinceMs Changes before are not looked at, by the clock of the database.
 * @returns undefined when nobody has said it since.
 * @throws {Error} what the history throws.
 */
export async function lastChangerOf(
  history: PastChanges,
  { modId, cmdId }: ModuleKey,
  name: string,
  sinceMs: number,
): Promise<string | undefined> {
  for (const { id, atMs, who } of await history.changes({ modId, cmdId, limit: CHANGES_MAX })) {
    if (atMs < sinceMs) return undefined;
    const { nodes } = await history.detail(id);
    const own = nodes.find((node) =>
      node.modId === modId && node.cmdId === cmdId && `${node.ip}:${node.port}` === name
    );
    if (own !== undefined && saysState(own)) return who;
  }
  return undefined;
}

function saysState({ before, after }: ChangeDetail["nodes"][number]): boolean {
  if (before === null || after === null) return true;
  return before.state !== after.state ||
    (before.weight === after.weight && before.zone === after.zone);
}
