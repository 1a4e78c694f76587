// Shell. Starts the console from the command line.

import { runDaemon } from "../daemon/daemon.ts";
import { runtime } from "../reactor/runtime/mod.ts";
import { webDaemon } from "./service.ts";

runtime.exit(await runDaemon(webDaemon, runtime.args));
