// Shell. Finds out where the table of picks is to lie, with the groups that this host knows.

import { messageOf } from "../../reactor/errors.ts";
import { runtime } from "../../reactor/runtime/mod.ts";
import type { AgentSettings } from "../config.ts";
import type { SharedTablePlace } from "../worker/messages.ts";
import { isGroupName, tablePlace } from "./table_place.ts";

/** The place of the table of an agent; undefined: none is wanted; a text: why there can be none. */
export async function findTablePlace(
  settings: AgentSettings,
  firstPort: number,
): Promise<SharedTablePlace | string | undefined> {
  if (settings.sharedTable === "") return undefined;
  if (settings.threads === "3") return "with threads = 3 it has no one writer";
  try {
    const groups = isGroupName(settings.sharedTableGroup)
      ? await runtime.readTextFile("/etc/group")
      : "";
    return tablePlace(settings, firstPort, groups);
  } catch (error) {
    return messageOf(error);
  }
}
