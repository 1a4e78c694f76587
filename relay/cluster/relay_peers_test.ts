import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { ModuleKey } from "../../model/module.ts";
import type { RelayPresent } from "../../proto/codec.ts";
import { RelayStatus } from "../../proto/message_ids.ts";
import { silentLogger } from "../../reactor/log.ts";
import { ManualClock } from "../../reactor/time/manual_clock.ts";
import { nextInt, seededRng } from "../../reactor/time/rng.ts";
import { RelayEvents } from "../relay_events.ts";
import { type FakeBus, FakeHub } from "../testing/fake_bus.ts";
import { ALL_RELAYS, relaySubject } from "./relay_bus.ts";
import {
  PASS_ANSWER_MS,
  type PassEnd,
  PASSES_MAX,
  PEER_SILENT_MS,
  PRESENCE_MS,
  RelayPeers,
} from "./relay_peers.ts";

const DATA = new Uint8Array(0);

/** One relay without any network: what it has is changed by hand. */
class TestRelayPeer {
  readonly clients = new Map<string, RelayPresent>();
  readonly groups = new Map<string, number>();
  readonly modules = new Map<number, ModuleKey>();
  readonly peers: RelayPeers;
  /** What becomes of a message that comes here. */
  answer: number = RelayStatus.Ok;

  constructor(readonly relay: string, readonly bus: FakeBus, clock: ManualClock) {
    this.peers = new RelayPeers({
      ...{ clock, log: silentLogger, bus, relay, events: new RelayEvents(clock) },
      address: () => `host-${relay}:2000`,
      own: {
        clients: () => this.clients.values(),
        groups: () => [...this.groups].map(([group, members]) => ({ group, members })),
        modules: () => this.modules.values(),
      },
      taker: {
        message: () => ({ status: this.answer, receivers: 3, data: DATA }),
        request: ({ data }, end) => end({ status: RelayStatus.Ok, receivers: 0, data }),
      },
      onChange: {
        clientCame: () => true,
        clientWent: () => undefined,
        modulesChanged: () => undefined,
        relayWent: () => undefined,
      },
    });
  }

  come(name: string, sid: number): void {
    const client = { name, sid, sinceMs: sid, claim: sid, gone: false };
    this.clients.set(name, client);
    this.peers.clientChanged(client);
  }

  go(name: string): void {
    const client = this.clients.get(name);
    if (client === undefined) return;
    this.clients.delete(name);
    this.peers.clientChanged({ ...client, gone: true });
  }

  setGroup(group: string, members: number): void {
    if (members === 0) this.groups.delete(group);
    else this.groups.set(group, members);
    this.peers.groupChanged(group, members);
  }

  serve(modId: number, isServed: boolean): void {
    const key = { modId, cmdId: 1 };
    if (isServed) this.modules.set(modId, key);
    else this.modules.delete(modId);
    this.peers.moduleChanged(key, isServed);
  }

  /** What it knows of another one. */
  seen(relay: string): unknown {
    const peer = this.peers.table.peers.get(relay);
    return peer === undefined ? undefined : {
      clients: [...peer.clients.values()].map(({ name, sid }) => `${name} ${sid}`).sort(),
      groups: [...peer.groups].map(([group, members]) => `${group} ${members}`).sort(),
      modules: [...peer.modules.values()].map(({ modId }) => modId).sort((a, b) => a - b),
    };
  }

  get own(): unknown {
    return {
      clients: [...this.clients.values()].map(({ name, sid }) => `${name} ${sid}`).sort(),
      groups: [...this.groups].map(([group, members]) => `${group} ${members}`).sort(),
      modules: [...this.modules.keys()].sort((a, b) => a - b),
    };
  }
}

async function pass(clock: ManualClock, ms: number): Promise<void> {
  for (let left = ms; left > 0; left -= 100) {
    clock.advance(Math.min(100, left));
    await new Promise((resolve) => setImmediate(resolve));
  }
}

function newRelays(count: number): { clock: ManualClock; relays: TestRelayPeer[] } {
  const clock = new ManualClock();
  const hub = new FakeHub();
  const relays = Array.from(
    { length: count },
    (_, i) => new TestRelayPeer(`r${i}`, hub.connect(), clock),
  );
  return { clock, relays };
}

test("relay peers: each knows what the others have, also a list of many messages", async () => {
  const { clock, relays: [a, b] } = newRelays(2);
  for (let i = 0; i < 1000; i++) a.come(`n${i}`, i + 1);
  a.setGroup("team", 2);
  a.serve(7, true);
  await pass(clock, 500);
  assert.deepEqual(b.seen("r0"), a.own);
  a.go("n7");
  a.setGroup("team", 0);
  a.serve(7, false);
  await pass(clock, 500);
  assert.deepEqual(b.seen("r0"), a.own);
  assert.equal(b.peers.table.clients.has("n7"), false);
});

