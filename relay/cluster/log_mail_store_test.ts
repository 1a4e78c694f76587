import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { encodeRelayMailEntry } from "../../proto/codec.ts";
import { StoreError } from "../../reactor/errors.ts";
import { silentLogger } from "../../reactor/log.ts";
import { ManualClock } from "../../reactor/time/manual_clock.ts";
import { nextInt, seededRng } from "../../reactor/time/rng.ts";
import type { Mail, MailLimits, NewMail } from "../../sql/mail/mail_store.ts";
import type { StoreBench } from "../../sql/testing/conformance_bench.ts";
import { testMailConformance } from "../../sql/testing/mail_conformance.ts";
import { MailRoom } from "../people/mail_room.ts";
import { FakeLog, type FakeLogLink, LATE_APPEND_MS, type LogFault } from "../testing/fake_log.ts";
import { LogFullError } from "./mail_log.ts";
import { EDIT_MS_MAX, LogMailStore } from "./log_mail_store.ts";

const LIMITS: MailLimits = {
  messagesMax: 1000,
  bytesMax: 10_000_000,
  totalMessagesMax: 5000,
  totalBytesMax: 100_000_000,
};

/** Lets everything happen that waits for no time. */
async function turns(): Promise<void> {
  for (let i = 0; i < 5; i++) await new Promise((resolve) => setImmediate(resolve));
}

async function pass(clock: ManualClock, ms: number): Promise<void> {
  for (let left = ms; left > 0; left -= 500) {
    clock.advance(Math.min(500, left));
    await turns();
  }
}

let lifeCount = 0;

/** One relay's store on a log, begun. */
function newStore(log: FakeLog, clock: ManualClock): { store: LogMailStore; link: FakeLogLink } {
  const link = log.connect();
  const relay = `relay${++lifeCount}`;
  const store = new LogMailStore({
    log: link,
    clock,
    logger: silentLogger,
    rng: seededRng(1),
    relay,
  });
  void store.start();
  return { store, link };
}

const NO_DATA = new Uint8Array();

function mail(id: string, more: Partial<NewMail> = {}): NewMail {
  const data = new TextEncoder().encode(`data of ${id}`);
  return { name: "box", sender: "s", id, sentAtMs: 1000, expiresAtMs: 1e15, data, ...more };
}

async function put(store: LogMailStore, ...all: NewMail[]): Promise<string[]> {
  return (await store.put(all, LIMITS)).map((one) =>
    one.kind === "stored" ? `stored ${one.seq}` : one.kind
  );
}

testMailConformance((name, fn) =>
  test(`log mail store: ${name}`, async () => {
    const clock = new ManualClock();
    const log = new FakeLog(clock);
    log.epoch = 4_294_967_295;
    const { store } = newStore(log, clock);
    await fn({ store: { mail: store } } as unknown as StoreBench);
    store.close();
  })
);

test("log mail store: what one relay puts, another reads, takes and knows", async () => {
  const clock = new ManualClock();
  const log = new FakeLog(clock);
  const [a, b] = [newStore(log, clock), newStore(log, clock)];
  assert.deepEqual(await put(a.store, mail("1"), mail("2")), ["stored 1", "stored 2"]);
  assert.deepEqual(await put(b.store, mail("2"), mail("3")), ["known", "stored 3"]);
  assert.deepEqual((await b.store.read("box", 0, 9, 0)).mail.map(({ id }) => id), ["1", "2", "3"]);
  assert.equal(await b.store.take("box", 2), 2);
  assert.equal(await a.store.take("box", 2), 0);
  // A relay that starts now sees the same, and the data of what was taken is gone.
  const c = newStore(log, clock);
  assert.deepEqual((await c.store.read("box", 0, 9, 0)).mail.map(({ id }) => id), ["3"]);
  assert.deepEqual(await put(c.store, mail("1"), mail("3"), mail("4")), [
    ...["known", "known", "stored 4"],
  ]);
  const text = [...log.entries.values()].map(({ body }) => new TextDecoder().decode(body)).join();
  assert.ok(!text.includes("data of 1") && text.includes("data of 3"));
});

