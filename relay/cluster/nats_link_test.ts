import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { test } from "node:test";
import { silentLogger } from "../../reactor/log.ts";
import { systemClock } from "../../reactor/time/system_clock.ts";
import { NatsLink } from "./nats_link.ts";

const TIMEOUT = { timeout: 60_000 };

/** A link to a server without TLS that takes messages of so many bytes. */
interface Trial {
  readonly link: NatsLink;
  /** The first line of the log that begins so, from now on. */
  line(start: string): Promise<string>;
  /** Lines of the log so far. */
  readonly lines: readonly string[];
  /** The server ends all connections. */
  breakAll(): void;
  /** Everything that the server was told. */
  told(): string;
}

async function withServer(
  scheme: string,
  maxPayload: number,
  fn: (trial: Trial) => Promise<void>,
): Promise<void> {
  const sockets = new Set<Socket>();
  let told = "";
  const info = { server_id: "x", version: "2.10.0", proto: 1, headers: true };
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => undefined);
    socket.on("close", () => sockets.delete(socket));
    socket.on("data", (data) => {
      told += data.toString();
      if (data.includes("PING")) socket.write("PONG\r\n");
    });
    socket.write(`INFO ${JSON.stringify({ ...info, max_payload: maxPayload })}\r\n`);
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const hearers = new Set<(line: string) => void>();
  const lines: string[] = [];
  const write = (line: string): void => {
    lines.push(line);
    hearers.forEach((hear) => hear(line));
  };
  const link = new NatsLink({
    ...{ servers: [`${scheme}://127.0.0.1:${port}`], secret: "secret-of-relays" },
    ...{
      caFile: undefined,
      prefix: "lars",
      isStore: false,
      replicas: 1,
      monitors: [],
      clock: systemClock,
    },
    log: {
      ...silentLogger,
      info: write,
      warn: (message, fields) => write(`${message}: ${String(fields?.error)}`),
    },
  });
  const line = (start: string): Promise<string> =>
    new Promise((resolve) => {
      hearers.add((one) => one.startsWith(start) && resolve(one));
    });
  try {
    const breakAll = (): void => sockets.forEach((socket) => socket.destroy());
    await fn({ link, line, told: () => told, lines, breakAll });
  } finally {
    await link.close();
    for (const socket of sockets) socket.destroy();
    server.close();
  }
}

test(
  "a server that is to be reached over TLS and has none is told no secret",
  TIMEOUT,
  () =>
    withServer("tls", 1_048_576, async ({ line, told }) => {
      assert.match(await line(""), /^The NATS server cannot be reached: .*tls/i);
      assert.ok(!told().includes("secret"), told());
    }),
);

test(
  "what a server does not take is not sent, and said: it is no fault of whoever sends",
  TIMEOUT,
  () =>
    withServer("nats", 100, async ({ link, line, told }) => {
      await line("Connected");
      await new Promise((resolve) => link.connected ? resolve(0) : link.onState(resolve));
      const said = line("A message to other relays cannot be sent");
      assert.equal(link.publish("all", new Uint8Array(101)), false);
      assert.match(await said, /max_payload/);
      assert.equal(link.publish("all", new TextEncoder().encode("small one")), true);
      await link.close();
      assert.ok(told().includes("small one"));
      assert.equal(link.publish("all", new Uint8Array(1)), false);
    }),
);

test(
  "what is wrong with a server is said once, and not with each connection to it",
  TIMEOUT,
  () =>
    withServer("nats", 100, async ({ line, lines, breakAll }) => {
      await line("Connected");
      for (let connection = 2; connection <= 3; connection++) {
        const again = line("Connected");
        breakAll();
        await again;
      }
      const warnings = lines.filter((one) => one.startsWith("The NATS server must take"));
      assert.equal(warnings.length, 1, lines.join("\n"));
    }),
);
