// Shell. A TCP client with a router and connection hooks; it connects again when the server goes.
//
//   deno run -A reactor/examples/echo_client.ts        bun reactor/examples/echo_client.ts

import {
  formatAddress,
  MessageRouter,
  runtime,
  setRepeating,
  systemClock,
  systemRng,
  TcpClient,
} from "../mod.ts";
import { readExampleOptions } from "./example_options.ts";
import { exampleLog, print, runExample, untilOver } from "./example_program.ts";

/** Message ids of echo_server.ts. */
const ECHO = 1;
const PRINT = 2;
const WELCOME = 101;

const toText = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
const toBytes = (text: string): Uint8Array => new TextEncoder().encode(text);

await runExample(async () => {
  const options = readExampleOptions(runtime.args);
  const router = new MessageRouter<TcpClient>({ log: exampleLog, clock: systemClock })
    .add(WELCOME, (body) => print(`server: ${toText(body)}`))
    .add(ECHO, (body) => print(`echo: ${toText(body)}`));
  const client = new TcpClient({
    addresses: [{ hostname: "127.0.0.1", port: options.port }],
    transport: runtime,
    router,
    clock: systemClock,
    rng: systemRng,
    log: exampleLog,
    name: "the echo server",
    onConnect: (self) => {
      print(`connected to ${formatAddress(self.address)}`);
      self.send(PRINT, toBytes("here I am"));
      self.send(ECHO, toBytes("Hello Lars!"));
    },
    onDisconnect: (_self, reason) => print(`disconnected: ${reason}`),
  });
  client.start();
  let count = 0;
  const talk = setRepeating(systemClock, 500, () => {
    if (client.connected) client.send(ECHO, toBytes(`Hello again, ${++count}`));
  });
  await untilOver(options.seconds);
  talk.cancel();
  await client.close();
});
