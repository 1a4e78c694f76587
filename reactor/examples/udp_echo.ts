// Shell. A UDP server with a message router, and a client that asks it, in one program.
//
// It shows what version 0.10 of the original tutorial showed: a datagram is one whole frame.
//   deno run -A reactor/examples/udp_echo.ts --seconds 3

import {
  type Address,
  type DatagramServer,
  encodeFrame,
  formatAddress,
  HEAD_BYTES,
  MessageRouter,
  readHead,
  runtime,
  systemClock,
  TimeoutError,
  UdpClient,
  UdpServer,
} from "../mod.ts";
import { readExampleOptions } from "./example_options.ts";
import { exampleLog, print, runExample } from "./example_program.ts";

const ECHO = 1;
const toText = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
const toBytes = (text: string): Uint8Array => new TextEncoder().encode(text);

/** Body of a datagram that is one whole frame, or undefined. */
function frameBody(bytes: Uint8Array): Uint8Array | undefined {
  const whole = bytes.length >= HEAD_BYTES &&
    readHead(bytes).bodyBytes === bytes.length - HEAD_BYTES;
  return whole ? bytes.subarray(HEAD_BYTES) : undefined;
}

function createServer(port: number): UdpServer {
  const router = new MessageRouter<{ from: Address; server: DatagramServer }>({
    log: exampleLog,
    clock: systemClock,
  }).add(ECHO, (body, { from, server }, msgId) => server.send(encodeFrame(msgId, body), from));
  return new UdpServer({
    hostname: "127.0.0.1",
    port,
    clock: systemClock,
    log: exampleLog,
    onDatagram: (bytes, from, server) => {
      const body = frameBody(bytes);
      if (body !== undefined) router.dispatch(readHead(bytes).msgId, body, { from, server });
    },
  });
}

await runExample(async () => {
  const options = readExampleOptions(runtime.args, { seconds: 3 });
  const server = createServer(options.port);
  const address = await server.bind();
  print(`listening on ${formatAddress(address)}`);
  const client = await UdpClient.open(address);
  const endMs = systemClock.nowMs() + options.seconds * 1000;
  let answers = 0;
  let lost = 0;
  while (systemClock.nowMs() < endMs) {
    client.send(encodeFrame(ECHO, toBytes(`Hello Lars, ${answers}!`)));
    try {
      const body = frameBody(await client.receive(500));
      if (answers++ === 0 && body !== undefined) print(`echo: ${toText(body)}`);
    } catch (error) {
      if (!(error instanceof TimeoutError)) throw error;
      lost++;
    }
  }
  print(`${answers} answers, ${lost} lost`);
  client.close();
  await server.close();
});
