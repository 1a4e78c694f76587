import assert from "node:assert/strict";
import { test } from "node:test";
import { MessageId } from "../proto/message_ids.ts";
import {
  encodeGetRouteRequest,
  encodeHello,
  encodeHelloProof,
  encodePing,
  encodePong,
} from "../proto/codec.ts";
import {
  type Connection,
  ManualClock,
  MessageRouter,
  seededRng,
  silentLogger,
  systemClock,
  TcpClient,
  TcpServer,
} from "../reactor/mod.ts";
import { until } from "../tests/support/until.ts";
import {
  type GatedPeer,
  HelloGate,
  HelloPeer,
  type HelloPeerOptions,
  PING_INTERVAL_MS,
  PING_UNUSED_INTERVAL_MS,
  PROOF_TIMEOUT_MS,
  SILENCE_TIMEOUT_MS,
} from "./hello.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const token = bytes("correct horse battery");

interface Server {
  server: TcpServer;
  gate: HelloGate<Connection>;
  requests: boolean[];
  closed: string[];
}

async function startServer(serverToken?: Uint8Array): Promise<Server> {
  const router = new MessageRouter<Connection>();
  const gate = new HelloGate<Connection>({
    software: "server/1",
    role: "dns",
    ...(serverToken === undefined ? {} : { token: serverToken }),
    clock: systemClock,
    log: silentLogger,
  });
  const requests: boolean[] = [];
  const closed: string[] = [];
  gate.install(router);
  router.add(MessageId.GetRouteRequest, (_body, peer) => {
    requests.push(gate.isExtended(peer));
  });
  const server = new TcpServer({
    hostname: "127.0.0.1",
    port: 0,
    router,
    clock: systemClock,
    log: silentLogger,
    onAccept: (connection) => gate.accept(connection),
    onClose: (connection, reason) => {
      gate.forget(connection);
      closed.push(reason);
    },
  });
  await server.listen();
  return { server, gate, requests, closed };
}

interface Client {
  client: TcpClient;
  peer: HelloPeer;
  ready: boolean[];
}

function startClient(server: TcpServer, options: { token?: Uint8Array; silent?: boolean }): Client {
  const router = new MessageRouter<TcpClient>();
  const ready: boolean[] = [];
  const peer: HelloPeer = new HelloPeer({
    client: () => client,
    router,
    software: "client/1",
    role: "agent",
    ...(options.token === undefined ? {} : { token: options.token }),
    clock: systemClock,
    log: silentLogger,
    pingIntervalMs: 20,
    pingAnswerMs: 20,
    onReady: (extended) => ready.push(extended),
  });
  const client = new TcpClient({
    addresses: [server.address],
    router,
    clock: systemClock,
    rng: seededRng(1),
    log: silentLogger,
    name: "test",
    onConnect: () => options.silent === true ? undefined : peer.onConnect(),
    onDisconnect: () => peer.onDisconnect(),
    onFrame: () => peer.onFrame(),
  });
  client.start();
  return { client, peer, ready };
}

const request = encodeGetRouteRequest({ modId: 1, cmdId: 1 });

test("a greeting without a token makes both sides extended", async () => {
  const { server, requests } = await startServer();
  const { client, peer, ready } = startClient(server, {});
  await until(() => ready.includes(true), { what: "the answer to Hello" });
  assert.deepEqual(ready, [false, true], "requests may start at once, then with extensions");
  client.send(MessageId.GetRouteRequest, request);
  await until(() => requests.length === 1);
  assert.deepEqual(requests, [true]);
  peer.close();
  await client.close();
  await server.close();
});

test("a peer that never says Hello stays on the original protocol", async () => {
  const { server, requests } = await startServer();
  const { client } = startClient(server, { silent: true });
  await until(() => client.connected);
  client.send(MessageId.GetRouteRequest, request);
  await until(() => requests.length === 1);
  assert.deepEqual(requests, [false]);
  await client.close();
  await server.close();
});

