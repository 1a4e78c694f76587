import assert from "node:assert/strict";
import { test } from "node:test";
import type { EventRecord } from "../sql/results/event.ts";
import { eventJson, eventLine } from "./history_view.ts";

function event(id: number, more: Partial<EventRecord> = {}): EventRecord {
  return { id, atMs: 1_700_000_000_123, kind: "node.idle", text: "Back", detail: {}, ...more };
}

test("eventLine() is one line whatever the text holds", () => {
  assert.equal(
    eventLine(event(1, { text: "a\nb\x1b[2J" })),
    "2023-11-14 22:13:20  node.idle       a b [2J",
  );
  assert.equal(
    eventLine(
      event(1, { text: "Node 10.0.0.1:80 of module 1/2 is out" }),
      new Map([["1/2", "shop"]]),
    ),
    "2023-11-14 22:13:20  node.idle       Node 10.0.0.1:80 of module shop (1/2) is out",
  );
});

test("eventJson() has the names of the command line", () => {
  assert.deepEqual(
    eventJson(event(1, {
      module: { modId: 1, cmdId: 2 },
      node: { ip: 3, port: 4 },
      host: 5,
      detail: { x: 1 },
    })),
    {
      id: 1,
      at: "2023-11-14T22:13:20.123Z",
      kind: "node.idle",
      modid: 1,
      cmdid: 2,
      ip: "0.0.0.3",
      port: 4,
      host: "0.0.0.5",
      severity: "info",
      text: "Back",
      detail: { x: 1 },
    },
  );
});
