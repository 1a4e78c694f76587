import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type ModuleId, moduleId, moduleOf } from "../model/module.ts";
import {
  NODELESS_BYTES,
  Publisher,
  type PublisherPort,
  RemoteSource,
  SUBSCRIPTION_BYTES,
  type SubscriptionLimits,
  WAITING_PER_PEER_MAX,
} from "./publisher.ts";

interface Frames {
  readonly revision: number;
}

type Ask = ConstructorParameters<typeof RemoteSource<Frames>>[0];

/** A publisher of what the test delivers. */
class Plan extends Publisher<string, Frames> {
  readonly #remote: RemoteSource<Frames>;

  constructor(port: PublisherPort<string, Frames> & Ask, limits: SubscriptionLimits = {}) {
    const remote = new RemoteSource<Frames>(port);
    super(remote, port, limits);
    this.#remote = remote;
  }

  deliver(modId: number, cmdId: number, frames: Frames): void {
    if (this.#remote.take(modId, cmdId, frames)) this.publish(modId, cmdId);
  }
}

function frames(revision: number): Frames {
  return { revision };
}

function textOf(id: ModuleId): string {
  const { modId, cmdId } = moduleOf(id);
  return `${modId},${cmdId}`;
}

/** A port that remembers everything. */
function recorder(): {
  busy: Set<string>;
  sent: string[];
  wanted: string[];
  dropped: string[];
  port: PublisherPort<string, Frames> & Ask;
} {
  const busy = new Set<string>();
  const sent: string[] = [];
  const wanted: string[] = [];
  const dropped: string[] = [];
  const port = {
    send: (peer: string, { revision }: Frames) => void sent.push(`${peer} ${revision}`),
    isBusy: (peer: string) => busy.has(peer),
    want: (modId: number, cmdId: number) => void wanted.push(`${modId},${cmdId}`),
    drop: (keys: readonly ModuleId[]) => void dropped.push(...keys.map(textOf)),
  };
  return { busy, sent, wanted, dropped, port };
}

test("Publisher asks for a module once, answers everyone, then pushes changes", () => {
  const { sent, wanted, port } = recorder();
  const plan = new Plan(port);
  plan.request("a", 1, 1);
  plan.request("b", 1, 1);
  plan.request("b", 1, 1);
  assert.deepEqual([wanted, sent], [["1,1"], []]);
  plan.deliver(1, 1, frames(1));
  plan.request("c", 1, 1);
  plan.deliver(1, 1, frames(2));
  assert.deepEqual(sent, ["a 1", "b 1", "c 1", "a 2", "b 2", "c 2"]);
  assert.deepEqual([plan.counts.answered, plan.counts.pushed], [3, 3]);
});

test("Publisher drops a module with its last subscriber and ignores late frames", () => {
  const { sent, wanted, dropped, port } = recorder();
  const plan = new Plan(port);
  plan.request("a", 1, 1);
  plan.request("b", 1, 1);
  plan.deliver(1, 1, frames(1));
  plan.closed("a");
  assert.deepEqual(dropped, []);
  plan.closed("b");
  assert.deepEqual(dropped, ["1,1"]);
  sent.length = 0;
  plan.deliver(1, 1, frames(2));
  assert.deepEqual(sent, []);
  plan.request("c", 1, 1);
  assert.deepEqual(wanted, ["1,1", "1,1"]);
});

test("Publisher sends a slow reader only the latest, when it has read", () => {
  const { busy, sent, port } = recorder();
  const plan = new Plan(port);
  for (const peer of ["slow", "fast"]) {
    plan.request(peer, 1, 1);
    plan.request(peer, 2, 2);
  }
  plan.deliver(1, 1, frames(1));
  plan.deliver(2, 2, frames(1));
  sent.length = 0;
  busy.add("slow");
  for (let revision = 2; revision <= 100; revision++) plan.deliver(1, 1, frames(revision));
  assert.equal(sent.length, 99);
  assert.ok(sent.every((line) => line.startsWith("fast")));
  busy.clear();
  sent.length = 0;
  plan.drained("slow");
  plan.drained("slow");
  assert.deepEqual(sent, ["slow 100"]);
});

test("Publisher answers beyond the subscription limit without subscribing", () => {
  const { sent, dropped, port } = recorder();
  const plan = new Plan(port, { perPeerMax: 2 });
  for (let cmdId = 1; cmdId <= 3; cmdId++) {
    plan.request("a", 1, cmdId);
    plan.deliver(1, cmdId, frames(cmdId));
  }
  assert.deepEqual(sent, ["a 1", "a 2", "a 3"]);
  assert.deepEqual(dropped, ["1,3"]);
  assert.deepEqual([plan.counts.subscriptions, plan.counts.subscriptionsRefused], [2, 1]);
  plan.deliver(1, 3, frames(9));
  assert.equal(sent.length, 3);
});

test("Publisher bounds the requests that wait for the first load", () => {
  const { sent, port } = recorder();
  const plan = new Plan(port, { perPeerMax: 5 });
  for (let cmdId = 0; cmdId < 3000; cmdId++) plan.request("a", 1, cmdId);
  assert.equal(plan.counts.requestsDropped, 3000 - 5 - WAITING_PER_PEER_MAX);
  for (let cmdId = 0; cmdId < 3000; cmdId++) plan.deliver(1, cmdId, frames(1));
  assert.equal(sent.length, 5 + WAITING_PER_PEER_MAX);
  plan.closed("a");
  assert.equal(plan.counts.subscriptions, 0);
});

test("Publisher brings every reader to the latest route whatever happens on the way", () => {
  const step = fc.record({
    op: fc.constantFrom("request", "change", "busy", "drain", "close"),
    peer: fc.constantFrom("a", "b", "c"),
    modId: fc.integer({ min: 1, max: 3 }),
  });
  fc.assert(fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
    const busy = new Set<string>();
    const subscribed = new Set<string>();
    const latest = new Map<number, number>();
    const seen = new Map<string, number>();
    const wanted = new Set<number>();
    const plan: Plan = new Plan({
      send(peer: string, { revision }: Frames): void {
        assert.ok(!busy.has(peer));
        const key = `${peer}/${Math.floor(revision / 1000)}`;
        assert.ok(revision >= (seen.get(key) ?? 0), "never an old route after a new one");
        seen.set(key, revision);
      },
      isBusy: (peer) => busy.has(peer),
      want: (modId, cmdId) => {
        wanted.add(modId);
        plan.deliver(modId, cmdId, frames(modId * 1000 + (latest.get(modId) ?? 0)));
      },
      drop: (keys) => keys.forEach((key) => wanted.delete(moduleOf(key).modId)),
    });
    for (const { op, peer, modId } of steps) {
      if (op === "request") {
        plan.request(peer, modId, 0);
        subscribed.add(`${peer}/${modId}`);
      } else if (op === "change") {
        latest.set(modId, (latest.get(modId) ?? 0) + 1);
        const revision = modId * 1000 + (latest.get(modId) ?? 0);
        if (wanted.has(modId)) plan.deliver(modId, 0, frames(revision));
      } else if (op === "busy") busy.add(peer);
      else if (op === "drain") {
        busy.delete(peer);
        plan.drained(peer);
      } else {
        plan.closed(peer);
        busy.delete(peer);
        for (const set of [subscribed, seen]) {
          for (const key of [...set.keys()]) if (key.startsWith(peer)) set.delete(key);
        }
      }
    }
    for (const peer of [...busy]) {
      busy.delete(peer);
      plan.drained(peer);
    }
    for (const pair of subscribed) {
      const modId = Number(pair.split("/")[1]);
      assert.equal(seen.get(pair), modId * 1000 + (latest.get(modId) ?? 0));
    }
    assert.equal(plan.counts.subscriptions, subscribed.size);
    for (const peer of ["a", "b", "c"]) plan.closed(peer);
    assert.deepEqual([plan.counts.subscriptions, wanted.size], [0, 0]);
  }));
});

