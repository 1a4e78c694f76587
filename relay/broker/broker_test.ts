import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { parseModulePolicy, RECOMMENDED_TEXT } from "../../balancer/mod.ts";
import { RelayStatus } from "../../proto/message_ids.ts";
import { ManualClock } from "../../reactor/time/manual_clock.ts";
import { seededRng } from "../../reactor/time/rng.ts";
import { Broker } from "./broker.ts";
import type { BrokerClient, BrokerWorker } from "./broker_parts.ts";
import type { ClientPort, ReplyOrder, TaskOrder, WorkerPort } from "./broker_ports.ts";
import { type BrokerLimits, defaultBrokerLimits, WHEN_FULL } from "./broker_limits.ts";
import { WorkerChoice } from "./worker_choice.ts";
import type { LedgerCounts, MessageRefusal } from "./ledger.ts";

const KEY = { modId: 1, cmdId: 2 };

class TestClient implements ClientPort {
  readonly label = "client";
  readonly kind = "session";
  readonly replies: ReplyOrder[] = [];
  readonly client: BrokerClient;
  takes = true;
  cutReason: string | undefined;
  #number = 0;

  constructor(
    readonly broker: Broker,
    readonly waitsForWorkers = false,
    readonly wantsLate = false,
  ) {
    this.client = broker.addClient(this);
  }

  ask(more: { text?: string; ttlMs?: number; cmdId?: number; key?: Uint8Array } = {}): number {
    const { text = "", ttlMs = 0, cmdId = KEY.cmdId, key } = more;
    const data = new TextEncoder().encode(text);
    const number = ++this.#number;
    this.broker.request(this.client, { ...KEY, cmdId, cpid: 7, number, ttlMs, data, key });
    data.fill(0); // what it was lent is not kept
    return number;
  }

  takeReply(reply: ReplyOrder): MessageRefusal | undefined {
    if (!this.takes) return "slow";
    this.replies.push({ ...reply, data: reply.data.slice() });
    return undefined;
  }

  cut(reason: string): void {
    this.cutReason ??= reason;
    this.broker.removeClient(this.client);
  }

  get statuses(): number[] {
    return this.replies.map(({ status }) => status);
  }
}

let workerCount = 0;

class TestWorker implements WorkerPort {
  readonly label = `worker ${++workerCount}`;
  readonly tasks: TaskOrder[] = [];
  readonly worker: BrokerWorker;
  takes = true;
  isFull = false;
  gone = false;

  constructor(readonly broker: Broker, credit = 0, cmdIds: readonly number[] = [KEY.cmdId]) {
    this.worker = broker.addWorker(this);
    broker.serve(this.worker, cmdIds.map((cmdId) => ({ ...KEY, cmdId })));
    broker.grant(this.worker, credit);
  }

  takeTask(task: TaskOrder): boolean {
    if (this.takes) this.tasks.push({ ...task, data: task.data.slice() });
    return this.takes;
  }

  answer(index: number, text = "yes", status: RelayStatus = RelayStatus.Ok): void {
    const task = this.tasks[index]?.task ?? 4_000_000_000;
    this.broker.reply(this.worker, task, status, new TextEncoder().encode(text));
  }

  cut(): void {
    this.gone = true;
    this.broker.removeWorker(this.worker);
  }
}

interface SetUp {
  readonly clock: ManualClock;
  readonly broker: Broker;
}

/** @param policy JSON of a module policy by which workers are picked. @default in turn */
function setUp(limits: Partial<BrokerLimits> = {}, policy?: string): SetUp {
  const clock = new ManualClock();
  const choice = policy === undefined ? undefined : new WorkerChoice<BrokerWorker>({
    clock,
    rng: seededRng(7),
    policy: parseModulePolicy(policy),
  });
  const more = choice === undefined ? {} : { choice };
  const all = { ...defaultBrokerLimits, ...limits };
  return { clock, broker: new Broker({ clock, limits: all, ...more }) };
}

const text = (data: Uint8Array): string => new TextDecoder().decode(data);

function assertBalanced({ sent, delivered, expired, refused, waiting }: LedgerCounts): void {
  assert.equal(sent, delivered + expired + refused + waiting);
  assert.ok(Math.min(sent, delivered, expired, refused, waiting) >= 0);
}

