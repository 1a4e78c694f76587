import { test } from "node:test";
import assert from "node:assert/strict";
import { freePort } from "../../tests/support/free_port.ts";
import { until } from "../../tests/support/until.ts";
import { encodeFrame, writeHead } from "../frame.ts";
import { messageOf } from "../errors.ts";
import { silentLogger } from "../log.ts";
import type { ConnectOptions, Stream, TcpConnector } from "../runtime/types.ts";
import { ManualClock } from "../time/manual_clock.ts";
import { MessageRouter } from "../message_router.ts";
import { reconnectDelayMs } from "./tcp_client.ts";
import { runtime } from "../runtime/mod.ts";
import { seededRng } from "../time/rng.ts";
import { systemClock } from "../time/system_clock.ts";
import { TcpClient, type TcpClientOptions } from "./tcp_client.ts";
import { type RawPeer, RawServer } from "../testing/raw_peer.ts";

interface Running {
  readonly client: TcpClient;
  readonly servers: readonly RawServer[];
  /** Ids of frames received. */
  readonly ids: number[];
  readonly reasons: string[];
}

interface Setup extends Partial<TcpClientOptions> {
  /** What each server does with a new peer; one server for each. */
  readonly onPeers?: readonly ((peer: RawPeer, index: number) => void)[];
}

/** Runs `body` with a client of local raw servers and ends all of them, whatever happens. */
async function withClient(setup: Setup, body: (running: Running) => Promise<void>): Promise<void> {
  const { onPeers = [(): void => {}], ...options } = setup;
  const servers = await Promise.all(onPeers.map((onPeer) => RawServer.listen(onPeer)));
  const ids: number[] = [];
  const reasons: string[] = [];
  const router = new MessageRouter<TcpClient>();
  for (const id of [1, 2, 3]) router.add(id, () => void ids.push(id));
  const client = new TcpClient({
    addresses: servers.map((server) => server.address),
    transport: runtime,
    router,
    clock: systemClock,
    rng: seededRng(1),
    log: silentLogger,
    name: "test server",
    reconnectMinMs: 10,
    reconnectMaxMs: 100,
    onDisconnect: (_client, reason) => void reasons.push(reason),
    ...options,
  });
  try {
    await body({ client, servers, ids, reasons });
  } finally {
    await client.close();
    for (const server of servers) server.close();
  }
}

/** Address of a port where nobody listens. */
async function deadAddress(): Promise<{ hostname: string; port: number }> {
  return { hostname: "127.0.0.1", port: await freePort() };
}

test("TcpClient connects, sends and receives", () =>
  withClient({ onPeers: [(peer): void => void peer.send(1)] }, async (running) => {
    const { client, servers: [server], ids } = running;
    assert.deepEqual([client.connected, client.local], [false, undefined]);
    client.start();
    client.start();
    await until(() => ids.length === 1, { what: "a frame" });
    assert.equal(client.connected, true);
    assert.deepEqual(client.address, server.address);
    assert.equal(client.local?.hostname, "127.0.0.1");
    assert.equal(client.send(7, Uint8Array.of(1, 2)), true);
    assert.equal(client.sendFrames(encodeFrame(8, new Uint8Array(0))), true);
    const [peer] = server.peers;
    await until(() => peer.frames.length === 2, { what: "two frames" });
    assert.deepEqual(peer.frames.map((frame) => frame.msgId), [7, 8]);
    assert.equal(client.stats.connects, 1);
    assert.equal(client.stats.framesOut, 2);
  }));

test("TcpClient keeps what is sent before the connection, behind what onConnect sends", () =>
  withClient({
    onConnect: (client) => void client.send(64, new Uint8Array(0)),
  }, async ({ client, servers: [server] }) => {
    for (let id = 1; id <= 3; id++) assert.equal(client.send(id, new Uint8Array(id)), true);
    client.sendFrames(encodeFrame(4, new Uint8Array(5000)));
    assert.ok(client.pendingBytes > 5000);
    client.start();
    await until(() => server.peers[0]?.frames.length === 5, { what: "five frames" });
    assert.deepEqual(server.peers[0].frames.map((frame) => frame.msgId), [64, 1, 2, 3, 4]);
    assert.equal(client.pendingBytes, 0);
  }));

