// Goal: peers that connect and say nothing keep nobody out. Method: real sockets and a clock that is
// moved by hand.

import assert from "node:assert/strict";
import { test } from "node:test";
import { until } from "../../tests/support/until.ts";
import { silentLogger } from "../log.ts";
import { echoRouter } from "../testing/tcp_conformance.ts";
import { RawPeer } from "../testing/raw_peer.ts";
import { ManualClock } from "../time/manual_clock.ts";
import { CROWD_FIRST_FRAME_MS, FIRST_FRAME_MS, SILENT_OF_HOST_MAX } from "./silent_peers.ts";
import { TcpServer } from "./tcp_server.ts";

async function bench(
  connectionsMax: number,
  fn: (
    server: TcpServer<string>,
    clock: ManualClock,
    open: () => Promise<RawPeer>,
  ) => Promise<void>,
  connectionsPerHostMax = Infinity,
): Promise<void> {
  const clock = new ManualClock();
  const server = new TcpServer<string>({
    ...{ hostname: "127.0.0.1", port: 0, connectionsMax, connectionsPerHostMax },
    ...{ router: echoRouter(), clock, log: silentLogger },
  });
  const address = await server.listen();
  const peers: RawPeer[] = [];
  const open = async (): Promise<RawPeer> => {
    const peer = await RawPeer.connect(address);
    peers.push(peer);
    return peer;
  };
  try {
    await fn(server, clock, open);
  } finally {
    for (const peer of peers) peer.destroy();
    await server.close();
  }
}

const answers = async (peer: RawPeer): Promise<void> => {
  await peer.send(1, new Uint8Array(3));
  await until(() => peer.frames.length > 0, { what: "the answer" });
};

test("a full server gives the place of the oldest that never spoke to the next one", () =>
  bench(4, async (server, _clock, open) => {
    const speaker = await open();
    await answers(speaker);
    const silent = [await open(), await open(), await open()];
    await until(() => server.stats.open === 4);
    for (let turn = 1; turn <= 3; turn++) {
      await answers(await open());
      assert.deepEqual([server.stats.evicted, server.stats.open], [turn, 4]);
    }
    await until(() => silent.every((peer) => peer.ended), { what: "the end of the silent ones" });
    assert.equal(speaker.ended, false, "who has spoken stays");
    const late = await open();
    await until(() => late.ended, { what: "the refusal: all have spoken" });
    assert.equal(server.stats.refusedOverLimit, 1);
  }));

test("a silent one has its time only where room is short", () =>
  bench(8, async (server, clock, open) => {
    const few = [await open(), await open(), await open()];
    await until(() => server.stats.open === 3);
    clock.advance(10 * FIRST_FRAME_MS);
    assert.equal(server.stats.open, 3, "agents of the original are silent until they are asked");
    const speaker = await open();
    await answers(speaker);
    clock.advance(FIRST_FRAME_MS);
    await until(() => few.some((peer) => peer.ended), { what: "the end of one" });
    assert.deepEqual([server.stats.open, server.stats.evicted], [3, 1], "then there is room again");
    assert.equal(speaker.ended, false);
  }));

test("a crowd of silent ones of one host goes soon, however much room there is", () =>
  bench(1000, async (server, clock, open) => {
    const speaker = await open();
    await answers(speaker);
    const crowd: RawPeer[] = [];
    for (let index = 0; index < SILENT_OF_HOST_MAX + 20; index++) crowd.push(await open());
    await until(() => server.stats.open === 1 + crowd.length);
    clock.advance(CROWD_FIRST_FRAME_MS / 2);
    assert.equal(server.stats.evicted, 0, "who has just come has not had its time");
    clock.advance(2 * CROWD_FIRST_FRAME_MS);
    assert.deepEqual([server.stats.evicted, server.stats.open], [20, 1 + SILENT_OF_HOST_MAX]);
    await until(() => crowd.slice(0, 20).every((peer) => peer.ended), {
      what: "the oldest to end",
    });
    await answers(crowd[20]);
    clock.advance(FIRST_FRAME_MS);
    assert.equal(server.stats.evicted, 20, "what is left may be peers of the original");
    assert.equal(speaker.ended, false);
  }));

test("where a host may have so many connections only, they may all be silent", () =>
  bench(1000, async (server, clock, open) => {
    for (let index = 0; index < SILENT_OF_HOST_MAX + 20; index++) await open();
    await until(() => server.stats.open === SILENT_OF_HOST_MAX + 20);
    clock.advance(2 * FIRST_FRAME_MS);
    assert.equal(server.stats.evicted, 0);
  }, 100));

test("a peer that is held is read from later, and its time for a frame stands still", () =>
  bench(10, async (server, clock, open) => {
    const peer = await open();
    await answers(peer);
    const [connection] = [...server.connections()];
    connection.hold(20_000);
    await peer.send(1, new Uint8Array(3));
    clock.advance(15_000);
    assert.deepEqual([server.stats.frameTimeouts, peer.frames.length], [0, 1]);
    clock.advance(5_000);
    await until(() => peer.frames.length === 2, { what: "the second answer" });
    connection.hold(20_000);
    connection.close();
    await until(() => peer.ended, { what: "the end of one that is held" });
    await until(() => server.stats.open === 0);
  }));
