import assert from "node:assert/strict";
import { test } from "node:test";
import type { RouteEdit, RouteRow } from "../../sql/store.ts";
import type { StoredModule } from "../../sql/console/console_store.ts";
import { ControlError } from "../control_error.ts";
import { editedModules } from "./change_edits.ts";
import { emptiedModules, judgeZones } from "./left_nodes.ts";

const KEY = { modId: 1, cmdId: 2 };

function node(ip: number, zone = "", values: Partial<RouteRow> = {}): RouteRow {
  return { ...KEY, ip, port: 80, weight: 100, zone, state: "on", ...values };
}

function module(nodes: readonly RouteRow[], policy = ""): StoredModule {
  return { ...KEY, name: "shop", policy, nodes: [...nodes] };
}

function policyOf(...evacuatedZones: string[]): string {
  return JSON.stringify({ policy: "recommended", evacuatedZones });
}

test("judgeZones() refuses a policy that leaves no zone to call, and no other", () => {
  const both = [node(1, "east"), node(2, "west")];
  const cases: [readonly RouteRow[], string, string, boolean][] = [
    [both, "", policyOf("east"), true],
    [both, policyOf("east"), policyOf("west"), true],
    [both, policyOf("east"), policyOf("east", "west"), false],
    [both, "", policyOf("west", "east"), false],
    // One without a zone stays in use; a drained one or one without weight does not count.
    [[...both, node(3)], "", policyOf("west", "east"), true],
    [[node(1, "east"), node(2, "west", { state: "drain" })], "", policyOf("east"), false],
    [[node(1, "east"), node(2, "west", { weight: 0 })], "", policyOf("east"), false],
    // What is so already may stay beside another change; no node, no harm.
    [both, policyOf("east", "west"), `{"evacuatedZones":["east","west"],"errRate":0.3}`, true],
    [[], "", policyOf("east"), true],
    [[node(1, "east", { state: "off" })], "", policyOf("east"), true],
  ];
  for (const [nodes, before, policy, isAllowed] of cases) {
    const judge = (): void =>
      judgeZones([module(nodes, before)], { routes: [], modules: [{ ...KEY, policy }] });
    if (isAllowed) {
      judge();
      continue;
    }
    assert.throws(judge, (error) =>
      error instanceof ControlError && error.reason === "invalid" &&
      /in \(1,2\) shop: /.test(error.message), `${before} to ${policy}`);
  }
});

test("judgeZones() sees the nodes as the same change leaves them", () => {
  const routes: RouteEdit[] = [{ op: "add", ...KEY, ip: 2, port: 80, zone: "west" }];
  judgeZones([module([node(1, "east")])], {
    routes,
    modules: [{ ...KEY, policy: policyOf("east") }],
  });
});

test("emptiedModules() names what loses its last node that takes calls, by every edit", () => {
  const set = { op: "set", ...KEY, ip: 1, port: 80 } as const;
  const cases: [readonly RouteRow[], RouteEdit, boolean][] = [
    [[node(1)], { ...set, state: "drain" }, true],
    [[node(1)], { ...set, state: "off" }, true],
    [[node(1)], { ...set, weight: 0 }, true],
    [[node(1)], { ...KEY, op: "remove", ip: 1, port: 80 }, true],
    [[node(1), node(2, "", { weight: 0 })], { ...set, weight: 0 }, true],
    [[node(1), node(2)], { ...set, state: "drain" }, false],
    [[node(1)], { ...set, weight: 1 }, false],
    [[node(1, "", { state: "drain" })], { ...set, weight: 0 }, false],
  ];
  for (const [nodes, edit, isEmptied] of cases) {
    const before = [module(nodes)];
    const { after } = editedModules(before, { routes: [edit] });
    const wanted = isEmptied ? [{ ...KEY, name: "shop" }] : [];
    assert.deepEqual(emptiedModules(before, after), wanted, JSON.stringify(edit));
  }
});
