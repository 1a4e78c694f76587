import assert from "node:assert/strict";
import { createServer, type Server } from "node:net";
import { test } from "node:test";
import { connectionBudget } from "./tcp_server.ts";
import { listenWithin } from "./waiting_places.ts";

const listen = (server: Server, port: number): Promise<number> =>
  new Promise((resolve, reject) => {
    server.once("error", reject);
    listenWithin(server, { hostname: "127.0.0.1", port }, () => {
      server.removeListener("error", reject);
      resolve((server.address() as { port: number }).port);
    });
  });

const close = (server: Server): Promise<void> =>
  new Promise((resolve) => void server.close(() => resolve()));

test("each port of node:net takes its share of all connections while it is open", async () => {
  const before = connectionBudget.max;
  const [first, second, third] = [createServer(), createServer(), createServer()];
  const port = await listen(first, 0);
  const one = before - connectionBudget.max;
  assert.ok(before === Infinity || one > 0, `${one}`);
  await listen(second, 0);
  if (before !== Infinity) assert.equal(before - connectionBudget.max, 2 * one);
  await assert.rejects(listen(third, port), "it is taken");
  if (before !== Infinity) assert.equal(before - connectionBudget.max, 2 * one);
  await Promise.all([close(first), close(second)]);
  assert.equal(connectionBudget.max, before);
});
