// Goal: the text of a module is read to the letter or refused with a reason. Method: tables, and
// for every number its range from the outside and the inside.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { DEFAULT_MODULE_POLICY, parseModulePolicy, POLICY_NAMES } from "./module_policy.ts";
import { MODULE_SETTINGS, type ModuleSettings } from "./module_settings.ts";
import { MODULE_POLICY_BYTES_MAX } from "../model/module.ts";

const NAMES = Object.keys(MODULE_SETTINGS) as (keyof ModuleSettings)[];

test("parseModulePolicy() takes the empty text and the empty object for the original rules", () => {
  assert.equal(parseModulePolicy(""), DEFAULT_MODULE_POLICY);
  assert.deepEqual(parseModulePolicy("{}"), DEFAULT_MODULE_POLICY);
  assert.equal(DEFAULT_MODULE_POLICY.policy, "lars");
  assert.deepEqual(DEFAULT_MODULE_POLICY.settings.rules, ["errorRate", "errorRun", "window"]);
  assert.equal(DEFAULT_MODULE_POLICY.settings.errRate, null);
});

test("parseModulePolicy() keeps what is named and fills in the rest", () => {
  const { policy, settings } = parseModulePolicy(
    '{"policy":"maglev","errRate":0.2,"rules":["slow","slow"],"evacuatedZones":["a"],' +
      '"zoneCallers":{"a":0.25},"dryRun":true,"whenAllOverload":"open"}',
  );
  assert.equal(policy, "maglev");
  assert.deepEqual(settings, {
    ...DEFAULT_MODULE_POLICY.settings,
    errRate: 0.2,
    rules: ["slow"],
    evacuatedZones: ["a"],
    zoneCallers: { a: 0.25 },
    dryRun: true,
    whenAllOverload: "open",
  });
  for (const name of POLICY_NAMES) {
    assert.equal(parseModulePolicy(`{"policy":"${name}"}`).policy, name);
  }
});

test("parseModulePolicy() gives plain data, that is the same in another thread", () => {
  const policy = parseModulePolicy('{"policy":"maglev","healthCheck":{"kind":"tcp"}}');
  assert.deepEqual(policy.healthCheck, { kind: "tcp" });
  assert.deepEqual(structuredClone(policy), policy);
  assert.deepEqual(JSON.parse(JSON.stringify(policy)), policy);
});

test("parseModulePolicy() refuses what it cannot read, naming key, range and value", () => {
  const cases: [string, RegExp][] = [
    ["nonsense", /must be JSON: current value is "nonsense"/],
    ["[]", /must be a JSON object: current value is \[\]/],
    ["null", /must be a JSON object/],
    ["7", /must be a JSON object/],
    ['{"policy":"best"}', /^policy must be one of recommended, .*: current value is "best"$/],
    ['{"policy":1}', /policy must be one of/],
    ['{"toString":1}', /Unknown key "toString": must be policy or one of probeNum, /],
    ['{"__proto__":1}', /Unknown key "__proto__"/],
    ['{"dryRun":1}', /dryRun must be true or false: current value is 1/],
    ['{"recovery":"fast"}', /recovery must be one of lars, staged: current value is "fast"/],
    ['{"rules":"slow"}', /rules must be a list of errorRate, .*: current value is "slow"/],
    ['{"rules":["slow","x"]}', /rules must be a list of/],
    ['{"evacuatedZones":[1]}', /evacuatedZones must be a list of at most 64 names/],
    ['{"zoneCallers":{"a":0.6,"b":0.6}}', /zoneCallers must be .* sum to at most 1/],
    ['{"zoneCallers":[]}', /zoneCallers must be an object/],
    ['{"ejectionMs":70000}', /ejectionMaxMs must be at least ejectionMs \(70000\).* is 60000/],
    ['{"probeNum":1.5}', /probeNum must be a whole number from 1 to 1000000.* is 1.5/],
    ['{"errRate":null}', /errRate must be a number from 0 to 1: current value is null/],
  ];
  for (const [text, message] of cases) {
    assert.throws(() => parseModulePolicy(text), { name: "RangeError", message }, text);
  }
});

test("parseModulePolicy() takes both ends of each range and nothing beyond", () => {
  for (const name of NAMES) {
    const spec = MODULE_SETTINGS[name];
    if (spec.kind !== "number" && spec.kind !== "whole") continue;
    const read = (value: number): unknown =>
      parseModulePolicy(JSON.stringify({ ejectionMs: 1, [name]: value })).settings[name];
    // A lowest ejection time allows every longest one; the longest has to allow the lowest.
    const max = name === "ejectionMs" ? 60_000 : spec.max;
    assert.equal(read(spec.min), spec.min, name);
    assert.equal(read(max), max, name);
    for (const value of [spec.min - 1, spec.max + 1]) {
      assert.throws(() => read(value), {
        name: "RangeError",
        message: new RegExp(`^${name} must`),
      });
    }
    if (spec.initial !== null) assert.equal(read(spec.initial), spec.initial, name);
  }
});

test("parseModulePolicy() measures the text in bytes", () => {
  const text = (spaces: number): string => `{${" ".repeat(spaces)}}`;
  assert.deepEqual(parseModulePolicy(text(MODULE_POLICY_BYTES_MAX - 2)), DEFAULT_MODULE_POLICY);
  const tooLong = /at most 4096 bytes: it has/;
  assert.throws(() => parseModulePolicy(text(MODULE_POLICY_BYTES_MAX - 1)), { message: tooLong });
  const wide = JSON.stringify({ evacuatedZones: Array.from({ length: 60 }, () => "é".repeat(40)) });
  assert.ok(wide.length < MODULE_POLICY_BYTES_MAX);
  assert.throws(() => parseModulePolicy(wide), { message: tooLong });
});

test("README.md names every setting with its range and default", () => {
  const readme = readFileSync(new URL("README.md", import.meta.url), "utf8");
  for (const name of NAMES) {
    const cells = readme.split("\n").find((line) => line.startsWith(`| \`${name}\``))?.split("|");
    const spec = MODULE_SETTINGS[name];
    assert.ok(cells !== undefined, name);
    const [, , unit, range, initial] = cells.map((cell) => cell.trim());
    if (spec.kind === "number" || spec.kind === "whole") {
      assert.deepEqual([unit, range, initial], [
        spec.unit,
        `${spec.min} to ${spec.max}`,
        spec.initial === null ? "the agent's" : String(spec.initial),
      ], name);
    } else if (spec.kind === "choice" || spec.kind === "choices") {
      const code = (words: readonly string[]): string =>
        words.map((word) => `\`${word}\``).join(", ");
      assert.equal(range, code(spec.choices), name);
      assert.equal(initial, code([spec.initial].flat()), name);
    }
  }
});
