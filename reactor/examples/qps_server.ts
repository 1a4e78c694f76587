// Shell. The server of the QPS pair: it decodes an EchoMessage and sends it back encoded anew.
//
//   deno run -A reactor/examples/qps_server.ts         bun reactor/examples/qps_server.ts

import {
  type Connection,
  formatAddress,
  MessageRouter,
  runtime,
  systemClock,
  TcpServer,
} from "../mod.ts";
import { decodeEchoMessage, encodeEchoMessage } from "./echo_message.ts";
import { readExampleOptions } from "./example_options.ts";
import { exampleLog, print, runExample, untilOver } from "./example_program.ts";

await runExample(async () => {
  const options = readExampleOptions(runtime.args);
  const router = new MessageRouter<Connection>({ log: exampleLog, clock: systemClock })
    .add(1, (body, peer) => void peer.send(1, encodeEchoMessage(decodeEchoMessage(body))));
  const server = new TcpServer({
    hostname: "127.0.0.1",
    port: options.port,
    router,
    clock: systemClock,
    log: exampleLog,
  });
  const over = untilOver(options.seconds);
  print(`listening on ${formatAddress(await server.listen())}`);
  await over;
  const { framesIn, bytesIn } = server.stats;
  await server.close();
  print(`${framesIn} messages, ${bytesIn} bytes`);
});
