// Shell. Starts the relay from the command line.

import { runDaemon } from "../daemon/daemon.ts";
import { runtime } from "../reactor/runtime/mod.ts";
import { relayDaemon } from "./service.ts";

runDaemon(relayDaemon, runtime.args).then((code) => runtime.exit(code));
