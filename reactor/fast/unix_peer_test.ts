import assert from "node:assert/strict";
import { test } from "node:test";
import { until } from "../../tests/support/until.ts";
import { silentLogger } from "../log.ts";
import { runtime } from "../runtime/mod.ts";
import { systemClock } from "../time/system_clock.ts";
import { BatchLoop } from "./batch_loop.ts";
import { batchUdpFault, BatchUdpServer } from "./batch_udp.ts";
import {
  acceptUnix,
  connectUnix,
  describeSocket,
  listenUnix,
  PASSED_SOCKETS_MAX,
  socketsOfSystemd,
  UNIX_MESSAGE_BYTES_MAX,
  UnixPeer,
} from "./unix_peer.ts";

const fault = batchUdpFault({ clock: systemClock, log: silentLogger });
const OPTIONS = fault === undefined ? {} : { skip: fault };

const name = (what: string): string => `lars test ${what} ${runtime.openLibc().getpid()}`;

/** Both ends of a talk in this process. */
function pair(what: string): [UnixPeer, UnixPeer, () => void] {
  const listenFd = listenUnix(name(what));
  const one = connectUnix(name(what));
  assert.ok(one instanceof UnixPeer);
  const fd = acceptUnix(listenFd);
  assert.ok(fd !== undefined);
  const other = new UnixPeer(fd);
  return [one, other, () => {
    one.close();
    other.close();
    runtime.openLibc().close(listenFd);
  }];
}

test("UnixPeer keeps messages whole and in order, and says when nothing has come", OPTIONS, () => {
  const [one, other, close] = pair("order");
  try {
    assert.equal(other.receive(), undefined);
    const long = new Uint8Array(UNIX_MESSAGE_BYTES_MAX).fill(7);
    for (const bytes of [Uint8Array.of(1), Uint8Array.of(2, 3), long]) {
      assert.ok(one.send(bytes));
      const message = other.receive();
      assert.ok(typeof message === "object");
      assert.deepEqual(message.bytes, bytes);
      assert.deepEqual(message.fds, []);
    }
    assert.throws(() => one.send(new Uint8Array(UNIX_MESSAGE_BYTES_MAX + 1)), RangeError);
    let sent = 0;
    while (one.send(long) && sent < 1000) sent++;
    assert.ok(sent < 1000, "what nobody takes is refused at last");
    assert.ok(typeof other.receive() === "object");
    assert.ok(one.send(long));
    one.close();
    assert.equal(one.send(long), false);
    assert.equal(one.receive(), "closed");
    for (let i = 0; i < sent; i++) assert.ok(typeof other.receive() === "object");
    assert.equal(other.receive(), "closed");
  } finally {
    close();
  }
});

test(
  "a UDP socket that was passed gets what waits in it, after its first owner has closed",
  OPTIONS,
  async () => {
    const [one, other, close] = pair("sockets");
    const loop = new BatchLoop(() => systemClock.nowMs());
    const common = { hostname: "127.0.0.1", clock: systemClock, log: silentLogger, loop };
    const got: string[] = [];
    const first = new BatchUdpServer({ ...common, port: 0, onDatagram: () => {} });
    const client = new BatchUdpServer({ ...common, port: 0, onDatagram: () => {} });
    try {
      const address = first.bindNow();
      client.bindNow();
      assert.ok(one.send(Uint8Array.of(9), [first.fd]));
      client.send(new TextEncoder().encode("waits"), address);
      first.closeNow();
      const message = other.receive();
      assert.ok(typeof message === "object");
      const [fd] = message.fds;
      assert.deepEqual(describeSocket(fd), { kind: "udp", address });
      const second = new BatchUdpServer({
        ...common,
        port: address.port,
        fd,
        onDatagram: (bytes) => void got.push(new TextDecoder().decode(bytes)),
      });
      assert.deepEqual(second.bindNow(), address);
      await until(() => {
        loop.turn(0);
        return got.length > 0;
      }, { what: "the datagram" });
      assert.deepEqual(got, ["waits"]);
      second.closeNow();
      assert.equal(describeSocket(fd), undefined);
    } finally {
      client.closeNow();
      loop.close();
      close();
    }
  },
);

test("more sockets than a message can carry are refused, and a name is had once", OPTIONS, () => {
  const [one, , close] = pair("limits");
  try {
    const fds = new Array<number>(PASSED_SOCKETS_MAX + 1).fill(0);
    assert.throws(() => one.send(Uint8Array.of(1), fds), RangeError);
    assert.throws(() => listenUnix(name("limits")), /cannot be had: errno 98/);
    assert.equal(connectUnix(name("nobody")), "nobody");
    assert.throws(() => listenUnix("n".repeat(200)), RangeError);
  } finally {
    close();
  }
});

test(
  "sockets of systemd are none when they are meant for another process, or not said",
  OPTIONS,
  () => {
    assert.deepEqual(socketsOfSystemd(), []);
  },
);
