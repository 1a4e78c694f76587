// Goal: the console's port serves, streams, and outlives whatever its peers do, on both runtimes.
// Method: raw sockets that are silent, slow, or gone.

import assert from "node:assert/strict";
import { connect, type Socket } from "node:net";
import { test } from "node:test";
import { connect as connectTls, type TLSSocket } from "node:tls";
import { BindError } from "../reactor/errors.ts";
import { silentLogger } from "../reactor/log.ts";
import { openHttp } from "../reactor/runtime/http.ts";
import { ManualClock } from "../reactor/time/manual_clock.ts";
import { systemClock } from "../reactor/time/system_clock.ts";
import { FleetCertificates } from "../session/testing/fleet_certificates.ts";
import { HandshakeServers } from "../session/tls/handshake_servers.ts";
import { until } from "../tests/support/until.ts";
import {
  HTTP_BODY_MS,
  HTTP_BODY_STEP_MS,
  HTTP_HEAD_MS,
  HTTP_IDLE_MS,
  HttpServer,
  type HttpServerOptions,
} from "./http_server.ts";

type Handle = HttpServerOptions["handle"];

async function withServer(
  handle: Handle,
  fn: (base: string, server: HttpServer, port: number) => Promise<void>,
  options: Partial<HttpServerOptions> = {},
): Promise<void> {
  const shared = { hostname: "127.0.0.1", port: 0, clock: systemClock, log: silentLogger };
  const server = new HttpServer({ ...shared, handle, ...options });
  const { port } = await server.listen();
  try {
    await fn(`http://127.0.0.1:${port}`, server, port);
  } finally {
    await server.close();
  }
}

const fleet = await FleetCertificates.make();
const pair = await fleet.pair("console", ["editor"]);

/** What one peer asks over TLS, each time over one connection. */
function secret(port: number, ca = fleet.authority.cert): Promise<TLSSocket> {
  const socket = connectTls({ host: "127.0.0.1", port, ca, servername: "localhost" });
  socket.on("error", () => {});
  return new Promise((resolve, reject) => {
    socket.once("secureConnect", () => resolve(socket)).once("close", reject);
  });
}

test("over TLS requests are answered, certificates change, and silent peers are ended", async () => {
  let servers = new HandshakeServers(pair);
  const clock = new ManualClock();
  const handshakes = (): HandshakeServers => servers;
  let cancelled = false;
  const handle: Handle = async (request, remote) => {
    assert.match(request.url, /^https:/);
    if (!request.url.endsWith("/stream")) return await echo(request, remote);
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => controller.enqueue(new TextEncoder().encode("data: 1\n\n")),
      cancel: () => void (cancelled = true),
    });
    return new Response(body, { headers: { "Content-Type": "text/event-stream" } });
  };
  await withServer(handle, async (_base, server, port) => {
    const keeper = await secret(port);
    let got = "";
    keeper.on("data", (bytes) => (got += String(bytes)));
    for (let index = 0; index < 3; index++) {
      keeper.write(`GET /${index} HTTP/1.1\r\nHost: h\r\n\r\n`);
      await until(() => got.includes(`GET /${index} 0 127.0.0.1`), { what: "the same connection" });
    }
    const big = 3_000_000;
    keeper.write(`POST /big HTTP/1.1\r\nHost: h\r\nContent-Length: ${big}\r\n\r\n`);
    keeper.write("x".repeat(big));
    await until(() => got.includes(`POST /big ${big}`), { what: "a large body" });
    const reader = await secret(port);
    let events = "";
    reader.on("data", (bytes) => (events += String(bytes)));
    reader.write("GET /stream HTTP/1.1\r\nHost: h\r\n\r\n");
    await until(() => events.includes("data: 1"));
    assert.equal(server.stats.open, 2);
    reader.destroy();
    await until(() => cancelled && server.stats.open === 1, { what: "the reader to be gone" });
    // A new certificate is shown to those who come, and those who are here stay.
    const other = await FleetCertificates.make("other");
    servers = new HandshakeServers(await other.pair("console", ["editor"]));
    (await secret(port, other.authority.cert)).destroy();
    await assert.rejects(secret(port));
    keeper.write("GET /still HTTP/1.1\r\nHost: h\r\n\r\n");
    await until(() => got.includes("GET /still"));
    const plain = raw(port);
    plain.socket.write("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    await until(() => plain.isEnded(), { what: "one without TLS to be ended" });
    const [silent, torn] = [raw(port), raw(port)];
    torn.socket.write(Uint8Array.of(0x16, 3, 1));
    const waiting = await secret(port, other.authority.cert);
    let isOver = false;
    waiting.on("close", () => (isOver = true)).resume();
    await until(() => server.stats.open === 4);
    clock.advance(HTTP_HEAD_MS + 1000);
    await until(() => silent.isEnded() && torn.isEnded() && isOver, { what: "their end" });
    assert.equal(server.stats.timedOut, 3);
    clock.advance(HTTP_IDLE_MS);
    await until(() => server.stats.open === 0, { what: "an idle one to be ended" });
  }, { clock, handshakes });
});

