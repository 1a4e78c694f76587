// Goal: nodes restarted one after another, with drain, cost nobody a call: no client of ours, no gRPC
// program over xDS, none of HAProxy; also while dns and exports are ended and started anew.
// Method: small, in here; `deno run -A tests/rolling/main.ts` does it with 100 nodes.

import assert from "node:assert/strict";
import { test } from "node:test";
import { rollingRestart, rollingText } from "./rolling/rolling_restart.ts";
import { findProgram } from "./support/mariadb.ts";

const missing = ["node", "haproxy"].filter((name) => findProgram(name) === undefined);
const skip = missing.length > 0 ? `${missing.join(", ")} must be installed` : false;

test("nodes restarted one after another cost no call", { skip, timeout: 300_000 }, async () => {
  const result = await rollingRestart({ nodes: 4, rate: 20, killEvery: 2, say: () => {} });
  const { lars, grpc, haproxy } = result.calls;
  for (const [way, { calls, failed }] of Object.entries({ lars, grpc, haproxy })) {
    assert.ok(calls > 40, `${way}: ${calls} calls`);
    assert.equal(failed, 0, rollingText(result));
  }
});
