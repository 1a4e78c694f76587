import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { RelayMailEnd, RelayMailEntry, RelayMailPut } from "../../proto/codec.ts";
import { seededRng } from "../../reactor/time/rng.ts";
import { ENDED_IDS_MAX, MailIndex, mailKey } from "./mail_index.ts";

interface PlainMail {
  readonly name: string;
  readonly seq: number;
  readonly key: string;
}

/** What an index should know, said as plainly as can be. */
class PlainIndex {
  waiting: (PlainMail & { entrySeq: number; at: number; bytes: number })[] = [];
  ended: (PlainMail & { sentAtMs: number })[] = [];

  placeOf(name: string, key: string): number | undefined {
    const isIt = (one: PlainMail): boolean => one.name === name && one.key === key;
    const waiting = this.waiting.findLast(isIt);
    if (waiting !== undefined) return waiting.seq;
    const ended = this.ended.find(isIt);
    return ended === undefined ? undefined : -ended.seq;
  }

  /** @returns entries of which nothing waits any more. */
  apply(entrySeq: number, { name, last, puts, ends }: RelayMailEntry): number[] {
    for (const [at, one] of puts.entries()) {
      const key = mailKey(one);
      const seq = last - puts.length + 1 + at;
      this.ended = this.ended.filter((other) => other.name !== name || other.key !== key);
      this.waiting.push({ name, seq, key, entrySeq, at, bytes: one.data.length });
    }
    const spent: number[] = [];
    for (const { seq, sentAtMs, ...end } of ends) {
      const key = mailKey(end);
      const known = this.placeOf(name, key);
      const mail = this.waiting.find((one) => one.name === name && one.seq === seq);
      this.waiting = this.waiting.filter((one) => one !== mail);
      if (mail !== undefined && !this.waiting.some((one) => one.entrySeq === mail.entrySeq)) {
        spent.push(mail.entrySeq);
      }
      if (known === undefined || known === seq) this.ended.push({ name, seq, key, sentAtMs });
    }
    return spent;
  }

  forget(sentBeforeMs: number): void {
    while (this.ended.length > 0 && this.ended[0].sentAtMs < sentBeforeMs) this.ended.shift();
  }
}

const NAMES = ["one", "two"];
const IDS = ["a", "b", "c", "d", "ä long one that takes more than one unit", "e".repeat(64)];

/** Ids that are put, messages that end by their place among all that there were, ids that are forgotten. */
const stepArbitrary = fc.oneof(
  { weight: 4, arbitrary: fc.record({ put: fc.subarray(IDS), name: fc.constantFrom(...NAMES) }) },
  { weight: 4, arbitrary: fc.record({ end: fc.array(fc.nat({ max: 30 }), { maxLength: 4 }) }) },
  { weight: 1, arbitrary: fc.record({ forgetMs: fc.nat({ max: 60 }) }) },
);

function entryOf(name: string, after: number, more: Partial<RelayMailEntry>): RelayMailEntry {
  return { name, writer: "w", last: 0, taken: 0, puts: [], ends: [], after, ...more };
}

function putOf(id: string, sentAtMs: number): RelayMailPut {
  const data = new Uint8Array(id.length);
  return { sender: "sender", id, sentAtMs, expiresAtMs: sentAtMs + 100, data };
}

function assertSame(index: MailIndex, plain: PlainIndex): void {
  for (const name of NAMES) {
    const box = index.box(name);
    const waiting = plain.waiting.filter((one) => one.name === name);
    assert.deepEqual(
      [...index.waitingOf(box)].map(({ seq, key, entrySeq, at, bytes }) => {
        return { name, seq, key, entrySeq, at, bytes };
      }),
      waiting,
    );
    assert.equal(box.waiting, waiting.length);
    assert.equal(box.waitingBytes, waiting.reduce((sum, { bytes }) => sum + bytes, 0));
    for (const { seq } of waiting) assert.ok(index.hasAt(box, seq));
    // Some that wait, and some that do not: behind them, before them and in between.
    for (const among of [(seq: number) => seq <= 3, (seq: number) => seq % 3 === 1]) {
      const places = new Set(Array.from({ length: 30 }, (_, at) => at).filter(among));
      assert.deepEqual(
        [...index.waitingAt(box, places)].map(({ seq }) => seq),
        waiting.map(({ seq }) => seq).filter((seq) => places.has(seq)),
      );
    }
    for (const id of IDS) {
      const key = mailKey({ sender: "sender", id });
      assert.equal(index.placeOf(box, key), plain.placeOf(name, key), `${name} ${key}`);
    }
  }
  assert.equal(index.totals.waiting, plain.waiting.length);
}

