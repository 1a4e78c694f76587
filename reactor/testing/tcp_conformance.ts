// What a TCP server must do on every transport, and a stream of each; each one runs these suites in
// its own test file.

import { test } from "node:test";
import assert from "node:assert/strict";
import { freePort } from "../../tests/support/free_port.ts";
import { until } from "../../tests/support/until.ts";
import { BindError, ConnectError, ProtocolError } from "../errors.ts";
import { encodeFrame, FRAME_BODY_BYTES_MAX, writeHead } from "../frame.ts";
import { CLOSE_FLUSH_MS } from "../tcp/framed_link.ts";
import { silentLogger } from "../log.ts";
import { ManualClock } from "../time/manual_clock.ts";
import { MessageRouter } from "../message_router.ts";
import { seededRng } from "../time/rng.ts";
import type { Stream, StreamHandlers, TcpConnector, TcpTransport } from "../runtime/mod.ts";
import { systemClock } from "../time/system_clock.ts";
import { type Connection, TcpServer, type TcpServerOptions } from "../tcp/tcp_server.ts";
import { RawPeer, RawServer } from "./raw_peer.ts";

/** A transport under test. */
export interface TestedTransport {
  /** For the names of the tests. */
  readonly name: string;
  /** Makes the transport, and what ends everything that was made for it. */
  open(): { transport: TcpTransport | undefined; end(): void };
}

type Peer = Connection<string>;

/** 1: echo. 2: throws. 3: protocol fault. 4: answers the frame given as many times as the body says. */
export function echoRouter(): MessageRouter<Peer> {
  return new MessageRouter<Peer>()
    .add(1, (body, peer) => void peer.send(1, body))
    .add(2, () => {
      throw new Error("our own fault");
    })
    .add(3, () => {
      throw new ProtocolError("Body must make sense");
    })
    .add(4, (body, peer) => {
      const frame = encodeFrame(4, new Uint8Array(60_000));
      for (let index = 0; index < body[0]; index++) peer.sendFrames(frame);
    });
}

/** A server under test. */
export interface Running {
  readonly server: TcpServer<string>;
  readonly closes: string[];
  connect(): Promise<RawPeer>;
}

type WithServer = (
  options: Partial<TcpServerOptions<string>>,
  body: (running: Running) => Promise<void>,
) => Promise<void>;

/** Runs `body` against a server and ends both server and peers, whatever happens. */
export async function withServer(
  tested: TestedTransport,
  options: Partial<TcpServerOptions<string>>,
  body: (running: Running) => Promise<void>,
): Promise<void> {
  const closes: string[] = [];
  const peers: RawPeer[] = [];
  const { transport, end } = tested.open();
  const server = new TcpServer<string>({
    hostname: "127.0.0.1",
    port: 0,
    router: echoRouter(),
    clock: systemClock,
    log: silentLogger,
    transport,
    onClose: (_connection, reason) => void closes.push(reason),
    ...options,
  });
  try {
    const address = await server.listen();
    await body({
      server,
      closes,
      async connect(): Promise<RawPeer> {
        const peer = await RawPeer.connect(address);
        peers.push(peer);
        return peer;
      },
    });
  } finally {
    for (const peer of peers) peer.destroy();
    await server.close();
    end();
  }
}

