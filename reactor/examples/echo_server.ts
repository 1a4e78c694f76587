// Shell. A TCP server with a router, connection hooks, attachments and a configuration file.
//
// It shows what versions 0.1 to 0.7, 0.9 and 0.12 of the original tutorial showed:
//   deno run -A reactor/examples/echo_server.ts        bun reactor/examples/echo_server.ts

import { fileURLToPath } from "node:url";
import {
  ConfigFile,
  type Connection,
  formatAddress,
  MessageRouter,
  runtime,
  systemClock,
  TcpServer,
} from "../mod.ts";
import { readExampleOptions } from "./example_options.ts";
import { exampleLog, print, runExample, untilOver } from "./example_program.ts";

/** Message ids of this example: 1 is echoed, 2 is printed, 101 comes from the server unasked. */
const ECHO = 1;
const PRINT = 2;
const WELCOME = 101;

/** What the server remembers of a connection. */
interface Visitor {
  readonly name: string;
  echoes: number;
}

const toText = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
const toBytes = (text: string): Uint8Array => new TextEncoder().encode(text);

function createRouter(): MessageRouter<Connection<Visitor>> {
  return new MessageRouter<Connection<Visitor>>({ log: exampleLog, clock: systemClock })
    .add(ECHO, (body, peer) => {
      if (peer.attached !== undefined) peer.attached.echoes++;
      peer.send(ECHO, body);
    })
    .add(PRINT, (body, peer) => print(`${peer.attached?.name} says: ${toText(body)}`));
}

await runExample(async () => {
  const path = fileURLToPath(new URL("./serv.ini", import.meta.url));
  const config = ConfigFile.parse(await runtime.readTextFile(path), "serv.ini");
  const configured = (key: string): number => Number(config.get("reactor", key)?.value);
  const options = readExampleOptions(runtime.args, { port: configured("port") });
  const server = new TcpServer<Visitor>({
    hostname: config.get("reactor", "ip")?.value ?? "127.0.0.1",
    port: options.port,
    connectionsMax: configured("maxConn"),
    router: createRouter(),
    clock: systemClock,
    log: exampleLog,
    onAccept: (connection) => {
      connection.attached = { name: `visitor ${connection.id}`, echoes: 0 };
      connection.send(WELCOME, toBytes("welcome! you are online"));
    },
    onClose: ({ attached }, reason) =>
      print(`${attached?.name} left after ${attached?.echoes} echoes: ${reason}`),
  });
  const over = untilOver(options.seconds);
  print(`listening on ${formatAddress(await server.listen())}`);
  await over;
  await server.close();
});
