import assert from "node:assert/strict";
import process from "node:process";
import { test } from "node:test";
import { until } from "../../tests/support/until.ts";
import { BatchLoop, EPOLLIN, WakeUp } from "./batch_loop.ts";
import { RECEIVE_BYTES_MAX } from "./batch_stream.ts";
import { BatchTcp, batchTcpFault } from "./batch_tcp.ts";
import { setRepeating } from "../time/clock.ts";
import { encodeFrame } from "../frame.ts";
import { HIGH_WATER_BYTES } from "../tcp/framed_link.ts";
import { silentLogger } from "../log.ts";
import { MessageRouter } from "../message_router.ts";
import type { Stream, TcpTransport } from "../runtime/mod.ts";
import { systemClock } from "../time/system_clock.ts";
import {
  echoRouter,
  testStream,
  testTcpServer,
  withAcceptedPair,
  withServer,
} from "../testing/tcp_conformance.ts";
import { type Connection, TcpServer } from "../tcp/tcp_server.ts";
import { RawPeer } from "../testing/raw_peer.ts";

const nowMs = (): number => systemClock.nowMs();
const fault = batchTcpFault(systemClock);

/** A transport whose loop gets a turn each millisecond, so that it can be tested on one thread. */
function openPumped(wantsRing?: boolean): { transport: TcpTransport; end(): void } {
  const loop = new BatchLoop(nowMs);
  const transport = new BatchTcp(loop, wantsRing);
  const pump = setRepeating(systemClock, 1, () => void loop.turn(0));
  return {
    transport,
    end(): void {
      pump.cancel();
      transport.close();
      loop.close();
    },
  };
}

const pumped = { name: "BatchTcp", open: () => openPumped() };
const alone = { name: "BatchTcp without io_uring", open: () => openPumped(false) };

/** A server on a loop that has a turn only when the test gives it one. */
async function withManualLoop(
  router: MessageRouter<Connection<string>>,
  body: (
    server: TcpServer<string>,
    loop: BatchLoop,
    connect: () => Promise<RawPeer>,
  ) => Promise<void>,
): Promise<void> {
  const loop = new BatchLoop(nowMs);
  const transport = new BatchTcp(loop);
  const peers: RawPeer[] = [];
  const server = new TcpServer<string>({
    hostname: "127.0.0.1",
    port: 0,
    router,
    clock: systemClock,
    log: silentLogger,
    transport,
  });
  const address = await server.listen();
  try {
    await body(server, loop, async () => {
      const peer = await RawPeer.connect(address);
      peers.push(peer);
      return peer;
    });
  } finally {
    for (const peer of peers) peer.destroy();
    const closing = server.close();
    loop.turn(0);
    await closing;
    transport.close();
    loop.close();
  }
}

test("batchTcpFault() finds nothing wrong with Linux", (t) => {
  if (process.platform !== "linux") return t.skip(`here it says: ${fault}`);
  assert.equal(fault, undefined);
});

