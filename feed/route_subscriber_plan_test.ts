// What a subscriber makes of routes that are older than those it has, or the same.

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  decodeGetRouteRequest,
  encodeGetRouteResponse,
  encodeRouteUnchanged,
  encodeTableSubscribe,
  type GetRouteResponse,
  type Pong,
} from "../proto/codec.ts";
import { MessageId } from "../proto/message_ids.ts";
import { ManualClock } from "../reactor/time/manual_clock.ts";
import type { Link, LinkEvents } from "../session/link.ts";
import { ASK_AGAIN_MS, type RouteStamp, RouteSubscriber } from "./route_subscriber.ts";

class FakeLink implements Link {
  readonly ready = true;
  extended = true;
  readonly address = { hostname: "fake", port: 1 };
  readonly local = undefined;
  readonly fault = undefined;
  readonly secretFault = undefined;
  readonly connectCount = 1;
  readonly pendingBytes = 0;
  /** Digests of the questions, as text. */
  readonly asked: string[] = [];
  /** The modules they are for. */
  readonly modules: number[] = [];
  /** Too much waits to be sent. */
  full = false;
  readonly #handlers = new Map<number, (body: Uint8Array) => void>();
  readonly router = {
    add: (msgId: number, handler: (body: Uint8Array) => void): void =>
      void this.#handlers.set(msgId, handler),
  };

  constructor(readonly events: LinkEvents & { onPong(pong: Pong): void }) {}

  arrive(msgId: number, body: Uint8Array): void {
    this.#handlers.get(msgId)?.(body);
  }

  send(msgId: number, body: Uint8Array): boolean {
    if (this.full) return false;
    if (msgId === MessageId.GetRouteRequest) {
      const { modId, digest } = decodeGetRouteRequest(body);
      this.modules.push(modId);
      this.asked.push(String(digest?.[0]));
    }
    return true;
  }

  start(): void {}
  sayGoodbye(): void {}
  failOver(): void {}
  setAddresses(): void {}

  close(): Promise<void> {
    return Promise.resolve();
  }
}

function lab(): {
  link: FakeLink;
  clock: ManualClock;
  client: RouteSubscriber;
  /** Nodes that count, as they come; "same": those of before. */
  taken: string[];
  said: string[];
  route(node: number, more?: Partial<GetRouteResponse>): void;
} {
  let link: FakeLink | undefined;
  let stamp: RouteStamp | undefined;
  const taken: string[] = [];
  const said: string[] = [];
  const clock = new ManualClock();
  const client = new RouteSubscriber({
    openLink: (events) => (link = new FakeLink(events)),
    clock,
    pushGuardMs: 0,
    stampOf: () => stamp,
    pickableCount: () => 1,
    onReady: () => {},
    onLost: () => {},
    onNodeUse: () => {},
    onOlder: (event) => said.push(event),
    onRoute: ({ hosts, stamp: next }) => {
      taken.push(hosts === undefined ? "same" : String(hosts[0]?.ip));
      stamp = next ?? stamp;
    },
  });
  if (link === undefined) throw new Error("no link was opened");
  const made = link;
  const route = (node: number, more: Partial<GetRouteResponse> = {}): void =>
    made.arrive(
      MessageId.GetRouteResponse,
      encodeGetRouteResponse({
        ...{ modId: 1, cmdId: 1, hosts: [{ ip: node, port: 80 }], revision: 1 },
        ...{ digest: new Uint8Array(8).fill(node), ...more },
      }),
    );
  return { link: made, clock, client, taken, said, route };
}

test("a route that is older than the one before is not taken, from whichever dns it comes", () => {
  const { link, client, taken, said, route } = lab();
  route(1, { version: 100 });
  route(2, { version: 99 });
  route(3, { version: 100 });
  route(4, { version: 98 });
  assert.deepEqual(taken, ["1", "same", "3", "same"]);
  assert.equal(said.length, 1, "said once for a connection");
  assert.match(said[0], /^Dns gives older routes .* module 1,1: .*accept-restored/);
  link.events.onLost();
  route(4, { version: 98 });
  assert.equal(said.length, 2);
  assert.equal(client.stats.routesOlder, 3);
  route(5, { version: 90, epoch: 7 });
  assert.deepEqual(taken.slice(-2), ["same", "5"], "a later epoch counts whatever its version");
  route(6, { version: 200, epoch: 6 });
  route(7);
  assert.deepEqual(taken.slice(-2), ["same", "7"], "of a dns that does not say how new it is");
});

