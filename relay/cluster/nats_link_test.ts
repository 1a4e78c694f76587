import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { test } from "node:test";
import { silentLogger } from "../../reactor/log.ts";
import { systemClock } from "../../reactor/time/system_clock.ts";
import { NatsLink } from "./nats_link.ts";

/** What a server says first that knows no TLS. */
const PLAIN_INFO = {
  ...{ server_id: "x", version: "2.10.0", proto: 1, headers: true, max_payload: 1_048_576 },
};

test("a server that is to be reached over TLS and has none is told no secret", {
  timeout: 60_000,
}, async () => {
  const sockets = new Set<Socket>();
  let heard = "";
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => undefined);
    socket.on("data", (data) => {
      heard += data.toString();
      if (heard.includes("PING")) socket.write("PONG\r\n");
    });
    socket.write(`INFO ${JSON.stringify(PLAIN_INFO)}\r\n`);
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const { promise: ended, resolve: end } = Promise.withResolvers<string>();
  const link = new NatsLink({
    ...{ servers: [`tls://127.0.0.1:${port}`], secret: "secret-of-relays", caFile: undefined },
    ...{ prefix: "lars", isStore: false, replicas: 1, clock: systemClock },
    log: {
      ...silentLogger,
      info: (message) => end(message),
      warn: (message, fields) => end(`${message}: ${String(fields?.error)}`),
    },
  });
  try {
    assert.match(await ended, /^The NATS server cannot be reached: .*tls/i);
    assert.ok(!heard.includes("secret"), heard);
  } finally {
    await link.close();
    for (const socket of sockets) socket.destroy();
    server.close();
  }
});
