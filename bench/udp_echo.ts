// Shell. The datagram echo in TypeScript, for machines without a C compiler; see c/udp_echo.c.

import { decodeGetHostRequest, frameGetHostResponse } from "../proto/codec.ts";
import { readDatagram } from "../proto/wire.ts";
import { MessageId } from "../proto/message_ids.ts";
import type { Address } from "../reactor/address.ts";
import { BindError } from "../reactor/errors.ts";
import { nextInt } from "../reactor/time/rng.ts";
import { runtime, type UdpSocket } from "../reactor/runtime/mod.ts";
import { systemRng } from "../reactor/time/system_rng.ts";
import { tellReady } from "./program.ts";

const HOST = { ip: 3232235953, port: 7777 };
const TRIES_MAX = 200;

const [mode, , portCount] = runtime.args;

function answer(bytes: Uint8Array): Uint8Array | undefined {
  if (mode !== "answer") return bytes;
  const { msgId, body } = readDatagram(bytes);
  if (msgId !== MessageId.GetHostRequest) return undefined;
  return frameGetHostResponse({ ...decodeGetHostRequest(body), retcode: 0, host: HOST });
}

async function bind(port: number): Promise<UdpSocket> {
  const socket: UdpSocket = await runtime.bindUdp({
    hostname: "127.0.0.1",
    port,
    onDatagram(bytes: Uint8Array, from: Address): void {
      const out = answer(bytes);
      if (out !== undefined) socket.send(out, from);
    },
    onError: () => undefined, // A caller that went away.
  });
  return socket;
}

async function bindAll(first: number): Promise<UdpSocket[] | undefined> {
  const sockets: UdpSocket[] = [];
  try {
    for (let i = 0; i < Number(portCount); i++) sockets.push(await bind(first + i));
    return sockets;
  } catch (error) {
    for (const socket of sockets) socket.close();
    if (error instanceof BindError) return undefined;
    throw error;
  }
}

let sockets: UdpSocket[] | undefined;
for (let attempt = 0; sockets === undefined && attempt < TRIES_MAX; attempt++) {
  sockets = await bindAll(20_000 + nextInt(systemRng, 12_000));
}
tellReady((sockets ?? []).map(({ address }) => address));
