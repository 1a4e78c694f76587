import assert from "node:assert/strict";
import { test } from "node:test";
import { LinePeer } from "./line_peer.ts";

test("whoever asks a program that cannot be run, or ends, is told so", async () => {
  const none = new LinePeer(["/nowhere/program", "word"]);
  const first = none.ask("hello");
  const second = none.ask("hello");
  await assert.rejects(first, /\/nowhere\/program cannot be run/);
  await assert.rejects(second, /cannot be run/);
  await assert.rejects(none.ask("late"), /cannot be run/);
  none.close();

  const ends = new LinePeer(["/bin/sh", "-c", "read line; echo '{\"a\":1}'; read line; exit 3"]);
  assert.deepEqual(await ends.ask("one"), { a: 1 });
  await assert.rejects(ends.ask("two"), /\/bin\/sh has ended: code 3/);
  await assert.rejects(ends.ask("three"), /has ended: code 3/);

  const talks = new LinePeer(["/bin/sh", "-c", "read line; echo hello; read line"]);
  await assert.rejects(talks.ask("one"), /one: it answers "hello"/);
  talks.close();
  await assert.rejects(talks.ask("two"), /has ended: SIGKILL/);
});
