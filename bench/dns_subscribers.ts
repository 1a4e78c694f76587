// Shell. Subscribers of one module, and the writer that changes it: how long until the last one has it.

import { MessageId } from "../proto/message_ids.ts";
import {
  decodeGetRouteResponse,
  encodeGetRouteRequest,
  encodeRouteChanged,
} from "../proto/codec.ts";
import { encodeFrame } from "../reactor/frame.ts";
import { runtime } from "../reactor/runtime/mod.ts";
import { systemClock } from "../reactor/time/system_clock.ts";
import { openStore } from "../sql/mod.ts";
import { connectFrames, tell } from "./program.ts";

const MODULE = { modId: 1, cmdId: 1 };
/** Connects under way at once: less than a listener's backlog. */
const CONNECTING_MAX = 100;
/** A push that takes longer is lost. */
const PUSH_MS_MAX = 20_000;

const [port, count, rounds] = runtime.args.slice(1).map(Number);
const store = await openStore(runtime.args[0]);

/** Subscribers that have the node with `wantedIp`. */
let informed = 0;
let wantedIp = 0;
let onAll: () => void = () => undefined;

/** Resolves when all subscribers have a route that holds `ip`. */
function allHave(ip: number): Promise<void> {
  wantedIp = ip;
  informed = 0;
  return new Promise((resolve, reject) => {
    const timer = systemClock.setTimer(
      PUSH_MS_MAX,
      () => reject(new Error(`Only ${informed} of ${count} subscribers heard of the change`)),
    );
    onAll = (): void => {
      timer.cancel();
      resolve();
    };
  });
}

function onRoute(msgId: number, body: Uint8Array): void {
  if (msgId !== MessageId.GetRouteResponse) return;
  const { hosts } = decodeGetRouteResponse(body);
  if (hosts.some(({ ip }) => ip === wantedIp) && ++informed === count) onAll();
}

async function subscribeMany(left: { count: number }): Promise<void> {
  while (left.count-- > 0) {
    const stream = await connectFrames(port, onRoute);
    stream.write(encodeFrame(MessageId.GetRouteRequest, encodeGetRouteRequest(MODULE)));
  }
}

const first = allHave(1);
const left = { count };
await Promise.all(Array.from({ length: CONNECTING_MAX }, () => subscribeMany(left)));
await first;
const writer = await connectFrames(port, () => undefined);
const times: number[] = [];
for (let round = 0; round < rounds; round++) {
  const all = allHave(1000 + round);
  await store.editRoutes([{ op: "add", ...MODULE, ip: 1000 + round, port: 80 }]);
  const startMs = systemClock.nowMs();
  writer.write(encodeFrame(MessageId.RouteChanged, encodeRouteChanged({ modules: [MODULE] })));
  await all;
  times.push(systemClock.nowMs() - startMs);
}
tell(times);
runtime.exit(0);