test("broker: a request goes to a worker, and its answer back to whoever asked", () => {
  const { broker } = setUp();
  const [one, other] = [new TestClient(broker), new TestClient(broker)];
  const worker = new TestWorker(broker, 2);
  one.ask({ text: "a" });
  other.ask({ text: "b" });
  assert.deepEqual(worker.tasks.map(({ sid, cpid, data }) => [sid, cpid, text(data)]), [
    [one.client.sid, 7, "a"],
    [other.client.sid, 7, "b"],
  ]);
  worker.answer(1, "B");
  worker.answer(0, "A");
  assert.deepEqual(one.replies.map(({ number, data }) => [number, text(data)]), [[1, "A"]]);
  assert.deepEqual(other.replies.map(({ number, data }) => [number, text(data)]), [[1, "B"]]);
});

test("broker: no worker is told at once; a client of the original waits for one instead", () => {
  const { broker, clock } = setUp();
  const [ours, original] = [new TestClient(broker), new TestClient(broker, true)];
  ours.ask();
  original.ask({ text: "later" });
  assert.deepEqual(ours.statuses, [RelayStatus.NoWorker]);
  assert.deepEqual(original.statuses, []);
  clock.advance(19_000);
  const worker = new TestWorker(broker, 1);
  assert.deepEqual(worker.tasks.map(({ data, ttlMs }) => [text(data), ttlMs]), [["later", 1000]]);
  assert.equal(broker.requests.refusals.no_worker, 1);
});

test("broker: requests wait for credit, in order, and are told when the last worker goes", () => {
  const { broker } = setUp();
  const client = new TestClient(broker);
  const worker = new TestWorker(broker, 1);
  for (const word of ["a", "b", "c"]) client.ask({ text: word });
  assert.deepEqual(worker.tasks.map(({ data }) => text(data)), ["a"]);
  broker.grant(worker.worker, 1);
  assert.deepEqual(worker.tasks.map(({ data }) => text(data)), ["a", "b"]);
  worker.cut();
  assert.deepEqual(client.replies.map(({ number, status }) => [number, status]), [
    [3, RelayStatus.NoWorker],
    [1, RelayStatus.WorkerLost],
    [2, RelayStatus.WorkerLost],
  ]);
  assert.equal(broker.stats().modules, 0);
});

test("broker: one that waits for a worker and one that has none both end in time", () => {
  const { broker, clock } = setUp({ timeoutMs: 1000 });
  const client = new TestClient(broker, false, true);
  const worker = new TestWorker(broker, 1);
  client.ask();
  client.ask({ ttlMs: 500 });
  clock.advance(500);
  assert.deepEqual(client.replies.map(({ number }) => number), [2]);
  clock.advance(500);
  assert.deepEqual(client.statuses, [RelayStatus.TimedOut, RelayStatus.TimedOut]);
  const { requests } = broker;
  assert.deepEqual([requests.counts.delivered, requests.counts.expired], [1, 1]);
  worker.answer(0, "late");
  assert.deepEqual(
    client.replies.slice(2).map(({ number, late, data }) => [number, late, text(data)]),
    [
      [1, true, "late"],
    ],
  );
  worker.answer(0, "again");
  assert.equal(broker.replies.refusals.unknown, 1);
});

test("broker: a request that a worker gives back ends with its reason, once, and is counted", () => {
  const { broker } = setUp();
  const client = new TestClient(broker);
  const worker = new TestWorker(broker, 9);
  const reasons = [RelayStatus.WorkerLost, RelayStatus.Full];
  reasons.forEach(() => client.ask());
  for (const [index, status] of [...reasons.entries(), ...reasons.entries()]) {
    broker.giveBack(worker.worker, worker.tasks[index].task, status);
  }
  assert.deepEqual(client.statuses, reasons);
  const { requests_lost_with_worker, requests_at_workers } = broker.stats();
  assert.deepEqual([requests_lost_with_worker, requests_at_workers], [1, 0]);
});

test("broker: a late answer is dropped and counted when nobody asked for such", () => {
  const { broker, clock } = setUp();
  const client = new TestClient(broker);
  const worker = new TestWorker(broker, 1);
  client.ask();
  clock.advance(20_000);
  worker.answer(0);
  assert.deepEqual(client.statuses, [RelayStatus.TimedOut]);
  assert.equal(broker.replies.refusals.late, 1);
});

