// Core. Where the table of picks lies and who may read it, by the configuration.

import type { SharedTablePlace } from "../worker/messages.ts";

/** Stands for the first UDP port in the path of the configuration. */
const PORT_WORD = "PORT";

/** Readable for its group, writable for the agent alone. */
export const TABLE_MODE = 0o640;

/** What the configuration says of the table. */
export interface TablePlaceSettings {
  /** Empty: none. */
  readonly sharedTable: string;
  /** Name or number; empty: that of the agent. */
  readonly sharedTableGroup: string;
}

/** The path of the table of an agent; "" = it keeps none. */
export function tablePath(
  { sharedTable }: Pick<TablePlaceSettings, "sharedTable">,
  firstPort: number,
): string {
  return sharedTable.replaceAll(PORT_WORD, String(firstPort));
}

/**
 * The place of the table.
 *
 * @param groups Text of `/etc/group`, wanted only where a group has a name.
 * @throws {RangeError} when there is no such group.
 */
export function tablePlace(
  settings: TablePlaceSettings,
  firstPort: number,
  groups: string,
): SharedTablePlace {
  const path = tablePath(settings, firstPort);
  return { path, mode: TABLE_MODE, group: groupNumber(settings.sharedTableGroup, groups) };
}

/** True for a group that is looked up by its name. */
export function isGroupName(group: string): boolean {
  return group !== "" && !/^\d+$/.test(group);
}

function groupNumber(group: string, groups: string): number | undefined {
  if (group === "") return undefined;
  if (!isGroupName(group)) return Number(group);
  for (const line of groups.split("\n")) {
    const [name, , number] = line.split(":");
    if (name === group && /^\d+$/.test(number ?? "")) return Number(number);
  }
  throw new RangeError(`[agent] shared_table_group: there is no group "${group}" in /etc/group`);
}
