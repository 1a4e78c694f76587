// What every UDP transport must do; each one runs this suite in its own test file.

import { createSocket } from "node:dgram";
import { test } from "node:test";
import assert from "node:assert/strict";
import { until } from "../../tests/support/until.ts";
import type { Address } from "../address.ts";
import { BindError } from "../errors.ts";
import { silentLogger } from "../log.ts";
import { DATAGRAM_BYTES_MAX } from "../runtime/common.ts";
import { systemClock } from "../time/system_clock.ts";
import { UdpClient } from "../udp/udp_client.ts";
import type { DatagramServer, UdpServerOptions } from "../udp/udp_server.ts";

/** A transport under test. */
export interface UdpTransport {
  /** For the names of the tests. */
  readonly name: string;
  /** A server that is not bound yet, and what ends everything that was made for it. */
  make(options: UdpServerOptions): { server: DatagramServer; end(): Promise<void> };
}

/** Datagrams of each size in the mixed batch. */
const ROUNDS = 20;

/** Options of a server that echoes, unless told otherwise. */
export function echoOptions(options: Partial<UdpServerOptions>): UdpServerOptions {
  return {
    hostname: "127.0.0.1",
    port: 0,
    clock: systemClock,
    log: silentLogger,
    onDatagram: (bytes, from, self) => self.send(bytes, from),
    ...options,
  };
}

/** Runs `body` with a client of a server. */
export async function withClient(
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

/** Sends one datagram from a port that is closed at once, so that the answer is refused by ICMP. */
export function sendAndLeave(to: Address): Promise<void> {
  return new Promise((resolve) => {
    const socket = createSocket("udp4");
    socket.send(Uint8Array.of(1), to.port, to.hostname, () => socket.close(() => resolve()));
  });
}

/** Sends all of them in one turn, from one socket that ignores the answers. */
function sendAtOnce(to: Address, datagrams: readonly Uint8Array[]): Promise<void> {
  return new Promise((resolve) => {
    const socket = createSocket("udp4");
    let open = datagrams.length;
    const sent = (): void => {
      if (--open === 0) socket.close(() => resolve());
    };
    for (const one of datagrams) socket.send(one, to.port, to.hostname, sent);
  });
}

/** Registers the tests of one transport. */
export function testUdpTransport({ name, make }: UdpTransport): void {
  const withServer = async (
    options: Partial<UdpServerOptions>,
    body: (server: DatagramServer) => Promise<void>,
  ): Promise<void> => {
    const { server, end } = make(echoOptions(options));
    await server.bind();
    try {
      await body(server);
    } finally {
      await server.close();
      await end();
    }
  };
  testSending(name, withServer);
  testReceiving(name, withServer);

  test(`${name}.bind() names a taken address`, () =>
    withServer({}, async ({ address: { port } }) => {
      const { server: second, end } = make(echoOptions({ port }));
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
      await end();
    }));

  test(`${name}.bind() names an address this machine does not have`, async () => {
    const { server, end } = make(echoOptions({ hostname: "240.0.0.1" }));
    await assert.rejects(
      server.bind(),
      (error) => error instanceof BindError && !error.inUse && error.address === "240.0.0.1:0",
    );
    await end();
  });
}

type WithServer = (
  options: Partial<UdpServerOptions>,
  body: (server: DatagramServer) => Promise<void>,
) => Promise<void>;

function testSending(name: string, withServer: WithServer): void {
  test(`${name}.send() counts what it cannot send, and never throws`, () =>
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

  test(`${name} does not let the caller's later changes reach the wire`, () => {
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

  test(`${name} sends more answers to a datagram than fit one system call`, () => {
    const count = 150;
    return withServer({
      onDatagram: (_bytes, from, server) => {
        for (let i = 0; i < count; i++) server.send(Uint8Array.of(i), from);
      },
    }, (server) =>
      withClient(server.address, async (client) => {
        client.send(Uint8Array.of(0));
        const got = new Set<number>();
        for (let i = 0; i < count; i++) got.add((await client.receive(4000))[0]);
        assert.equal(got.size, count);
        await until(() => server.stats.sent === count, { what: "the counter" });
      }));
  });
}

function testReceiving(name: string, withServer: WithServer): void {
  for (const size of [0, 1, 255, 256, 257, 1472, DATAGRAM_BYTES_MAX]) {
    test(`${name} takes and sends datagrams of ${size} bytes`, () =>
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

  test(`${name} keeps the smallest, the largest and nonsense in one batch apart`, () => {
    const seen = new Map<number, number>();
    let wrong = 0;
    const sizes = [0, 1, 7, 8, 300, 20_000, DATAGRAM_BYTES_MAX];
    return withServer({
      onDatagram: (bytes) => {
        seen.set(bytes.length, (seen.get(bytes.length) ?? 0) + 1);
        // Each datagram is filled with its place in the list.
        const mark = sizes.indexOf(bytes.length);
        if (!bytes.every((byte) => byte === mark)) wrong++;
      },
    }, async (server) => {
      for (let round = 0; round < ROUNDS; round++) {
        // One batch of about 86 KB, which a socket's buffer holds.
        await sendAtOnce(
          server.address,
          sizes.map((size, mark) => new Uint8Array(size).fill(mark)),
        );
        const wanted = (round + 1) * sizes.length;
        await until(() => server.stats.received === wanted, { intervalMs: 1, what: "the batch" });
      }
      assert.deepEqual([...seen].sort(([a], [b]) => a - b), sizes.map((size) => [size, ROUNDS]));
      assert.equal(wrong, 0);
    });
  });

  test(`${name} lives on when peers are gone before the answer`, () =>
    withServer({}, (server) =>
      withClient(server.address, async (client) => {
        for (let index = 0; index < 100; index++) {
          await sendAndLeave(server.address);
          client.send(Uint8Array.of(index));
          assert.deepEqual([...await client.receive(4000)], [index], "no innocent answer is lost");
        }
        await until(() => server.stats.received === 200, { what: "all datagrams" });
      })));

  test(`${name} survives a handler that throws`, () =>
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

  test(`${name} can be closed by its handler`, () =>
    withServer({ onDatagram: (_bytes, _from, server) => void server.close() }, async (server) => {
      await sendAtOnce(server.address, [1, 2, 3].map((byte) => Uint8Array.of(byte)));
      await until(() => server.stats.received >= 1, { what: "the datagram that closes" });
      server.send(Uint8Array.of(1), { hostname: "127.0.0.1", port: 9 });
      assert.ok(server.stats.dropped >= 1);
    }));
}