test("log mail store: many relays at one mailbox at once give each message one place", async () => {
  const clock = new ManualClock();
  const log = new FakeLog(clock);
  const stores = Array.from({ length: 4 }, () => newStore(log, clock).store);
  const outcomes = await Promise.all(
    stores.flatMap((store, index) =>
      [1, 2, 3].map((n) => put(store, mail(`${index}-${n}`), mail("same")))
    ),
  );
  const places = outcomes.flat().filter((one) => one !== "known").map((one) =>
    Number(one.split(" ")[1])
  );
  assert.deepEqual(places.sort((a, b) => a - b), Array.from({ length: 13 }, (_, i) => i + 1));
});

for (
  const [fault, seen] of [["lost", 1], ["unheard", 1], ["late", 1]] as [LogFault, number][]
) {
  test(`log mail store: an append whose answer is ${fault} is kept once, behind nothing newer`, async () => {
    const clock = new ManualClock();
    const log = new FakeLog(clock);
    const [a, b] = [newStore(log, clock), newStore(log, clock)];
    await put(a.store, mail("0"));
    a.link.faults.push(fault);
    const first = put(a.store, mail("1"));
    await pass(clock, 1000);
    assert.deepEqual(await first, ["stored 2"]);
    assert.deepEqual(await put(b.store, mail("2")), ["stored 3"]);
    await pass(clock, LATE_APPEND_MS);
    const { mail: all } = await b.store.read("box", 0, 9, 0);
    assert.deepEqual(all.map(({ id }) => id), ["0", "1", "2"]);
    assert.equal(all.filter(({ id }) => id === "1").length, seen);
    assert.deepEqual(await a.store.totals(), await b.store.totals());
  });
}

test("log mail store: a log that is away costs an error that may be tried again, and keeps what it has", async () => {
  const clock = new ManualClock();
  const log = new FakeLog(clock);
  const { store, link } = newStore(log, clock);
  await put(store, mail("1"));
  link.isAway = true;
  const failing = put(store, mail("2")).then(() => undefined, (error) => error);
  await pass(clock, EDIT_MS_MAX + 1000);
  const error = await failing;
  assert.ok(error instanceof StoreError && error.transient, String(error));
  link.isAway = false;
  assert.deepEqual(await put(store, mail("2"), mail("1")), ["stored 2", "known"]);
});

test("log mail store: one that hears nothing any more follows anew", async () => {
  const clock = new ManualClock();
  const log = new FakeLog(clock);
  const [a, b] = [newStore(log, clock), newStore(log, clock)];
  await put(a.store, mail("1"));
  a.link.isDeaf = true;
  await put(b.store, mail("2"));
  const done = put(a.store, mail("3"));
  await pass(clock, 3000);
  assert.deepEqual(await done, ["stored 3"]);
  // And one that only listens notices with the next look for what is over.
  b.link.isDeaf = true;
  await put(a.store, mail("4"));
  const looking = b.store.prune(0, 0);
  await pass(clock, 3000);
  await looking;
  assert.equal((await b.store.read("box", 0, 9, 0)).mail.length, 4);
});

test("log mail store: a full log refuses messages and is told apart from one that is away", async () => {
  const clock = new ManualClock();
  const log = new FakeLog(clock);
  const { store } = newStore(log, clock);
  await put(store, mail("1"));
  log.isFull = true;
  assert.deepEqual(await put(store, mail("1"), mail("2")), ["known", "full"]);
  log.isFull = false;
  assert.deepEqual(await put(store, mail("2")), ["stored 2"]);
});

test("mail room: what is taken while the log is full is taken once there is room", async () => {
  const clock = new ManualClock();
  const log = new FakeLog(clock);
  const { store } = newStore(log, clock);
  const room = new MailRoom({
    ...{ store, clock, rng: seededRng(1), log: silentLogger, limits: LIMITS },
    ...{ idWindowMs: 3_600_000, changes: store },
  });
  room.start();
  const outcomes: string[] = [];
  room.put(mail("1"), (outcome) => void outcomes.push(outcome));
  await pass(clock, 500);
  room.begin("box", { takeMail: () => true, mailboxLost: () => {} }, 0);
  await turns();
  log.isFull = true;
  room.taken("box", 1);
  await pass(clock, 500);
  room.put(mail("2"), (outcome) => void outcomes.push(outcome));
  await pass(clock, 10_000);
  assert.deepEqual(outcomes, ["stored", "full"]);
  assert.equal((await store.totals()).waiting, 1);
  log.isFull = false;
  await pass(clock, 5_000);
  assert.equal((await store.totals()).waiting, 0);
  await room.close();
  store.close();
});

