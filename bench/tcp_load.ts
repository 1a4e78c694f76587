// Shell. The load of TCP echoes in TypeScript, for machines without a C compiler; see c/tcp_load.c.

import { encodeFrame, FrameDecoder } from "../reactor/frame.ts";
import { runtime, type Stream } from "../reactor/runtime/mod.ts";
import { sleep } from "../reactor/time/clock.ts";
import { systemClock } from "../reactor/time/system_clock.ts";
import { cpuSeconds } from "./machine.ts";
import { readWords, tell, tellReady } from "./program.ts";

const BODY_BYTES = 21;

const { text, number } = readWords(runtime.args);
const frame = encodeFrame(1, new Uint8Array(BODY_BYTES).fill(7));
let answers = 0;

function write(stream: Stream, count: number): void {
  const bytes = new Uint8Array(frame.length * count);
  for (let index = 0; index < count; index++) bytes.set(frame, index * frame.length);
  // A window is far less than what a socket buffers: what is kept leaves before the next answer.
  stream.write(bytes);
}

async function connect(): Promise<Stream> {
  const { signal } = new AbortController();
  const stream = await runtime.connectTcp({
    hostname: text("host", "127.0.0.1"),
    port: number("port"),
    signal,
  });
  const decoder = new FrameDecoder(stream.copyBelowBytes);
  stream.start({
    onData(chunk): void {
      let count = 0;
      decoder.push(chunk, (_msgId, body) => {
        if (body.length !== BODY_BYTES || body[0] !== 7) throw new Error("Wrong answer");
        count++;
      });
      answers += count;
      if (count > 0) write(stream, count);
    },
    onDrain: () => undefined,
    onEnd: () => runtime.exit(1),
    onClose: () => runtime.exit(1),
  });
  return stream;
}

const streams: Stream[] = [];
while (streams.length < number("connections")) streams.push(await connect());
if (number("window") === 0) {
  tellReady();
} else {
  for (const stream of streams) write(stream, number("window"));
  await sleep(systemClock, number("warmup"));
  answers = 0;
  const cpu = cpuSeconds(number("pid"));
  const startMs = systemClock.nowMs();
  await sleep(systemClock, number("ms"));
  const used = (cpuSeconds(number("pid")) ?? NaN) - (cpu ?? NaN);
  tell({
    ok: answers,
    seconds: (systemClock.nowMs() - startMs) / 1000,
    cpuSeconds: Number.isFinite(used) ? used : -1,
  });
  runtime.exit(0);
}
