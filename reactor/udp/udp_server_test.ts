import { test } from "node:test";
import assert from "node:assert/strict";
import { until } from "../../tests/support/until.ts";
import { LimitError, TimeoutError } from "../errors.ts";
import { ManualClock } from "../time/manual_clock.ts";
import { UdpClient, UNREAD_DATAGRAMS_MAX } from "./udp_client.ts";
import {
  echoOptions,
  sendAndLeave,
  testUdpTransport,
  withClient,
} from "../testing/udp_conformance.ts";
import { UdpServer, type UdpServerOptions } from "./udp_server.ts";

testUdpTransport({
  name: "UdpServer",
  make: (options) => ({ server: new UdpServer(options), end: () => Promise.resolve() }),
});

/** Runs `body` against a server that echoes, unless told otherwise. */
async function withServer(
  options: Partial<UdpServerOptions>,
  body: (server: UdpServer) => Promise<void>,
): Promise<void> {
  const server = new UdpServer(echoOptions(options));
  await server.bind();
  try {
    await body(server);
  } finally {
    await server.close();
  }
}

test("UdpClient.receive() gives up after its time", async () => {
  const clock = new ManualClock();
  await withServer({ onDatagram: () => {} }, async ({ address }) => {
    const client = await UdpClient.open({ ...address, clock });
    const waiting = client.receive(500);
    const refused = assert.rejects(waiting, (error) => {
      assert.ok(error instanceof TimeoutError);
      assert.match(
        error.message,
        new RegExp(`No answer from 127.0.0.1:${address.port} within 500 ms`),
      );
      return true;
    });
    clock.advance(500);
    await refused;
    const closed = assert.rejects(client.receive(500), LimitError);
    client.close();
    await closed;
    assert.equal(clock.pendingCount, 0);
    client.send(Uint8Array.of(1));
    assert.equal(client.stats.dropped, 1);
    assert.throws(() => client.local, /closed/);
  });
});

test("UdpClient ignores strangers and knows localhost by name", () =>
  withServer(
    {},
    (server) =>
      withClient({ hostname: "localhost", port: server.address.port }, async (client) => {
        assert.equal(client.peer.hostname, "127.0.0.1");
        await sendAndLeave(client.local);
        client.send(Uint8Array.of(9));
        assert.deepEqual([...await client.receive(4000)], [9]);
        assert.equal(client.stats.received, 1);
      }),
  ));

test("UdpClient drops the oldest of too many unread answers", () =>
  withServer({}, (server) =>
    withClient(server.address, async (client) => {
      const count = UNREAD_DATAGRAMS_MAX + 3;
      for (let index = 0; index < count; index++) {
        client.send(Uint8Array.of(index >> 8, index));
        // In step, so that no socket buffer overflows.
        await until(() => client.stats.received > index - 50, { intervalMs: 1, what: "answers" });
      }
      await until(() => client.stats.received === count, { what: "all answers" });
      assert.equal(client.stats.unread, 3);
      // Which ones were dropped is not asked: datagrams may overtake each other.
      for (let index = 0; index < UNREAD_DATAGRAMS_MAX; index++) await client.receive(0);
      await assert.rejects(client.receive(0), TimeoutError);
    })));
