// Shell. The `lars` command.

import { runtime } from "../reactor/runtime/mod.ts";
import { runCli } from "./program.ts";

runtime.exit(await runCli(runtime.args));
