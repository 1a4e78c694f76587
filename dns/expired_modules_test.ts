// Goal: who asks for modules that nobody wants any more, and never says so, takes no memory for good;
// and nobody misses a node for that. Method: one loop and a subscriber in virtual time, real sockets.

import assert from "node:assert/strict";
import { test } from "node:test";
import { ASK_AGAIN_MS, RouteSubscriber } from "../feed/route_subscriber.ts";
import { moduleOf } from "../model/module.ts";
import { encodeGetRouteRequest, encodeGetRouteResponse, encodeHello } from "../proto/codec.ts";
import { MessageId } from "../proto/message_ids.ts";
import { encodeFrame } from "../reactor/frame.ts";
import { silentLogger } from "../reactor/log.ts";
import { RawPeer } from "../reactor/testing/raw_peer.ts";
import { ManualClock } from "../reactor/time/manual_clock.ts";
import type { Link, LinkEvents } from "../session/link.ts";
import { until } from "../tests/support/until.ts";
import type { RouteFrames } from "./route_frames.ts";
import { NODELESS_UNASKED_MS_MAX, RouteLoop, type RouteNote } from "./route_loop.ts";

/** The route of a module with so many nodes. */
function framesOf(modId: number, nodes: number): RouteFrames {
  const hosts = Array.from({ length: nodes }, (_, index) => ({ ip: index + 1, port: 80 }));
  const body = encodeGetRouteResponse({ modId, cmdId: 1, hosts, revision: nodes + 1 });
  const frame = encodeFrame(MessageId.GetRouteResponse, body);
  return {
    ...{ revision: nodes + 1, nodeless: nodes === 0, plan: undefined },
    ...{ legacy: frame, extended: frame, digest: new Uint8Array(8).fill(nodes) },
  };
}

/** A link over a raw connection: what came is handled by `read`. */
class RawLink implements Link {
  readonly extended = true;
  readonly ready = true;
  readonly address = { hostname: "raw", port: 1 };
  readonly local = undefined;
  readonly fault = undefined;
  readonly secretFault = undefined;
  readonly connectCount = 1;
  readonly pendingBytes = 0;
  readonly #handlers = new Map<number, (body: Uint8Array) => void>();
  readonly router = {
    add: (msgId: number, handler: (body: Uint8Array) => void): void =>
      void this.#handlers.set(msgId, handler),
  };

  constructor(readonly peer: RawPeer, readonly events: LinkEvents) {}

  read(): void {
    for (const { msgId, body } of this.peer.frames.splice(0)) this.#handlers.get(msgId)?.(body);
  }

  send(msgId: number, body: Uint8Array): boolean {
    void this.peer.send(msgId, body);
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

test("modules without nodes that nobody asks for expire, and who still wants one hears of its nodes", async () => {
  const clock = new ManualClock();
  const nodes = new Map<number, number>();
  const wanted: number[] = [];
  const dropped: number[] = [];
  const tell = (modId: number): void => {
    loop.onTask({
      type: "frames",
      modId,
      cmdId: 1,
      frames: framesOf(modId, nodes.get(modId) ?? 0),
    });
  };
  const note = (one: RouteNote): void => {
    if (one.type === "drop") dropped.push(...one.keys.map((key) => moduleOf(key).modId));
    if (one.type !== "want") return;
    wanted.push(one.modId);
    queueMicrotask(() => tell(one.modId));
  };
  const init = {
    ...{ hostname: "127.0.0.1", connectionsMax: 10, software: "test", secrets: undefined },
    ...{ subscriptionsMax: 100, subscriptionsTotalMax: 1000 },
  };
  const loop: RouteLoop = new RouteLoop(init, { clock, log: silentLogger, note });
  const address = await loop.listen(0, false);
  const peer = await RawPeer.connect(address);
  const original = await RawPeer.connect(address);
  await peer.send(
    MessageId.Hello,
    encodeHello({ protocol: 1, software: "test", role: "agent" }),
  );
  let link: RawLink | undefined;
  const routes: string[] = [];
  const client = new RouteSubscriber({
    openLink: (events) => (link = new RawLink(peer, events)),
    ...{ clock, pushGuardMs: 0, pickableCount: () => 0 },
    ...{ onReady: () => {}, onLost: () => {}, onNodeUse: () => {} },
    onRoute: ({ modId, hosts }) => routes.push(`${modId}: ${hosts?.length}`),
  });
  const waitFor = (condition: () => boolean, what: string): Promise<void> =>
    until(() => {
      link?.read();
      return condition();
    }, { what });
  const subscriptions = (): number => loop.stats().subscriptions;
  try {
    nodes.set(3, 1);
    for (const modId of [1, 2, 3]) client.request(modId, 1);
    await original.send(MessageId.GetRouteRequest, encodeGetRouteRequest({ modId: 4, cmdId: 1 }));
    await waitFor(() => routes.length === 3 && original.frames.length === 1, "the first answers");
    for (let asked = 0; asked < 2; asked++) {
      routes.length = 0;
      clock.advance(NODELESS_UNASKED_MS_MAX / 2);
      client.request(2, 1);
      await waitFor(() => routes.length === 1, "an answer for the one that is used");
    }
    assert.deepEqual([subscriptions(), client.stats.notPushed], [4, 0], "all have still time");
    clock.advance(2000);
    await waitFor(() => client.stats.notPushed === 1, "the word that 1 has expired");
    assert.deepEqual(
      [subscriptions(), dropped.toSorted()],
      [2, [1, 4]],
      "2 is asked for, 3 has nodes",
    );
    assert.equal(original.frames.length, 1, "the original knows no such word");
    // A node comes when nobody is told of it; who wants it asks again, in time.
    nodes.set(1, 2);
    clock.advance(ASK_AGAIN_MS);
    await waitFor(() => routes.includes("1: 2"), "the nodes of 1");
    assert.deepEqual([wanted.slice(4), client.stats.notPushed], [[1], 0]);
    nodes.set(1, 3);
    tell(1);
    await waitFor(() => routes.includes("1: 3"), "the next change, pushed");
    nodes.set(4, 1);
    await original.send(MessageId.GetRouteRequest, encodeGetRouteRequest({ modId: 4, cmdId: 1 }));
    await waitFor(() => original.frames.length === 2, "the nodes of 4");
    clock.advance(2 * NODELESS_UNASKED_MS_MAX);
    await waitFor(() => subscriptions() === 3, "the end of 2, which nobody asks for any more");
  } finally {
    peer.destroy();
    original.destroy();
    await client.close();
    await loop.close();
  }
});