test("TcpClient refuses sends beyond its limit, and says so", () =>
  withClient({ outputBytesMax: 30 }, async ({ client, servers: [server] }) => {
    assert.equal(client.send(1, new Uint8Array(12)), true);
    assert.equal(client.send(2, new Uint8Array(3)), false);
    assert.equal(client.stats.refusedSends, 1);
    client.start();
    await until(() => server.peers[0]?.frames.length === 1, { what: "the kept frame" });
    assert.equal(server.peers[0].frames[0].msgId, 1);
  }));

test("TcpClient keeps nothing while disconnected when told so", () =>
  withClient({
    bufferWhileDisconnected: false,
    onDisconnect: (client) => assert.equal(client.send(3, new Uint8Array(1)), false),
  }, async ({ client, servers: [server] }) => {
    assert.equal(client.send(1, new Uint8Array(1)), false);
    client.start();
    await until(() => client.connected, { what: "the connection" });
    assert.equal(client.send(2, new Uint8Array(1)), true);
    await until(() => server.peers[0]?.frames.length === 1, { what: "a frame" });
    server.peers[0].destroy();
    await until(() => client.stats.connects === 2, { what: "the next connection" });
    client.send(4, new Uint8Array(1));
    await until(() => server.peers[1]?.frames.length === 1, { what: "a frame" });
    assert.equal(server.peers[1].frames[0].msgId, 4);
    assert.equal(client.stats.refusedSends, 2);
  }));

test("TcpClient sends whole frames kept over a lost connection, never the rest of one", () =>
  withClient({
    outputBytesMax: 40_000_000,
    onPeers: [(peer, index): void => {
      if (index === 0) peer.pause();
    }],
  }, async ({ client, servers: [server] }) => {
    client.start();
    await until(() => client.connected, { what: "the connection" });
    // More than the kernel's buffers take from a peer that does not read.
    for (let id = 0; id < 400; id++) client.send(id, new Uint8Array(60_000));
    await until(() => server.peers.length === 1, { what: "the peer" });
    server.peers[0].reset();
    const last = (): number | undefined => server.peers[1]?.frames.at(-1)?.msgId;
    await until(() => last() === 399, { what: "the last frame" });
    const ids = server.peers[1].frames.map((frame) => frame.msgId);
    assert.deepEqual(ids, Array.from(ids, (_, index) => ids[0] + index));
    assert.ok(ids[0] > 0, "what went to the first connection is not sent again");
    assert.ok(client.stats.lostBytes > 0);
  }));

test("TcpClient connects again after a loss and a refusal", () =>
  withClient({}, async ({ client, servers: [server], reasons }) => {
    client.start();
    await until(() => server.peers.length === 1, { what: "the first connection" });
    server.peers[0].reset();
    await until(() => server.peers.length === 2 && client.connected, { what: "the second" });
    assert.match(reasons[0], /peer (reset|closed)/);
    assert.equal(client.stats.connects, 2);
    assert.equal(client.stats.disconnects, 1);
  }));

test("TcpClient goes round its addresses until one answers", async () => {
  const addresses = [await deadAddress(), await deadAddress()];
  await withClient({}, async ({ client, servers: [server] }) => {
    client.setAddresses([...addresses, server.address]);
    client.start();
    await until(() => client.connected, { what: "the connection" });
    assert.deepEqual(client.address, server.address);
    assert.equal(client.stats.connectFailures, 2);
  });
});

test("TcpClient.failOver() goes on with the next address", () =>
  withClient({ onPeers: [(): void => {}, (): void => {}] }, async (running) => {
    const { client, servers, reasons } = running;
    client.failOver("not started yet");
    client.start();
    await until(() => client.connected, { what: "the connection" });
    client.failOver("no pong");
    assert.equal(client.connected, false);
    assert.deepEqual(reasons, ["no pong"]);
    await until(() => client.connected, { what: "the second attempt" });
    assert.deepEqual(client.address, servers[1].address);
    await until(() => servers[0].peers[0].closed, { what: "the first to be closed" });
    client.failOver("no pong");
    await until(() => client.connected, { what: "the first address" });
    assert.deepEqual(client.address, servers[0].address);
  }));

