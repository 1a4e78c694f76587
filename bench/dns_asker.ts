// Shell. Asks dns for one route after the other, at rest and while it reads all its rows again.

import { MessageId } from "../proto/message_ids.ts";
import { encodeGetRouteRequest } from "../proto/codec.ts";
import { encodeFrame } from "../reactor/frame.ts";
import { runtime } from "../reactor/runtime/mod.ts";
import { systemClock } from "../reactor/time/system_clock.ts";
import { connectFrames, tell } from "./program.ts";

const [port, modules, ms] = runtime.args.map(Number);
const delaysMs: number[] = [];
const endMs = systemClock.nowMs() + ms;
let askedMs = 0;
let modId = 0;

const stream = await connectFrames(port, () => {
  const nowMs = systemClock.nowMs();
  delaysMs.push(nowMs - askedMs);
  if (nowMs < endMs) return void systemClock.setTimer(1, ask);
  delaysMs.sort((a, b) => a - b);
  const [p50, p99] = [0.5, 0.99].map((share) => delaysMs[Math.floor(delaysMs.length * share)]);
  tell({ answers: delaysMs.length, p50, p99 });
  runtime.exit(0);
});

function ask(): void {
  modId = (modId + 1) % modules;
  askedMs = systemClock.nowMs();
  const body = encodeGetRouteRequest({ modId, cmdId: 1 });
  stream.write(encodeFrame(MessageId.GetRouteRequest, body));
}

ask();
