import assert from "node:assert/strict";
import { test } from "node:test";
import { parseModulePolicy } from "../../balancer/mod.ts";
import { DEFAULT_HEALTH_CHECK, parseHealthCheck } from "./health_plan.ts";

test("parseHealthCheck() reads the key, with defaults for what is left out", () => {
  assert.equal(parseHealthCheck(""), undefined);
  assert.equal(parseHealthCheck('{"policy":"maglev"}'), undefined);
  assert.deepEqual(parseHealthCheck('{"healthCheck":{}}'), DEFAULT_HEALTH_CHECK);
  const text = '{"policy":"lars","healthCheck":{"kind":"http","path":"/up?x=1","when":"always",' +
    '"intervalMs":200,"timeoutMs":100,"rise":1,"fall":5,"dwellMs":0,"jitter":0.5,"port":81}}';
  assert.deepEqual(parseHealthCheck(text), JSON.parse(text).healthCheck);
  // The balancer leaves it to the agent.
  assert.equal(parseModulePolicy(text).policy, "lars");
});

test("parseHealthCheck() refuses what it does not understand, and says why", () => {
  const cases: [string, RegExp][] = [
    ['{"healthCheck":[]}', /healthCheck must be an object/],
    ['{"healthCheck":null}', /must be an object/],
    ['{"healthCheck":{"kind":"exec"}}', /kind must be one of tcp, http, ping.*"exec"/],
    ['{"healthCheck":{"when":"never"}}', /when must be one of doubt, always/],
    ['{"healthCheck":{"path":"up"}}', /path must be a path/],
    ['{"healthCheck":{"path":"/a b"}}', /path must be a path/],
    ['{"healthCheck":{"path":"/a\\r\\nHost: x"}}', /path must be a path/],
    ['{"healthCheck":{"intervalMs":99}}', /intervalMs must be a whole number from 100/],
    ['{"healthCheck":{"timeoutMs":5001}}', /timeoutMs must be at most intervalMs \(5000\)/],
    ['{"healthCheck":{"rise":0}}', /rise must be/],
    ['{"healthCheck":{"rise":1.5}}', /rise must be a whole number/],
    ['{"healthCheck":{"jitter":2}}', /jitter must be a number from 0 to 1/],
    ['{"healthCheck":{"port":"80"}}', /port must be a whole number/],
    ['{"healthCheck":{"interval":5}}', /Unknown key healthCheck\.interval/],
    ["{", /must be JSON/],
  ];
  for (const [text, message] of cases) {
    assert.throws(() => parseHealthCheck(text), (error) => {
      assert.ok(error instanceof RangeError, text);
      assert.match(error.message, message);
      return true;
    });
  }
});
