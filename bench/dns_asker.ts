// Shell. Asks dns for one route after the other, at rest and while it reads all its rows again.

import { MessageId } from "../proto/message_ids.ts";
import { encodeGetRouteRequest } from "../proto/codec.ts";
import { encodeFrame, FrameDecoder } from "../reactor/frame.ts";
import { runtime } from "../reactor/runtime/mod.ts";
import { systemClock } from "../reactor/time/system_clock.ts";

const [port, modules, ms] = runtime.args.map(Number);
const { signal } = new AbortController();
const delaysMs: number[] = [];
const endMs = systemClock.nowMs() + ms;
let askedMs = 0;
let modId = 0;

const stream = await runtime.connectTcp({ hostname: "127.0.0.1", port, signal });
const decoder = new FrameDecoder(stream.copyBelowBytes);

function ask(): void {
  modId = (modId + 1) % modules;
  askedMs = systemClock.nowMs();
  const body = encodeGetRouteRequest({ modId, cmdId: 1 });
  stream.write(encodeFrame(MessageId.GetRouteRequest, body));
}

stream.start({
  onData: (chunk) =>
    decoder.push(chunk, () => {
      const nowMs = systemClock.nowMs();
      delaysMs.push(nowMs - askedMs);
      if (nowMs < endMs) return void systemClock.setTimer(1, ask);
      delaysMs.sort((a, b) => a - b);
      const [p50, p99] = [0.5, 0.99].map((share) => delaysMs[Math.floor(delaysMs.length * share)]);
      runtime.writeStdout(JSON.stringify({ answers: delaysMs.length, p50, p99 }) + "\n");
      runtime.exit(0);
    }),
  onDrain: () => undefined,
  onEnd: () => runtime.exit(3),
  onClose: () => runtime.exit(4),
});
ask();
