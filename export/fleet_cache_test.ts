import assert from "node:assert/strict";
import { test } from "node:test";
import { fleetCacheFormat } from "./fleet_cache.ts";
import { FleetView } from "./fleet_view.ts";

const { encode, decode } = fleetCacheFormat;

interface Seen {
  readonly view: FleetView;
  readonly asked: string[];
}

function viewOf(): Seen {
  const asked: string[] = [];
  const view = new FleetView({
    outShare: 0.25,
    request: (modId, cmdId) => void asked.push(`${modId}/${cmdId}`),
    forget: () => {},
    onChanged: () => {},
    onListed: () => {},
  });
  return { view, asked };
}

function filled(): FleetView {
  const { view } = viewOf();
  view.takeModules({
    modules: [
      { modId: 1, cmdId: 2, name: "shop", gone: false },
      { modId: 4_000_000_000, cmdId: 0, name: "", gone: false },
      { modId: 7, cmdId: 7, name: "grün", gone: false },
    ],
    ...{ first: true, last: true },
  });
  view.want({ modId: 1, cmdId: 2 });
  view.takeRoute({
    ...{ modId: 1, cmdId: 2, policy: "" },
    hosts: [
      { ip: 0xc0a801b1, port: 65_535, weight: 0, zone: "east" },
      { ip: 1, port: 1, weight: 10_000, state: "drain" },
      { ip: 2, port: 1 },
    ],
  });
  view.want({ modId: 7, cmdId: 7 });
  view.takeRoute({ modId: 7, cmdId: 7, policy: "", hosts: [] });
  return view;
}

function nodesOf(view: FleetView, modId: number, cmdId: number): unknown {
  return view.module({ modId, cmdId })?.nodes.map(({ ip, port, weight, zone, state }) => [
    ...[ip, port, weight, zone, state],
  ]);
}

test("what was known comes back: names, routes, drains, and which routes were none", () => {
  const before = filled();
  const read = decode(encode(before.saved(), 5).bytes);
  assert.ok(read.ok);
  assert.equal(read.savedAtMs, 5);
  const { view, asked } = viewOf();
  view.restore(read.routes);
  assert.equal(view.isListed, true);
  assert.deepEqual([...view.modules()], [...before.modules()]);
  assert.deepEqual(nodesOf(view, 1, 2), nodesOf(before, 1, 2));
  assert.deepEqual(nodesOf(view, 7, 7), []);
  assert.deepEqual(asked, ["1/2", "7/7"], "they are asked for, to be brought up to date");
  // A dns tells what is true now.
  view.takeModules({
    modules: [{ modId: 1, cmdId: 2, name: "other", gone: false }],
    ...{ first: true, last: true },
  });
  assert.deepEqual([
    view.moduleCount,
    view.byName("shop"),
    view.module({ modId: 1, cmdId: 2 })?.name,
  ], [
    1,
    undefined,
    "other",
  ]);
  view.restore(read.routes);
  assert.equal(view.moduleCount, 1, "too late");
});

test("nothing is known from a file without modules", () => {
  const { view } = viewOf();
  view.restore([]);
  assert.equal(view.isListed, false);
});

test("a file that is cut short anywhere, longer, or has any bit changed is refused", () => {
  const { bytes } = encode(filled().saved(), 5);
  for (let length = 0; length < bytes.length; length++) {
    assert.equal(decode(bytes.slice(0, length)).ok, false, `${length}`);
  }
  assert.equal(decode(new Uint8Array([...bytes, 0])).ok, false);
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    const broken = bytes.slice();
    broken[bit >> 3] ^= 1 << (bit & 7);
    assert.equal(decode(broken).ok, false, `bit ${bit}`);
  }
});