test("Publisher keeps subscriptions equal to a set of pairs under any history", () => {
  const step = fc.record({
    op: fc.constantFrom("subscribe", "unsubscribe", "remove"),
    peer: fc.integer({ min: 0, max: 3 }),
    key: fc.constantFrom("1,1", "1,2", "2,1", "9,9"),
  });
  fc.assert(fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
    const dropped: string[] = [];
    const source = {
      frames: () => undefined,
      drop: (keys: readonly ModuleId[]) => void dropped.push(...keys.map(textOf)),
    };
    const model = new Set<string>();
    const given: string[] = [];
    const port = {
      send: () => assert.fail("nothing is known"),
      ended: (peer: number, modId: number, cmdId: number) => {
        const pair = `${peer}/${modId},${cmdId}`;
        if (model.delete(pair)) given.push(pair);
      },
    };
    const publisher = new Publisher<number, Frames>(source, port, { perPeerMax: 3, totalMax: 7 });
    const ofPeer = (peer: number) => [...model].filter((pair) => pair.startsWith(`${peer}/`));
    const ofKey = (key: string) => [...model].filter((pair) => pair.endsWith(`/${key}`));
    for (const { op, peer, key } of steps) {
      const pair = `${peer}/${key}`;
      const [modId, cmdId] = key.split(",").map(Number);
      dropped.length = 0;
      given.length = 0;
      if (op === "subscribe") {
        const own = ofPeer(peer).length;
        const isFull = model.size >= 7;
        const most = Math.max(...[0, 1, 2, 3].map((one) => ofPeer(one).length));
        const expected = model.has(pair)
          ? "known"
          : own >= 3 || (isFull && most <= own + 1)
          ? "refused"
          : "added";
        assert.equal(publisher.subscribe(peer, modId, cmdId), expected);
        assert.equal(given.length, Number(expected === "added" && isFull));
        assert.ok(given.every((one) => ofPeer(Number(one[0])).length === most - 1), "who has most");
        if (expected === "added") model.add(pair);
      } else if (op === "unsubscribe") {
        const removed = model.delete(pair);
        publisher.unsubscribe(peer, [moduleId(modId, cmdId)]);
        assert.deepEqual(dropped, removed && ofKey(key).length === 0 ? [key] : []);
      } else {
        const own = ofPeer(peer);
        for (const one of own) model.delete(one);
        const lost = own.map((one) => one.split("/")[1]).filter((one) => ofKey(one).length === 0);
        publisher.closed(peer);
        assert.deepEqual(dropped.sort(), lost.sort());
      }
      const { subscriptions, subscribedModules, subscribers } = publisher.counts;
      assert.equal(subscriptions, model.size);
      assert.equal(subscribedModules, new Set([...model].map((one) => one.split("/")[1])).size);
      assert.equal(subscribers, new Set([...model].map((one) => one.split("/")[0])).size);
      for (const one of ["1,1", "9,9"]) {
        const [mod, cmd] = one.split(",").map(Number);
        assert.equal(publisher.subscribers(mod, cmd).size, ofKey(one).length);
      }
    }
  }));
});

