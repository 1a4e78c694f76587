import assert from "node:assert/strict";
import { test } from "node:test";
import { MessageId, PeerRefusal } from "../proto/message_ids.ts";
import { decodeLeaving, encodeHello, encodePing } from "../proto/codec.ts";
import { ManualClock, silentLogger } from "../reactor/mod.ts";
import { PROOF_TIMEOUT_MS, refusalText } from "./handshake.ts";
import { SILENCE_TIMEOUT_MS } from "./heartbeat.ts";
import { newNonce, proofOf } from "./proof.ts";
import { REFUSED_LATELY_MS } from "./refused_hosts.ts";
import { Secrets } from "./secrets.ts";
import { ServerSessions, type SessionPeer } from "./server_sessions.ts";

const ends = {
  remote: { hostname: "10.0.0.7", port: 40_000 },
  local: { hostname: "10.0.0.5", port: 7778 },
};

function sessionsAt(clock: ManualClock, token?: Uint8Array): ServerSessions<SessionPeer> {
  const shared = { log: silentLogger, prove: proofOf, newNonce };
  return new ServerSessions({
    ...shared,
    software: "s",
    role: "dns",
    secrets: Secrets.ofToken(token),
    clock,
  });
}

test("ServerSessions closes a connection that proves nothing in time", () => {
  const clock = new ManualClock();
  const sessions = sessionsAt(clock, new TextEncoder().encode("correct horse battery"));
  const reasons: (string | undefined)[] = [];
  const close = (reason?: string): unknown => reasons.push(reason);
  const peer = { ...ends, send: (): boolean => true, close };
  sessions.accept(peer);
  clock.advance(PROOF_TIMEOUT_MS - 1);
  assert.deepEqual(reasons, []);
  clock.advance(1);
  assert.deepEqual(reasons, [refusalText(PeerRefusal.NoSecret, "us")]);
  assert.deepEqual([sessions.refusedCount, sessions.refusedHostCount], [1, 1]);
  clock.advance(REFUSED_LATELY_MS);
  assert.equal(sessions.refusedHostCount, 0, "lately is over");
  sessions.forget(peer);
  assert.equal(clock.pendingCount, 0);
});

test("ServerSessions lets something follow its answer to Hello, once, and not where it refuses", () => {
  const clock = new ManualClock();
  const hello = (protocol: number, nonce?: Uint8Array): Uint8Array =>
    encodeHello({ protocol, software: "x", role: "agent", nonce });
  for (const secret of [undefined, "correct horse battery"]) {
    const sent: unknown[] = [];
    const sessions = new ServerSessions<SessionPeer>({
      ...{ software: "s", role: "dns", clock, log: silentLogger, prove: proofOf, newNonce },
      secrets: Secrets.ofToken(secret === undefined ? undefined : new TextEncoder().encode(secret)),
      onWelcomed: () => sent.push("more"),
    });
    const peer = {
      ...ends,
      send: (msgId: number) => sent.push(msgId) > 0,
      close: () => sent.push("closed"),
    };
    sessions.accept(peer);
    const body = hello(2, secret === undefined ? undefined : newNonce());
    sessions.router.dispatch(MessageId.Hello, body, peer);
    sessions.router.dispatch(MessageId.Hello, body, peer);
    assert.deepEqual(sent, [MessageId.Hello, "more", MessageId.Hello]);
    sessions.forget(peer);
    if (secret === undefined) continue;
    sent.splice(0);
    sessions.accept(peer);
    sessions.router.dispatch(MessageId.Hello, hello(2), peer);
    assert.deepEqual(sent, [MessageId.Hello, MessageId.Refusal, "closed"]);
    sessions.forget(peer);
  }
});

