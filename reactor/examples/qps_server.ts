// Shell. The server of the QPS pair: it decodes an EchoMessage and sends it back encoded anew.
//
//   deno run -A reactor/examples/qps_server.ts         bun reactor/examples/qps_server.ts
//
// With --fast 1 it takes its connections through FFI, on Linux.

import {
  BatchLoop,
  BatchTcp,
  type Connection,
  formatAddress,
  LoopClock,
  MessageRouter,
  runtime,
  serveLoop,
  systemClock,
  TcpServer,
} from "../mod.ts";
import { decodeEchoMessage, encodeEchoMessage } from "./echo_message.ts";
import { readExampleOptions } from "./example_options.ts";
import { exampleLog, print, runExample, untilOver } from "./example_program.ts";

/** Serves on this thread, on which nothing else runs then: Ctrl-C ends the program at once. */
async function serveBlocked(
  server: TcpServer,
  loop: BatchLoop,
  clock: LoopClock,
  seconds: number,
): Promise<void> {
  let goesOn = true;
  const end = (): boolean => goesOn = false;
  if (seconds > 0) clock.setTimer(seconds * 1000, end);
  await serveLoop(loop, clock, () => goesOn);
  goesOn = true;
  void server.close().then(end);
  await serveLoop(loop, clock, () => goesOn);
}

await runExample(async () => {
  const { port, seconds, fast } = readExampleOptions(runtime.args);
  const router = new MessageRouter<Connection>({ log: exampleLog, clock: systemClock })
    .add(1, (body, peer) => void peer.send(1, encodeEchoMessage(decodeEchoMessage(body))));
  const common = { hostname: "127.0.0.1", port, router, log: exampleLog };
  let server: TcpServer;
  if (fast === 1) {
    const clock = new LoopClock(systemClock);
    const loop = new BatchLoop(() => systemClock.nowMs());
    server = new TcpServer({ ...common, clock, transport: new BatchTcp(loop) });
    print(`listening on ${formatAddress(await server.listen())}`);
    await serveBlocked(server, loop, clock, seconds);
  } else {
    server = new TcpServer({ ...common, clock: systemClock });
    const over = untilOver(seconds);
    print(`listening on ${formatAddress(await server.listen())}`);
    await over;
    await server.close();
  }
  const { framesIn, bytesIn } = server.stats;
  print(`${framesIn} messages, ${bytesIn} bytes`);
});
