import assert from "node:assert/strict";
import { test } from "node:test";
import { systemClock } from "../../reactor/time/system_clock.ts";
import { nextInt, seededRng } from "../../reactor/time/rng.ts";
import { until } from "../../tests/support/until.ts";
import {
  command,
  int32,
  readTold,
  SeedClient,
  serverInfo,
  startSeedListener,
} from "../testing/seed_bench.ts";

type Listening = Awaited<ReturnType<typeof startSeedListener>>;

async function withListener(
  body: (given: Listening, open: () => Promise<SeedClient>) => Promise<void>,
  connectionsMax?: number,
): Promise<void> {
  const given = await startSeedListener(connectionsMax);
  const clients: SeedClient[] = [];
  try {
    await body(given, async () => {
      const client = await SeedClient.open(given.port);
      clients.push(client);
      return client;
    });
  } finally {
    for (const client of clients) client.close();
    await given.listener.close();
  }
}

test("seed: nobody registered is answered at once with id -1 and zeros", () =>
  withListener(async (_given, open) => {
    const client = await open();
    client.write(command(0));
    const bytes = await client.take(32);
    assert.deepEqual([...bytes.subarray(0, 8)], new Array(8).fill(0));
    assert.deepEqual([...bytes.subarray(8, 12)], [255, 255, 255, 255]);
    assert.deepEqual([...bytes.subarray(12)], new Array(20).fill(0));
  }));

test("seed: a registered server is given with its address, byte for byte", () =>
  withListener(async (_given, open) => {
    const client = await open();
    assert.equal(await client.register("10.1.2.3", 4660), 0);
    client.write(command(0));
    const bytes = await client.take(32);
    assert.deepEqual([...bytes.subarray(0, 12)], new Array(12).fill(0));
    const text = [...new TextEncoder().encode("10.1.2.3")];
    assert.deepEqual([...bytes.subarray(12, 28)], [
      ...text,
      ...new Array(16 - text.length).fill(0),
    ]);
    assert.deepEqual([...bytes.subarray(28)], [0x34, 0x12, 0, 0]);
  }));

test("seed: an empty, unparsable or zero ip means the address of the peer", () =>
  withListener(async (_given, open) => {
    const client = await open();
    for (const [index, ip] of ["", "not an address!!", "0.0.0.0", "300.1.1.1"].entries()) {
      assert.equal(await client.register(ip, 100 + index), index);
      assert.equal((await client.connect()).ip, "127.0.0.1");
      client.write(command(4, int32(index)));
    }
    assert.equal(await client.register("10.0.0.1", 0), -1, "port 0 cannot be called");
    assert.equal((await client.connect()).id, -1);
  }));

test("seed: an address registered again supersedes its entry, with weight and count anew", () =>
  withListener(async ({ listener }, open) => {
    const client = await open();
    const id = await client.register("10.0.0.1", 80);
    client.write(command(1, int32(1, id)));
    client.write(command(1, int32(0, id)));
    await client.take(32);
    assert.deepEqual(
      listener.seedServers.list().map(({ weight, connections }) => [weight, connections]),
      [[512, 1]],
    );
    await client.register("10.0.0.1", 80);
    assert.deepEqual(
      listener.seedServers.list().map(({ weight, connections }) => [weight, connections]),
      [[1024, 0]],
    );
  }));

/** The rule, written from the seed's text alone. */
class RuleBook {
  readonly servers: { id: number; weight: number; count: number }[] = [];

  choose(): number {
    let best = -1;
    let most = -Infinity;
    for (const { id, weight, count } of this.servers) {
      if (weight - count > most) [best, most] = [id, weight - count];
    }
    return best;
  }

  back(id: number, isConnected: boolean): void {
    const server = this.servers.find((one) => one.id === id);
    if (server === undefined) return;
    if (isConnected) {
      if (server.weight <= 512) server.weight *= 2;
      server.count++;
    } else if (server.weight > 1) server.weight = Math.floor(server.weight / 2);
  }

  left(id: number): void {
    const server = this.servers.find((one) => one.id === id);
    if (server !== undefined && server.count > 0) server.count--;
  }
}

test("seed: 120 servers, and 300 choices equal to the rule", () =>
  withListener(async (_given, open) => {
    const client = await open();
    const book = new RuleBook();
    for (let index = 0; index < 120; index++) {
      const id = await client.register("10.0.0.1", 1000 + index);
      book.servers.push({ id, weight: 1024, count: 0 });
    }
    const rng = seededRng(9527);
    for (let round = 0; round < 300; round++) {
      const told = await client.connect();
      assert.equal(told.id, book.choose(), `choice ${round}`);
      assert.equal(told.port, 1000 + told.id);
      const dice = nextInt(rng, 10);
      if (dice < 6) {
        client.write(command(1, int32(1, told.id)));
        book.back(told.id, true);
      } else if (dice < 9) {
        client.write(command(1, int32(0, told.id)));
        book.back(told.id, false);
        assert.equal(readTold(await client.take(32)).id, book.choose(), `other choice ${round}`);
      } else {
        const id = nextInt(rng, 130) - 5;
        client.write(command(2, int32(id)));
        book.left(id);
      }
    }
  }));

