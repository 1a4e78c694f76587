import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { silentLogger } from "../../reactor/log.ts";
import { ManualClock } from "../../reactor/time/manual_clock.ts";
import { seededRng } from "../../reactor/time/rng.ts";
import type { ReportsStored } from "../../proto/codec.ts";
import { KeptSessions } from "../kept_sessions.ts";
import type { ReportedRow } from "../report_rows.ts";
import { FakeDisk } from "../testing/fake_disk.ts";
import { LabDatabase, SpoolLab } from "../testing/spool_lab.ts";
import { ReportSpool } from "./report_spool.ts";

const eventArbitrary = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant("report" as const), at: fc.nat(2) }) },
  { weight: 5, arbitrary: fc.record({ kind: fc.constant("step" as const), at: fc.nat(3) }) },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constantFrom("toFirst" as const, "toSecond" as const),
      at: fc.nat(2),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constantFrom(
        ...[
          "kill",
          "stop",
          "lose",
          "up",
          "away",
          "forgetful",
          "slow",
          "fast",
          "fail",
          "mend",
        ] as const,
      ),
      at: fc.nat(1),
    }),
  },
);

type LabEvent = typeof eventArbitrary extends fc.Arbitrary<infer E> ? E : never;

async function play(lab: SpoolLab, { kind, at }: LabEvent): Promise<void> {
  const disk = lab.disks[at % 2];
  if (kind === "report") { for (let i = 0; i < 3; i++) lab.report(at); }
  else if (kind === "step") await lab.step([100, 500, 3_000, 12_000][at]);
  else if (kind === "toFirst") lab.connect(at, 0);
  else if (kind === "toSecond") lab.connect(at, 1);
  else if (kind === "kill") lab.kill(at);
  else if (kind === "stop") await lab.stop(at);
  else if (kind === "lose") lab.loseAgent(at);
  else if (kind === "slow") disk.isFast = false;
  else if (kind === "fail") disk.fault = new Error("EIO");
  else if (kind === "mend") disk.fault = undefined;
  else if (kind === "fast") {
    disk.isFast = true;
    disk.release();
  } else lab.database.state = kind;
}

/** Two reporters count what one sender left with both, at the same time. */
const MEETING: readonly (readonly [LabEvent["kind"], number])[] = [
  ...[["step", 2], ["toSecond", 1], ["report", 1], ["fail", 1], ["toFirst", 2]] as const,
  ...[["report", 2], ["step", 1], ["toSecond", 2], ["toFirst", 1], ["away", 0]] as const,
  ...[["step", 1], ["slow", 0], ["step", 2], ["lose", 0], ["step", 3]] as const,
  ...[["report", 1], ["report", 0], ["step", 1], ["report", 0], ["mend", 1]] as const,
  ...[["step", 2], ["report", 0], ["toFirst", 1], ["step", 1], ["step", 3]] as const,
  ...[["toSecond", 0]] as const,
];

test("each report that was told to be kept counts once, whatever is lost", async () => {
  const events = fc.array(eventArbitrary, { maxLength: 100, size: "max" });
  await fc.assert(
    fc.asyncProperty(events, fc.constantFrom(1e8, 3_000), async (list, bytesMax) => {
      const lab = new SpoolLab(bytesMax);
      await lab.step();
      for (const event of list) {
        await play(lab, event);
        assert.deepEqual(lab.doubles(), []);
      }
      await lab.settle();
      assert.deepEqual(lab.doubles(), [], "twice");
      assert.deepEqual(lab.missing(), [], "missing");
    }),
    {
      numRuns: 150,
      examples: [[MEETING.map(([kind, at]) => ({ kind, at }) as LabEvent), 1e8]],
    },
  );
});

