// Shell. A loop for tests that answers tasks with notes and can be made to crash.

import { systemClock } from "../../reactor/time/system_clock.ts";
import { runServiceLoop } from "../loops/loop_worker.ts";

/** What the tests hear. */
export type FrailNote = "listens" | "echo";

runServiceLoop<null, "echo" | "crash", FrailNote>((_init, { note }) => {
  let taskCount = 0;
  return {
    listen(port: number): Promise<{ hostname: string; port: number }> {
      note("listens");
      return Promise.resolve({ hostname: "127.0.0.1", port });
    },
    onTask(task: "echo" | "crash"): void {
      taskCount++;
      if (task === "echo") return note("echo");
      systemClock.setTimer(0, () => {
        throw new Error("The loop was told to crash");
      });
    },
    setTrust: (): void => {},
    stats: (): Record<string, number> => ({ tasks: taskCount, connections: 1 }),
    close: (): Promise<void> => Promise.resolve(),
  };
});
