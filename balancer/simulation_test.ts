// Goal: the rules as a whole give exactly the picks and state changes that a hand calculation gives.
// Method: callers with virtual time; every expected number is derived in a comment.

import assert from "node:assert/strict";
import { test } from "node:test";
import { ManualClock } from "../reactor/time/manual_clock.ts";
import { seededRng } from "../reactor/time/rng.ts";
import { defaultBalanceSettings } from "./detection/balance_settings.ts";
import { type BalanceSettings, RouteLb } from "./mod.ts";

/** What a call to a node comes to; `call` counts the calls of that node from 1. */
type Profile = (call: number) => { retcode: number; timecostMs: number };

const healthy: Profile = () => ({ retcode: 0, timecostMs: 0 });
const dead: Profile = () => ({ retcode: 1, timecostMs: 0 });
const slow: Profile = () => ({ retcode: 1, timecostMs: 1000 });
/** Of each ten calls the 1st, 4th and 7th fail. */
const failing30: Profile = (call) => ({
  retcode: [1, 4, 7].includes(call % 10) ? 1 : 0,
  timecostMs: 0,
});

class Simulation {
  readonly clock = new ManualClock();
  readonly events: string[] = [];
  /** One letter for each pick: the node, in lower case when it was a probe, "-" when refused. */
  picks = "";
  readonly lb: RouteLb;
  readonly #profiles: Record<string, Profile>;
  readonly #calls = new Map<string, number>();

  /** Nodes are named by one letter and stand in the route in the order of the record. */
  constructor(profiles: Record<string, Profile>, settings: Partial<BalanceSettings> = {}) {
    this.#profiles = profiles;
    this.lb = new RouteLb({
      settings: { ...defaultBalanceSettings, ...settings },
      rng: seededRng(1),
      onPull: () => {},
      onStateChange: (change) => {
        const state = change.overload ? "overload" : "idle";
        this.events.push(`${change.atMs} ${String.fromCharCode(change.ip)} ${state}`);
      },
    });
    this.lb.getHost(1, 1, 0);
    this.lb.update(1, 1, Object.keys(profiles).map((n) => ({ ip: n.charCodeAt(0), port: 1 })), 0);
  }

