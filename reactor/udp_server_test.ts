import { createSocket } from "node:dgram";
import { test } from "node:test";
import assert from "node:assert/strict";
import { until } from "../tests/support/until.ts";
import type { Address } from "./address.ts";
import { BindError, LimitError, TimeoutError } from "./errors.ts";
import { silentLogger } from "./log.ts";
import { ManualClock } from "./manual_clock.ts";
import { systemClock } from "./system_clock.ts";
import { UdpClient, UNREAD_DATAGRAMS_MAX } from "./udp_client.ts";
import { DATAGRAM_BYTES_MAX, UdpServer, type UdpServerOptions } from "./udp_server.ts";

/** Runs `body` against a server that echoes, unless told otherwise. */
async function withServer(
  options: Partial<UdpServerOptions>,
  body: (server: UdpServer) => Promise<void>,
): Promise<void> {
  const server = new UdpServer({
    hostname: "127.0.0.1",
    port: 0,
    clock: systemClock,
    log: silentLogger,
    onDatagram: (bytes, from, self) => self.send(bytes, from),
    ...options,
  });
  await server.bind();
  try {
    await body(server);
  } finally {
    await server.close();
  }
}

async function withClient(
  address: Address,
  body: (client: UdpClient) => Promise<void>,
): Promise<void> {
  const client = await UdpClient.open(address);
  try {
    await body(client);
  } finally {
    client.close();
  }
}

/** Sends one datagram from a port that is closed at once, and forgets the answer. */
function sendAndLeave(to: Address): Promise<void> {
  return new Promise((resolve) => {
    const socket = createSocket("udp4");
    socket.send(Uint8Array.of(1), to.port, to.hostname, () => socket.close(() => resolve()));
  });
}

for (const size of [0, 1, 1472, DATAGRAM_BYTES_MAX]) {
  test(`UdpServer takes and sends datagrams of ${size} bytes`, () =>
    withServer({}, (server) =>
      withClient(server.address, async (client) => {
        client.send(new Uint8Array(size).fill(7));
        const answer = await client.receive(4000);
        assert.equal(answer.length, size);
        assert.ok(answer.every((byte) => byte === 7));
        await until(() => server.stats.sent === 1, { what: "the counters" });
        assert.deepEqual([server.stats.bytesIn, server.stats.bytesOut], [size, size]);
      })));
}

test("UdpServer lives on when peers are gone before the answer", () =>
  withServer({}, (server) =>
    withClient(server.address, async (client) => {
      for (let index = 0; index < 100; index++) {
        await sendAndLeave(server.address);
        client.send(Uint8Array.of(index));
        assert.deepEqual([...await client.receive(4000)], [index], "no innocent answer is lost");
      }
      await until(() => server.stats.received === 200, { what: "all datagrams" });
    })));

test("UdpServer.send() counts what it cannot send, and never throws", () =>
  withServer({}, async (server) => {
    server.send(new Uint8Array(DATAGRAM_BYTES_MAX + 1), server.address);
    assert.equal(server.stats.dropped, 1);
    for (const to of [{ hostname: "127.0.0.1", port: 1 }, { hostname: "240.0.0.1", port: 9 }]) {
      for (let index = 0; index < 10; index++) server.send(new Uint8Array(1), to);
    }
    await withClient(server.address, async (client) => {
      client.send(Uint8Array.of(5));
      assert.deepEqual([...await client.receive(4000)], [5]);
    });
    await server.close();
    const { dropped } = server.stats;
    server.send(new Uint8Array(1), server.address);
    assert.equal(server.stats.dropped, dropped + 1);
    await server.close();
  }));

test("UdpServer does not let the caller's later changes reach the wire", () => {
  const shared = new Uint8Array(4);
  return withServer({
    onDatagram: (bytes, from, server) => {
      shared.fill(bytes[0]);
      server.send(shared, from);
      shared.fill(255);
    },
  }, (server) =>
    withClient(server.address, async (client) => {
      client.send(Uint8Array.of(3));
      assert.deepEqual([...await client.receive(4000)], [3, 3, 3, 3]);
    }));
});

test("UdpServer survives a handler that throws", () =>
  withServer({
    onDatagram: (bytes, from, server) => {
      if (bytes[0] === 0) throw new Error("boom");
      server.send(bytes, from);
    },
  }, (server) =>
    withClient(server.address, async (client) => {
      for (const byte of [0, 0, 1]) client.send(Uint8Array.of(byte));
      assert.deepEqual([...await client.receive(4000)], [1]);
      assert.equal(server.stats.handlerErrors, 2);
    })));

test("UdpServer.bind() names a taken address", () =>
  withServer({}, async ({ address: { port } }) => {
    const second = new UdpServer({
      hostname: "127.0.0.1",
      port,
      clock: systemClock,
      log: silentLogger,
      onDatagram: () => {},
    });
    await assert.rejects(second.bind(), (error) => {
      assert.ok(error instanceof BindError);
      assert.equal(error.address, `127.0.0.1:${port}`);
      assert.equal(error.inUse, true);
      assert.match(
        error.message,
        new RegExp(`UDP 127\\.0\\.0\\.1:${port}: the address is already`),
      );
      return true;
    });
    assert.throws(() => second.address, /not bound/);
    await second.close();
  }));

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
