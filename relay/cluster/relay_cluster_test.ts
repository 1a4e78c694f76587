import assert from "node:assert/strict";
import { test } from "node:test";
import { RelayClient } from "../../api/relay_client.ts";
import type { RelayClientOptions, RelayLetter, RelayPerson } from "../../api/relay_options.ts";
import { RelayWorker } from "../../api/relay_worker.ts";
import { RelayStatus } from "../../proto/message_ids.ts";
import { until } from "../../tests/support/until.ts";
import { FakeBus, FakeHub } from "../testing/fake_bus.ts";
import { LinkedPeer } from "../testing/linked_peer.ts";
import { type TestRelay, withRelay } from "../testing/test_relay.ts";

/** A relay that is silent is believed for five seconds. */
const TIMEOUT = { timeout: 60_000 };

const KEY = { modId: 1, cmdId: 2 };
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const text = (data: Uint8Array): string => new TextDecoder().decode(data);

/** Two relays that know each other. */
interface Two {
  readonly a: TestRelay;
  readonly b: TestRelay;
  readonly buses: readonly FakeBus[];
}

async function withTwo(fn: (two: Two) => Promise<void>): Promise<void> {
  const hub = new FakeHub();
  const buses = [hub.connect(), hub.connect()];
  const at = (index: number): { clusterBus: { bus: FakeBus; relay: string } } => ({
    clusterBus: { bus: buses[index], relay: `r${index}` },
  });
  await withRelay(at(0), (a) =>
    withRelay(at(1), async (b) => {
      await until(() => a.stats().relays + b.stats().relays === 2);
      await fn({ a, b, buses });
    }));
}

async function newClient(
  relay: TestRelay,
  name: string,
  more: RelayClientOptions = {},
): Promise<{ client: RelayClient; letters: RelayLetter[] }> {
  const letters: RelayLetter[] = [];
  let isHere = false;
  const client = new RelayClient({
    ...{ relays: [relay.name], name, timeoutMs: 5000 },
    onMessage: (letter) => void letters.push(letter),
    onWelcome: () => (isHere = true),
    ...more,
  });
  await until(() => isHere);
  return { client, letters };
}

function newWorker(relay: TestRelay, answer: string): RelayWorker {
  return new RelayWorker(
    { relays: [relay.name], modules: [KEY] },
    ({ data }) => bytes(`${answer} ${text(data)}`),
  );
}

test("relays: a client writes to one at another relay, and hears when nobody has the name", () =>
  withTwo(async ({ a, b }) => {
    const ann = await newClient(a, "ann");
    const bob = await newClient(b, "bob");
    await until(() => a.stats().relays_names === 1);
    for (let i = 0; i < 20; i++) await ann.client.send("bob", bytes(`${i}`), { id: `n${i}` });
    await until(() => bob.letters.length === 20);
    assert.deepEqual(bob.letters.map(({ data }) => text(data)), [...Array(20).keys()].map(String));
    assert.deepEqual([bob.letters[0].from, bob.letters[0].id], ["ann", "n0"]);
    await assert.rejects(ann.client.send("carl", bytes("x")), { status: RelayStatus.NoClient });
    const counts = [a, b].map((one) => one.stats());
    assert.deepEqual(counts.map(({ messages_sent }) => messages_sent), [21, 0]);
    assert.equal(counts[0].messages_delivered, 20);
    for (const { client } of [ann, bob]) await client.close();
  }));

test("relays: one publish reaches members of a group at every relay, and says how many", () =>
  withTwo(async ({ a, b }) => {
    const people = [await newClient(a, "a1"), await newClient(a, "a2"), await newClient(b, "b1")];
    for (const { client } of people) await client.joinGroup("team");
    // What members there are is told a moment later.
    await until(async () => await people[0].client.publish("team", bytes("hello")) === 2);
    await until(() => people[2].letters.length > 0);
    assert.deepEqual([people[2].letters[0].group, people[2].letters[0].from], ["team", "a1"]);
    await people[2].client.close();
    await until(async () => await people[0].client.publish("team", bytes("more")) === 1);
    for (const { client } of people.slice(0, 2)) await client.close();
  }));

test("relays: clients see who is at every relay, where, and who comes and goes there", () =>
  withTwo(async ({ a, b }) => {
    const watcher = await newClient(a, "watcher");
    const changes: string[] = [];
    await watcher.client.watch("shop-", ({ name, gone, relay }: RelayPerson) => {
      changes.push(`${gone ? "-" : "+"}${name} ${relay}`);
    });
    const shops = [await newClient(b, "shop-1"), await newClient(a, "shop-2")];
    await until(() => changes.length === 2);
    assert.deepEqual(changes.toSorted(), [`+shop-1 ${b.name}`, "+shop-2 "]);
    const { people, relay } = await watcher.client.who("shop-");
    assert.deepEqual(people.map((one) => [one.name, one.relay]), [
      ["shop-2", ""],
      ["shop-1", b.name],
    ]);
    assert.equal(relay, a.name);
    for (const { client } of shops) await client.close();
    await until(() => changes.length === 4);
    await watcher.client.close();
  }));

test("relays: the newest connection has a name, wherever it is", () =>
  withTwo(async ({ a, b }) => {
    const first = await newClient(a, "ann");
    const watcher = await newClient(a, "watcher");
    const changes: string[] = [];
    await watcher.client.watch("ann", ({ gone, relay }) => {
      changes.push(`${gone ? "-" : "+"}${relay === b.name ? "b" : "a"}`);
    });
    await until(() => b.stats().relays_names === 2);
    // It does not come back, so that the two do not take it from each other for ever.
    let isReplaced = false;
    const ended = until(() => !first.client.connected).then(() => {
      isReplaced = true;
      return first.client.close();
    });
    const second = await newClient(b, "ann");
    await ended;
    assert.ok(isReplaced);
    await watcher.client.send("ann", bytes("hello"));
    await until(() => second.letters.length === 1);
    assert.deepEqual(changes.slice(0, 2), ["-a", "+b"]);
    for (const { client } of [second, watcher]) await client.close();
  }));