test("broker: a full queue refuses the newest, drops the oldest, or cuts the client", () => {
  for (const whenFull of WHEN_FULL) {
    const { broker } = setUp({ moduleRequestsMax: 2, whenFull });
    const client = new TestClient(broker);
    const worker = new TestWorker(broker);
    for (const word of ["a", "b", "c"]) client.ask({ text: word });
    broker.grant(worker.worker, 5);
    const got = worker.tasks.map(({ data }) => text(data));
    const full = client.replies.filter(({ status }) => status === RelayStatus.Full)
      .map(({ number }) => number);
    const expected = {
      refuse: [["a", "b"], [3], undefined],
      drop_oldest: [["b", "c"], [1], undefined],
      cut: [[], [3], "too many requests"],
    }[whenFull];
    assert.deepEqual([got, full, client.cutReason], expected, whenFull);
    assertBalanced(broker.requests.counts);
  }
});

test("broker: bytes are bounded for a client, a module, and all", () => {
  for (const name of ["clientBytesMax", "moduleBytesMax", "totalBytesMax"] as const) {
    const { broker } = setUp({ [name]: 10 });
    const client = new TestClient(broker);
    new TestWorker(broker);
    client.ask({ text: "123456" });
    client.ask({ text: "123456" });
    client.ask({ text: "1234" });
    assert.deepEqual(client.replies.map(({ number }) => number), [2], name);
    assert.equal(broker.stats().waiting_bytes, 10);
  }
});

test("broker: a worker that does not read is cut, and another one takes its place", () => {
  const { broker } = setUp();
  const client = new TestClient(broker);
  const slow = new TestWorker(broker, 5);
  slow.takes = false;
  const good = new TestWorker(broker, 5);
  client.ask({ text: "x" });
  assert.deepEqual(good.tasks.map(({ data }) => text(data)), ["x"]);
  assert.equal(slow.gone, true);
});

test("broker: a worker for which much waits is spared; requests wait until it has answered some", () => {
  for (const policy of [undefined, "{}"]) {
    const { broker } = setUp({}, policy);
    const client = new TestClient(broker);
    const full = new TestWorker(broker, 100);
    const good = new TestWorker(broker, 100);
    client.ask({ text: "first" });
    client.ask({ text: "second" });
    assert.deepEqual([full.tasks.length, good.tasks.length], [1, 1]);
    full.isFull = true;
    for (let index = 0; index < 10; index++) client.ask({ text: "more" });
    assert.deepEqual([full.tasks.length, good.tasks.length], [1, 11]);
    good.isFull = true;
    client.ask({ text: "waits" });
    client.ask({ text: "waits", key: Uint8Array.of(1) });
    assert.equal(broker.requests.counts.waiting, 2);
    full.isFull = false;
    full.answer(0);
    broker.grant(full.worker, 1);
    assert.deepEqual(full.tasks.map(({ data }) => text(data)).slice(1), ["waits", "waits"]);
    assert.deepEqual([full.gone, good.gone, broker.requests.counts.waiting], [false, false, 0]);
  }
});

test("broker: a client that does not read is cut, and its answers are counted", () => {
  const { broker } = setUp();
  const client = new TestClient(broker);
  const worker = new TestWorker(broker, 5);
  client.ask();
  client.ask();
  client.takes = false;
  worker.answer(0);
  worker.answer(1);
  assert.match(client.cutReason ?? "", /slow/);
  assert.deepEqual([broker.replies.refusals.slow, broker.replies.refusals.no_client], [1, 1]);
});

test("broker: requests of one key go to one worker, and only few keys move when workers come and go", () => {
  const { broker } = setUp({ clientRequestsMax: 100_000 });
  const client = new TestClient(broker);
  const workers = Array.from({ length: 5 }, () => new TestWorker(broker, 100_000));
  /** Which worker gets each of a thousand keys. */
  const owners = (): number[] =>
    Array.from({ length: 1000 }, (_, index) => {
      const key = new TextEncoder().encode(`key ${index}`);
      const before = workers.map(({ tasks }) => tasks.length);
      client.ask({ key });
      client.ask({ key });
      const got = workers.map(({ tasks }, at) => tasks.length - before[at]);
      assert.ok(got.includes(2), `both to one worker: ${got}`);
      return got.indexOf(2);
    });
  const first = owners();
  for (let at = 0; at < 5; at++) {
    const share = first.filter((owner) => owner === at).length;
    assert.ok(share > 120 && share < 280, `${share} of 1000 keys are worker ${at}'s`);
  }
  workers[2].cut();
  const second = owners();
  first.forEach((owner, index) => owner === 2 || assert.equal(second[index], owner));
  assert.ok(!second.includes(2));
  // Keys that are no text are keys as well.
  client.ask({ key: Uint8Array.of(255, 254, 0) });
  assertBalanced(broker.requests.counts);
});

