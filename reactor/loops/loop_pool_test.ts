import { test } from "node:test";
import assert from "node:assert/strict";
import { assertInTime } from "../../tests/support/in_time.ts";
import { until } from "../../tests/support/until.ts";
import { silentLogger } from "../log.ts";
import { LoopPool, type LoopPoolOptions } from "./loop_pool.ts";
import { systemClock } from "../time/system_clock.ts";
import type { EchoInit, EchoNote, EchoTask } from "../testing/echo_loop.ts";
import { RawPeer } from "../testing/raw_peer.ts";

interface Running {
  readonly pool: LoopPool<EchoInit, EchoTask, EchoNote>;
  readonly notes: { note: EchoNote; index: number }[];
  readonly errors: { message: string; index: number }[];
}

async function startPool(
  count: number,
  options: Partial<LoopPoolOptions<EchoInit, EchoNote>> = {},
): Promise<Running> {
  const notes: Running["notes"] = [];
  const errors: Running["errors"] = [];
  const pool = await LoopPool.start<EchoInit, EchoTask, EchoNote>({
    entry: new URL("../testing/echo_loop.ts", import.meta.url),
    count,
    init: (index) => ({ label: `loop of ${index}` }),
    onNote: (note, index) => void notes.push({ note, index }),
    onError: ({ message }, index) => void errors.push({ message, index }),
    log: silentLogger,
    clock: systemClock,
    ...options,
  });
  return { pool, notes, errors };
}

test("LoopPool gives tasks to one loop and to all loops", async () => {
  const { pool, notes } = await startPool(3);
  assert.equal(pool.count, 3);
  pool.send(1, { type: "say", text: "one" });
  await until(() => notes.length === 1, { what: "one note" });
  assert.deepEqual(notes[0], { note: { type: "said", text: "loop of 1 1: one" }, index: 1 });
  pool.broadcast({ type: "say", text: "all" });
  await until(() => notes.length === 4, { what: "three more notes" });
  assert.deepEqual(notes.slice(1).map(({ index }) => index).sort(), [0, 1, 2]);
  assert.throws(() => pool.send(3, { type: "say", text: "nobody" }), RangeError);
  await pool.close();
  const stops = notes.filter(({ note }) => note.type === "stopping");
  assert.equal(stops.length, 3);
});

test("LoopPool moves what is to be transferred", async () => {
  const { pool, notes } = await startPool(1, { init: { label: "same for all" } });
  const bytes = new Uint8Array(1000);
  pool.send(0, { type: "size", bytes }, [bytes.buffer]);
  assert.equal(bytes.length, 0);
  await until(() => notes.length === 1, { what: "the note" });
  assert.deepEqual(notes[0].note, { type: "said", text: "1000 bytes" });
  await pool.close();
});

test("loops share a port, and all of them get connections", async () => {
  const { pool, notes } = await startPool(3);
  const ports = (): number[] =>
    notes.flatMap(({ note }) => note.type === "listening" ? [note.port] : []);
  pool.send(0, { type: "listen", port: 0 });
  await until(() => ports().length === 1, { what: "the port" });
  const [port] = ports();
  for (const index of [1, 2]) pool.send(index, { type: "listen", port });
  await until(() => ports().length === 3, { what: "all loops to listen" });
  const peers: RawPeer[] = [];
  // The kernel chooses by a hash of the addresses: of 60 connections one loop in three gets none
  // with a chance of 3 * (2/3) ** 60, which is about 10 ** -10.
  for (let index = 0; index < 60; index++) {
    const peer = await RawPeer.connect({ hostname: "127.0.0.1", port });
    peers.push(peer);
    await peer.send(1);
  }
  await until(() => peers.every((peer) => peer.frames.length === 1), { what: "all echoes" });
  const loops = new Set(peers.map((peer) => peer.frames[0].body[0]));
  assert.equal(loops.size, 3);
  for (const peer of peers) peer.destroy();
  await pool.close();
});

test("an error in a task reaches onError, and the loop goes on", async () => {
  const { pool, notes, errors } = await startPool(2);
  pool.send(1, { type: "throw", text: "bad task" });
  pool.send(1, { type: "say", text: "still here" });
  await until(() => errors.length === 1 && notes.length === 1, { what: "error and note" });
  assert.deepEqual(errors, [{ message: "bad task", index: 1 }]);
  await pool.close();
});

for (const type of ["throwLater", "rejectLater"] as const) {
  test(`an error outside any task reaches onError (${type})`, async () => {
    const { pool, notes, errors } = await startPool(2);
    pool.send(0, { type, text: "lost" });
    await until(() => errors.length >= 1, { what: "the error" });
    assert.match(errors[0].message, /lost/);
    assert.equal(errors[0].index, 0);
    pool.send(1, { type: "say", text: "others live" });
    await until(() => notes.length === 1, { what: "the other loop" });
    await pool.close();
  });
}

test("replace() puts a new loop in the place of one that is gone", async () => {
  const gone: number[] = [];
  const { pool, notes, errors } = await startPool(2, { onGone: (index) => void gone.push(index) });
  pool.send(0, { type: "throw", text: "a task that throws does not end its loop" });
  pool.send(1, { type: "throwLater", text: "lost" });
  await until(() => gone.length > 0 && errors.length > 1, { what: "the loss" });
  assert.deepEqual(gone, [1]);
  pool.send(1, { type: "say", text: "to nobody" });
  await pool.replace(1);
  pool.send(1, { type: "say", text: "back" });
  await until(() => notes.length > 0, { what: "the note" });
  assert.deepEqual(notes[0], { note: { type: "said", text: "loop of 1 1: back" }, index: 1 });
  const replacing = pool.replace(0);
  await pool.close();
  await assert.rejects(replacing, /closed meanwhile/);
});

test("start() fails when a loop does not start, and leaves none behind", async () => {
  const init = (index: number): EchoInit =>
    index === 1 ? { label: "", failure: "no such port" } : { label: "" };
  await assert.rejects(startPool(2, { init }), /no such port/);
  await assert.rejects(startPool(1, { entry: new URL("./testing/no_such.ts", import.meta.url) }));
  for (const count of [0, 1.5, 257]) await assert.rejects(startPool(count), RangeError);
});

test("close() ends a loop that does not stop", async () => {
  const { pool, notes } = await startPool(1);
  pool.send(0, { type: "neverStop" });
  const startMs = systemClock.nowMs();
  await pool.close(100);
  assertInTime("the end of a loop that hangs", systemClock.nowMs() - startMs, 2000);
  assert.equal(notes.length, 1);
});

test("an error in onNote reaches onError", async () => {
  const errors: string[] = [];
  const { pool } = await startPool(1, {
    onNote: () => {
      throw new Error("note handler");
    },
    onError: ({ message }) => void errors.push(message),
  });
  pool.send(0, { type: "say", text: "hello" });
  await until(() => errors.length === 1, { what: "the error" });
  assert.deepEqual(errors, ["note handler"]);
  await pool.close();
});