if (fault === undefined) {
  for (const { name, open } of [pumped, alone]) {
    testTcpServer({ name, open });

    testStream(`${name}: an accepted`, async (body) => {
      const { transport, end } = open();
      try {
        await withAcceptedPair(transport, body);
      } finally {
        end();
      }
    });
  }

  test("BatchLoop tells a new socket nothing of the one whose slot it has", () => {
    const loop = new BatchLoop(nowMs);
    const [first, second, third] = [new WakeUp(), new WakeUp(), new WakeUp()];
    const told: string[] = [];
    const slots: Record<string, number> = {};
    const watch = (name: string, wakeUp: WakeUp, onReady: () => void): void => {
      const socket = {
        onReady(): number {
          told.push(name);
          onReady();
          return 1;
        },
      };
      slots[name] = loop.watch(wakeUp.fd, socket, EPOLLIN);
    };
    // Whichever of the two is told first takes the other out, then itself.
    const replace = (gone: string, other: WakeUp, own: string, self: WakeUp): void => {
      loop.forget(slots[gone], other.fd);
      watch("third", third, () => undefined);
      assert.equal(slots.third, slots[gone], "the slot is used again");
      loop.forget(slots[own], self.fd);
    };
    watch("first", first, () => replace("second", second, "first", first));
    watch("second", second, () => replace("first", first, "second", second));
    first.wake();
    second.wake();
    loop.turn(0);
    assert.equal(told.length, 1);
    assert.notEqual(told[0], "third");
    assert.equal(loop.turn(0), 0, "nothing has happened to the third");
    third.wake();
    loop.turn(0);
    assert.equal(told.at(-1), "third");
    for (const one of [first, second, third]) one.close();
    loop.close();
  });

  test("a handler may close all other connections, whose descriptors are taken at once", () => {
    const router = echoRouter().add(7, (_body, peer) => {
      for (const other of [...server.connections()]) {
        if (other !== peer) other.close("for a new one");
      }
    });
    let server: TcpServer<string>;
    return withManualLoop(router, async (made, loop, connect) => {
      server = made;
      const old = [await connect(), await connect(), await connect(), await connect()];
      loop.turn(1000);
      await until(() => (loop.turn(0), server.connectionCount === old.length), { what: "the old" });
      // All of this is one batch: words of those that are closed, and connections in their place.
      await Promise.all(old.map((peer) => peer.write(encodeFrame(7, new Uint8Array(0)))));
      const fresh = [await connect(), await connect(), await connect()];
      for (const peer of old) await peer.send(1, Uint8Array.of(99));
      await until(() => (loop.turn(0), server.connectionCount === 1 + fresh.length), {
        what: "the new",
      });
      await Promise.all(fresh.map((peer, index) => peer.send(1, Uint8Array.of(index))));
      await until(() => (loop.turn(0), fresh.every(({ frames }) => frames.length > 0)), {
        what: "the echoes",
      });
      assert.deepEqual(fresh.map(({ frames }) => [...frames[0].body]), [[0], [1], [2]]);
      assert.equal(old.filter(({ frames }) => frames.length > 0).length, 1);
    });
  });

  test("a connection that floods has one share of each turn", () =>
    withManualLoop(echoRouter(), async (server, loop, connect) => {
      const [flood, quick] = [await connect(), await connect()];
      await until(() => (loop.turn(0), server.connectionCount === 2), { what: "two connections" });
      // An id nobody answers, in a frame longer than a share.
      const sent = flood.write(encodeFrame(1, new Uint8Array(60_000)));
      const more = flood.write(encodeFrame(1, new Uint8Array(60_000)));
      await quick.send(1);
      await until(() => {
        const before = server.stats.bytesIn;
        loop.turn(0);
        assert.ok(server.stats.bytesIn - before <= RECEIVE_BYTES_MAX + 8);
        return quick.frames.length === 1 && flood.frames.length === 2;
      }, { what: "both" });
      await Promise.all([sent, more]);
    }));

  test("BatchTcp survives resets at every moment, and peers gone before they are accepted", () =>
    withServer(pumped, {}, async ({ server, connect }) => {
      const frame = encodeFrame(1, new Uint8Array(1000));
      for (let index = 0; index < 100; index++) {
        const peer = await connect();
        if (index % 4 > 0) void peer.write(frame.subarray(0, index * 10));
        if (index % 4 > 1) peer.end();
        if (index % 4 > 2) {
          await until(() => server.stats.accepted > index / 2, { what: "accepts" });
        }
        peer.reset();
      }
      await until(() => server.connectionCount === 0, { what: "all to be gone" });
      const peer = await connect();
      await peer.send(1);
      await until(() => peer.frames.length === 1, { what: "the echo" });
      assert.equal(server.stats.acceptErrors, 0);
    }));

  test("BatchTcp notices the reset of a peer that the server does not read from", () =>
    withServer(pumped, { outputBytesMax: 20_000_000 }, async ({ server, connect }) => {
      const peer = await connect();
      peer.pause();
      const frame = encodeFrame(1, new Uint8Array(50_000));
      for (let index = 0; index < 400; index++) void peer.write(frame);
      const pending = (): number => [...server.connections()][0]?.pendingBytes ?? 0;
      await until(() => pending() > HIGH_WATER_BYTES, { what: "high water" });
      peer.reset();
      await until(() => server.connectionCount === 0, { what: "the close" });
    }));

  test("BatchTcp keeps output apart while many peers read slowly and some go", () =>
    withServer(pumped, { outputBytesMax: 4_000_000 }, async ({ server, connect }) => {
      const peers: RawPeer[] = [];
      for (let index = 0; index < 12; index++) peers.push(await connect());
      for (const peer of peers) peer.pause();
      const body = (index: number): Uint8Array => new Uint8Array(40_000).fill(index);
      const sends = peers.map((peer, index) => {
        return Promise.all(Array.from({ length: 40 }, () => peer.send(1, body(index))));
      });
      await until(() => server.stats.framesIn > 100, { what: "output to pile up" });
      for (const peer of peers.slice(0, 4)) peer.reset();
      for (const peer of peers.slice(4)) peer.resume();
      await until(() => peers.slice(4).every(({ frames }) => frames.length === 40), {
        what: "all echoes",
      });
      for (const [index, peer] of peers.entries()) {
        assert.ok(peer.frames.every((frame) => frame.body.every((byte) => byte === index)));
      }
      await until(() => server.connectionCount === 8, { what: "those that are broken to be gone" });
      await Promise.all(sends.slice(4));
    }));

  for (const more of [0, 1]) {
    const rest = more === 0
      ? "what the ring could not send"
      : "that, and what was written behind it";
    test(`a stream that ends sends ${rest} before its end`, () =>
      withManualLoop(new MessageRouter(), async (server, loop, connect) => {
        const peer = await connect();
        await until(() => (loop.turn(0), server.connectionCount === 1), { what: "the connection" });
        const [connection] = [...server.connections()];
        peer.pause();
        // Each send is one of the ring, until the kernel takes no more of one.
        let frames = 0;
        const send = (): void => {
          frames++;
          assert.ok(connection.send(1, new Uint8Array(7_000).fill(frames)));
          loop.turn(0);
        };
        const { stream } = (connection as unknown as { link: { stream: Stream } }).link;
        while ((stream.settle?.() ?? 0) === 0) send();
        assert.equal(connection.pendingBytes, 0, "its buffer is free");
        for (let count = 0; count < more; count++) send();
        connection.close();
        peer.resume();
        await until(() => (loop.turn(0), peer.frames.length === frames), { what: "all frames" });
        for (const [index, { body }] of peer.frames.entries()) {
          assert.ok(body.length === 7_000 && body.every((byte) => byte === (index + 1) % 256));
        }
      }));
  }

  test("BatchTcp takes IPv4 addresses and localhost, no names", () => {
    const { transport, end } = openPumped();
    const options = {
      port: 0,
      reusePort: false,
      onConnection: () => undefined,
      onAcceptError: () => Promise.resolve(),
    };
    transport.listenTcp({ ...options, hostname: "localhost" }).close();
    for (const hostname of ["example.invalid", "::1", ""]) {
      assert.throws(() => transport.listenTcp({ ...options, hostname }), /Cannot bind TCP/);
    }
    end();
  });

  test("BatchTcp shares a port between listeners that ask for it, and tells both ends", async () => {
    const { transport, end } = openPumped();
    const seen: string[] = [];
    const options = {
      hostname: "0.0.0.0",
      reusePort: true,
      onConnection(stream: { local: { hostname: string }; close(): void }): void {
        seen.push(stream.local.hostname);
        stream.close();
      },
      onAcceptError: () => Promise.resolve(),
    };
    const first = transport.listenTcp({ ...options, port: 0 });
    const second = transport.listenTcp({ ...options, port: first.address.port });
    const peer = await RawPeer.connect({ hostname: "127.0.0.1", port: first.address.port });
    await until(() => peer.ended || peer.closed, { what: "the close" });
    assert.deepEqual(seen, ["127.0.0.1"]);
    first.close();
    second.close();
    end();
  });
}