test("Publisher sends what has not changed to those only who wait for the first route", () => {
  const routes = new Map<number, Frames>();
  const sent: string[] = [];
  const publisher = new Publisher<string, Frames>(
    { frames: (modId) => routes.get(modId) },
    { send: (peer, { revision }) => void sent.push(`${peer} ${revision}`) },
    { modulesMax: 1 },
  );
  assert.equal(publisher.subscribe("a", 1, 1), "added");
  assert.equal(publisher.subscribe("b", 2, 1), "refused");
  assert.equal(publisher.behindCount(1, 1), 0);
  routes.set(1, frames(1));
  publisher.publish(1, 1, false);
  publisher.publish(1, 1, false);
  assert.deepEqual(sent, ["a 1"]);
  publisher.publish(1, 1);
  assert.deepEqual(sent, ["a 1", "a 1"]);
});

/** A publisher over routes of which those of odd modules have no nodes. */
function halfNodeless(limits: SubscriptionLimits): {
  publisher: Publisher<string, number>;
  ended: string[];
  nodes: Map<number, number>;
} {
  const ended: string[] = [];
  const nodes = new Map<number, number>();
  const publisher = new Publisher<string, number>(
    { frames: (modId) => nodes.get(modId) ?? (modId + 1) % 2 },
    {
      send: () => {},
      isNodeless: (count) => count === 0,
      ended: (peer, modId) => void ended.push(`${peer} ${modId}`),
    },
    limits,
  );
  return { publisher, ended, nodes };
}

