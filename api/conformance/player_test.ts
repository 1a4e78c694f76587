// What a client did wrong fails; what the machine did to it is tried again.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { availableParallelism } from "node:os";
import process from "node:process";
import { test } from "node:test";
import { until } from "../../tests/support/until.ts";
import type { Exchange } from "./exchange.ts";
import { HELD_UP_MS, HeldUp } from "./held_up.ts";
import { Player } from "./player.ts";

const exchange = {
  ...{ name: "an exchange", why: "for this test", agent: [] },
  steps: [{ do: "get_host 1 1", expect: "host 10.0.0.1:80" }],
} satisfies Exchange;

/** Plays with a driver that gives these results, and for so long was held up in each play. */
async function play(
  results: readonly string[],
  heldUpMs: readonly number[],
): Promise<[string, number]> {
  let plays = 0;
  const player = new Player(
    {
      ...{ features: [], pid: undefined },
      run: (command) => Promise.resolve(command.startsWith("get") ? results[plays - 1] : "ok"),
    },
    () => Promise.reject(new Error("no real agent")),
    { begin: () => void plays++, end: () => heldUpMs[plays - 1] },
  );
  const { outcome } = await player.play(exchange);
  return [outcome.split("\n")[0], plays];
}

test("Player plays again what failed while the machine held somebody up, and nothing else", async () => {
  const [good, bad] = ["host 10.0.0.1:80", "code 2"];
  const step = `step 1, ${JSON.stringify(exchange.steps[0])}`;
  const failed = `${step}: the result is "code 2"`;
  assert.deepEqual(await play([good], [5_000]), ["passed", 1]);
  assert.deepEqual(await play([bad], [HELD_UP_MS - 1]), [failed, 1]);
  assert.deepEqual(await play([bad, bad, good], [90, 90, 0]), ["passed", 3]);
  assert.deepEqual(await play([bad, bad], [90, 0]), [failed, 2]);
  assert.deepEqual(await play([bad, bad, bad, bad], [90, 90, 90, 90]), [failed, 4]);
});

test("HeldUp notices that this process stood still", () => {
  const heldUp = new HeldUp(undefined);
  heldUp.begin();
  const endMs = performance.now() + 2 * HELD_UP_MS;
  while (performance.now() < endMs);
  assert.ok(heldUp.end() >= HELD_UP_MS);
});

test("HeldUp notices that a driver waited for a processor", {
  skip: process.platform === "linux" ? false : "not Linux",
}, async () => {
  // More threads that want a processor than there are.
  const drivers = Array.from(
    { length: 2 * availableParallelism() },
    () => spawn("sh", ["-c", "while :; do :; done"], { stdio: "ignore" }),
  );
  try {
    const heldUp = new HeldUp(drivers[0].pid);
    await until(() => {
      heldUp.begin();
      return new Promise((resolve) => setTimeout(() => resolve(heldUp.end() >= HELD_UP_MS), 200));
    }, { what: "a wait for a processor" });
  } finally {
    for (const driver of drivers) driver.kill("SIGKILL");
  }
});