const echo: Handle = async (request, remote) => {
  const body = await request.text();
  const text = `${request.method} ${
    new URL(request.url).pathname
  } ${body.length} ${remote.hostname}`;
  return new Response(text, { status: 201, headers: { "X-Own": "1" } });
};

/** Time for bytes to arrive, on loopback. */
const settle = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 100));

/** A connection and what has come over it. */
function raw(port: number): { socket: Socket; got: () => string; isEnded: () => boolean } {
  let text = "";
  let ended = false;
  const socket = connect(port, "127.0.0.1")
    .on("data", (bytes) => (text += String(bytes)))
    .on("error", () => {})
    .on("close", () => (ended = true));
  return { socket, got: () => text, isEnded: () => ended };
}

test("requests are answered, with bodies, heads and errors, over one connection and many", async () => {
  await withServer(async (request, remote) => {
    if (request.url.endsWith("/throws")) throw new Error("a fault of ours");
    if (request.url.endsWith("/nothing")) return new Response(null, { status: 204 });
    return await echo(request, remote);
  }, async (base, _server, port) => {
    const big = "x".repeat(3_000_000);
    const answers = await Promise.all([
      fetch(`${base}/a?b`),
      fetch(`${base}/b`, { method: "POST", body: big }),
      fetch(`${base}/c`, { method: "HEAD" }),
      fetch(`${base}/nothing`, { method: "DELETE" }),
      fetch(`${base}/throws`),
    ]);
    const texts = await Promise.all(answers.map((answer) => answer.text()));
    assert.deepEqual(answers.map(({ status }) => status), [201, 201, 201, 204, 500]);
    assert.deepEqual(texts, ["GET /a 0 127.0.0.1", "POST /b 3000000 127.0.0.1", "", "", ""]);
    assert.equal(answers[0].headers.get("X-Own"), "1");
    const keeper = raw(port);
    keeper.socket.write("GET /1 HTTP/1.1\r\nHost: h\r\n\r\n");
    await until(() => keeper.got().includes("GET /1"));
    keeper.socket.write("POST /2 HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nab");
    await until(() => keeper.got().includes("POST /2 2"));
    keeper.socket.destroy();
    const broken = raw(port);
    broken.socket.write("nonsense\r\n\r\n");
    await until(() => broken.isEnded() || broken.got().includes(" 400 "), { what: "the refusal" });
    const hostless = raw(port);
    hostless.socket.write("GET / HTTP/1.0\r\n\r\n");
    await until(() => hostless.got().includes(" 400 "));
    assert.equal((await fetch(base)).status, 201, "and goes on");
  });
});

