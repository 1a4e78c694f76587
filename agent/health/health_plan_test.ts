import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { seededRng } from "../../reactor/time/rng.ts";
import {
  HEALTH_CHECKS_MAX,
  HEALTH_TARGETS_MAX,
  type HealthCheck,
  HealthPlan,
  type HealthVerdict,
  isCheckable,
} from "./health_plan.ts";
import { DEFAULT_HEALTH_CHECK, type HealthCheckSettings } from "./health_plan.ts";

const IP = 0x0a000001;
const always: HealthCheckSettings = {
  ...DEFAULT_HEALTH_CHECK,
  when: "always",
  intervalMs: 1000,
  dwellMs: 0,
  jitter: 0,
};
const target = { modId: 1, cmdId: 1, ip: IP, port: 80 };

/** A plan under a clock of its own, whose checks end at once as `isWell` says. */
class Bench {
  readonly plan = new HealthPlan(seededRng(7));
  readonly checks: { atMs: number; check: HealthCheck }[] = [];
  readonly verdicts: (HealthVerdict & { atMs: number })[] = [];
  nowMs = 0;
  isWell: (check: HealthCheck, nowMs: number) => boolean = () => true;

  set(settings: HealthCheckSettings | undefined, count = 1): void {
    const nodes = Array.from({ length: count }, (_, i) => ({ ip: IP + i, port: 80 }));
    this.plan.setModule({ modId: 1, cmdId: 1, settings, nodes }, this.nowMs);
  }

  run(untilMs: number): void {
    while (this.plan.nextDueMs <= untilMs) {
      this.nowMs = Math.max(this.nowMs, this.plan.nextDueMs);
      for (const check of this.plan.take(this.nowMs)) {
        this.checks.push({ atMs: this.nowMs, check });
        const fault = this.isWell(check, this.nowMs) ? undefined : "refused";
        const verdict = this.plan.finished(check, fault, this.nowMs);
        if (verdict !== undefined) this.verdicts.push({ ...verdict, atMs: this.nowMs });
      }
    }
    this.nowMs = untilMs;
  }
}

test("HealthPlan checks all nodes at their interval, spread over it", () => {
  const bench = new Bench();
  bench.set(always, 50);
  bench.run(10_000);
  assert.equal(bench.checks.length, 500);
  assert.equal(new Set(bench.checks.map(({ atMs }) => Math.floor(atMs / 100))).size, 100);
  assert.deepEqual(bench.verdicts, [], "nobody was out");
});

test("HealthPlan puts a node out after `fall` bad checks, and back after `rise` good ones", () => {
  const bench = new Bench();
  bench.set(always);
  bench.isWell = (_, nowMs): boolean => nowMs < 5000 || nowMs > 15_000;
  bench.run(5000);
  bench.run(30_000);
  const changes = bench.verdicts.filter(({ reason }) => !reason.includes("still"));
  assert.deepEqual(changes.map(({ healthy }) => healthy), [false, true]);
  const [down, up] = changes;
  assert.ok(down.atMs > 7000 && down.atMs <= 8000, `${down.atMs}`);
  assert.ok(up.atMs > 16_000 && up.atMs <= 17_000, `${up.atMs}`);
  assert.match(down.reason, /health check \(tcp\): 3 times refused/);
  // Said again at each bad check, as the balancer takes nodes back by time.
  const repeated = bench.verdicts.length - 2;
  assert.ok(repeated >= 6 && repeated <= 8, `${repeated}`);
});

test("HealthPlan holds a verdict for the dwell time, however the node flaps", () => {
  const bench = new Bench();
  bench.set({ ...always, rise: 1, fall: 1, dwellMs: 10_000 });
  let turn = 0;
  bench.isWell = (): boolean => turn++ % 2 === 0;
  bench.run(100_000);
  const changes = bench.verdicts.filter(({ reason }) => !reason.includes("still"));
  assert.ok(changes.length >= 5 && changes.length <= 10, `${changes.length}`);
  for (let i = 1; i < changes.length; i++) {
    assert.ok(changes[i].atMs - changes[i - 1].atMs >= 10_000);
  }
});

