import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { test } from "node:test";
import { until } from "../../tests/support/until.ts";
import { messageOf } from "../errors.ts";
import { type Libc, runtime } from "../runtime/mod.ts";
import { AF_INET, NAME_BYTES, SOCK_CLOEXEC, SOCK_NONBLOCK, writeName } from "./batch_loop.ts";
import { RING_SEND_BYTES_MAX, RING_SENDS_MAX, type RingSender, SendRing } from "./send_ring.ts";

const SOCK_STREAM = 1;

/** Why there is no ring here; undefined: there is one. */
function ringFault(): string | undefined {
  try {
    new SendRing(runtime.openLibc()).close();
    return undefined;
  } catch (error) {
    return messageOf(error);
  }
}

const fault = ringFault();

/** Connections whose other ends are read here. */
interface Trial {
  readonly ring: SendRing;
  readonly fds: readonly number[];
  readonly peers: readonly Socket[];
  /** What each peer has got. */
  got(index: number): Buffer;
}

async function withPeers(
  count: number,
  body: (trial: Trial) => Promise<void>,
  change: (libc: Libc) => Libc = (libc) => libc,
): Promise<void> {
  const libc = runtime.openLibc();
  const peers: Socket[] = [];
  const chunks: Buffer[][] = [];
  const server = createServer((socket) => {
    const own: Buffer[] = [];
    socket.on("data", (data: Buffer) => void own.push(data));
    socket.on("error", () => undefined);
    peers.push(socket);
    chunks.push(own);
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const name = new Uint8Array(NAME_BYTES);
  writeName(name, 0, { hostname: "127.0.0.1", port: (server.address() as AddressInfo).port });
  const fds: number[] = [];
  const ring = new SendRing(change(libc));
  try {
    for (let i = 0; i < count; i++) {
      const fd = libc.socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
      libc.connect(fd, name, NAME_BYTES);
      fds.push(fd);
      await until(() => peers.length === i + 1);
    }
    await body({ ring, fds, peers, got: (index) => Buffer.concat(chunks[index]) });
  } finally {
    ring.close();
    for (const fd of fds) libc.close(fd);
    for (const peer of peers) peer.destroy();
    server.close();
  }
}

const nobody: RingSender = { onUnsent: () => assert.fail("all of it should leave") };

function numbered(length: number, first = 0): Uint8Array<ArrayBuffer> {
  return Uint8Array.from({ length }, (_, index) => (first + index) * 7);
}

/** A library that counts calls of the ring, and of plain sends. */
function counted(calls: { ring: number; send: number }): (libc: Libc) => Libc {
  return (libc) => ({
    ...libc,
    ringEnter(ring, submitCount, waitCount, flags): number {
      calls.ring++;
      return libc.ringEnter(ring, submitCount, waitCount, flags);
    },
    send(fd, bytes, length, flags): number {
      calls.send++;
      return libc.send(fd, bytes, length, flags);
    },
  });
}

if (fault !== undefined) {
  test("SendRing", (t) => t.skip(`there is no io_uring here: ${fault}`));
} else {
  test("SendRing: what is added leaves by one call, and its buffers are free before", () => {
    const calls = { ring: 0, send: 0 };
    return withPeers(20, async ({ ring, fds, got }) => {
      const bytes = new Uint8Array(512);
      for (let round = 0; round < 300; round++) {
        const { round: number } = ring;
        for (const [index, fd] of fds.entries()) {
          bytes.fill(round + index);
          assert.equal(ring.add(fd, bytes, 10 + index, nobody), true);
        }
        assert.equal(ring.round, number);
        ring.flush();
        assert.equal(ring.round, number + 1);
      }
      ring.flush();
      assert.deepEqual(calls, { ring: 300, send: 0 });
      await until(() => fds.every((_, index) => got(index).length === 300 * (10 + index)));
      for (const [index] of fds.entries()) {
        const wanted = Buffer.concat(
          Array.from({ length: 300 }, (_, round) => Buffer.alloc(10 + index, round + index)),
        );
        assert.ok(got(index).equals(wanted), `peer ${index}`);
      }
    }, counted(calls));
  });

  test("SendRing: a full one has the others leave first; what is too long is not taken", () =>
    withPeers(1, async ({ ring, fds: [fd], got }) => {
      const { round } = ring;
      for (let i = 0; i <= RING_SENDS_MAX; i++) {
        assert.equal(ring.add(fd, numbered(10, 10 * i), 10, nobody), true);
      }
      assert.equal(ring.round, round + 1);
      const length = RING_SEND_BYTES_MAX;
      assert.equal(ring.add(fd, numbered(length + 1), length + 1, nobody), false);
      const more = numbered(2 * length, 10 * (RING_SENDS_MAX + 1));
      assert.equal(ring.add(fd, more, length, nobody), true);
      ring.flush();
      const all = 10 * (RING_SENDS_MAX + 1) + length;
      await until(() => got(0).length === all);
      assert.ok(got(0).equals(Buffer.from(numbered(all))));
    }));

  test("SendRing: what the kernel does not take is given back, and nothing of it has left", () =>
    withPeers(2, async ({ ring, fds: [full, free], peers: [reader], got }) => {
      reader.pause();
      let sent = 0;
      let left = -1;
      while (left < 0) {
        const length = 5_000 + sent % 1_000;
        const onUnsent = (bytes: Uint8Array): void => {
          left = bytes.length;
          assert.deepEqual([...bytes], [...numbered(length, sent)].slice(length - left));
        };
        ring.add(full, numbered(length, sent), length, { onUnsent });
        ring.add(free, numbered(10), 10, nobody);
        ring.flush();
        sent += length;
      }
      reader.resume();
      await until(() => got(0).length === sent - left);
      assert.ok(got(0).equals(Buffer.from(numbered(sent - left))));
      // A descriptor that is none is refused, and no concern of the others.
      let refused = 0;
      ring.add(9_999, numbered(10), 10, { onUnsent: (bytes) => void (refused = bytes.length) });
      ring.add(free, numbered(10), 10, nobody);
      ring.flush();
      assert.equal(refused, 10);
    }));

  for (const taken of [-1, 0, 3]) {
    test(`SendRing: where the kernel takes ${taken} of 8 sends, the rest is sent all the same`, () => {
      const calls = { ring: 0, send: 0 };
      return withPeers(8, async ({ ring, fds, got }) => {
        for (const [index, fd] of fds.entries()) ring.add(fd, numbered(10, index), 10, nobody);
        ring.flush();
        await until(() => fds.every((_, index) => got(index).length === 10));
        for (const [index] of fds.entries()) {
          assert.ok(got(index).equals(Buffer.from(numbered(10, index))));
        }
        assert.equal(calls.send, 8 - Math.max(0, taken));
        assert.equal(ring.add(fds[0], numbered(10), 10, nobody), false, "it is given up");
        ring.flush();
      }, (libc) => {
        const both = counted(calls)(libc);
        return {
          ...both,
          ringEnter: (fd, _submitCount, _waitCount, flags) =>
            taken > 0 ? libc.ringEnter(fd, taken, taken, flags) : taken,
        };
      });
    });
  }
}
