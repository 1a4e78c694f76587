import assert from "node:assert/strict";
import { test } from "node:test";
import type { ModuleKey } from "../../model/module.ts";
import type { ChangeDetail } from "../schemas.ts";
import { chooseUndoing, findDrains } from "./drain_origin.ts";

type State = "on" | "drain" | "off";

const NODE = { ip: 0x0a000001, port: 80 };

/** A change that sets the node's state in some modules; null: it was not there. */
function change(
  id: number,
  ...steps: [cmdId: number, before: State | null, after: State][]
): ChangeDetail {
  const spec = (state: State | null): ChangeDetail["nodes"][number]["before"] =>
    state === null ? null : { weight: 100, zone: "", state };
  return {
    id,
    atMs: id,
    who: "ann",
    via: "command",
    why: `why ${id}`,
    summary: "",
    modules: [],
    moduleCount: steps.length,
    nodeCount: steps.length,
    undoes: null,
    undoneBy: null,
    moduleTexts: [],
    nodes: steps.map(([cmdId, before, after]) => ({
      modId: 1,
      cmdId,
      ip: "10.0.0.1",
      port: 80,
      before: spec(before),
      after: spec(after),
    })),
  };
}

async function undoing(
  changes: readonly ChangeDetail[],
  drained: readonly number[],
): Promise<[undone: number[], left: (number | string)[]] | undefined> {
  const history = {
    changes: ({ cmdId }: ModuleKey) =>
      Promise.resolve(
        changes.filter(({ nodes }) => nodes.some((node) => node.cmdId === cmdId)).toReversed(),
      ),
    detail: (id: number) => {
      const found = changes.find((one) => one.id === id);
      return found === undefined ? Promise.reject(new Error("none")) : Promise.resolve(found);
    },
  };
  const modules = drained.map((cmdId) => ({ modId: 1, cmdId }));
  const found = chooseUndoing(await findDrains(history, NODE, modules));
  if (found === undefined) return undefined;
  return [
    found.undone.map(({ cmdId }) => cmdId),
    found.left.map((one) => one.change === undefined ? `${one.cmdId} unknown` : one.cmdId),
  ];
}

test("what a drain found drained already is not taken back with it", async () => {
  const history = [
    change(1, [1, null, "on"], [2, null, "on"], [3, null, "on"]),
    change(2, [2, "on", "drain"]),
    change(3, [1, "on", "drain"], [3, "on", "drain"]),
  ];
  assert.deepEqual(await undoing(history, [1, 2, 3]), [[1, 3], [2]]);
  assert.deepEqual(await undoing(history.slice(0, 2), [2]), [[2], []]);
});

test("only what made the node drain counts: no other edit, no drain that ended meanwhile", async () => {
  const history = [
    change(1, [1, "on", "drain"], [2, "on", "drain"]),
    change(2, [1, "drain", "on"]),
    change(3, [1, "on", "drain"]),
    change(4, [2, "drain", "drain"]),
  ];
  assert.deepEqual(await undoing(history, [1, 2]), [[1], [2]]);
  // Another program drained it after the last change that is known of.
  assert.deepEqual(await undoing(history.slice(0, 2), [1, 2]), [[2], ["1 unknown"]]);
});

test("without any known drain one module is clear, several are not", async () => {
  assert.deepEqual(await undoing([], [1]), [[1], []]);
  assert.equal(await undoing([], [1, 2]), undefined);
  assert.deepEqual(await undoing([], []), [[], []]);
});
