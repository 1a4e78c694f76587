import assert from "node:assert/strict";
import { test } from "node:test";
import { PING_INTERVAL_MS } from "../session/heartbeat.ts";
import type { PeerSession } from "../session/server_sessions.ts";
import type { AgentStatus } from "../proto/codec.ts";
import { ManualClock } from "../reactor/time/manual_clock.ts";
import { ProtocolError } from "../reactor/errors.ts";
import { AGENT_KNOWN_S, AgentRoster } from "./agent_roster.ts";
import { type AgentSighting, ARRIVAL_GRACE_MS, LoopAgents } from "./linked_peers.ts";

const status: AgentStatus = {
  ip: 0x0a000001,
  port: 8888,
  zone: "east",
  startedAt: 1000,
  modules: 3,
  held: 0,
  heldRoutes: "",
  policiesRefused: 0,
  reporterConnected: true,
};

interface Peer {
  session: PeerSession | undefined;
}

function agentPeer(values: Partial<PeerSession> = {}): Peer {
  const session = { software: "lars/1", role: "agent", heardAtMs: 0, revision: undefined };
  return { session: { ...session, ...values } };
}

function loopOf(clock: ManualClock): LoopAgents<Peer> {
  return new LoopAgents<Peer>({ clock, sessionOf: (peer) => peer.session });
}

test("LoopAgents knows an agent by its Hello and its status, and forgets it with its connection", () => {
  const clock = new ManualClock();
  const loop = loopOf(clock);
  const peer = agentPeer({ software: "lars/1\u001b[2J" });
  loop.sent(peer, 5);
  assert.deepEqual(loop.sightings(), [], "nothing told yet");
  loop.told(peer, { ...status, zone: `ea\nst${"x".repeat(100)}` });
  clock.advance(700);
  const [sighting] = loop.sightings();
  assert.equal(sighting.software, "lars/1[2J");
  assert.equal(sighting.heardMsAgo, 700);
  assert.equal(sighting.status.zone.length, 64);
  assert.ok(sighting.status.zone.startsWith("eastx"));
  loop.told(peer, { ...status, modules: 4 });
  assert.deepEqual(loop.sightings().map((one) => one.status.modules), [4]);
  loop.closed(peer);
  assert.deepEqual(loop.sightings(), []);
});

test("LoopAgents refuses what no agent says", () => {
  const loop = loopOf(new ManualClock());
  assert.throws(() => loop.told({ session: undefined }, status), ProtocolError);
  assert.throws(() => loop.told(agentPeer({ role: "tool" }), status), ProtocolError);
  for (const port of [0, 65_536, 4_294_967_295]) {
    assert.throws(() => loop.told(agentPeer(), { ...status, port }), ProtocolError);
  }
  const peer = agentPeer();
  loop.told(peer, status);
  assert.throws(() => loop.told(peer, { ...status, ip: 1 }), /keep its name/);
  assert.equal(loop.sightings().length, 1);
});

test("LoopAgents tells for how long a push has been on its way", () => {
  const clock = new ManualClock();
  const loop = loopOf(clock);
  let revision: number | undefined;
  const peer: Peer = {
    get session(): PeerSession {
      return { software: "", role: "agent", heardAtMs: 0, revision };
    },
  } as Peer;
  loop.told(peer, status);
  const behindMs = (): number => loop.sightings()[0].behindMs;
  assert.equal(behindMs(), 0, "nothing was sent");
  clock.advance(1000);
  loop.sent(peer, 10);
  clock.advance(500);
  assert.equal(behindMs(), 500);
  loop.sent(peer, 12);
  clock.advance(500);
  assert.equal(behindMs(), 1000, "since the first that has not arrived");
  revision = 10;
  assert.equal(behindMs(), 500, "since the second");
  revision = 12;
  assert.equal(behindMs(), 0);
  loop.sent(peer, 11);
  assert.equal(behindMs(), 0, "an older route of another module");

  // Pushes without an end, each of which arrives: never behind for longer than that takes.
  let worst = 0;
  for (let i = 0; i < 1000; i++) {
    clock.advance(100);
    loop.sent(peer, 100 + i);
    if (i % 16 === 0) revision = 100 + i - 1;
    worst = Math.max(worst, behindMs());
  }
  assert.ok(worst <= ARRIVAL_GRACE_MS + 100, `${worst} ms`);
  assert.equal(ARRIVAL_GRACE_MS, 2 * PING_INTERVAL_MS);
});