test("while the database is away reports are told to be kept, and survive both their ends", async () => {
  const lab = new SpoolLab();
  lab.database.state = "away";
  await lab.step();
  lab.connect(0, 0);
  for (let second = 0; second < 60; second++) {
    for (let i = 0; i < 10; i++) lab.report(0);
    await lab.step();
    await lab.step();
  }
  const [agent] = lab.agents;
  assert.ok(agent.confirmed >= 590, `${agent.confirmed} of ${agent.last} within a second`);
  lab.kill(0);
  lab.loseAgent(0);
  await lab.step();
  lab.kill(0);
  await lab.settle();
  assert.deepEqual(lab.missing(), []);
  assert.deepEqual(lab.doubles(), []);
  assert.equal([...lab.disks[0].files.values()].length, 0, "nothing is left on disk");
});

test("a sender that moves while its reports are on disk alone loses none", async () => {
  const lab = new SpoolLab();
  lab.database.state = "away";
  await lab.step();
  for (let i = 0; i < 6; i++) {
    lab.connect(0, i % 2);
    await lab.step();
    for (let j = 0; j < 5; j++) lab.report(0);
    for (let j = 0; j < 3; j++) await lab.step();
  }
  lab.kill(0);
  lab.kill(1);
  await lab.settle();
  assert.deepEqual(lab.missing(), []);
  assert.deepEqual(lab.doubles(), []);
});

/** A spool alone, under a clock of its own. */
class SpoolBench {
  readonly clock = new ManualClock(0, 1_700_000_000_000);
  readonly disk = new FakeDisk();
  readonly database = new LabDatabase();
  readonly #rng = seededRng(1);

