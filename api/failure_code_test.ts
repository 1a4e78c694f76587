// Goal: the kind of a failure is read from what runtimes really throw. Method: sockets and `fetch`
// against ports of this machine, and a table of errors.

import assert from "node:assert/strict";
import { connect, createServer, type Server, type Socket } from "node:net";
import { test } from "node:test";
import { TimeoutError } from "../reactor/errors.ts";
import { freePort } from "../tests/support/free_port.ts";
import { failureCodeOf } from "./failure_code.ts";

const REFUSED = 111;
const TIMEOUT = 110;
const OTHER = 2;

function coded(code: string, cause?: unknown): Error {
  return Object.assign(new Error("it failed", { cause }), { code });
}

function named(name: string): Error {
  return Object.assign(new Error("it failed"), { name });
}

test("failureCodeOf() reads codes, names, numbers in the text, and causes", () => {
  const table: [unknown, number][] = [
    [coded("ECONNREFUSED"), REFUSED],
    [coded("ECONNRESET"), REFUSED],
    [coded("EHOSTUNREACH"), REFUSED],
    [coded("EPIPE"), REFUSED],
    [coded("ETIMEDOUT"), TIMEOUT],
    [coded("UND_ERR_HEADERS_TIMEOUT"), TIMEOUT],
    [new TimeoutError("late", 5), TIMEOUT],
    [named("TimeoutError"), TIMEOUT],
    [named("ConnectionRefused"), REFUSED],
    [new TypeError("fetch failed", { cause: coded("ECONNRESET") }), REFUSED],
    [new TypeError("fetch failed", { cause: new Error("reset (os error 104)") }), REFUSED],
    [new AggregateError([new Error("one"), coded("ECONNREFUSED")]), REFUSED],
    [coded("ENOENT", coded("ECONNREFUSED")), REFUSED],
    [coded("ENOTFOUND"), OTHER],
    [named("AbortError"), OTHER],
    [new Error("no space (os error 28)"), OTHER],
    [new Error("status 500"), OTHER],
    ["ECONNREFUSED", OTHER],
    [undefined, OTHER],
    [{ code: 111 }, OTHER],
  ];
  for (const [error, code] of table) assert.equal(failureCodeOf(error), code, String(error));
});

test("a chain of causes that never ends is not followed for ever", () => {
  const error = new Error("round");
  error.cause = error;
  assert.equal(failureCodeOf(error), OTHER);
});

function listen(onSocket: (socket: Socket) => void): Promise<{ server: Server; port: number }> {
  const server = createServer((socket) => {
    socket.on("error", () => {});
    onSocket(socket);
  });
  return new Promise((resolve) => {
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      if (address === null || typeof address === "string") throw new Error("no port");
      resolve({ server, port: address.port });
    });
  });
}

function closed(server: Server): Promise<void> {
  return new Promise((resolve) => server.close(() => resolve()));
}

async function failureOf(work: () => Promise<unknown>): Promise<number> {
  try {
    await work();
  } catch (error) {
    return failureCodeOf(error);
  }
  throw new Error("It must fail");
}

test("sockets and fetch of this runtime: refused, lost, too late", async () => {
  const gonePort = await freePort();
  const dial = (): Promise<void> =>
    new Promise((resolve, reject) => {
      connect(gonePort, "127.0.0.1").on("connect", resolve).on("error", reject);
    });
  assert.equal(await failureOf(dial), REFUSED);
  assert.equal(await failureOf(() => fetch(`http://127.0.0.1:${gonePort}/`)), REFUSED);

  const breaking = await listen((socket) => socket.once("data", () => socket.resetAndDestroy()));
  assert.equal(await failureOf(() => fetch(`http://127.0.0.1:${breaking.port}/`)), REFUSED);
  await closed(breaking.server);

  const sockets = new Set<Socket>();
  const silent = await listen((socket) => sockets.add(socket));
  const late = (): Promise<unknown> =>
    fetch(`http://127.0.0.1:${silent.port}/`, { signal: AbortSignal.timeout(50) });
  assert.equal(await failureOf(late), TIMEOUT);
  for (const socket of sockets) socket.destroy();
  await closed(silent.server);
});
