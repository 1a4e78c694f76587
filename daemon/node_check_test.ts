import assert from "node:assert/strict";
import { createServer, type Socket } from "node:net";
import { test } from "node:test";
import { parseIpv4 } from "../reactor/address.ts";
import { systemClock } from "../reactor/time/system_clock.ts";
import { checkNode, type CheckOutcome } from "./node_check.ts";
import { mayCheck, type NodeCheck, parseNodeCheck } from "./node_check_rules.ts";

/** Looks at a server that does this with each connection. */
async function look(
  check: NodeCheck,
  serve: (socket: Socket) => void,
  timeoutMs = 5_000,
): Promise<{ outcome: CheckOutcome; port: number }> {
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket);
    socket.on("error", () => {});
    serve(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  const port = address !== null && typeof address === "object" ? address.port : 0;
  const outcome = await checkNode({ ip: 0x7f000001, port }, check, systemClock, timeoutMs);
  for (const socket of sockets) socket.destroy();
  await new Promise((resolve) => server.close(resolve));
  return { outcome, port };
}

const HTTP: NodeCheck = { kind: "http", path: "/up" };

function answering(text: string): (socket: Socket) => void {
  return (socket) => socket.once("data", () => socket.write(text));
}

test("check: a connection is enough for tcp, http wants 2xx or 3xx", async () => {
  assert.equal((await look({ kind: "tcp" }, () => {})).outcome.result, "good");
  assert.equal((await look(HTTP, answering("HTTP/1.1 204 No\r\n\r\n"))).outcome.result, "good");
  const moved = "HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\n\r\n";
  assert.equal((await look(HTTP, answering(moved))).outcome.result, "good", "and goes nowhere");
  assert.match((await look(HTTP, answering("HTTP/1.1 503 No\r\n"))).outcome.fault, /status 503/);
  assert.match((await look(HTTP, answering("x".repeat(999)))).outcome.fault, /no answer of HTTP/);
  assert.match((await look(HTTP, (socket) => socket.end())).outcome.fault, /closed without/);
  assert.match((await look(HTTP, () => {}, 50)).outcome.fault, /no answer in 50 ms/);
});

test("check: nobody listens is told from other faults", async () => {
  const { port } = await look({ kind: "tcp" }, () => {});
  const node = { ip: 0x7f000001, port };
  assert.equal((await checkNode(node, { kind: "tcp" }, systemClock, 5_000)).result, "refused");
});

test("check: link-local and metadata addresses are never looked at", async () => {
  for (
    const text of ["169.254.169.254", "169.254.0.1", "100.100.100.200", "0.0.0.0", "224.0.0.1"]
  ) {
    assert.equal(mayCheck(parseIpv4(text)), false, text);
  }
  assert.equal(mayCheck(parseIpv4("10.0.0.1")), true);
  const node = { ip: parseIpv4("169.254.169.254"), port: 80 };
  assert.match((await checkNode(node, HTTP, systemClock, 1_000)).fault, /is not looked at/);
});

test("check: tcp, or http with a path", () => {
  assert.deepEqual(parseNodeCheck("tcp"), { kind: "tcp" });
  assert.deepEqual(parseNodeCheck("http:/up?x=1"), { kind: "http", path: "/up?x=1" });
  for (const text of ["http", "http:up", "http://other/up\r\nX: 1", "https:/up", "", "http:/a b"]) {
    assert.throws(() => parseNodeCheck(text), /Check must be tcp, or http:\/path/, text);
  }
});