/** Sockets of the runtime, and which of them were closed, in the order in which they were opened. */
function watchedSockets(): { transport: TcpConnector; closed: boolean[] } {
  const closed: boolean[] = [];
  const transport: TcpConnector = {
    async connectTcp(options: ConnectOptions): Promise<Stream> {
      const stream = await runtime.connectTcp(options);
      const place = closed.push(false) - 1;
      const close = stream.close.bind(stream);
      stream.close = () => {
        closed[place] = true;
        close();
      };
      return stream;
    },
  };
  return { transport, closed };
}

test("TcpClient.failOver() with a time has the peer read what was sent, for as long or until it is closed", async () => {
  for (const ending of ["time", "another", "close"] as const) {
    const clock = new ManualClock();
    const { transport, closed } = watchedSockets();
    const pausing = (peer: RawPeer): void => peer.pause();
    await withClient({ clock, transport, onPeers: [pausing] }, async (running) => {
      const { client, servers: [server] } = running;
      const again = async (peers: number): Promise<void> => {
        await until(() => {
          clock.advance(1);
          return client.connected && server.peers.length === peers;
        }, { what: `connection ${peers}` });
      };
      client.start();
      await again(1);
      client.send(7, Uint8Array.of(1));
      client.failOver("silent", 600_000);
      await again(2);
      clock.advance(300_000);
      assert.deepEqual(closed, [false, false]);
      if (ending === "time") clock.advance(300_000);
      else if (ending === "close") void client.close();
      else {
        client.send(8, Uint8Array.of(1));
        client.failOver("silent", 600_000);
      }
      assert.equal(closed[0], true, ending);
      server.peers[0].resume();
      await until(() => server.peers[0].frames.length === 1, { what: "what was sent" });
      assert.equal(server.peers[0].frames[0].msgId, 7);
      server.peers[1].resume();
    });
  }
});

test("TcpClient.setAddresses() keeps a connection that is still listed", () =>
  withClient({ onPeers: [(): void => {}, (): void => {}] }, async ({ client, servers }) => {
    const [first, second] = servers.map((server) => server.address);
    client.setAddresses([first]);
    client.start();
    await until(() => client.connected, { what: "the connection" });
    client.setAddresses([second, first]);
    assert.equal(client.connected, true);
    assert.deepEqual(client.address, first);
    client.setAddresses([second]);
    assert.equal(client.connected, false);
    await until(() => client.connected, { what: "the new address" });
    assert.deepEqual(client.address, second);
    assert.throws(() => client.setAddresses([]), RangeError);
  }));

test("TcpClient does not hammer a peer that accepts and closes", async () => {
  const clock = new ManualClock();
  await withClient({
    clock,
    rng: { next: () => 0.9999 },
    reconnectMinMs: 100,
    reconnectMaxMs: 5000,
    onPeers: [(peer): void => peer.destroy()],
  }, async ({ client }) => {
    client.start();
    const pauses = [100, 200, 400, 800, 1600, 3200, 5000, 5000, 5000];
    for (const [index, pauseMs] of pauses.entries()) {
      await until(() => client.stats.disconnects === index + 1, { what: `close ${index + 1}` });
      clock.advance(pauseMs - 2);
      await new Promise((resolve) => setImmediate(resolve));
      assert.equal(client.stats.connects, index + 1, `no attempt within ${pauseMs} ms`);
      clock.advance(2);
    }
    await until(() => client.stats.connects === 10, { what: "ten connections in 21 s" });
  });
});

test("TcpClient waits in real time as the schedule says", async () => {
  await withClient({ onPeers: [(peer): void => peer.destroy()] }, async ({ client }) => {
    const rng = seededRng(1);
    const waits = [1, 2, 3, 4, 5, 6].map((failures) => reconnectDelayMs(failures, 1, 10, 100, rng));
    const atLeastMs = waits.slice(0, 5).reduce((sum, wait) => sum + wait, 0);
    const startMs = systemClock.nowMs();
    client.start();
    await until(() => client.stats.connects >= 6, { what: "six connections" });
    const tookMs = systemClock.nowMs() - startMs;
    assert.ok(tookMs >= atLeastMs - 10, `${tookMs} of ${atLeastMs} ms`);
  });
});

