import assert from "node:assert/strict";
import { test } from "node:test";
import type { RoutePart } from "../proto/codec.ts";
import { ROUTE_PARTS_MAX, RouteParts, ROUTES_INCOMPLETE_MAX } from "./route_subscriber.ts";

const part = (number: number, partCount: number, more: Partial<RoutePart> = {}): RoutePart => ({
  modId: 1,
  cmdId: 1,
  part: number,
  partCount,
  revision: 1,
  hosts: [{ ip: number, port: 80 }],
  ...more,
});

test("RouteParts joins parts in order", () => {
  const parts = new RouteParts();
  assert.equal(parts.take(part(0, 3)), undefined);
  assert.equal(parts.take(part(1, 3)), undefined);
  assert.deepEqual(parts.take(part(2, 3))?.map((host) => host.ip), [0, 1, 2]);
  assert.deepEqual(parts.take(part(0, 1))?.length, 1);
  assert.equal(parts.droppedCount, 0);
});

test("RouteParts keeps modules apart", () => {
  const parts = new RouteParts();
  parts.take(part(0, 2));
  parts.take(part(0, 2, { modId: 2 }));
  assert.equal(parts.take(part(1, 2, { modId: 2 }))?.length, 2);
  assert.equal(parts.take(part(1, 2))?.length, 2);
});

test("RouteParts begins anew with part 0, and gives up a route whose parts do not fit", () => {
  const wrongs: RoutePart[] = [
    part(2, 3),
    part(0x7fffffff, 3),
    part(1, 4),
    part(1, 3, { revision: 2 }),
  ];
  for (const wrong of wrongs) {
    const parts = new RouteParts();
    parts.take(part(0, 3));
    assert.equal(parts.take(wrong), undefined);
    assert.equal(parts.take(part(1, 3)), undefined, "the route is given up");
    assert.equal(parts.droppedCount, 2);
    for (const number of [0, 1]) assert.equal(parts.take(part(number, 3)), undefined);
    assert.equal(parts.take(part(2, 3))?.length, 3);
  }
  const parts = new RouteParts();
  parts.take(part(0, 2));
  parts.take(part(0, 2, { revision: 2 }));
  assert.equal(parts.take(part(1, 2, { revision: 2 }))?.length, 2);
});

test("RouteParts is bounded in parts, in routes and in nodes", () => {
  const parts = new RouteParts();
  for (const partCount of [0, ROUTE_PARTS_MAX + 1, 0xffffffff]) {
    assert.equal(parts.take(part(0, partCount)), undefined);
  }
  assert.equal(parts.droppedCount, 3);
  for (let modId = 0; modId <= ROUTES_INCOMPLETE_MAX; modId++) parts.take(part(0, 2, { modId }));
  assert.equal(parts.droppedCount, 4);
  assert.equal(parts.take(part(1, 2, { modId: 0 })), undefined, "the oldest made room");
  assert.equal(parts.take(part(1, 2, { modId: 1 }))?.length, 2);
  parts.clear();
  assert.equal(parts.take(part(1, 2, { modId: 2 })), undefined);

  const hosts = Array.from({ length: 5000 }, (_, ip) => ({ ip, port: 80 }));
  let whole: unknown[] | undefined;
  for (let number = 0; number < 20; number++) whole = parts.take(part(number, 20, { hosts }));
  assert.equal(whole?.length, 65_537);
});