test("relay peers: a client that comes again and goes at once leaves nothing behind", async () => {
  const { clock, relays: [a, b] } = newRelays(2);
  a.come("ann", 1);
  await pass(clock, 500);
  a.come("ann", 2);
  a.go("ann");
  await pass(clock, 500);
  assert.deepEqual(b.seen("r0"), a.own);
  a.come("ann", 3);
  a.go("ann");
  a.come("ann", 4);
  await pass(clock, 500);
  assert.deepEqual(b.seen("r0"), a.own);
});

test("relay peers: one that says nothing for a while is gone, and known again when it speaks", async () => {
  const { clock, relays: [a, b] } = newRelays(2);
  a.come("ann", 1);
  await pass(clock, 1000);
  a.bus.losesAll = true;
  await pass(clock, PEER_SILENT_MS - PRESENCE_MS);
  assert.equal(b.peers.table.peers.size, 1);
  await pass(clock, 2 * PRESENCE_MS);
  assert.deepEqual([b.peers.table.peers.size, b.peers.table.clients.size], [0, 0]);
  a.bus.losesAll = false;
  await pass(clock, 2 * PRESENCE_MS);
  assert.deepEqual(b.seen("r0"), a.own);
});

test("relay peers: what is passed on has one end, whatever becomes of it", async () => {
  const { clock, relays: [a, b] } = newRelays(2);
  await pass(clock, 1000);
  const message = {
    ...{ from: "x", to: "y", group: false, id: "", sentAtMs: 0, modId: 0 },
    cmdId: 0,
  };
  const ends: PassEnd[] = [];
  const send = (to = "y"): void => {
    const peer = a.peers.table.peers.get("r1");
    assert.ok(peer !== undefined);
    a.peers.pass(peer, { ...message, to, ttlMs: 0, data: DATA }, PASS_ANSWER_MS, (end) => {
      ends.push(end);
    });
  };
  send();
  await pass(clock, 100);
  assert.deepEqual([ends[0].status, ends[0].receivers], [RelayStatus.Ok, 3]);
  b.answer = RelayStatus.NoClient;
  send();
  await pass(clock, 100);
  assert.equal(ends[1].status, RelayStatus.NoClient);
  b.bus.losesAll = true;
  send();
  await pass(clock, PASS_ANSWER_MS);
  assert.equal(ends[2].status, RelayStatus.TimedOut);
  a.bus.connected = false;
  send();
  send("");
  assert.deepEqual(ends.slice(3).map(({ status }) => status), [
    RelayStatus.NoClient,
    RelayStatus.NoWorker,
  ]);
  a.bus.connected = true;
  for (let i = 0; i <= PASSES_MAX; i++) send();
  assert.deepEqual(ends.slice(5).map(({ status }) => status), [RelayStatus.Full]);
  a.peers.close();
  assert.equal(ends.length, 5 + PASSES_MAX + 1);
});

test("relay peers: what cannot be read is counted and harms nothing", async () => {
  const { clock, relays: [a, b] } = newRelays(2);
  await pass(clock, 500);
  for (const subject of [ALL_RELAYS, relaySubject("r1", "pass"), relaySubject("r1", "passed")]) {
    a.bus.publish(subject, Uint8Array.of(255, 255, 255, 255));
  }
  await pass(clock, 100);
  assert.equal(b.peers.stats().relays_broken_messages, 3);
  a.come("ann", 1);
  await pass(clock, 500);
  assert.deepEqual(b.seen("r0"), a.own);
});

test("relay peers: whatever is lost, all agree soon after nothing is lost any more", () =>
  fc.assert(
    fc.asyncProperty(fc.integer({ min: 1, max: 1_000_000 }), async (seed) => {
      const rng = seededRng(seed);
      const { clock, relays } = newRelays(3);
      let sid = 0;
      for (let step = 0; step < 80; step++) {
        const one = relays[nextInt(rng, 3)];
        // Each has names of its own here: whose a name is, is another test.
        const name = `${one.relay}-${nextInt(rng, 5)}`;
        const what = nextInt(rng, 9);
        if (what < 2) one.come(name, ++sid);
        else if (what < 3) one.go(name);
        else if (what < 4) one.setGroup(`g${nextInt(rng, 3)}`, nextInt(rng, 3));
        else if (what < 5) one.serve(nextInt(rng, 3), nextInt(rng, 2) === 0);
        else if (what < 6) one.bus.losesAll = !one.bus.losesAll;
        else if (what < 7) one.bus.connected = !one.bus.connected;
        else await pass(clock, nextInt(rng, 3000));
      }
      for (const { bus } of relays) {
        bus.losesAll = false;
        bus.connected = true;
      }
      await pass(clock, 4 * PRESENCE_MS);
      for (const one of relays) {
        for (const other of relays) {
          if (one !== other) assert.deepEqual(one.seen(other.relay), other.own);
        }
      }
      for (const { peers } of relays) peers.close();
    }),
    { numRuns: 40 },
  ));
