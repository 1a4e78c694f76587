import assert from "node:assert/strict";
import { test } from "node:test";
import { checkModulePolicy } from "../../../balancer/module_policy.ts";
import { policyList } from "../../policy_list.ts";
import {
  defaultText,
  fieldText,
  parsePolicy,
  policyFaults,
  policyText,
  rangeText,
  settingTitle,
} from "./policy_text.ts";

const specs = policyList().settings;

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

test("every setting says its range, and its default and whose that is", () => {
  const texts = specs.map((spec) => `${rangeText(spec)}; ${defaultText(spec, undefined)}`);
  for (const text of texts) assert.doesNotMatch(text, /null|undefined|; $/);
  const spec = (name: string) => {
    const found = specs.find((one) => one.name === name);
    assert.ok(found);
    return found;
  };
  assert.equal(rangeText(spec("errRate")), "A share from 0 to 1");
  assert.equal(
    defaultText(spec("errRate"), undefined),
    "what the agent's file says, else 0.1",
  );
  assert.equal(
    defaultText(spec("probeNum"), undefined),
    "what the agent's file says, else 10 picks",
  );
  assert.equal(
    defaultText({ ...spec("slowStartMs"), initial: 10_000 }, "recommended"),
    "10000 ms with recommended",
  );
  assert.equal(defaultText(spec("evacuatedZones"), undefined), "none");
});
