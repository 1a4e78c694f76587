import assert from "node:assert/strict";
import { test } from "node:test";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { signatureOf } from "../control/access/secrets.ts";
import { type ScaleRule, ScaleRuleShape } from "../control/schemas.ts";
import { systemClock } from "../reactor/time/system_clock.ts";
import type { WebhookRow } from "../sql/console/console_store.ts";
import { type DriverOrder, ORDER_ATTEMPTS_MAX, ScaleDrivers } from "./scale_drivers.ts";

const ORDER: DriverOrder = {
  ...{ id: "order-1", modId: 7, cmdId: 1, name: "shop", atMs: 0, action: "stop" },
  ...{ from: 3, to: 2, nodes: ["10.0.0.1:80"], reason: "idle" },
};

function ruleOf(values: Partial<ScaleRule>): ScaleRule {
  return ScaleRuleShape.parse({ metric: "calls", target: 1, max: 2, ...values });
}

function drivers(hooks: readonly WebhookRow[], command: readonly string[] = []): ScaleDrivers {
  const surroundings = {
    ...{ allowed: [], ownAddresses: new Set<string>(), ownPorts: new Set<number>(), ownIps: [] },
  };
  return new ScaleDrivers({
    clock: hurried(),
    software: "lars/test",
    surroundings: () => surroundings,
    store: { webhooks: () => Promise.resolve([...hooks]) },
    command,
  });
}

/** A clock whose pauses are over at once. */
function hurried(): typeof systemClock {
  return {
    nowMs: () => systemClock.nowMs(),
    wallMs: () => systemClock.wallMs(),
    setTimer: (delayMs, callback) =>
      systemClock.setTimer(delayMs >= 10_000 ? delayMs : 0, callback),
  };
}

test("An order is posted signed, and again under the same id until it is taken", async () => {
  const seen: { id: string; isSigned: boolean; body: Record<string, unknown> }[] = [];
  const secret = "a secret of sixteen";
  const server = createServer((request, response) => {
    let text = "";
    request.setEncoding("utf8").on("data", (part: string) => text += part).on("end", () => {
      const { "x-lars-timestamp": at, "x-lars-signature": mac, "x-lars-delivery": id } =
        request.headers;
      const isSigned = mac === `sha256=${signatureOf(secret, `${at}.${text}`)}`;
      seen.push({ id: String(id), isSigned, body: JSON.parse(text) });
      response.writeHead(seen.length < 3 ? 500 : 200).end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", () => resolve()));
  const { port } = server.address() as AddressInfo;
  const hook = {
    ...{ id: 1, title: "fleet", url: `http://127.0.0.1:${port}/`, secret, enabled: true },
    ...{ format: "scaling", timeoutS: 10, groupS: 0 },
  };
  const rule = ruleOf({ driver: "webhook", webhook: "fleet" });
  try {
    const outcome = await drivers([hook]).give(rule, ORDER);
    assert.deepEqual([outcome.isDone, outcome.text], [true, "answered 200"]);
    assert.deepEqual(seen.map(({ id, isSigned }) => [id, isSigned]), [
      ...[["order-1", true], ["order-1", true], ["order-1", true]],
    ]);
    const { type, module, nodes, to } = seen[0].body;
    assert.deepEqual({ type, module, nodes, to }, {
      type: "scale.stop",
      module: { modId: 7, cmdId: 1, name: "shop" },
      nodes: ["10.0.0.1:80"],
      to: 2,
    });
    const cases: readonly (readonly [WebhookRow[], RegExp])[] = [
      [[], /there is no webhook "fleet"/],
      [[{ ...hook, format: "lars" }], /there is no webhook/],
      [[{ ...hook, enabled: false }], /switched off/],
      [[{ ...hook, url: "http://169.254.169.254/" }], /./],
    ];
    for (const [hooks, pattern] of cases) {
      const refused = await drivers(hooks).give(rule, ORDER);
      assert.equal(refused.isDone, false);
      assert.match(refused.text, pattern);
    }
    assert.equal(seen.length, 3);
  } finally {
    server.close();
  }
});

test("An order that nobody takes is given up after some attempts", async () => {
  let asked = 0;
  const given = new ScaleDrivers({
    ...{ clock: hurried(), software: "lars/test", command: [] },
    surroundings: () => assert.fail("nothing is posted"),
    store: { webhooks: () => (asked++, Promise.reject(new Error("away"))) },
  });
  const outcome = await given.give(ruleOf({ driver: "webhook", webhook: "x" }), ORDER);
  assert.deepEqual(outcome, { isDone: false, text: "away" });
  assert.equal(asked, ORDER_ATTEMPTS_MAX);
});

test("A command gets the order on standard input; without one nothing is run", async () => {
  const rule = ruleOf({ driver: "command" });
  const done = await drivers([], ["/bin/sh", "-c", "read x; echo $x"]).give(rule, ORDER);
  assert.equal(done.isDone, true);
  assert.match(done.text, /^ended with 0: \{"version":1,"type":"scale.stop","id":"order-1"/);
  const failed = await drivers([], ["/bin/sh", "-c", "echo no >&2; exit 3"]).give(rule, ORDER);
  assert.deepEqual(failed, { isDone: false, text: "/bin/sh ended with 3: no" });
  assert.match((await drivers([]).give(rule, ORDER)).text, /set \[web\] scale_command/);
});
