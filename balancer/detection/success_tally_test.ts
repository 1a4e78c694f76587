// Goal: every tallied call is told once, to its own node and module, however rows come and go.
// Method: random nodes of some modules against plain sums; then what decides that a call is told at once.

import assert from "node:assert/strict";
import { test } from "node:test";
import { nextInt, seededRng } from "../../reactor/time/rng.ts";
import { Host } from "../host.ts";
import { ModuleCounts } from "../module_counts.ts";
import { NO_PLACE, SuccessTally, TALLY_CLEARED_MS, type TallyOwner } from "./success_tally.ts";

class Module implements TallyOwner {
  readonly modId: number;
  readonly cmdId = 1;
  tallyIndex = -1;
  waits = false;
  plainBelowMs = Infinity;
  untilMs = Infinity;
  readonly counts = new ModuleCounts();
  readonly hosts = new Map<number, Host>();

  constructor(modId: number) {
    this.modId = modId;
  }

  add(number: number): Host {
    const owner = { settle: () => {}, stillOut: () => {} };
    const host = new Host((0xffff_0000 + number) >>> 0, 1 + number % 65_535, owner, 0);
    this.hosts.set(number, host);
    return host;
  }

  plainUntilMs(): number {
    return this.untilMs;
  }

  pieceOf(nowMs: number): number {
    return Math.floor(nowMs / 5000);
  }

  pieceUntilMs(piece: number): number {
    return 5000 * (piece + 1);
  }

  countPlain(host: Host, count: number, timed: number, timeMs: number): void {
    host.succTotal += count;
    host.timedTotal += timed;
    host.timeMsTotal += timeMs;
  }

  callsWait(): void {
    this.waits = true;
  }

  foldAll(tally: SuccessTally): void {
    tally.foldAll(this);
    this.waits = false;
  }

  countTallied(values: Float64Array, at: number): void {
    this.counts.addTallied(values, at);
  }
}

const placeOf = (tally: SuccessTally, { modId }: Module, { ip, port }: Host): number =>
  tally.find(modId, 1, ip, port);

test("the row of a node that is gone counts nothing, whatever port a caller names", () => {
  // So many that some searches for such a port meet the row of the node of the same address.
  for (let modId = 1; modId <= 200; modId++) {
    const tally = new SuccessTally();
    const module = new Module(modId);
    const hosts = Array.from({ length: 30 }, (_, number) => module.add(number));
    for (const host of hosts) tally.renew(module, host, 0);
    for (const host of hosts) tally.forget(module, host);
    for (const { ip } of hosts) {
      for (let bit = 15; bit < 31; bit++) {
        const place = tally.find(modId, 1, ip, 2 ** bit);
        assert.ok(place === NO_PLACE || !tally.add(place, 1, 2, 1, 1, false), `port 2^${bit}`);
      }
    }
    assert.equal(module.waits, false);
  }
});

test("each call is told once, while nodes and modules come and go and rows are set out anew", () => {
  for (const nodesMax of [40, 5000]) {
    const tally = new SuccessTally(nodesMax);
    const rng = seededRng(nodesMax);
    const modules = Array.from({ length: 30 }, (_, i) => new Module(i + 1));
    const wanted = new Map<Host, number>();
    const byModule = new Map<Module, number>();
    let tallied = 0;
    for (let step = 0; step < 60_000; step++) {
      const nowMs = step * 10;
      const at = nextInt(rng, modules.length);
      const module = modules[at];
      const number = nextInt(rng, 60);
      const known = module.hosts.get(number);
      const host = known ?? module.add(number);
      if (known === undefined) tally.renew(module, host, nowMs);
      const place = placeOf(tally, module, host);
      const count = 1 + nextInt(rng, 3);
      if (place === NO_PLACE) {
        tally.renew(module, host, nowMs);
      } else if (tally.add(place, count, 2, nowMs, 1, false)) {
        tallied += count;
        wanted.set(host, (wanted.get(host) ?? 0) + count);
        byModule.set(module, (byModule.get(module) ?? 0) + count);
        assert.ok(module.waits, "who reports is told that there is something");
      }
      const what = nextInt(rng, 200);
      if (what < 8) tally.fold(module, host);
      else if (what < 12) {
        tally.forget(module, host);
        module.hosts.delete(number);
      } else if (what < 16) module.foldAll(tally);
      else if (what === 16) {
        for (const one of module.hosts.values()) tally.forget(module, one);
        tally.forgetOwner(module);
        module.hosts.clear();
      }
      if (what < 20) {
        assert.equal(host.succTotal, what < 12 ? wanted.get(host) ?? 0 : host.succTotal);
      }
    }
    for (const module of modules) if (module.waits) module.foldAll(tally);
    assert.ok(tally.nodeCount <= nodesMax, `${tally.nodeCount}`);
    assert.ok(tallied > (nodesMax < 1000 ? 2000 : 60_000), `${tallied}`);
    for (const [host, count] of wanted) {
      assert.deepEqual(
        [host.succTotal, host.timedTotal, host.timeMsTotal],
        [count, count, 2 * count],
      );
    }
    for (const [module, count] of byModule) {
      assert.deepEqual([...module.counts.values.slice(0, 5)], [count, 0, 2 * count, 0, count]);
    }
  }
});

test("a call is told at once where it may decide something, or is not plain", () => {
  const tally = new SuccessTally();
  const module = new Module(7);
  const host = module.add(1);
  module.untilMs = 1000;
  module.plainBelowMs = 20;
  tally.renew(module, host, 0);
  const add = (timeMs: number, nowMs: number, count = 1, isUse = false): boolean =>
    tally.add(placeOf(tally, module, host), count, timeMs, nowMs, 1, isUse);
  assert.deepEqual([add(19, 999), add(-1, 5), add(0, 5)], [true, true, true]);
  assert.equal(add(19, 1000), false, "time has come for the node");
  assert.equal(add(20, 5), false, "slow");
  assert.equal(add(1.5, 5), false, "no whole number");
  assert.equal(add(1, 5, 2 ** 29), false, "too many");
  assert.equal(add(19, 5, 2 ** 27), false, "too long together");
  assert.equal(add(1, 5, 1, true), false, "nobody has said how long a use is no more than that");
  tally.setUseUntil(module, 500);
  assert.deepEqual([add(1, 499, 1, true), add(1, 500, 1, true)], [true, false]);
  assert.equal(tally.usedAtMs(module), 499);
  tally.stop(module, host);
  assert.equal(add(1, 5), false, "something befell the node");
  assert.deepEqual([host.succTotal, host.timedTotal, host.timeMsTotal], [4, 3, 20]);
});

test("where there are too many nodes some have no row, and all get another chance", () => {
  const tally = new SuccessTally(3);
  const module = new Module(1);
  const hosts = [1, 2, 3, 4, 5].map((number) => module.add(number));
  for (const host of hosts) tally.renew(module, host, 10);
  const places = (): boolean[] => hosts.map((host) => placeOf(tally, module, host) !== NO_PLACE);
  assert.deepEqual(places(), [false, false, false, true, true], "the first time at once");
  tally.renew(module, hosts[0], 20);
  tally.renew(module, hosts[1], 20);
  assert.deepEqual(places(), [true, false, false, true, true]);
  tally.renew(module, hosts[1], 10 + TALLY_CLEARED_MS);
  assert.deepEqual(places(), [false, true, false, false, false]);
  const none = new SuccessTally(0);
  none.renew(module, hosts[2], 10);
  assert.equal(placeOf(none, module, hosts[2]), NO_PLACE);
});