test("a head that cannot be read, or is too long, is said to be so, once", async () => {
  await withServer(echo, async (base, server, port) => {
    const cases: readonly (readonly [head: string, status: number])[] = [
      ["nonsense\r\n\r\n", 400],
      ["FOO / HTTP/1.1\r\nHost: h\r\n\r\n", 400],
      ["GET / HTTP/1.1\r\nHost: h\r\nbad line\r\n\r\n", 400],
      ["POST / HTTP/1.1\r\nHost: h\r\nContent-Length: -5\r\n\r\n", 400],
      [`GET /${"a".repeat(70_000)} HTTP/1.1\r\nHost: h\r\n\r\n`, 431],
      [`GET / HTTP/1.1\r\nHost: h\r\nCookie: ${"a".repeat(70_000)}\r\n\r\n`, 431],
    ];
    for (const [head, status] of cases) {
      const peer = raw(port);
      peer.socket.write(head);
      await until(() => peer.isEnded(), { what: head.slice(0, 40) });
      assert.deepEqual(
        peer.got().match(/HTTP\/1\.1 \d+/g),
        [`HTTP/1.1 ${status}`],
        head.slice(0, 40),
      );
    }
    await until(() => server.stats.open === 0, { what: "their places to be free" });
    assert.equal((await fetch(base)).status, 201, "and goes on");
  });
});

test("a stream comes at once, and is told when its reader has gone", async () => {
  let cancelled = false;
  const stream = (): Response => {
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => controller.enqueue(new TextEncoder().encode("data: 1\n\n")),
      cancel: () => void (cancelled = true),
    });
    return new Response(body, { headers: { "Content-Type": "text/event-stream" } });
  };
  await withServer(stream, async (_base, _server, port) => {
    const reader = raw(port);
    reader.socket.write("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    await until(() => reader.got().includes("data: 1"), { what: "the first event" });
    reader.socket.destroy();
    await until(() => cancelled, { what: "the end of the stream" });
  });
});

test("a body that is refused unread ends its connection", async () => {
  await withServer(() => new Response("no", { status: 413 }), async (_base, _server, port) => {
    const sender = raw(port);
    sender.socket.write("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000000\r\n\r\nabc");
    await until(() => sender.got().includes(" 413 ") && sender.isEnded(), { what: "the end" });
  });
});

test("silent connections, however many, keep nobody out: the oldest gives up its place", async () => {
  await withServer(echo, async (base, server, port) => {
    const silent = Array.from({ length: 60 }, () => raw(port));
    await until(() => server.stats.evicted >= 40, { what: "all to have come" });
    assert.equal(server.stats.open, 20);
    assert.equal((await fetch(base)).status, 201);
    assert.ok(silent[0].isEnded() && !silent[59].isEnded());
    for (const { socket } of silent) socket.destroy();
    await until(() => server.stats.open <= 1, { what: "the end of all" });
  }, { connectionsMax: 20 });
});

test("connections that are at work are not given up for new ones", async () => {
  const doors: (() => void)[] = [];
  const handle = (): Promise<Response> =>
    new Promise((resolve) => doors.push(() => resolve(new Response("done"))));
  await withServer(handle, async (base, server, port) => {
    const busy = Array.from({ length: 3 }, () => fetch(base).then((answer) => answer.text()));
    await until(() => doors.length === 3);
    const late = raw(port);
    await until(() => late.isEnded(), { what: "the refusal" });
    assert.deepEqual([server.stats.refused, server.stats.evicted], [1, 0]);
    for (const open of doors) open();
    assert.deepEqual(await Promise.all(busy), ["done", "done", "done"]);
  }, { connectionsMax: 3 });
});

