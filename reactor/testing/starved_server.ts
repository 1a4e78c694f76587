// Shell. An echo server that has opened so many files that connections use up the rest.

import { openSync } from "node:fs";
import { formatAddress } from "../address.ts";
import { setRepeating } from "../time/clock.ts";
import { silentLogger } from "../log.ts";
import { MessageRouter } from "../message_router.ts";
import { runtime } from "../runtime/mod.ts";
import { pathOf } from "./paths.ts";
import { type Connection, RESERVED_FILES, TcpServer } from "../tcp/tcp_server.ts";

// As many as the server leaves for others, so that its own limit cannot save it.
for (let count = 0; count < RESERVED_FILES; count++) openSync("/dev/null", "r");

const { clock, transport, serve } = pathOf(runtime.args);
const server = new TcpServer({
  hostname: "127.0.0.1",
  port: 0,
  router: new MessageRouter<Connection>().add(1, (body, peer) => void peer.send(1, body)),
  clock,
  transport,
  log: silentLogger,
});
runtime.writeStdout(`${formatAddress(await server.listen())}\n`);
setRepeating(clock, 50, () => {
  runtime.writeStdout(`acceptErrors=${server.stats.acceptErrors}\n`);
});
await serve();
