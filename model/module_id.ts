// Core. One value that names a module: the key of every map over modules.

import type { ModuleKey } from "./keys.ts";

/**
 * `modId * 2^32 + cmdId` while that is exact, else the text `"modId,cmdId"`. Maps find numbers
 * several times faster than fresh texts, and modIds from 2^21 up are rare.
 */
export type ModuleId = number | string;

/** Below this modId both numbers fit the 53 bits of a number. */
const NUMBER_MOD_ID_END = 2 ** 21;

/** The id of a module. */
export function moduleId(modId: number, cmdId: number): ModuleId {
  return modId < NUMBER_MOD_ID_END ? modId * 0x1_0000_0000 + cmdId : `${modId},${cmdId}`;
}

/** The module that {@linkcode moduleId} named. */
export function moduleOf(id: ModuleId): ModuleKey {
  if (typeof id === "number") {
    return { modId: Math.floor(id / 0x1_0000_0000), cmdId: id % 0x1_0000_0000 };
  }
  const comma = id.indexOf(",");
  return { modId: Number(id.slice(0, comma)), cmdId: Number(id.slice(comma + 1)) };
}
