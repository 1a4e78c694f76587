import assert from "node:assert/strict";
import { test } from "node:test";
import { ManualClock } from "../reactor/time/manual_clock.ts";
import { systemClock } from "../reactor/time/system_clock.ts";
import { type Client, withConsole } from "../tests/support/console_bench.ts";
import { until } from "../tests/support/until.ts";
import type { ResponseOf } from "./contract.ts";
import { LIVE_BYTES_PER_SECOND_MAX, LiveHub } from "./live_stream.ts";

const TIMEOUT = { timeout: 120_000 };

/** Lets promises that are settled run. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await Promise.resolve();
}

/** Reads a stream as it comes. */
class Reader {
  text = "";
  ended = false;

  constructor(stream: ReadableStream<Uint8Array>) {
    void this.#read(stream);
  }

  async #read(stream: ReadableStream<Uint8Array>): Promise<void> {
    const decoder = new TextDecoder();
    try {
      for await (const chunk of stream) this.text += decoder.decode(chunk, { stream: true });
    } catch {
      // Aborted by the test.
    }
    this.ended = true;
  }

  /** Names and values of the events so far. */
  get events(): { event: string; data: unknown }[] {
    return this.text.split("\n\n").filter((part) => part.startsWith("event: ")).map((part) => {
      const [first, second] = part.split("\n");
      return { event: first.slice(7), data: JSON.parse(second.slice(6)) };
    });
  }
}

test("LiveHub: a client that does not read gets the latest value, not a queue", async () => {
  const clock = new ManualClock();
  const hub = new LiveHub({ clock });
  let value = 0;
  const stream = hub.open({
    next: () => ({ event: "x", data: value }),
    isAllowed: () => Promise.resolve(true),
  });
  await settle();
  for (value = 1; value <= 1000; value++) {
    clock.advance(1000);
    hub.wake();
    await settle();
  }
  const reader = stream.getReader();
  const texts: string[] = [];
  for (let turn = 0; turn < 2; turn++) {
    texts.push(new TextDecoder().decode((await reader.read()).value));
    clock.advance(1000);
    await settle();
  }
  assert.deepEqual(texts, ["event: x\ndata: 0\n\n", "event: x\ndata: 1001\n\n"]);
  assert.equal(hub.sentBytes, texts.join("").length);
  await reader.cancel();
  assert.equal(hub.clientCount, 0);
});

test("LiveHub: the same value is sent once, a large one less often, silence is broken", async () => {
  const clock = new ManualClock();
  const hub = new LiveHub({ clock });
  let data = "a";
  const reader = new Reader(hub.open({
    next: () => ({ event: "x", data }),
    isAllowed: () => Promise.resolve(true),
  }));
  const wakeFor = async (seconds: number, change: boolean): Promise<void> => {
    for (let second = 0; second < seconds; second++) {
      clock.advance(1000);
      if (change) data = `${second}${"x".repeat(4 * LIVE_BYTES_PER_SECOND_MAX)}`;
      hub.wake();
      await settle();
    }
  };
  await settle();
  await wakeFor(60, false);
  assert.deepEqual(reader.events, [{ event: "x", data: "a" }]);
  assert.match(reader.text, /\n\n:\n\n/, "a comment now and then");
  const before = reader.text.length;
  await wakeFor(60, true);
  const bytesPerSecond = (reader.text.length - before) / 60;
  assert.ok(bytesPerSecond < 1.1 * LIVE_BYTES_PER_SECOND_MAX, `${bytesPerSecond} bytes/s`);
  hub.close();
  await settle();
  assert.ok(reader.ended);
});

test("LiveHub: says bye and ends when the session is over", async () => {
  const clock = new ManualClock();
  const hub = new LiveHub({ clock });
  let isAllowed = true;
  const reader = new Reader(hub.open({
    next: () => ({ event: "x", data: 1 }),
    isAllowed: () => Promise.resolve(isAllowed),
  }));
  await settle();
  isAllowed = false;
  clock.advance(5000);
  await settle();
  assert.deepEqual(reader.events.map(({ event }) => event), ["x", "bye"]);
  assert.ok(reader.ended);
});

async function openLive(client: Client, query: string, signal: AbortSignal): Promise<Reader> {
  const response = await fetch(`${client.base}/api/v1/live?${query}`, {
    headers: client.headers,
    signal,
  });
  assert.equal(response.headers.get("Content-Type"), "text/event-stream");
  assert.ok(response.body !== null);
  return new Reader(response.body);
}

test(
  "live: every view comes at once, and a node that fails shows within 2 s",
  TIMEOUT,
  async () => {
    await withConsole(async ({ clients: { operator }, store }) => {
      await operator.get("POST /modules/1/1/nodes", { body: { ip: "10.0.0.1", port: 1 } });
      const abort = new AbortController();
      const views = ["overview", "modules", "module&modId=1&cmdId=1", "alerts", "events"];
      const readers = await Promise.all(
        views.map((view) => openLive(operator, `view=${view}`, abort.signal)),
      );
      for (const [index, reader] of readers.entries()) {
        await until(() => reader.events.length > 0, { what: views[index] });
        assert.equal(reader.events[0].event, views[index].split("&")[0]);
      }
      const startMs = systemClock.nowMs();
      await store.writeCallStatus([{
        modId: 1,
        cmdId: 1,
        ip: 0x0a000001,
        port: 1,
        caller: 1,
        succCount: 0,
        errCount: 1,
        ts: Math.trunc(systemClock.wallMs() / 1000),
        overload: true,
      }]);
      const isRed = ({ data }: { data: unknown }): boolean =>
        (data as ResponseOf<"getModule">).nodes[0].health === "overload";
      await until(() => readers[2].events.some(isRed), { what: "the node in red" });
      const tookMs = systemClock.nowMs() - startMs;
      assert.ok(tookMs < 3 * 2000, `${tookMs} ms; 2 s are promised`);
      await until(() =>
        readers[0].events.some(({ data }) => (data as ResponseOf<"getOverview">).health.down === 1)
      );
      abort.abort();
    });
  },
);

test("live: a module that is none is gone, and is shown when it comes", TIMEOUT, async () => {
  await withConsole(async ({ clients: { operator } }) => {
    const abort = new AbortController();
    const reader = await openLive(operator, "view=module&modId=9&cmdId=9", abort.signal);
    const names = (): string => reader.events.map(({ event }) => event).join(" ");
    await until(() => names() === "gone", { what: "gone" });
    assert.deepEqual(reader.events[0].data, { modId: 9, cmdId: 9 });
    await operator.get("POST /modules/9/9/nodes", { body: { ip: "10.0.0.1", port: 1 } });
    await until(() => names().startsWith("gone module"), { what: "the module" });
    await operator.get("DELETE /modules/9/9", { headers: { "If-Match": "*" } });
    await until(() => names().endsWith(" gone"), { what: "gone again" });
    abort.abort();
  });
});
