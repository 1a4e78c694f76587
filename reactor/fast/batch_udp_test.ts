import assert from "node:assert/strict";
import process from "node:process";
import { test } from "node:test";
import { ActiveWait } from "./active_wait.ts";
import { AF_INET, BatchLoop, NAME_BYTES, WakeUp, writeName } from "./batch_loop.ts";
import { BATCH_MAX, batchUdpFault, BatchUdpServer } from "./batch_udp.ts";
import { setRepeating } from "../time/clock.ts";
import { silentLogger } from "../log.ts";
import { systemClock } from "../time/system_clock.ts";
import { testUdpTransport } from "../testing/udp_conformance.ts";
import type { DatagramServer, UdpServerOptions } from "../udp/udp_server.ts";
import { assertInTime } from "../../tests/support/in_time.ts";

const shared = { clock: systemClock, log: silentLogger };
const nowMs = (): number => systemClock.nowMs();
const fault = batchUdpFault(shared);

/** Waits awake whatever comes of it. */
class AlwaysAwake extends ActiveWait {
  override get limitMs(): number {
    return 1;
  }
}

/** A server whose loop gets a turn each millisecond, so that it can be tested on one thread. */
function makePumped(
  options: UdpServerOptions,
): { server: DatagramServer; end(): Promise<void> } {
  const loop = new BatchLoop(nowMs);
  const server = new BatchUdpServer({ ...options, loop });
  const pump = setRepeating(systemClock, 1, () => void loop.turn(0));
  return {
    server,
    async end(): Promise<void> {
      pump.cancel();
      await server.close();
      loop.close();
    },
  };
}

test("batchUdpFault() finds nothing wrong with Linux", (t) => {
  if (process.platform !== "linux") return t.skip(`here it says: ${fault}`);
  assert.equal(fault, undefined);
});

