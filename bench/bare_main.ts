// Shell. What a runtime itself costs: a program that does nothing but start one worker. PORT

import { runtime } from "../reactor/runtime/mod.ts";
import { systemClock } from "../reactor/time/system_clock.ts";

const worker = runtime.spawnWorker(new URL("./bare_worker.ts", import.meta.url));
worker.postMessage(Number(runtime.args[0]));
// A worker alone does not keep the program of every runtime alive.
systemClock.setTimer(2 ** 30, () => {});
