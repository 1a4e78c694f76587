import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { natsSyncOf, readNatsSync } from "./nats_monitor.ts";

const MONITOR = "http://127.0.0.1:8222";

test("readNatsSync(): what servers of 2.10 and 2.9 say of their disk", () => {
  const of = (config: unknown): unknown => {
    const { isAlways, text } = readNatsSync(MONITOR, JSON.stringify({ config }));
    return [isAlways, text];
  };
  assert.deepEqual(of({ sync_interval: 120e9, sync_always: true }), [
    true,
    "before it acknowledges",
  ]);
  assert.deepEqual(of({ sync_interval: 120e9 }), [false, "every 120 s"]);
  assert.deepEqual(of({ max_memory: 1 }), [false, "now and then"]);
  assert.throws(() => readNatsSync(MONITOR, '{"disabled":true}'), /no JetStream/);
  assert.throws(() => readNatsSync(MONITOR, "null"), /no JetStream/);
});

test("natsSyncOf() never fails, whatever answers", { timeout: 60_000 }, async () => {
  const answers = ['{"config":{"sync_always":true}}', "no JSON", "x".repeat(200_000)];
  const server = createServer((request, response) => {
    const index = Number(request.url?.[1]);
    response.statusCode = index === 3 ? 500 : 200;
    response.end(answers[index] ?? "{}");
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const ask = async (index: number): Promise<unknown> => {
    const { isAlways, text } = await natsSyncOf(`http://127.0.0.1:${port}/${index}`);
    return [isAlways, text];
  };
  assert.deepEqual(await ask(0), [true, "before it acknowledges"]);
  for (const index of [1, 2, 3]) {
    const [isAlways, text] = await ask(index) as [boolean | undefined, string];
    assert.equal(isAlways, undefined);
    assert.match(text, /^it cannot be asked: /);
  }
  server.closeAllConnections();
  server.close();
  const away = await natsSyncOf(`http://127.0.0.1:${port}`);
  assert.equal(away.isAlways, undefined);
});