test("log mail store: a log that was made anew is read anew, and what was in the old one is told as lost", async () => {
  const clock = new ManualClock();
  const log = new FakeLog(clock);
  const [a, b] = [newStore(log, clock), newStore(log, clock)];
  const lost: number[] = [];
  a.store.onLost((waiting) => void lost.push(waiting));
  assert.equal((await a.store.totals()).waiting, 0);
  await put(a.store, mail("1"), mail("2"));
  const { epoch } = await a.store.open("box");
  log.renew();
  await turns();
  assert.deepEqual(await a.store.prune(0, 0), { expired: 0, more: false });
  await turns();
  assert.deepEqual([lost, await a.store.totals()], [[2], { waiting: 0, waitingBytes: 0 }]);
  assert.notEqual((await a.store.open("box")).epoch, epoch);
  const more = ["2", "3", "4", "5"];
  for (const [index, id] of more.entries()) {
    assert.deepEqual(await put(a.store, mail(id)), [`stored ${index + 1}`]);
  }
  // The other one finds out by its edit, though the new log has more entries: it is made there.
  const put6 = put(b.store, mail("6"));
  await pass(clock, 4_000);
  assert.deepEqual(await put6, ["stored 5"]);
  for (const { store } of [a, b]) {
    const { mail: read } = await store.read("box", 0, 9, 0);
    assert.deepEqual(read.map(({ id }) => id), [...more, "6"]);
  }
  assert.deepEqual(lost, [2]);
});

test("log mail store: what a server that stood still does not know is not passed over, what was removed is", async () => {
  const clock = new ManualClock();
  const log = new FakeLog(clock);
  const [a, b] = [newStore(log, clock), newStore(log, clock)];
  await put(a.store, mail("1"));
  await put(a.store, mail("2"));
  // It has heard of both, and has the data of neither.
  const c = newStore(log, clock);
  await turns();
  c.link.behindAt = 1;
  await assert.rejects(
    c.store.read("box", 0, 9, 0),
    (error) => error instanceof StoreError && error.transient,
  );
  c.link.behindAt = undefined;
  assert.deepEqual((await c.store.read("box", 0, 9, 0)).mail.map(({ id }) => id), ["1", "2"]);
  const d = newStore(log, clock);
  await turns();
  log.entries.delete(1);
  assert.deepEqual((await d.store.read("box", 0, 9, 0)).mail.map(({ id }) => id), ["2"]);
  assert.equal((await b.store.read("box", 0, 9, 0)).mail.length, 2);
});

test("log mail store: of a log that was made anew nobody gets what is in the place of a message", async () => {
  const clock = new ManualClock();
  const log = new FakeLog(clock);
  const a = newStore(log, clock);
  await put(a.store, mail("1"));
  // It has no data, and does not hear that the log is another one.
  const b = newStore(log, clock);
  await turns();
  b.link.isDeaf = true;
  log.renew();
  const c = newStore(log, clock);
  await put(c.store, mail("foreign", { name: "other" }));
  const reading = b.store.read("box", 0, 9, 0).then(({ mail: all }) => all, () => []);
  await pass(clock, 3_000);
  assert.deepEqual(await reading, []);
  assert.deepEqual((await b.store.read("box", 0, 9, 0)).mail, []);
  assert.deepEqual((await b.store.read("other", 0, 9, 0)).mail.map(({ id }) => id), ["foreign"]);
});

