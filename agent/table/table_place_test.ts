import assert from "node:assert/strict";
import { test } from "node:test";
import { isGroupName, tablePath, tablePlace } from "./table_place.ts";

const GROUPS = "root:x:0:\nlars:x:991:app,web\nbroken\nlate:x:\n";
const settings = (sharedTable: string, sharedTableGroup = "") => ({
  sharedTable,
  sharedTableGroup,
});

test("PORT in the path is the first port", () => {
  assert.equal(
    tablePath(settings("/dev/shm/lars-agent-PORT.table"), 9001),
    "/dev/shm/lars-agent-9001.table",
  );
  assert.equal(tablePath(settings("/run/lars/table"), 9001), "/run/lars/table");
  assert.equal(tablePath(settings(""), 9001), "");
});

test("a group has a number, or a name that is looked up", () => {
  const place = (group: string): unknown => tablePlace(settings("/t", group), 1, GROUPS).group;
  assert.equal(place(""), undefined);
  assert.equal(place("1000"), 1000);
  assert.equal(place("lars"), 991);
  assert.throws(() => place("nobody-of-here"), /no group "nobody-of-here"/);
  assert.throws(() => place("late"), /no group/);
  assert.deepEqual(["", "7", "lars"].map(isGroupName), [false, false, true]);
});

test("others than the group may not read it", () => {
  assert.equal(tablePlace(settings("/t"), 1, "").mode, 0o640);
});
