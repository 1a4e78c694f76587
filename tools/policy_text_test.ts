import assert from "node:assert/strict";
import { test } from "node:test";
import {
  changePolicy,
  checkPolicyText,
  lostPreset,
  parseKeyChange,
  policyObject,
} from "./policy_text.ts";

test("parseKeyChange() reads JSON, and takes everything else as text", () => {
  const cases: [string, unknown][] = [
    ["policy=maglev", "maglev"],
    ["errRate=0.2", 0.2],
    ["zoneAware=true", true],
    ['rules=["wilson"]', ["wilson"]],
    ["note=a=b", "a=b"],
    ["note=", ""],
    ["errRate=null", null],
  ];
  for (const [text, value] of cases) {
    assert.deepEqual(parseKeyChange(text), { key: text.slice(0, text.indexOf("=")), value });
  }
  for (const text of ["", "=1", "policy"]) {
    assert.throws(() => parseKeyChange(text), /key=value/);
  }
});

test("changePolicy() sets and removes keys, and leaves the others", () => {
  const text = '{"policy":"maglev","errRate":0.2}';
  const set = changePolicy(text, [{ key: "errRate", value: 0.3 }, { key: "rampMs", value: 5 }], []);
  assert.deepEqual(JSON.parse(set), { policy: "maglev", errRate: 0.3, rampMs: 5 });
  assert.equal(changePolicy(text, [], ["policy"]), '{"errRate":0.2}');
  assert.equal(changePolicy('{"a":1}', [], ["a"]), "");
  assert.equal(changePolicy("", [], []), "");
  assert.throws(() => changePolicy(text, [], ["rampMs"]), /no key "rampMs"/);
  assert.throws(() => changePolicy("nonsense", [], []), /must be JSON/);
  assert.throws(() => policyObject("[1]"), /JSON object/);
});

test("checkPolicyText() refuses what agents would refuse", () => {
  checkPolicyText("");
  checkPolicyText('{"policy":"p2c_ewma"}');
  assert.throws(() => checkPolicyText('{"policy":"best"}'), /policy must be one of/);
  assert.throws(() => checkPolicyText('{"errRate":2}'), /errRate must be/);
  assert.throws(() => checkPolicyText('{"eRrRate":0.2}'), /Unknown key/);
});

test("lostPreset() says what goes with a preset, and which one has the same picks", () => {
  const recommended = '{"policy":"recommended","slowStartMs":5}';
  assert.match(
    lostPreset(recommended, '{"policy":"p2c_ewma"}') ?? "",
    /^The settings of recommended went .*; policy=recommended_ewma is the same picks with them$/,
  );
  assert.match(lostPreset(recommended, '{"policy":"maglev"}') ?? "", /those of the original now$/);
  assert.match(lostPreset(recommended, "") ?? "", /^The settings of recommended went/);
  const kept: [string, string][] = [
    [recommended, '{"policy":"recommended_ewma"}'],
    [recommended, recommended],
    ["", '{"policy":"maglev"}'],
    ["no JSON", '{"policy":"maglev"}'],
    ['{"policy":"maglev"}', ""],
  ];
  for (const [before, after] of kept) assert.equal(lostPreset(before, after), undefined, before);
});