test("log mail store: edits that find out together that the log was made anew begin it once", async () => {
  const clock = new ManualClock();
  const log = new FakeLog(clock);
  const { store, link } = newStore(log, clock);
  let lostCount = 0;
  store.onLost(() => lostCount++);
  await store.totals();
  for (let i = 0; i < 20; i++) await put(store, mail(`${i}`));
  const before = link.appendCount;
  log.renew();
  const names = ["box", "b", "c"];
  const edits = names.map((name) => put(store, mail("x", { name })));
  const taking = store.take("box", 3);
  await pass(clock, 3_000);
  assert.deepEqual((await Promise.all(edits)).flat().map((one) => one.split(" ")[0]), [
    ...["stored", "stored", "stored"],
  ]);
  await taking;
  assert.equal(lostCount, 1);
  // Each found out with its first, and was made with another one.
  assert.ok(link.appendCount - before <= 10, `${link.appendCount - before} appends`);
});

test("mail room on a log that was made anew: its client opens its mailbox again, counts add up", async () => {
  const clock = new ManualClock();
  const log = new FakeLog(clock);
  const { store } = newStore(log, clock);
  const more = { limits: LIMITS, idWindowMs: 3_600_000, rng: seededRng(1) };
  const room = new MailRoom({ store, changes: store, clock, log: silentLogger, ...more });
  room.start();
  await turns();
  const outcomes: string[] = [];
  const keep = (id: string): void => room.put(mail(id), (outcome) => void outcomes.push(outcome));
  keep("1");
  keep("2");
  await turns();
  const got: string[] = [];
  let lostCount = 0;
  const receiver = {
    takeMail: ({ id }: Mail): boolean => got.push(id) > 0,
    mailboxLost: (): void => void lostCount++,
  };
  const first = await room.open("box", { epoch: 0, after: 0 });
  room.begin("box", receiver, first.after);
  await turns();
  log.renew();
  await pass(clock, 30_000);
  assert.deepEqual([lostCount, room.stats().mail_stores_lost], [1, 1]);
  room.taken("box", 2);
  const again = await room.open("box", { epoch: first.epoch, after: 2 });
  assert.equal(again.recovered, false);
  room.begin("box", receiver, again.after);
  keep("3");
  await pass(clock, 2_000);
  assert.deepEqual([got, outcomes], [["1", "2", "3"], ["stored", "stored", "stored"]]);
  const { mail_sent, mail_waiting, mail_refused_lost } = room.stats();
  assert.deepEqual([mail_sent, mail_waiting, mail_refused_lost], [3, 1, 2]);
  await room.close();
  store.close();
});

test("log mail store: while the log does not answer a look takes out one entry in vain, and not each of them", async () => {
  const clock = new ManualClock();
  const log = new FakeLog(clock);
  const { store, link } = newStore(log, clock);
  await store.totals();
  for (let i = 0; i < 40; i++) await put(store, mail(`${i}`, { sentAtMs: i }));
  const remove = link.remove.bind(link);
  link.remove = async (seq) => {
    await remove(seq).then(() => Promise.reject(new StoreError("no answer", true)));
  };
  const attempts = async (run: () => Promise<unknown>): Promise<number> => {
    const before = link.removeCount;
    await run();
    await turns();
    return link.removeCount - before;
  };
  assert.equal(await attempts(() => store.take("box", 40)), 1);
  assert.equal(await attempts(() => store.prune(1000, 10_000)), 1);
  // It did so each time all the same, and says of the rest that they are gone.
  link.remove = remove;
  assert.equal(await attempts(() => store.prune(1000, 10_000)), 40);
  assert.equal(log.entries.size, 1);
  assert.equal(await attempts(() => store.prune(1000, 10_000)), 0);
});

test("log mail store: an edit that others are always faster than ends in time", async () => {
  const clock = new ManualClock();
  const log = new FakeLog(clock);
  const [a, b] = [newStore(log, clock), newStore(log, clock)];
  await turns();
  const append = a.link.append.bind(a.link);
  let rounds = 0;
  a.link.append = async (name, body) => {
    if (++rounds > 100) throw new LogFullError("it never ends");
    clock.advance(EDIT_MS_MAX / 10);
    await put(b.store, mail(`b${rounds}`));
    return await append(name, body);
  };
  await assert.rejects(put(a.store, mail("a")), { name: "StoreError", transient: true });
  assert.ok(rounds <= 11, `${rounds} rounds`);
});

