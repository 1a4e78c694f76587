import assert from "node:assert/strict";
import { test as nodeTest } from "node:test";
import { RelayClient } from "../api/relay_client.ts";
import { RelayWorker } from "../api/relay_worker.ts";
import {
  decodeRelayReply,
  decodeRelayTask,
  encodeRelayDone,
  encodeRelayRequest,
  encodeRelayWork,
} from "../proto/codec.ts";
import { MessageId, RelayStatus } from "../proto/message_ids.ts";
import { batchTcpFault } from "../reactor/fast/batch_tcp.ts";
import { sleep } from "../reactor/time/clock.ts";
import { systemClock } from "../reactor/time/system_clock.ts";
import { RawPeer } from "../reactor/testing/raw_peer.ts";
import { until } from "../tests/support/until.ts";
import { encodeRelayFrame } from "./seed/relay_frame.ts";
import { LinkedPeer } from "./testing/linked_peer.ts";
import {
  type TestRelay,
  type TestRelayOptions,
  withRelay as withAnyRelay,
} from "./testing/test_relay.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const text = (data: Uint8Array): string => new TextDecoder().decode(data);

/** A worker of module 0,0 that sends everything back. */
async function echoWorker(relay: TestRelay): Promise<RelayWorker> {
  const worker = new RelayWorker({ relays: [relay.name] }, ({ data }) => data);
  await until(() => relay.stats().workers > 0, { what: "the worker" });
  return worker;
}

function assertAddUp(relay: TestRelay): void {
  const stats = relay.stats();
  for (const kind of ["requests", "replies", "transits"]) {
    const refused = Object.keys(stats).filter((name) => name.startsWith(`${kind}_refused_`));
    const ends = [`${kind}_delivered`, `${kind}_expired`, `${kind}_waiting`, ...refused];
    assert.equal(stats[`${kind}_sent`], ends.reduce((sum, name) => sum + stats[name], 0), kind);
  }
}