if (fault === undefined) {
  testUdpTransport({ name: "BatchUdpServer", make: makePumped });

  test("WakeUp.close() twice leaves alone whoever has the descriptor by then", () => {
    const first = new WakeUp();
    first.close();
    const second = new WakeUp();
    first.close();
    first.wake();
    const loop = new BatchLoop(nowMs, second.fd);
    second.wake();
    const startMs = nowMs();
    loop.turn(2000);
    assertInTime("the second one ends a sleep", nowMs() - startMs, 1000);
    loop.close();
    second.close();
  });

  test("a loop that waits awake serves the same, and sleeps when nothing comes", () => {
    const active = new ActiveWait();
    const loop = new BatchLoop(nowMs, -1, active);
    let bounces = 0;
    const bounce = { ...shared, loop, hostname: "127.0.0.1", port: 0 };
    const make = (): BatchUdpServer =>
      new BatchUdpServer({
        ...bounce,
        onDatagram: (bytes, from, self) => ++bounces < 500 ? self.send(bytes, from) : undefined,
      });
    const [one, two] = [make(), make()];
    const address = two.bindNow();
    one.bindNow();
    one.send(Uint8Array.of(7), address);
    for (const endMs = nowMs() + 20_000; bounces < 500 && nowMs() < endMs;) loop.turn(100);
    assert.equal(bounces, 500);
    const startMs = nowMs();
    assert.equal(loop.turn(50), 0);
    assert.ok(nowMs() - startMs >= 49, "it waits as long as it should");
    for (let turn = 0; turn < 20; turn++) loop.turn(1);
    assert.equal(active.limitMs, 0, "and sleeps from then on");
    one.closeNow();
    two.closeNow();
    loop.close();
  });

  /** Sockets that have something one after the other, as a caller goes round its modules. */
  const ORDERS: Readonly<Record<string, readonly number[]>> = {
    "always the same": [0],
    "one after the other": [0, 1, 2],
    "each twice, as it is asked and told": [0, 0, 1, 1, 2, 2],
  };

  for (const [order, turns] of Object.entries(ORDERS)) {
    test(`awake, a loop looks at the socket whose turn it is, ${order}, and finds the others too`, () => {
      const loop = new BatchLoop(nowMs, -1, new AlwaysAwake());
      const from: number[] = [];
      let foreseen = 0;
      class Counted extends BatchUdpServer {
        override onLook(atMs: number): number {
          const handled = super.onLook(atMs);
          foreseen += handled;
          return handled;
        }
      }
      const servers = [0, 1, 2].map((which) => {
        const onDatagram = (): number => from.push(which);
        const server = new Counted({ ...shared, loop, hostname: "127.0.0.1", port: 0, onDatagram });
        server.bindNow();
        return server;
      });
      const send = (which: number): void =>
        servers[which].send(Uint8Array.of(1), servers[which].address);
      const serve = (count: number): void => {
        const endMs = nowMs() + 20_000;
        while (from.length < count && nowMs() < endMs) loop.turn(1);
      };
      const sent: number[] = [];
      const sendNext = (which: number): void => {
        send(which);
        sent.push(which);
        serve(sent.length);
      };
      for (let round = 0; round < 60; round++) sendNext(turns[round % turns.length]);
      assert.ok(foreseen >= 20, `${foreseen} were found by such a look`);
      // Whatever comes out of turn is found by the looks at all.
      for (const which of [2, 1, 1, 0, 2, 0, 0, 1]) sendNext(which);
      assert.deepEqual(from, sent);
      for (const which of [0, 1, 2]) send(which);
      serve(sent.length + 3);
      assert.deepEqual(from.slice(sent.length).toSorted(), [0, 1, 2]);
      // One that is closed is looked at no more.
      for (let i = 0; i < 20; i++) send(1);
      serve(sent.length + 23);
      servers[1].closeNow();
      send(0);
      serve(sent.length + 24);
      assert.equal(from.length, sent.length + 24);
      assert.equal(from.at(-1), 0);
      for (const server of servers) server.closeNow();
      loop.close();
    });
  }

  test("onQuick answers in place, handles without answer, or passes on", () => {
    const loop = new BatchLoop(nowMs);
    const passedOn: number[] = [];
    const server = new BatchUdpServer({
      ...shared,
      loop,
      hostname: "127.0.0.1",
      port: 0,
      onDatagram: (bytes) => void passedOn.push(bytes[0]),
      onQuick(bytes, start, end, fromLoopback, fromPort, atMs, answer, answerStart): number {
        assert.equal(end - start, 1);
        assert.ok(fromLoopback && fromPort > 0 && atMs > 0);
        if (bytes[start] % 3 === 1) return 0;
        if (bytes[start] % 3 === 2) return -1;
        answer.set([bytes[start], 77], answerStart);
        return 2;
      },
    });
    const answers: number[][] = [];
    const peer = new BatchUdpServer({
      ...shared,
      loop,
      hostname: "127.0.0.1",
      port: 0,
      onDatagram: (bytes) => void answers.push([...bytes]),
    });
    peer.bindNow();
    const address = server.bindNow();
    const count = 3 * BATCH_MAX;
    for (let i = 0; i < count; i++) peer.send(Uint8Array.of(i), address);
    while (loop.turn(50) > 0);
    const numbers = Array.from({ length: count }, (_, i) => i);
    assert.deepEqual(passedOn, numbers.filter((i) => i % 3 === 2));
    assert.deepEqual(answers, numbers.filter((i) => i % 3 === 0).map((i) => [i, 77]));
    assert.equal(server.stats.sent, BATCH_MAX);
    server.closeNow();
    peer.closeNow();
    loop.close();
  });

  test("a socket keeps what comes while its thread has no time, unless the system allows no more", () => {
    // Twice what Linux gives a socket of itself; it allows as much to everybody.
    const burst = 2 * 256 - 32;
    for (const isGiven of [false, true]) {
      const loop = new BatchLoop(nowMs);
      let received = 0;
      const options = { ...shared, loop, hostname: "127.0.0.1", port: 0 };
      const { libc } = loop;
      const given = libc.socket(AF_INET, 2, 0);
      const name = new Uint8Array(NAME_BYTES);
      writeName(name, 0, { hostname: "127.0.0.1", port: 0 });
      assert.equal(libc.bind(given, name, NAME_BYTES), 0);
      const peer = new BatchUdpServer({
        ...options,
        ...(isGiven ? { fd: given } : {}),
        onDatagram: () => void received++,
      });
      const sender = new BatchUdpServer({ ...options, onDatagram: () => {} });
      const to = peer.bindNow();
      sender.bindNow();
      for (let i = 0; i < burst; i++) sender.send(Uint8Array.of(1), to);
      while (loop.turn(20) > 0);
      assert.deepEqual({ isGiven, received, lost: peer.unreceivedCount() }, {
        isGiven,
        received: burst,
        lost: 0,
      });
      peer.closeNow();
      sender.closeNow();
      if (!isGiven) libc.close(given);
      loop.close();
    }
  });

  test("what cannot be sent is dropped before it reaches libc, also when calls are hot", () => {
    // Once a call is compiled the runtime looks at none of its arguments any more.
    const loop = new BatchLoop(nowMs);
    let received = 0;
    const options = { ...shared, loop, hostname: "127.0.0.1", port: 0 };
    const peer = new BatchUdpServer({ ...options, onDatagram: () => void received++ });
    const sender = new BatchUdpServer({ ...options, onDatagram: () => {} });
    const to = peer.bindNow();
    sender.bindNow();
    const hot = 20_000;
    for (let i = 0; i < hot; i++) {
      sender.send(Uint8Array.of(1), to);
      if (i % 50 === 0) { while (loop.turn(0) > 0); }
    }
    while (loop.turn(20) > 0);
    const before = received;
    const wrong: [Uint8Array, { hostname: string; port: number }][] = [
      [new Uint8Array(65_508), to],
      [Uint8Array.of(1), { ...to, hostname: "no address" }],
      [Uint8Array.of(1), { ...to, hostname: "::1" }],
      [Uint8Array.of(1), { ...to, port: 65_536 }],
      [Uint8Array.of(1), { ...to, port: -1 }],
      [Uint8Array.of(1), { ...to, port: NaN }],
    ];
    const { dropped } = sender.stats;
    for (const [bytes, address] of wrong) sender.send(bytes, address);
    assert.equal(sender.stats.dropped, dropped + wrong.length);
    sender.closeNow();
    sender.send(Uint8Array.of(1), to);
    assert.equal(sender.stats.dropped, dropped + wrong.length + 1);
    while (loop.turn(20) > 0);
    assert.equal(received, before);
    peer.closeNow();
    loop.close();
  });

  test("turn() ends when woken, and when its time is over", () => {
    const wakeUp = new WakeUp();
    const loop = new BatchLoop(nowMs, wakeUp.fd);
    wakeUp.wake();
    wakeUp.wake();
    assert.equal(loop.turn(-1), 0, "it would never return by itself");
    const startMs = nowMs();
    assert.equal(loop.turn(30), 0, "both are one wake-up");
    assert.ok(nowMs() - startMs >= 25);
    loop.close();
    loop.close();
    wakeUp.close();
  });

  test("a loop whose descriptors are gone gives up instead of spinning for ever", () => {
    const loop = new BatchLoop(nowMs);
    loop.close();
    assert.throws(() => {
      for (let i = 0; i < 2000; i++) loop.turn(0);
    }, /Batch loop is given up: epoll_wait failed 1000 times/);
  });
}
