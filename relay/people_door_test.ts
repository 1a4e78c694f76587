import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { RelayClient } from "../api/relay_client.ts";
import type { RelayLetter, RelayPerson, RelayWelcome } from "../api/relay_options.ts";
import { decodeRelaySent, encodeRelayJoin, encodeRelaySend } from "../proto/codec.ts";
import { MessageId, RelayStatus } from "../proto/message_ids.ts";
import { silentLogger } from "../reactor/log.ts";
import { systemClock } from "../reactor/time/system_clock.ts";
import { systemRng } from "../reactor/time/system_rng.ts";
import { RawPeer } from "../reactor/testing/raw_peer.ts";
import { openStore } from "../sql/open_store.ts";
import { makeTempDir } from "../tests/support/temp_dir.ts";
import { until } from "../tests/support/until.ts";
import { LogMailStore } from "./cluster/log_mail_store.ts";
import { MailRoom } from "./people/mail_room.ts";
import { FakeLog } from "./testing/fake_log.ts";
import { type TestRelay, withRelay } from "./testing/test_relay.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

const NEW_CLIENT = { late: false, mail: false, epoch: 0, after: 0 };

/** A client with a name that keeps what it gets. */
class TestPerson {
  readonly letters: RelayLetter[] = [];
  readonly welcomes: RelayWelcome[] = [];
  readonly client: RelayClient;
  /** The handler fails while this is true. */
  fails = false;

  constructor(
    relay: TestRelay,
    name: string,
    more: ConstructorParameters<typeof RelayClient>[0] = {},
  ) {
    this.client = new RelayClient({
      ...{ relays: [relay.name], name },
      onMessage: (letter) => {
        if (this.fails) throw new Error("not now");
        this.letters.push(letter);
      },
      onWelcome: (welcome) => void this.welcomes.push(welcome),
      ...more,
    });
  }

  get texts(): string[] {
    return this.letters.map(({ data }) => new TextDecoder().decode(data));
  }

  /** Waits until the relay has welcomed it. */
  async here(): Promise<this> {
    await until(() => this.welcomes.length > 0);
    return this;
  }
}

const LIMITS = {
  ...{ messagesMax: 1000, bytesMax: 10_000_000 },
  ...{ totalMessagesMax: 5000, totalBytesMax: 100_000_000 },
};

async function withMail(fn: (relay: TestRelay) => Promise<void>): Promise<void> {
  const directory = makeTempDir("lars-relay-");
  const store = await openStore(`sqlite:${join(directory.path, "mail.db")}`);
  await store.migrate();
  const mailRoom = new MailRoom({
    ...{ store: store.mail, clock: systemClock, rng: systemRng, log: silentLogger },
    ...{ limits: LIMITS, idWindowMs: 3_600_000 },
  });
  mailRoom.start();
  try {
    await withRelay({ mailRoom }, fn);
  } finally {
    await store.close();
    directory.remove();
  }
}

test("relay: a client writes to another, and hears when it is not here", () =>
  withRelay({}, async (relay) => {
    const [ann, bob] = [
      await new TestPerson(relay, "ann").here(),
      await new TestPerson(relay, "bob").here(),
    ];
    await ann.client.send("bob", bytes("hello"), { id: "n1" });
    await until(() => bob.letters.length === 1);
    const [{ from, group, seq, id }] = bob.letters;
    assert.deepEqual([from, group, seq, id, bob.texts], ["ann", "", 0, "n1", ["hello"]]);
    await assert.rejects(ann.client.send("carl", bytes("x")), {
      name: "RelayError",
      status: RelayStatus.NoClient,
      unseen: true,
    });
    await assert.rejects(ann.client.send("bob", bytes("x"), { stored: true }), {
      status: RelayStatus.NoStore,
    });
    await assert.rejects(ann.client.send("two words", bytes("x")), RangeError);
    for (const person of [ann, bob]) await person.client.close();
  }));

test("relay: a message whose id leaves no room for it is refused, and its sender stays", () =>
  withRelay({}, async (relay) => {
    const bob = await new TestPerson(relay, "b".repeat(64)).here();
    await bob.client.joinGroup("team");
    const sender = await RawPeer.connect(relay.address);
    await sender.send(MessageId.Hello);
    const name = "s".repeat(64);
    await sender.send(MessageId.RelayJoin, encodeRelayJoin({ ...NEW_CLIENT, name }));
    const statusOf = async (id: string, data: number, group: boolean): Promise<number> => {
      const before = sender.frames.length;
      const to = group ? "team" : "b".repeat(64);
      const message = { number: 1, to, group, stored: false, ttlS: 0, id };
      const body = encodeRelaySend({ ...message, data: new Uint8Array(data) });
      await sender.send(MessageId.RelaySend, body);
      const isAnswer = ({ msgId }: { msgId: number }): boolean => msgId === MessageId.RelaySent;
      await until(() => sender.frames.slice(before).some(isAnswer) || sender.ended);
      const answer = sender.frames.slice(before).find(isAnswer);
      assert.ok(answer !== undefined, "the connection ended");
      return decodeRelaySent(answer.body).status;
    };
    for (const group of [false, true]) {
      assert.equal(await statusOf("i".repeat(65_000), 300, group), RelayStatus.TooLarge);
      assert.equal(await statusOf("i".repeat(64), 65_000, group), RelayStatus.Ok);
      assert.equal(await statusOf("ä".repeat(64), 65_000, group), RelayStatus.Ok);
    }
    await until(() => bob.letters.length === 4, { what: "those that fit" });
    await bob.client.close();
  }));

