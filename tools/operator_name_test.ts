import assert from "node:assert/strict";
import { test } from "node:test";
import { operatorName } from "./operator_name.ts";

const USERS = "root:x:0:0:root:/:/bin/sh\nolga:x:1000:1000::/:/bin/sh\n";

test("operatorName() names somebody wherever a command runs", () => {
  const cases: [string, number, string, string][] = [
    ["olga", 1000, USERS, "olga"],
    ["unknown", 1000, USERS, "olga"], // Bun without USER in the environment.
    ["", 0, USERS, "root"],
    ["unknown", 4711, USERS, "uid 4711"], // A container with a number of its own.
    ["unknown", 4711, "", "uid 4711"],
    ["", -1, "", "command line"],
  ];
  for (const [username, uid, users, expected] of cases) {
    assert.equal(operatorName({ username, uid, users }), expected);
  }
});
