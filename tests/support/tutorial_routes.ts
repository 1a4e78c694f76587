// Core. Routes of the original's tutorial, and one module on this machine, for tests that look at them.

import { parseIpv4 } from "../../reactor/address.ts";
import type { RouteEdit } from "../../sql/store.ts";

const NODES: readonly (readonly [modId: number, cmdId: number, ip: string, port: number])[] = [
  [1, 1, "192.168.1.177", 7777],
  [1, 2, "192.168.1.178", 7776],
  [1, 2, "192.168.1.179", 7778],
  [1, 2, "192.168.1.180", 7779],
  [2, 1, "127.0.0.1", 9001],
  [2, 1, "127.0.0.1", 9002],
  [2, 1, "127.0.0.1", 9003],
];

/** The edits that add them to an empty route table. */
export function tutorialEdits(): RouteEdit[] {
  return NODES.map(([modId, cmdId, ip, port]): RouteEdit => ({
    op: "add",
    modId,
    cmdId,
    ip: parseIpv4(ip),
    port,
  }));
}