test("the same route with an older version is one that nothing has changed", () => {
  const { taken, route } = lab();
  route(1, { version: 100 });
  route(1, { version: 90 });
  assert.deepEqual(taken, ["1", "1"]);
});

test("what was older is asked for again once dns has caught up", () => {
  const { link, taken, route } = lab();
  const ponged = (version: number): void => link.events.onPong({ seq: 1, epoch: 0, version });
  route(1, { version: 100 });
  route(2, { version: 95 });
  ponged(99);
  assert.deepEqual(link.asked, []);
  ponged(101);
  assert.deepEqual(link.asked, ["1"], "with what it has");
  route(2, { version: 95 });
  assert.deepEqual(taken, ["1", "same", "2"], "this dns has all changes up to 101 by now");
  route(3, { version: 100 });
  assert.deepEqual(taken.at(-1), "3");
});

test("a dns that has the same answers without the route, and so says how new it is", () => {
  const { link, client, taken, route } = lab();
  route(1, { version: 100 });
  link.events.onLost();
  client.request(1, 1);
  assert.deepEqual(link.asked, ["1"]);
  const unchanged = encodeRouteUnchanged({ modId: 1, cmdId: 1, revision: 9, version: 110 });
  link.arrive(MessageId.RouteUnchanged, unchanged);
  assert.deepEqual(taken, ["1", "same"]);
  assert.deepEqual([client.stats.open, client.stats.routesUnchanged], [0, 1]);
  assert.equal(client.revision, 9);
  route(2, { version: 105 });
  assert.deepEqual(taken.at(-1), "same", "older than what the unchanged route is as new as");
});

test("what is to be asked for again is not forgotten when there is no room to ask", () => {
  const { link, clock, client, route } = lab();
  const end = encodeTableSubscribe({ modId: 1, cmdId: 1, end: true });
  link.arrive(MessageId.TableSubscribe, end);
  link.full = true;
  clock.advance(ASK_AGAIN_MS + 5000);
  assert.deepEqual([link.asked.length, client.stats.notPushed], [0, 1]);
  link.full = false;
  clock.advance(1000);
  assert.deepEqual([link.asked.length, client.stats.notPushed], [1, 0], "one that is not pushed");
  route(1, { version: 100 });
  route(2, { version: 99 });
  link.full = true;
  link.events.onPong({ seq: 1, version: 100 });
  link.full = false;
  link.events.onPong({ seq: 2, version: 100 });
  link.events.onPong({ seq: 3, version: 100 });
  assert.equal(link.asked.length, 2, "one of which an older route came");
});

test("a question that finds no room is asked once there is, unless nobody wants to know any more", () => {
  const { link, clock, client } = lab();
  link.full = true;
  for (const modId of [1, 2, 3, 4]) assert.equal(client.request(modId, 1), false);
  clock.advance(5000);
  client.forget(2, 1);
  link.full = false;
  client.request(3, 1);
  assert.deepEqual(link.modules, [3]);
  clock.advance(1000);
  assert.deepEqual([link.modules, client.stats.open], [[3, 1, 4], 3]);
  link.full = true;
  client.request(5, 1);
  link.events.onLost();
  link.full = false;
  clock.advance(5000);
  assert.deepEqual(link.modules, [3, 1, 4], "over a new connection who asked asks again");
});

test("what waits for a suspect question is asked also when there was no room at that moment", () => {
  const { link, clock, client, route } = lab();
  link.extended = false;
  for (const modId of [1, 2, 3]) client.request(modId, 1);
  link.events.onLost();
  clock.advance(2000);
  for (const modId of [1, 2, 3]) client.request(modId, 1);
  assert.deepEqual(link.modules, [1, 2, 3, 1], "one at a time");
  link.full = true;
  route(1);
  link.full = false;
  clock.advance(1000);
  assert.deepEqual(link.modules.slice(4), [2]);
  route(2, { modId: 2 });
  assert.deepEqual(link.modules.slice(4), [2, 3]);
});
