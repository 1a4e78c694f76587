import assert from "node:assert/strict";
import { test } from "node:test";
import type { ScaleFloor } from "../schemas.ts";
import { floorAt, floorFault, holdsFloor } from "./scale_floor.ts";

const OFFICE = { days: "mon-fri", from: "08:00", to: "20:00", zone: "Europe/Berlin", nodes: 6 };
const NIGHT = { days: "fri,sat", from: "22:00", to: "02:00", zone: "America/New_York", nodes: 9 };

const CASES: readonly (readonly [floor: ScaleFloor, at: string, holds: boolean])[] = [
  [OFFICE, "2026-01-05T06:59:59Z", false], // Monday, 07:59 in winter
  [OFFICE, "2026-01-05T07:00:00Z", true],
  [OFFICE, "2026-07-06T06:00:00Z", true], // Monday, 08:00 in summer
  [OFFICE, "2026-07-06T17:59:00Z", true],
  [OFFICE, "2026-07-06T18:00:00Z", false],
  [OFFICE, "2026-07-05T12:00:00Z", false], // Sunday
  [NIGHT, "2026-01-10T03:00:00Z", true], // Friday, 22:00
  [NIGHT, "2026-01-10T06:59:00Z", true], // Saturday, 01:59
  [NIGHT, "2026-01-10T07:00:00Z", false],
  [NIGHT, "2026-01-09T06:00:00Z", false], // Friday, 01:00: Thursday is none of its days
  [{ ...OFFICE, days: "*", from: "00:00", to: "24:00" }, "2026-01-04T23:30:00Z", true],
  [{ ...OFFICE, days: "sat-mon" }, "2026-01-05T10:00:00Z", true],
];

for (const [floor, at, holds] of CASES) {
  test(`Floor ${floor.days} ${floor.from}-${floor.to} at ${at}: ${holds}`, () => {
    assert.equal(holdsFloor(floor, Date.parse(at)), holds);
  });
}

test("The highest floor that holds counts, and none is 0", () => {
  const all = [OFFICE, { ...OFFICE, nodes: 3 }];
  assert.equal(floorAt(all, Date.parse("2026-01-05T10:00:00Z")), 6);
  assert.equal(floorAt(all, Date.parse("2026-01-04T10:00:00Z")), 0);
});

test("A floor says what is wrong with it", () => {
  assert.equal(floorFault(OFFICE), undefined);
  assert.match(floorFault({ ...OFFICE, days: "moo" }) ?? "", /moo/);
  assert.match(floorFault({ ...OFFICE, zone: "Europe/Nowhere" }) ?? "", /Nowhere/);
});