test("half heads, half bodies and unused connections end in their time", async () => {
  const clock = new ManualClock();
  await withServer(echo, async (_base, server, port) => {
    const [head, body, idle] = [raw(port), raw(port), raw(port)];
    head.socket.write("GET / HTTP/1.1\r\nHo");
    body.socket.write("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nab");
    idle.socket.write("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    await until(() => idle.got().includes("GET / 0") && server.stats.open === 3);
    clock.advance(HTTP_HEAD_MS);
    await until(() => head.isEnded(), { what: "the end of the half head" });
    assert.deepEqual([body.isEnded(), idle.isEnded()], [false, false]);
    clock.advance(HTTP_BODY_MS);
    await until(() => body.isEnded(), { what: "the end of the half body" });
    assert.equal(idle.isEnded(), false);
    clock.advance(HTTP_IDLE_MS);
    await until(() => idle.isEnded(), { what: "the end of the unused one" });
    assert.equal(server.stats.timedOut, 3);
  }, { clock });
});

test("a body that trickles ends in seconds, one that only takes its time does not", async () => {
  const clock = new ManualClock();
  await withServer(echo, async (_base, server, port) => {
    const head = (length: number): string =>
      `POST / HTTP/1.1\r\nHost: h\r\nContent-Length: ${length}\r\n\r\n`;
    const size = 4 * 16 * 1024;
    const [slow, steady] = [raw(port), raw(port)];
    slow.socket.write(`${head(size)}{`);
    steady.socket.write(head(size));
    await until(() => server.stats.open === 2, { what: "both" });
    await settle();
    for (let part = 0; part < 3; part++) {
      steady.socket.write("x".repeat(16 * 1024 + 10));
      slow.socket.write(" ");
      await settle();
      clock.advance(HTTP_BODY_STEP_MS / 2);
      await settle();
    }
    await until(() => slow.isEnded(), { what: "the end of the slow one" });
    assert.equal(steady.isEnded(), false);
    steady.socket.write("x".repeat(size - 3 * (16 * 1024 + 10)));
    await until(() => steady.got().includes(`POST / ${size}`), { what: "its answer" });
    assert.equal(server.stats.timedOut, 1);
    steady.socket.destroy();
  }, { clock });
});

test("slow bodies in every place make room for others", async () => {
  await withServer(echo, async (base, server, port) => {
    const slow = Array.from({ length: 4 }, () => raw(port));
    for (const { socket } of slow) {
      socket.write("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 60000\r\n\r\n{");
    }
    await until(() => server.stats.open === 4, { what: "all places to be taken" });
    await settle();
    assert.equal((await fetch(`${base}/a`)).status, 201);
    assert.ok(server.stats.evicted > 0);
    for (const { socket } of slow) socket.destroy();
  }, { connectionsMax: 4 });
});

test("a taken port is a BindError, and close() ends streams", async () => {
  await withServer(echo, async (_base, _server, port) => {
    const shared = { hostname: "127.0.0.1", port, clock: systemClock, log: silentLogger };
    await assert.rejects(
      new HttpServer({ ...shared, handle: echo }).listen(),
      (error: unknown) => error instanceof BindError && error.inUse,
    );
  });
});

test("a port that is lost is taken again, and given back by close() whenever that comes", async () => {
  const clock = new ManualClock();
  const shared = { hostname: "127.0.0.1", port: 0, clock, log: silentLogger, handle: echo };
  const lost: (() => void)[] = [];
  let opened = 0;
  const closed = new Set<number>();
  let gate: Promise<void> = Promise.resolve();
  const open: typeof openHttp = async (options) => {
    await gate;
    const port = await openHttp(options);
    const index = opened++;
    const close = async (): Promise<void> => {
      await port.close();
      closed.add(index);
    };
    // What a runtime does that has run out of descriptors.
    lost.push(() => void close().then(() => options.onLost(new Error("lost"))));
    return { port: port.port, close };
  };
  const server = new HttpServer({ ...shared, open });
  const { port } = await server.listen();
  const answers = async (): Promise<boolean> =>
    (await fetch(`http://127.0.0.1:${port}/a`, { headers: { Connection: "close" } })).status ===
      201;
  const lose = async (): Promise<void> => {
    const before = clock.pendingCount;
    lost.at(-1)?.();
    await until(() => clock.pendingCount > before, { what: "the pause before it is taken again" });
  };
  assert.equal(await answers(), true);
  await lose();
  clock.advance(1000);
  await until(() => opened === 2, { what: "the port to be taken again" });
  assert.equal(await answers(), true);
  await lose();
  let letIn = (): void => {};
  gate = new Promise((resolve) => (letIn = resolve));
  clock.advance(1000);
  const ended = server.close();
  letIn();
  await ended;
  assert.deepEqual([opened, closed.size], [3, 3], "the one that was opened last too");
  await assert.rejects(fetch(`http://127.0.0.1:${port}/a`));
  assert.equal(clock.pendingCount, 0);
  // Lost for good while it closes: nobody takes it again.
  lost.at(-1)?.();
  clock.advance(1000);
  assert.equal(opened, 3);
});
