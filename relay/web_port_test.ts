import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import { test as nodeTest } from "node:test";
import { RelayWorker } from "../api/relay_worker.ts";
import {
  decodeRelayReply,
  encodeHello,
  encodeRelayJoin,
  encodeRelayRequest,
} from "../proto/codec.ts";
import { MessageId, RelayStatus } from "../proto/message_ids.ts";
import { batchTcpFault } from "../reactor/fast/batch_tcp.ts";
import { encodeFrame } from "../reactor/frame.ts";
import { systemClock } from "../reactor/time/system_clock.ts";
import { FleetCertificates } from "../session/testing/fleet_certificates.ts";
import { until } from "../tests/support/until.ts";
import { type TestRelay, type TestRelayOptions, withRelay } from "./testing/test_relay.ts";
import { WebOpcode, webPart, WebPeer } from "./testing/web_peer.ts";

const HELLO = encodeFrame(
  MessageId.Hello,
  encodeHello({ protocol: 2, software: "test", role: "client" }),
);
const JOIN = encodeFrame(
  MessageId.RelayJoin,
  encodeRelayJoin({ name: "", late: false, mail: false, epoch: 0, after: 0 }),
);

function request(number: number, data: Uint8Array): Uint8Array {
  const ask = { number, modId: 0, cmdId: 0, ttlMs: 20_000, data };
  return encodeFrame(MessageId.RelayRequest, encodeRelayRequest(ask));
}

async function join(relay: TestRelay): Promise<WebPeer> {
  const peer = await WebPeer.connect(relay.webAddress);
  peer.send(HELLO);
  peer.send(JOIN);
  await until(() => peer.msgIds.length === 2, { what: "Hello and RelayJoined" });
  return peer;
}

