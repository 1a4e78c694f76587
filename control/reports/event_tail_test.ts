import assert from "node:assert/strict";
import { test } from "node:test";
import { ManualClock } from "../../reactor/time/manual_clock.ts";
import type { EventQuery, EventRecord } from "../../sql/results/event.ts";
import { EventTail, TAIL_EVENTS_MAX } from "./event_tail.ts";

/** Events as a database has them: in order of their ids, each from when its transaction ended. */
class Table {
  readonly rows: EventRecord[] = [];
  readings = 0;

  add(...ids: number[]): void {
    for (const id of ids) this.rows.push({ id, atMs: 0, kind: "x", text: String(id), detail: {} });
    this.rows.sort((a, b) => a.id - b.id);
  }

  readEvents({ afterId, limit = 100 }: EventQuery = {}): Promise<EventRecord[]> {
    this.readings++;
    const found = this.rows.filter(({ id }) => id > (afterId ?? 0));
    return Promise.resolve(afterId === undefined ? found.slice(-limit) : found.slice(0, limit));
  }
}

async function idsOf(tail: EventTail, mark: number): Promise<{ ids: number[]; mark: number }> {
  const part = await tail.after(mark, 100);
  return { ids: part.events.map(({ id }) => id), mark: part.mark };
}

test("EventTail: an event that is stored late is given to all who follow, once", async () => {
  const clock = new ManualClock();
  const table = new Table();
  const tail = new EventTail({ store: table, clock });
  table.add(1);
  const begin = await tail.mark();
  clock.advance(1000);
  table.add(3);
  const one = await idsOf(tail, begin);
  assert.deepEqual(one.ids, [3]);
  clock.advance(1000);
  table.add(2); // Written first, its transaction ended last.
  const two = await idsOf(tail, one.mark);
  assert.deepEqual(two.ids, [2]);
  assert.deepEqual((await idsOf(tail, begin)).ids, [3, 2], "to the second who follows as well");
  clock.advance(1000);
  assert.deepEqual((await idsOf(tail, two.mark)).ids, []);
});

test("EventTail: many who follow cost one reading", async () => {
  const clock = new ManualClock();
  const table = new Table();
  const tail = new EventTail({ store: table, clock });
  const begin = await tail.mark();
  clock.advance(1000);
  table.add(7);
  const parts = await Promise.all(Array.from({ length: 200 }, () => idsOf(tail, begin)));
  assert.ok(parts.every(({ ids }) => ids.length === 1));
  assert.equal(table.readings, 2);
});

test("EventTail: what was there before is no news, nor what came while nobody asked", async () => {
  const clock = new ManualClock();
  const table = new Table();
  const tail = new EventTail({ store: table, clock });
  table.add(...Array.from({ length: 50 }, (_, id) => id + 1));
  const begin = await tail.mark();
  assert.deepEqual((await idsOf(tail, begin)).ids, []);
  clock.advance(3_600_000);
  table.add(...Array.from({ length: 20_000 }, (_, id) => id + 51));
  const again = await tail.mark();
  clock.advance(1000);
  table.add(30_000);
  assert.deepEqual((await idsOf(tail, again)).ids, [30_000]);
});

test("EventTail: it keeps no more than its limit", async () => {
  const clock = new ManualClock();
  const table = new Table();
  const tail = new EventTail({ store: table, clock });
  const begin = await tail.mark();
  clock.advance(1000);
  table.add(...Array.from({ length: TAIL_EVENTS_MAX + 10 }, (_, id) => id + 1));
  const { ids } = await idsOf(tail, begin);
  assert.deepEqual([ids[0], ids.length], [11, 100], "the oldest are missed");
});
