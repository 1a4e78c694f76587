// Goal: whoever reads a table, at any moment, picks what the balancer meant. Method: tables written from
// real balancers are read by the view of the api.

import assert from "node:assert/strict";
import { test } from "node:test";
import { TablePick, TableView } from "../../api/table_view.ts";
import { defaultBalanceSettings, type PickPlan, RouteLb } from "../../balancer/mod.ts";
import { tableKeyOf } from "../../balancer/picking/murmur3.ts";
import type { RouteNode } from "../../model/node.ts";
import {
  EntryTag,
  SlotField,
  TABLE_HEADER_BYTES,
  TABLE_OLD_MS,
  TABLE_SLOT_BYTES,
  TableField,
} from "../../proto/table_layout.ts";
import { seededRng } from "../../reactor/time/rng.ts";
import { tableBytes, TableImage, type TableSize } from "./table_image.ts";

const OWNER = { processId: 1, ip: 0x7f000001, port: 8888 };
const SIZE: TableSize = { slots: 64, words: 4096 };

const node = (ip: number, more: Partial<RouteNode> = {}): RouteNode => ({ ip, port: 80, ...more });
const rehash = (key: number): number => tableKeyOf(key);

interface Table {
  image: TableImage;
  memory: ArrayBuffer;
  view(): TableView;
}

function makeTable(size = SIZE): Table {
  const memory = new ArrayBuffer(tableBytes(size));
  const image = new TableImage(memory, size, OWNER, 1_700_000_000_000);
  image.beat(5000);
  image.open();
  return { image, memory, view: () => new TableView(memory, seededRng(3)) };
}

function makeLb(): RouteLb {
  const rng = seededRng(7);
  return new RouteLb({ settings: defaultBalanceSettings, rng, hasPlans: true, onPull: () => {} });
}

/** Writes what changed; false when something did not fit. */
function flush(lb: RouteLb, image: TableImage): boolean {
  let fits = true;
  lb.plans?.take(Infinity, (modId, cmdId, plan) => {
    fits = image.put(modId, cmdId, plan) && fits;
  });
  return fits;
}

function setRoute(lb: RouteLb, modId: number, nodes: readonly RouteNode[], policy = ""): void {
  lb.use(modId, 1, 0);
  lb.setModulePolicy(modId, 1, policy);
  lb.update(modId, 1, nodes, 0);
}

function fail(lb: RouteLb, modId: number, ip: number): void {
  for (let i = 0; i < 20; i++) lb.report(modId, 1, ip, 80, 1, 5, 0);
}

