// Shell. An echo server for tests that print what it counts, on the path its arguments ask for.

import { formatAddress } from "../address.ts";
import { silentLogger } from "../log.ts";
import { MessageRouter } from "../message_router.ts";
import { runtime } from "../runtime/mod.ts";
import { type Connection, TcpServer, type TcpServerStats } from "../tcp/tcp_server.ts";
import { setRepeating } from "../time/clock.ts";
import { pathOf } from "./paths.ts";

/** Prints its address, then every `everyMs` what `tell` makes of its counters; never returns. */
export async function runEchoServer(
  everyMs: number,
  tell: (stats: TcpServerStats) => string,
  options: { readonly connectionsMax?: number } = {},
): Promise<void> {
  const { clock, transport, serve } = pathOf(runtime.args);
  const server = new TcpServer({
    hostname: "127.0.0.1",
    port: 0,
    router: new MessageRouter<Connection>().add(1, (body, peer) => void peer.send(1, body)),
    clock,
    transport,
    log: silentLogger,
    ...options,
  });
  runtime.writeStdout(`${formatAddress(await server.listen())}\n`);
  setRepeating(clock, everyMs, () => runtime.writeStdout(`${tell(server.stats)}\n`));
  await serve();
}
