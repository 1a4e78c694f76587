// Shell. Starts dns from the command line.

import { runDaemon } from "../daemon/daemon.ts";
import { runtime } from "../reactor/runtime/mod.ts";
import { dnsDaemon } from "./service.ts";

runDaemon(dnsDaemon, runtime.args).then((code) => runtime.exit(code));