/** The tests of a relay, whatever its connections come from. */
function testRelay(fast: boolean): void {
  const test = (name: string, body: () => Promise<void>): void =>
    void nodeTest(fast ? `${name} (fast path)` : name, body);
  const withRelay = (
    options: TestRelayOptions,
    body: (relay: TestRelay) => Promise<void>,
  ): Promise<void> => withAnyRelay({ ...options, fast }, body);

  test("relay: clients of the original get their own answers, with equal numbers and a forged sid", () =>
    withRelay({}, async (relay) => {
      const worker = await echoWorker(relay);
      const peers = [
        await LinkedPeer.connect(relay.address),
        await LinkedPeer.connect(relay.address),
      ];
      for (let round = 1; round <= 10; round++) {
        peers.forEach((peer, index) =>
          peer.send({ cpid: 42, msgid: round, sid: 77_777, text: `${index}/${round}` })
        );
      }
      for (const peer of peers) await until(() => peer.frames.length === 10);
      peers.forEach((peer, index) => {
        assert.deepEqual(
          peer.texts,
          Array.from({ length: 10 }, (_, round) => `${index}/${round + 1}`),
        );
        assert.deepEqual(
          new Set(peer.frames.map(({ kind, cpid, sid }) => `${kind} ${cpid} ${sid}`)).size,
          1,
        );
        assert.deepEqual([peer.frames[0].kind, peer.frames[0].cpid], [1, 42]);
      });
      const sids = peers.map((peer) => peer.frames[0].sid);
      assert.deepEqual(sids, [1, 2]);
      peers[1].close();
      await until(() => relay.stats().links === 1);
      const next = await LinkedPeer.connect(relay.address);
      next.send({ cpid: -1, msgid: -(2 ** 31), text: "x".repeat(184) });
      await until(() => next.frames.length === 1);
      assert.deepEqual([next.frames[0].sid, next.frames[0].cpid, next.frames[0].msgid], [
        3,
        -1,
        -(2 ** 31),
      ]);
      assertAddUp(relay);
      for (const peer of [...peers, next]) peer.close();
      await worker.close();
    }));

  test("relay: L1 or L2 ending ends both, and the client is gone", () =>
    withRelay({}, async (relay) => {
      for (const link of ["l1", "l2"] as const) {
        const peer = await LinkedPeer.connect(relay.address);
        await until(() => relay.stats().links === 1);
        peer[link].end();
        await until(() => peer.ended.length === 2, { what: `the end of both after ${link}` });
        await until(() => relay.stats().links + relay.stats().clients === 0);
      }
    }));

  test("relay: nonsense over L0 is refused and counted, and harms nobody", () =>
    withRelay({}, async (relay) => {
      const { port } = relay.address;
      const wild = [
        "X\0",
        "1023 1022\0",
        "GET / HTTP/1.1\r\n",
        "70000X600\0",
        "9".repeat(500),
        "\xff\0",
      ];
      const own = [`${port}X1000\0`, `1000X${port}\0`, `${port}x${port}\0`];
      const peers: RawPeer[] = [];
      for (const line of [...wild, ...own]) {
        const peer = await RawPeer.connect(relay.address);
        await peer.write(bytes(line));
        peers.push(peer);
      }
      await until(() => peers.every(({ closed, ended }) => closed || ended));
      await until(() => relay.stats().links_refused_text === wild.length);
      assert.equal(relay.stats().links_refused_ports, own.length);
      assert.equal(relay.stats().links_being_made, 0);
      const worker = await echoWorker(relay);
      const good = await LinkedPeer.connect(relay.address);
      good.send({ text: "served" });
      await until(() => good.texts[0] === "served");
      for (const peer of peers) peer.destroy();
      good.close();
      await worker.close();
    }));

  test("relay: frames of every length from 0 to 400, a 201st byte and half frames harm nobody", () =>
    withRelay({}, async (relay) => {
      const worker = await echoWorker(relay);
      const good = await LinkedPeer.connect(relay.address);
      for (let length = 0; length <= 400; length++) {
        const odd = await LinkedPeer.connect(relay.address);
        const frame = new Uint8Array(400);
        frame.set(encodeRelayFrame({ kind: 1, cpid: 1, sid: 0, msgid: 1, data: bytes("odd") }));
        odd.l1.write(frame.subarray(0, length));
        odd.l1.write(new Uint8Array(1));
        odd.l1.end();
      }
      good.send({ msgid: 5, text: "still here" });
      await until(() => good.texts[0] === "still here");
      await until(() => relay.stats().links === 1);
      assert.ok(relay.stats().bad_frames > 0);
      assertAddUp(relay);
      good.close();
      await worker.close();
    }));

  test("relay: a client that never reads is cut at its bound, and others are served", () =>
    withRelay({ limits: { clientRequestsMax: 100_000 } }, async (relay) => {
      const worker = await echoWorker(relay);
      const slow = await LinkedPeer.connect(relay.address);
      const good = await LinkedPeer.connect(relay.address);
      await until(() => relay.stats().links === 2);
      slow.l2.pause();
      let number = 0;
      await until(() => {
        for (let i = 0; i < 5000 && slow.ended.length === 0; i++) slow.send({ msgid: ++number });
        return relay.stats().links === 1;
      }, { timeoutMs: 60_000 });
      good.send({ text: "served" });
      await until(() => good.texts[0] === "served");
      assert.ok(relay.stats().replies_refused_slow >= 1);
      assertAddUp(relay);
      slow.close();
      good.close();
      await worker.close();
    }));

  test("relay: a frame goes from client to client, with the sender's address in front", () =>
    withRelay({}, async (relay) => {
      const from = await LinkedPeer.connect(relay.address);
      const to = await LinkedPeer.connect(relay.address);
      await until(() => relay.stats().links === 2);
      const payload = `127.0.0.1:${to.port1}`.padEnd(24, "\0") + "hello";
      from.send({ kind: 2, cpid: 9, msgid: 3, text: payload });
      await until(() => to.frames.length === 1);
      const [{ kind, cpid, sid, msgid }] = to.frames;
      assert.deepEqual([kind, cpid, sid, msgid], [2, 9, 1, 3]);
      assert.equal(to.texts[0], `127.0.0.1:${from.port1}`.padEnd(24, "\0") + "hello");
      from.send({ kind: 2, text: "10.9.9.9" });
      from.send({ kind: 2, text: "nonsense" });
      await until(() => relay.stats().transits_refused_no_client === 2);
      assertAddUp(relay);
      from.close();
      to.close();
    }));

  test("relay: links beyond the limits get their L0 closed, and nothing is registered", async () => {
    for (const originals of [{ linksMax: 2 }, { linksPerHostMax: 2 }]) {
      await withRelay({ originals }, async (relay) => {
        const peers = [
          await LinkedPeer.connect(relay.address),
          await LinkedPeer.connect(relay.address),
        ];
        const third = await RawPeer.connect(relay.address);
        await third.write(bytes("1023X1022\0"));
        await until(() => third.closed || third.ended);
        await until(() => relay.stats().links_refused_limit === 1);
        peers[0].close();
        await until(() => relay.stats().links === 1);
        peers.push(await LinkedPeer.connect(relay.address));
        for (const peer of peers) peer.close();
        third.destroy();
      });
    }
  });

  test("relay: many silent peers and ports where nobody listens keep no new client from its links", () =>
    withRelay({ originals: { linksMax: 5000 } }, async (relay) => {
      const worker = await echoWorker(relay);
      const attackers: RawPeer[] = [];
      for (let i = 0; i < 150; i++) {
        const peer = await RawPeer.connect(relay.address);
        if (i % 3 > 0) await peer.write(bytes(i % 3 === 1 ? `${600 + i}X${601 + i}\0` : "60"));
        attackers.push(peer);
      }
      const good = await LinkedPeer.connect(relay.address);
      good.send({ text: "served" });
      await until(() => good.texts[0] === "served");
      assert.equal(relay.stats().links, 1);
      for (const peer of attackers) peer.destroy();
      good.close();
      await worker.close();
    }));

  test("relay: one connection has many requests under way, of any size", () =>
    withRelay({}, async (relay) => {
      const worker = new RelayWorker(
        { relays: [relay.name], modules: [{ modId: 3, cmdId: 4 }], concurrency: 8 },
        async ({ data }) => {
          await Promise.resolve();
          return data;
        },
      );
      await until(() => relay.stats().workers === 1);
      const client = new RelayClient({ relays: [relay.name] });
      const sizes = [0, 1, 184, 185, 4_000, 65_000, ...Array.from({ length: 300 }, (_, i) => i)];
      const answers = await Promise.all(
        sizes.map((size, index) =>
          client.request({ modId: 3, cmdId: 4 }, new Uint8Array(size).fill(index))
        ),
      );
      answers.forEach((answer, index) => {
        assert.deepEqual(answer, new Uint8Array(sizes[index]).fill(index));
      });
      await assert.rejects(
        client.request({ modId: 3, cmdId: 4 }, new Uint8Array(65_001)),
        /data must be at most 65000 bytes: current value is 65001/,
      );
      assertAddUp(relay);
      await client.close();
      await worker.close();
    }));

  test("relay: no worker, a failed worker, a lost one and a slow one are told apart", () =>
    withRelay({}, async (relay) => {
      const module = { modId: 5, cmdId: 5 };
      const late: string[] = [];
      const client = new RelayClient({
        relays: [relay.name],
        onLate: (_number, data) => void late.push(text(data)),
      });
      const status = (wanted: number, unseen: boolean) => (error: Error & { status?: number }) => {
        assert.deepEqual([error.name, error.status], ["RelayError", wanted], error.message);
        assert.equal((error as unknown as { unseen: boolean }).unseen, unseen);
        return true;
      };
      await assert.rejects(client.request(module, bytes("a")), status(RelayStatus.NoWorker, true));
      const release = Promise.withResolvers<void>();
      const worker = new RelayWorker(
        { relays: [relay.name], modules: [module] },
        async ({ data }) => {
          if (text(data) === "bad") throw new Error("no such thing");
          await release.promise;
          return data;
        },
      );
      await until(() => relay.stats().workers === 1);
      await assert.rejects(client.request(module, bytes("bad")), status(RelayStatus.Failed, false));
      await assert.rejects(client.request(module, bytes("bad")), /no such thing/);
      await assert.rejects(client.request(module, bytes("slow"), { timeoutMs: 60 }), {
        name: "TimeoutError",
      });
      release.resolve();
      await until(() => late.length === 1);
      assert.deepEqual(late, ["slow"]);
      await worker.close();
      await until(() => relay.stats().workers === 0);
      const stuck = new RelayWorker({ relays: [relay.name], modules: [module] }, () => {
        return new Promise(() => {});
      });
      await until(() => relay.stats().workers === 1);
      const waiting = client.request(module, bytes("x"));
      await until(() => relay.stats().requests_at_workers === 1);
      await Promise.all([
        assert.rejects(waiting, status(RelayStatus.WorkerLost, false)),
        stuck.close(0),
      ]);
      assertAddUp(relay);
      await client.close();
    }));

  test("relay: a worker gets no more at once than it asked for, and the rest waits", () =>
    withRelay({}, async (relay) => {
      let running = 0;
      let most = 0;
      const worker = new RelayWorker({ relays: [relay.name], concurrency: 3 }, async ({ data }) => {
        most = Math.max(most, ++running);
        await new Promise((resolve) => queueMicrotask(() => resolve(undefined)));
        running--;
        return data;
      });
      await until(() => relay.stats().workers === 1);
      const client = new RelayClient({ relays: [relay.name] });
      await Promise.all(
        Array.from({ length: 200 }, () => client.request({ modId: 0, cmdId: 0 }, bytes("x"))),
      );
      assert.ok(most <= 3, `${most} at once`);
      assert.equal(worker.counts.answered, 200);
      await client.close();
      await worker.close();
    }));

  test("relay: with a secret, only those who know it are served, and none of the original", () => {
    const secret = bytes("a secret of thirty-two bytes, yes");
    return withRelay({ secrets: [secret], originals: false }, async (relay) => {
      const good = new RelayClient({ relays: [relay.name], token: secret });
      await assert.rejects(good.request({ modId: 0, cmdId: 0 }, bytes("x")), {
        status: RelayStatus.NoWorker,
      });
      const bad = new RelayClient({ relays: [relay.name] });
      await assert.rejects(bad.request({ modId: 0, cmdId: 0 }, bytes("x"), { timeoutMs: 50 }));
      const original = await RawPeer.connect(relay.address);
      await original.write(bytes("1023X1022\0"));
      await until(() => original.closed || original.ended);
      assert.equal(relay.stats().clients, 1);
      original.destroy();
      await good.close();
      await bad.close();
    });
  });

  test("relay: bad bodies and messages out of order end their own connection only", () =>
    withRelay({}, async (relay) => {
      const client = new RelayClient({ relays: [relay.name] });
      await until(() => client.connected);
      const ids = [
        MessageId.RelayJoin,
        MessageId.RelayRequest,
        MessageId.RelayWork,
        MessageId.RelayDone,
      ];
      for (const msgId of ids) {
        for (const body of [new Uint8Array(0), new Uint8Array(300).fill(255)]) {
          const peer = await RawPeer.connect(relay.address);
          await peer.send(MessageId.Hello, new Uint8Array(0));
          await peer.send(msgId, body);
          await peer.send(msgId, new Uint8Array(300).fill(255));
          await until(() => peer.closed || peer.ended, { what: `the end after ${msgId}` });
          peer.destroy();
        }
        const plain = await RawPeer.connect(relay.address);
        await plain.send(msgId);
        await until(() => plain.closed || plain.ended);
        plain.destroy();
      }
      await assert.rejects(client.request({ modId: 0, cmdId: 0 }, bytes("x")), {
        status: RelayStatus.NoWorker,
      });
      assert.equal(relay.stats().handler_errors, 0);
      await client.close();
    }));

  test("relay: what is too large, unknown ids and answers to nothing are told or counted", () =>
    withRelay({}, async (relay) => {
      const peer = await RawPeer.connect(relay.address);
      await peer.send(MessageId.Hello);
      await peer.send(MessageId.RelayJoin);
      const work = { modules: [{ modId: 0, cmdId: 0 }], credit: 100, leaving: false };
      await peer.send(MessageId.RelayWork, encodeRelayWork(work));
      const request = { number: 7, modId: 0, cmdId: 0, ttlMs: 0 };
      const answers = (): [number, number][] =>
        peer.frames.filter(({ msgId }) => msgId === MessageId.RelayReply).map(({ body }) => {
          const { number, status } = decodeRelayReply(body);
          return [number, status];
        });
      const large = encodeRelayRequest({ ...request, data: new Uint8Array(65_001) });
      await peer.send(MessageId.RelayRequest, large);
      await until(() => answers().length === 1);
      assert.deepEqual(answers(), [[7, RelayStatus.TooLarge]]);
      // An answer may be too large as well, of our own and for one of the original.
      await peer.send(MessageId.RelayRequest, encodeRelayRequest({ ...request, data: bytes("x") }));
      const tasks = (): number[] =>
        peer.frames.filter(({ msgId }) => msgId === MessageId.RelayTask)
          .map(({ body }) => decodeRelayTask(body).task);
      await until(() => tasks().length === 1);
      const done = { status: RelayStatus.Ok, credit: 1 };
      const answer = (task: number, length: number): Promise<void> =>
        peer.send(
          MessageId.RelayDone,
          encodeRelayDone({ ...done, task, data: new Uint8Array(length) }),
        );
      await answer(tasks()[0], 65_001);
      await until(() => answers().length === 2);
      assert.deepEqual(answers()[1], [7, RelayStatus.TooLarge]);
      const original = await LinkedPeer.connect(relay.address);
      original.send({ msgid: 1 });
      await until(() => tasks().length === 2);
      await answer(tasks()[1], 185);
      await answer(tasks()[1], 1); // answered before
      await answer(4_000_000_000, 1);
      original.send({ kind: 2, text: "10.9.8.7" });
      original.send({ kind: 3 });
      await until(() => relay.stats().replies_refused_unknown === 2);
      assert.equal(relay.stats().replies_refused_oversize, 2);
      await until(() => relay.stats().bad_frames === 1);
      assert.equal(relay.stats().transits_refused_no_client, 1);
      for (const msgId of [0, -1, 99, 117, 2 ** 31 - 1]) await peer.send(msgId);
      await until(() => relay.stats().unknown_ids === 5);
      original.send({ msgid: 2 });
      await until(() => tasks().length === 3, { what: "one that is still served" });
      assertAddUp(relay);
      for (let more = 0; more < 6; more++) await peer.send(9_999);
      await until(() => peer.closed || peer.ended, {
        what: "the end of one that says nothing else",
      });
      peer.destroy();
      original.close();
    }));

  test("relay: many that never read are each bounded by what may wait for one, and others served", () =>
    withRelay(
      { limits: { clientRequestsMax: 100_000 }, outputBytesMax: 131_072 },
      async (relay) => {
        const worker = await echoWorker(relay);
        const deaf: RawPeer[] = [];
        const data = new Uint8Array(60_000);
        const request = encodeRelayRequest({ number: 1, modId: 0, cmdId: 0, ttlMs: 0, data });
        for (let count = 0; count < 20; count++) {
          const peer = await RawPeer.connect(relay.address);
          peer.pause();
          await peer.send(MessageId.Hello);
          await peer.send(MessageId.RelayJoin);
          deaf.push(peer);
        }
        await until(() => relay.stats().clients === 20);
        const client = new RelayClient({ relays: [relay.name] });
        // Far more than the kernel keeps for all of them: those that go on asking are cut.
        for (let round = 0; relay.stats().clients > 1 && round < 2_000; round++) {
          for (const peer of deaf) {
            if (!peer.closed) void peer.send(MessageId.RelayRequest, request);
          }
          assert.deepEqual(await client.request({ modId: 0, cmdId: 0 }, bytes("me")), bytes("me"));
        }
        assert.equal(relay.stats().clients, 1);
        assert.equal(relay.stats().slow_readers, 20);
        assertAddUp(relay);
        for (const peer of deaf) peer.destroy();
        await client.close();
        await worker.close();
      },
    ));

  test("relay: before a stop clients go to another one, once they have their answers", () =>
    withRelay({}, (first) =>
      withRelay({}, async (second) => {
        const relays = [first.name, second.name];
        const worker = new RelayWorker({ relays }, async ({ data }) => {
          await sleep(systemClock, 5);
          return data;
        });
        await until(() => worker.attachedCount === 2);
        const client = new RelayClient({ relays });
        const ask = (): Promise<Uint8Array> => client.request({ modId: 0, cmdId: 0 }, bytes("x"));
        await ask();
        const [stopping, other] = first.stats().clients === 1 ? [first, second] : [second, first];
        let stopped = false;
        let answers = 0;
        // Many under way at any moment; one that is lost would throw.
        const asking = Promise.all(Array.from({ length: 20 }, async () => {
          for (let more = 0; !stopped || more < 3; more += stopped ? 1 : 0) {
            await ask();
            answers++;
          }
        }));
        await until(() => answers > 50);
        await stopping.loop.leave();
        assert.equal(stopping.stats().clients, 0);
        await until(() => other.stats().clients === 1);
        await stopping.loop.close();
        stopped = true;
        await asking;
        assert.equal(other.stats().clients, 1);
        assert.ok(other.stats().requests_delivered > 0);
        assertAddUp(stopping);
        assertAddUp(other);
        await client.close();
        await worker.close();
      })));
}

testRelay(false);
if (batchTcpFault(systemClock) === undefined) testRelay(true);