function sighting(name: number, values: Partial<AgentSighting> = {}): AgentSighting {
  return {
    status: { ...status, ip: name },
    software: "lars/1",
    heardMsAgo: 0,
    behindMs: 0,
    ...values,
  };
}

const NOW_MS = 1_700_000_000_000;

test("AgentRoster gives a row for each agent that was heard again, and none for one that has gone", () => {
  const roster = new AgentRoster();
  roster.take(0, [sighting(1, { heardMsAgo: 1500 })], 77, NOW_MS);
  roster.take(1, [sighting(2, { behindMs: ARRIVAL_GRACE_MS + 1 })], 77, NOW_MS);
  const rows = roster.rows("10.0.0.9:7778");
  assert.deepEqual(rows[0], {
    kind: "agent",
    address: "0.0.0.1:8888",
    software: "lars/1",
    startedAt: 1000,
    seenAt: 1_699_999_998,
    detail: {
      dns: "10.0.0.9:7778",
      version: 77,
      zone: "east",
      modules: 3,
      modulesHeld: 0,
      routesHeldBack: "",
      policiesRefused: 0,
      reporterConnected: 1,
    },
  });
  assert.equal("version" in rows[1].detail, false, "it never had everything");
  assert.equal(roster.rows("dns").length, 2, "not written: offered again");
  roster.written(rows);
  assert.deepEqual(roster.rows("dns"), []);
  roster.take(0, [], 78, NOW_MS + 10_000);
  roster.take(1, [sighting(2)], 78, NOW_MS + 10_000);
  assert.deepEqual(roster.rows("dns").map(({ address, detail }) => [address, detail.version]), [
    ["0.0.0.2:8888", 78],
  ]);
  assert.deepEqual(roster.counts, { linked: 1, known: 2, refused: 0 });
  roster.lostLoop(1);
  assert.deepEqual(roster.rows("dns"), []);
  assert.equal(roster.counts.linked, 0);
});

test("AgentRoster keeps the version of which everything had arrived, while a later push is late", () => {
  const roster = new AgentRoster();
  const version = (): unknown => roster.rows("dns")[0]?.detail.version;
  roster.take(0, [sighting(1)], 0, NOW_MS);
  assert.equal(version(), undefined, "dns has read nothing yet");
  roster.take(0, [sighting(1)], 5, NOW_MS);
  assert.equal(version(), 5);
  roster.take(0, [sighting(1, { behindMs: ARRIVAL_GRACE_MS })], 6, NOW_MS + 1000);
  assert.equal(version(), 6, "a ping could not have said so yet");
  roster.take(0, [sighting(1, { behindMs: 60_000 })], 7, NOW_MS + 2000);
  assert.equal(version(), 6);
});

test("AgentRoster takes the living one of two connections of one agent", () => {
  const roster = new AgentRoster();
  roster.take(0, [sighting(1, { behindMs: 20_000, heardMsAgo: 20_000 })], 5, NOW_MS);
  roster.take(1, [sighting(1)], 5, NOW_MS);
  roster.take(0, [sighting(1, { behindMs: 21_000, heardMsAgo: 21_000 })], 5, NOW_MS + 1000);
  const rows = roster.rows("dns");
  assert.deepEqual(rows.map(({ seenAt }) => seenAt), [1_700_000_000]);
  assert.equal(roster.counts.linked, 1);
});

test("AgentRoster is bounded: those that have gone give way, further ones are counted", () => {
  const roster = new AgentRoster(2);
  roster.take(0, [sighting(1), sighting(2)], 5, NOW_MS);
  roster.take(0, [sighting(1), sighting(3)], 5, NOW_MS);
  // 2 was linked until this moment: it gives way the next time.
  assert.deepEqual(roster.counts, { linked: 1, known: 2, refused: 1 });
  roster.take(0, [sighting(1), sighting(3)], 5, NOW_MS);
  assert.deepEqual(roster.counts, { linked: 2, known: 2, refused: 1 });
  assert.deepEqual(roster.rows("dns").map(({ address }) => address), [
    "0.0.0.1:8888",
    "0.0.0.3:8888",
  ]);
  roster.take(0, [], 5, NOW_MS + (AGENT_KNOWN_S + 1) * 1000);
  assert.equal(roster.counts.known, 0);
});
