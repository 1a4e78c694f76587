// Goal: what fires is told to every receiver once, whatever it and the network do meanwhile. Method:
// real receivers, and pauses that are short.

import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { createServer, type IncomingHttpHeaders } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { type Clock, type Timer } from "../../reactor/time/clock.ts";
import { systemClock } from "../../reactor/time/system_clock.ts";
import { until } from "../../tests/support/until.ts";
import type { AlertState } from "./alert_engine.ts";
import type { Surroundings } from "./webhook_guard.ts";
import { PAUSE_MAX_MS, WebhookSender } from "./webhook_sender.ts";

interface Got {
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/** A real receiver that answers with the given statuses, then with 200; 0 is no answer at all. */
async function withReceiver(
  statuses: number[],
  fn: (url: string, got: Got[]) => Promise<void>,
): Promise<void> {
  const got: Got[] = [];
  const server = createServer((request, response) => {
    let body = "";
    request.setEncoding("utf8").on("data", (chunk: string) => (body += chunk));
    request.on("end", () => {
      got.push({ headers: request.headers, body });
      const status = statuses.shift() ?? 200;
      if (status > 0) response.writeHead(status).end("ignored");
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    await fn(`http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`, got);
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

const TIMEOUT_S = 7;

/** Real time, but pauses between attempts are short and noted, and limits a second. */
function hastyClock(pauses: number[]): Clock {
  return {
    nowMs: () => systemClock.nowMs(),
    wallMs: () => systemClock.wallMs(),
    setTimer(delayMs, action): Timer {
      if (delayMs === TIMEOUT_S * 1000) return systemClock.setTimer(1_000, action);
      pauses.push(delayMs);
      return systemClock.setTimer(1, action);
    },
  };
}

const FREE: Surroundings = {
  allowed: [],
  ownAddresses: new Set(),
  ownPorts: new Set(),
  ownIps: [],
};

function sender(pauses: number[] = [], surroundings = FREE): WebhookSender {
  let count = 0;
  return new WebhookSender({
    clock: hastyClock(pauses),
    software: "lars/test",
    consoleUrl: () => "http://console:8080",
    surroundings: () => surroundings,
    makeId: () => `id${++count}`,
  });
}

type Hook = Parameters<WebhookSender["setWebhooks"]>[0][number];

function hook(url: string, values: Partial<Hook> = {}): Hook {
  const plain = { format: "lars", timeoutS: TIMEOUT_S, groupS: 0 };
  return {
    ...{ id: 1, title: "t", url, secret: "a secret of some length", enabled: true },
    ...plain,
    ...values,
  };
}

function alertOf(cmdId: number, values: Partial<AlertState> = {}): AlertState {
  return {
    ...{ key: `1 1/${cmdId}`, subject: `1/${cmdId}`, ruleId: 1, kind: "error_share" },
    ...{ title: "Many calls fail", text: `1/${cmdId}: 20 % <fail>`, value: 0.2 },
    ...{ severity: "warning", state: "firing", isSilenced: false, modId: 1, cmdId },
    ...{ node: null, service: null, sinceMs: 1000, firedAtMs: 2000, heldMs: 0, overMs: 0 },
    ...values,
  };
}

const told = (got: readonly Got[]): string[] =>
  got.map(({ body }) => {
    const { state, cmdId } = JSON.parse(body);
    return `${state} ${cmdId}`;
  });

test("an alert arrives signed, with a link, when it begins and when it ends", async () => {
  await withReceiver([], async (url, got) => {
    const hooks = sender();
    hooks.setWebhooks([hook(url)]);
    hooks.update([alertOf(2, { text: "ü" })]);
    await until(() => got.length === 1);
    hooks.update([alertOf(2, { text: "ü" })]);
    await until(() => hooks.facts(1).waitingCount === 0);
    hooks.update([]);
    await until(() => hooks.facts(1).waitingCount === 0);
    assert.deepEqual(told(got), ["firing 2", "ended 2"]);
    const [{ headers, body }] = got;
    const { text, link } = JSON.parse(body);
    assert.deepEqual([text, link], ["ü", "http://console:8080/modules/1/2"]);
    const timestamp = String(headers["x-lars-timestamp"]);
    const mac = createHmac("sha256", hook(url).secret).update(`${timestamp}.${body}`).digest("hex");
    assert.equal(headers["x-lars-signature"], `sha256=${mac}`);
    assert.equal(headers["content-type"], "application/json");
    assert.equal(hooks.facts(1).last?.text, "answered 200");
  });
});

test("told means a 2xx: everything else is tried again under the same id, for ever", async () => {
  await withReceiver([500, 404, 302, ...Array(12).fill(503)], async (url, got) => {
    const pauses: number[] = [];
    const hooks = sender(pauses);
    hooks.setWebhooks([hook(url)]);
    hooks.update([alertOf(1), alertOf(2)]);
    await until(() => hooks.facts(1).waitingCount === 0, { what: "both to be taken" });
    assert.deepEqual(told(got), [...Array(16).fill("firing 1"), "firing 2"]);
    assert.equal(
      new Set(got.slice(0, 16).map(({ headers }) => headers["x-lars-delivery"])).size,
      1,
    );
    assert.deepEqual(pauses.slice(0, 3), [1000, 2000, 4000]);
    assert.equal(pauses.at(-1), PAUSE_MAX_MS);
    assert.deepEqual(hooks.totals, { doneCount: 2, failedCount: 15, waitingCount: 0 });
  });
});

test("what ended before anybody took it is not told, and a slow receiver has one message at a time", async () => {
  await withReceiver([0, 200], async (url, got) => {
    const hooks = sender();
    hooks.setWebhooks([hook(url)]);
    hooks.update([alertOf(1)]);
    await until(() => got.length === 1);
    hooks.update([alertOf(2)]);
    assert.equal(got.length, 1, "the second waits for the end of the first");
    await until(() => hooks.facts(1).waitingCount === 0);
    assert.deepEqual(told(got), ["firing 1", "firing 2"]);
    assert.equal(hooks.totals.failedCount, 1);
  });
});

test("after a restart a receiver is told what it has not confirmed, and no more", async () => {
  await withReceiver([], async (url, got) => {
    const kept = new Map<number, readonly AlertState[]>();
    const first = sender();
    first.onTold((id, alerts) => kept.set(id, alerts));
    first.setWebhooks([hook(url), hook("http://127.0.0.1:49999/", { id: 2 })]);
    first.update([alertOf(1), alertOf(2)]);
    await until(() => kept.get(1)?.length === 2);
    first.stop();
    const second = sender();
    second.setWebhooks([hook(url), hook(url, { id: 2 })], new Map(kept));
    got.length = 0;
    second.update([alertOf(2), alertOf(3)]);
    await until(() => second.totals.waitingCount === 0);
    assert.deepEqual(told(got).sort(), ["ended 1", "firing 2", "firing 3", "firing 3"]);
    second.stop();
  });
});

test("300 at once come one by one, 3,000 in a few messages, and grouped ones in one", async () => {
  await withReceiver([], async (url, got) => {
    const many = (count: number): AlertState[] =>
      Array.from({ length: count }, (_, cmdId) => alertOf(cmdId));
    const hooks = sender();
    hooks.setWebhooks([hook(url)]);
    hooks.update(many(300));
    await until(() => hooks.facts(1).waitingCount === 0);
    assert.equal(got.length, 300);
    got.length = 0;
    hooks.update(many(3000));
    await until(() => hooks.facts(1).waitingCount === 0);
    assert.ok(got.length < 600, `${got.length} messages`);
    assert.equal(JSON.parse(got[0].body).alerts.length, 500);
    const grouped = sender();
    got.length = 0;
    grouped.setWebhooks([hook(url, { id: 2, groupS: 30 })]);
    grouped.update(many(1));
    grouped.update(many(40));
    await until(() => grouped.facts(2).waitingCount === 0);
    assert.deepEqual(got.map(({ body }) => JSON.parse(body).alerts.length), [40]);
  });
});

test("one that is away holds up no other; one that is gone gets nothing", async () => {
  await withReceiver([], async (url, got) => {
    const hooks = sender();
    hooks.setWebhooks([hook("http://127.0.0.1:49999/"), hook(url, { id: 2 })]);
    hooks.update([alertOf(1)]);
    await until(() => got.length === 1);
    hooks.setWebhooks([hook(url, { id: 2, enabled: false })]);
    hooks.update([alertOf(1), alertOf(2)]);
    const outcome = await hooks.test(hook(url, { id: 2 }), "ann");
    assert.equal(outcome.isDone, true);
    assert.deepEqual(got.map(({ body }) => JSON.parse(body).state), ["firing", "test"]);
    hooks.stop();
  });
});

test("a test says what is wrong: each cause in words of its own", async () => {
  await withReceiver([0, 418], async (url) => {
    const hooks = sender();
    const say = async (where: string): Promise<string> =>
      (await hooks.test(hook(where), "ann")).text;
    const texts = [
      await say(url),
      await say(url),
      await say("http://127.0.0.1:49999/"),
      await say("http://alerts.example.invalid/"),
      await say(url.replace("http:", "https:")),
    ];
    const patterns = [/no answer within 7 s/, /answered 418/, /refused/, /not known to DNS/, /TLS/];
    patterns.forEach((pattern, index) => assert.match(texts[index], pattern));
  });
});

test("only this host's and its cloud's own addresses are not posted to, unless allowed by name", async () => {
  await withReceiver([], async (url, got) => {
    const port = Number(new URL(url).port);
    const own = {
      ...FREE,
      ownPorts: new Set([port]),
      allowed: ["169.254.7.7", `localhost:${port}`],
    };
    const hooks = sender([], own);
    const say = async (where: string): Promise<string> =>
      (await hooks.test(hook(where), "ann")).text;
    for (
      const where of [
        ...[url, `http://[::1]:${port}/`, `http://[::ffff:127.0.0.1]:${port}/`],
        ...["http://169.254.169.254/latest", "http://169.254.1.1/", "http://[fe80::1]/"],
      ]
    ) {
      assert.match(await say(where), /^not sent: .* name .* in \[web\] webhook_allow$/, where);
    }
    assert.equal(got.length, 0);
    assert.equal(await say(`http://localhost:${port}/`), "answered 200");
  });
});