/** Registers the tests of a server on one transport. */
export function testTcpServer(tested: TestedTransport): void {
  const { name } = tested;
  const withTested: WithServer = (options, body) => withServer(tested, options, body);

  test(`${name}: TcpServer echoes bodies of every size`, () =>
    withTested({}, async ({ server, connect }) => {
      const peer = await connect();
      const sizes = [0, 1, 7, 4087, 4088, 4089, 65_519, FRAME_BODY_BYTES_MAX];
      for (const size of sizes) await peer.send(1, new Uint8Array(size).fill(size));
      await until(() => peer.frames.length === sizes.length, { what: "all echoes" });
      assert.deepEqual(peer.frames.map((frame) => frame.body.length), sizes);
      for (const { body } of peer.frames) {
        assert.ok(body.every((byte) => byte === body.length % 256));
      }
      assert.equal(server.stats.framesIn, sizes.length);
      assert.equal(server.stats.framesOut, sizes.length);
      assert.equal(server.stats.bytesIn, server.stats.bytesOut);
    }));

  test(`${name}: TcpServer takes frames byte by byte`, () =>
    withTested({}, async ({ connect }) => {
      const peer = await connect();
      for (const byte of encodeFrame(1, Uint8Array.of(1, 2, 3))) {
        await peer.write(Uint8Array.of(byte));
      }
      await until(() => peer.frames.length === 1, { what: "the echo" });
      assert.deepEqual([...peer.frames[0].body], [1, 2, 3]);
    }));

  for (const bodyBytes of [-1, FRAME_BODY_BYTES_MAX + 1]) {
    test(`${name}: TcpServer closes a connection that announces ${bodyBytes} bytes, and no other`, () =>
      withTested({}, async ({ server, closes, connect }) => {
        const [bad, good] = [await connect(), await connect()];
        const head = new Uint8Array(8);
        writeHead(head, 0, 1, bodyBytes);
        await bad.write(head);
        await until(() => bad.ended || bad.closed, { what: "the close" });
        assert.match(closes[0], new RegExp(`current value is ${bodyBytes} `));
        assert.equal(server.stats.protocolErrors, 1);
        await good.send(1);
        await until(() => good.frames.length === 1, { what: "the echo" });
        assert.equal(server.connectionCount, 1);
      }));
  }

  test(`${name}: TcpServer survives random garbage on many connections`, () =>
    withTested({}, async ({ server, connect }) => {
      const rng = seededRng(7);
      for (let index = 0; index < 60; index++) {
        const bytes = Uint8Array.from({ length: 1 + index * 7 }, () => rng.next() * 256);
        const peer = await connect();
        await peer.write(bytes);
        peer.end();
      }
      await until(() => server.stats.closed === 60, { what: "60 closes" });
      const peer = await connect();
      await peer.send(1);
      await until(() => peer.frames.length === 1, { what: "the echo" });
    }));

  test(`${name}: TcpServer closes after too many unknown ids, and counts them`, () =>
    withTested({ unknownIdsMax: 3 }, async ({ server, closes, connect }) => {
      const peer = await connect();
      for (let index = 0; index < 3; index++) await peer.send(77);
      await peer.send(1);
      await until(() => peer.frames.length === 1, { what: "the echo" });
      assert.equal(server.stats.unknownIds, 3);
      await peer.send(78);
      await until(() => peer.ended || peer.closed, { what: "the close" });
      assert.deepEqual(closes, ["too many unknown message ids"]);
    }));

  test(`${name}: TcpServer closes with the guard's reason after what was sent has left`, async () => {
    const router = echoRouter();
    router.setGuard((peer, msgId) => {
      if (msgId === 1) return undefined;
      peer.send(9, Uint8Array.of(9));
      return `message ${msgId} before hello`;
    });
    await withTested({ router }, async ({ closes, connect }) => {
      const peer = await connect();
      await peer.write(encodeFrame(4, Uint8Array.of(1)));
      await until(() => peer.ended, { what: "the end" });
      assert.deepEqual(peer.frames.map((frame) => frame.msgId), [9]);
      assert.deepEqual(closes, ["message 4 before hello"]);
    });
  });

  test(`${name}: TcpServer closes only the connection whose handler failed`, () =>
    withTested({}, async ({ server, closes, connect }) => {
      const peers = [await connect(), await connect(), await connect()];
      await peers[0].send(2);
      await peers[1].send(3);
      await until(() => server.stats.closed === 2, { what: "two closes" });
      assert.deepEqual([...closes].sort(), ["Body must make sense", "a handler failed"]);
      assert.equal(server.stats.handlerErrors, 1);
      assert.equal(server.stats.protocolErrors, 1);
      await peers[2].send(1);
      await until(() => peers[2].frames.length === 1, { what: "the echo" });
    }));

  test(`${name}: TcpServer drops the rest of a chunk when a frame in it closes the connection`, () =>
    withTested({}, async ({ server, connect }) => {
      const peer = await connect();
      const bad = encodeFrame(3, new Uint8Array(0));
      const bytes = new Uint8Array(bad.length * 3);
      for (let index = 0; index < 3; index++) bytes.set(bad, index * bad.length);
      await peer.write(bytes);
      await until(() => peer.ended || peer.closed, { what: "the close" });
      assert.equal(server.stats.framesIn, 1);
    }));

  test(`${name}: TcpServer closes connections over the limit and counts them`, () =>
    withTested({ connectionsMax: 2 }, async ({ server, connect }) => {
      const peers = [await connect(), await connect()];
      // Those who never spoke would make room.
      for (const peer of peers) await peer.send(1);
      await until(() => peers.every(({ frames }) => frames.length === 1), {
        what: "both to speak",
      });
      const extra = await connect();
      await until(() => extra.ended || extra.closed, { what: "the refusal" });
      assert.equal(server.stats.refusedOverLimit, 1);
      assert.equal(server.stats.accepted, 2);
      peers[0].destroy();
      await until(() => server.connectionCount === 1, { what: "room" });
      const next = await connect();
      await next.send(1);
      await until(() => next.frames.length === 1, { what: "the echo" });
    }));

  test(`${name}: TcpServer closes connections beyond the limit of their host, unless it is exempt`, async () => {
    await withTested({ connectionsPerHostMax: 2 }, async ({ server, connect }) => {
      const peers = [await connect(), await connect()];
      await until(() => server.connectionCount === 2, { what: "two connections" });
      const extra = await connect();
      await until(() => extra.ended || extra.closed, { what: "the refusal" });
      const { refusedOverLimit, refusedOverHostLimit } = server.stats;
      assert.deepEqual([refusedOverLimit, refusedOverHostLimit], [0, 1]);
      peers[0].destroy();
      await until(() => server.connectionCount === 1, { what: "room" });
      const next = await connect();
      await next.send(1);
      await until(() => next.frames.length === 1, { what: "the echo" });
    });
    const isExemptHost = (hostname: string): boolean => hostname === "127.0.0.1";
    await withTested({ connectionsPerHostMax: 1, isExemptHost }, async ({ server, connect }) => {
      await connect();
      await connect();
      await until(() => server.connectionCount === 2, { what: "two connections" });
      assert.equal(server.stats.refusedOverHostLimit, 0);
    });
  });

  test(`${name}: TcpServer keeps hooks, attachments and the list of connections in step`, async () => {
    const seen: string[] = [];
    await withTested({
      onAccept: (connection) => {
        connection.attached = `peer ${connection.id}`;
        seen.push(`+${connection.attached}`);
      },
      onClose: (connection, reason) => void seen.push(`-${connection.attached} ${reason}`),
    }, async ({ server, connect }) => {
      const first = await connect();
      const second = await connect();
      await until(() => server.connectionCount === 2, { what: "two connections" });
      first.destroy();
      await until(() => server.connectionCount === 1, { what: "one connection" });
      for (const connection of server.connections()) {
        assert.equal(connection.remote.hostname, "127.0.0.1");
        assert.equal(connection.local.port, server.address.port);
        connection.close("thank you");
        assert.equal(connection.closed, true);
        assert.equal(connection.send(1, new Uint8Array(1)), false);
        connection.close("again");
      }
      await until(() => second.ended || second.closed, { what: "the close" });
      assert.deepEqual(seen, ["+peer 1", "+peer 2", "-peer 1 peer closed", "-peer 2 thank you"]);
    });
  });

  test(`${name}: TcpServer survives hooks that throw`, () =>
    withTested({
      onAccept: () => {
        throw new Error("accept hook");
      },
      onClose: () => {
        throw new Error("close hook");
      },
    }, async ({ server, connect }) => {
      const peer = await connect();
      await until(() => peer.ended || peer.closed, { what: "the close" });
      assert.equal(server.stats.handlerErrors, 2);
      assert.equal(server.connectionCount, 0);
    }));

  test(`${name}: TcpServer answers all of a flood in order, and others before its end`, async () => {
    let heard = 0;
    let heardBefore = -1;
    const router = new MessageRouter<Peer>()
      .add(5, (body) => {
        assert.equal(new DataView(body.buffer, body.byteOffset).getUint32(0), heard);
        heard++;
      })
      .add(1, (body, peer) => {
        heardBefore = heard;
        peer.send(1, body);
      });
    await withTested({ router }, async ({ connect, server }) => {
      const flooding = await connect();
      const other = await connect();
      const count = 50_000;
      const flood = new Uint8Array(count * 12);
      for (let index = 0; index < count; index++) {
        const body = new Uint8Array(4);
        new DataView(body.buffer).setUint32(0, index);
        flood.set(encodeFrame(5, body), index * 12);
      }
      void flooding.write(flood);
      flooding.end();
      await until(() => heard > 0, { what: "the flood to begin" });
      void other.send(1, new Uint8Array(1));
      await until(() => heard === count, { what: "all of the flood" });
      await until(() => heardBefore >= 0, { what: "the other's answer" });
      assert.equal(server.stats.protocolErrors + server.stats.handlerErrors, 0);
    });
  });

  test(`${name}: TcpServer sends frames that are written in place, up to the output limit`, () => {
    const router = echoRouter().add(5, (body, peer) => {
      const start = peer.reserve(5, body.length + 1);
      peer.reserved.set(body, start);
      peer.reserved[start + body.length] = 99;
      peer.send(6, body);
    }).add(7, (_body, peer) => {
      while (peer.reserve(7, 60_000) >= 0);
      assert.equal(peer.closed, true);
      assert.equal(peer.reserve(7, 1), -1);
    });
    return withTested({ router, outputBytesMax: 200_000 }, async ({ server, connect }) => {
      const peer = await connect();
      for (const length of [0, 1, 600, 5_000]) await peer.send(5, new Uint8Array(length).fill(3));
      await until(() => peer.frames.length === 8, { what: "both of each" });
      assert.deepEqual(
        peer.frames.map(({ msgId, body }) => [msgId, body.length, body.at(-1)]),
        [0, 1, 600, 5_000].flatMap((length) => [
          [5, length + 1, 99],
          [6, length, length === 0 ? undefined : 3],
        ]),
      );
      await peer.send(7);
      await until(() => server.stats.slowReaders === 1);
      assert.equal(server.stats.handlerErrors, 0);
    });
  });

  test(`${name}: TcpServer closes a slow reader at the output limit while others go on`, async () => {
    const pushed = encodeFrame(9, new Uint8Array(60_000));
    await withTested({ outputBytesMax: 1_000_000 }, async ({ server, closes, connect }) => {
      const [slow, quick] = [await connect(), await connect()];
      slow.pause();
      await until(() => server.connectionCount === 2, { what: "two connections" });
      let quickFrames = 0;
      while (server.connectionCount === 2) {
        for (const connection of server.connections()) connection.sendFrames(pushed);
        quickFrames++;
        assert.ok(quickFrames < 2000, "the slow reader must be closed some time");
        await until(() => quick.frames.length === quickFrames, { what: "the quick reader" });
      }
      assert.deepEqual(closes, ["slow reader: output limit reached"]);
      assert.equal(server.stats.slowReaders, 1);
      await quick.send(1);
      await until(() => quick.frames.at(-1)?.msgId === 1, { what: "the echo" });
    });
  });

  test(`${name}: TcpServer stops reading from a peer that does not read its answers`, () =>
    withTested({ outputBytesMax: 2_000_000 }, async ({ server, connect }) => {
      const peer = await connect();
      peer.pause();
      // 20 MB of echoes, ten times the limit: only a server that stops reading can keep them.
      const frame = encodeFrame(1, new Uint8Array(50_000));
      const count = 400;
      const written: Promise<void>[] = [];
      for (let index = 0; index < count; index++) written.push(peer.write(frame));
      let bytesIn = 0;
      const stands = (): boolean => {
        const same = bytesIn > 0 && bytesIn === server.stats.bytesIn;
        bytesIn = server.stats.bytesIn;
        return same;
      };
      await until(stands, { intervalMs: 200, what: "reading to stop" });
      assert.ok(bytesIn < count * frame.length, "the kernel's buffers hold about 10 MB at most");
      assert.equal(server.stats.slowReaders, 0);
      peer.resume();
      await until(() => peer.frames.length === count, { what: "all echoes" });
      await Promise.all(written);
      assert.equal(server.stats.closed, 0);
    }));

  test(`${name}: TcpServer calls onDrain after high water, not after small output`, async () => {
    let drains = 0;
    await withTested({ onDrain: () => void drains++ }, async ({ connect }) => {
      const peer = await connect();
      await peer.send(4, Uint8Array.of(1));
      await until(() => peer.frames.length === 1, { what: "one frame" });
      assert.equal(drains, 0);
      await peer.send(4, Uint8Array.of(50));
      await until(() => peer.frames.length === 51, { what: "50 frames" });
      await until(() => drains === 1, { what: "the drain" });
    });
  });

  test(`${name}: TcpServer closes half a frame after its time, however it trickles in`, async () => {
    const clock = new ManualClock();
    const frame = encodeFrame(1, Uint8Array.of(1, 2, 3, 4));
    await withTested({ clock, frameTimeoutMs: 1000 }, async ({ server, closes, connect }) => {
      const [slow, good] = [await connect(), await connect()];
      await slow.write(frame.subarray(0, 3));
      await good.write(frame);
      await until(() => server.stats.bytesIn === 15, { what: "the first bytes" });
      clock.advance(750);
      await slow.write(frame.subarray(3, 9));
      await until(() => server.stats.bytesIn === 21, { what: "more bytes" });
      clock.advance(500);
      await until(() => slow.ended || slow.closed, { what: "the close" });
      assert.deepEqual(closes, ["frame not complete within 1000 ms"]);
      assert.equal(server.stats.frameTimeouts, 1);
      clock.advance(100_000);
      await good.write(frame);
      await until(() => good.frames.length === 2, { what: "the echo" });
    });
  });

  test(`${name}: TcpServer gives every frame of a steady stream its own time`, async () => {
    const clock = new ManualClock();
    const frame = encodeFrame(1, Uint8Array.of(1, 2, 3, 4));
    await withTested({ clock, frameTimeoutMs: 1000 }, async ({ server, connect }) => {
      const peer = await connect();
      let bytes = 0;
      const write = async (part: Uint8Array): Promise<void> => {
        await peer.write(part);
        bytes += part.length;
        await until(() => server.stats.bytesIn === bytes, { what: `${bytes} bytes` });
      };
      await write(frame.subarray(0, 6));
      for (let index = 0; index < 10; index++) {
        clock.advance(700);
        const joined = new Uint8Array(frame.length);
        joined.set(frame.subarray(6));
        joined.set(frame.subarray(0, 6), frame.length - 6);
        await write(joined);
      }
      await until(() => peer.frames.length === 10, { what: "ten echoes" });
      assert.equal(server.stats.frameTimeouts, 0);
    });
  });

  test(`${name}: TcpServer closes idle connections only when told to`, async () => {
    const clock = new ManualClock();
    await withTested({ clock, idleTimeoutMs: 5000 }, async ({ server, closes, connect }) => {
      const [silent, busy] = [await connect(), await connect()];
      await until(() => server.connectionCount === 2, { what: "two connections" });
      clock.advance(4000);
      await busy.send(1);
      await until(() => busy.frames.length === 1, { what: "the echo" });
      clock.advance(2000);
      await until(() => silent.ended || silent.closed, { what: "the close" });
      assert.deepEqual(closes, ["nothing received for 5000 ms"]);
      assert.equal(server.stats.idleTimeouts, 1);
      assert.equal(server.connectionCount, 1);
    });
  });

  test(`${name}: TcpServer survives a reset in mid-frame`, () =>
    withTested({}, async ({ server, closes, connect }) => {
      const peer = await connect();
      await peer.write(encodeFrame(1, new Uint8Array(100)).subarray(0, 50));
      await until(() => server.stats.bytesIn === 50, { what: "half the frame" });
      peer.reset();
      await until(() => server.stats.closed === 1, { what: "the close" });
      assert.equal(closes.length, 1);
      const next = await connect();
      await next.send(1);
      await until(() => next.frames.length === 1, { what: "the echo" });
    }));

  test(`${name}: TcpServer answers a peer that has ended its side`, () =>
    withTested({}, async ({ closes, connect }) => {
      const peer = await connect();
      await peer.send(4, Uint8Array.of(20));
      peer.end();
      await until(() => peer.ended, { what: "the end" });
      assert.equal(peer.frames.length, 20);
      assert.deepEqual(closes, ["peer closed"]);
    }));

  test(`${name}: TcpServer.close() sends what is queued, then ends`, async () => {
    let peer: RawPeer | undefined;
    await withTested({}, async ({ server, closes, connect }) => {
      peer = await connect();
      const [connection] = await firstConnection(server);
      for (let index = 0; index < 100; index++) connection.send(5, new Uint8Array(60_000));
      await server.close();
      assert.deepEqual(closes, ["server stops"]);
    });
    await until(() => peer?.ended === true || peer?.closed === true, { what: "the end" });
  });

  test(`${name}: Connection.close() lets 6 MB arrive before the end`, () =>
    withTested({}, async ({ server, connect }) => {
      const peer = await connect();
      const [connection] = await firstConnection(server);
      for (let index = 0; index < 100; index++) connection.send(5, new Uint8Array(60_000));
      connection.close();
      await until(() => peer.ended, { what: "the end" });
      assert.equal(peer.frames.length, 100);
    }));

  test(`${name}: TcpServer.close() does not wait for ever for a peer that never reads`, async () => {
    const clock = new ManualClock();
    await withTested({ clock }, async ({ server, connect }) => {
      const peer = await connect();
      peer.pause();
      const [connection] = await firstConnection(server);
      for (let index = 0; index < 130; index++) connection.send(5, new Uint8Array(60_000));
      let closed = false;
      const closing = server.close().then(() => (closed = true));
      clock.advance(CLOSE_FLUSH_MS - 1);
      await until(() => clock.pendingCount > 0, { what: "the limit to be set" });
      assert.equal(closed, false);
      clock.advance(1);
      await closing;
    });
  });
  test(`${name}: TcpServer.listen() names a taken address`, () =>
    withTested({}, async ({ server }) => {
      const { port } = server.address;
      const options = { hostname: "127.0.0.1", router: echoRouter(), clock: systemClock };
      const { transport, end } = tested.open();
      const log = silentLogger;
      const second = new TcpServer<string>({ ...options, transport, port, log });
      await assert.rejects(second.listen(), (error) => {
        assert.ok(error instanceof BindError);
        assert.equal(error.address, `127.0.0.1:${port}`);
        assert.equal(error.inUse, true);
        assert.match(
          error.message,
          new RegExp(`127\\.0\\.0\\.1:${port}: the address is already in use`),
        );
        return true;
      });
      assert.throws(() => second.address, /does not listen yet/);
      await second.close();
      end();
    }));
}

