import assert from "node:assert/strict";
import { test } from "node:test";
import { describeModule } from "./route_difference.ts";

function changed(before: string, after: string): string {
  const texts = { before: { name: "", policy: before }, after: { name: "", policy: after } };
  return describeModule({ modId: 1, cmdId: 2, ...texts });
}

test("describeModule() says what became of a policy, in a bounded text", () => {
  const cases: [string, string, string][] = [
    ["", '{"policy":"p2c_ewma"}', ": policy p2c_ewma"],
    ['{"policy":"rr"}', '{"policy":"p2c_ewma"}', ": policy p2c_ewma"],
    ['{"policy":"rr"}', '{"policy":"rr","evacuatedZones":["a","b"]}', ": evacuatedZones a b"],
    ['{"evacuatedZones":["a"],"zoneAware":true}', '{"zoneAware":true}', ": unset evacuatedZones"],
    ['{"evacuatedZones":["a"]}', '{"evacuatedZones":[]}', ": evacuatedZones none"],
    ["", '{"zoneShares":{"a":0.5}}', ': zoneShares {"a":0.5}'],
    ['{"policy":"rr"}', "", ": none"],
    ["", "no object", ": no JSON object"],
    ["[1]", '{"policy":"rr"}', ": policy rr"],
    ['{"policy":"rr"}', '{ "policy": "rr" }', ""],
  ];
  for (const [before, after, wanted] of cases) {
    assert.equal(changed(before, after), `set policy of 1/2${wanted}`);
  }
  const long = changed("", JSON.stringify({ evacuatedZones: new Array(500).fill("zone") }));
  assert.ok(long.endsWith("…") && long.length <= 150, long);
});
