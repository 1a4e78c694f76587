// Shell. A caller in a zone: asks the agent beside it, calls the node that it gets, and tells how it
// went, in one line of JSON a second.
//
//     zone_caller.ts AGENT_PORT MODID CMDID

import { connect } from "node:net";
import process from "node:process";
import { formatIpv4 } from "../../reactor/address.ts";
import { WireCaller } from "./wire_client.ts";

const [port, modId, cmdId] = process.argv.slice(2).map(Number);
/** Time that a node has to take a call. */
const CALL_MS = 100;

/** Whether a node takes a connection. */
function call(host: string, nodePort: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port: nodePort });
    const end = (isWell: boolean): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(isWell);
    };
    const timer = setTimeout(() => end(false), CALL_MS);
    socket.once("connect", () => end(true)).once("error", () => end(false));
  });
}

const caller = await WireCaller.open(port);
await caller.untilHost(modId, cmdId);
let counts = { asked: 0, unanswered: 0, calls: {} as Record<string, number>, failed: 0 };
setInterval(() => {
  console.log(JSON.stringify(counts));
  counts = { asked: 0, unanswered: 0, calls: {}, failed: 0 };
}, 1000);
for (;;) {
  counts.asked++;
  try {
    const { retCode, host } = await caller.getHost(modId, cmdId, 500);
    if (retCode !== 0 || host === undefined) counts.unanswered++;
    else {
      const name = formatIpv4(host.ip);
      const isWell = await call(name, host.port);
      caller.report(modId, cmdId, host, isWell ? 0 : 1);
      if (isWell) counts.calls[name] = (counts.calls[name] ?? 0) + 1;
      else counts.failed++;
    }
  } catch {
    counts.unanswered++;
  }
  await new Promise((resolve) => setTimeout(resolve, 10));
}
