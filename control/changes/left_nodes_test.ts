import assert from "node:assert/strict";
import { test } from "node:test";
import type { RouteEdit, RouteRow } from "../../sql/store.ts";
import type { StoredModule } from "../../sql/console/console_store.ts";
import { ControlError } from "../control_error.ts";
import { editedModules } from "./change_edits.ts";
import { leftSentences, leftTexts } from "./left_text.ts";
import { judgeZones, leftByEdits, leftNodes } from "./left_nodes.ts";

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

test("leftNodes() names what loses its last node that takes calls, by every edit", () => {
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
    assert.deepEqual(leftNodes(before, after).emptied, wanted, JSON.stringify(edit));
  }
});

test("leftNodes() names what goes back to evacuated zones, by whichever edit, and once", () => {
  const set = { op: "set", ...KEY, ip: 2, port: 80 } as const;
  const both = [node(1, "east"), node(2, "west")];
  const cases: [readonly RouteRow[], readonly string[], RouteEdit, readonly string[]][] = [
    [both, ["east"], { ...set, state: "drain" }, ["east"]],
    [both, ["east"], { ...set, weight: 0 }, ["east"]],
    [both, ["east"], { ...set, zone: "east" }, ["east"]],
    [both, ["east"], { ...KEY, op: "remove", ip: 2, port: 80 }, ["east"]],
    [both, ["west"], { ...set, state: "drain" }, []],
    [[...both, node(3)], ["east"], { ...set, state: "drain" }, []],
    [[...both, node(3, "north")], ["east", "north", "south"], { ...set, state: "off" }, [
      "east",
      "north",
    ]],
    // It was so before.
    [both, ["east", "west"], { ...set, state: "drain" }, []],
    // None is left at all.
    [[node(2, "west")], ["east"], { ...set, state: "drain" }, []],
  ];
  for (const [nodes, evacuated, edit, zones] of cases) {
    const before = [module(nodes, policyOf(...evacuated))];
    const { after } = editedModules(before, { routes: [edit] });
    const wanted = zones.length === 0 ? [] : [{ ...KEY, name: "shop", zones }];
    assert.deepEqual(leftNodes(before, after).returned, wanted, JSON.stringify(edit));
    const texts = [{ ...KEY, name: "shop", policy: policyOf(...evacuated), updatedAt: 1 }];
    assert.deepEqual(
      leftByEdits(nodes, texts, { routes: [edit] }),
      leftNodes(before, after),
      JSON.stringify(edit),
    );
  }
});

test("leftTexts() says what is, or what will be, of each module", () => {
  const shop = { ...KEY, name: "shop" };
  const left = { emptied: [shop], returned: [{ ...shop, zones: ["east", "north"] }] };
  const label = ({ name }: { name: string }): string => name;
  assert.deepEqual(leftTexts(left, "now", label), [
    "module shop has no node that takes calls now",
    "calls of module shop go to zones east, north again, although evacuated: " +
    "no other node takes calls",
  ]);
  assert.deepEqual(leftSentences(left, "will", label), [
    "Module shop will have no node that takes calls",
    "Calls of module shop will go to zones east, north again, although evacuated: " +
    "no other node will take calls",
  ]);
});
