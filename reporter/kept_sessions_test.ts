import assert from "node:assert/strict";
import { test } from "node:test";
import { ManualClock } from "../reactor/time/manual_clock.ts";
import {
  ConfirmRounds,
  KEPT_SESSIONS_MAX,
  KeptSessions,
  SESSION_JUMPS_MAX,
} from "./kept_sessions.ts";

const HERE = { loop: 0, peer: 1 };
const THERE = { loop: 1, peer: 1 };

interface Lab {
  clock: ManualClock;
  sessions: KeptSessions;
  /** What the database says; undefined: it is away. */
  stored: { marks: Map<number, number> | undefined; hasTable: boolean };
  told: string[];
  forgotten: number[];
  settle(): Promise<void>;
}

function setUp(): Lab {
  const clock = new ManualClock();
  const stored: Lab["stored"] = { marks: new Map(), hasTable: true };
  const told: string[] = [];
  const forgotten: number[] = [];
  const sessions = new KeptSessions({
    clock,
    lookUp: () =>
      stored.marks === undefined
        ? Promise.reject(new Error("away"))
        : Promise.resolve(stored.hasTable ? stored.marks : undefined),
    tell: ({ loop }, { stored: upTo, held, plain }) =>
      void told.push(plain ? `${loop}: plain` : `${loop}: ${upTo ?? "?"} ${held}`),
    sendAgain: ({ loop }) => void told.push(`${loop}: again`),
    onForgotten: (session) => void forgotten.push(session),
  });
  const settle = async (): Promise<void> => {
    for (let i = 0; i < 20; i++) await Promise.resolve();
  };
  return { clock, sessions, stored, told, forgotten, settle };
}

test("KeptSessions ask the database first, as long as it is away", async () => {
  const { clock, sessions, stored, told, settle } = setUp();
  stored.marks = undefined;
  sessions.open(5, HERE);
  await settle();
  assert.equal(sessions.take(5, 1), false, "nobody knows how far it is");
  clock.advance(1000);
  await settle();
  stored.marks = new Map([[5, 40]]);
  clock.advance(1000);
  await settle();
  assert.deepEqual(told, ["0: ? 0", "0: 40 40"]);
  assert.deepEqual([40, 41, 41, 42].map((seq) => sessions.take(5, seq)), [
    false,
    true,
    false,
    true,
  ]);
  assert.deepEqual(sessions.close(), [{ session: 5, from: 40, to: 42 }]);
  assert.deepEqual(sessions.close(), [], "nothing since");
  sessions.noteStored([{ session: 5, from: 40, to: 42 }]);
  assert.deepEqual(told.slice(2), ["0: 42 42"]);
  assert.equal(sessions.take(5, 44), false, "43 is missing, and would count as stored with it");
  assert.deepEqual(told.slice(3), ["0: again"]);
});

test("a session that goes on over another connection is told what is held here", async () => {
  const { sessions, told, forgotten, settle } = setUp();
  sessions.open(5, HERE);
  await settle();
  sessions.take(5, 1);
  sessions.take(5, 2);
  sessions.open(5, THERE);
  sessions.gone(HERE); // The end of the old one is heard later.
  assert.deepEqual(told.slice(1), ["0: 0 0", "1: 0 2"]);
  const marks = sessions.close();
  sessions.gone(THERE);
  assert.deepEqual(forgotten, [], "its calls are not in SQL yet");
  sessions.noteStored(marks);
  assert.deepEqual(forgotten, [5]);
  assert.deepEqual(sessions.stats, {
    ...{ kept_sessions: 0, kept_sessions_again: 0, kept_sessions_refused: 0 },
  });
});

test("a session that is to begin again is taken only after the database was asked", async () => {
  const { sessions, stored, told, forgotten, settle } = setUp();
  sessions.open(5, HERE);
  sessions.open(6, THERE);
  await settle();
  sessions.take(5, 1);
  sessions.again(5);
  assert.deepEqual(forgotten, [5]);
  assert.equal(told.at(-1), "0: again");
  assert.equal(sessions.take(5, 2), false);
  stored.marks?.set(5, 7);
  sessions.open(5, HERE);
  await settle();
  assert.equal(told.at(-1), "0: 7 7");
  sessions.loopGone(0);
  assert.equal(sessions.stats.kept_sessions, 1);
});

test("without a place for it in the database senders are told to keep nothing", async () => {
  const { sessions, stored, told, settle } = setUp();
  stored.hasTable = false;
  sessions.open(5, HERE);
  await settle();
  assert.deepEqual(told, ["0: ? 0", "0: plain"]);
});

test("ConfirmRounds confirm what is written, one round after the other", async () => {
  const { sessions, told, settle } = setUp();
  let isWritten = false;
  const rounds = new ConfirmRounds({ sessions, divide: () => () => isWritten });
  sessions.open(5, HERE);
  await settle();
  sessions.take(5, 1);
  rounds.tick();
  sessions.take(5, 2);
  rounds.tick();
  assert.equal(told.length, 2);
  isWritten = true;
  rounds.tick();
  rounds.tick();
  assert.deepEqual(told.slice(2), ["0: 1 2", "0: 2 2"]);
});

