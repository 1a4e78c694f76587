// Shell. Opens many connections to an echo server, asks once on each, and holds them all.

import { encodeFrame, FrameDecoder } from "../frame.ts";
import { runtime } from "../runtime/mod.ts";
import { SILENT_OF_HOST_MAX } from "../tcp/silent_peers.ts";

/** Connects under way at once: fewer than one host may have that have not said anything yet. */
const CONNECTING_MAX = SILENT_OF_HOST_MAX - 14;

const [port, count] = runtime.args.map(Number);
const { signal } = new AbortController();
let started = 0;
let answers = 0;

async function connectMany(): Promise<void> {
  while (started < count) {
    const number = started++;
    const stream = await runtime.connectTcp({ hostname: "127.0.0.1", port, signal });
    const decoder = new FrameDecoder(stream.copyBelowBytes);
    stream.start({
      onData(chunk): void {
        decoder.push(chunk, (_msgId, body) => {
          if (new DataView(body.slice().buffer).getUint32(0) !== number) runtime.exit(3);
          answers++;
          if (answers === count) runtime.writeStdout(`answers=${answers};\n`);
        });
      },
      onDrain: () => undefined,
      onEnd: () => runtime.exit(4),
      onClose: () => runtime.exit(5),
    });
    const body = new Uint8Array(4);
    new DataView(body.buffer).setUint32(0, number);
    stream.write(encodeFrame(1, body));
  }
}

await Promise.all(Array.from({ length: CONNECTING_MAX }, connectMany));
