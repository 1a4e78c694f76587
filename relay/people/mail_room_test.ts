import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import { StoreError } from "../../reactor/errors.ts";
import { silentLogger } from "../../reactor/log.ts";
import { ManualClock } from "../../reactor/time/manual_clock.ts";
import { systemRng } from "../../reactor/time/system_rng.ts";
import {
  type Mail,
  MAIL_PER_CALL_MAX,
  type MailLimits,
  type MailStore,
} from "../../sql/mail/mail_store.ts";
import { openStore } from "../../sql/open_store.ts";
import { makeTempDir } from "../../tests/support/temp_dir.ts";
import { until } from "../../tests/support/until.ts";
import { type MailReceiver, MailRoom, UNTAKEN_MAX } from "./mail_room.ts";

const DAY_MS = 86_400_000;
const LIMITS: MailLimits = {
  messagesMax: 1000,
  bytesMax: 1_000_000,
  totalMessagesMax: 5000,
  totalBytesMax: 10_000_000,
};

class TestReceiver implements MailReceiver {
  readonly mail: Mail[] = [];
  takes = true;

  mailboxLost(): void {}

  takeMail(mail: Mail): boolean {
    if (this.takes) this.mail.push(mail);
    return this.takes;
  }

  get texts(): string[] {
    return this.mail.map(({ data }) => new TextDecoder().decode(data));
  }
}

/** A room on a database, and the ways to end it or to have another one on the same database. */
class Bench {
  readonly clock = new ManualClock();
  room: MailRoom;
  readonly outcomes: string[] = [];
  #lastId = 0;

  constructor(readonly store: MailStore) {
    this.room = this.newRoom();
  }

  newRoom(limits: Partial<MailLimits> = {}): MailRoom {
    const room = new MailRoom({
      ...{ store: this.store, clock: this.clock, rng: systemRng, log: silentLogger },
      limits: { ...LIMITS, ...limits },
      idWindowMs: 3_600_000,
    });
    room.start();
    this.room = room;
    return room;
  }

  put(text: string, more: { id?: string; name?: string; ttlMs?: number } = {}): void {
    const { name = "away", ttlMs = DAY_MS, id = `id-${++this.#lastId}` } = more;
    const sentAtMs = this.clock.wallMs();
    const data = new TextEncoder().encode(text);
    const expiresAtMs = sentAtMs + ttlMs;
    this.room.put({ name, sender: "sender", id, sentAtMs, expiresAtMs, data }, (outcome) => {
      this.outcomes.push(`${text} ${outcome}`);
    });
  }

  /** Waits until what is under way has been done; only the clock can bring anything further. */
  async settled(): Promise<void> {
    await until(() => this.room.stats().mail_unwritten === 0);
    await new Promise((resolve) => setImmediate(resolve));
  }

  /** The client comes, knowing what it knew. */
  async come(
    receiver: MailReceiver,
    resume = { epoch: 0, after: 0 },
  ): ReturnType<MailRoom["open"]> {
    const opening = await this.room.open("away", resume);
    this.room.begin("away", receiver, opening.after);
    return opening;
  }

  open(resume: { epoch: number; after: number }): ReturnType<MailRoom["open"]> {
    return this.room.open("away", resume);
  }

  /** Waits until what has been read and written leads to nothing further. */
  async quiet(): Promise<void> {
    for (let turn = 0; turn < 20; turn++) await this.settled();
  }

  assertBalanced(waiting: number): void {
    const { sent, delivered, expired, refused, ...counts } = this.room.ledger.counts;
    assert.equal(sent, delivered + expired + refused + counts.waiting);
    assert.equal(counts.waiting, waiting);
  }
}

async function withBench(fn: (bench: Bench) => Promise<void>): Promise<void> {
  const directory = makeTempDir("lars-mail-");
  const store = await openStore(`sqlite:${join(directory.path, "mail.db")}`);
  try {
    await store.migrate();
    const bench = new Bench(store.mail);
    await fn(bench);
    await bench.room.close();
  } finally {
    await store.close();
    directory.remove();
  }
}

test("mail room: a client that was away a day gets what has not expired, in order", () =>
  withBench(async (bench) => {
    bench.put("one", { ttlMs: DAY_MS + 1000 });
    bench.put("two", { ttlMs: DAY_MS - 1000 });
    bench.put("three", { ttlMs: 2 * DAY_MS });
    await until(() => bench.outcomes.length === 3);
    assert.deepEqual(bench.outcomes, ["one stored", "two stored", "three stored"]);
    bench.clock.advance(DAY_MS);
    const receiver = new TestReceiver();
    const opening = await bench.come(receiver);
    assert.deepEqual([opening.recovered, opening.missing], [true, 0]);
    await until(() => receiver.mail.length === 2);
    assert.deepEqual(receiver.texts, ["one", "three"]);
    bench.room.taken("away", 3);
    await until(() => bench.room.ledger.counts.delivered === 2);
    await until(() => bench.room.ledger.counts.expired === 1);
    bench.assertBalanced(0);
  }));

