// Shell. A relay written plainly on `node:net`, with which ours is compared: it numbers its clients,
// gives each frame of 200 bytes to the next worker, and the answer to whom its number names. No bounds,
// no time-outs, no sessions. Clients come to its first port, workers to its second. With the word
// `echo` clients get their frames back at once: what an exchange takes without any relay.

import { Buffer } from "node:buffer";
import { createServer, type Socket } from "node:net";
import type { Address } from "../reactor/address.ts";
import { runtime } from "../reactor/runtime/mod.ts";
import { tellReady } from "./program.ts";

const FRAME_BYTES = 200;
const SID_OFFSET = 8;
const BACKLOG = 511;

const clients = new Map<number, Socket>();
const workers: Socket[] = [];
let lastSid = 0;
let turn = 0;

/** Calls `onFrame` with each whole frame that comes over a socket. */
function cutFrames(socket: Socket, onFrame: (frame: Buffer) => void): void {
  let held: Buffer | undefined;
  socket.setNoDelay(true);
  socket.on("error", () => socket.destroy());
  socket.on("data", (data: Buffer) => {
    const chunk = held === undefined ? data : Buffer.concat([held, data]);
    let at = 0;
    for (; chunk.length - at >= FRAME_BYTES; at += FRAME_BYTES) {
      onFrame(chunk.subarray(at, at + FRAME_BYTES));
    }
    held = at === chunk.length ? undefined : chunk.subarray(at);
  });
}

function onClient(socket: Socket): void {
  const sid = ++lastSid;
  clients.set(sid, socket);
  socket.on("close", () => clients.delete(sid));
  cutFrames(socket, (frame) => {
    frame.writeInt32LE(sid, SID_OFFSET);
    workers.at(turn++ % workers.length)?.write(frame);
  });
}

function onWorker(socket: Socket): void {
  workers.push(socket);
  socket.on("close", () => workers.splice(workers.indexOf(socket), 1));
  cutFrames(socket, (frame) => void clients.get(frame.readInt32LE(SID_OFFSET))?.write(frame));
}

function listen(onSocket: (socket: Socket) => void): Promise<Address> {
  const server = createServer(onSocket);
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen({ port: 0, host: "127.0.0.1", backlog: BACKLOG }, () => {
      const address = server.address();
      const port = address !== null && typeof address === "object" ? address.port : 0;
      resolve({ hostname: "127.0.0.1", port });
    });
  });
}

function onEcho(socket: Socket): void {
  cutFrames(socket, (frame) => void socket.write(frame));
}

const clientDoor = runtime.args[0] === "echo" ? onEcho : onClient;
tellReady([await listen(clientDoor), await listen(onWorker)]);