/** The tests of a port for WebSockets, whatever the connections beside it come from. */
function testWebPort(fast: boolean): void {
  const test = (
    name: string,
    options: TestRelayOptions,
    body: (relay: TestRelay) => Promise<void>,
  ): void =>
    void nodeTest(
      `a relay's WebSockets: ${name}${fast ? " (fast path)" : ""}`,
      () => withRelay({ web: {}, ...options, fast }, body),
    );

  test("each message is one frame, both ways, beside workers over TCP", {}, async (relay) => {
    const worker = new RelayWorker({ relays: [relay.name] }, ({ data }) => data);
    await until(() => relay.stats().workers > 0, { what: "the worker" });
    const peer = await join(relay);
    assert.deepEqual(peer.msgIds, [MessageId.Hello, MessageId.RelayJoined]);
    const sizes = [0, 1, 109, 110, 126, 1000, 4096, 65_000];
    sizes.forEach((size, index) => peer.send(request(index + 1, new Uint8Array(size).fill(index))));
    await until(() => peer.messages.length === 2 + sizes.length, { what: "the answers" });
    const replies = peer.messages.slice(2).map(({ payload }) =>
      decodeRelayReply(payload.subarray(8))
    ).sort((a, b) => a.number - b.number);
    assert.deepEqual(
      replies.map(({ status, data }) => [status, data.length, data.at(-1)]),
      sizes.map((size, index) => [RelayStatus.Ok, size, size === 0 ? undefined : index]),
    );
    assert.equal(relay.stats().connections_web, 1);
    peer.close();
    await until(() => relay.stats().clients === 0, { what: "the end of the client" });
    assert.equal(relay.stats().connections_web, 0);
    await worker.close();
  });

  test("however messages are cut on the way", {}, async (relay) => {
    const peer = await WebPeer.connect(relay.webAddress);
    const ping = webPart(WebOpcode.Ping, new Uint8Array([7]));
    const parts = [
      webPart(WebOpcode.Binary, HELLO.subarray(0, 3), false),
      ping,
      webPart(WebOpcode.Continued, HELLO.subarray(3, 3), false),
      webPart(WebOpcode.Continued, HELLO.subarray(3)),
      webPart(WebOpcode.Binary, JOIN),
      webPart(WebOpcode.Binary, request(1, new Uint8Array(300))),
    ];
    // Of each byte one segment, then the rest at once.
    for (const byte of parts.slice(0, 4).flatMap((part) => [...part])) {
      peer.write(new Uint8Array([byte]));
    }
    peer.write(Uint8Array.from(parts.slice(4).flatMap((part) => [...part])));
    await until(() => peer.msgIds.length === 3, { what: "three answers" });
    assert.deepEqual(peer.msgIds, [
      MessageId.Hello,
      MessageId.RelayJoined,
      MessageId.RelayReply,
    ]);
    const pong = peer.messages.find(({ opcode }) => opcode === WebOpcode.Pong);
    assert.deepEqual([...pong?.payload ?? []], [7]);
    peer.close();
  });

  const bad: [string, Uint8Array, number][] = [
    ["text", webPart(WebOpcode.Text, HELLO), 1003],
    ["half a head", webPart(WebOpcode.Binary, HELLO.subarray(0, 7)), 1002],
    ["nothing", webPart(WebOpcode.Binary, new Uint8Array(0)), 1002],
    ["half a frame", webPart(WebOpcode.Binary, HELLO.subarray(0, HELLO.length - 1)), 1002],
    ["two frames", webPart(WebOpcode.Binary, Uint8Array.from([...HELLO, ...JOIN])), 1002],
    ["an L0", webPart(WebOpcode.Binary, new TextEncoder().encode("2001X2002\0")), 1002],
    ["too much", webPart(WebOpcode.Binary, new Uint8Array(65_536)), 1009],
    ["no mask", new Uint8Array([0x82, 1, 0]), 1002],
    ["no such opcode", webPart(5, HELLO), 1002],
  ];
  test("what is no frame ends the connection and says so, and no other", {}, async (relay) => {
    const well = await join(relay);
    for (const [what, wrong, code] of bad) {
      const peer = await WebPeer.connect(relay.webAddress);
      peer.write(wrong);
      await until(() => peer.closeCode !== undefined, { what: `the end of ${what}` });
      assert.equal(peer.closeCode, code, what);
      await until(() => relay.stats().connections === 1, { what: `${what} to be gone` });
      await until(() => peer.closed, { what: `${what} to be closed` });
    }
    well.send(request(1, new Uint8Array(1)));
    await until(() => well.msgIds.length === 3, { what: "the other one's answer" });
    assert.equal(relay.stats().web_broken, 6);
    well.close();
  });

  test("who never reads is cut", { outputBytesMax: 131_072 }, async (relay) => {
    const worker = new RelayWorker({ relays: [relay.name] }, ({ data }) => data);
    await until(() => relay.stats().workers > 0, { what: "the worker" });
    const peer = await join(relay);
    peer.pause();
    let number = 0;
    while (relay.stats().clients === 1) {
      for (let more = 0; more < 10; more++) peer.send(request(++number, new Uint8Array(60_000)));
      const { requests_sent: before } = relay.stats();
      await until(() => relay.stats().requests_sent > before || relay.stats().clients === 0);
      assert.ok(number < 5_000, "it is cut some time");
    }
    assert.equal(relay.stats().slow_readers, 1);
    peer.close();
    await worker.close();
  });

  test("who says nothing is closed, before and after the upgrade", {
    web: { upgradeMs: 100 },
  }, async (relay) => {
    const visitor = await WebPeer.connect(relay.webAddress, { upgrade: false });
    const silent = await WebPeer.connect(relay.webAddress);
    await until(() => visitor.closed && silent.closed, { what: "both to be closed" });
    // Where the machine was slow its upgrade may have come too late.
    if (silent.status !== "") assert.equal(silent.closeCode, 1001);
    assert.deepEqual([relay.stats().web_silent, relay.stats().connections], [2, 0]);
  });

  test("who answers no ping is cut", { web: { pingMs: 100 } }, async (relay) => {
    // It answers none, as it is made by hand.
    const peer = await WebPeer.connect(relay.webAddress);
    peer.send(HELLO);
    await until(() => peer.closed, { what: "the cut" });
    assert.ok(peer.messages.some(({ opcode }) => opcode === WebOpcode.Ping));
    assert.equal(relay.stats().connections, 0);
  });

  test("pages of other origins are refused, and what is no WebSocket", {
    web: { origins: ["https://chat.example"] },
  }, async (relay) => {
    const foreign = await WebPeer.connect(relay.webAddress, { origin: "https://evil.example" });
    await until(() => foreign.closed, { what: "the refusal" });
    assert.match(foreign.status, /^HTTP\/1\.1 403 /);
    const listed = await WebPeer.connect(relay.webAddress, { origin: "https://chat.example" });
    await until(() => listed.status !== "", { what: "the welcome" });
    assert.match(listed.status, /^HTTP\/1\.1 101 /);
    assert.equal(relay.stats().web_foreign, 1);
    listed.close();
    const asker = await WebPeer.connect(relay.webAddress, { upgrade: false });
    asker.write(new TextEncoder().encode("GET / HTTP/1.1\r\nHost: x\r\n\r\n"));
    await until(() => asker.status !== "", { what: "an answer" });
    assert.match(asker.status, /^HTTP\/1\.1 426 /);
    asker.close();
  });

  test("no client of the original has the relay call itself there", {}, async (relay) => {
    const asker = connect(relay.address.port, relay.address.hostname);
    const ended = once(asker, "close");
    asker.on("error", () => {}).resume().write(`1000X${relay.webAddress.port}\0`);
    await ended;
    assert.equal(relay.stats().links_refused_ports, 1);
  });

  test("they count among all connections", { connectionsMax: 2 }, async (relay) => {
    const peers = [await join(relay), await join(relay)];
    const third = await WebPeer.connect(relay.webAddress);
    await until(() => third.closed, { what: "the third to be closed" });
    assert.equal(relay.stats().connections_refused, 1);
    for (const peer of peers) peer.close();
  });
}

nodeTest("a relay's WebSockets: with a secret who proves none is refused", () => {
  const secrets = [new Uint8Array(32).fill(7)];
  return withRelay({ web: {}, secrets, translated: true }, async (relay) => {
    const peer = await WebPeer.connect(relay.webAddress);
    peer.send(HELLO);
    await until(() => peer.closed, { what: "the refusal" });
    assert.deepEqual(peer.msgIds, [MessageId.Hello, MessageId.Refusal]);
    assert.equal(relay.stats().not_authenticated, 1);
  });
});

nodeTest("a relay's WebSockets: with TLS they are of this host alone, or none", async () => {
  const fleet = await FleetCertificates.make();
  for (const plain of ["loopback", "off"] as const) {
    const tls = await fleet.material(["relay"], { plain });
    await withRelay({ web: {}, tls }, async (relay) => {
      if (plain === "loopback") return (await join(relay)).close();
      const peer = await WebPeer.connect(relay.webAddress);
      peer.send(HELLO);
      await until(() => peer.closed, { what: "the refusal" });
      assert.deepEqual(peer.msgIds, []);
    });
  }
});

testWebPort(false);
if (batchTcpFault(systemClock) === undefined) testWebPort(true);
