// Shell. A framed TCP echo: ours, on either path, or one written plainly on `node:net`, with which it
// is compared.

import { Buffer } from "node:buffer";
import { createServer, type Socket } from "node:net";
import type { Address } from "../reactor/address.ts";
import { BatchLoop, serveLoop } from "../reactor/fast/batch_loop.ts";
import { BatchTcp } from "../reactor/fast/batch_tcp.ts";
import type { Clock } from "../reactor/time/clock.ts";
import { HEAD_BYTES } from "../reactor/frame.ts";
import { silentLogger } from "../reactor/log.ts";
import { LoopClock } from "../reactor/fast/loop_clock.ts";
import { MessageRouter } from "../reactor/message_router.ts";
import { runtime, type TcpTransport } from "../reactor/runtime/mod.ts";
import { systemClock } from "../reactor/time/system_clock.ts";
import { type Connection, TcpServer } from "../reactor/tcp/tcp_server.ts";
import { tellReady } from "./program.ts";

/** Room for the 10,000 of a measurement. */
const CONNECTIONS_MAX = 11_000;
const BACKLOG = 511;

function startOurs(clock: Clock, transport?: TcpTransport): Promise<Address> {
  const router = new MessageRouter<Connection>();
  router.add(1, (body, peer) => void peer.send(1, body));
  const server = new TcpServer({
    hostname: "127.0.0.1",
    port: 0,
    router,
    clock,
    transport,
    log: silentLogger,
    connectionsMax: CONNECTIONS_MAX,
  });
  return server.listen();
}

/** Serves until the process is ended. */
async function serveFast(): Promise<void> {
  const clock = new LoopClock(systemClock);
  const loop = new BatchLoop(() => systemClock.nowMs());
  tellReady([await startOurs(clock, new BatchTcp(loop))]);
  await serveLoop(loop, clock, () => true);
}

/** Cuts frames, and answers each with a frame of its own. */
function echo(socket: Socket): void {
  let held: Buffer | undefined;
  socket.setNoDelay(true);
  socket.on("error", () => socket.destroy());
  socket.on("data", (data: Buffer) => {
    const chunk = held === undefined ? data : Buffer.concat([held, data]);
    let at = 0;
    while (chunk.length - at >= HEAD_BYTES) {
      const bodyBytes = chunk.readInt32LE(at + 4);
      if (bodyBytes < 0) return void socket.destroy();
      const end = at + HEAD_BYTES + bodyBytes;
      if (end > chunk.length) break;
      const reply = Buffer.allocUnsafe(HEAD_BYTES + bodyBytes);
      reply.writeInt32LE(chunk.readInt32LE(at), 0);
      reply.writeInt32LE(bodyBytes, 4);
      chunk.copy(reply, HEAD_BYTES, at + HEAD_BYTES, end);
      socket.write(reply);
      at = end;
    }
    held = at === chunk.length ? undefined : chunk.subarray(at);
  });
}

function startNode(): Promise<Address> {
  const server = createServer(echo);
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen({ port: 0, host: "127.0.0.1", backlog: BACKLOG }, () => {
      const address = server.address();
      const port = address !== null && typeof address === "object" ? address.port : 0;
      resolve({ hostname: "127.0.0.1", port });
    });
  });
}

const [kind] = runtime.args;
if (kind === "fast") await serveFast();
else tellReady([await (kind === "node" ? startNode() : startOurs(systemClock))]);
