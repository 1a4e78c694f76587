import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { Rng } from "../../reactor/time/rng.ts";
import type { StateChange } from "../balance_records.ts";
import { type BalanceSettings, defaultBalanceSettings } from "../detection/balance_settings.ts";
import { DepartedNodes } from "../departed_nodes.ts";
import { OutHosts } from "../detection/out_hosts.ts";
import { ActiveHosts, Host, HostList, type HostOwner } from "../host.ts";
import { LoadBalance } from "../load_balance.ts";
import { parseModulePolicy } from "../module_policy.ts";
import { RouteLb } from "../routes/route_lb.ts";
import { NO_TURN, TurnTable } from "./turn_table.ts";

const NOBODY: HostOwner = { settle: () => {}, stillOut: () => {} };

/** The same for all, however often it is asked. */
const NO_CHANCE: Rng = { next: () => 0 };

/** A ring of nodes with these addresses. */
function ringOf(...ips: number[]): HostList<Host> {
  const ring = new HostList<Host>();
  for (const ip of ips) ring.pushTail(new Host(ip, 80, NOBODY, 0));
  return ring;
}

/** Lends and makes the turns valid for ever. */
function lend(table: TurnTable, modId: number, ring: HostList<Host>, picks: number): boolean {
  const isLent = table.lend(modId, 1, ring, false, picks);
  table.setUntil(modId, 1, Infinity);
  return isLent;
}

function pick(table: TurnTable, modId: number, nowMs = 0): number {
  const turn = table.next(modId, 1, nowMs);
  if (turn === NO_TURN) return NO_TURN;
  const { ip, port } = table.hostAt(turn);
  assert.equal(table.ipAt(turn), ip | 0);
  assert.equal(table.portAt(turn), port);
  return ip;
}

test("TurnTable gives the nodes of a ring in turn, as many as were lent", () => {
  const table = new TurnTable();
  assert.equal(pick(table, 1), NO_TURN);
  assert.equal(lend(table, 1, ringOf(0xc0a80101, 2, 3), 5), true);
  assert.deepEqual(Array.from({ length: 6 }, () => pick(table, 1)), [
    0xc0a80101,
    2,
    3,
    0xc0a80101,
    2,
    NO_TURN,
  ]);
  assert.equal(table.headOf(1, 1)?.ip, 3);
  assert.equal(table.takeBack(1, 1), 0);
});

test("TurnTable gives nothing before it knows until when, nor from then on", () => {
  const table = new TurnTable();
  table.lend(1, 1, ringOf(1, 2), false, 100);
  assert.equal(pick(table, 1), NO_TURN);
  table.setUntil(1, 1, 10);
  assert.equal(pick(table, 1, 9.5), 1);
  assert.equal(pick(table, 1, 10), NO_TURN);
  assert.equal(table.usedAtMs(1, 1), 9.5);
  assert.equal(table.usedAtMs(2, 1), -Infinity);
});

test("TurnTable takes back what is left, and goes on with the same ring where it stood", () => {
  const table = new TurnTable();
  const ring = ringOf(1, 2, 3);
  lend(table, 1, ring, 100);
  assert.equal(pick(table, 1), 1);
  assert.equal(table.takeBack(1, 1), 99);
  assert.equal(pick(table, 1), NO_TURN);
  const head = table.headOf(1, 1);
  assert.ok(head !== undefined);
  ring.turnTo(head);
  assert.equal(ring.rotate()?.ip, 2);
  table.lend(1, 1, ring, true, 3);
  assert.deepEqual([pick(table, 1), pick(table, 1), pick(table, 1)], [3, 1, 2]);
  // Turned further than by one pick: it is copied anew.
  ring.rotate();
  table.lend(1, 1, ring, true, 1);
  assert.equal(pick(table, 1), 1);
});

test("TurnTable refuses nodes beyond its limit and keeps what it has", () => {
  const table = new TurnTable(4);
  assert.equal(lend(table, 1, ringOf(1, 2), 10), true);
  assert.equal(lend(table, 2, ringOf(1, 2, 3), 10), false);
  assert.equal(lend(table, 2, ringOf(7, 8), 10), true);
  assert.equal(lend(table, 1, ringOf(3, 4, 5), 10), false, "too many in place of the former");
  assert.equal(pick(table, 1), 1);
  assert.equal(pick(table, 2), 7);
  assert.equal(table.lend(3, 1, ringOf(), false, 10), false);
});

test("TurnTable is a map from module to ring, whatever comes and goes", () => {
  const change = fc.record({
    modId: fc.integer({ min: -20, max: 40 }),
    count: fc.integer({ min: 0, max: 12 }),
  });
  fc.assert(fc.property(fc.array(change, { maxLength: 300 }), (changes) => {
    const table = new TurnTable();
    const model = new Map<number, number[]>();
    let nextIp = 1;
    for (const { modId, count } of changes) {
      if (count === 0) {
        table.forget(modId, 1);
        model.delete(modId);
      } else {
        const ips = Array.from({ length: count }, () => nextIp++);
        lend(table, modId, ringOf(...ips), 1_000_000);
        model.set(modId, ips);
      }
      for (const [known, ips] of model) {
        const first = ips.shift();
        assert.ok(first !== undefined);
        ips.push(first);
        assert.equal(pick(table, known), first);
      }
    }
    assert.equal(table.rowCount, model.size);
    const used = [...model.values()].reduce((sum, ips) => sum + ips.length, 0);
    // What is lost to changes stays in bounds: rows keep the room of their longest ring.
    assert.ok(table.positionCount <= 2 * (12 * model.size + 12) + used, `${table.positionCount}`);
    for (let modId = -20; modId <= 40; modId++) {
      if (!model.has(modId)) assert.equal(pick(table, modId), NO_TURN);
    }
  }));
});