test("broker: with a policy, a worker that fails gets few requests, and gets them again when it is well", () => {
  for (const policy of [RECOMMENDED_TEXT, '{"policy":"p2c_ewma","recovery":"staged"}']) {
    const { broker, clock } = setUp({}, policy);
    const client = new TestClient(broker);
    const workers = Array.from({ length: 4 }, () => new TestWorker(broker, 10_000));
    /** Share of the sick worker in some seconds of 100 requests each. */
    const shareOf = (seconds: number, isSick: boolean): number => {
      const before = workers.map(({ tasks }) => tasks.length);
      for (let i = 0; i < seconds * 100; i++) {
        const counts = workers.map(({ tasks }) => tasks.length);
        client.ask();
        const at = workers.findIndex(({ tasks }, index) => tasks.length > counts[index]);
        clock.advance(10);
        const status = isSick && at === 1 ? RelayStatus.Failed : RelayStatus.Ok;
        workers[at].answer(workers[at].tasks.length - 1, "", status);
        broker.grant(workers[at].worker, 1);
      }
      return (workers[1].tasks.length - before[1]) / (seconds * 100);
    };
    assert.ok(shareOf(5, false) > 0.15, policy);
    shareOf(5, true);
    assert.ok(shareOf(10, true) < 0.1, policy);
    shareOf(120, false);
    assert.ok(shareOf(10, false) > 0.15, policy);
    assertBalanced(broker.requests.counts);
    assert.equal(broker.requests.counts.waiting, 0);
    broker.close();
  }
});

test("broker: a key whose worker has no credit goes to another one", () => {
  const { broker } = setUp();
  const client = new TestClient(broker);
  const workers = [new TestWorker(broker, 1), new TestWorker(broker, 1)];
  const key = new TextEncoder().encode("k");
  for (let i = 0; i < 3; i++) client.ask({ key });
  assert.deepEqual(workers.map(({ tasks }) => tasks.length), [1, 1]);
  assert.equal(broker.requests.counts.waiting, 1);
});

test("broker: modules that peers name are forgotten when they mean nothing any more", () => {
  const { broker, clock } = setUp({ moduleRequestsMax: 1 });
  const client = new TestClient(broker, true);
  for (let cmdId = 0; cmdId < 50; cmdId++) client.ask({ cmdId });
  assert.equal(broker.stats().modules, 50);
  const worker = new TestWorker(broker, 0, [60, 61, 62]);
  clock.advance(20_000);
  assert.equal(broker.stats().modules, 3);
  broker.serve(worker.worker, [{ modId: 9, cmdId: 9 }]);
  assert.equal(broker.stats().modules, 1);
});

/** One step of a random history: a number for what is done, and two for to whom. */
const steps = fc.array(fc.tuple(fc.nat(13), fc.nat(5), fc.nat(1000)), { maxLength: 120 });

