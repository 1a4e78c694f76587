// Goal: a node that is out is reported again and again, whether or not calls go to it, as long as its
// module is used. Method: virtual time, all presets.

import assert from "node:assert/strict";
import { test } from "node:test";
import { seededRng } from "../../reactor/time/rng.ts";
import {
  OUT_REPORT_MS,
  OUT_REPORTS_PER_TICK_MAX,
  OUT_USED_MS,
  OutHosts,
} from "../detection/out_hosts.ts";
import { Host, HostList } from "../host.ts";
import { defaultBalanceSettings } from "../mod.ts";
import { REPORT_INTERVAL_MS, RESTING_TICK_MS, RouteLb, TICK_MS } from "./route_lb.ts";
import type { NodeState } from "../../model/node.ts";

const LATE_MAX_MS = OUT_REPORT_MS + REPORT_INTERVAL_MS + RESTING_TICK_MS;

/** A module of three nodes, of which the second always fails. */
class Bench {
  readonly lb = new RouteLb({
    settings: defaultBalanceSettings,
    rng: seededRng(1),
    onPull: () => {},
  });
  nowMs = 0;
  /** When it was last reported as out, and the longest time between two such reports. */
  outAtMs = -Infinity;
  gapMaxMs = 0;
  outReports = 0;
  errTotal = 0;

  constructor(policy: string) {
    this.lb.use(1, 1, 0);
    this.lb.setModulePolicy(1, 1, policy);
    this.setState("on");
  }

  setState(state: NodeState): void {
    const nodes = [1, 2, 3].map((ip) => ({ ip, port: 80, ...(ip === 2 ? { state } : {}) }));
    this.lb.update(1, 1, nodes, this.nowMs);
  }

  pass(ms: number, callsPerTick: number, tickMs = TICK_MS): void {
    for (const endMs = this.nowMs + ms; this.nowMs < endMs;) {
      this.nowMs += tickMs;
      for (let call = 0; call < callsPerTick; call++) this.#call();
      this.lb.tick(this.nowMs);
      for (const { results } of this.lb.drainReports(this.nowMs)) {
        for (const { ip, overload, errTotal } of results) {
          if (ip !== 2 || !overload) continue;
          this.gapMaxMs = Math.max(this.gapMaxMs, this.nowMs - Math.max(0, this.outAtMs));
          this.outAtMs = this.nowMs;
          this.outReports++;
          this.errTotal = errTotal ?? 0;
        }
      }
    }
  }

  #call(): void {
    const host = this.lb.getHost(1, 1, this.nowMs);
    if (typeof host === "number") return;
    this.lb.report(1, 1, host.ip, host.port, host.ip === 2 ? 1 : 0, 5, this.nowMs);
  }
}

test("a node that rests is reported as out all the time, with counts that stand still", () => {
  for (const text of ['{"policy":"recommended"}', '{"recovery":"staged"}']) {
    const bench = new Bench(text);
    bench.pass(60_000, 4);
    assert.ok(bench.outReports > 0, text);
    bench.gapMaxMs = 0;
    bench.pass(600_000, 4);
    assert.ok(bench.gapMaxMs <= LATE_MAX_MS, `${text}: ${bench.gapMaxMs} ms`);
    assert.equal(bench.errTotal, bench.lb.findHost(1, 1, 2, 80)?.errTotal);
  }
});

test("by the original rules a node is reported as out for as long as it is", () => {
  const bench = new Bench("");
  bench.pass(20_000, 4);
  const { outReports } = bench;
  assert.ok(outReports > 0);
  bench.pass(600_000, 4);
  assert.ok(bench.outReports > outReports);
});

test("what nobody uses is told of no more, in a loop at rest too, and again once it is used", () => {
  const bench = new Bench('{"policy":"recommended"}');
  bench.pass(60_000, 4);
  const idleFromMs = bench.nowMs;
  bench.pass(OUT_USED_MS, 0, RESTING_TICK_MS);
  assert.ok(idleFromMs + OUT_USED_MS - bench.outAtMs <= LATE_MAX_MS);
  bench.pass(600_000, 0, RESTING_TICK_MS);
  assert.ok(bench.outAtMs <= idleFromMs + OUT_USED_MS + LATE_MAX_MS);
  // It is still out, and has rested: the first probe comes late.
  const { outReports } = bench;
  bench.pass(2 * LATE_MAX_MS, 1, RESTING_TICK_MS);
  assert.ok(bench.outReports > outReports);
});

test("a node that the operator took away is told of no more, nor one that left the route", () => {
  for (
    const leave of [
      (bench: Bench) => bench.setState("off"),
      (bench: Bench) => void bench.lb.update(1, 1, [{ ip: 1, port: 80 }], bench.nowMs),
    ]
  ) {
    const bench = new Bench('{"policy":"recommended"}');
    bench.pass(60_000, 4);
    leave(bench);
    bench.pass(2000, 4);
    const { outReports } = bench;
    bench.pass(60_000, 4);
    assert.equal(bench.outReports, outReports);
  }
});

test("OutHosts: a tick tells of a bounded number of nodes, and the next ones of the others", () => {
  const told = new Map<number, number>();
  const owner = {
    settle(): void {},
    stillOut: ({ ip }: Host): void => void told.set(ip, (told.get(ip) ?? 0) + 1),
  };
  const out = new OutHosts();
  const list = new HostList<Host>();
  const count = 2 * OUT_REPORTS_PER_TICK_MAX + 10;
  const hosts = Array.from({ length: count }, (_, ip) => new Host(ip, 80, owner, 0));
  for (const host of hosts) {
    host.overload = true;
    list.pushTail(host);
    out.add(host);
    out.add(host);
  }
  out.tick(OUT_REPORT_MS - 1);
  assert.equal(told.size, 0);
  const sizes = [0, 1, 2, 3].map((tick) => {
    out.tick(OUT_REPORT_MS + tick * TICK_MS);
    return told.size;
  });
  const most = OUT_REPORTS_PER_TICK_MAX;
  assert.deepEqual(sizes, [most, 2 * most, count, count]);
  assert.ok([...told.values()].every((times) => times === 1));
  for (const host of hosts.slice(0, 5)) host.overload = false;
  for (const host of hosts.slice(5, 10)) list.remove(host);
  for (const host of hosts.slice(10, 15)) out.remove(host);
  for (let tick = 0; tick < 4; tick++) out.tick(2 * OUT_REPORT_MS + 1000 + tick);
  assert.equal(out.count, count - 15);
  assert.deepEqual([told.get(0), told.get(5), told.get(10), told.get(15)], [1, 1, 1, 2]);
});
