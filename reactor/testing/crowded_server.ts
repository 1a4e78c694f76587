// Shell. An echo server with room for as many connections as its argument says.

import { runtime } from "../runtime/mod.ts";
import { runEchoServer } from "./echo_server.ts";

await runEchoServer(100, ({ open, framesIn, acceptErrors, refusedOverLimit }) => {
  const refused = acceptErrors + refusedOverLimit;
  return `open=${open} framesIn=${framesIn} refused=${refused};`;
}, { connectionsMax: Number(runtime.args[0]) });