test("broker: whatever happens, counts add up, and every request has one end", () => {
  const policies = fc.constantFrom(undefined, RECOMMENDED_TEXT, '{"policy":"p2c_ewma"}');
  fc.assert(
    fc.property(steps, fc.constantFrom(...WHEN_FULL), policies, (history, whenFull, policy) => {
      const limits = { moduleRequestsMax: 4, clientRequestsMax: 6, clientBytesMax: 60, whenFull };
      const { broker, clock } = setUp({ ...limits, creditMax: 5, totalBytesMax: 150 }, policy);
      const clients: TestClient[] = [];
      const workers: TestWorker[] = [];
      const asked = new Map<TestClient, number[]>();
      for (const [what, who, number] of history) {
        const client = clients[who % Math.max(1, clients.length)] as TestClient | undefined;
        const worker = workers[who % Math.max(1, workers.length)] as TestWorker | undefined;
        if (what === 0) clients.push(new TestClient(broker, who % 2 === 0, number % 2 === 0));
        else if (what === 1) {
          workers.push(new TestWorker(broker, number % 4, [who % 3, number % 3]));
        } else if (what === 2 && worker !== undefined) broker.grant(worker.worker, number % 9);
        else if (what === 3 && number % 4 === 0 && worker !== undefined) worker.cut();
        else if (what === 4 && number % 4 === 0 && client !== undefined) client.cut("left");
        else if (what === 5 && number % 9 === 0 && worker !== undefined) worker.takes = false;
        else if (what === 6 && number % 9 === 0 && client !== undefined) client.takes = false;
        else if (what === 7) clock.advance(number * 10);
        else if (what <= 9 && worker !== undefined) {
          worker.answer(number % (worker.tasks.length + 1));
        } else if (client !== undefined && client.cutReason === undefined) {
          const ttlMs = number % 7 * 1000;
          const own = client.ask({ text: "x".repeat(number % 30), ttlMs, cmdId: number % 3 });
          asked.set(client, [...asked.get(client) ?? [], own]);
        }
        assertBalanced(broker.requests.counts);
        assertBalanced(broker.replies.counts);
        assert.ok(broker.stats().waiting_bytes <= 150);
      }
      clock.advance(60_000);
      assert.equal(broker.requests.counts.waiting + broker.replies.counts.waiting, 0);
      assert.equal(broker.stats().waiting_bytes + broker.stats().requests_at_workers, 0);
      broker.close();
      assert.equal(clock.pendingCount, 0, "nothing is due any more");
      for (const [client, numbers] of asked) {
        const ends = client.replies.filter(({ late }) => !late).map((reply) => reply.number);
        assert.equal(new Set(ends).size, ends.length, "no request ends twice");
        if (client.cutReason !== undefined || !client.takes) continue;
        assert.deepEqual(ends.sort((a, b) => a - b), numbers, "and each ends");
      }
      const tasks = workers.flatMap(({ tasks }) => tasks.map(({ task }) => task));
      assert.equal(new Set(tasks).size, tasks.length, "no request is given to two workers");
    }),
    { numRuns: 400 },
  );
});

test("a request that another relay had no worker for waits again, if its client cannot be told", () => {
  const { broker } = setUp();
  const far = new TestWorker(broker, 2);
  const [original, told] = [new TestClient(broker, true), new TestClient(broker)];
  original.ask({ text: "again" });
  told.ask();
  const data = new TextEncoder().encode("again");
  far.tasks.forEach(({ task }) =>
    broker.giveBack(far.worker, task, RelayStatus.NoWorker, data.slice())
  );
  assert.deepEqual([original.statuses, told.statuses], [[], [RelayStatus.NoWorker]]);
  const near = new TestWorker(broker, 1);
  assert.deepEqual(near.tasks.map((task) => text(task.data)), ["again"]);
  near.answer(0);
  assert.deepEqual(original.statuses, [RelayStatus.Ok]);
  const { sent, delivered, waiting } = broker.requests.counts;
  assert.deepEqual([sent, delivered, waiting], [3, 3, 0]);
});

test("a request that another relay gives back goes to a worker that came meanwhile", () => {
  const { broker } = setUp();
  const far = new TestWorker(broker, 1);
  const original = new TestClient(broker, true);
  original.ask({ text: "again" });
  const near = new TestWorker(broker, 1);
  const data = new TextEncoder().encode("again");
  broker.giveBack(far.worker, far.tasks[0].task, RelayStatus.NoWorker, data);
  assert.deepEqual(near.tasks.map((task) => text(task.data)), ["again"]);
  assertBalanced(broker.requests.counts);
});

test("a request that a worker may have seen does not wait again", () => {
  const { broker } = setUp();
  const far = new TestWorker(broker, 1);
  const original = new TestClient(broker, true);
  original.ask();
  broker.giveBack(far.worker, far.tasks[0].task, RelayStatus.WorkerLost, new Uint8Array(1));
  assert.equal(broker.requests.counts.waiting, 0);
  assert.deepEqual(original.statuses, [RelayStatus.WorkerLost]);
});

test("another relay does not count as a client", () => {
  const { broker } = setUp();
  const relay = broker.addClient({
    ...{ label: "relay r1", kind: "relay", wantsLate: false, waitsForWorkers: false },
    takeReply: () => undefined,
    cut: () => {},
  });
  const { client } = new TestClient(broker);
  assert.equal(broker.stats().clients, 1);
  broker.removeClient(client);
  assert.equal(broker.stats().clients, 0);
  broker.removeClient(relay);
  broker.removeClient(relay);
  assert.equal(broker.stats().clients, 0);
});
