// Shell. The agent's own program. Its worker is started first, to load while this thread loads.

import { runtime } from "../reactor/runtime/mod.ts";

runtime.warmWorker(new URL("./worker/ring_worker.ts", import.meta.url));

Promise.all([import("../daemon/daemon.ts"), import("./service.ts")])
  .then(([{ runDaemon }, { agentDaemon }]) => runDaemon(agentDaemon, runtime.args))
  .then((code) => runtime.exit(code));
