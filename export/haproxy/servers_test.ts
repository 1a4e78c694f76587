// Goal: HAProxy is told exactly what differs, in the order that it needs.

import assert from "node:assert/strict";
import { test } from "node:test";
import type { ExportNode } from "../fleet_view.ts";
import {
  type HaproxyServer,
  haproxyWeights,
  isStillUsed,
  isTaken,
  readServersState,
  reconcile,
  serverName,
} from "./servers.ts";

const node = (last: number, more: Partial<ExportNode> = {}): ExportNode => ({
  ...{ ip: 0x0a000000 + last, port: 80, weight: 100, zone: "", state: "up" },
  ...more,
});
const server = (last: number, more: Partial<HaproxyServer> = {}): HaproxyServer => ({
  name: serverName(node(last)),
  ...{ state: "ready", weight: 100, hasCheck: true, isChecked: true },
  ...more,
});
const plan = (servers: HaproxyServer[], nodes: ExportNode[], check = true, extra = ""): string[] =>
  reconcile("be", servers, nodes, { check, extra }).flatMap(({ commands }) => [...commands]);

const ADDED = "add server be/lars-10.0.0.1-80 10.0.0.1:80 weight 100";
const POOL = "pool-max-conn -1 pool-purge-delay 5s";
const S1 = "be/lars-10.0.0.1-80";

const CASES: [what: string, servers: HaproxyServer[], nodes: ExportNode[], commands: string[]][] = [
  ["nothing differs", [server(1)], [node(1)], []],
  ["a new node: checked before it gets calls", [], [node(1)], [
    `${ADDED} check inter 2s fastinter 500ms fall 3 rise 2 ${POOL}`,
    `enable health ${S1}`,
    `set server ${S1} state ready`,
  ]],
  ["a new node that is sick stays in maintenance", [], [node(1, { state: "out" })], [
    `${ADDED} check inter 2s fastinter 500ms fall 3 rise 2 ${POOL}`,
    `enable health ${S1}`,
  ]],
  ["a node that falls sick", [server(1)], [node(1, { state: "out" })], [
    `set server ${S1} state maint`,
  ]],
  ["a node that is well again", [server(1, { state: "maint" })], [node(1)], [
    `set server ${S1} state ready`,
  ]],
  ["a drained node keeps its weight", [server(1)], [node(1, { state: "drain", weight: 0 })], [
    `set server ${S1} state drain`,
  ]],
  ["another weight", [server(1, { weight: 7 })], [node(1)], [`set server ${S1} weight 100`]],
  ["a check that somebody stopped", [server(1, { isChecked: false })], [node(1)], [
    `enable health ${S1}`,
  ]],
  ["a node that is gone", [server(1)], [], [
    `set server ${S1} state maint`,
    `del server ${S1}`,
  ]],
  ["one that HAProxy did not let go yet", [server(1, { state: "maint" })], [], [
    `del server ${S1}`,
  ]],
  ["a server of the configuration", [server(1, { name: "fixed" })], [], []],
];

for (const [what, servers, nodes, commands] of CASES) {
  test(`reconcile(): ${what}`, () => assert.deepEqual(plan(servers, nodes), commands));
}

test("without checks, and with more words", () => {
  assert.deepEqual(plan([], [node(1)], false, "maxconn 9"), [
    `${ADDED} ${POOL} maxconn 9`,
    `set server ${S1} state ready`,
  ]);
  assert.deepEqual(plan([server(1, { hasCheck: false, isChecked: false })], [node(1)], false), []);
});

test("haproxyWeights() keeps proportions, fits 256, and lets nobody fall to 0", () => {
  const of = (...weights: number[]): number[] =>
    haproxyWeights(weights.map((weight, index) => node(index, { weight })));
  assert.deepEqual(of(100, 200, 1), [100, 200, 1]);
  assert.deepEqual(of(10_000, 5_000, 1, 0), [256, 128, 1, 0]);
  assert.deepEqual(of(), []);
});

test("readServersState() tells an answer from a refusal", () => {
  const head =
    "# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight " +
    "srv_iweight srv_time_since_last_change srv_check_status srv_check_result srv_check_health " +
    "srv_check_state srv_agent_state";
  const row = (name: string, admin: number, check: number): string =>
    `3 be 2 ${name} 127.0.0.1 2 ${admin} 33 20 0 1 0 2 ${check} 0`;
  const text = [
    "1",
    head,
    row("a", 0, 6),
    row("b", 8, 2),
    row("c", 1, 0),
    "9 other 1 z 1 2 0 1",
    "",
  ]
    .join("\n");
  const common = { weight: 33 };
  assert.deepEqual(readServersState(text, "be"), [
    { ...common, name: "a", state: "ready", hasCheck: true, isChecked: true },
    { ...common, name: "b", state: "drain", hasCheck: true, isChecked: false },
    { ...common, name: "c", state: "maint", hasCheck: false, isChecked: false },
  ]);
  for (const bad of ["", "Can't find backend.\n", "2\n# x\n"]) {
    assert.throws(() => readServersState(bad, "be"), /does not tell the servers of backend "be"/);
  }
});

test("words of HAProxy: taken, not yet, and refused", () => {
  for (const answer of ["\n", "", "New server registered.\n\n", "Server deleted.\n"]) {
    assert.equal(isTaken(answer), true, answer);
  }
  assert.equal(isTaken("No such server.\n"), false);
  assert.equal(isStillUsed("del server be/x", "Server still has connections attached."), true);
  assert.equal(isStillUsed("set server be/x weight 1", "Server still has connections"), false);
});