async function firstConnection(server: TcpServer<string>): Promise<Connection<string>[]> {
  await until(() => server.connectionCount > 0, { what: "a connection" });
  return [...server.connections()];
}

/** Records what happens on a stream. */
export class Recorder implements StreamHandlers {
  readonly events: string[] = [];
  bytesIn = 0;
  onData(chunk: Uint8Array): void {
    this.bytesIn += chunk.length;
  }
  onDrain(): void {
    this.events.push("drain");
  }
  onEnd(): void {
    this.events.push("end");
  }
  onClose(reason: string): void {
    this.events.push(`close ${reason}`);
  }
}

/** A stream with a raw peer at its other end. */
export interface Pair {
  readonly stream: Stream;
  readonly recorder: Recorder;
  readonly peer: RawPeer;
}

/** Runs `body` with a stream that `transport` accepts, and a raw peer at its other end. */
export async function withAcceptedPair(
  transport: TcpTransport,
  body: (pair: Pair) => Promise<void>,
): Promise<void> {
  const recorder = new Recorder();
  const streams: Stream[] = [];
  const listener = transport.listenTcp({
    hostname: "127.0.0.1",
    port: 0,
    reusePort: false,
    onConnection: (stream) => {
      stream.start(recorder);
      streams.push(stream);
    },
    onAcceptError: (error) => Promise.reject(error),
  });
  const peer = await RawPeer.connect(listener.address);
  await until(() => streams.length === 1, { what: "the stream" });
  try {
    await body({ stream: streams[0], recorder, peer });
  } finally {
    streams[0].close();
    peer.destroy();
    listener.close();
    listener.close();
  }
}

