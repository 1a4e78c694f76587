import { test } from "node:test";
import assert from "node:assert/strict";
import { BufferPool } from "./buffer_pool.ts";
import { encodeFrame } from "../frame.ts";
import { CLOSE_FLUSH_MS, FramedLink, HIGH_WATER_BYTES, TURN_BYTES_MAX } from "./framed_link.ts";
import { ManualClock } from "../time/manual_clock.ts";
import { FakeStream } from "../testing/fake_stream.ts";

const body = new Uint8Array(2);
const frame = encodeFrame(1, body);

interface Setup {
  readonly stream: FakeStream;
  readonly clock: ManualClock;
  readonly link: FramedLink;
  readonly events: string[];
  /** Times that `onPartial` was called. */
  partials: number;
  onFrame: (msgId: number) => void;
}

function setUp(pauseAtHighWater = true, givesTurns = false, takesTurns = false): Setup {
  const stream = new FakeStream();
  stream.takesTurns = takesTurns;
  const clock = new ManualClock();
  const events: string[] = [];
  const setup = { stream, clock, events, partials: 0, onFrame: (): void => {} } as unknown as
    & { link: FramedLink }
    & Setup;
  setup.link = new FramedLink(stream, {
    clock,
    pool: new BufferPool(),
    outputBytesMax: 4_000_000,
    ...{ pauseAtHighWater, givesTurns },
    counters: { framesIn: 0, framesOut: 0, bytesIn: 0, bytesOut: 0 },
  }, {
    onFrame: (msgId) => setup.onFrame(msgId),
    onFault: (error) => void events.push(`fault ${error}`),
    onDrain: () => void events.push("drain"),
    onPartial: () => void setup.partials++,
    onLost: (reason) => void events.push(`lost ${reason}`),
    onGone: () => void events.push("gone"),
  });
  return setup;
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test("FramedLink sends the frames of one turn in one write", async () => {
  const { link, stream } = setUp();
  for (let index = 0; index < 5; index++) link.send(1, body);
  assert.deepEqual(stream.writes, []);
  await turn();
  assert.deepEqual(stream.writes, [50]);
});

test("FramedLink sends answers at the end of the chunk that asked for them", () => {
  const setup = setUp();
  setup.onFrame = (msgId): void => void setup.link.send(msgId, body);
  const chunk = new Uint8Array(30);
  for (const offset of [0, 10, 20]) chunk.set(frame, offset);
  setup.stream.peer.onData(chunk);
  assert.deepEqual(setup.stream.writes, [30]);
});

test("FramedLink gathers what is sent while a write is under way", async () => {
  const { link, stream } = setUp();
  stream.takesAll = false;
  link.send(1, body);
  await turn();
  for (let index = 0; index < 3; index++) link.send(1, body);
  await turn();
  assert.deepEqual(stream.writes, [10]);
  stream.peer.onDrain();
  assert.deepEqual(stream.writes, [10, 30]);
  stream.peer.onDrain();
  assert.equal(link.output.pendingBytes, 0);
});

for (const pauses of [true, false]) {
  test(`FramedLink ${pauses ? "pauses" : "goes on"} reading above high water and tells the drain`, async () => {
    const { link, stream, events } = setUp(pauses);
    stream.takesAll = false;
    link.sendFrames(new Uint8Array(HIGH_WATER_BYTES));
    assert.deepEqual(stream.calls, []);
    link.send(1, body);
    assert.deepEqual(stream.calls, pauses ? ["pause"] : []);
    await turn();
    stream.peer.onDrain();
    assert.deepEqual(events, []);
    stream.peer.onDrain();
    assert.deepEqual(events, ["drain"]);
    assert.deepEqual(stream.calls, pauses ? ["pause", "resume"] : []);
  });
}

test("FramedLink.finish() closes at once when nothing waits", () => {
  const { link, stream, events } = setUp();
  link.finish();
  assert.deepEqual(stream.calls, ["close"]);
  assert.deepEqual(events, ["gone"]);
  assert.equal(link.send(1, body), false);
  link.finish();
  link.destroy();
  assert.deepEqual(events, ["gone"]);
});

test("FramedLink.finish() writes, ends, and waits for the peer's end", () => {
  const { link, stream, clock, events } = setUp();
  stream.takesAll = false;
  link.send(1, body);
  link.finish();
  assert.equal(link.open, false);
  assert.deepEqual(stream.writes, [10]);
  stream.peer.onData(frame);
  stream.peer.onDrain();
  assert.deepEqual(stream.calls, ["resume", "end"]);
  stream.peer.onEnd();
  assert.deepEqual(stream.calls, ["resume", "end", "close"]);
  assert.deepEqual(events, ["gone"]);
  assert.equal(clock.pendingCount, 0);
});

test("FramedLink.finish() gives up after its time", () => {
  for (const flushMs of [undefined, 7]) {
    const { link, stream, clock, events } = setUp();
    stream.takesAll = false;
    link.send(1, body);
    link.finish(false, flushMs);
    clock.advance((flushMs ?? CLOSE_FLUSH_MS) - 1);
    assert.deepEqual(events, []);
    clock.advance(1);
    assert.deepEqual(events, ["gone"]);
    assert.equal(stream.calls.at(-1), "close");
  }
});

test("FramedLink answers a peer that has ended its side, then closes", () => {
  const setup = setUp();
  const { link, stream, events } = setup;
  stream.takesAll = false;
  setup.onFrame = (): void => void link.send(2, body);
  stream.peer.onData(frame);
  stream.peer.onEnd();
  assert.deepEqual(events, ["lost peer closed"]);
  stream.peer.onDrain();
  assert.deepEqual(events, ["lost peer closed", "gone"]);
});

test("FramedLink tells a loss once, with frames in flight and half a frame held", async () => {
  const { link, stream, events } = setUp();
  stream.takesAll = false;
  link.send(1, body);
  await turn();
  stream.peer.onData(frame.subarray(0, 9));
  assert.notEqual(link.partialSinceMs, undefined);
  stream.peer.onClose("peer reset the connection");
  assert.deepEqual(events, ["lost peer reset the connection", "gone"]);
  assert.equal(link.output.inFlight, false);
  await turn();
});

test("FramedLink.partialSinceMs begins anew with each frame, not with each byte", () => {
  const setup = setUp();
  const { stream, clock, link } = setup;
  assert.equal(link.partialSinceMs, undefined);
  clock.advance(5);
  stream.peer.onData(frame.subarray(0, 4));
  assert.equal(link.partialSinceMs, 5);
  clock.advance(5);
  stream.peer.onData(frame.subarray(4, 9));
  assert.equal(link.partialSinceMs, 5);
  clock.advance(5);
  stream.peer.onData(Uint8Array.of(...frame.subarray(9), ...frame.subarray(0, 1)));
  assert.equal(link.partialSinceMs, 15);
  assert.equal(setup.partials, 2);
  stream.peer.onData(frame.subarray(1));
  assert.equal(link.partialSinceMs, undefined);
});

test("FramedLink does not hold half a frame against a peer it does not read from", async () => {
  const { stream, clock, link } = setUp();
  stream.takesAll = false;
  stream.peer.onData(frame.subarray(0, 4));
  link.sendFrames(new Uint8Array(HIGH_WATER_BYTES + 1));
  await turn();
  clock.advance(60_000);
  assert.equal(link.partialSinceMs, undefined);
  stream.peer.onDrain();
  assert.equal(link.partialSinceMs, 60_000);
});

test("FramedLink tells a fault and survives being destroyed by its handler", () => {
  const setup = setUp();
  setup.onFrame = (): void => {
    throw new Error("boom");
  };
  setup.stream.peer.onData(frame);
  assert.deepEqual(setup.events, ["fault Error: boom"]);
  const second = setUp();
  let frames = 0;
  second.onFrame = (): void => {
    frames++;
    second.link.destroy();
  };
  second.stream.peer.onData(Uint8Array.of(...frame, ...frame));
  assert.equal(frames, 1);
  assert.deepEqual(second.events, ["gone"]);
});

/** So many frames in one chunk, numbered by their ids. */
function manyFrames(count: number, bodyBytes = 0): Uint8Array {
  const chunk = new Uint8Array(count * (8 + bodyBytes));
  for (let index = 0; index < count; index++) {
    chunk.set(encodeFrame(index, new Uint8Array(bodyBytes)), index * (8 + bodyBytes));
  }
  return chunk;
}

test("FramedLink has a peer of a server wait for its turn after 256 frames, or 64 KiB", () => {
  for (const [bodyBytes, perTurn] of [[0, 256], [1_000, 66], [60_000, 2]]) {
    const setup = setUp(true, true);
    const ids: number[] = [];
    setup.onFrame = (msgId): void => void ids.push(msgId);
    setup.stream.peer.onData(manyFrames(perTurn * 3 + 1, bodyBytes));
    assert.equal(ids.length, perTurn, `${bodyBytes} bytes`);
    setup.clock.advance(0);
    assert.equal(setup.stream.calls.filter((call) => call === "pause").length, 3);
    assert.deepEqual(ids, Array.from({ length: perTurn * 3 + 1 }, (_, index) => index));
    assert.equal(setup.stream.calls.at(-1), "resume");
  }
  // Slow peers have their turn now and then as well, which costs them nothing.
  const setup = setUp(true, true);
  for (let index = 0; index < 255; index++) setup.stream.peer.onData(frame);
  assert.deepEqual(setup.stream.calls, []);
});

test("FramedLink handles all that came before the peer's end, and then the end", () => {
  const setup = setUp(true, true);
  let frames = 0;
  setup.onFrame = (): void => void frames++;
  setup.stream.peer.onData(manyFrames(1_000));
  setup.stream.peer.onEnd();
  assert.deepEqual([frames, setup.events.length], [256, 0]);
  setup.clock.advance(0);
  assert.deepEqual([frames, setup.events], [1_000, ["lost peer closed", "gone"]]);
});

test("FramedLink gives no turns to a stream that takes them, nor in a client", () => {
  for (const [givesTurns, takesTurns] of [[true, true], [false, false]]) {
    const setup = setUp(true, givesTurns, takesTurns);
    let frames = 0;
    setup.onFrame = (): void => void frames++;
    setup.stream.peer.onData(manyFrames(2 * TURN_BYTES_MAX / 256));
    assert.deepEqual([frames, setup.stream.calls], [512, []]);
  }
});
