// Shell. Starts discovery from the command line.

import { runDaemon } from "../daemon/daemon.ts";
import { runtime } from "../reactor/runtime/mod.ts";
import { discoveryDaemon } from "./service.ts";

runDaemon(discoveryDaemon, runtime.args).then((code) => runtime.exit(code));
