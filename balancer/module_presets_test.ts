import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { changedSettings, parseModulePolicy, policyNameOf } from "./module_policy.ts";
import { PRESET_NAMES, PRESETS, RECOMMENDED_TEXT } from "./module_presets.ts";
import { MODULE_SETTINGS } from "./module_settings.ts";

test("a preset stands where a policy may, and keys go on top of it", () => {
  for (const name of PRESET_NAMES) {
    const plain = parseModulePolicy(JSON.stringify({ policy: name }));
    assert.equal(plain.policy, PRESETS[name].policy);
    assert.equal(policyNameOf(plain), name);
    assert.deepEqual(changedSettings(plain), {});
    const changed = parseModulePolicy(
      JSON.stringify({ policy: name, recovery: "lars", errRate: 0.3 }),
    );
    assert.deepEqual(changed.settings, { ...plain.settings, recovery: "lars", errRate: 0.3 });
    assert.deepEqual(changedSettings(changed), { recovery: "lars", errRate: 0.3 });
    for (const [key, value] of Object.entries(PRESETS[name].settings)) {
      assert.deepEqual(plain.settings[key as keyof typeof MODULE_SETTINGS], value, key);
      assert.notDeepEqual(value, MODULE_SETTINGS[key as keyof typeof MODULE_SETTINGS].initial, key);
    }
  }
  assert.equal(policyNameOf(parseModulePolicy(RECOMMENDED_TEXT)), "recommended");
  assert.equal(policyNameOf(parseModulePolicy("")), "lars");
});

test("modules of one text share their policy, whichever thread read it", () => {
  const text = '{"policy":"recommended","slowStartMs":77}';
  const read = structuredClone(parseModulePolicy(text));
  assert.equal(parseModulePolicy(text, read), parseModulePolicy(text));
  const other = '{"policy":"recommended","slowStartMs":78}';
  assert.equal(parseModulePolicy(other, read), read);
});

test("docs/recommended.md has the settings of the preset", () => {
  const page = readFileSync(new URL("../docs/recommended.md", import.meta.url), "utf8");
  const { policy, settings } = PRESETS.recommended;
  for (const [key, value] of Object.entries({ "pick policy": policy, ...settings })) {
    const row = page.split("\n").find((line) =>
      line.startsWith(`| ${key} `) || line.startsWith(`| \`${key}\` `)
    );
    const shown = row?.split("|")[2].replaceAll(/[`\s]/g, "").replace(/(?<=\d),(?=\d)/g, "");
    assert.equal(shown, String(value), key);
  }
});