test("ServerSessions closes a connection that sent pings and then fell silent, and no other", () => {
  const clock = new ManualClock();
  const sessions = sessionsAt(clock);
  const closed: string[] = [];
  const accept = (name: string): SessionPeer => {
    const peer = {
      ...ends,
      send: () => true,
      close: (reason?: string) => closed.push(`${name}: ${reason}`),
    };
    sessions.accept(peer);
    return peer;
  };
  const ping = (peer: SessionPeer): unknown =>
    sessions.router.dispatch(MessageId.Ping, encodePing({ seq: 1 }), peer);
  const [pinging, silent, gone] = ["pinging", "silent", "gone"].map(accept);
  accept("original");
  for (const peer of [pinging, silent, gone]) ping(peer);
  sessions.forget(gone);
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
  assert.equal(sessions.silentCount, 2);
  assert.equal(clock.pendingCount, 0);
});

test("ServerSessions tells whoever comes while the service stops to go elsewhere, in what time is left", () => {
  const clock = new ManualClock();
  const sessions = sessionsAt(clock);
  const told: string[] = [];
  const accept = (name: string): SessionPeer => {
    const peer = {
      ...ends,
      send: (msgId: number, body: Uint8Array): boolean => {
        if (msgId === MessageId.Leaving) told.push(`${name} ${decodeLeaving(body).spreadMs}`);
        return true;
      },
      close: (): void => {},
    };
    sessions.accept(peer);
    return peer;
  };
  const hello = (peer: SessionPeer): void =>
    void sessions.router.dispatch(
      MessageId.Hello,
      encodeHello({ protocol: 1, software: "x", role: "agent" }),
      peer,
    );
  const many = Array.from({ length: 40 }, (_, index) => accept(`${index}`));
  for (const peer of many) hello(peer);
  const late = accept("late");
  void sessions.leave();
  const spreadMs = Number(told[0].split(" ")[1]);
  assert.ok(told.length === 40 && spreadMs > 100, "those who are there");
  clock.advance(100);
  hello(late);
  assert.deepEqual(told.slice(40), [`late ${spreadMs - 100}`]);
  clock.advance(spreadMs);
  hello(accept("last"));
  assert.deepEqual(told.slice(41), ["last 0"], "at once");
});

test("ServerSessions does not mind the silence of one whose connection asks whether it is there", () => {
  const clock = new ManualClock();
  const sessions = sessionsAt(clock);
  const closed: (string | undefined)[] = [];
  const close = (reason?: string): unknown => closed.push(reason);
  const peer = { ...ends, asksPeer: true, send: () => true, close };
  sessions.accept(peer);
  sessions.router.dispatch(MessageId.Ping, encodePing({ seq: 1 }), peer);
  clock.advance(2 * SILENCE_TIMEOUT_MS);
  assert.deepEqual([closed, clock.pendingCount], [[], 0]);
});

test("ServerSessions keeps what a peer says of itself, and what its pings say has come", () => {
  const clock = new ManualClock();
  const sessions = sessionsAt(clock);
  const peer: SessionPeer = { ...ends, send: () => true, close: () => {} };
  const hello = (): void =>
    void sessions.router.dispatch(
      MessageId.Hello,
      encodeHello({ protocol: 1, software: "x".repeat(500), role: "agent" }),
      peer,
    );
  sessions.accept(peer);
  assert.deepEqual([sessions.sessionOf(peer), sessions.extendedCount], [undefined, 0]);
  clock.advance(10);
  hello();
  hello();
  assert.equal(sessions.extendedCount, 1, "said twice, counted once");
  const { software, role, heardAtMs, revision } = sessions.sessionOf(peer) ?? {};
  assert.deepEqual([software?.length, role, revision], [128, "agent", undefined]);
  assert.equal(heardAtMs, clock.nowMs());
  clock.advance(1600);
  sessions.router.dispatch(MessageId.Ping, encodePing({ seq: 1, revision: 7 }), peer);
  assert.equal(sessions.sessionOf(peer)?.revision, 7);
  assert.equal(sessions.sessionOf(peer)?.heardAtMs, clock.nowMs());
  sessions.forget(peer);
  assert.deepEqual([sessions.sessionOf(peer), sessions.extendedCount], [undefined, 0]);
});