test("seed: commands are the same when split at any byte, and when joined", () =>
  withListener(async (_given, open) => {
    const first = await open();
    await first.register("10.0.0.1", 80);
    // Ids rise: that of the server which comes and goes is another one each time.
    let nextId = 1;
    const streamOf = (id: number): Uint8Array =>
      [
        command(0),
        command(3, serverInfo("10.0.0.2", 81)),
        command(77, new Uint8Array(13)),
        command(1, int32(1, 0)),
        command(0, new Uint8Array(5)),
        command(5),
        command(1, new Uint8Array([...int32(0, 0), 9, 9, 9])),
        command(4, int32(id)),
        command(0),
      ].reduce((all, bytes) => new Uint8Array([...all, ...bytes]), new Uint8Array(0));
    const replyBytes = 32 + 12 + 32 + 32 + 32;
    const ask = async (
      cut: (stream: Uint8Array) => readonly Uint8Array[],
    ): Promise<number[]> => {
      await first.register("10.0.0.1", 80); // Weight and count anew.
      const client = await open();
      for (const piece of cut(streamOf(nextId++))) {
        client.write(piece);
        await new Promise((resolve) => setImmediate(resolve));
      }
      const bytes = await client.take(replyBytes);
      client.close();
      bytes.fill(0, 40, 44); // Ids rise.
      return [
        readTold(bytes.slice(44, 76)).port,
        readTold(bytes.slice(76, 108)).port,
        ...bytes.slice(108),
      ];
    };
    const whole = await ask((stream) => [stream]);
    assert.deepEqual(whole.slice(0, 2), [81, 81], "the one with fewer connections");
    for (let at = 1; at < streamOf(0).length; at++) {
      const cut = await ask((stream) => [stream.slice(0, at), stream.slice(at)]);
      assert.deepEqual(cut, whole, `split at ${at}`);
    }
    const bytes = await ask((stream) => [...stream].map((byte) => new Uint8Array([byte])));
    assert.deepEqual(bytes, whole, "single bytes");
  }));

test("seed: lengths that are wrong end the connection and change nothing", () =>
  withListener(async ({ listener }, open) => {
    const first = await open();
    await first.register("10.0.0.1", 80);
    const before = JSON.stringify(listener.seedServers.list());
    const bad = [
      command(3, serverInfo("10.0.0.9", 90).subarray(0, 23)),
      command(1, int32(1)),
      command(2, new Uint8Array(3)),
      command(4, new Uint8Array(0)),
      command(5, new Uint8Array(2)),
      command(0, new Uint8Array(0), -1),
      command(3, new Uint8Array(0), -2147483648),
      command(3, new Uint8Array(0), 4097),
      command(99, new Uint8Array(0), 2147483647),
    ];
    for (const bytes of bad) {
      const client = await open();
      client.write(bytes);
      await client.untilEnded();
      assert.equal(client.waitingBytes, 0);
    }
    assert.equal(JSON.stringify(listener.seedServers.list()), before);
    const client = await open();
    client.write(command(99, new Uint8Array(4096)));
    assert.equal(
      (await client.connect()).port,
      80,
      "4,096 bytes of an unknown command are passed over",
    );
    for (let index = 0; index < 50; index++) {
      client.write(command(6 + index, new Uint8Array(index)));
    }
    assert.equal((await client.connect()).port, 80, "however many there are");
  }));

test("seed: half a frame and then the end is not carried out, ids of nobody do nothing", () =>
  withListener(async ({ listener }, open) => {
    const half = await open();
    half.write(command(3, serverInfo("10.0.0.2", 81)).subarray(0, 31));
    half.socket.end();
    await half.untilEnded();
    const client = await open();
    await client.register("10.0.0.1", 80);
    for (const id of [-1, 1, 99, 10_000, 2147483647, -2147483648]) {
      for (const cmd of [2, 4, 5]) client.write(command(cmd, int32(id)));
      client.write(command(1, int32(1, id)));
    }
    assert.equal((await client.connect()).port, 80);
    assert.deepEqual(
      listener.seedServers.list().map(({ port, connections }) => [port, connections]),
      [[80, 0]],
    );
  }));

test("seed: bare, reset, half-open and never-reading connections harm nobody", () =>
  withListener(async (_given, open) => {
    const good = await open();
    await good.register("10.0.0.1", 80);
    for (let index = 0; index < 101; index++) await open();
    const half = await open();
    half.write(command(3, serverInfo("10.0.0.2", 81)).subarray(0, 20));
    for (let index = 0; index < 30; index++) (await open()).socket.resetAndDestroy();
    const deaf = await open();
    deaf.socket.pause();
    const flood = new Uint8Array(8 * 20_000);
    for (let index = 0; index < 20; index++) deaf.write(flood);
    const startMs = systemClock.nowMs();
    for (let round = 0; round < 20; round++) {
      assert.equal((await good.connect()).port, 80);
      const fresh = await open();
      assert.equal((await fresh.connect()).port, 80);
      fresh.close();
    }
    const eachMs = (systemClock.nowMs() - startMs) / 40;
    assert.ok(eachMs < 1000, `an answer took ${eachMs} ms`);
  }));

test("seed: with room for ten connections a new one is served while bare ones come and come", () =>
  withListener(async (_given, open) => {
    const good = await open();
    await good.register("10.0.0.1", 80);
    for (let index = 0; index < 40; index++) await open();
    let served = 0;
    await until(async () => {
      for (let index = 0; index < 5; index++) await open();
      const client = await open();
      const told = await client.connect().catch(() => undefined);
      if (told?.port === 80) served++;
      client.close();
      return served >= 5;
    }, { what: "new clients to be served" });
    assert.equal((await good.connect()).port, 80, "who spoke before stays");
  }, 10));

test("seed: a heart without an id means the servers of its connection, else those of its host", () =>
  withListener(async ({ hearts }, open) => {
    const first = await open();
    await first.register("10.0.0.1", 80);
    await first.register("127.0.0.1", 81);
    first.write(command(5));
    await first.connect();
    assert.deepEqual(hearts.map(({ port }) => port), [80, 81]);
    hearts.length = 0;
    const other = await open();
    other.write(command(5));
    other.write(command(5, int32(0)));
    await other.connect();
    assert.deepEqual(hearts.map(({ port }) => port), [81, 80]);
  }));
