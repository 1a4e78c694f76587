import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { BrokerClient, BrokerRequest, WorkedModule } from "./broker_parts.ts";
import type { ClientPort } from "./broker_ports.ts";
import { TaskTable } from "./task_table.ts";

const client = new BrokerClient(1, {} as ClientPort);
const module = new WorkedModule({ modId: 0, cmdId: 0 });

function add(table: TaskTable): BrokerRequest {
  const request = new BrokerRequest(client, module);
  request.task = table.next();
  table.add(request);
  return request;
}

test("task table: holds what was added and not removed, each under a number of its own", () => {
  fc.assert(fc.property(
    fc.array(fc.oneof(fc.constant("add" as const), fc.nat({ max: 9_999 })), { maxLength: 400 }),
    (steps) => {
      const table = new TaskTable();
      const held = new Map<number, BrokerRequest>();
      for (const step of steps) {
        if (step === "add") {
          for (let count = 0; count < 20; count++) {
            const request = add(table);
            assert.equal(held.has(request.task), false);
            held.set(request.task, request);
          }
        } else {
          const [task] = [...held.keys()].slice(step % (held.size + 1));
          table.remove(task ?? 0);
          held.delete(task ?? 0);
        }
      }
      assert.equal(table.size, held.size);
      for (const [task, request] of held) assert.equal(table.get(task), request);
    },
  ));
});

test("task table: a number is not given again while its request is there, nor soon after", () => {
  const table = new TaskTable();
  const [old] = [add(table)];
  const seen = new Set([old.task]);
  for (let count = 0; count < 100_000; count++) {
    const { task } = add(table);
    assert.equal(seen.has(task), false);
    seen.add(task);
    table.remove(task);
    assert.equal(table.get(task), undefined);
  }
  assert.equal(table.get(old.task), old);
  table.remove(old.task);
  table.remove(old.task);
  assert.equal(table.size, 0);
});

test("task table: is as large as what it holds, and small again when nothing is left", () => {
  const table = new TaskTable();
  const all = Array.from({ length: 50_000 }, () => add(table));
  assert.equal(table.size, 50_000);
  for (const one of all) assert.equal(table.get(one.task), one);
  for (const { task } of all) table.remove(task);
  assert.equal(table.size, 0);
  const one = add(table);
  assert.equal(table.get(one.task), one);
  assert.equal(table.get(one.task + 1_024), undefined);
});
