import assert from "node:assert/strict";
import { test } from "node:test";
import type { NewEvent } from "../sql/results/event.ts";
import { sqliteTestStore } from "../tests/support/fleet.ts";
import { withProcesses } from "../tests/support/processes.ts";
import { until } from "../tests/support/until.ts";

function event(kind: string, text: string, modId?: number): NewEvent {
  return {
    atMs: 1_700_000_000_000,
    kind,
    text,
    ...(modId === undefined ? {} : { module: { modId, cmdId: 1 } }),
  };
}

test("lars events lists, filters and follows", async () => {
  await withProcesses(async (processes) => {
    const { url, store } = await sqliteTestStore(processes);
    const run = async (...args: string[]): Promise<string> => {
      const ended = await processes.run("tools/lars.ts", ["events", "--store", url, ...args]);
      assert.equal(ended.code, 0, ended.stderr);
      return ended.stdout;
    };
    assert.equal(await run(), "");
    await store.addEvents([
      event("node.overload", "first", 1),
      event("node.idle", "second", 1),
      event("alert.firing", "third"),
    ]);
    assert.match(
      await run(),
      /^2023-11-14 22:13:20 {2}node\.overload +first\n.*second\n.*third\n$/,
    );
    assert.match(await run("--kind", "node.", "--module", "1/1", "-n", "1"), /^[^\n]*second\n$/);
    const lines = (await run("--json")).trimEnd().split("\n").map((line) => JSON.parse(line));
    assert.deepEqual(lines.map(({ text, modid }) => [text, modid]), [
      ["first", 1],
      ["second", 1],
      ["third", undefined],
    ]);
    const wrong = await processes.run("tools/lars.ts", ["events", "--store", url, "--module", "1"]);
    assert.equal(wrong.code, 2);
    assert.match(wrong.stderr, /--module: Module must be MODID CMDID or a name/);

    const kind = async (...words: string[]): Promise<{ code: number | null; stderr: string }> =>
      await processes.run("tools/lars.ts", ["events", "--store", url, ...words]);
    const bogus = await kind("--kind", "bogus");
    assert.deepEqual([bogus.code, bogus.stderr.includes("there are node.overload, node.idle,")], [
      2,
      true,
    ], bogus.stderr);
    const near = await kind("--kind", "node.", "--module", "9/9", "--kind", "node.overlaod", "-f");
    assert.deepEqual([near.code, /did you mean node\.overload\?/.test(near.stderr)], [2, true]);
    assert.deepEqual((await kind("--kind", "alert.ended")).code, 0, "known, and none there");
    await store.addEvents([event("newer.kind", "of a newer version")]);
    assert.match(await run("--kind", "newer.kind"), /of a newer version/);
    assert.equal((await kind("--kind", "newer.", "--module", "1/1")).code, 0);
    await store.addEvents([event("alert.firing", "third")]);

    const follower = processes.spawn("events -f", "tools/lars.ts", [
      "events",
      "--store",
      url,
      "-f",
      "-n",
      "1",
    ]);
    await until(() => follower.stdout.includes("third"), { what: "the latest" });
    assert.doesNotMatch(follower.stdout, /second/);
    await store.addEvents([event("node.overload", "fourth")]);
    await until(() => follower.stdout.includes("fourth"), { what: "the new one" });
    await store.addEvents([event("node.overload", "fifth")]);
    await until(() => follower.stdout.includes("fifth"), { what: "another" });
    assert.equal(follower.stdout.match(/fourth/g)?.length, 1);
    follower.signal("SIGINT");
    assert.equal((await follower.untilEnded()).code, 0);
    await store.close();
  });
});