function countPicks(view: TableView, modId: number, picks: number): Map<number, number> {
  const slot = view.slotOf(modId, 1);
  assert.ok(slot >= 0, `module ${modId} is not in the table`);
  const counts = new Map<number, number>();
  for (let i = 0; i < picks; i++) {
    const outcome = view.pick(slot);
    const key = outcome === TablePick.Node ? view.ip : -outcome;
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  return counts;
}

test("the header is that of the contract", () => {
  const { memory } = makeTable();
  const head = new DataView(memory);
  assert.equal(new TextDecoder().decode(new Uint8Array(memory, 0, 8)), "LARSTBL1");
  assert.deepEqual(
    [8, 12, 32, 36, 40, 44, 48].map((at) => head.getUint32(at, true)),
    [1, 4096, 64, 32, (4096 + 64 * 32) / 8, 1, 0x7f000001],
  );
  assert.equal(head.getUint16(52, true), 8888);
  assert.deepEqual(
    [16, 24, 64].map((at) => Number(head.getBigUint64(at, true))),
    [memory.byteLength, 1_700_000_000_000, 5000],
  );
});

test("a reader picks the nodes of a module in turn", () => {
  const { image, view } = makeTable();
  const lb = makeLb();
  setRoute(lb, 1, [node(1), node(2), node(3)]);
  assert.ok(flush(lb, image));
  assert.deepEqual([...countPicks(view(), 1, 300)].sort(), [[1, 100], [2, 100], [3, 100]]);
});

test("modules that are not there, or gone, are asked for", () => {
  const { image, view } = makeTable();
  const lb = makeLb();
  setRoute(lb, 1, [node(1)]);
  flush(lb, image);
  const reader = view();
  assert.equal(reader.slotOf(2, 1), -1);
  assert.equal(reader.slotOf(1, 2), -1);
  lb.update(1, 1, [], 1);
  flush(lb, image);
  assert.deepEqual([...countPicks(reader, 1, 5)], [[-TablePick.Ask, 5]]);
  lb.update(1, 1, [node(4)], 2);
  flush(lb, image);
  assert.deepEqual([...countPicks(reader, 1, 5)], [[4, 5]]);
});

test("a node that is out gets probes only, and they are marked", () => {
  const { image, view } = makeTable();
  const lb = makeLb();
  setRoute(lb, 1, [1, 2, 3, 4, 5].map((ip) => node(ip)));
  flush(lb, image);
  const reader = view();
  fail(lb, 1, 2);
  flush(lb, image);
  const slot = reader.slotOf(1, 1);
  let probes = 0;
  for (let i = 0; i < 1100; i++) {
    assert.equal(reader.pick(slot), TablePick.Node);
    assert.equal((reader.tag & EntryTag.Probe) !== 0, reader.ip === 2);
    if (reader.ip === 2) probes++;
  }
  assert.ok(probes > 80 && probes < 120, `${probes} probes`);
});

test("where all are out most picks are refused", () => {
  const { image, view } = makeTable();
  const lb = makeLb();
  setRoute(lb, 1, [node(1)]);
  fail(lb, 1, 1);
  flush(lb, image);
  const counts = countPicks(view(), 1, 1100);
  assert.ok((counts.get(-TablePick.Refused) ?? 0) > 950);
  assert.ok((counts.get(1) ?? 0) > 50);
});

test("every module is found, and keeps its slot", () => {
  const { image, view } = makeTable({ slots: 2048, words: 1024 * 64 });
  const lb = makeLb();
  for (let modId = 1; modId <= 1000; modId++) setRoute(lb, modId, [node(modId), node(modId + 1)]);
  assert.ok(flush(lb, image));
  const reader = view();
  const slots = Array.from({ length: 1000 }, (_, i) => reader.slotOf(i + 1, 1));
  assert.equal(new Set(slots).size, 1000);
  for (let modId = 1; modId <= 1000; modId += 2) lb.update(modId, 1, [], 1);
  flush(lb, image);
  for (let modId = 1; modId <= 1000; modId++) {
    assert.equal(reader.slotOf(modId, 1), slots[modId - 1]);
    const wanted = modId % 2 === 1 ? [-TablePick.Ask] : [modId, modId + 1];
    assert.deepEqual([...countPicks(reader, modId, 4).keys()].sort(), wanted);
  }
});

test("a directory that is half full takes no more modules", () => {
  const { image } = makeTable({ slots: 8, words: 4096 });
  const lb = makeLb();
  for (let modId = 1; modId <= 5; modId++) setRoute(lb, modId, [node(modId)]);
  assert.equal(flush(lb, image), false);
  assert.equal(image.moduleCount, 4);
});

test("a module for whose turns there is no room is asked for", () => {
  const { image, view } = makeTable({ slots: 8, words: 40 });
  const lb = makeLb();
  setRoute(lb, 1, [node(1), node(2)]);
  assert.ok(flush(lb, image));
  const reader = view();
  setRoute(lb, 1, [node(1, { weight: 1 }), node(2, { weight: 99 })]);
  assert.equal(flush(lb, image), false);
  assert.deepEqual([...countPicks(reader, 1, 5)], [[-TablePick.Ask, 5]]);
});

test("a larger table has the same modules, without those that are gone", () => {
  const { image, view } = makeTable();
  const lb = makeLb();
  setRoute(lb, 1, [node(1), node(2, { weight: 300 })]);
  setRoute(lb, 2, [node(5)]);
  setRoute(lb, 3, [node(7), node(8), node(9)], '{"policy":"ring_hash"}');
  setRoute(lb, 4, [node(7), node(8)], '{"policy":"ring_hash"}');
  flush(lb, image);
  lb.update(2, 1, [], 1);
  flush(lb, image);
  const larger = makeTable({ slots: 256, words: 8192 });
  image.copyTo(larger.image);
  assert.deepEqual(larger.image.live, image.live);
  assert.equal(larger.image.moduleCount, 3);
  const [before, after] = [view(), larger.view()];
  assert.equal(after.slotOf(2, 1), -1);
  assert.deepEqual([...countPicks(after, 1, 400)].sort(), [[1, 100], [2, 300]]);
  for (const modId of [3, 4]) {
    for (let i = 0; i < 500; i++) {
      const key = tableKeyOf(`key-${i}`);
      before.pickKeyed(before.slotOf(modId, 1), key, rehash);
      after.pickKeyed(after.slotOf(modId, 1), key, rehash);
      assert.equal(after.ip, before.ip);
    }
  }
  // Who goes on writes to the same places.
  fail(lb, 3, 8);
  flush(lb, larger.image);
  assert.equal(larger.image.live.words, image.live.words);
});

for (const policy of ["ring_hash", "maglev"]) {
  test(`keyed picks are those of the balancer, also of nodes that are out: ${policy}`, () => {
    const { image, view } = makeTable({ slots: 8, words: 8192 });
    const lb = makeLb();
    const nodes = [1, 2, 3, 4, 5, 6, 7].map((ip) => node(ip, { weight: 50 + ip * 10 }));
    setRoute(lb, 1, nodes, JSON.stringify({ policy, virtualNodes: 40 }));
    assert.ok(flush(lb, image));
    const reader = view();
    const check = (): void => {
      let compared = 0;
      for (let i = 0; i < 1000; i++) {
        const wanted = lb.getHost(1, 1, 0, `k${i}`);
        const outcome = reader.pickKeyed(reader.slotOf(1, 1), tableKeyOf(`k${i}`), rehash);
        assert.equal(outcome, TablePick.Node);
        const isProbe = (reader.tag & EntryTag.Probe) !== 0;
        if (isProbe || typeof wanted === "number" || wanted.overload) continue;
        assert.equal(reader.ip, wanted.ip);
        compared++;
      }
      assert.ok(compared > 700, `${compared} compared`);
    };
    check();
    fail(lb, 1, 3);
    assert.ok(flush(lb, image));
    check();
    lb.update(1, 1, nodes.slice(2), 0);
    assert.ok(flush(lb, image));
    check();
  });
}

test("keyed picks without a table of keys are made by the agent", () => {
  const { image, view } = makeTable({ slots: 8, words: 64 });
  const lb = makeLb();
  setRoute(lb, 1, [node(1), node(2)], '{"policy":"maglev"}');
  assert.equal(flush(lb, image), false);
  const reader = view();
  const slot = reader.slotOf(1, 1);
  assert.equal(reader.pickKeyed(slot, 5, rehash), TablePick.Ask);
  assert.equal(reader.pick(slot), TablePick.Node);
  setRoute(lb, 1, [node(1), node(2)], "");
  flush(lb, image);
  assert.equal(reader.pickKeyed(slot, 5, rehash), TablePick.Node);
});

test("whatever stands in a block is an entry of its module, before, behind and in between", () => {
  const { image, memory, view } = makeTable();
  const lb = makeLb();
  setRoute(lb, 1, [node(1), node(2)]);
  flush(lb, image);
  const reader = view();
  const names = new BigUint64Array(memory);
  const scheduleOf = (): bigint => names[(4096 + reader.slotOf(1, 1) * 32 + 8) / 8];
  const schedules = new Set<bigint>();
  for (let round = 0; round < 300; round++) {
    const ips = Array.from({ length: 1 + round % 9 }, (_, i) => node(1 + (round + i) % 20));
    const weighted = ips.map((one, i) => ({ ...one, weight: 1 + (round * i) % 50 }));
    lb.update(1, 1, round % 2 === 0 ? ips : weighted, round);
    if (!flush(lb, image)) break;
    schedules.add(scheduleOf());
    const wanted = new Set(ips.map(({ ip }) => BigInt(ip) | 80n << 32n));
    const first = Number(scheduleOf() & 0xffff_ffffn);
    let words = 32;
    while (words < Number(scheduleOf() >> 32n)) words *= 2;
    for (let word = first; word < first + words; word++) {
      assert.ok(wanted.has(names[word]), `word ${word}: ${names[word].toString(16)}`);
    }
  }
  assert.ok(schedules.size > 10);
});

test("readers refuse what is no table, and see when one is old or retired", () => {
  const { image, memory, view } = makeTable();
  const reader = view();
  assert.equal(reader.isFresh(5000 + TABLE_OLD_MS), true);
  assert.equal(reader.isFresh(5001 + TABLE_OLD_MS), false);
  assert.equal(reader.isFresh(3999), false);
  image.beat(9000);
  assert.equal(reader.isFresh(9500), true);
  assert.equal(reader.isRetired, false);
  image.retire();
  assert.equal(reader.isRetired, true);
  const broken = (change: (head: DataView) => void): ArrayBuffer => {
    const copy = memory.slice(0);
    change(new DataView(copy));
    return copy;
  };
  const cases: [ArrayBuffer, RegExp][] = [
    [new ArrayBuffer(4096), /no table/],
    [new ArrayBuffer(10), /10 bytes/],
    [memory.slice(0, 8192), /does not fit/],
    [broken((head) => head.setUint32(TableField.Version, 2, true)), /version 2, and 1 is known/],
    [broken((head) => head.setUint32(TableField.Slots, 63, true)), /does not fit/],
    [broken((head) => head.setUint32(TableField.Slots, 1 << 30, true)), /does not fit/],
    [broken((head) => head.setUint32(TableField.FirstBlock, 1 << 30, true)), /does not fit/],
  ];
  for (const [bytes, reason] of cases) {
    assert.throws(() => new TableView(bytes, seededRng(1)), reason);
  }
});

test("a table whose words are made up never leads a reader out of it", () => {
  const rng = seededRng(11);
  const { image, memory, view } = makeTable({ slots: 8, words: 512 });
  const lb = makeLb();
  for (const modId of [1, 2]) setRoute(lb, modId, [node(1), node(2)], '{"policy":"maglev"}');
  flush(lb, image);
  const bytes = new Uint8Array(memory);
  const whole = bytes.slice();
  for (let round = 0; round < 3000; round++) {
    bytes.set(whole);
    const reader = view();
    for (let i = 0; i < 6; i++) {
      bytes[4096 + Math.floor(rng.next() * 1024)] = Math.floor(rng.next() * 256);
    }
    const slot = reader.slotOf(1, 1);
    if (slot < 0) continue;
    const outcomes = [reader.pick(slot), reader.pickKeyed(slot, 77, rehash)];
    for (const outcome of outcomes) assert.ok([0, 1, 2].includes(outcome));
  }
});

test("a plan without turns is none", () => {
  const { image, view } = makeTable();
  const empty: PickPlan = {
    nodes: [],
    turns: new Uint16Array(),
    keyed: undefined,
    keyedHere: false,
  };
  assert.ok(image.put(1, 1, empty));
  assert.equal(view().slotOf(1, 1), -1);
});

/** Entries of a module as they stand in the table, with the version that was there before them. */
function readModule(memory: ArrayBuffer, slot: number): { version: number; entries: string } {
  const table = new DataView(memory);
  const at = TABLE_HEADER_BYTES + slot * TABLE_SLOT_BYTES;
  const version = table.getUint32(at + SlotField.Version, true);
  const first = table.getUint32(at + SlotField.Schedule, true);
  const count = table.getUint32(at + SlotField.Schedule + 4, true);
  const entries = Array.from(
    { length: count },
    (_, index) => table.getBigUint64((first + index) * 8, true).toString(16),
  );
  return { version, entries: entries.join() };
}

test("what a reader keeps is what stands there, as long as the numbers stay", () => {
  const rng = seededRng(5);
  const { image, memory, view } = makeTable();
  const lb = makeLb();
  const changesOf = (): number => new DataView(memory).getUint32(TableField.Changes, true);
  for (let modId = 1; modId <= 8; modId++) setRoute(lb, modId, [node(1), node(2)]);
  flush(lb, image);
  const slots = Array.from({ length: 8 }, (_, index) => view().slotOf(index + 1, 1));
  const kept = slots.map((slot) => readModule(memory, slot));
  let atMs = 0;
  for (let round = 0; round < 500; round++) {
    const before = changesOf();
    assert.notEqual(before, 0);
    const modId = 1 + Math.floor(rng.next() * 8);
    const ip = 1 + Math.floor(rng.next() * 3);
    const what = rng.next();
    if (what < 0.3) lb.update(modId, 1, [node(ip), node(4)].slice(ip % 2), atMs);
    else if (what < 0.5) lb.update(modId, 1, [], atMs);
    else fail(lb, modId, ip);
    lb.tick(atMs += 200);
    flush(lb, image);
    slots.forEach((slot, index) => {
      const now = readModule(memory, slot);
      assert.notEqual(now.version, 0);
      if (now.version === kept[index].version) assert.equal(now.entries, kept[index].entries);
      else assert.notEqual(changesOf(), before, `round ${round}`);
      kept[index] = now;
    });
  }
});
