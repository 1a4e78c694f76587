// Shell. A program for tests that is a node, or several, until it is ended.

import { register } from "../../api/register.ts";
import { runtime } from "../../reactor/runtime/mod.ts";

const [discovery, modId, ttlMs, ...ports] = runtime.args;
const nodes = await Promise.all(ports.map((port) =>
  register({
    ...{ discovery: discovery.split(","), modId: Number(modId), cmdId: 1, port: Number(port) },
    ...{ ttlMs: Number(ttlMs), createModule: true, ip: "127.0.0.1" },
  })
));
// On a bad network that takes longer than register() waits.
for (const node of nodes) while (node.state === "connecting") await node.changed(1000);
runtime.writeStdout(`${nodes.map(({ state }) => state).join(" ")}\n`);
// It lives until it is killed.
await new Promise<void>((resolve) => void runtime.onSignal("SIGTERM", () => resolve()));
await Promise.all(nodes.map((node) => node.close({ limitMs: 0 })));
