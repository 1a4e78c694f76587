// Shell. Starts exports from the command line.

import { runDaemon } from "../daemon/daemon.ts";
import { runtime } from "../reactor/runtime/mod.ts";
import { exportDaemon } from "./service.ts";

runDaemon(exportDaemon, runtime.args).then((code) => runtime.exit(code));
