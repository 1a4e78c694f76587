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
 * Who changed a node last.
 *
 * @param sinceMs Changes before are not looked at, by the clock of the database.
 * @returns undefined when nobody has changed it since.
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
    const isTouched = nodes.some((node) =>
      node.modId === modId && node.cmdId === cmdId && `${node.ip}:${node.port}` === name
    );
    if (isTouched) return who;
  }
  return undefined;
}
