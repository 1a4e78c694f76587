// Shell. The agent's own program.

import { runDaemon } from "../daemon/daemon.ts";
import { runtime } from "../reactor/runtime/mod.ts";
import { agentDaemon } from "./service.ts";

runtime.exit(await runDaemon(agentDaemon, runtime.args));