test("relay: one publish goes to all members of a group but the sender", () =>
  withRelay({}, async (relay) => {
    const people: TestPerson[] = [];
    for (const name of ["a", "b", "c", "d"]) people.push(await new TestPerson(relay, name).here());
    for (const person of people.slice(0, 3)) await person.client.joinGroup("team");
    assert.equal(await people[0].client.publish("team", bytes("x".repeat(5000))), 2);
    await until(() => people[1].letters.length + people[2].letters.length === 2);
    assert.deepEqual([people[1].letters[0].group, people[1].letters[0].from], ["team", "a"]);
    await people[1].client.leaveGroup("team");
    assert.equal(await people[3].client.publish("team", bytes("y")), 2);
    assert.equal(await people[3].client.publish("nobody", bytes("y")), 0);
    await until(() => people[2].letters.length === 2);
    assert.deepEqual(people.map(({ letters }) => letters.length), [1, 1, 2, 0]);
    for (const person of people) await person.client.close();
    await until(() => relay.stats().groups + relay.stats().names === 0);
  }));

test("relay: clients see who is here, since when, where, and who comes and goes", () =>
  withRelay({}, async (relay) => {
    const watcher = await new TestPerson(relay, "watcher").here();
    const changes: string[] = [];
    const now = await watcher.client.watch("shop-", ({ name, gone }: RelayPerson) => {
      changes.push(`${gone ? "-" : "+"}${name}`);
    });
    assert.deepEqual([now.people, now.relay], [[], relay.name]);
    const shop = await new TestPerson(relay, "shop-1").here();
    await new TestPerson(relay, "other").here().then(({ client }) => client.close());
    await until(() => changes.length === 1);
    const { people } = await watcher.client.who("shop-");
    assert.deepEqual(people.map(({ name, gone }) => [name, gone]), [["shop-1", false]]);
    assert.ok(people[0].since > 1_700_000_000 && people[0].sid > 0);
    await shop.client.close();
    await until(() => changes.length === 2);
    assert.deepEqual(changes, ["+shop-1", "-shop-1"]);
    await watcher.client.close();
  }));

test("relay: the newest connection has a name", () =>
  withRelay({}, async (relay) => {
    const peer = await RawPeer.connect(relay.address);
    await peer.send(MessageId.Hello);
    await peer.send(MessageId.RelayJoin, Uint8Array.of(10, 3, 97, 110, 110)); // name "ann"
    await until(() => relay.stats().names === 1);
    const ann = await new TestPerson(relay, "ann").here();
    await until(() => peer.ended || peer.closed);
    assert.equal(relay.stats().names, 1);
    peer.destroy();
    await ann.client.close();
  }));

test("relay: messages for a client that is away wait on disk, and come once and in order", () =>
  withMail(async (relay) => {
    const ann = await new TestPerson(relay, "ann").here();
    const order = Array.from({ length: 250 }, (_, index) => `${index}`);
    await Promise.all(
      order.map((text) => ann.client.send("bob", bytes(text), { stored: true, id: text })),
    );
    await ann.client.send("bob", bytes("7"), { stored: true, id: "7" });
    assert.equal(relay.stats().mail_waiting, 250);
    const first = await new TestPerson(relay, "bob", { mail: true }).here();
    await until(() => first.letters.length === 250);
    assert.deepEqual(first.texts, order);
    await until(() => relay.stats().mail_delivered === 250);
    const { resume } = first.client;
    await first.client.close();
    await ann.client.send("bob", bytes("more"), { stored: true });
    const second = await new TestPerson(relay, "bob", { mail: true, resume }).here();
    await until(() => second.letters.length === 1);
    assert.deepEqual([second.texts, second.welcomes[0].recovered], [["more"], true]);
    assert.equal(relay.stats().mail_refused_repeated, 1);
    for (const { client } of [ann, second]) await client.close();
  }));

test("relay: whoever is here is told that what kept its mailbox was made anew", async () => {
  const log = new FakeLog(systemClock);
  const store = new LogMailStore({
    ...{ log: log.connect(), clock: systemClock, logger: silentLogger, rng: systemRng, relay: "r" },
  });
  void store.start();
  const mailRoom = new MailRoom({
    ...{ store, changes: store, limits: LIMITS, idWindowMs: 3_600_000 },
    ...{ clock: systemClock, rng: systemRng, log: silentLogger },
  });
  mailRoom.start();
  try {
    await withRelay({ mailRoom }, async (relay) => {
      const bob = await new TestPerson(relay, "bob", { mail: true }).here();
      for (const life of [2, 3]) {
        log.renew();
        log.pump();
        await until(() => bob.welcomes.length === life);
      }
      assert.deepEqual(bob.welcomes.map(({ recovered }) => recovered), [true, false, false]);
      await bob.client.send("bob", bytes("more"), { stored: true });
      await until(() => bob.letters.length === 1);
      await bob.client.close();
    });
  } finally {
    await mailRoom.close();
    store.close();
  }
});

test("relay: a message whose handler failed comes again, before those behind it", () =>
  withMail(async (relay) => {
    const bob = await new TestPerson(relay, "bob", { mail: true }).here();
    const ann = await new TestPerson(relay, "ann").here();
    bob.fails = true;
    for (const text of ["a", "b", "c"]) await ann.client.send("bob", bytes(text), { stored: true });
    await until(() => bob.welcomes.length > 1, { what: "another connection" });
    assert.deepEqual(bob.texts, []);
    bob.fails = false;
    await until(() => bob.letters.length === 3);
    assert.deepEqual(bob.texts, ["a", "b", "c"]);
    await until(() => relay.stats().mail_waiting === 0);
    for (const { client } of [ann, bob]) await client.close();
  }));