test("mail index: knows of each mailbox what a plain list of its messages says", () => {
  fc.assert(fc.property(fc.array(stepArbitrary, { maxLength: 40 }), fc.integer(), (steps, seed) => {
    const index = new MailIndex(seededRng(seed));
    const plain = new PlainIndex();
    const all: { name: string; end: RelayMailEnd }[] = [];
    let seq = 0;
    const apply = (name: string, more: Partial<RelayMailEntry>): void => {
      const { lastSeq, headSeq } = index.box(name);
      const { puts = [] } = more;
      const entry = entryOf(name, headSeq, { last: lastSeq + puts.length, ...more });
      const spent = plain.apply(++seq, entry);
      assert.deepEqual(index.apply(seq, entry)?.spent, spent);
      for (const [at, { sender, id, sentAtMs }] of puts.entries()) {
        all.push({ name, end: { seq: lastSeq + 1 + at, sender, id, sentAtMs, expired: false } });
      }
    };
    for (const step of steps) {
      if ("put" in step) {
        // Also ids that have ended: another relay may know them no more.
        const added = step.put.filter((id) => (plain.placeOf(step.name, `sender ${id}`) ?? -1) < 0);
        apply(step.name, { puts: added.map((id) => putOf(id, seq)) });
      } else if ("end" in step) {
        // Also such that have ended before.
        const ended = [...new Set(step.end)].flatMap((at) => all.slice(at, at + 1));
        for (const name of NAMES) {
          const ends = ended.filter((one) => one.name === name).map(({ end }) => end);
          if (ends.length > 0) apply(name, { ends });
        }
      } else {
        index.forgetIds(step.forgetMs);
        plain.forget(step.forgetMs);
      }
      assertSame(index, plain);
    }
  }));
});

test("mail index: a message that waits under a key that was put again ends by its place", () => {
  const index = new MailIndex(seededRng(1));
  const box = (): number[] => [...index.waitingOf(index.box("one"))].map(({ seq }) => seq);
  index.apply(1, entryOf("one", 0, { last: 1, puts: [putOf("a", 1)] }));
  index.apply(2, entryOf("one", 1, { last: 2, puts: [putOf("a", 2)] }));
  assert.deepEqual(box(), [1, 2]);
  const end = { sender: "sender", id: "a", sentAtMs: 1, expired: true };
  const change = index.apply(3, entryOf("one", 2, { last: 2, ends: [{ ...end, seq: 1 }] }));
  assert.deepEqual([change?.spent, change?.expiredCount, box()], [[1], 1, [2]]);
  assert.equal(index.placeOf(index.box("one"), "sender a"), 2);
});

test("mail index: keeps what a crowd leaves, and is small again when nothing is left", () => {
  const index = new MailIndex(seededRng(1));
  const count = 40_000;
  for (let i = 0; i < count; i++) {
    const name = `box ${i % 100}`;
    const { headSeq, lastSeq } = index.box(name);
    index.apply(i + 1, entryOf(name, headSeq, { last: lastSeq + 1, puts: [putOf(`id ${i}`, i)] }));
  }
  for (let i = 0; i < count; i += 997) {
    const place = index.placeOf(index.box(`box ${i % 100}`), `sender id ${i}`);
    assert.equal(place, 1 + Math.floor(i / 100));
  }
  for (let b = 0; b < 100; b++) {
    const box = index.box(`box ${b}`);
    const ends = [...index.waitingOf(box)].map(({ seq, sentAtMs, key }): RelayMailEnd => {
      return { seq, sender: "sender", id: key.slice(7), sentAtMs, expired: false };
    });
    const { lastSeq, headSeq } = box;
    const change = index.apply(count + 1 + b, entryOf(box.name, headSeq, { last: lastSeq, ends }));
    assert.equal(change?.takenCount, count / 100);
  }
  assert.equal(index.totals.waiting, 0);
  assert.equal(index.placeOf(index.box("box 0"), "sender id 0"), -1);
  index.forgetIds(count);
  assert.equal(index.placeOf(index.box("box 0"), "sender id 0"), undefined);
  index.apply(count + 200, entryOf("new", 0, { last: 1, puts: [putOf("x", 1)] }));
  assert.equal(index.placeOf(index.box("new"), "sender x"), 1);
  assert.ok(ENDED_IDS_MAX > count);
});