test("with a token only a peer that proves it is served", async () => {
  const { server, gate, requests, closed } = await startServer(token);
  const good = startClient(server, { token });
  await until(() => good.ready.length === 1);
  assert.deepEqual(good.ready, [true], "nothing is sent before the proof");
  good.client.send(MessageId.GetRouteRequest, request);
  await until(() => requests.length === 1);
  const wrong = startClient(server, { token: bytes("wrong horse battery!") });
  await until(() => closed.includes("wrong token"));
  const stranger = startClient(server, { silent: true });
  await until(() => stranger.client.connected);
  stranger.client.send(MessageId.GetRouteRequest, request);
  await until(() => closed.some((reason) => reason.includes("not authenticated")));
  const forger = startClient(server, { silent: true });
  await until(() => forger.client.connected);
  forger.client.send(MessageId.HelloProof, encodeHelloProof({ mac: new Uint8Array(32) }));
  await until(() => closed.filter((reason) => reason === "wrong token").length >= 2);
  assert.equal(requests.length, 1, "nobody else was served");
  assert.ok(gate.refusedCount >= 3);
  for (const one of [good, wrong, stranger, forger]) {
    one.peer.close();
    await one.client.close();
  }
  await server.close();
});

test("HelloGate closes a connection that proves nothing in time", () => {
  const clock = new ManualClock();
  const gate = new HelloGate({ software: "s", role: "dns", token, clock, log: silentLogger });
  const reasons: (string | undefined)[] = [];
  const peer = { send: (): boolean => true, close: (reason?: string) => void reasons.push(reason) };
  gate.accept(peer);
  clock.advance(PROOF_TIMEOUT_MS - 1);
  assert.deepEqual(reasons, []);
  clock.advance(1);
  assert.deepEqual(reasons, ["no proof of the token in time"]);
  gate.forget(peer);
  assert.equal(clock.pendingCount, 0);
});

test("HelloGate closes a connection that sent pings and then fell silent, and no other", () => {
  const clock = new ManualClock();
  const gate = new HelloGate<GatedPeer>({ software: "s", role: "dns", clock, log: silentLogger });
  const router = new MessageRouter<GatedPeer>();
  gate.install(router);
  const closed: string[] = [];
  const accept = (name: string): GatedPeer => {
    const peer = {
      send: () => true,
      close: (reason?: string) => closed.push(`${name}: ${reason}`),
    };
    gate.accept(peer);
    return peer;
  };
  const ping = (peer: GatedPeer): unknown =>
    router.dispatch(MessageId.Ping, encodePing({ seq: 1 }), peer);
  const [pinging, silent, gone] = ["pinging", "silent", "gone"].map(accept);
  accept("original");
  for (const peer of [pinging, silent, gone]) ping(peer);
  gate.forget(gone);
  for (let ms = 1000; ms < SILENCE_TIMEOUT_MS; ms += 1000) {
    clock.advance(1000);
    ping(pinging);
  }
  assert.deepEqual(closed, []);
  clock.advance(1000);
  assert.deepEqual(closed, ["silent: no ping for 30 s"]);
  clock.advance(SILENCE_TIMEOUT_MS - 1001);
  assert.equal(closed.length, 1);
  clock.advance(1);
  assert.deepEqual(closed.slice(1), ["pinging: no ping for 30 s"]);
  assert.equal(gate.silentCount, 2);
  assert.equal(clock.pendingCount, 0);
});

test("HelloGate keeps what a peer says of itself, and what its pings say has come", () => {
  const clock = new ManualClock();
  const gate = new HelloGate<GatedPeer>({ software: "s", role: "dns", clock, log: silentLogger });
  const router = new MessageRouter<GatedPeer>();
  gate.install(router);
  const peer: GatedPeer = { send: () => true, close: () => {} };
  const hello = (): void =>
    void router.dispatch(
      MessageId.Hello,
      encodeHello({ protocol: 1, software: "x".repeat(500), role: "agent" }),
      peer,
    );
  gate.accept(peer);
  assert.deepEqual([gate.greetingOf(peer), gate.extendedCount], [undefined, 0]);
  clock.advance(10);
  hello();
  hello();
  assert.equal(gate.extendedCount, 1, "said twice, counted once");
  const { software, role, heardAtMs, revision } = gate.greetingOf(peer) ?? {};
  assert.deepEqual([software?.length, role, revision], [128, "agent", undefined]);
  assert.equal(heardAtMs, clock.nowMs());
  clock.advance(1600);
  router.dispatch(MessageId.Ping, encodePing({ seq: 1, revision: 7 }), peer);
  assert.equal(gate.greetingOf(peer)?.revision, 7);
  assert.equal(gate.greetingOf(peer)?.heardAtMs, clock.nowMs());
  gate.forget(peer);
  assert.deepEqual([gate.greetingOf(peer), gate.extendedCount], [undefined, 0]);
});

