import assert from "node:assert/strict";
import { test } from "node:test";
import { RelayClient } from "../api/relay_client.ts";
import { RelayWorker } from "../api/relay_worker.ts";
import { decodeRelayTold, encodeRelayAsk } from "../proto/codec.ts";
import { MessageId } from "../proto/message_ids.ts";
import { FRAME_BODY_BYTES_MAX } from "../reactor/frame.ts";
import { ManualClock } from "../reactor/time/manual_clock.ts";
import { RawPeer } from "../reactor/testing/raw_peer.ts";
import { until } from "../tests/support/until.ts";
import { ADMIN_ROWS_MAX, toldBody } from "./admin_door.ts";
import { EVENTS_PER_SECOND_MAX, RELAY_LISTENERS_MAX, RelayEvents } from "./relay_events.ts";
import { LinkedPeer } from "./testing/linked_peer.ts";
import { type TestRelay, withRelay } from "./testing/test_relay.ts";

type Telling = Record<string, unknown>;

/** Somebody who asks. */
class Asker {
  private constructor(readonly peer: RawPeer) {}

  static async connect(relay: TestRelay): Promise<Asker> {
    const peer = await RawPeer.connect(relay.address);
    await peer.send(MessageId.Hello);
    return new Asker(peer);
  }

  get told(): Telling[] {
    return this.peer.frames.filter(({ msgId }) => msgId === MessageId.RelayTold)
      .map(({ body }) => JSON.parse(decodeRelayTold(body).answer) as Telling);
  }

  async say(question: string): Promise<void> {
    await this.peer.send(MessageId.RelayAsk, encodeRelayAsk({ number: 1, question }));
  }

  async ask(question: Telling): Promise<Telling> {
    const before = this.told.length;
    await this.say(JSON.stringify(question));
    await until(() => this.told.length > before);
    return this.told[before];
  }
}

test("relay: those who run it see clients, workers and modules, and put a client out", () =>
  withRelay({}, async (relay) => {
    const worker = new RelayWorker({ relays: [relay.name] }, () => new Promise(() => {}));
    const ann = new RelayClient({ relays: [relay.name], name: "ann" });
    const original = await LinkedPeer.connect(relay.address);
    await until(() => relay.stats().names === 1 && relay.stats().clients === 2);
    await until(() => relay.stats().workers === 1);
    original.send({ text: "waits" });
    await until(() => relay.stats().requests_at_workers === 1);
    const asker = await Asker.connect(relay);
    const clients = (await asker.ask({ ask: "clients" })).rows as Telling[];
    const shown = clients.map(({ name, kind, requests }) => [name, kind, requests]);
    assert.deepEqual(shown.sort(), [["", "original", 1], ["ann", "session", 0]]);
    const workers = (await asker.ask({ ask: "workers" })).rows as Telling[];
    assert.deepEqual([workers[0].modules, workers[0].running], ["0,0", 1]);
    const modules = (await asker.ask({ ask: "modules" })).rows as Telling[];
    assert.deepEqual(modules, [
      { modid: 0, cmdid: 0, workers: 1, waiting: 0, waiting_bytes: 0, oldest_ms: 0 },
    ]);
    assert.match(String((await asker.ask({ ask: "mail" })).error), /keeps no messages/);
    assert.match(
      String((await asker.ask({ ask: "kick", name: "bob" })).error),
      /No client called "bob" is here/,
    );
    const looker = await Asker.connect(relay);
    assert.deepEqual(await looker.ask({ ask: "tail" }), { event: "tail" });
    const { sid } = clients.find(({ kind }) => kind === "original") ?? {};
    assert.deepEqual(await asker.ask({ ask: "kick", sid }), { kicked: sid });
    await until(() => original.ended.length === 2);
    await until(() =>
      looker.told.some(({ event, sid: who }) => event === "client_went" && who === sid)
    );
    for (const { peer } of [asker, looker]) peer.destroy();
    await ann.close();
    await worker.close(0);
  }));

test("relay: another relay, whose requests are answered here, is not put out", () =>
  withRelay({}, async (relay) => {
    const cuts: string[] = [];
    const { sid } = relay.loop.broker.addClient({
      ...{ label: "relay r1", kind: "relay", wantsLate: false, waitsForWorkers: false },
      takeReply: () => undefined,
      cut: (reason) => void cuts.push(reason),
    });
    const asker = await Asker.connect(relay);
    assert.match(
      String((await asker.ask({ ask: "kick", sid })).error),
      /^Client \d+ stands for clients of relay r1: put them out there$/,
    );
    assert.deepEqual(cuts, []);
    asker.peer.destroy();
  }));

test("relay: questions that are none end the connection or are told what would be right", () =>
  withRelay({}, async (relay) => {
    const asker = await Asker.connect(relay);
    for (const question of [{}, { ask: 7 }, { ask: "drop tables" }]) {
      assert.match(String((await asker.ask(question)).error), /must be stats, clients/);
    }
    for (const text of ["", "no json", "7", "null"]) {
      const bad = await Asker.connect(relay);
      await bad.say(text);
      await until(() => bad.peer.ended || bad.peer.closed);
      bad.peer.destroy();
    }
    // Whatever a runtime makes of it: no handler may fail.
    const deep = await Asker.connect(relay);
    await deep.say(`{"ask":"kick","sid":${"[".repeat(30_000)}${"]".repeat(30_000)}}`);
    await until(() => deep.peer.ended || deep.peer.closed || deep.told.length > 0);
    assert.equal(relay.stats().handler_errors, 0);
    deep.peer.destroy();
    asker.peer.destroy();
  }));

test("relay: an answer has as many rows as fit a frame", () => {
  const answerOf = (bytes: number): { rows?: unknown[]; count?: number; error?: string } => {
    const rows = Array.from({ length: ADMIN_ROWS_MAX }, () => ({ name: '"'.repeat(bytes) }));
    const body = toldBody(7, { rows, count: 9_000 });
    assert.ok(body.length <= FRAME_BODY_BYTES_MAX, `${body.length} bytes`);
    return JSON.parse(decodeRelayTold(body).answer);
  };
  assert.equal(answerOf(64).rows?.length, ADMIN_ROWS_MAX);
  const { rows = [], count } = answerOf(200);
  assert.ok(rows.length > 100 && rows.length < ADMIN_ROWS_MAX, `${rows.length} rows`);
  assert.equal(count, 9_000, "who asks sees that there are more");
  assert.deepEqual(answerOf(40_000), { rows: [], count: 9_000 });
});

test("relay events: listeners are bounded, and told so many a second and how many were held back", () => {
  const clock = new ManualClock();
  const events = new RelayEvents(clock);
  const heard: unknown[] = [];
  const end = events.listen((event) => heard.push(event.heldBack));
  for (let i = 1; i < RELAY_LISTENERS_MAX; i++) events.listen(() => {});
  assert.equal(events.listen(() => {}), undefined);
  for (let i = 0; i < EVENTS_PER_SECOND_MAX + 7; i++) events.tell("worker_came", {});
  assert.equal(heard.length, EVENTS_PER_SECOND_MAX);
  clock.advance(1000);
  events.tell("worker_went", {});
  assert.equal(heard.at(-1), 7);
  end?.();
  events.tell("worker_went", {});
  assert.equal(heard.length, EVENTS_PER_SECOND_MAX + 1);
});
