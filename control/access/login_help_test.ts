import assert from "node:assert/strict";
import { test } from "node:test";
import { storeOption } from "./login_help.ts";

test("storeOption() names the database wherever the command is typed", () => {
  const cases: [string, string][] = [
    ["sqlite:data/lars.db", "--store sqlite:/srv/lars/data/lars.db"],
    ["sqlite:/var/lib/lars.db", "--store sqlite:/var/lib/lars.db"],
    ["sqlite:my data/o'neil.db", "--store 'sqlite:/srv/lars/my data/o'\\''neil.db'"],
    ["mysql://lars@10.0.0.5:3306/lars_dns", "--store mysql://lars:PASSWORD@10.0.0.5:3306/lars_dns"],
  ];
  for (const [label, option] of cases) assert.equal(storeOption(label, "/srv/lars"), option);
});