test("mail room: what is put while a client is here goes to it at once; what it took does not come again", () =>
  withBench(async (bench) => {
    const receiver = new TestReceiver();
    const { epoch } = await bench.come(receiver);
    for (const text of ["a", "b", "c"]) bench.put(text);
    await until(() => receiver.mail.length === 3);
    assert.deepEqual(receiver.mail.map(({ seq }) => seq), [1, 2, 3]);
    bench.room.taken("away", 2);
    bench.room.taken("away", 99); // not believed beyond what was sent
    bench.room.end("away", receiver);
    await until(() => bench.room.ledger.counts.delivered === 3);
    bench.put("d");
    const again = new TestReceiver();
    const opening = await bench.come(again, { epoch, after: 3 });
    await until(() => again.mail.length === 1);
    assert.deepEqual([again.texts, opening.recovered], [["d"], true]);
  }));

test("mail room: a client that knows less than it said, or another mailbox, is told what is missing", () =>
  withBench(async (bench) => {
    for (const text of ["a", "b", "c"]) bench.put(text);
    const receiver = new TestReceiver();
    const { epoch } = await bench.come(receiver);
    await until(() => receiver.mail.length === 3);
    bench.room.taken("away", 2);
    await until(() => bench.room.ledger.counts.delivered === 2);
    const less = await bench.room.open("away", { epoch, after: 0 });
    assert.deepEqual([less.recovered, less.missing, less.after], [false, 2, 0]);
    const right = await bench.room.open("away", { epoch, after: 2 });
    assert.deepEqual([right.recovered, right.missing, right.after], [true, 0, 2]);
    for (const wrong of [{ epoch: epoch + 1, after: 2 }, { epoch, after: 4 }]) {
      const other = await bench.room.open("away", wrong);
      assert.deepEqual([other.recovered, other.epoch, other.after], [false, epoch, 2]);
    }
    // It took three, and died before the relay heard of it.
    const more = await bench.room.open("away", { epoch, after: 3 });
    assert.deepEqual([more.recovered, more.missing], [true, 0]);
    await until(() => bench.room.ledger.counts.delivered === 3);
    bench.assertBalanced(0);
  }));

test("mail room: the same id is kept once, and counts outlive a room", () =>
  withBench(async (bench) => {
    bench.put("a", { id: "x" });
    bench.put("b");
    bench.put("a", { id: "x" });
    await until(() => bench.outcomes.length === 3);
    assert.deepEqual(bench.outcomes, ["a stored", "b stored", "a known"]);
    bench.assertBalanced(2);
    await bench.room.close();
    bench.put("c");
    assert.equal(bench.outcomes.at(-1), "c failed");
    const next = bench.newRoom();
    await until(() => next.ledger.counts.waiting === 2);
    bench.put("a", { id: "x" });
    await until(() => bench.outcomes.length === 5);
    assert.equal(bench.outcomes.at(-1), "a known");
    bench.assertBalanced(2);
  }));

test("mail room: a client is sent no more than so many ahead of what it took, expired ones aside", () =>
  withBench(async (bench) => {
    for (let i = 0; i < 150; i++) bench.put(`old ${i}`, { ttlMs: 1000 });
    for (let i = 0; i < 150; i++) bench.put(`${i}`);
    await until(() => bench.outcomes.length === 300);
    bench.clock.advance(1000);
    const receiver = new TestReceiver();
    await bench.come(receiver);
    await until(() => receiver.mail.length === UNTAKEN_MAX);
    await bench.settled();
    assert.equal(receiver.mail.length, UNTAKEN_MAX);
    bench.room.taken("away", receiver.mail[49].seq);
    await until(() => receiver.mail.length === 150);
    assert.deepEqual(receiver.texts, Array.from({ length: 150 }, (_, i) => `${i}`));
    bench.room.taken("away", receiver.mail[149].seq);
    await until(() => bench.room.ledger.counts.delivered === 150);
    assert.equal(bench.room.ledger.counts.expired, 150);
    bench.assertBalanced(0);
  }));

test("mail room: bounds of a mailbox and of all refuse the newest", () =>
  withBench(async (bench) => {
    await bench.room.close();
    bench.newRoom({ messagesMax: 2, totalMessagesMax: 3 });
    for (const name of ["a", "a", "a", "b", "b"]) bench.put(name, { name });
    await until(() => bench.outcomes.length === 5);
    assert.deepEqual(bench.outcomes, ["a stored", "a stored", "a full", "b stored", "b full"]);
    bench.assertBalanced(3);
  }));