test("Publisher keeps few subscriptions to modules without nodes, the latest, and tells of others", () => {
  const { publisher, ended, nodes } = halfNodeless({ nodelessPerPeerMax: 3 });
  for (let modId = 0; modId < 10; modId++) publisher.request("a", modId, 1);
  assert.deepEqual(ended, ["a 1", "a 3"]);
  const sizes = (): number[] => {
    const { subscriptions, nodelessSubscriptions, subscribedModules } = publisher.counts;
    return [subscriptions, nodelessSubscriptions, subscribedModules];
  };
  assert.deepEqual(sizes(), [8, 3, 8]);
  // 5 gets nodes and makes room, 0 loses its own and needs it.
  nodes.set(5, 1);
  publisher.publish(5, 1);
  assert.deepEqual(sizes(), [8, 2, 8]);
  nodes.set(0, 0);
  publisher.publish(0, 1);
  publisher.publish(0, 1);
  assert.deepEqual([sizes(), ended.length], [[8, 3, 8], 2]);
  nodes.set(2, 0);
  publisher.publish(2, 1);
  assert.deepEqual([sizes(), ended.slice(2)], [[7, 3, 7], ["a 7"]]);
  publisher.unsubscribe("a", [moduleId(9, 1), moduleId(4, 1)]);
  assert.deepEqual(sizes(), [5, 2, 5]);
  publisher.closed("a");
  assert.deepEqual(sizes(), [0, 0, 0]);
});

test("one peer that makes up modules takes no place that others need", () => {
  const { publisher, ended } = halfNodeless({
    nodelessMax: 100,
    nodelessPerPeerMax: 80,
    modulesMax: 1000,
  });
  for (const peer of ["good", "bad", "worse"]) {
    const count = peer === "good" ? 10 : 500;
    for (let i = 0; i < count; i++) publisher.request(peer, 1 + 2 * (i + count * peer.length), 1);
  }
  assert.ok(publisher.counts.nodelessSubscriptions <= 100);
  assert.ok(ended.every((line) => !line.startsWith("good")), "it has the fewest");
  // Modules with nodes: the places of all are taken by one, who gives them up for the other.
  for (let i = 0; i < 2000; i++) publisher.request("bad", 2 * i, 1);
  assert.equal(publisher.counts.subscribedModules, 1000);
  for (let i = 0; i < 300; i++) publisher.request("good", 10_000 + 2 * i, 1);
  assert.deepEqual(
    Array.from({ length: 300 }, (_, i) => publisher.subscribers(10_000 + 2 * i, 1).size),
    new Array(300).fill(1),
  );
  assert.ok(publisher.counts.subscribedModules <= 1000);
});

test("what a peer's subscriptions cost in bytes has a limit: those without nodes end first, and it is told", () => {
  const ended: string[] = [];
  const found: string[] = [];
  const { sent, port } = recorder();
  const isNodeless = ({ revision }: Frames): boolean => revision < 0;
  const bytes = 2 * (SUBSCRIPTION_BYTES + NODELESS_BYTES) + SUBSCRIPTION_BYTES;
  const plan = new Plan({
    ...port,
    isNodeless,
    ended: (peer, modId, cmdId) => void ended.push(`${peer} ${modId},${cmdId}`),
    mayFollowNodeless: (peer) => found.push(peer) > 0,
  }, { bytesPerPeerMax: bytes });
  const ask = (peer: string, modId: number, cmdId: number, revision: number): void => {
    plan.request(peer, modId, cmdId);
    plan.deliver(modId, cmdId, frames(revision));
  };
  for (let cmdId = 1; cmdId <= 3; cmdId++) ask("a", 9, cmdId, -1);
  assert.deepEqual([ended, found], [["a 9,1"], ["a", "a", "a"]], "the oldest of three");
  plan.request("a", 9, 3);
  assert.equal(found.length, 3, "not told of repeats");
  for (let cmdId = 1; cmdId <= 30; cmdId++) ask("a", 1, cmdId, cmdId);
  assert.deepEqual(ended.slice(1, 3), ["a 9,2", "a 9,3"], "these make room for such with nodes");
  assert.equal(plan.counts.subscriptions, bytes / SUBSCRIPTION_BYTES);
  assert.equal(plan.counts.subscriptionBytes, bytes);
  assert.ok(ended.includes("a 1,30"), "and who is beyond is told");
  sent.length = 0;
  plan.deliver(1, 30, frames(31));
  assert.deepEqual(sent, [], "it is not pushed to");
  plan.request("a", 1, 30);
  plan.deliver(1, 30, frames(32));
  assert.deepEqual(sent, ["a 32"], "but answered whenever it asks");
  ask("b", 1, 1, 33);
  assert.deepEqual(sent.slice(-2), ["a 33", "b 33"], "nobody else has less for it");
});