/** What may happen to a module. */
type Step =
  | { kind: "pick"; times: number }
  | { kind: "report"; node: number; good: boolean; times: number }
  | { kind: "time"; ms: number }
  | { kind: "route"; nodes: number[]; weights: number[] }
  | { kind: "policy"; text: string }
  | { kind: "settings"; probeNum: number }
  | { kind: "health"; node: number; healthy: boolean }
  | { kind: "look" }
  | { kind: "explain" };

const NODES = 6;

/** Mostly alike; of the others some have turns that repeat soon, and 9,973 has not. */
const WEIGHTS = [0, 100, 100, 100, 100, 100, 50, 7, 9973];

const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    { weight: 5, arbitrary: fc.record({ kind: fc.constant("pick"), times: fc.nat(40) }) },
    {
      weight: 5,
      arbitrary: fc.record({
        kind: fc.constant("report"),
        node: fc.integer({ min: 1, max: NODES }),
        good: fc.boolean(),
        times: fc.integer({ min: 1, max: 25 }),
      }),
    },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant("time"), ms: fc.nat(20_000) }) },
    {
      weight: 2,
      arbitrary: fc.record({
        kind: fc.constant("route"),
        nodes: fc.uniqueArray(fc.integer({ min: 1, max: NODES }), { maxLength: NODES }),
        weights: fc.array(fc.constantFrom(...WEIGHTS), { minLength: NODES, maxLength: NODES }),
      }),
    },
    {
      weight: 1,
      arbitrary: fc.record({
        kind: fc.constant("policy"),
        text: fc.constantFrom(
          "",
          '{"overloadShareMax":0.5}',
          '{"whenAllOverload":"open"}',
          '{"whenAllOverload":"probe"}',
          '{"policy":"maglev"}',
          '{"policy":"smooth_weighted_round_robin"}',
          '{"policy":"smooth_weighted_round_robin","zoneAware":true}',
          '{"recovery":"staged"}',
        ),
      }),
    },
    {
      weight: 1,
      arbitrary: fc.record({
        kind: fc.constant("settings"),
        probeNum: fc.integer({ min: 1, max: 12 }),
      }),
    },
    {
      weight: 1,
      arbitrary: fc.record({
        kind: fc.constant("health"),
        node: fc.integer({ min: 1, max: NODES }),
        healthy: fc.boolean(),
      }),
    },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant("look") }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant("explain") }) },
  ) as fc.Arbitrary<Step>,
  { maxLength: 80 },
);

/** A module by itself, which nobody takes turns from. */
class PlainModule {
  readonly changes: StateChange[] = [];
  readonly #context: { settings: BalanceSettings };
  readonly #active = new ActiveHosts();
  readonly #ticking = new Set<LoadBalance>();
  readonly module: LoadBalance;

  constructor() {
    const context = {
      settings: defaultBalanceSettings,
      nodesMax: 100,
      active: this.#active,
      hostsOut: 0,
      out: new OutHosts(),
      departed: new DepartedNodes(),
      isInUse: (): boolean => true,
      zone: "",
      rng: NO_CHANCE,
      onStateChange: (change: StateChange): void => void this.changes.push(change),
      onModeChange: (): void => {},
      onDirty: (): void => {},
      onTicking: (balance: LoadBalance): void => void this.#ticking.add(balance),
    };
    this.#context = context;
    this.module = new LoadBalance(1, 1, context);
  }

  set settings(settings: BalanceSettings) {
    this.#context.settings = settings;
    this.module.settingsChanged();
  }

