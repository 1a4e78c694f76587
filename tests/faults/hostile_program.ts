// Shell. Sends what no program should, from a seed: damaged messages to an agent as datagrams, or to a
// service as frames.
//
//     hostile_program.ts datagrams|frames PORT COUNT RATE SEED

import { createSocket } from "node:dgram";
import { createConnection, type Socket } from "node:net";
import process from "node:process";
import {
  encodeHello,
  encodeLeaseBeat,
  encodeReportStatusRequest,
  frameGetHostRequest,
  frameReportRequest,
} from "../../proto/codec.ts";
import { MessageId } from "../../proto/message_ids.ts";
import { nextInt, type Rng, seededRng } from "../../reactor/time/rng.ts";
import { systemClock } from "../../reactor/time/system_clock.ts";
import { paced } from "../soak/soak.ts";
import { frameBytes, getRouteRequest } from "../support/wire_client.ts";

const [kind, ...numbers] = process.argv.slice(2);
const [port, count, rate, seed] = numbers.map(Number);
const rng = seededRng(seed);
const NODE = { ip: 0x0a000001, port: 80 };

/** Good messages, to be damaged. */
const GOOD: readonly Uint8Array[] = [
  frameGetHostRequest({ seq: 7, modId: 1, cmdId: 1 }),
  frameReportRequest({ modId: 1, cmdId: 1, host: NODE, retcode: 0, timecostMs: 5 }),
  frameBytes(MessageId.GetRouteRequest, getRouteRequest(1, 1)),
  frameBytes(MessageId.Hello, encodeHello({ protocol: 2, software: "x", role: "agent" })),
  frameBytes(MessageId.Ping, Uint8Array.of(8, 1)),
  frameBytes(MessageId.LeaseBeat, encodeLeaseBeat({ seq: 1, lease: [], owner: "" })),
  frameBytes(
    MessageId.ReportStatusRequest,
    encodeReportStatusRequest({
      ...{ modId: 1, cmdId: 1, caller: 1, ts: 1 },
      results: [{ ...NODE, succ: 1, err: 1, overload: false }],
    }),
  ),
];

/** A message with some bits flipped, cut, grown, or of another number. */
function hostile(chance: Rng, keepsHead: boolean): Uint8Array {
  const good = GOOD[nextInt(chance, GOOD.length)];
  const kindOf = nextInt(chance, 10);
  if (!keepsHead && kindOf === 0) {
    return Uint8Array.from({ length: nextInt(chance, 200) }, () => nextInt(chance, 256));
  }
  const bytes = !keepsHead && kindOf === 1
    ? good.slice(0, nextInt(chance, good.length))
    : good.slice();
  const from = keepsHead ? 8 : 0;
  for (let flips = 1 + nextInt(chance, 4); flips > 0 && bytes.length > from; flips--) {
    bytes[from + nextInt(chance, bytes.length - from)] ^= 1 << nextInt(chance, 8);
  }
  if (keepsHead && kindOf === 2) bytes[0] = nextInt(chance, 160);
  return bytes;
}

let sent = 0;
const startMs = systemClock.nowMs();

/** Says what was sent, and ends. */
function end(more = ""): void {
  const seconds = (systemClock.nowMs() - startMs) / 1000;
  console.log(`sent ${sent} in ${seconds.toFixed(0)} s${more}`);
  process.exit(0);
}

function sendDatagrams(): void {
  const socket = createSocket("udp4").on("error", () => {}).on("message", () => {});
  paced(rate, () => {
    if (sent >= count) end();
    socket.send(hostile(rng, false), port + sent % 3, "127.0.0.1");
    sent++;
  });
}

/** Connections side by side, and frames that go out in one write. */
const CONNECTIONS = 20;
const FRAMES_PER_WRITE = 10;

/** A frame that its receiver takes for bad ends the connection, so there are very many of them. */
function sendFrames(): void {
  let [connections, resets] = [0, 0];
  const sockets: (Socket | undefined)[] = Array(CONNECTIONS).fill(undefined);
  const connect = (index: number): void => {
    connections++;
    const socket = createConnection({ port, host: "127.0.0.1" });
    socket.on("error", () => {}).on("data", () => {});
    socket.on("close", () => {
      if (sockets[index] === socket) sockets[index] = undefined;
    });
    sockets[index] = socket;
  };
  paced(rate / FRAMES_PER_WRITE, () => {
    if (sent >= count) end(`, ${connections} connections, ${resets} of them reset`);
    const index = nextInt(rng, CONNECTIONS);
    const socket = sockets[index];
    if (socket === undefined || socket.destroyed) return connect(index);
    // Who does not read is given no more.
    if (socket.writableLength > 65_536) return;
    const parts: number[] = [];
    for (let frame = 0; frame < FRAMES_PER_WRITE; frame++) {
      parts.push(...hostile(rng, nextInt(rng, 50) !== 0));
    }
    socket.write(Uint8Array.from(parts));
    sent += FRAMES_PER_WRITE;
    if (nextInt(rng, 500) === 0) {
      resets++;
      socket.resetAndDestroy();
    }
  });
}

if (kind === "datagrams") sendDatagrams();
else sendFrames();