/** Runs `body` with a stream that `connector` has made, and a raw peer at its other end. */
async function withConnectedPair(
  connector: TcpConnector,
  body: (pair: Pair) => Promise<void>,
): Promise<void> {
  const recorder = new Recorder();
  const server = await RawServer.listen();
  const { signal } = new AbortController();
  const stream = await connector.connectTcp({ ...server.address, signal });
  stream.start(recorder);
  await until(() => server.peers.length === 1, { what: "the peer" });
  try {
    await body({ stream, recorder, peer: server.peers[0] });
  } finally {
    stream.close();
    server.close();
  }
}

/** Registers the tests of what makes connections, and of the streams it makes. */
export function testConnector(
  kind: string,
  withConnector: (body: (connector: TcpConnector) => Promise<void>) => Promise<void>,
): void {
  testStream(
    `${kind} connected`,
    (body) => withConnector((connector) => withConnectedPair(connector, body)),
  );

  test(`${kind} connectTcp() names the address that refused`, () =>
    withConnector(async (connector) => {
      const port = await freePort();
      const { signal } = new AbortController();
      const connecting = connector.connectTcp({ hostname: "127.0.0.1", port, signal });
      await assert.rejects(connecting, (error) => {
        assert.ok(error instanceof ConnectError);
        assert.equal(error.message, `127.0.0.1:${port}: connection refused`);
        return true;
      });
    }));

  test(`${kind} connectTcp() gives up when told to`, () =>
    withConnector(async (connector) => {
      const server = await RawServer.listen();
      const { address } = server;
      const before = new AbortController();
      before.abort(new Error("too late"));
      const connecting = connector.connectTcp({ ...address, signal: before.signal });
      await assert.rejects(connecting, /too late/);
      const during = new AbortController();
      // Aborted in the same turn, so before any answer of the kernel is looked at.
      const attempt = connector.connectTcp({ ...address, signal: during.signal });
      const waiting = assert.rejects(attempt, ConnectError);
      during.abort(new Error("changed my mind"));
      await waiting;
      server.close();
    }));

  test(`${kind} connectTcp() fails for a name that cannot exist`, () =>
    withConnector(async (connector) => {
      const { signal } = new AbortController();
      const connecting = connector.connectTcp({ hostname: "no such host", port: 1, signal });
      await assert.rejects(connecting, ConnectError);
    }));
}