test("mail room: a database that is away costs time and no order; one that refuses is told", async () => {
  await withBench(async (bench) => {
    await bench.settled();
    let fault: StoreError | undefined = new StoreError("the database is away", true);
    const failing: MailStore = {
      ...bench.store,
      put: (...given) => fault === undefined ? bench.store.put(...given) : Promise.reject(fault),
    };
    const room = new MailRoom({
      ...{ store: failing, clock: bench.clock, rng: systemRng, log: silentLogger },
      ...{ limits: LIMITS, idWindowMs: 3_600_000 },
    });
    bench.room = room;
    for (const text of ["a", "b"]) bench.put(text);
    await until(() => room.stats().mail_failures === 1);
    bench.put("c");
    fault = undefined;
    bench.clock.advance(100);
    await until(() => bench.outcomes.length === 3);
    assert.deepEqual(bench.outcomes, ["a stored", "b stored", "c stored"]);
    fault = new StoreError("no such table", false);
    bench.put("d");
    await until(() => bench.outcomes.length === 4);
    assert.equal(bench.outcomes[3], "d failed");
    bench.clock.advance(10_000);
    bench.assertBalanced(3);
  });
});

test("mail room: whatever cannot be written before it closes is refused, and its sender told", async () => {
  await withBench(async (bench) => {
    await bench.settled();
    const away: MailStore = {
      ...bench.store,
      put: () => Promise.reject(new StoreError("the database is away", true)),
    };
    const room = new MailRoom({
      ...{ store: away, clock: bench.clock, rng: systemRng, log: silentLogger },
      ...{ limits: LIMITS, idWindowMs: 3_600_000 },
    });
    bench.room = room;
    const count = 3 * MAIL_PER_CALL_MAX + 1;
    for (let i = 0; i < count; i++) bench.put(`${i}`);
    await until(() => room.stats().mail_failures === 1);
    const closed = room.close();
    bench.clock.advance(100);
    await closed;
    assert.deepEqual(bench.outcomes, Array.from({ length: count }, (_, i) => `${i} failed`));
    bench.assertBalanced(0);
  });
});

const mailStep = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant("put" as const),
      ttlMs: fc.integer({ min: 60_000, max: 2 * DAY_MS }),
      again: fc.boolean(),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constantFrom("come", "go", "take") }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("restart" as const) }) },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant("wait" as const),
      ms: fc.integer({ min: 1, max: DAY_MS / 2 }),
    }),
  },
);

test(
  "mail room: whatever happens in days, counts add up, and what was kept comes once or expires",
  {
    timeout: 300_000,
  },
  () =>
    fc.assert(
      fc.asyncProperty(fc.array(mailStep, { maxLength: 40 }), (steps) =>
        withBench(async (bench) => {
          const expiresAtMs = new Map<string, number>();
          const got: string[] = [];
          let resume = { epoch: 0, after: 0 };
          let here: MailReceiver | undefined;
          let cameAtMs = 0;
          let sentAtMs = 0;
          const come = async (): Promise<void> => {
            const receiver = {
              mailboxLost(): void {},
              takeMail({ id, seq }: Mail): boolean {
                // What it has had it passes over, as `RelayClient` does: the connection before may have
                // been sent something while this one was opened.
                if (seq <= resume.after) return true;
                got.push(id);
                resume = { ...resume, after: seq };
                return true;
              },
            };
            here = receiver;
            cameAtMs = bench.clock.wallMs();
            const { epoch, after } = await bench.open(resume);
            resume = { epoch, after: Math.max(after, resume.after) };
            bench.room.begin("away", receiver, after);
            await bench.quiet();
          };
          for (const step of [...steps, { do: "wait" as const, ms: 1 }]) {
            if (step.do === "put") {
              const nowMs = bench.clock.wallMs();
              // Its id is known for an hour.
              const isAgain = step.again && expiresAtMs.size > 0 && nowMs - sentAtMs < 3_600_000;
              const id = `id-${expiresAtMs.size - (isAgain ? 1 : 0)}`;
              if (!isAgain) {
                expiresAtMs.set(id, nowMs + step.ttlMs);
                sentAtMs = nowMs;
              }
              bench.put(id, { id, ttlMs: step.ttlMs });
            } else if (step.do === "come") await come();
            else if (step.do === "go" && here !== undefined) bench.room.end("away", here);
            else if (step.do === "take") bench.room.taken("away", resume.after);
            else if (step.do === "restart") {
              await bench.quiet();
              await bench.room.close();
              bench.newRoom();
              here = undefined;
            } else if ("ms" in step) bench.clock.advance(step.ms);
            await bench.settled();
            const { sent, delivered, expired, refused, waiting } = bench.room.ledger.counts;
            assert.equal(sent, delivered + expired + refused + waiting);
          }
          await come();
          bench.room.taken("away", resume.after);
          bench.clock.advance(4 * DAY_MS);
          // One that the clock has begun may have looked before the last of them was over.
          await until(async () => {
            await bench.room.prune();
            return bench.room.ledger.counts.waiting === 0;
          }, { what: "nothing that waits" });
          bench.assertBalanced(0);
          assert.equal(new Set(got).size, got.length, "none comes twice");
          const missing = [...expiresAtMs].filter(([id]) => !got.includes(id));
          for (const [id, atMs] of missing) assert.ok(atMs <= cameAtMs, `${id} did not come`);
        })),
      { numRuns: 25 },
    ),
);
