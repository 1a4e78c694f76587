import assert from "node:assert/strict";
import { test } from "node:test";
import { WarmWorkers } from "./common.ts";

test("WarmWorkers gives a warm worker once, a new one else, and ends what nobody took", () => {
  const started: string[] = [];
  const ended: string[] = [];
  const workers = new WarmWorkers(({ href }) => {
    const name = `${href}#${started.push(href)}`;
    return { name, terminate: () => void ended.push(name) } as unknown as Worker;
  });
  const nameOf = (worker: Worker): string => (worker as unknown as { name: string }).name;
  const [a, b] = [new URL("file:///a.ts"), new URL("file:///b.ts")];
  workers.warm(a);
  workers.warm(a);
  workers.warm(b);
  assert.equal(started.length, 2);
  assert.equal(nameOf(workers.take(a)), "file:///a.ts#1");
  assert.equal(nameOf(workers.take(a)), "file:///a.ts#3");
  workers.drop();
  workers.drop();
  assert.deepEqual(ended, ["file:///b.ts#2"]);
});
