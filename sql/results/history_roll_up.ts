// Core. Sums whole minutes and hours of the history up, and deletes what is past its time.

import type { SchemaShape } from "../schema/schema_shape.ts";
import type { Dialect, Script } from "../drivers/sql_script.ts";
import { HISTORY_STEPS_S, type RollUpOptions, type RollUpResult } from "./call_history.ts";
import {
  beginWindowScript,
  deleteOldBucketsScript,
  endWindowScript,
  noteRetentionScript,
  sumSliceScript,
} from "./history_scripts.ts";

/** One transaction of a roll-up; others get their turn after it. */
type RollUpPart = <T>(script: (shape: SchemaShape) => Script<T>) => Promise<T>;

async function rollUpWindow(
  dialect: Dialect,
  step: 60 | 3600,
  options: RollUpOptions,
  part: RollUpPart,
): Promise<boolean> {
  const window = await part((shape) => beginWindowScript(dialect, shape, step, options));
  if (window === undefined) return false;
  for (const slice of window.slices) {
    await part((shape) => sumSliceScript(dialect, shape, window, slice));
  }
  await part(() => endWindowScript(window));
  return true;
}

/** See `rollUpCallHistory` of the store. */
export async function rollUpHistory(
  dialect: Dialect,
  options: RollUpOptions,
  part: RollUpPart,
): Promise<RollUpResult> {
  let windowCount = 0;
  let deletionCount = 0;
  for (const step of [60, 3600] as const) {
    while (await rollUpWindow(dialect, step, options, part)) windowCount++;
  }
  for (const step of HISTORY_STEPS_S) {
    while (await part((shape) => deleteOldBucketsScript(dialect, shape, step, options))) {
      deletionCount++;
    }
  }
  await part((shape) => noteRetentionScript(shape, options));
  return { windowCount, deletionCount };
}
