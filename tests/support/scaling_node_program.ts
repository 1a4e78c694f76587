// Shell. A program for tests that serves calls as a node of a module, and leaves when it is told to.

import { createServer, type ServerResponse } from "node:http";
import { register } from "../../api/register.ts";
import { runtime } from "../../reactor/runtime/mod.ts";
import { systemClock } from "../../reactor/time/system_clock.ts";

const [discovery, modId, port, serviceMs, slots] = runtime.args;
const waiting: ServerResponse[] = [];
let free = Number(slots);

function serve(): void {
  while (free > 0 && waiting.length > 0) {
    const response = waiting.shift();
    free--;
    systemClock.setTimer(Number(serviceMs), () => {
      free++;
      response?.end("served\n");
      serve();
    });
  }
}

const server = createServer((_request, response) => {
  waiting.push(response);
  serve();
});
await new Promise<void>((resolve) => server.listen(Number(port), "127.0.0.1", () => resolve()));
const node = await register({
  ...{ discovery: [discovery], modId: Number(modId), cmdId: 1, port: Number(port) },
  ...{ ttlMs: 5_000, createModule: true, ip: "127.0.0.1" },
});
await new Promise<void>((resolve) => void runtime.onSignal("SIGTERM", () => resolve()));
// Told to stop is told that nobody uses it: it goes at once, and whoever is wrong sees it.
server.close();
await node.close({ limitMs: 0 });
