import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { createServer, type IncomingHttpHeaders } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { type Clock, type Timer } from "../../reactor/time/clock.ts";
import { systemClock } from "../../reactor/time/system_clock.ts";
import { until } from "../../tests/support/until.ts";
import { WEBHOOK_ATTEMPTS_MAX, WEBHOOK_QUEUE_MAX, WebhookSender } from "./webhook_sender.ts";

interface Got {
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/** A real receiver that answers with the given statuses, then with 200. */
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
      response.writeHead(statuses.shift() ?? 200).end("ignored");
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

/** Real time, but pauses between attempts are short and noted. */
function hastyClock(pauses: number[]): Clock {
  return {
    nowMs: () => systemClock.nowMs(),
    wallMs: () => systemClock.wallMs(),
    setTimer(delayMs, action): Timer {
      if (delayMs === 5000) return systemClock.setTimer(delayMs, action);
      pauses.push(delayMs);
      return systemClock.setTimer(1, action);
    },
  };
}

function sender(pauses: number[] = []): WebhookSender {
  let count = 0;
  return new WebhookSender({
    clock: hastyClock(pauses),
    software: "lars/test",
    makeId: () => `id${++count}`,
  });
}

function hook(url: string, id = 1): Parameters<WebhookSender["setWebhooks"]>[0][number] {
  return { id, title: "t", url, secret: "a secret of some length", enabled: true };
}

test("WebhookSender: a message arrives signed", async () => {
  await withReceiver([], async (url, got) => {
    const hooks = sender();
    hooks.setWebhooks([hook(url)]);
    hooks.send({ text: "ü" });
    await until(() => got.length === 1);
    const [{ headers, body }] = got;
    assert.deepEqual(JSON.parse(body), { text: "ü" });
    const timestamp = String(headers["x-lars-timestamp"]);
    const mac = createHmac("sha256", hook(url).secret).update(`${timestamp}.${body}`).digest("hex");
    assert.equal(headers["x-lars-signature"], `sha256=${mac}`);
    assert.equal(headers["content-type"], "application/json");
    await until(() => hooks.facts(1).waitingCount === 0);
    assert.equal(hooks.facts(1).last?.text, "answered 200");
  });
});

test("WebhookSender: repeated with back-off until it is taken, in order", async () => {
  await withReceiver([500, 404, 302], async (url, got) => {
    const pauses: number[] = [];
    const hooks = sender(pauses);
    hooks.setWebhooks([hook(url)]);
    hooks.send({ n: 1 });
    hooks.send({ n: 2 });
    await until(() => got.length === 5);
    assert.deepEqual(got.map(({ body }) => JSON.parse(body).n), [1, 1, 1, 1, 2]);
    assert.deepEqual(
      new Set(got.slice(0, 4).map(({ headers }) => headers["x-lars-delivery"])).size,
      1,
    );
    assert.deepEqual(pauses.slice(0, 3), [1000, 2000, 4000]);
    await until(() => hooks.facts(1).waitingCount === 0);
    assert.deepEqual(hooks.totals, {
      doneCount: 2,
      failedCount: 3,
      waitingCount: 0,
      droppedCount: 0,
    });
  });
});

test("WebhookSender: gives a message up after the last attempt, and a queue holds so many", async () => {
  const pauses: number[] = [];
  const hooks = sender(pauses);
  hooks.setWebhooks([hook("http://127.0.0.1:1/")]);
  hooks.send({ n: 1 });
  await until(() => hooks.facts(1).droppedCount === 1);
  assert.deepEqual(pauses, [1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000]);
  assert.equal(pauses.length, WEBHOOK_ATTEMPTS_MAX);
  assert.equal(hooks.facts(1).last?.isDone, false);
  for (let index = 0; index < WEBHOOK_QUEUE_MAX + 5; index++) hooks.send({ index });
  assert.equal(hooks.facts(1).waitingCount, WEBHOOK_QUEUE_MAX);
  assert.equal(hooks.facts(1).droppedCount, 6);
  // What waits for a webhook that is removed is given up, and the counts outlive it.
  hooks.setWebhooks([]);
  const { droppedCount, waitingCount } = hooks.totals;
  assert.deepEqual({ droppedCount, waitingCount }, {
    droppedCount: 6 + WEBHOOK_QUEUE_MAX,
    waitingCount: 0,
  });
  hooks.stop();
});

test("WebhookSender: one that is away holds up no other; one that is gone gets nothing", async () => {
  await withReceiver([], async (url, got) => {
    const hooks = sender();
    hooks.setWebhooks([hook("http://127.0.0.1:1/", 1), hook(url, 2)]);
    hooks.send({ n: 1 });
    await until(() => got.length === 1);
    hooks.setWebhooks([{ ...hook(url, 2), enabled: false }]);
    hooks.send({ n: 2 });
    const outcome = await hooks.test(hook(url, 2), { n: 3 });
    assert.equal(outcome.isDone, true);
    assert.deepEqual(got.map(({ body }) => JSON.parse(body).n), [1, 3]);
    hooks.stop();
  });
});