test("TcpClient starts its pauses over after a connection that lasted", async () => {
  const clock = new ManualClock();
  await withClient({
    clock,
    rng: { next: () => 0.9999 },
    reconnectMinMs: 100,
    reconnectMaxMs: 100_000,
  }, async ({ client, servers: [server] }) => {
    client.start();
    const reconnect = async (livedMs: number, waitMs: number): Promise<void> => {
      const { connects } = client.stats;
      await until(() => client.connected && server.peers.length === connects, { what: "a peer" });
      clock.advance(livedMs);
      server.peers[connects - 1].destroy();
      await until(() => !client.connected, { what: "the loss" });
      clock.advance(waitMs - 1);
      assert.equal(clock.pendingCount, 1, "still waiting");
      clock.advance(1);
      await until(() => client.stats.connects === connects + 1, { what: "the next connection" });
    };
    await until(() => client.connected, { what: "the connection" });
    await reconnect(999, 100);
    await reconnect(999, 200);
    await reconnect(999, 400);
    await reconnect(1000, 100);
    await reconnect(0, 200);
  });
});

test("TcpClient gives up an attempt that takes too long", async () => {
  const clock = new ManualClock();
  // Time is over in the turn in which the attempt began, so before any answer is looked at.
  await withClient({ clock, connectTimeoutMs: 700 }, async ({ client, servers: [server] }) => {
    client.setAddresses([server.address]);
    client.start();
    clock.advance(700);
    await until(() => client.stats.connectFailures === 1, { what: "the failure" });
    clock.advance(100);
    await until(() => client.connected, { what: "the second attempt" });
  });
});

test("TcpClient waits longer for the handshake of the only server there is", async () => {
  for (const [addressCount, waitedMs] of [[1, 5000], [2, 3000]]) {
    const clock = new ManualClock();
    let gaveUp = "";
    const transport = {
      connectTcp: ({ signal, onReached }: ConnectOptions): Promise<Stream> =>
        new Promise((_, reject) => {
          signal.addEventListener("abort", () => {
            gaveUp = messageOf(signal.reason);
            reject(signal.reason);
          });
          onReached?.();
        }),
    };
    await withClient({ clock, transport }, ({ client }) => {
      const address = { hostname: "127.0.0.1", port: 1 };
      client.setAddresses([address, { ...address, port: 2 }].slice(0, addressCount));
      client.start();
      clock.advance(waitedMs - 1);
      assert.equal(gaveUp, "");
      clock.advance(1);
      assert.equal(gaveUp, `no connection within ${waitedMs} ms`);
      return Promise.resolve();
    });
  }
});

test("TcpClient forgets half a frame when the connection is lost", () =>
  withClient({
    onPeers: [(peer, index): void => {
      const frame = encodeFrame(1, new Uint8Array(100));
      if (index === 0) void peer.write(frame.subarray(0, 60)).then(() => peer.end());
      else void peer.write(frame);
    }],
  }, async ({ client, ids }) => {
    client.start();
    await until(() => client.stats.connects === 2 && ids.length === 1, { what: "one frame" });
    assert.equal(client.stats.framesIn, 1);
    assert.equal(client.connected, true);
  }));

test("TcpClient drops a server that breaks the wire rules", () =>
  withClient({
    onPeers: [(peer, index): void => {
      if (index > 0) return;
      const head = new Uint8Array(8);
      writeHead(head, 0, 1, -5);
      void peer.write(head);
    }],
  }, async ({ client, reasons }) => {
    client.start();
    await until(() => client.stats.connects === 2, { what: "the second connection" });
    assert.match(reasons[0], /current value is -5/);
  }));

