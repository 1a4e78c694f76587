import assert from "node:assert/strict";
import { test } from "node:test";
import { StatementFault } from "./driver.ts";
import { furthest, type NodePosition, nodePositionScript } from "./galera_node.ts";
import { runScript, type SqlRow } from "./sql_script.ts";

/** What a server answers to the two questions. */
function position(
  on: string | undefined,
  status: Record<string, string>,
): NodePosition | undefined {
  return runScript(nodePositionScript(), ({ sql }): SqlRow[] => {
    if (sql.includes("wsrep_on")) {
      return on === undefined ? [] : [{ Variable_name: "wsrep_on", Value: on }];
    }
    return Object.entries(status).map(([name, Value]) => ({ Variable_name: name, Value }));
  });
}

test("a server says how far it is, if it is a node of a cluster", () => {
  const ready = { wsrep_ready: "ON", wsrep_last_committed: "12345678901234567890" };
  const committed = 12345678901234567890n;
  const table: [string | undefined, Record<string, string>, NodePosition | undefined][] = [
    [undefined, {}, undefined],
    ["OFF", { wsrep_ready: "OFF", wsrep_local_state: "0" }, undefined],
    ["ON", { ...ready, wsrep_local_state: "4" }, { lags: false, committed }],
    ["ON", { ...ready, wsrep_local_state: "2" }, { lags: true, committed }],
    ["ON", { ...ready, wsrep_local_state: "3" }, { lags: true, committed }],
    ["ON", { wsrep_ready: "ON", wsrep_local_state: "2" }, { lags: true, committed: -1n }],
  ];
  for (const [on, status, wanted] of table) assert.deepEqual(position(on, status), wanted);
});

test("a node that cannot serve is away, and says why", () => {
  assert.throws(
    () => position("ON", { wsrep_ready: "OFF", wsrep_local_state_comment: "Initialized" }),
    (error) =>
      error instanceof StatementFault && error.kind === "transient" &&
      /wsrep_ready .* ON: .* Initialized/.test(error.message),
  );
});

test("of nodes that all lag the one that has most is the best", () => {
  const nodes = [5n, 7n, -1n].map((committed) => ({ position: { lags: true, committed } }));
  assert.equal(furthest(nodes), nodes[1]);
});
