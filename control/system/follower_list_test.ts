import assert from "node:assert/strict";
import { test } from "node:test";
import type { ServiceInstance } from "../../sql/store.ts";
import { type FollowerSource, followerSource, listFollowers } from "./follower_list.ts";

const WALL_MS = 1_000_000_000;

function source(kind: string, address: string, more: Partial<FollowerSource> = {}): FollowerSource {
  return {
    ...{ kind, address, seenAtMs: WALL_MS - 1000, isSilent: false, revision: 7, revisionLag: 0 },
    detail: {},
    ...more,
  };
}

const WAYS = JSON.stringify([
  { way: "xds", at: "127.0.0.1:18000", followers: 1204, behind: 3, behindMs: 65_000, fault: "" },
  { way: "haproxy", at: "/run/h", followers: 1, behind: 0, behindMs: 0, fault: "away" },
  { way: "odd" },
  "rubbish",
]);

test("agents, those behind them, those at dns, and each way of each export", () => {
  const { version, followers } = listFollowers([
    source("agent", "a:1", { detail: { clients: 2, tableReaders: 4 } }),
    source("agent", "b:1", {
      ...{ revision: 5, revisionLag: 40, detail: { clients: 3, tableReaders: 1 } },
    }),
    source("agent", "unread:1", { detail: { tableReaders: 0 } }),
    source("agent", "gone:1", { isSilent: true, revision: 1, detail: { tableReaders: 9 } }),
    source("dns", "d:1", { detail: { clients: 4, clientsBehind: 1, connectionsPlain: 0 } }),
    source("dns", "e:1", { detail: { connectionsPlain: 2 } }),
    source("reporter", "r:1"),
    source("export", "web-1 x", { detail: { ways: WAYS } }),
    source("export", "old", { isSilent: true, detail: { ways: "{" } }),
  ], 7);
  assert.equal(version, 7);
  const lines = followers.map((row) => [
    ...[row.way, row.through, row.followers, row.behind, row.revision, row.lagSeconds, row.fault],
  ]);
  assert.deepEqual(lines, [
    ["agents", "dns", 3, 1, 5, 40, null],
    ["in-process", "agents", 5, null, 5, 40, null],
    ["table", "b:1", 1, 1, 5, 40, null],
    ["table", "a:1", 4, 0, 7, 0, null],
    ["in-process", "d:1", 4, 1, 7, 0, null],
    ["plain", "e:1", 2, null, 7, 0, null],
    ["xds", "web-1 x", 1204, 3, 7, 0, null],
    ["haproxy", "web-1 x", 1, 0, 7, 0, "away"],
  ]);
});

test("readers of tables: of few agents each, of many those behind, then those with most", () => {
  const rows = (agents: readonly FollowerSource[]): unknown[] =>
    listFollowers(agents, 7).followers.filter(({ way }) => way === "table")
      .map(({ through, followers, revision }) => [through, followers, revision]);
  const reader = (address: string, tableReaders: number): FollowerSource =>
    source("agent", address, { detail: { tableReaders } });
  assert.deepEqual(rows([source("agent", "old:1")]), [["agents", null, 7]]);
  assert.deepEqual(rows([source("agent", "old:1"), reader("a:1", 0)]), [["agents", 0, 7]]);
  const many = Array.from({ length: 30 }, (_, index) => reader(`${index}:1`, index + 1));
  const late = source("agent", "late:1", {
    ...{ revision: 3, revisionLag: 9, detail: { tableReaders: 1 } },
  });
  const found = rows([...many, late]);
  assert.equal(found.length, 20);
  assert.deepEqual(found.slice(0, 2), [["late:1", 1, 3], ["29:1", 30, 7]]);
  // 1 to 12: all but the one that is late and the 18 with most.
  assert.deepEqual(found.at(-1), ["agents", 78, 7]);
});

test("nobody follows", () => {
  assert.deepEqual(listFollowers([], 3), { version: 3, followers: [] });
});

test("a row of the database tells whether it is behind, not for how long", () => {
  const row = (version: number | undefined, seenAt: number): ServiceInstance => ({
    ...{ kind: "export", address: "x", software: "", startedAt: 1, seenAt },
    detail: version === undefined ? {} : { version },
  });
  const seenAt = WALL_MS / 1000;
  assert.deepEqual(
    [row(7, seenAt), row(6, seenAt), row(undefined, seenAt - 31)].map((one) => {
      const { revision, revisionLag, isSilent } = followerSource(one, 7, WALL_MS);
      return [revision, revisionLag, isSilent];
    }),
    [[7, 0, false], [6, null, false], [null, null, true]],
  );
});
