import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { EncodedCache } from "../daemon/cache_file.ts";
import { crc32 } from "../reactor/crc32.ts";
import type { KeptModule } from "./route_table.ts";
import { type KeptTable, tableFileFormat } from "./table_file.ts";

const { encode, decode } = tableFileFormat;

function encoded(table: KeptTable): EncodedCache {
  const steps = encode([table], 5) as Generator<void, EncodedCache>;
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
  }
}

function bytesOf(table: KeptTable): Uint8Array {
  return encoded(table).bytes;
}

const number = fc.constantFrom(0, 1, 255, 2 ** 31, 2 ** 32 - 1);
const plain = { noNullPrototype: true } as const;
const state = fc.record({ epoch: fc.constantFrom(0, 2 ** 52), version: number }, plain);
const nodes = fc.array(
  fc.record({
    ip: number,
    port: fc.constantFrom(1, 65_535),
    weight: fc.constantFrom(0, 100, 10_000),
    zone: fc.constantFrom("", "east", "ö".repeat(64)),
    state: fc.constantFrom("on", "drain"),
  }, plain),
  { maxLength: 20 },
);
const extras = fc.record({
  policy: fc.constantFrom("", '{"policy":"maglev"}'),
  name: fc.string({ maxLength: 20, unit: "grapheme" }),
  mark: fc.option(fc.constantFrom("", "12 abc"), { nil: undefined }),
}, plain);
const table: fc.Arbitrary<KeptTable> = fc.record({
  memory: fc.record({
    plan: state,
    highest: state,
    seen: fc.option(
      fc.record({ id: number, version: number, mustBeThere: fc.constant(true) }, {
        ...{ requiredKeys: ["id", "version"], ...plain },
      }),
      { nil: undefined },
    ),
  }, plain),
  modules: fc.uniqueArray(fc.tuple(number, number), { selector: String, maxLength: 8 }).chain(
    (keys) =>
      fc.tuple(...keys.map(([modId, cmdId]) =>
        fc.record({
          nodes,
          extras: fc.option(extras, { nil: undefined }),
          plan: fc.option(state, { nil: undefined }),
        }).map((one): KeptModule => ({
          ...{ modId, cmdId, extras: one.extras, plan: one.plan },
          rows: one.nodes.map((node) => ({ modId, cmdId, ...node } as KeptModule["rows"][number])),
        }))
      )),
  ),
}, plain);

test("a table comes back from its file as it was", () => {
  fc.assert(fc.property(table, (given) => {
    const read = decode(bytesOf(given));
    assert.ok(read.ok);
    assert.equal(read.savedAtMs, 5);
    assert.deepEqual(read.routes, [given]);
  }));
});

test("a module of which the file cannot tell all is left out, and the others are there", () => {
  const row = { modId: 1, cmdId: 1, ip: 1, port: 1, weight: 1, zone: "z", state: "on" } as const;
  const module = (modId: number, more: Partial<KeptModule> = {}): KeptModule => ({
    ...{ modId, cmdId: 1, plan: undefined, extras: undefined, rows: [{ ...row, modId }] },
    ...more,
  });
  const zones = (count: number): KeptModule["rows"] =>
    Array.from({ length: count }, (_, ip) => ({ ...row, ip, zone: `zone ${ip}` }));
  const long = "ö".repeat(32_768);
  const texts = { policy: "", name: "", mark: undefined };
  const { memory } = sample;
  for (
    const large of [
      module(1, { rows: zones(65_536) }),
      module(1, { rows: zones(70_000) }),
      module(1, { rows: [{ ...row, zone: long }] }),
      module(1, { extras: { ...texts, policy: long } }),
      module(1, { extras: { ...texts, name: long } }),
    ]
  ) {
    const { bytes, leftOut } = encoded({ memory, modules: [module(0), large, module(2)] });
    const read = decode(bytes);
    assert.ok(read.ok, read.ok ? "" : read.reason);
    assert.equal(leftOut, 1);
    assert.deepEqual(read.routes, [{ memory, modules: [module(0), module(2)] }]);
  }
  const most = module(1, { rows: zones(65_535), extras: { ...texts, name: long.slice(1) } });
  const read = decode(bytesOf({ memory, modules: [most] }));
  assert.ok(read.ok);
  assert.deepEqual(read.routes, [{ memory, modules: [most] }]);
});

const sample: KeptTable = {
  memory: {
    plan: { epoch: 0, version: 100 },
    highest: { epoch: 0, version: 101 },
    seen: { id: 7, version: 101 },
  },
  modules: [{
    ...{ modId: 1, cmdId: 2, plan: undefined, extras: { policy: "{}", name: "n", mark: "m" } },
    rows: [{ modId: 1, cmdId: 2, ip: 1, port: 1, weight: 1, zone: "z", state: "on" }],
  }],
};

test("a file that is cut, lengthened or changed anywhere is refused, and says why", () => {
  const bytes = bytesOf(sample);
  assert.ok(decode(bytes).ok);
  for (let length = 0; length < bytes.length; length++) {
    assert.equal(decode(bytes.slice(0, length)).ok, false);
  }
  assert.equal(decode(new Uint8Array([...bytes, 0])).ok, false);
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    const broken = bytes.slice();
    broken[bit >> 3] ^= 1 << (bit & 7);
    assert.equal(decode(broken).ok, false);
  }
});

test("no number is trusted, also under a checksum that is right", () => {
  const good = bytesOf(sample);
  for (let at = 8; at < good.length - 4; at++) {
    for (const value of [0, 1, 2, 127, 255]) {
      const bytes = good.slice();
      bytes[at] = value;
      const view = new DataView(bytes.buffer);
      view.setUint32(bytes.length - 4, crc32(bytes.subarray(0, bytes.length - 4)), true);
      const read = decode(bytes);
      if (!read.ok) assert.ok(read.reason.length > 10, read.reason);
    }
  }
});
