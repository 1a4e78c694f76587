import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { logSettings, storeSettings } from "./common_settings.ts";
import { readFlags } from "./flag_command.ts";
import { daemonFlags, readPlainFlags, settingFlags } from "./flags.ts";

const table = { ...logSettings, ...storeSettings };
const known = daemonFlags(table);

test("readPlainFlags() takes plain flags and leaves all else to the command for people", () => {
  const plain = readPlainFlags(known, ["-c", "a.conf", "--json", "--log-level", "warn"]);
  assert.deepEqual([...plain ?? []], [["--config", "a.conf"], ["--json", ""], [
    "--log-level",
    "warn",
  ]]);
  for (const argv of [["--help"], ["-h"], ["-V"], ["--log-level"], ["--log-level=warn"], ["x"]]) {
    assert.equal(readPlainFlags(known, argv), undefined, argv.join(" "));
  }
});

test("both ways to read flags find the same", () => {
  const word = fc.oneof(
    fc.constantFrom(
      ...known.flatMap(({ long, short }) => short === undefined ? long : [long, short]),
    ),
    fc.constantFrom("info", "-1", "--json", "", "a b", "sqlite:x"),
  );
  let both = 0;
  fc.assert(
    fc.property(fc.array(word, { maxLength: 6 }), (argv) => {
      const plain = readPlainFlags(known, argv);
      if (plain === undefined) return;
      both++;
      const found = readFlags("", known, argv, "lars-x");
      assert.ok(typeof found !== "number", argv.join(" "));
      assert.deepEqual(new Map([...found].sort()), new Map([...plain].sort()));
    }),
    { numRuns: 2000 },
  );
  assert.ok(both > 100, `only ${both} compared`);
});

test("readFlags() takes the other forms too", () => {
  const given = readFlags("", known, ["--log-level=warn", "-cx.conf"], "lars-x");
  assert.deepEqual(given, new Map([["--config", "x.conf"], ["--log-level", "warn"]]));
});

test("settingFlags() names keys by section, and a store over a folder", () => {
  const given = new Map([["--log-level", "warn"], ["--data", "d"]]);
  assert.deepEqual(settingFlags(table, given), {
    "log.level": "warn",
    "store.url": "sqlite:d/lars.db",
  });
  given.set("--store", "sqlite:y");
  assert.equal(settingFlags(table, given)["store.url"], "sqlite:y");
});
