// Core. Events as lines, and the last minutes of calls in one line.

import { type NameMap, withNames } from "../model/module_words.ts";
import { formatIpv4, parseIpv4 } from "../reactor/address.ts";
import type { EventRecord } from "../sql/results/event.ts";
import { eventSeverity } from "../control/system/severity.ts";
import { parseStoredNodeAddress } from "./cli_arguments.ts";
import type { EventView } from "../control/schemas.ts";

export { EventFollower } from "../control/reports/event_follower.ts";

/** An event of a console as the database has it. */
export function eventOf(row: EventView): EventRecord {
  const { id, atMs, kind, modId, cmdId, node, host, text, detail } = row;
  return {
    id,
    atMs,
    kind,
    ...(modId === null || cmdId === null ? {} : { module: { modId, cmdId } }),
    ...(node === null ? {} : { node: parseStoredNodeAddress(node) }),
    ...(host === null ? {} : { host: parseIpv4(host) }),
    text,
    detail: detail ?? {},
  };
}

/**
 * One event as one line, with the time in UTC.
 *
 * @param names Of modules, put beside their numbers, as events are stored with numbers alone.
 */
export function eventLine(event: EventRecord, names: NameMap = new Map()): string {
  const time = new Date(event.atMs).toISOString().replace("T", " ").slice(0, 19);
  // What others wrote must not move the cursor of a terminal.
  // deno-lint-ignore no-control-regex -- control characters are what is meant
  const text = withNames(names, event.text).replace(/[\u0000-\u001f\u007f-\u009f]/g, " ");
  return `${time}  ${event.kind.padEnd(14)}  ${text}`;
}

/** An event as one JSON value, under names for programs. */
export function eventJson(event: EventRecord): Record<string, unknown> {
  const { id, atMs, kind, module, node, host, text, detail } = event;
  return {
    id,
    at: new Date(atMs).toISOString(),
    kind,
    severity: eventSeverity(kind, detail),
    ...(module === undefined ? {} : { modid: module.modId, cmdid: module.cmdId }),
    ...(node === undefined ? {} : { ip: formatIpv4(node.ip), port: node.port }),
    ...(host === undefined ? {} : { host: formatIpv4(host) }),
    text,
    detail,
  };
}
