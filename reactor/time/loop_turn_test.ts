import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, connect, createServer } from "node:net";
import { test } from "node:test";
import { loopTurn, systemClock } from "./system_clock.ts";

test("loopTurn(): connections are read between two pieces of long work", async () => {
  const server = createServer((socket) => void socket.on("error", () => {}).pipe(socket));
  await once(server.listen(0, "127.0.0.1"), "listening");
  let echoes = 0;
  const { port } = server.address() as AddressInfo;
  const client = connect(port, "127.0.0.1", () => client.write("x"));
  client.on("data", () => {
    echoes++;
    client.write("x");
  });
  for (let piece = 0; piece < 50; piece++) {
    const endMs = systemClock.nowMs() + 10;
    while (systemClock.nowMs() < endMs);
    await loopTurn();
  }
  const heard = echoes;
  client.destroy();
  server.close();
  assert.ok(heard >= 3, `${heard} echoes in 50 pieces`);
});
