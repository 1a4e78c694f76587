import assert from "node:assert/strict";
import { test } from "node:test";
import { MessageId, PeerRefusal } from "../proto/message_ids.ts";
import {
  decodeGoodbye,
  decodePong,
  encodeGetRouteRequest,
  encodeHello,
  encodeHelloProof,
  encodeLeaving,
  encodePing,
} from "../proto/codec.ts";
import {
  type Address,
  ManualClock,
  seededRng,
  silentLogger,
  systemClock,
  TcpServer,
} from "../reactor/mod.ts";
import { RawPeer, RawServer } from "../reactor/testing/raw_peer.ts";
import { until } from "../tests/support/until.ts";
import { refusalText } from "./handshake.ts";
import { SILENT_REASON } from "./heartbeat.ts";
import { nodeTransport } from "./node_transport.ts";
import { Secrets } from "./secrets.ts";
import { runtimeTransport } from "./runtime_transport.ts";
import { SessionClient, type SessionClientOptions } from "./session_client.ts";
import { SessionServer, type SessionServerInit } from "./session_server.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const token = bytes("correct horse battery");

interface Server {
  server: TcpServer;
  sessions: SessionServer;
  requests: boolean[];
  closed: string[];
}

async function startServer(
  serverToken?: Uint8Array,
  init: Partial<SessionServerInit> = {},
): Promise<Server> {
  const sessions = new SessionServer({
    role: "dns",
    init: {
      hostname: "127.0.0.1",
      connectionsMax: 100,
      software: "server/1",
      secrets: serverToken === undefined ? undefined : [serverToken],
      ...init,
    },
    clock: systemClock,
    log: silentLogger,
  });
  const requests: boolean[] = [];
  const closed: string[] = [];
  sessions.router.add(MessageId.GetRouteRequest, (_body, peer) => {
    requests.push(sessions.isExtended(peer));
  });
  const server = new TcpServer({
    hostname: "127.0.0.1",
    port: 0,
    router: sessions.router,
    clock: systemClock,
    log: silentLogger,
    onAccept: (connection) => sessions.accept(connection),
    onClose: (connection, reason) => {
      sessions.forget(connection);
      closed.push(reason);
    },
  });
  await server.listen();
  return { server, sessions, requests, closed };
}

interface Client {
  link: SessionClient;
  /** Whether it was extended each time that it became ready or extended. */
  ready: boolean[];
  lost: number;
  faults: string[];
}

function startClient(address: Address, options: Partial<SessionClientOptions> = {}): Client {
  const link = new SessionClient({
    name: "test",
    role: "agent",
    software: "client/1",
    addresses: [address],
    transport: runtimeTransport,
    clock: systemClock,
    rng: seededRng(1),
    log: silentLogger,
    secrets: undefined,
    heartbeat: { intervalMs: 20, answerMs: 20 },
    onReady: () => client.ready.push(link.extended),
    onExtended: () => client.ready.push(link.extended),
    onLost: () => void client.lost++,
    onFault: (reason) => client.faults.push(reason),
    ...options,
  });
  const client: Client = { link, ready: [], lost: 0, faults: [] };
  link.start();
  return client;
}

const request = encodeGetRouteRequest({ modId: 1, cmdId: 1 });
const welcome = encodeHello({ protocol: 1, software: "s", role: "dns" });