test("log mail store: the log holds what waits, ids for their window, and one entry a mailbox", async () => {
  const clock = new ManualClock();
  const log = new FakeLog(clock);
  const { store } = newStore(log, clock);
  for (let i = 0; i < 50; i++) await put(store, mail(`${i}`, { sentAtMs: i }));
  for (let i = 1; i <= 49; i++) await store.take("box", i);
  await turns();
  assert.equal(log.entries.size, 49 + 1);
  await store.prune(0, 30);
  assert.deepEqual(await put(store, mail("29"), mail("30")), ["stored 51", "known"]);
  await store.prune(0, 1000);
  assert.deepEqual(await store.totals(), { waiting: 2, waitingBytes: 20 });
  // Entry 50 still waits, so that what ended before it may not be forgotten with those behind.
  await store.take("box", 51);
  await put(store, mail("x"));
  await store.prune(0, 1e9);
  assert.equal(log.entries.size, 1);
  assert.deepEqual(await put(newStore(log, clock).store, mail("y")), ["stored 53"]);
});

test("log mail store: what was taken does not come again, though who took it died before it was removed", async () => {
  const clock = new ManualClock();
  const log = new FakeLog(clock);
  const [a, b] = [newStore(log, clock), newStore(log, clock)];
  const away = (): Promise<void> => Promise.reject(new StoreError("no answer", true));
  a.link.remove = away;
  await b.store.totals();
  await put(a.store, mail("1"), mail("2"));
  await a.store.take("box", 1);
  await a.store.take("box", 2);
  await put(a.store, mail("3"));
  await turns();
  a.store.close();
  const read = async (): Promise<string[]> =>
    (await newStore(log, clock).store.read("box", 0, 9, 0)).mail.map(({ id }) => id);
  // Their ids are forgotten; the entries by which they ended must not be, while they are there.
  const { remove } = b.link;
  b.link.remove = away;
  for (let i = 0; i < 3; i++) await b.store.prune(0, 1e9);
  assert.deepEqual(await read(), ["3"]);
  b.link.remove = remove;
  for (let i = 0; i < 3; i++) await b.store.prune(0, 1e9);
  assert.deepEqual(await read(), ["3"]);
  assert.equal(log.entries.size, 1);
  await put(b.store, mail("4"));
  assert.deepEqual(await read(), ["3", "4"]);
});

test("log mail store: an entry that cannot be read is passed over", async () => {
  const clock = new ManualClock();
  const log = new FakeLog(clock);
  const { store } = newStore(log, clock);
  await put(store, mail("1"));
  log.append("other", Uint8Array.of(255, 255, 255));
  const long = { sender: "s", id: "x".repeat(5_000), sentAtMs: 0, expiresAtMs: 1, data: NO_DATA };
  const entry = { name: "other", writer: "w", last: 1, taken: 0, puts: [long], ends: [], after: 0 };
  log.append("other", encodeRelayMailEntry(entry));
  const end = { seq: 1, sender: long.id, id: "1", sentAtMs: 0, expired: false };
  log.append("other", encodeRelayMailEntry({ ...entry, puts: [], ends: [end] }));
  assert.deepEqual(await put(store, mail("2")), ["stored 2"]);
  assert.equal((await store.totals()).waiting, 2);
});

/** Two relays that die and come back, on a log that answers badly, with one client that moves between them. */
class Trial {
  readonly clock = new ManualClock();
  readonly log = new FakeLog(this.clock);
  readonly relays: { room: MailRoom; link: FakeLogLink; store: LogMailStore }[] = [];
  readonly acknowledged: number[] = [];
  readonly got: number[] = [];
  /** Sent again until it is acknowledged, as clients do. */
  #sending: { number: number; relay: number; turn: number } | undefined;
  #next = 0;
  #turn = 0;
  #resume = { epoch: 0, after: 0 };

  constructor(readonly seed: number) {
    for (let i = 0; i < 2; i++) this.relays.push(this.#newRelay());
  }

  #newRelay(): Trial["relays"][number] {
    const { clock } = this;
    const { store, link } = newStore(this.log, clock);
    const room = new MailRoom({
      ...{ store, clock, rng: seededRng(this.seed), log: silentLogger, limits: LIMITS },
      ...{ idWindowMs: 3_600_000, changes: store },
    });
    room.start();
    return { room, store, link };
  }