  async open(
    sessions = new KeptSessions({
      ...{ clock: this.clock, lookUp: () => Promise.resolve(new Map()) },
      ...{ tell: () => {}, sendAgain: () => {}, onForgotten: () => {} },
    }),
  ): Promise<ReportSpool> {
    const { clock, disk, database } = this;
    const opening = ReportSpool.open({
      ...{ clock, log: silentLogger, rng: this.#rng, label: "lab", history: true },
      ...{ disk: disk.handle(() => true), store: database },
      ...{ bytesMax: 1e8, keysMax: 100_000, onLeftRows: () => {}, sessions },
    });
    return await this.during(opening);
  }

  /** Lets time pass until something has ended. */
  async during<T>(work: Promise<T>): Promise<T> {
    let isOver = false;
    void work.finally(() => isOver = true);
    for (let i = 0; i < 10_000 && !isOver; i++) {
      this.clock.advance(10);
      await Promise.resolve();
    }
    return await work;
  }

  /** Calls counted of all nodes. */
  get counted(): number {
    return [...this.database.counts.values()].reduce((sum, count) => sum + count, 0);
  }
}

const NODE_ROW: ReportedRow = {
  ...{ modId: 1, cmdId: 1, ip: 1, port: 80, caller: 9, ts: 5, peer: 1 },
  ...{ succCount: 1, errCount: 0, overload: false },
};

test("a stop in the middle of what an earlier run has left takes nothing off the disk", async () => {
  const bench = new SpoolBench();
  const first = await bench.open();
  for (let bucket = 0; bucket < 10; bucket++) {
    first.add([NODE_ROW], [{ succ: 1, err: 0, timed: 0, timeMs: 0, refused: 0 }]);
    bench.clock.advance(10_000);
  }
  await bench.during(first.end());
  const second = await bench.open();
  const write = bench.database.writeMarkedHistory.bind(bench.database);
  let ending: Promise<unknown> | undefined;
  bench.database.writeMarkedHistory = (bucket) => {
    if (bench.counted === 4) ending = second.end();
    return write(bucket);
  };
  await bench.during(second.replay(() => () => true));
  await bench.during(ending ?? Promise.reject(new Error("it was not stopped")));
  assert.equal(bench.counted, 5);
  const third = await bench.open();
  await bench.during(third.replay(() => () => true));
  assert.equal(bench.counted, 10);
  assert.equal(bench.disk.files.size, 0);
});

test("a file that cannot be read is tried again, and kept when it never can", async () => {
  for (const [faults, counted, kept] of [[3, 1, 0], [Infinity, 0, 2]] as const) {
    const bench = new SpoolBench();
    for (let run = 0; run < Math.max(1, kept); run++) {
      const first = await bench.open();
      first.add([NODE_ROW], [{ succ: 1, err: 0, timed: 0, timeMs: 0, refused: 0 }]);
      await bench.during(first.end());
      bench.clock.advance(10_000);
    }
    const files = [...bench.disk.files];
    const second = await bench.open();
    bench.disk.readFaults = faults;
    await bench.during(second.replay(() => () => true));
    assert.equal(bench.counted, counted);
    const expected = files.map(([name, bytes]) => [`${name}.bad`, bytes] as const).slice(0, kept);
    assert.deepEqual([...bench.disk.files], expected);
    assert.equal(second.stats.spool_set_aside, kept);
  }
});

test("a file that cannot be read at the start counts when it can", async () => {
  const bench = new SpoolBench();
  const first = await bench.open();
  for (let bucket = 0; bucket < 2; bucket++) {
    first.add([NODE_ROW], [{ succ: 1, err: 0, timed: 0, timeMs: 0, refused: 0 }]);
    bench.clock.advance(10_000);
  }
  await bench.during(first.end());
  bench.disk.readFaults = 1;
  const second = await bench.open();
  assert.equal(second.isReplayed, false);
  await bench.during(second.replay(() => () => true));
  assert.equal(bench.counted, 2);
  assert.equal(bench.disk.files.size, 0);
});

test("a recount while the disk fails tells no sender that its reports are kept", async () => {
  const bench = new SpoolBench();
  const told: ReportsStored[] = [];
  const sessions = new KeptSessions({
    ...{ clock: bench.clock, lookUp: () => Promise.resolve(new Map()) },
    tell: (_, answer) => void told.push(answer),
    ...{ sendAgain: () => {}, onForgotten: () => {} },
  });
  const spool = await bench.open(sessions);
  const gains = { succ: 1, err: 0, timed: 0, timeMs: 0 };
  const kept = { session: 5, seq: 1, gains, refusedNew: 0 };
  const open = async (): Promise<void> => {
    sessions.open(5, { loop: 0, peer: 1 });
    for (let i = 0; i < 10; i++) await Promise.resolve();
  };
  await open();
  bench.disk.fault = new Error("EIO");
  assert.ok(sessions.take(5, 1));
  spool.keep(kept, [{ ...NODE_ROW, kept }]);
  spool.note(5);
  sessions.again(5);
  await bench.during(spool.run());
  await open();
  bench.disk.fault = undefined;
  await bench.during(spool.flush());
  assert.deepEqual(told.map(({ stored }) => stored ?? 0), told.map(() => 0));
  // It comes again, and is kept now.
  assert.ok(sessions.take(5, 1));
  spool.keep(kept, [{ ...NODE_ROW, kept }]);
  await bench.during(spool.flush());
  assert.equal(told.at(-1)?.stored, 1);
});

test("a module of any number of nodes, from a sender that keeps nothing, is read again whole", async () => {
  const bench = new SpoolBench();
  const most = Number.MAX_SAFE_INTEGER;
  const rows = Array.from({ length: 5_000 }, (_, index): ReportedRow => ({
    ...{ modId: 1, cmdId: 1, ip: 0xff00_0000 + index, port: 65_535, caller: 9, ts: 5, peer: 1 },
    ...{ succCount: 0xffff_ffff, errCount: 0xffff_ffff, overload: true },
    ...{ succTotal: most, errTotal: most, timedTotal: most, timeMsTotal: most },
  }));
  const spool = await bench.open();
  const gains = { succ: most, err: most, timed: most, timeMs: most, refused: 0 };
  spool.add(rows, rows.map(() => gains));
  await spool.flush();
  assert.equal((await bench.open()).leftRows.length, rows.length);
});
