// Shell. An echo server with room for as many connections as its argument says.

import { formatAddress } from "../address.ts";
import { setRepeating } from "../time/clock.ts";
import { silentLogger } from "../log.ts";
import { MessageRouter } from "../message_router.ts";
import { runtime } from "../runtime/mod.ts";
import { pathOf } from "./paths.ts";
import { type Connection, TcpServer } from "../tcp/tcp_server.ts";

const { clock, transport, serve } = pathOf(runtime.args);
const server = new TcpServer({
  hostname: "127.0.0.1",
  port: 0,
  router: new MessageRouter<Connection>().add(1, (body, peer) => void peer.send(1, body)),
  clock,
  transport,
  log: silentLogger,
  connectionsMax: Number(runtime.args[0]),
});
runtime.writeStdout(`${formatAddress(await server.listen())}\n`);
setRepeating(clock, 100, () => {
  const { open, framesIn, acceptErrors, refusedOverLimit } = server.stats;
  const refused = acceptErrors + refusedOverLimit;
  runtime.writeStdout(`open=${open} framesIn=${framesIn} refused=${refused};\n`);
});
await serve();
