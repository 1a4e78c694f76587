import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { kill } from "node:process";
import { test } from "node:test";
import { ManualClock } from "../reactor/time/manual_clock.ts";
import { systemClock } from "../reactor/time/system_clock.ts";
import { until } from "../tests/support/until.ts";
import { withTempDir } from "../tests/support/temp_dir.ts";
import { runBounded } from "./run_bounded.ts";

const shell = (
  script: string,
  ...args: string[]
): string[] => ["/bin/sh", "-c", script, "sh", ...args];

test("A program gets its words as they are, and its input", async () => {
  const options = { input: "in\n", timeoutMs: 10_000 };
  const run = (...argv: string[]): ReturnType<typeof runBounded> =>
    runBounded(argv, systemClock, options);
  assert.deepEqual(await run(...shell('read x; echo "$1 $x"', "$(id); a b")), {
    ...{ isDone: true, how: "ended with 0", output: "$(id); a b in" },
  });
  assert.deepEqual(await run(...shell("echo no >&2; exit 3")), {
    ...{ isDone: false, how: "ended with 3", output: "no" },
  });
  const much = await run(...shell("head -c 1000000 /dev/zero | tr '\\0' x"));
  assert.ok(much.isDone && much.output.length <= 4_000);
  const none = await run("/no/such/program");
  assert.equal(none.isDone, false);
  assert.match(none.how, /cannot be run/);
});

test("A program that takes too long is killed", async () => {
  const clock = new ManualClock();
  const running = runBounded(shell("exec sleep 600"), clock, { timeoutMs: 1_000 });
  clock.advance(1_000);
  assert.deepEqual(await running, { isDone: false, how: "killed after 1000 ms", output: "" });
});

test("What a program has started and leaves behind holds up nobody", async () => {
  await withTempDir(async (dir) => {
    const clock = new ManualClock();
    const script = 'sleep 600 & echo $! > "$1/new" && mv "$1/new" "$1/pid"; wait';
    const running = runBounded(shell(script, dir), clock, { timeoutMs: 1_000 });
    await until(() => existsSync(`${dir}/pid`));
    // It has the outputs of the program, and so they stay open.
    const left = Number(readFileSync(`${dir}/pid`, "utf8"));
    try {
      clock.advance(1_000);
      const { isDone, how } = await running;
      assert.deepEqual({ isDone, how }, { isDone: false, how: "killed after 1000 ms" });
    } finally {
      kill(left);
    }
  });
});
