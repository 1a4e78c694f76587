import assert from "node:assert/strict";
import { test } from "node:test";
import { until } from "../../tests/support/until.ts";
import { systemClock } from "../time/system_clock.ts";
import { runtime, type Stream, type TcpConnector, type TcpTransport } from "../runtime/mod.ts";
import {
  testConnector,
  testStream,
  testTcpServer,
  withAcceptedPair,
} from "../testing/tcp_conformance.ts";
import { RawPeer, RawServer } from "../testing/raw_peer.ts";
import { BatchTcp, batchTcpFault } from "./batch_tcp.ts";
import { GuestLoop } from "./guest_loop.ts";

const fault = batchTcpFault(systemClock);

/** Looks at the clock for one connection at most: 180 to 190, and 2,000 where Deno polls its sockets seldom. */
const LOOKS_MAX = 600;

function openGuest(
  clock = systemClock,
): { transport: TcpTransport & TcpConnector; loop: GuestLoop; end(): void } {
  const errors: unknown[] = [];
  const guest = new GuestLoop({
    clock,
    onError: (error) => void errors.push(error),
  });
  const transport = new BatchTcp(guest.loop);
  return {
    transport,
    loop: guest,
    end(): void {
      transport.close();
      void guest.close();
      assert.deepEqual(errors, []);
    },
  };
}

if (fault === undefined) {
  const guest = { name: "BatchTcp on a guest loop", open: openGuest };
  testTcpServer(guest);
  testStream("BatchTcp on a guest loop: an accepted", async (body) => {
    const { transport, end } = openGuest();
    try {
      await withAcceptedPair(transport, body);
    } finally {
      end();
    }
  });
  testConnector("BatchTcp on a guest loop:", async (body) => {
    const { transport, end } = openGuest();
    try {
      await body(transport);
    } finally {
      end();
    }
  });
}

test("guest loop: it wakes for a socket after a long rest, and for what is sent from elsewhere", async (t) => {
  if (fault !== undefined) return t.skip(fault);
  const { transport, end } = openGuest();
  let accepted: Stream | undefined;
  let got = 0;
  const listener = transport.listenTcp({
    ...{ hostname: "127.0.0.1", port: 0, reusePort: false },
    onAcceptError: () => Promise.resolve(),
    onConnection(stream): void {
      accepted = stream;
      const nothing = (): void => {};
      stream.start({
        onData: (chunk) => void (got += chunk.length),
        onDrain: nothing,
        onEnd: nothing,
        onClose: nothing,
      });
    },
  });
  const peer = await RawPeer.connect(listener.address);
  await until(() => accepted !== undefined);
  for (let round = 1; round <= 3; round++) {
    // Long enough for the helper thread to be the one that waits.
    await new Promise((resolve) => systemClock.setTimer(30, () => resolve(undefined)));
    await peer.write(new Uint8Array(100));
    await until(() => got === 100 * round);
    await new Promise((resolve) => systemClock.setTimer(30, () => resolve(undefined)));
    // Deferred outside of any turn.
    accepted?.defer(() => void accepted?.write(new Uint8Array(50)));
    await until(() => peer.bytesIn === 50 * round);
  }
  peer.destroy();
  accepted?.close();
  listener.close();
  end();
});

test("guest loop: it ends whenever it is told to, and its helper with it", async (t) => {
  if (fault !== undefined) return t.skip(fault);
  for (let round = 0; round < 20; round++) {
    const guest = new GuestLoop({
      clock: systemClock,
      onError: (error) => assert.fail(`${error}`),
    });
    // From at once up to when the helper is the one that waits.
    for (let turn = 0; turn < round; turn++) {
      await new Promise((resolve) => systemClock.setTimer(1, () => resolve(undefined)));
    }
    await guest.close();
    await guest.close();
  }
});