for (
  const [name, transport] of [
    ["the reactor", runtimeTransport],
    ["node:net", nodeTransport],
  ] as const
) {
  test(`a handshake without a token makes both sides extended, over ${name}`, async () => {
    const { server, requests } = await startServer();
    const { link, ready } = startClient(server.address, { transport });
    await until(() => ready.includes(true), { what: "the answer to Hello" });
    assert.deepEqual(ready, [false, true], "requests may start at once, then with extensions");
    link.send(MessageId.GetRouteRequest, request);
    await until(() => requests.length === 1);
    assert.deepEqual(requests, [true]);
    assert.deepEqual([link.address, link.local?.hostname], [server.address, "127.0.0.1"]);
    assert.deepEqual([link.connectCount, link.fault, link.pendingBytes], [1, undefined, 0]);
    await link.close();
    assert.deepEqual([link.ready, link.extended, link.send(1, request)], [false, false, false]);
    await server.close();
  });

  test(`with a token only a peer that proves it is served, over ${name}`, async () => {
    const { server, sessions, requests, closed } = await startServer(token);
    const good = startClient(server.address, { transport, secrets: new Secrets([token]) });
    await until(() => good.ready.length === 1);
    assert.deepEqual(good.ready, [true], "nothing is sent before the proof");
    assert.equal(good.link.proved, true);
    good.link.send(MessageId.GetRouteRequest, request);
    await until(() => requests.length === 1);
    const other = bytes("wrong horse battery!");
    const wrong = startClient(server.address, { transport, secrets: new Secrets([other]) });
    const differ = refusalText(PeerRefusal.WrongSecret, "us");
    await until(() => closed.includes(differ), { what: "what the client says of the server" });
    assert.deepEqual([wrong.faults[0], wrong.link.secretFault], [differ, differ]);
    const stranger = await RawPeer.connect(server.address);
    await stranger.send(MessageId.GetRouteRequest, request);
    await until(() => closed.includes(refusalText(PeerRefusal.NoSecret, "us")));
    const forger = await RawPeer.connect(server.address);
    await forger.send(MessageId.HelloProof, encodeHelloProof({ mac: new Uint8Array(32) }));
    await until(() => closed.filter((reason) => /shows no secret/.test(reason)).length >= 2);
    const reason = "there is no token";
    const bare = startClient(server.address, { transport, secretMissingReason: reason });
    await until(() => bare.faults.includes(reason), { what: "the one without a token to leave" });
    assert.equal(requests.length, 1, "nobody else was served");
    assert.ok(sessions.refusedCount >= 3);
    for (const { link } of [good, wrong, bare]) await link.close();
    for (const peer of [stranger, forger]) peer.destroy();
    await server.close();
  });

  test(`a client says why it is not ready, and waits for the end of its peer, over ${name}`, async () => {
    const server = await RawServer.listen((peer) => void peer.send(MessageId.Hello, welcome));
    const { link, faults } = startClient(server.address, { transport, awaitPeerEnd: true });
    await until(() => link.extended, { what: "the session" });
    for (let id = 100; id < 150; id++) link.send(id, new Uint8Array(60_000));
    await link.close();
    const [peer] = server.peers;
    assert.deepEqual([peer.ended, peer.frames.at(-1)?.msgId, faults], [true, 149, []]);
    server.close();
    const other = startClient(server.address, { transport });
    await until(() => other.faults.length > 0, { what: "the refusal" });
    assert.match(other.link.fault ?? "", /refused/i);
    await other.link.close();
  });
}

test("a peer that never says Hello stays on the original protocol", async () => {
  const { server, requests } = await startServer();
  const peer = await RawPeer.connect(server.address);
  await peer.send(MessageId.GetRouteRequest, request);
  await until(() => requests.length === 1);
  assert.deepEqual(requests, [false]);
  peer.destroy();
  await server.close();
});

test("SessionClient fails over when an extended server stops answering pings", async () => {
  const server = await RawServer.listen((peer) => void peer.send(MessageId.Hello, welcome));
  const client = startClient(server.address);
  await until(() => server.peers.length >= 2, { what: "a second connection" });
  assert.ok(client.faults.includes(SILENT_REASON), client.faults.join());
  assert.ok(client.lost >= 1);
  await client.link.close();
  server.close();
});

test("saysGoodbye: a server that is left for its silence, or by wish, is told so before the end", async () => {
  for (const saysGoodbye of [true, false]) {
    const server = await RawServer.listen((peer) => void peer.send(MessageId.Hello, welcome));
    const client = startClient(server.address, { saysGoodbye });
    await until(() => server.peers.length >= 2, { what: "a second connection" });
    const goodbyeOf = (place: number): string | undefined => {
      const frame = server.peers[place].frames.find(({ msgId }) => msgId === MessageId.Goodbye);
      return frame && decodeGoodbye(frame.body).reason;
    };
    await until(() => server.peers[0].ended, { what: "the end of the first connection" });
    assert.equal(goodbyeOf(0), saysGoodbye ? SILENT_REASON : undefined);
    await client.link.close();
    server.close();
  }
});

test("saysGoodbye: however a server that is well is left, it is told so", async () => {
  const gone = { hostname: "127.0.0.1", port: 1 };
  const ways: readonly (readonly [string, (link: SessionClient, peer: RawPeer) => void])[] = [
    ["its address is listed no more", (link) => link.setAddresses([gone])],
    ["it stops", (_, peer) => void peer.send(MessageId.Leaving, encodeLeaving({ spreadMs: 0 }))],
    ["by wish", (link) => link.failOver("by wish")],
  ];
  for (const saysGoodbye of [true, false]) {
    for (const [what, leave] of ways) {
      const server = await RawServer.listen((peer) => void peer.send(MessageId.Hello, welcome));
      const heartbeat = { intervalMs: Infinity };
      const client = startClient(server.address, { saysGoodbye, heartbeat });
      await until(() => client.link.extended, { what: "the answer to Hello" });
      const [peer] = server.peers;
      leave(client.link, peer);
      await until(() => peer.ended, { what: `the end of the connection: ${what}` });
      const said = peer.frames.some(({ msgId }) => msgId === MessageId.Goodbye);
      assert.equal(said, saysGoodbye, what);
      await client.link.close();
      server.close();
    }
  }
});