test("HealthPlan in doubt checks nodes that are out only, and brings them back", () => {
  const bench = new Bench();
  bench.set({ ...always, when: "doubt" }, 3);
  bench.run(10_000);
  assert.equal(bench.checks.length, 0);
  bench.plan.setDoubt({ ...target, ip: IP + 1 }, true, bench.nowMs);
  bench.run(12_500);
  assert.deepEqual(bench.verdicts.map(({ ip, healthy }) => [ip, healthy]), [[IP + 1, true]]);
  bench.plan.setDoubt({ ...target, ip: IP + 1 }, false, bench.nowMs);
  const { length } = bench.checks;
  bench.run(30_000);
  assert.equal(bench.checks.length, length);
  assert.ok(bench.checks.every(({ check }) => check.ip === IP + 1));
});

test("HealthPlan keeps what it knows of kept nodes, and forgets the others", () => {
  const bench = new Bench();
  bench.set(always, 2);
  bench.isWell = ({ ip }): boolean => ip !== IP;
  bench.run(5000);
  assert.equal(bench.verdicts[0].ip, IP);
  bench.set({ ...always, intervalMs: 500 }, 1);
  assert.equal(bench.plan.stats.targets, 1);
  bench.isWell = (): boolean => true;
  bench.run(10_000);
  assert.equal(bench.verdicts.at(-1)?.healthy, true, "it was known to be down");
  const [check] = bench.plan.take(20_000);
  bench.set(undefined);
  assert.deepEqual(bench.plan.stats, { targets: 0, running: 1, dropped: 0 });
  assert.equal(bench.plan.finished(check, "refused", 20_001), undefined);
  assert.deepEqual(bench.plan.stats, { targets: 0, running: 0, dropped: 0 });
  bench.set(always, 2);
  bench.plan.forget(1, 1);
  assert.equal(bench.plan.nextDueMs, Infinity);
});

test("HealthPlan never runs more checks at once than it may, and loses none", () => {
  fc.assert(fc.property(fc.array(fc.nat(99), { maxLength: 300 }), (ends) => {
    const plan = new HealthPlan(seededRng(1));
    const nodes = Array.from({ length: 200 }, (_, i) => ({ ip: IP + i, port: 80 }));
    plan.setModule({ modId: 1, cmdId: 1, settings: always, nodes }, 0);
    const running: HealthCheck[] = [];
    let nowMs = 1000;
    for (const end of ends) {
      running.push(...plan.take(nowMs));
      assert.ok(running.length <= HEALTH_CHECKS_MAX);
      assert.equal(plan.stats.running, running.length);
      const names = running.map(({ ip }) => ip);
      assert.equal(new Set(names).size, names.length, "a node is checked once at a time");
      const [check] = running.splice(end % running.length, 1);
      plan.finished(check, undefined, nowMs);
      nowMs += 10;
    }
  }));
});

test("HealthPlan checks so many nodes and no more, and none beyond the fleet", () => {
  const bench = new Bench();
  bench.set(always, HEALTH_TARGETS_MAX + 3);
  const { targets, dropped } = bench.plan.stats;
  assert.deepEqual([targets, dropped], [HEALTH_TARGETS_MAX, 3]);
  for (const ip of [0, 0x00000001, 0xa9fea9fe, 0xa9fe0001, 0xe0000001, 0xffffffff]) {
    assert.equal(isCheckable(ip), false, ip.toString(16));
  }
  for (const ip of [IP, 0x7f000001, 0xc0a80001, 0xa9fd0001]) assert.ok(isCheckable(ip));
  const plan = new HealthPlan(seededRng(1));
  const nodes = [{ ip: 0xa9fea9fe, port: 80 }];
  plan.setModule({ modId: 1, cmdId: 1, settings: always, nodes }, 0);
  assert.equal(plan.stats.targets, 0);
});
