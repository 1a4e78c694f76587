// Goal: the file of the table is there whole or not at all, and readers follow from one file to the
// next. Method: real files in a folder of their own, and the reader of the api.

import assert from "node:assert/strict";
import { chmodSync, existsSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { TablePick } from "../../api/table_view.ts";
import { TableReader } from "../../api/table_reader.ts";
import { defaultBalanceSettings, RouteLb } from "../../balancer/mod.ts";
import { TableField } from "../../proto/table_layout.ts";
import { type Logger, silentLogger } from "../../reactor/log.ts";
import { openFileMaps } from "../../reactor/runtime/file_maps.ts";
import { ManualClock } from "../../reactor/time/manual_clock.ts";
import { seededRng } from "../../reactor/time/rng.ts";
import { withTempDir } from "../../tests/support/temp_dir.ts";
import { SharedTable, type SharedTableOptions } from "./shared_table.ts";
import { PLANS_PER_TURN_MAX, TableKeeper } from "./table_keeper.ts";

function noMaps(): string | false {
  try {
    openFileMaps();
    return false;
  } catch (error) {
    return String(error);
  }
}

const skip = noMaps();

interface Lab {
  readonly path: string;
  readonly clock: ManualClock;
  readonly warnings: string[];
  table(options?: Partial<SharedTableOptions>): SharedTable;
  reader(): TableReader;
}

async function withLab(fn: (lab: Lab) => void | Promise<void>): Promise<void> {
  await withTempDir(async (directory) => {
    const clock = new ManualClock();
    const closers: (() => void)[] = [];
    const warnings: string[] = [];
    const log: Logger = { ...silentLogger, warn: (message) => void warnings.push(message) };
    const path = join(directory, "agent.table");
    const place = { path, mode: 0o640, group: undefined, ip: 0x7f000001, port: 8888 };
    try {
      await fn({
        ...{ path, clock, warnings },
        table: (options = {}) => new SharedTable({ ...place, clock, log, ...options }),
        reader(): TableReader {
          const reader = new TableReader({ path, port: 8888, clock, rng: seededRng(2) });
          closers.push(() => reader.close());
          return reader;
        },
      });
    } finally {
      for (const close of closers) close();
    }
  });
}

function makeLb(): RouteLb {
  const rng = seededRng(7);
  return new RouteLb({ settings: defaultBalanceSettings, rng, hasPlans: true, onPull: () => {} });
}

function setRoute(lb: RouteLb, modId: number, ips: readonly number[], policy = ""): void {
  lb.use(modId, 0, 0);
  lb.setModulePolicy(modId, 0, policy);
  lb.update(modId, 0, ips.map((ip) => ({ ip, port: 80 })), 0);
}

function flush(lb: RouteLb, table: SharedTable, nowMs = 0): void {
  lb.plans?.take(Infinity, (modId, cmdId, plan) => table.put(modId, cmdId, plan, nowMs));
}

function pickFrom(reader: TableReader, modId: number): number {
  const { view } = reader;
  if (view === undefined) return -1;
  const slot = view.slotOf(modId, 0);
  return slot >= 0 && view.pick(slot) === TablePick.Node ? view.ip : 0;
}

test(
  "a reader picks from the table of its path",
  { skip },
  () =>
    withLab(({ path, table, reader }) => {
      const [written, lb, one] = [table(), makeLb(), reader()];
      assert.equal(statSync(path).mode & 0o7777, 0o640);
      assert.equal(statSync(path).size, written.stats.tableBytes);
      setRoute(lb, 1, [5]);
      assert.equal(pickFrom(one, 1), 0);
      flush(lb, written);
      assert.equal(pickFrom(one, 1), 5);
      assert.equal(written.stats.tableModules, 1);
      written.close();
      assert.equal(pickFrom(one, 1), -1, "a table that is closed");
      assert.equal(existsSync(path), false);
    }),
);

test(
  "no byte of the file is without its place in memory",
  { skip },
  () =>
    withLab(({ path, table }) => {
      const written = table();
      const { blocks, size } = statSync(path);
      assert.ok(blocks * 512 >= size, `${blocks} blocks of 512 bytes for ${size} bytes`);
      written.close();
    }),
);

test("an agent that starts takes the place of a table that was left, and its readers follow", {
  skip,
}, () =>
  withLab(({ clock, table, reader }) => {
    const [before, lb, one] = [table(), makeLb(), reader()];
    setRoute(lb, 1, [5]);
    flush(lb, before);
    assert.equal(pickFrom(one, 1), 5);
    // As after kill -9: nobody has closed it.
    const after = table();
    const other = makeLb();
    setRoute(other, 1, [6]);
    flush(other, after);
    assert.equal(pickFrom(one, 1), 6, "at once, as the old file says that it is retired");
    before.close();
    assert.equal(pickFrom(one, 1), 6, "the one before takes no file away that is not its own");
    clock.advance(5000);
    assert.equal(pickFrom(one, 1), 6);
    after.close();
  }));

test(
  "a table that is full is followed by a larger one",
  { skip },
  () =>
    withLab(({ clock, table, reader }) => {
      const [written, lb, one] = [table(), makeLb(), reader()];
      for (let modId = 1; modId <= 2500; modId++) setRoute(lb, modId, [modId, modId + 1]);
      flush(lb, written);
      assert.deepEqual(
        [written.stats.tableModules, written.stats.tableModulesLeftOut, written.stats.tableGrown],
        [2500, 0, 1],
      );
      for (let modId = 1; modId <= 2500; modId++) {
        const ip = pickFrom(one, modId);
        assert.ok(ip === modId || ip === modId + 1, `module ${modId}: ${ip}`);
      }
      clock.advance(2000);
      written.close();
    }),
);

test(
  "readers of a file that was full find its successor",
  { skip },
  () =>
    withLab(({ table, reader }) => {
      const [written, lb, one] = [table(), makeLb(), reader()];
      setRoute(lb, 1, [1]);
      flush(lb, written);
      assert.equal(pickFrom(one, 1), 1);
      const generation = one.view?.generation ?? 0;
      for (let modId = 2; modId <= 2500; modId++) setRoute(lb, modId, [modId]);
      flush(lb, written);
      assert.equal(pickFrom(one, 2500), 2500);
      assert.ok((one.view?.generation ?? 0) > generation);
      written.close();
    }),
);

test("what does not fit the largest table is left out, and comes in when there is room", {
  skip,
}, () =>
  withLab(({ table, reader, warnings }) => {
    const bytesMax = 1024 * 1024;
    const written = table({ bytesMax });
    const [lb, one] = [makeLb(), reader()];
    const keeper = new TableKeeper(written, [{ index: 0, lb }]);
    const turn = (nowMs: number): void => {
      while (keeper.turn(nowMs));
    };
    const ring = '{"policy":"ring_hash","virtualNodes":2000}';
    // All of them at home at the first port.
    for (let modId = 3; modId <= 270; modId += 3) setRoute(lb, modId, [1, 2, 3], ring);
    turn(0);
    const { tableModulesLeftOut: left, tableBytes: bytes } = written.stats;
    assert.ok(left > 20 && left < 85, `${left} of 90 left out`);
    assert.ok(bytes <= bytesMax);
    // Their keys are those of the agent, and the others as ever.
    const keyed = (modId: number): TablePick | undefined =>
      one.view?.pickKeyed(one.view.slotOf(modId, 0), 77, (key) => key);
    const outcomes = Array.from({ length: 90 }, (_, i) => keyed(3 * (i + 1)));
    assert.equal(outcomes.filter((outcome) => outcome === TablePick.Ask).length, left);
    for (let modId = 3; modId <= 240; modId += 3) lb.update(modId, 0, [], 1);
    turn(60_000);
    turn(120_000);
    assert.equal(written.stats.tableModulesLeftOut, 0);
    assert.equal(keyed(270), TablePick.Node);
    assert.deepEqual(warnings, []);
    written.close();
  }));

test(
  "a table that cannot be says why, and leaves nothing behind",
  { skip },
  () =>
    withLab(({ path, table }) => {
      assert.throws(
        () => table({ path: join(path, "missing", "x.table") }),
        /Making .*x\.table failed: /,
      );
      assert.throws(() => table({ modules: 2 ** 31 }), /bytes/);
      assert.equal(existsSync(`${path}.new`), false);
      writeFileSync(`${path}.new`, "left by a process that was killed");
      table().close();
      assert.equal(existsSync(`${path}.new`), false);
    }),
);

test(
  "a file that is no table is replaced and never written to",
  { skip },
  () =>
    withLab(({ path, table }) => {
      const precious = `${path}.precious`;
      writeFileSync(precious, "p".repeat(8192));
      symlinkSync(precious, path);
      const written = table();
      assert.equal(readFileSync(precious, "utf8"), "p".repeat(8192));
      assert.ok(statSync(path).size > 8192);
      written.close();
    }),
);

test(
  "readers refuse a table that others may write, or that is no table",
  { skip },
  () =>
    withLab(({ path, table, reader }) => {
      const written = table();
      chmodSync(path, 0o666);
      const one = reader();
      assert.equal(one.view, undefined);
      assert.match(one.fault, /only its owner may write/);
      written.close();
      for (const text of ["", "x", "x".repeat(10_000)]) {
        writeFileSync(path, text, { mode: 0o640 });
        const two = reader();
        assert.equal(two.view, undefined);
        assert.notEqual(two.fault, "");
      }
    }),
);

test(
  "a table nobody keeps alive is not picked from",
  { skip },
  () =>
    withLab(({ path, table, reader }) => {
      const written = table();
      const bytes = readFileSync(path);
      written.close();
      // The heartbeat of long ago, as after a kill.
      new DataView(bytes.buffer, bytes.byteOffset).setBigUint64(TableField.Heartbeat, 1n, true);
      writeFileSync(path, bytes, { mode: 0o640 });
      const one = reader();
      assert.equal(one.view, undefined);
      assert.match(one.fault, /not written any more/);
    }),
);

test("plans come into the table in turns, each module by its own port", () => {
  const lbs = [0, 1, 2].map((index) => ({ index, lb: makeLb() }));
  const written: number[] = [];
  const table = { put: (modId: number) => void written.push(modId), turn: () => {} };
  const keeper = new TableKeeper(table, lbs);
  for (let modId = 1; modId <= 300; modId++) {
    // A caller that asked at the wrong port made it known there too.
    for (const index of [modId % 3, (modId + 1) % 3]) setRoute(lbs[index].lb, modId, [1]);
  }
  let turns = 0;
  do {
    const before = written.length;
    turns++;
    if (!keeper.turn(0)) break;
    assert.ok(written.length - before <= PLANS_PER_TURN_MAX);
  } while (turns < 100);
  assert.deepEqual(
    written.toSorted((a, b) => a - b),
    Array.from({ length: 300 }, (_, i) => i + 1),
  );
});