test("SessionClient answers pings, and tells of every frame but Hello", async () => {
  const server = await RawServer.listen((peer) => {
    void peer.send(MessageId.Hello, welcome);
    void peer.send(MessageId.Ping, encodePing({ seq: 7 }));
  });
  const heard: number[] = [];
  const { link } = startClient(server.address, {
    heartbeat: { intervalMs: Infinity },
    onHeard: (msgId) => heard.push(msgId),
  });
  const pong = (): Uint8Array | undefined =>
    server.peers[0]?.frames.find(({ msgId }) => msgId === MessageId.Pong)?.body;
  await until(() => pong() !== undefined, { what: "the answer" });
  assert.deepEqual(decodePong(pong() ?? request).seq, 7);
  assert.deepEqual(heard, [MessageId.Ping]);
  await link.close();
  server.close();
});

test("welcomeWaitMs: a silent server counts as one of the original then, an answer ends the wait", async () => {
  const clock = new ManualClock();
  const server = await RawServer.listen();
  const { link, ready } = startClient(server.address, { clock, welcomeWaitMs: 500 });
  await until(() => link.connected && server.peers.length === 1, { what: "the connection" });
  clock.advance(499);
  assert.deepEqual([ready, link.send(1, request)], [[], false]);
  clock.advance(1);
  assert.deepEqual([ready, link.send(1, request)], [[false], true]);
  void server.peers[0].send(MessageId.Hello, welcome);
  await until(() => ready.length === 2, { what: "the late answer" });
  server.peers[0].destroy();
  await until(() => !link.connected, { what: "the loss" });
  clock.advance(100);
  await until(() => link.connected && server.peers.length === 2, { what: "the next connection" });
  void server.peers[1].send(MessageId.Hello, welcome);
  await until(() => ready.length === 3, { what: "the answer" });
  assert.deepEqual(ready, [false, true, true]);
  await link.close();
  server.close();
});

test("welcomeWaitMs: a server that must be ours and says no Hello is left", async () => {
  const clock = new ManualClock();
  const server = await RawServer.listen();
  const heartbeat = { intervalMs: 800, answerMs: 800 };
  const options = { clock, welcomeWaitMs: Infinity, heartbeat };
  const { link, ready, faults } = startClient(server.address, options);
  await until(() => link.connected, { what: "the connection" });
  clock.advance(2399);
  assert.deepEqual(faults, []);
  clock.advance(1);
  assert.deepEqual([faults, link.fault, ready], [[SILENT_REASON], SILENT_REASON, []]);
  await link.close();
  server.close();
});

test("SessionClient starts its pauses over only after a session, however long a connection lasted", async () => {
  const clock = new ManualClock();
  const server = await RawServer.listen();
  const client = startClient(server.address, {
    clock,
    welcomeWaitMs: Infinity,
    heartbeat: { intervalMs: Infinity },
    rng: { next: () => 0.9999 },
  });
  const { link } = client;
  const reconnect = async (waitMs: number): Promise<void> => {
    const count = server.peers.length;
    clock.advance(5000);
    server.peers[count - 1].destroy();
    await until(() => !link.connected, { what: "the loss" });
    clock.advance(waitMs - 1);
    assert.equal(link.connectCount, count, `no attempt within ${waitMs} ms`);
    clock.advance(1);
    await until(() => link.connected && server.peers.length === count + 1, { what: "the next" });
  };
  await until(() => link.connected && server.peers.length === 1, { what: "the connection" });
  for (const waitMs of [100, 200, 400]) await reconnect(waitMs);
  assert.deepEqual([client.ready, client.lost], [[], 0], "it was never ready");
  void server.peers[3].send(MessageId.Hello, welcome);
  await until(() => link.ready, { what: "the session" });
  server.peers[3].destroy();
  await until(() => !link.connected, { what: "the loss" });
  assert.equal(client.lost, 1);
  await link.close();
  server.close();
});