test("HelloPeer fails over when an extended server stops answering pings", async () => {
  const router = new MessageRouter<Connection>();
  let hellos = 0;
  const gate = new HelloGate<Connection>({
    software: "s",
    role: "dns",
    clock: systemClock,
    log: silentLogger,
  });
  const answering = new MessageRouter<Connection>();
  gate.install(answering);
  router.add(MessageId.Hello, (body, peer) => {
    hellos++;
    answering.dispatch(MessageId.Hello, body, peer);
  });
  router.add(MessageId.Ping, () => undefined);
  const server = new TcpServer({
    hostname: "127.0.0.1",
    port: 0,
    router,
    clock: systemClock,
    log: silentLogger,
    onAccept: (connection) => gate.accept(connection),
  });
  await server.listen();
  const { client, peer } = startClient(server, {});
  await until(() => hellos >= 2, { what: "a second connection after unanswered pings" });
  peer.close();
  await client.close();
  await server.close();
});

/** A peer whose server has answered Hello at 100 ms; what it does is written down with its time. */
function startPinging(options: Partial<HelloPeerOptions> = {}): {
  clock: ManualClock;
  peer: HelloPeer;
  pingedAtMs: number[];
  leftAtMs: number[];
  send(msgId: number): void;
  pong(): void;
} {
  const clock = new ManualClock();
  const pingedAtMs: number[] = [];
  const leftAtMs: number[] = [];
  const stats = { framesOut: 0 };
  const send = (msgId: number): void => {
    stats.framesOut++;
    if (msgId === MessageId.Ping) pingedAtMs.push(clock.nowMs());
  };
  const failOver = (): void => void leftAtMs.push(clock.nowMs());
  const client = { stats, send, failOver } as unknown as TcpClient;
  const router = new MessageRouter<TcpClient>();
  const peer = new HelloPeer({
    client: () => client,
    router,
    software: "client/1",
    role: "agent",
    clock,
    log: silentLogger,
    onReady: () => undefined,
    ...options,
  });
  clock.advance(100);
  peer.onConnect();
  const hello = encodeHello({ protocol: 1, software: "s", role: "dns" });
  router.dispatch(MessageId.Hello, hello, client);
  const pong = (): void => void router.dispatch(MessageId.Pong, encodePong({ seq: 1 }), client);
  return { clock, peer, pingedAtMs, leftAtMs, send, pong };
}

test("HelloPeer pings seldom, asks again soon, and leaves a silent server within 2.8 s", () => {
  const { clock, peer, pingedAtMs, leftAtMs, pong } = startPinging();
  clock.advance(1500);
  assert.deepEqual(pingedAtMs, [1600]);
  clock.advance(590);
  pong();
  clock.advance(1620);
  assert.deepEqual(pingedAtMs, [1600, 3200, 3800], "the second one of a pair is sent sooner");
  peer.onFrame();
  clock.advance(1010);
  assert.deepEqual([pingedAtMs.at(-1), leftAtMs], [4800, []], "any frame is an answer");
  clock.advance(1200);
  assert.deepEqual([pingedAtMs.slice(-2), leftAtMs], [[4800, 5400], [6000]]);
  peer.onDisconnect();
  clock.advance(10_000);
  assert.equal(clock.pendingCount, 0);
  assert.equal(leftAtMs.length, 1);
});

test("HelloPeer pings an unused link still less often, and one that was used at once", () => {
  const { clock, pingedAtMs, leftAtMs, send, pong } = startPinging({
    pingUnusedIntervalMs: PING_UNUSED_INTERVAL_MS,
  });
  const advanceTo = (ms: number): void => clock.advance(ms - clock.nowMs());
  advanceTo(1600);
  assert.deepEqual(pingedAtMs, [1600], "the first one is not put off");
  pong();
  advanceTo(9000);
  assert.deepEqual(pingedAtMs, [1600]);
  send(MessageId.ReportStatusRequest);
  advanceTo(9600);
  pong();
  advanceTo(25_000);
  assert.deepEqual(pingedAtMs, [1600, 9600], "what was sent is followed by one ping");
  advanceTo(25_600);
  assert.deepEqual(pingedAtMs.slice(2), [25_600]);
  assert.ok(PING_UNUSED_INTERVAL_MS + PING_INTERVAL_MS < SILENCE_TIMEOUT_MS);
  assert.deepEqual(leftAtMs, []);
  advanceTo(26_800);
  assert.deepEqual([pingedAtMs.slice(3), leftAtMs], [[26_200], [26_800]], "a silent one is left");
});
