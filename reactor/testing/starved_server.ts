// Shell. An echo server that has opened so many files that connections use up the rest.

import { openSync } from "node:fs";
import { RESERVED_FILES } from "../tcp/connection_budget.ts";
import { runEchoServer } from "./echo_server.ts";

// As many as the server leaves for others, so that its own limit cannot save it.
for (let count = 0; count < RESERVED_FILES; count++) openSync("/dev/null", "r");

await runEchoServer(50, ({ acceptErrors }) => `acceptErrors=${acceptErrors}`);
