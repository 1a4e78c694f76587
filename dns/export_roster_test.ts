import assert from "node:assert/strict";
import { test } from "node:test";
import type { ExportStatus } from "../proto/codec.ts";
import { ProtocolError } from "../reactor/errors.ts";
import { ManualClock } from "../reactor/time/manual_clock.ts";
import type { PeerSession } from "../session/server_sessions.ts";
import { ExportRoster, EXPORTS_MAX } from "./export_roster.ts";
import { ARRIVAL_GRACE_MS, type ExportSighting, LoopAgents } from "./linked_peers.ts";

const WAY = { way: "xds", at: "a:1", followers: 3, behind: 0, behindMs: 0, fault: "" };

function status(name: string): ExportStatus {
  return { name, startedAt: 100, modules: 2, ways: [WAY] };
}

function sighting(name: string, more: Partial<ExportSighting> = {}): ExportSighting {
  return { status: status(name), software: "lars", heardMsAgo: 0, behindMs: 0, ...more };
}

const WALL_MS = 1_000_000;

test("exports have a row while they are linked, with the newest version they had all of", () => {
  const roster = new ExportRoster();
  const others = { clients: 2, clientsBehind: 1 };
  roster.take(0, { ...others, exports: [sighting("one"), sighting("two")] }, 5);
  roster.take(1, { ...others, exports: [sighting("one", { heardMsAgo: 9_000 })] }, 5);
  assert.deepEqual(roster.counts, { exports: 3, clients: 4, clientsBehind: 2 });
  const late = sighting("one", { behindMs: ARRIVAL_GRACE_MS + 1 });
  roster.take(0, { ...others, exports: [late, sighting("two")] }, 6);
  const rows = roster.rows("d:1", WALL_MS);
  assert.deepEqual(
    rows.map(({ kind, address, seenAt, detail }) => [kind, address, seenAt, detail.version]),
    [
      ["export", "one", 1000, 5],
      ["export", "two", 1000, 6],
    ],
  );
  assert.deepEqual(JSON.parse(String(rows[0].detail.ways)), [WAY]);
  roster.forget("one");
  assert.deepEqual([roster.isLinked("one"), roster.isLinked("two")], [false, true]);
  roster.lostLoop(0);
  assert.deepEqual(roster.rows("d:1", WALL_MS), []);
});

test("as many exports have rows as are remembered", () => {
  const roster = new ExportRoster();
  const exports = Array.from({ length: EXPORTS_MAX + 10 }, (_, index) => sighting(`e${index}`));
  roster.take(0, { clients: 0, clientsBehind: 0, exports }, 5);
  assert.equal(roster.rows("d:1", WALL_MS).length, EXPORTS_MAX);
});

test("a loop counts clients and exports, takes only from exports, and bounds what they say", () => {
  const clock = new ManualClock();
  const sessions = new Map<string, PeerSession>();
  const loop = new LoopAgents<string>({ clock, sessionOf: (peer) => sessions.get(peer) });
  const session = (role: string, revision = 0): PeerSession =>
    ({ role, software: "s", heardAtMs: 0, revision }) as unknown as PeerSession;
  sessions.set("export", session("export", 3));
  sessions.set("client", session("client"));
  sessions.set("agent", session("agent"));
  loop.sent("export", 3);
  loop.sent("client", 3);
  clock.advance(ARRIVAL_GRACE_MS + 1);
  const many = Array.from({ length: 50 }, () => ({ ...WAY, fault: "x".repeat(1_000) + "\u001b" }));
  loop.toldExport("export", { ...status("n".repeat(500)), ways: many });
  const { exports, clients, clientsBehind } = loop.others();
  assert.deepEqual([clients, clientsBehind, exports.length, exports[0].behindMs], [1, 1, 1, 0]);
  assert.equal(exports[0].status.ways.length, 8);
  assert.ok(JSON.stringify(exports[0].status).length < 8_000, "it fits a row");
  assert.throws(() => loop.toldExport("agent", status("x")), ProtocolError);
  assert.throws(() => loop.toldExport("export", status("")), ProtocolError);
  loop.toldExport("export", status("n".repeat(600)));
  assert.throws(() => loop.toldExport("export", status("other")), ProtocolError);
  assert.equal(loop.exportOf("export"), "n".repeat(100));
});
