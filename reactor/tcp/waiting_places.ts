// Shell. Ports of node:net: how many connections wait in the kernel at each, within what all ports of
// the process have together.

import type { Server } from "node:net";
import { runtime } from "../runtime/mod.ts";
import { waitingMax } from "./connection_budget.ts";
import { connectionBudget } from "./tcp_server.ts";

/**
 * Has a server of `node:net` listen. Deno accepts all that wait before it closes any, and one for which
 * it has no descriptor is the last it accepts ever; so as many connections as may wait here are taken
 * from the budget of all until the port is closed, or could not be had.
 *
 * @param onListening Called once when the port is open; what fails before is an event `error`.
 */
export function listenWithin(
  server: Server,
  { hostname: host, port }: { readonly hostname: string; readonly port: number },
  onListening: () => void,
): void {
  const backlog = waitingMax(runtime.openFilesMax());
  // Linux lets one more wait than it is told.
  const giveBack = connectionBudget.reserve(backlog + 1);
  server.once("close", giveBack);
  server.once("error", giveBack);
  server.listen({ port, host, backlog }, () => {
    server.removeListener("error", giveBack);
    onListening();
  });
}
