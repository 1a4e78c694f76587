// Shell. Several event loops in workers share one port; each new connection starts a task in all.
//
// It shows what versions 0.8 and 0.11 of the original tutorial showed. Talk to it with echo_client:
//   deno run -A reactor/examples/task_server.ts --loops 3

import { LoopPool, runtime, systemClock } from "../mod.ts";
import { readExampleOptions } from "./example_options.ts";
import { exampleLog, print, runExample, untilOver } from "./example_program.ts";
import type { TaskLoopInit, TaskLoopNote, TaskLoopTask } from "./task_loop.ts";

await runExample(async () => {
  const options = readExampleOptions(runtime.args);
  let listening = 0;
  const pool = await LoopPool.start<TaskLoopInit, TaskLoopTask, TaskLoopNote>({
    entry: new URL("./task_loop.ts", import.meta.url),
    count: options.loops,
    init: { hostname: "127.0.0.1" },
    clock: systemClock,
    log: exampleLog,
    onNote: (note, index) => {
      if (note.type === "accepted") {
        print(`loop ${index} accepted ${note.remote}`);
        pool.broadcast({ type: "greet", text: `Hello, I am a task! ${note.remote} is new` });
      } else if (note.type === "greeted") {
        print(`loop ${index} greeted ${note.connections} connections`);
      } else if (++listening === 1) {
        // The first loop knows the port now; the others join it.
        for (let other = 1; other < options.loops; other++) {
          pool.send(other, { type: "listen", port: note.port });
        }
        if (options.loops === 1) print(`listening on 127.0.0.1:${note.port}`);
      } else if (listening === options.loops) {
        print(`listening on 127.0.0.1:${note.port}`);
      }
    },
    onError: (error, index) => {
      print(`loop ${index} failed: ${error.message}`);
      runtime.exit(1);
    },
  });
  pool.send(0, { type: "listen", port: options.port });
  await untilOver(options.seconds);
  await pool.close();
});