/** Registers the tests of one kind of stream. */
export function testStream(
  kind: string,
  withPair: (body: (pair: Pair) => Promise<void>) => Promise<void>,
): void {
  test(`${kind} stream knows its two ends`, () =>
    withPair(({ stream }) => {
      assert.equal(stream.local.hostname, "127.0.0.1");
      assert.equal(stream.remote.hostname, "127.0.0.1");
      assert.notEqual(stream.local.port, stream.remote.port);
      return Promise.resolve();
    }));

  test(`${kind} stream reads, writes and drains`, () =>
    withPair(async ({ stream, recorder, peer }) => {
      await peer.write(new Uint8Array(100_000));
      await until(() => recorder.bytesIn === 100_000, { what: "bytes" });
      // More than the kernel takes at once, in pieces as the contract asks.
      let taken = 0;
      for (let index = 1; index <= 200; index++) {
        const drains = recorder.events.length;
        if (!stream.write(new Uint8Array(60_000))) {
          await until(() => recorder.events.length > drains, { intervalMs: 1, what: "drain" });
        }
        taken++;
      }
      await until(() => peer.bytesIn === taken * 60_000, { what: "all bytes" });
      assert.ok(recorder.events.every((event) => event === "drain"));
    }));

  test(`${kind} stream stops reading while it is paused`, () =>
    withPair(async ({ stream, recorder, peer }) => {
      stream.pause();
      const written = peer.write(new Uint8Array(1000));
      // The witness that the bytes could have come: an answer of the kernel to a full round trip.
      await written;
      const before = recorder.bytesIn;
      stream.write(Uint8Array.of(1));
      await until(() => peer.bytesIn === 1, { what: "the other direction" });
      assert.equal(recorder.bytesIn, before);
      stream.resume();
      await until(() => recorder.bytesIn === 1000, { what: "the bytes held back" });
    }));

  test(`${kind} stream tells the peer's end and can still write`, () =>
    withPair(async ({ stream, recorder, peer }) => {
      await peer.write(new Uint8Array(3));
      peer.end();
      await until(() => recorder.events.includes("end"), { what: "the end" });
      assert.equal(recorder.bytesIn, 3);
      stream.write(new Uint8Array(5));
      stream.end();
      await until(() => peer.ended, { what: "our end" });
      assert.equal(peer.bytesIn, 5);
    }));

  test(`${kind} stream tells a reset once`, () =>
    withPair(async ({ recorder, peer }) => {
      peer.reset();
      await until(() => recorder.events.length > 0, { what: "the loss" });
      assert.equal(recorder.events.length, 1);
      assert.match(recorder.events[0], /^close peer/);
    }));

  test(`${kind} stream is silent after its own close`, () =>
    withPair(async ({ stream, recorder, peer }) => {
      stream.close();
      stream.close();
      await until(() => peer.ended || peer.closed, { what: "the close" });
      assert.deepEqual(recorder.events, []);
    }));
}
