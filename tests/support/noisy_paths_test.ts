// Paths that harm what they carry do so as often as they are told, and lose nothing when they are not.

import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { test } from "node:test";
import { seededRng } from "../../reactor/time/rng.ts";
import { NO_NOISE, NoisyDatagrams, NoisyStreams } from "./noisy_paths.ts";
import { until } from "./until.ts";
import { frameBytes, WireConnection, WireServer } from "./wire_client.ts";

test("a path of datagrams loses, doubles and damages its share, and carries the rest", async () => {
  const echo = createSocket("udp4");
  await new Promise<void>((resolve) => echo.bind(0, "127.0.0.1", () => resolve()));
  echo.on("message", (bytes: Uint8Array, { port }) => echo.send(bytes, port, "127.0.0.1"));
  const path = await NoisyDatagrams.open("127.0.0.1", echo.address().port, seededRng(1));
  const asker = createSocket("udp4");
  let [whole, damaged] = [0, 0];
  asker.on("message", (bytes: Uint8Array) => {
    if (bytes.every((byte) => byte === 7)) whole++;
    else damaged++;
  });
  const ask = async (count: number): Promise<void> => {
    const before = path.counts.carried;
    for (let i = 0; i < count; i++) asker.send(new Uint8Array(20).fill(7), path.port, "127.0.0.1");
    await until(() => path.counts.carried >= before + count, { what: "datagrams" });
  };
  await ask(100);
  await until(() => whole === 100, { what: "each to come back" });
  path.noise = { loss: 0.2, duplicate: 0.1, corrupt: 0.1, delayMs: 5, jitterMs: 5 };
  await ask(300);
  const { counts } = path;
  await until(() => counts.carried > 400 && whole + damaged > 200, { what: "some answers" });
  assert.ok(counts.lost > 30 && counts.lost < 200, `${counts.lost} lost`);
  assert.ok(counts.doubled > 10 && counts.doubled < 120, `${counts.doubled} doubled`);
  assert.ok(damaged > 5, `${damaged} damaged`);
  path.close();
  asker.close();
  echo.close();
});

test("a path of connections carries in order, is cut one way, and ends what lost something", async () => {
  const server = await WireServer.open(() => {});
  const path = await NoisyStreams.open(server.port, seededRng(2));
  const client = await WireConnection.open(path.port);
  await until(() => server.connections.length === 1, { what: "a connection" });
  const [accepted] = server.connections;
  path.noise = { ...NO_NOISE, delayMs: 3, jitterMs: 3 };
  for (let i = 0; i < 50; i++) client.send(i, Uint8Array.of(i));
  await until(() => accepted.frames.length === 50, { what: "all frames" });
  assert.deepEqual(accepted.frames.map(({ msgId }) => msgId), [...Array(50).keys()]);
  path.cut("to server");
  client.sendRaw(frameBytes(60, Uint8Array.of(1)));
  accepted.send(61, Uint8Array.of(1));
  await until(() => client.frames.some(({ msgId }) => msgId === 61), { what: "the other way" });
  assert.equal(accepted.frames.length, 50);
  path.cut("none");
  await client.untilEnded();
  await accepted.untilEnded();
  await path.close();
  await server.close();
});
