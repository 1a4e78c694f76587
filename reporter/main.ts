// Shell. Starts the reporter from the command line.

import { runDaemon } from "../daemon/daemon.ts";
import { runtime } from "../reactor/runtime/mod.ts";
import { reporterDaemon } from "./service.ts";

runDaemon(reporterDaemon, runtime.args).then((code) => runtime.exit(code));
