// Shell. For tests: the portable path of a server program, or with the argument `fast` the other.

import { BatchLoop, serveLoop } from "../fast/batch_loop.ts";
import { BatchTcp } from "../fast/batch_tcp.ts";
import type { Clock } from "../time/clock.ts";
import { LoopClock } from "../fast/loop_clock.ts";
import { runtime, type TcpTransport } from "../runtime/mod.ts";
import { systemClock } from "../time/system_clock.ts";

/** What a server is given, and what runs at the end of the program. */
export interface ServerPath {
  readonly clock: Clock;
  readonly transport: TcpTransport;
  serve(): Promise<void>;
}

/** The path that `args` ask for. */
export function pathOf(args: readonly string[]): ServerPath {
  if (!args.includes("fast")) {
    return { clock: systemClock, transport: runtime, serve: () => Promise.resolve() };
  }
  const clock = new LoopClock(systemClock);
  const loop = new BatchLoop(() => systemClock.nowMs());
  return { clock, transport: new BatchTcp(loop), serve: () => serveLoop(loop, clock, () => true) };
}