  /** One pick and its report at each multiple of `stepMs`, up to and with `endMs`. */
  run(stepMs: number, endMs: number): void {
    while (this.clock.nowMs() + stepMs <= endMs) {
      this.clock.advance(stepMs);
      const nowMs = this.clock.nowMs();
      this.lb.tick(nowMs);
      const host = this.lb.getHost(1, 1, nowMs);
      if (typeof host === "number") {
        this.picks += "-";
        continue;
      }
      const name = String.fromCharCode(host.ip);
      this.picks += host.overload ? name.toLowerCase() : name;
      const call = (this.#calls.get(name) ?? 0) + 1;
      this.#calls.set(name, call);
      const { retcode, timecostMs } = this.#profiles[name](call);
      this.lb.report(1, 1, host.ip, 1, retcode, timecostMs, nowMs);
    }
  }
}

test("four nodes, one dead, one failing 30 %, one slow, are picked and judged as by hand", () => {
  // One call each 10 ms, call n at 10·n ms; the route is D, F, S, H.
  const simulation = new Simulation({ D: dead, F: failing30, S: slow, H: healthy });
  simulation.run(10, 17_100);

  // S fails at n = 3, 7, 11 with 1000 ms = weight 10: 10/190 = 0.053, 20/200 = 0.1 (not above),
  // 30/210 = 0.143 > 0.1: overload at n = 11. Ten ordinary picks later (n = 22) it is probed, and
  // then at every 11th pick.
  // D fails for the 15th time in a row at n = 49 (its calls: 1 5 9 | 13 16 19 | 23 26 29 32 |
  // 36 39 42 | 46 49; 15/195 = 0.077 alone would not do): overload. Four ordinary picks have been
  // made since the probe at 44 and 49 is the fifth, so 55 probes the head of S, D: S; then 66 D.
  const expected = "DFSHDFSHDFS" + "HDFHDFHDFHs" + "DFHDFHDFHDs" + "FHDFHDFHDFs" +
    "HDFHDFHFHFs" + "HFHFHFHFHFd" + "HFHFHFHFHFs";
  assert.equal(simulation.picks.slice(0, expected.length), expected);

  // F had 17 calls by n = 54 and has five of each further eleven picks: its call 22 + 5·m is at
  // n = 65 + 11·m. With n calls and e failures it goes when 10·e > 180 + n: at call 87 (e = 27:
  // 270 > 267; at call 84, e = 26: 260 < 264), so m = 13, n = 208. Then the probes from n = 209
  // go round S, D, F, and all ordinary picks to H.
  assert.equal(simulation.picks.slice(208, 242), "sHHHHHHHHHHdHHHHHHHHHHfHHHHHHHHHHs");

  assert.deepEqual(simulation.events, [
    "110 S overload",
    "490 D overload",
    "2080 F overload",
    // overload_timeout: 15 s after each.
    "15110 S idle",
    // The idle list is H, S: n = 1511 H, and S fails at 1512, 1514, 1516 with weight 10.
    "15160 S overload",
    "15490 D idle",
    // Probes at 1551, 1562, 1573; D fails at 1550; 1553 55 57 59 61; 1564 66 68 70 72; 1575 77 79
    // 81: the 15th at n = 1581.
    "15810 D overload",
    "17080 F idle",
  ]);
});

test("a dead node of two costs 15 calls, then 1 in 11, and comes back by time", () => {
  // One call each 100 ms. A, B in turn: B's 15th failure is pick 30, at 3000 ms.
  const simulation = new Simulation({ A: healthy, B: dead });
  simulation.run(100, 21_500);
  assert.equal(simulation.picks.slice(0, 30), "AB".repeat(15));
  // Then ten of A, a probe, and so on: picks 41, 52, ... 173; six more of A up to 17,900 ms.
  assert.equal(simulation.picks.slice(30, 179), "AAAAAAAAAAb".repeat(13) + "AAAAAA");
  // 18,000 ms: idle again, at the tail. The 15 failures are picks 181, 183 ... 209. The counter of
  // ordinary picks stood still at 6 meanwhile, so only four come before the next probe.
  assert.equal(simulation.picks.slice(179, 215), "AB".repeat(15) + "AAAAbA");
  assert.deepEqual(simulation.events, ["3000 B overload", "18000 B idle", "20900 B overload"]);
});

test("a module whose nodes are all overload refuses probe_num calls, then probes", () => {
  // One call each 10 ms; both dead: 15th failures at n = 29 (A) and 30 (B).
  const simulation = new Simulation({ A: dead, B: dead });
  simulation.run(10, 740);
  // A is overload from 29, so pick 30 (B) is the first counted one: nine refusals are left of ten.
  const cycle = "----------";
  assert.equal(simulation.picks, "AB".repeat(15) + "---------a" + `${cycle}b${cycle}a${cycle}b-`);
  assert.deepEqual(simulation.events, ["290 A overload", "300 B overload"]);
});

test("a node that recovers is idle again after 15 good probes in a row", () => {
  // B fails its first 15 calls, then works. One call each 10 ms: overload at pick 30 (300 ms),
  // probes at 41 + 11·k; the 15th (k = 14) at pick 195.
  const recovering: Profile = (call) => ({ retcode: call <= 15 ? 1 : 0, timecostMs: 0 });
  const simulation = new Simulation({ A: healthy, B: recovering });
  simulation.run(10, 2100);
  assert.deepEqual(simulation.events, ["300 B overload", "1950 B idle"]);
  assert.equal(simulation.picks.slice(184, 202), "AAAAAAAAAAb" + "ABABABA");
});

test("succ_rate lets a node back when the run of successes cannot", () => {
  // verr starts at 5: 95/100 = 0.95 is not above succ_rate, 96/101 = 0.9505 is. Every second pick
  // probes (probe_num 1), so the 96th probe is pick 30 + 2·96 = 222.
  const recovering: Profile = (call) => ({ retcode: call <= 15 ? 1 : 0, timecostMs: 0 });
  const simulation = new Simulation({ A: healthy, B: recovering }, {
    continSuccLimit: 1000,
    probeNum: 1,
  });
  simulation.run(10, 2300);
  assert.deepEqual(simulation.events, ["300 B overload", "2220 B idle"]);
});

test("the outcome depends on the time that is passed in and on nothing else", () => {
  const run = (startMs: number): string[] => {
    const events: string[] = [];
    const lb = new RouteLb({
      settings: defaultBalanceSettings,
      rng: seededRng(1),
      onPull: () => {},
      onStateChange: (c) => events.push(`${c.atMs - startMs} ${c.overload}`),
    });
    lb.getHost(1, 1, startMs);
    lb.update(1, 1, [{ ip: 1, port: 1 }], startMs);
    for (let i = 0; i < 20; i++) lb.report(1, 1, 1, 1, 1, 0, startMs + i * 10);
    lb.tick(startMs + 20_000);
    return events;
  };
  // Zero, an hour, thirty years, and a clock that starts below zero.
  for (const startMs of [0, 3_600_000, 946_080_000_000, -5000]) {
    assert.deepEqual(run(startMs), ["140 true", "15140 false"]);
  }
});
