import assert from "node:assert/strict";
import { test } from "node:test";
import { checkModulePolicy } from "../../../balancer/module_policy.ts";
import { MODULE_SETTINGS } from "../../../balancer/module_settings.ts";
import {
  fieldText,
  parsePolicy,
  policyFaults,
  type PolicySetting,
  policyText,
  settingTitle,
} from "./policy_text.ts";

const specs: PolicySetting[] = Object.entries(MODULE_SETTINGS).map(([name, spec]) => ({
  name,
  kind: spec.kind,
  min: "min" in spec ? spec.min : null,
  max: "max" in spec ? spec.max : null,
  unit: "unit" in spec ? spec.unit : "",
  choices: "choices" in spec ? [...spec.choices] : [],
  initial: spec.initial,
}));

test("a policy survives the way through its form", () => {
  const text = JSON.stringify({
    policy: "p2c_ewma",
    errRate: 0.2,
    rules: ["errorRate", "wilson"],
    dryRun: true,
    recovery: "staged",
    evacuatedZones: ["eu-1a"],
    zoneCallers: { "eu-1b": 0.25 },
  });
  const draft = parsePolicy(text);
  assert.ok(draft);
  assert.deepEqual(policyFaults(draft, specs), {});
  assert.deepEqual(JSON.parse(policyText(draft, specs)), JSON.parse(text));
});

test("every default of every setting is a value its field takes and the balancer too", () => {
  for (const spec of specs.filter(({ initial }) => initial !== null)) {
    const draft = { policy: "lars", settings: { [spec.name]: fieldText(spec.initial) } };
    assert.deepEqual(policyFaults(draft, specs), {}, spec.name);
    assert.doesNotThrow(() => checkModulePolicy(JSON.parse(policyText(draft, specs))), spec.name);
  }
});

test("the default policy without settings is the empty text", () => {
  assert.deepEqual(parsePolicy(""), { policy: "lars", settings: {} });
  assert.equal(policyText({ policy: "lars", settings: {} }, specs), "");
  assert.equal(parsePolicy("[1]"), undefined);
  assert.equal(parsePolicy("{"), undefined);
});

test("policyFaults() names what would be right", () => {
  const faults = policyFaults({
    policy: "lars",
    settings: { errRate: "2", probeNum: "1.5", rules: "luck", zoneCallers: "a", nonsense: "1" },
  }, specs);
  assert.match(faults.errRate, /from 0 to 1/);
  assert.match(faults.probeNum, /whole number/);
  assert.match(faults.rules, /wilson/);
  assert.match(faults.zoneCallers, /a=0.5/);
  assert.match(faults.nonsense, /No such/);
  assert.equal(settingTitle("overloadTimeoutMs"), "overload timeout");
});