test("a session goes on from what its sender keeps where the database knows less", async () => {
  const { sessions, stored, told, settle } = setUp();
  stored.marks?.set(6, 90);
  sessions.open(5, HERE, 20);
  sessions.open(6, THERE, 70);
  await settle();
  assert.deepEqual(told.slice(2), ["0: 20 20", "1: 90 90"]);
  assert.deepEqual([sessions.take(5, 21), sessions.take(6, 91)], [true, true]);
});

test("KeptSessions say to senders beyond the limit that nothing will be told", () => {
  const { sessions, told } = setUp();
  for (let session = 1; session <= KEPT_SESSIONS_MAX; session++) {
    sessions.open(session, { loop: 0, peer: session });
  }
  told.length = 0;
  sessions.open(KEPT_SESSIONS_MAX + 1, THERE);
  assert.deepEqual(told, ["1: plain"]);
});

test("with a spool senders begin while the database is away, and are told what is on disk", async () => {
  const lines: string[] = [];
  let isSpooling = false;
  const clock = new ManualClock();
  const sessions = new KeptSessions({
    clock,
    lookUp: () => Promise.reject(new Error("away")),
    tell: ({ peer }, { stored, held }) => lines.push(`${peer}: ${stored} ${held}`),
    sendAgain: ({ peer }) => lines.push(`${peer} again`),
    onForgotten: () => {},
    isSpooling: () => isSpooling,
    onJump: () => lines.push("jump"),
  });
  sessions.setSpooledBefore(new Map([[8, 40]]));
  sessions.open(7, { loop: 0, peer: 1 }, 5);
  const pass = async (): Promise<void> => {
    clock.advance(1_000);
    for (let i = 0; i < 10; i++) await Promise.resolve();
  };
  await pass();
  assert.deepEqual(lines.splice(0), ["1: undefined 0"], "without room on disk it has to wait");
  isSpooling = true;
  await pass();
  assert.deepEqual(lines.splice(0), ["1: 5 5"]);
  sessions.open(8, { loop: 0, peer: 2 }, 30);
  await pass();
  assert.deepEqual(lines.splice(0), ["2: undefined 0", "2: 40 40"], "of an earlier run");
  for (const seq of [6, 7, 8]) assert.ok(sessions.take(7, seq));
  sessions.noteSpooled(7, 6);
  assert.ok(sessions.mayBeSpooled(7, 7));
  assert.ok(!sessions.mayBeSpooled(7, 8), "7 is not on disk");
  sessions.noteDurable(new Map([[7, 6], [99, 1]]));
  assert.deepEqual(lines.splice(0), ["1: 6 8"]);
  const [mark] = sessions.close();
  assert.deepEqual(mark, { session: 7, from: 5, to: 8 });
  sessions.noteStored([mark]);
  assert.deepEqual(lines.splice(0), ["1: 8 8"]);
  assert.ok(sessions.mayBeSpooled(7, 9), "what is missing on disk is in SQL");
  // It has been elsewhere, and told that reports up to 20 are kept there.
  assert.ok(sessions.take(7, 9));
  sessions.open(7, { loop: 0, peer: 3 }, 20);
  assert.deepEqual(lines.splice(0), ["jump", "3: 20 20"]);
  assert.ok(sessions.take(7, 21) && sessions.mayBeSpooled(7, 21));
});

test("a session that ever again goes on after reports of others is treated as one without numbers", async () => {
  let jumps = 0;
  const told: boolean[] = [];
  const sessions = new KeptSessions({
    clock: new ManualClock(),
    lookUp: () => Promise.resolve(new Map()),
    tell: (_peer, { plain }) => void told.push(plain),
    sendAgain: () => {},
    onForgotten: () => {},
    onJump: () => jumps++,
  });
  sessions.open(7, HERE, 0);
  for (let turn = 0; turn < 20; turn++) await Promise.resolve();
  const marks = [];
  for (let round = 0; round < 100; round++) {
    sessions.take(7, 10 * round + 1);
    marks.push(...sessions.close());
    sessions.open(7, HERE, 10 * (round + 1));
  }
  assert.deepEqual([jumps, marks.length], [SESSION_JUMPS_MAX, SESSION_JUMPS_MAX + 1]);
  assert.equal(told.filter((plain) => plain).length, 100 - SESSION_JUMPS_MAX);
  assert.equal(sessions.stats.kept_sessions_refused, 100 - SESSION_JUMPS_MAX);
  // Once all is stored it may begin anew.
  sessions.noteStored(marks);
  sessions.open(7, HERE, 2_000);
  assert.equal(told.at(-1), false);
});