test("guest loop: it ends also when its helper has failed, which says nothing more", async (t) => {
  if (fault !== undefined) return t.skip(fault);
  const { spawnWorker } = runtime;
  const broken = "onmessage = () => { throw new Error('the helper is broken'); };";
  // Only this loop has such a helper.
  Object.assign(runtime, {
    spawnWorker: () => spawnWorker(new URL(`data:text/javascript,${encodeURIComponent(broken)}`)),
  });
  const errors: string[] = [];
  let guest: GuestLoop;
  try {
    guest = new GuestLoop({ clock: systemClock, onError: (error) => errors.push(`${error}`) });
  } finally {
    Object.assign(runtime, { spawnWorker });
  }
  await until(() => errors.length > 0, { what: "the word that it has failed" });
  await guest.close();
  await guest.close();
  assert.equal(errors.length, 1);
  assert.match(errors[0], /Batch loop ended: Lookout failed: .*the helper is broken/);
});

test("guest loop: within a turn its clock stands still, and is never older than the turn", async (t) => {
  if (fault !== undefined) return t.skip(fault);
  const guest = new GuestLoop({ clock: systemClock, onError: (error) => assert.fail(`${error}`) });
  await new Promise((resolve) => systemClock.setTimer(50, () => resolve(undefined)));
  const askedAtMs = systemClock.nowMs();
  const times = await new Promise<number[]>((resolve) => {
    guest.loop.defer(() => {
      const first = guest.clock.nowMs();
      while (systemClock.nowMs() < askedAtMs + 3);
      resolve([first, guest.clock.nowMs()]);
    });
  });
  assert.equal(times[0], times[1]);
  assert.ok(times[0] >= askedAtMs);
  await guest.close();
});

/** Streams of the loop that send to each other without end: each turn finds something. */
async function keepBusy(
  transport: TcpTransport & TcpConnector,
  onRound: () => void,
): Promise<() => void> {
  const streams: Stream[] = [];
  const echo = (stream: Stream): void => {
    const nothing = (): void => {};
    const onData = (chunk: Uint8Array): void => {
      onRound();
      stream.write(chunk.slice());
    };
    stream.start({ onData, onDrain: nothing, onEnd: nothing, onClose: nothing });
    streams.push(stream);
  };
  const listener = transport.listenTcp({
    ...{ hostname: "127.0.0.1", port: 0, reusePort: false, onConnection: echo },
    onAcceptError: () => Promise.resolve(),
  });
  for (let pair = 0; pair < 10; pair++) {
    const { signal } = new AbortController();
    const stream = await transport.connectTcp({ ...listener.address, signal });
    echo(stream);
    stream.write(new Uint8Array(100));
  }
  return () => {
    for (const stream of streams) stream.close();
    listener.close();
  };
}

test("guest loop: the runtime has its turn also while sockets never rest", async (t) => {
  if (fault !== undefined) return t.skip(fault);
  const { transport, end } = openGuest();
  let rounds = 0;
  const rest = await keepBusy(transport, () => void rounds++);
  for (let ticks = 0; ticks < 20; ticks++) {
    const before = rounds;
    await new Promise((resolve) => systemClock.setTimer(1, () => resolve(undefined)));
    await until(() => rounds > before, { intervalMs: 1, what: "sockets that go on" });
  }
  rest();
  end();
});

test("guest loop: sockets of the runtime have their turn soon while those of the loop never rest", async (t) => {
  if (fault !== undefined) return t.skip(fault);
  // A clock that goes on by being looked at: what counts is how much the loop does, not how fast.
  let looks = 0;
  const { transport, end } = openGuest({ ...systemClock, nowMs: () => looks++ / 10 });
  const server = await RawServer.listen((peer) => void peer.send(1));
  const rest = await keepBusy(transport, () => {});
  const before = looks;
  for (let connection = 0; connection < 20; connection++) {
    const peer = await RawPeer.connect(server.address);
    await until(() => peer.frames.length === 1, { intervalMs: 1, what: "the greeting" });
    peer.destroy();
  }
  const each = (looks - before) / 20;
  rest();
  server.close();
  end();
  assert.ok(each < LOOKS_MAX, `${each} looks at the clock for each connection`);
});
