// Shell. The client of the QPS pair: prints how many echoes come back in each second.
//
//   deno run -A reactor/examples/qps_client.ts --connections 10 --seconds 10
//
// `--window 8` keeps eight requests of each connection under way; 1 is what the original does.

import {
  MessageRouter,
  ProtocolError,
  runtime,
  setRepeating,
  systemClock,
  systemRng,
  TcpClient,
} from "../mod.ts";
import { decodeEchoMessage, encodeEchoMessage } from "./echo_message.ts";
import { readExampleOptions } from "./example_options.ts";
import { exampleLog, print, runExample, untilOver } from "./example_program.ts";

const content = new TextEncoder().encode("Hello Lars!!!");

await runExample(async () => {
  const options = readExampleOptions(runtime.args, { seconds: 10 });
  let echoes = 0;
  const router = new MessageRouter<TcpClient>({ log: exampleLog, clock: systemClock })
    .add(1, (body, peer) => {
      const answer = decodeEchoMessage(body);
      if (!answer.content.every((byte, index) => byte === content[index])) {
        throw new ProtocolError("Echo must be what was sent");
      }
      echoes++;
      peer.send(1, encodeEchoMessage({ content, id: (answer.id + 1) % 2 ** 31 }));
    });
  const clients = Array.from({ length: options.connections }, (_, index) =>
    new TcpClient({
      addresses: [{ hostname: "127.0.0.1", port: options.port }],
      transport: runtime,
      router,
      clock: systemClock,
      rng: systemRng,
      log: exampleLog,
      name: `the QPS server (${index})`,
      onConnect: (self) => {
        for (let id = 0; id < options.window; id++) {
          self.send(1, encodeEchoMessage({ content, id }));
        }
      },
    }));
  for (const client of clients) client.start();
  let lastMs = systemClock.nowMs();
  let total = 0;
  const report = (): void => {
    const nowMs = systemClock.nowMs();
    print(`---> qps = ${Math.round(echoes * 1000 / (nowMs - lastMs))} <----`);
    lastMs = nowMs;
    total += echoes;
    echoes = 0;
  };
  const timer = setRepeating(systemClock, 1000, report);
  await untilOver(options.seconds);
  timer.cancel();
  report();
  await Promise.all(clients.map((client) => client.close()));
  if (total === 0) throw new Error("No echo came back");
});
