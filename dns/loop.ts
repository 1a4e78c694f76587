// Shell. Entry of a worker that runs one loop of dns.

import { setRepeating } from "../reactor/clock.ts";
import { BindError, messageOf } from "../reactor/errors.ts";
import type { LogFields, Logger } from "../reactor/log.ts";
import { type LoopHandle, runLoop, type RunningLoop } from "../reactor/run_loop.ts";
import { systemClock } from "../reactor/system_clock.ts";
import type { LoopNote, LoopTask } from "./loop_messages.ts";
import { RouteLoop, type RouteLoopInit } from "./route_loop.ts";

/** Time between two reports of the counters. */
const STATS_INTERVAL_MS = 500;

/** Writes through the logger of the main thread; fields must be plain values. */
function notingLogger(handle: LoopHandle<LoopNote>): Logger {
  const write =
    (level: "debug" | "info" | "warn" | "error") => (message: string, fields?: LogFields): void =>
      handle.note({ type: "log", level, message, fields });
  return { debug: write("debug"), info: write("info"), warn: write("warn"), error: write("error") };
}

async function listen(
  loop: RouteLoop,
  port: number,
  handle: LoopHandle<LoopNote>,
): Promise<void> {
  try {
    handle.note({ type: "listening", address: await loop.listen(port, true) });
  } catch (error) {
    const message = messageOf(error);
    const known = error instanceof BindError ? error : { address: "", inUse: false };
    handle.note({ type: "bindFailed", address: known.address, inUse: known.inUse, message });
  }
}

runLoop<RouteLoopInit, LoopTask, LoopNote>({
  start(init, handle): Promise<RunningLoop<LoopTask>> {
    const loop = new RouteLoop(
      init,
      {
        want: (modId, cmdId) => handle.note({ type: "want", modId, cmdId }),
        drop: (keys) => handle.note({ type: "drop", keys }),
        routesChanged: (keys) => handle.note({ type: "routesChanged", keys }),
      },
      systemClock,
      notingLogger(handle),
    );
    const timer = setRepeating(
      systemClock,
      STATS_INTERVAL_MS,
      () => handle.note({ type: "stats", stats: loop.stats() }),
    );
    return Promise.resolve({
      onTask(task): void {
        if (task.type === "listen") void listen(loop, task.port, handle);
        else loop.deliver(task.modId, task.cmdId, task);
      },
      async stop(): Promise<void> {
        timer.cancel();
        await loop.close();
      },
    });
  },
});
