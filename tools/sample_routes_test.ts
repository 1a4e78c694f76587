import assert from "node:assert/strict";
import { test } from "node:test";
import {
  isRowOf,
  parseSampleFile,
  SAMPLE_MODULES,
  sampleEdits,
  sampleFileText,
} from "./sample_routes.ts";

const NODES = SAMPLE_MODULES.flatMap(({ nodes }) => nodes);

test("sample routes stay on this machine, and each has a port of its own", () => {
  const { routes } = sampleEdits(NODES);
  assert.equal(routes.length, NODES.length);
  for (const { ip } of routes) assert.equal(ip, 0x7f000001);
  assert.equal(new Set(routes.map(({ port }) => port)).size, routes.length);
  assert.equal(isRowOf(NODES[0], { ...NODES[0], ip: 0x7f000001 }), true);
  assert.equal(isRowOf(NODES[0], { ...NODES[0], ip: 0x0a000001 }), false);
});

test("the file of sample nodes is read back as it was written", () => {
  assert.deepEqual(parseSampleFile(sampleFileText(NODES)), NODES);
});

test("a file of sample nodes that says anything else is refused", () => {
  const row = { modid: 1, cmdid: 2, node: "127.0.0.1:9001", delay_ms: 0 };
  const bad: unknown[] = [
    { ...row, node: "10.0.0.1:9001" },
    { ...row, node: "127.0.0.1:0" },
    { ...row, node: "127.0.0.1:65536" },
    { ...row, modid: -1 },
    { ...row, cmdid: "2" },
    { ...row, delay_ms: -1 },
    { ...row, delay_ms: "1" },
    null,
    7,
  ];
  for (const value of bad) {
    assert.throws(() => parseSampleFile(JSON.stringify({ samples: [value] })), /must have modid/);
  }
  for (const text of ["{}", "[]", "null", "7"]) {
    assert.throws(() => parseSampleFile(text), /must have `samples`/);
  }
  assert.throws(() => parseSampleFile("{"), /must be JSON/);
});
