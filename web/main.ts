// Shell. Starts the console from the command line.

import { runDaemon } from "../daemon/daemon.ts";
import { runtime } from "../reactor/runtime/mod.ts";
import { webDaemon } from "./service.ts";

runDaemon(webDaemon, runtime.args).then((code) => runtime.exit(code));
