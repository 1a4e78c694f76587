import assert from "node:assert/strict";
import { test } from "node:test";
import { DEFAULT_MODULE_POLICY } from "../../balancer/module_policy.ts";
import { ManualClock } from "../../reactor/time/manual_clock.ts";
import { seededRng } from "../../reactor/time/rng.ts";
import { assertInTime } from "../../tests/support/in_time.ts";
import { CHOICE_MODULES_MAX, WorkerChoice } from "./worker_choice.ts";

const module = (modId: number): { modId: number; cmdId: number } => ({ modId, cmdId: 1 });

function makeChoice(): WorkerChoice<object> {
  const clock = new ManualClock();
  return new WorkerChoice({ clock, rng: seededRng(1), policy: DEFAULT_MODULE_POLICY });
}

test("worker choice: a worker that names ever other modules costs no more with each of them", () => {
  const choice = makeChoice();
  const worker = {};
  const startMs = performance.now();
  for (let at = 1; at <= 4 * CHOICE_MODULES_MAX; at++) {
    choice.setWorkers(module(at), [worker]);
    choice.setWorkers(module(at - 256), []);
  }
  assertInTime("40,000 modules that come and go", performance.now() - startMs, 5_000);
  assert.equal(choice.pick(module(4 * CHOICE_MODULES_MAX), 1), worker);
  assert.equal(choice.pick(module(1), 1), undefined, "it has no workers any more");
  choice.close();
});

test("worker choice: modules beyond the most take no place of those before", () => {
  const choice = makeChoice();
  const worker = {};
  for (let at = 1; at <= CHOICE_MODULES_MAX + 5; at++) choice.setWorkers(module(at), [worker]);
  for (let at = 1; at <= 5; at++) {
    assert.equal(
      choice.pick(module(CHOICE_MODULES_MAX + at), 1),
      undefined,
      "it is picked in turn",
    );
    assert.equal(choice.pick(module(at), 1), worker);
  }
  choice.setWorkers(module(1), []);
  choice.setWorkers(module(CHOICE_MODULES_MAX + 1), [worker]);
  assert.equal(choice.pick(module(CHOICE_MODULES_MAX + 1), 1), worker);
  choice.close();
});
