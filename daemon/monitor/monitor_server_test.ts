import assert from "node:assert/strict";
import { connect, type Socket } from "node:net";
import { test } from "node:test";
import { BindError } from "../../reactor/errors.ts";
import { silentLogger } from "../../reactor/log.ts";
import { ManualClock } from "../../reactor/time/manual_clock.ts";
import { systemClock } from "../../reactor/time/system_clock.ts";
import { until } from "../../tests/support/until.ts";
import {
  MONITOR_CONNECTIONS_MAX,
  MONITOR_REQUEST_MS,
  type MonitorRoute,
  MonitorServer,
  type MonitorServerOptions,
  monitorUrl,
} from "./monitor_server.ts";

const LARGE = "0123456789".repeat(300_000);

async function withServer(
  options: Partial<MonitorServerOptions>,
  body: (url: string, port: number) => Promise<void>,
): Promise<void> {
  const server = new MonitorServer({
    hostname: "127.0.0.1",
    port: 0,
    routes: new Map<string, MonitorRoute>([
      ["/metrics", () => ({ status: 200, body: "m 1\n" })],
      ["/healthz", () => ({ status: 200, body: "ok\n" })],
      ["/echo", ({ query }) => Promise.resolve({ status: 200, body: query.get("x") ?? "" })],
      ["/large", () => ({ status: 200, body: LARGE })],
      ["/fails", () => Promise.reject(new Error("no"))],
    ]),
    token: undefined,
    openPaths: new Set(["/healthz"]),
    clock: systemClock,
    log: silentLogger,
    ...options,
  });
  const address = server.listen();
  try {
    await body(monitorUrl(address), address.port);
  } finally {
    server.close();
  }
}

/** Connects, sends a text, and gathers what comes until the end. */
async function talk(port: number, text: string): Promise<string> {
  const socket = connect(port, "127.0.0.1");
  let received = "";
  socket.on("data", (chunk) => received += chunk.toString());
  socket.on("error", () => undefined);
  const closed = new Promise<void>((resolve) => socket.on("close", () => resolve()));
  socket.write(text);
  await closed;
  return received;
}

test("MonitorServer answers paths, queries and errors", async () => {
  await withServer({}, async (url) => {
    const get = async (path: string, init?: RequestInit): Promise<[number, string]> => {
      const response = await fetch(url + path, init);
      return [response.status, await response.text()];
    };
    assert.deepEqual(await get("/metrics"), [200, "m 1\n"]);
    assert.deepEqual(await get("/echo?x=a%20b"), [200, "a b"]);
    assert.deepEqual(await get("/metrics", { method: "HEAD" }), [200, ""]);
    assert.deepEqual(await get("/large"), [200, LARGE]);
    assert.equal((await get("/metrics", { method: "POST", body: "x".repeat(100_000) }))[0], 405);
    assert.match((await get("/"))[1], /\/metrics \/healthz/);
    assert.equal((await get("/fails"))[0], 500);
    const many = await Promise.all(Array.from({ length: 30 }, () => get("/metrics")));
    assert.ok(many.every(([status]) => status === 200));
  });
});

test("MonitorServer answers POST where it is told to, and nothing else there", async () => {
  const posts = new Map<string, MonitorRoute>([["/turn", () => ({ status: 200, body: "on" })]]);
  await withServer({ posts }, async (url) => {
    const answer = await fetch(`${url}/turn`, { method: "POST", body: "x" });
    assert.equal(await answer.text(), "on");
    for (const [path, method] of [["/turn", "GET"], ["/turn", "PUT"], ["/metrics", "POST"]]) {
      const refused = await fetch(url + path, { method });
      assert.equal(refused.status, 405, `${method} ${path}`);
      assert.equal(refused.headers.get("allow"), path === "/turn" ? "POST" : "GET, HEAD");
      await refused.text();
    }
    assert.match(await (await fetch(`${url}/none`)).text(), /\/metrics .*\/turn/);
  });
});

test("MonitorServer wants the token, but not for probes", async () => {
  const token = new TextEncoder().encode("a-secret-for-scrapers");
  await withServer({ token }, async (url) => {
    const status = async (path: string, authorization?: string): Promise<number> => {
      const headers: HeadersInit = authorization === undefined ? {} : { authorization };
      const response = await fetch(url + path, { headers });
      await response.body?.cancel();
      return response.status;
    };
    assert.equal(await status("/healthz"), 200);
    assert.equal(await status("/metrics"), 401);
    assert.equal(await status("/metrics", "Bearer wrong"), 401);
    assert.equal(await status("/metrics", "Basic a-secret-for-scrapers"), 401);
    assert.equal(await status("/metrics", "Bearer a-secret-for-scrapers"), 200);
  });
});

test("MonitorServer survives hostile clients", async () => {
  await withServer({}, async (url, port) => {
    assert.match(await talk(port, "nonsense\r\n\r\n"), /^HTTP\/1\.1 400 /);
    assert.match(await talk(port, `GET /${"x".repeat(20_000)}`), /^HTTP\/1\.1 431 /);
    assert.match(
      await talk(port, "GET /metrics HTTP/1.1\r\n\r\nGET /metrics HTTP/1.1\r\n\r\n"),
      /^HTTP\/1\.1 200 [^]*m 1\n$/,
      "one answer for each connection",
    );
    connect(port, "127.0.0.1").end();
    assert.equal((await fetch(`${url}/healthz`)).status, 200);
  });
});

test("MonitorServer ends silent clients, and gives their places to new ones", async () => {
  const clock = new ManualClock();
  await withServer({ clock }, async (url, port) => {
    const sockets: Socket[] = [];
    let closedCount = 0;
    for (let index = 0; index < MONITOR_CONNECTIONS_MAX; index++) {
      const socket = connect(port, "127.0.0.1");
      socket.on("close", () => closedCount++);
      socket.on("error", () => undefined);
      await new Promise<void>((resolve) => socket.on("connect", () => resolve()));
      socket.write("GET /met");
      sockets.push(socket);
    }
    await until(() => clock.pendingCount === MONITOR_CONNECTIONS_MAX, { what: "all accepted" });
    assert.equal((await fetch(`${url}/healthz`)).status, 200, "the oldest makes room");
    await until(() => closedCount === 1, { what: "its end" });
    clock.advance(MONITOR_REQUEST_MS);
    await until(() => closedCount === sockets.length, { what: "the silent ones are closed" });
    assert.equal((await fetch(`${url}/healthz`)).status, 200);
  });
});

test("MonitorServer says that its port is taken", async () => {
  await withServer({}, async (_url, port) => {
    await assert.rejects(withServer({ port }, () => Promise.resolve()), BindError);
  });
});
