// The runtimes' own WebSocket is that of browsers; the real thing is in tests/browser/.

import assert from "node:assert/strict";
import { connect, createServer, type Socket } from "node:net";
import { test } from "node:test";
import { decodeRelayReply, encodeRelayJoin, encodeRelayRequest } from "../proto/codec.ts";
import { MessageId, RelayStatus } from "../proto/message_ids.ts";
import { ManualClock } from "../reactor/time/manual_clock.ts";
import { systemClock } from "../reactor/time/system_clock.ts";
import { withRelay } from "../relay/testing/test_relay.ts";
import type { SessionClient } from "../session/session_client.ts";
import { until } from "../tests/support/until.ts";
import type { RelayLinkOptions } from "./relay_link.ts";
import { RelayWorker } from "./relay_worker.ts";
import { openWebRelayLink } from "./web_relay_link.ts";

const JOIN = encodeRelayJoin({ name: "", late: false, mail: false, epoch: 0, after: 0 });

/** More than is sent, so that nothing is refused. */
const ROOM = 16 * 1024 * 1024;

function open(
  more: Partial<RelayLinkOptions> & Pick<RelayLinkOptions, "addresses">,
): SessionClient {
  return openWebRelayLink({
    ...{ token: undefined, role: "client", clock: systemClock },
    onReady: () => {},
    onLost: () => {},
    ...more,
  });
}

test("a session over WebSocket carries more than a socket takes at once, in both directions", () =>
  withRelay({ web: {}, outputBytesMax: ROOM, limits: { clientBytesMax: ROOM } }, async (relay) => {
    const worker = new RelayWorker({ relays: [relay.name] }, ({ data }) => data);
    await until(() => relay.stats().workers > 0, { what: "the worker" });
    const link = open({ addresses: [relay.webAddress] });
    const answers: (readonly [number, number, number, number])[] = [];
    link.router
      .add(MessageId.RelayJoined, () => {})
      .add(MessageId.RelayReply, (body) => {
        const { number, status, data } = decodeRelayReply(body);
        answers.push([number, status, data.length, data[59_999]]);
      });
    link.start();
    await until(() => link.ready, { what: "the session" });
    link.send(MessageId.RelayJoin, JOIN);
    // 3 MB in one turn: more than may be ahead, less than may wait.
    const numbers = Array.from({ length: 50 }, (_, index) => index + 1);
    for (const number of numbers) {
      const data = new Uint8Array(60_000).fill(number);
      const ask = { number, modId: 0, cmdId: 0, ttlMs: 20_000, data };
      assert.equal(link.send(MessageId.RelayRequest, encodeRelayRequest(ask)), true);
    }
    await until(() => answers.length === numbers.length, { what: "all answers" });
    assert.deepEqual(
      answers.sort(([a], [b]) => a - b),
      numbers.map((number) => [number, RelayStatus.Ok, 60_000, number]),
    );
    await until(() => link.pendingBytes === 0, { what: "an empty output" });
    await link.close();
    await until(() => relay.stats().clients === 0, { what: "its end" });
    await worker.close();
  }));

test("a session over WebSocket goes to the next relay when the first one ends", () =>
  withRelay({ web: {} }, (first) =>
    withRelay({ web: {} }, async (second) => {
      const link = open({ addresses: [first.webAddress, second.webAddress] });
      link.start();
      const here = (): string =>
        [first, second].map(({ stats }) => stats().connections_web).join(" ");
      await until(() => here() !== "0 0" && link.ready, { what: "a session" });
      const [ending, other] = here() === "1 0" ? [first, second] : [second, first];
      await ending.loop.close();
      await until(() => other.stats().connections_web === 1 && link.ready, { what: "the other" });
      await link.close();
    })));

/** Passes bytes on to a port until it is told to pass nothing any more, and to stay silent. */
async function blackHole(
  to: { hostname: string; port: number },
): Promise<{ address: { hostname: string; port: number }; swallow(): void; close(): void }> {
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    const onward = connect(to.port, to.hostname);
    for (const [from, into] of [[socket, onward], [onward, socket]]) {
      from.on("error", () => from.destroy()).on("close", () => into.destroy()).pipe(into);
    }
    sockets.push(socket, onward);
  });
  await new Promise<void>((done) => void server.listen(0, "127.0.0.1", done));
  const { port } = server.address() as { port: number };
  return {
    address: { hostname: "127.0.0.1", port },
    swallow: () => sockets.forEach((socket) => socket.unpipe().resume()),
    close(): void {
      sockets.forEach((socket) => socket.destroy());
      server.close();
    },
  };
}

test("a page whose relay vanishes without a word notices, and goes to the next one", () =>
  withRelay({ web: {} }, (first) =>
    withRelay({ web: {} }, async (second) => {
      const clock = new ManualClock();
      const way = await blackHole(first.webAddress);
      const back = await blackHole(second.webAddress);
      let [lost, heard] = [0, 0];
      const link = open({
        ...{ clock, addresses: [way.address, back.address] },
        onHeard: () => void heard++,
        onLost: () => void lost++,
      });
      link.start();
      await until(() => link.ready, { what: "a session" });
      const [gone, other] = first.stats().connections_web === 1 ? [way, second] : [back, first];
      // While it is there pings are answered.
      for (let ping = 1; ping <= 4; ping++) {
        const before = heard;
        clock.advance(15_000);
        await until(() => heard > before, { what: `an answer to ping ${ping}` });
      }
      assert.equal(lost, 0);
      gone.swallow();
      clock.advance(15_000);
      clock.advance(5_000);
      clock.advance(5_000);
      assert.equal(lost, 1);
      await until(() => {
        clock.advance(100);
        return link.ready && other.stats().connections_web === 1;
      }, { what: "the other relay" });
      await link.close();
      way.close();
      back.close();
    })));

test("a page is told that it can prove no secret", () => {
  const addresses = [{ hostname: "127.0.0.1", port: 1 }];
  const token = new Uint8Array(32);
  assert.throws(() => open({ addresses, token }), /a page proves no secret .*: omit token and tls/);
});