  tick(nowMs: number): void {
    this.#active.settle(nowMs);
    for (const balance of this.#ticking) if (!balance.tick(nowMs)) this.#ticking.delete(balance);
  }
}

test("turns that are lent change nothing of what a module does", () => {
  fc.assert(
    fc.property(steps, fc.boolean(), (all, startsSick) => {
      const changes: StateChange[] = [];
      const lb = new RouteLb({
        settings: { ...defaultBalanceSettings, updateTimeoutMs: 3000 },
        rng: NO_CHANCE,
        onPull: () => {},
        onStateChange: (change) => changes.push(change),
      });
      const plain = new PlainModule();
      const { module } = plain;
      let nowMs = 1;
      let policy = "";
      lb.getHost(1, 1, nowMs);
      const take = (ips: number[], weights: number[]): void => {
        const nodes = ips.map((ip) => ({ ip, port: 80, weight: weights[ip - 1] }));
        lb.update(1, 1, nodes, nowMs);
        module.update(nodes, nowMs);
      };
      take([1, 2, 3, 4], Array(NODES).fill(100));
      const both = (step: Step): void => {
        switch (step.kind) {
          case "pick":
            for (let i = 0; i < step.times; i++) {
              const [picked, wanted] = [lb.getHost(1, 1, nowMs), module.pick(nowMs)];
              const ipOf = (host: Host | number): number | string =>
                typeof host === "number" ? `code ${host}` : host.ip;
              assert.equal(ipOf(picked), ipOf(wanted));
            }
            break;
          case "report":
            for (let i = 0; i < step.times; i++) {
              lb.report(1, 1, step.node, 80, step.good ? 0 : 1, 5, nowMs);
              module.report(step.node, 80, step.good ? 0 : 1, 5, nowMs);
            }
            break;
          case "time":
            nowMs += step.ms;
            lb.tick(nowMs);
            plain.tick(nowMs);
            break;
          case "route":
            take(step.nodes, step.weights);
            break;
          case "policy":
            lb.setModulePolicy(1, 1, step.text);
            // The same text again is no new policy.
            if (step.text !== policy) module.setPolicy(parseModulePolicy(step.text), nowMs);
            policy = step.text;
            break;
          case "settings": {
            const settings = { ...defaultBalanceSettings, probeNum: step.probeNum };
            lb.setSettings({ ...settings, updateTimeoutMs: 3000 });
            plain.settings = settings;
            break;
          }
          case "health":
            lb.setHealth(1, 1, step.node, 80, step.healthy, "checked", nowMs);
            module.setHealth(step.node, 80, step.healthy, "checked", nowMs);
            break;
          case "look":
            assert.deepEqual([...lb.snapshot(nowMs)][0].hosts, module.snapshot());
            break;
          case "explain":
            assert.deepEqual(lb.explain(1, 1, nowMs)?.module, module.explain(nowMs));
        }
      };
      // With a node out there are probes: turns end early and often.
      if (startsSick) both({ kind: "report", node: 1, good: false, times: 25 });
      for (const step of all) both(step);
      both({ kind: "look" });
      both({ kind: "pick", times: 30 });
      assert.deepEqual(changes, plain.changes);
      const { modulesReady, hosts, hostsOverload } = lb.stats();
      assert.equal(modulesReady, module.hostCount > 0 ? 1 : 0);
      assert.equal(hosts, module.hostCount);
      assert.equal(hostsOverload, module.walk.outCount);
    }),
    { numRuns: 1000 },
  );
});

/** Room for two modules, with (1, 1) and (2, 1) of one node in it, last used at 1 and 2 ms. */
function fullRouteLb(): { lb: RouteLb; forgotten: number[] } {
  const forgotten: number[] = [];
  const lb = new RouteLb({
    settings: defaultBalanceSettings,
    rng: NO_CHANCE,
    modulesMax: 2,
    onPull: () => {},
    onForget: (modId) => forgotten.push(modId),
  });
  for (const modId of [1, 2]) {
    lb.getHost(modId, 1, 0);
    lb.update(modId, 1, [{ ip: 1, port: 80 }], 0);
    lb.getHost(modId, 1, modId);
  }
  return { lb, forgotten };
}

test("RouteLb evicts by the latest use, turns that were lent too", () => {
  const { lb, forgotten } = fullRouteLb();
  assert.notEqual(lb.nextTurn(1, 1, 3), NO_TURN);
  lb.getHost(3, 1, 4);
  assert.deepEqual(forgotten, [2]);
  assert.equal(lb.nextTurn(2, 1, 5), NO_TURN);
});

test("a module that lost its nodes is evicted by its latest use all the same", () => {
  const { lb, forgotten } = fullRouteLb();
  assert.notEqual(lb.nextTurn(1, 1, 3), NO_TURN);
  lb.update(1, 1, [], 4);
  assert.equal(lb.nextTurn(1, 1, 4), NO_TURN);
  lb.getHost(3, 1, 5);
  assert.deepEqual(forgotten, [2]);
});

test("a route that is old is pulled although turns are lent", () => {
  const pulled: number[] = [];
  const lb = new RouteLb({
    settings: { ...defaultBalanceSettings, updateTimeoutMs: 1000 },
    rng: NO_CHANCE,
    onPull: (modId) => pulled.push(modId),
  });
  lb.getHost(1, 1, 0);
  lb.update(1, 1, [{ ip: 1, port: 80 }], 0);
  for (let nowMs = 1; nowMs < 1000; nowMs++) lb.getHost(1, 1, nowMs);
  assert.deepEqual(pulled, [1]);
  lb.getHost(1, 1, 1000);
  assert.deepEqual(pulled, [1, 1]);
  // While the pull is under way and unanswered, turns are lent again.
  assert.notEqual(lb.nextTurn(1, 1, 1001), NO_TURN);
  lb.confirm(1, 1, 1002);
  assert.notEqual(lb.nextTurn(1, 1, 2001), NO_TURN);
  assert.equal(lb.nextTurn(1, 1, 2002), NO_TURN);
});
