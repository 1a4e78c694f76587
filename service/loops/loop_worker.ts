// Shell. The worker's side of a loop group.

import { setRepeating } from "../../reactor/time/clock.ts";
import { BindError, messageOf } from "../../reactor/errors.ts";
import type { LogFields, Logger } from "../../reactor/log.ts";
import { type LoopHandle, runLoop, type RunningLoop } from "../../reactor/loops/run_loop.ts";
import { systemClock } from "../../reactor/time/system_clock.ts";
import type { LoopMaker, ServiceLoop, WorkerNote, WorkerTask } from "./loop_group.ts";

/** Time between two reports of the counters. */
const STATS_INTERVAL_MS = 500;

/** Writes through the logger of the main thread; fields must be plain values. */
function remoteLogger<Note>(handle: LoopHandle<WorkerNote<Note>>): Logger {
  const write = (level: keyof Logger) => (message: string, fields?: LogFields): void =>
    handle.note({ type: "log", level, message, fields });
  return { debug: write("debug"), info: write("info"), warn: write("warn"), error: write("error") };
}

async function listen<Task, Note>(
  loop: ServiceLoop<Task>,
  port: number,
  handle: LoopHandle<WorkerNote<Note>>,
): Promise<void> {
  try {
    handle.note({ type: "listening", address: await loop.listen(port, true) });
  } catch (error) {
    const known = error instanceof BindError ? error : { address: "", inUse: false };
    const { address, inUse } = known;
    handle.note({ type: "bindFailed", address, inUse, message: messageOf(error) });
  }
}

async function leave<Task, Note>(
  loop: ServiceLoop<Task>,
  handle: LoopHandle<WorkerNote<Note>>,
): Promise<void> {
  await loop.leave?.();
  handle.note({ type: "left" });
}

/** Runs a service loop in this worker; call it once, at the top level of the worker's file. */
export function runServiceLoop<Init, Task, Note>(make: LoopMaker<Init, Task, Note>): void {
  runLoop<Init, WorkerTask<Task>, WorkerNote<Note>>({
    start(init, handle): Promise<RunningLoop<WorkerTask<Task>>> {
      const loop = make(init, {
        clock: systemClock,
        log: remoteLogger(handle),
        note: (note, transfer) => handle.note({ type: "note", note }, transfer),
      });
      const tellStats = (): void => handle.note({ type: "stats", stats: loop.stats() });
      const timer = setRepeating(systemClock, STATS_INTERVAL_MS, tellStats);
      return Promise.resolve({
        onTask(task): void {
          if (task.type === "listen") void listen(loop, task.port, handle);
          else if (task.type === "trust") loop.setTrust(task.trust);
          else if (task.type === "leave") void leave(loop, handle);
          else loop.onTask(task.task);
        },
        async stop(): Promise<void> {
          timer.cancel();
          await loop.close();
          tellStats();
        },
      });
    },
  });
}