test("relays: a request finds a worker at another relay where there is none here, and none at once", () =>
  withTwo(async ({ a, b }) => {
    const { client } = await newClient(a, "ann");
    await assert.rejects(client.request(KEY, bytes("x")), { status: RelayStatus.NoWorker });
    const far = newWorker(b, "far");
    await until(() => a.stats().modules === 1);
    const answers = await Promise.all(
      Array.from({ length: 50 }, (_, i) => client.request(KEY, bytes(`${i}`), { key: `${i % 3}` })),
    );
    assert.deepEqual(answers.map(text), Array.from({ length: 50 }, (_, i) => `far ${i}`));
    // One that is here is asked instead; when it goes, the one elsewhere is again.
    const near = newWorker(a, "near");
    await until(async () => text(await client.request(KEY, bytes("1"))) === "near 1");
    await near.close();
    await until(async () => {
      const answer = await client.request(KEY, bytes("2")).catch(() => bytes(""));
      return text(answer) === "far 2";
    });
    await far.close();
    await until(() => a.stats().modules === 0);
    await assert.rejects(client.request(KEY, bytes("x")), { status: RelayStatus.NoWorker });
    for (const { stats } of [a, b]) {
      const { requests_sent, requests_delivered, requests_waiting, requests_expired } = stats();
      const refused = Object.entries(stats()).filter(([key]) => key.startsWith("requests_refused_"))
        .reduce((sum, [, count]) => sum + count, 0);
      assert.equal(
        requests_sent,
        requests_delivered + requests_expired + requests_waiting + refused,
      );
      assert.equal(requests_waiting, 0);
    }
    await client.close();
  }));

test("relays: a request of a client of the original waits again when the other relay's worker went", () =>
  withTwo(async ({ a, b, buses }) => {
    // The worker serves the module of the original, and is slow to be missed.
    const serving = (relay: TestRelay, answer: string): RelayWorker =>
      new RelayWorker({ relays: [relay.name] }, () => bytes(answer));
    const far = serving(b, "far");
    await until(() => a.stats().modules === 1);
    const peer = await LinkedPeer.connect(a.address);
    peer.send({ msgid: 1 });
    await until(() => peer.texts.includes("far"));
    assert.equal(b.stats().clients, 0);
    // What is said of the end of the worker is not heard, so the request goes there all the same.
    buses[1].losesAll = true;
    await far.close();
    await until(() => b.stats().modules === 0);
    await until(() => b.stats().workers === 0);
    buses[1].losesAll = false;
    peer.send({ msgid: 2 });
    await until(() => a.stats().requests_waiting === 1);
    const near = serving(a, "near");
    await until(() => peer.texts.includes("near"));
    await near.close();
    peer.close();
  }));

test(
  "relays: while they cannot reach each other what is at one goes on, the rest is refused; then all is told again",
  TIMEOUT,
  () =>
    withTwo(async ({ a, b, buses }) => {
      const ann = await newClient(a, "ann");
      const [carl, bob] = [await newClient(a, "carl"), await newClient(b, "bob")];
      const far = newWorker(b, "far");
      await until(() => a.stats().relays_names === 1 && a.stats().modules === 1);
      buses[0].connected = false;
      await ann.client.send("carl", bytes("here"));
      await assert.rejects(ann.client.send("bob", bytes("there")), {
        status: RelayStatus.NoClient,
      });
      await assert.rejects(ann.client.request(KEY, bytes("x")), { status: RelayStatus.NoWorker });
      // After a while the others are not believed to be there.
      await until(() => a.stats().relays + a.stats().modules + a.stats().relays_names === 0);
      const dora = await newClient(b, "dora");
      await bob.client.close();
      buses[0].connected = true;
      await until(() => a.stats().relays_names === 1 && a.stats().modules === 1);
      await ann.client.send("dora", bytes("again"));
      await until(() => dora.letters.length === 1 && carl.letters.length === 1);
      assert.equal(text(await ann.client.request(KEY, bytes("1"))), "far 1");
      await far.close();
      for (const { client } of [ann, carl, dora]) await client.close();
    }),
);

test(
  "relays: one that stops says goodbye, and one that vanishes is given up with what it had",
  TIMEOUT,
  () =>
    withTwo(async ({ a, b, buses }) => {
      const ann = await newClient(a, "ann");
      const bob = await newClient(b, "bob");
      await until(() => a.stats().relays_names === 1);
      buses[1].losesAll = true;
      // Nobody says what became of it.
      await assert.rejects(ann.client.send("bob", bytes("x")), { name: "TimeoutError" });
      await until(() => a.stats().relays === 0);
      await assert.rejects(ann.client.send("bob", bytes("x")), { status: RelayStatus.NoClient });
      const { messages_sent, messages_expired, messages_refused_no_client } = a.stats();
      assert.deepEqual([messages_sent, messages_expired, messages_refused_no_client], [2, 1, 1]);
      buses[1].losesAll = false;
      await until(() => a.stats().relays_names === 1);
      await bob.client.close();
      await b.loop.close();
      await until(() => a.stats().relays === 0);
      await ann.client.close();
    }),
);
