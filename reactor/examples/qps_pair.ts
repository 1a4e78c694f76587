// Shell. The QPS pair, to be run by a program: a server that sends each EchoMessage back encoded
// anew, and clients that count how many come back in each second.

import {
  type Address,
  BatchLoop,
  BatchTcp,
  type Connection,
  formatAddress,
  LoopClock,
  MessageRouter,
  ProtocolError,
  runtime,
  serveLoop,
  setRepeating,
  systemClock,
  systemRng,
  TcpClient,
  TcpServer,
} from "../mod.ts";
import { decodeEchoMessage, encodeEchoMessage } from "./echo_message.ts";
import { exampleLog, untilOver } from "./example_program.ts";

/** Id of the one message of both. */
const ECHO_ID = 1;

const content = new TextEncoder().encode("Hello Lars!!!");

/** How {@linkcode serveQps} serves. */
export interface QpsServerOptions extends Address {
  /** Time to serve; 0 = until interrupted. */
  readonly seconds: number;
  /** Connections through FFI, on this thread, on which nothing else runs then; Linux. */
  readonly fast: boolean;
  print(line: string): void;
}

/**
 * Serves until the time is over, or a signal comes (on the fast path that one ends the program).
 *
 * @throws {BindError} when the port is taken.
 */
export async function serveQps(options: QpsServerOptions): Promise<void> {
  const { hostname, port, seconds, fast, print } = options;
  const router = new MessageRouter<Connection>({ log: exampleLog, clock: systemClock })
    .add(
      ECHO_ID,
      (body, peer) => void peer.send(ECHO_ID, encodeEchoMessage(decodeEchoMessage(body))),
    );
  const common = { hostname, port, router, log: exampleLog };
  let server: TcpServer;
  if (fast) {
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
}

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

/** How {@linkcode measureQps} asks. */
export interface QpsClientOptions {
  readonly server: Address;
  readonly connections: number;
  /** Requests that each connection keeps under way; 1 is what the original does. */
  readonly window: number;
  /** It asks until this is fulfilled. */
  readonly over: Promise<void>;
  print(line: string): void;
}

/** Asks, and prints the echoes of all connections in each second; resolves with all of them. */
export async function measureQps(options: QpsClientOptions): Promise<number> {
  let echoes = 0;
  const router = new MessageRouter<TcpClient>({ log: exampleLog, clock: systemClock })
    .add(ECHO_ID, (body, peer) => {
      const answer = decodeEchoMessage(body);
      if (!answer.content.every((byte, index) => byte === content[index])) {
        throw new ProtocolError("Echo must be what was sent");
      }
      echoes++;
      peer.send(ECHO_ID, encodeEchoMessage({ content, id: (answer.id + 1) % 2 ** 31 }));
    });
  const clients = Array.from({ length: options.connections }, (_, index) =>
    new TcpClient({
      addresses: [options.server],
      transport: runtime,
      router,
      clock: systemClock,
      rng: systemRng,
      log: exampleLog,
      name: `the QPS server (${index})`,
      onConnect: (self) => {
        for (let id = 0; id < options.window; id++) {
          self.send(ECHO_ID, encodeEchoMessage({ content, id }));
        }
      },
    }));
  for (const client of clients) client.start();
  let lastMs = systemClock.nowMs();
  let total = 0;
  const report = (): void => {
    const nowMs = systemClock.nowMs();
    options.print(`---> qps = ${Math.round(echoes * 1000 / (nowMs - lastMs))} <----`);
    lastMs = nowMs;
    total += echoes;
    echoes = 0;
  };
  const timer = setRepeating(systemClock, 1000, report);
  await options.over;
  timer.cancel();
  report();
  await Promise.all(clients.map((client) => client.close()));
  return total;
}
