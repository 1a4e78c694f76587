// Shell. The `lars` command.

import { runtime } from "../reactor/runtime/mod.ts";
import { runCli } from "./program.ts";

runCli(runtime.args).then((code) => runtime.exit(code));
