// Shell. A newer agent that takes sockets and routes and goes no further, to be killed at that point.

import { setInterval } from "node:timers";
import { takeOver } from "../../agent/handover/passed_sockets.ts";
import { silentLogger } from "../../reactor/log.ts";
import { runtime } from "../../reactor/runtime/mod.ts";
import { systemClock } from "../../reactor/time/system_clock.ts";

const passed = await takeOver({
  hostname: "127.0.0.1",
  firstPort: Number(runtime.args[0]),
  clock: systemClock,
  log: silentLogger,
  software: "half",
});
runtime.writeStdout(`taken ${passed?.fds.length ?? 0} ${passed?.routes.length ?? 0}\n`);
setInterval(() => {}, 1000);
