import assert from "node:assert/strict";
import { test } from "node:test";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { MODULE_SETTINGS } from "./module_settings.ts";
import { SETTING_GROUPS, SETTING_TEXTS } from "./module_setting_texts.ts";

const README = readFileSync(fileURLToPath(new URL("README.md", import.meta.url)), "utf8");

test("every setting has a group and a meaning, and every group a setting", () => {
  assert.deepEqual(Object.keys(SETTING_TEXTS), Object.keys(MODULE_SETTINGS));
  const used = new Set(Object.values(SETTING_TEXTS).map(({ group }) => group));
  assert.deepEqual([...used].sort(), Object.keys(SETTING_GROUPS).sort());
  const meanings = Object.values(SETTING_TEXTS).map(({ meaning }) => meaning);
  assert.equal(new Set(meanings).size, meanings.length, "no two settings mean the same");
  for (const meaning of meanings) assert.match(meaning, /^\w.{10,110}[^.]$/);
});

test("README says of every setting what the table says", () => {
  for (const [name, { meaning }] of Object.entries(SETTING_TEXTS)) {
    const row = README.split("\n").find((line) => line.startsWith(`| \`${name}\` `));
    assert.ok(row !== undefined, `${name} has a row`);
    const cell = row.split("|").at(-2)?.replaceAll("`", "").trim();
    assert.equal(cell, meaning, name);
  }
});