test("a peer that may not follow one more module without nodes is answered, and told", () => {
  const ended: string[] = [];
  const { sent, dropped, port } = recorder();
  let left = 2;
  const plan = new Plan({
    ...port,
    isNodeless: ({ revision }) => revision < 0,
    ended: (peer, modId, cmdId) => void ended.push(`${peer} ${modId},${cmdId}`),
    mayFollowNodeless: () => left-- > 0,
  });
  for (let cmdId = 1; cmdId <= 4; cmdId++) {
    plan.request("a", 1, cmdId);
    plan.deliver(1, cmdId, frames(-cmdId));
  }
  assert.deepEqual(sent, ["a -1", "a -2", "a -3", "a -4"]);
  assert.deepEqual([ended, dropped], [["a 1,3", "a 1,4"], ["1,3", "1,4"]]);
  assert.deepEqual([plan.counts.subscriptions, plan.counts.nodelessSubscriptions], [2, 2]);
  plan.request("a", 2, 1);
  plan.deliver(2, 1, frames(1));
  plan.deliver(2, 1, frames(-2));
  assert.equal(plan.counts.subscriptions, 3, "one that loses its nodes is followed");
});

test("a peer that goes while it is sent an answer leaves nothing behind", () => {
  const { port } = recorder();
  const plan: Plan = new Plan({
    ...port,
    isNodeless: () => true,
    send: (peer) => plan.closed(peer),
  });
  plan.request("a", 1, 1);
  plan.deliver(1, 1, frames(1));
  const { subscriptions, nodelessSubscriptions, subscriptionBytes } = plan.counts;
  assert.deepEqual([subscriptions, nodelessSubscriptions, subscriptionBytes], [0, 0, 0]);
});

test("modules without nodes that a peer has not asked for again end, a few at once", () => {
  const ended: string[] = [];
  const { port } = recorder();
  let nowMs = 0;
  const plan = new Plan({
    ...port,
    isNodeless: ({ revision }) => revision < 0,
    ended: (peer, modId, cmdId) => void ended.push(`${peer} ${modId},${cmdId}`),
    nowMs: () => nowMs,
  });
  for (nowMs = 1; nowMs <= 5; nowMs++) {
    for (const peer of ["a", "b"]) plan.request(peer, 1, nowMs);
    plan.deliver(1, nowMs, frames(-1));
  }
  plan.request("a", 2, 1);
  plan.deliver(2, 1, frames(1));
  plan.request("a", 1, 2);
  plan.endNodeless(5, 3);
  assert.deepEqual(ended, ["a 1,1", "a 1,3", "a 1,4"], "2 was asked for again, of b later");
  plan.endNodeless(5, 3);
  plan.endNodeless(5, 3);
  assert.deepEqual(ended.slice(3), ["b 1,1", "b 1,2", "b 1,3", "b 1,4"]);
  assert.deepEqual([plan.counts.subscriptions, plan.counts.nodelessSubscriptions], [4, 3]);
  nowMs = 100;
  plan.deliver(2, 1, frames(-2));
  plan.endNodeless(50, 100);
  assert.deepEqual(plan.modules(), [{ modId: 2, cmdId: 1 }], "one has only now lost its nodes");
});