  kill(at: number): void {
    const { link, store } = this.relays[at];
    link.isAway = true;
    store.close();
    this.relays[at] = this.#newRelay();
  }

  /** Who answers this relay has missed so many entries and gets no more, or is as far as the others again. */
  toggleBehind(at: number, missed: number): void {
    const { link } = this.relays[at];
    link.behindAt = link.behindAt === undefined ? Math.max(0, this.log.last - missed) : undefined;
  }

  send(at: number): void {
    const sending = this.#sending ?? { number: this.#next++, relay: at, turn: 0 };
    const turn = ++this.#turn;
    this.#sending = { ...sending, relay: at, turn };
    const sentAtMs = this.clock.wallMs();
    const data = new TextEncoder().encode(`${sending.number}`);
    const more = { sentAtMs, expiresAtMs: sentAtMs + 1e9, data };
    const { room } = this.relays[at];
    room.put({ name: "box", sender: "s", id: `${sending.number}`, ...more }, (outcome) => {
      if (this.#sending?.turn !== turn) return;
      if (outcome !== "stored" && outcome !== "known") return;
      this.acknowledged.push(sending.number);
      this.#sending = undefined;
    });
  }

  async come(at: number): Promise<void> {
    const { room } = this.relays[at];
    // The connection before this one has ended.
    for (const other of this.relays) other.room.end("box");
    const opening = room.open("box", this.#resume).catch(() => undefined);
    for (let i = 0; i < 40; i++) await pass(this.clock, 500);
    const found = await Promise.race([opening, turns().then(() => undefined)]);
    if (found === undefined || this.relays[at].room !== room) return;
    if (found.epoch !== this.#resume.epoch) {
      this.#resume = { epoch: found.epoch, after: found.after };
    }
    const receiver = {
      takeMail: ({ seq, data }: Mail): boolean => {
        // What it has had it passes over, as `RelayClient` does.
        if (seq <= this.#resume.after) return true;
        this.got.push(Number(new TextDecoder().decode(data)));
        this.#resume = { ...this.#resume, after: seq };
        room.taken("box", seq);
        return true;
      },
      mailboxLost: () => {},
    };
    room.begin("box", receiver, found.after);
  }

  assertBalanced(): void {
    for (const { room } of this.relays) {
      const { sent, delivered, expired, refused, waiting } = room.ledger.counts;
      assert.equal(sent, delivered + expired + refused + waiting);
    }
  }
}

test("mail rooms on one log: whatever fails, what was acknowledged comes in order and once, counts add up", () =>
  fc.assert(
    fc.asyncProperty(fc.integer({ min: 1, max: 1_000_000 }), async (seed) => {
      const rng = seededRng(seed);
      const trial = new Trial(seed);
      await turns();
      const faults: readonly LogFault[] = ["lost", "unheard", "late"];
      for (let step = 0; step < 60; step++) {
        const at = nextInt(rng, 2);
        const what = nextInt(rng, 20);
        if (what < 10) trial.send(at);
        else if (what < 13) trial.relays[at].link.faults.push(faults[nextInt(rng, 3)]);
        else if (what < 15) await trial.come(at);
        else if (what < 16) trial.kill(at);
        else if (what < 17) trial.relays[at].link.isDeaf = true;
        else if (what < 18) trial.relays[at].link.isAway = !trial.relays[at].link.isAway;
        else if (what < 19) trial.toggleBehind(at, nextInt(rng, 5));
        else await pass(trial.clock, nextInt(rng, 9000));
        await turns();
        trial.assertBalanced();
      }
      for (const { link } of trial.relays) {
        link.isAway = false;
        link.behindAt = undefined;
        link.faults.length = 0;
      }
      await pass(trial.clock, 30_000);
      await trial.come(0);
      await pass(trial.clock, 30_000);
      trial.assertBalanced();
      const { got, acknowledged } = trial;
      assert.deepEqual(got, [...new Set(got)].sort((a, b) => a - b), "in order, none twice");
      assert.deepEqual(acknowledged.filter((number) => !got.includes(number)), [], "none is lost");
      for (const { room } of trial.relays) assert.equal(room.ledger.counts.waiting, 0);
    }),
    { numRuns: 60, examples: [[328097]] },
  ));