test("TcpClient drops a server that never ends its frame", async () => {
  const clock = new ManualClock();
  await withClient({
    clock,
    onPeers: [(peer): void => void peer.write(encodeFrame(1, new Uint8Array(9)).subarray(0, 9))],
  }, async ({ client, reasons }) => {
    client.start();
    await until(() => client.stats.bytesIn === 9, { what: "half a frame" });
    clock.advance(9_999);
    assert.deepEqual(reasons, []);
    clock.advance(1);
    assert.deepEqual(reasons, ["frame not complete within 10000 ms"]);
  });
});

test("TcpClient gives each frame its own time, and has no timer between two", async () => {
  const clock = new ManualClock();
  const frame = encodeFrame(1, new Uint8Array(9));
  let peer: RawPeer | undefined;
  await withClient({ clock, onPeers: [(raw): void => void (peer = raw)] }, async (setup) => {
    const { client, reasons } = setup;
    client.start();
    await until(() => peer !== undefined && client.connected, { what: "the connection" });
    assert.equal(clock.pendingCount, 0);
    let bytes = 0;
    for (let frames = 0; frames < 3; frames++) {
      for (const part of [frame.subarray(0, 9), frame.subarray(9)]) {
        void peer?.write(part);
        bytes += part.length;
        await until(() => client.stats.bytesIn === bytes, { what: "a part of a frame" });
        clock.advance(6_000);
      }
    }
    assert.equal(client.stats.framesIn, 3);
    assert.deepEqual(reasons, []);
    clock.advance(10_000);
    assert.equal(clock.pendingCount, 0);
  });
});

test("TcpClient survives handlers and hooks that throw", async () => {
  const boom = (): never => {
    throw new Error("boom");
  };
  const router = new MessageRouter<TcpClient>().add(1, boom);
  let connects = 0;
  await withClient({
    router,
    onConnect: () => {
      if (++connects === 1) boom();
    },
    onDisconnect: boom,
    onPeers: [(peer, index): void => {
      if (index === 1) void peer.send(1);
      if (index === 2) void peer.send(99);
    }],
  }, async ({ client }) => {
    client.start();
    await until(() => client.stats.unknownIds === 1, { what: "the unknown id" });
    assert.equal(client.stats.connects, 3);
    assert.equal(client.connected, true);
  });
});

test("TcpClient calls onFrame for any frame, known or not", async () => {
  let alive = 0;
  await withClient({
    onFrame: () => void alive++,
    onPeers: [(peer): void => void peer.send(1).then(() => peer.send(99))],
  }, async ({ client, ids }) => {
    client.start();
    await until(() => alive === 2, { what: "two signs of life" });
    assert.deepEqual(ids, [1]);
  });
});

test("TcpClient.close() sends what is queued and stays closed", () =>
  withClient({}, async ({ client, servers: [server] }) => {
    client.start();
    await until(() => client.connected && server.peers.length === 1, { what: "the connection" });
    for (let id = 0; id < 50; id++) client.send(id, new Uint8Array(60_000));
    await client.close();
    await until(() => server.peers[0].ended, { what: "the end" });
    assert.equal(server.peers[0].frames.length, 50);
    assert.equal(client.send(1, new Uint8Array(1)), false);
    client.start();
    client.failOver("closed");
    assert.equal(client.connected, false);
    await client.close();
  }));

test("TcpClient.close() ends an attempt and a pause", async () => {
  const address = await deadAddress();
  for (const advanceMs of [0, 50]) {
    const clock = new ManualClock();
    await withClient({ clock }, async ({ client }) => {
      client.setAddresses([address]);
      client.start();
      if (advanceMs > 0) {
        await until(() => client.stats.connectFailures > 0, { what: "a failure" });
      }
      await client.close();
      await until(() => clock.pendingCount === 0, { what: "all timers to end" });
      assert.equal(client.stats.connects, 0);
    });
  }
});

test("TcpClient wants an address", () => {
  assert.throws(
    () =>
      new TcpClient({
        addresses: [],
        transport: runtime,
        router: new MessageRouter<TcpClient>(),
        clock: systemClock,
        rng: seededRng(1),
        log: silentLogger,
        name: "nobody",
      }),
    RangeError,
  );
});
