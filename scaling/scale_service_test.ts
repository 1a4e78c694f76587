// Goal: a node that scaling drains is stopped or gets calls again, whatever becomes of its rule at
// any moment of a look.
// Method: a service whose database, reader and driver are maps, and time by hand; what it waits for
// can be held back.

import assert from "node:assert/strict";
import { test } from "node:test";
import { type ScaleRule, ScaleRuleShape } from "../control/schemas.ts";
import { type Logger, silentLogger } from "../reactor/log.ts";
import { ManualClock } from "../reactor/time/manual_clock.ts";
import { ScaleService, type ScaleServiceOptions } from "./scale_service.ts";

const KEY = { modId: 1, cmdId: 1 } as const;
const NAMES = [1, 2, 3].map((port) => `10.0.0.1:${port}`);

const RULE: ScaleRule = ScaleRuleShape.parse({
  ...{ metric: "calls", target: 100, max: 10, windowS: 5, stabilisationS: 5, coolDownDownS: 0 },
  ...{ driver: "command", drainS: 60 },
});

/** Something that can be held back. */
class Gate {
  #opened: Promise<void> = Promise.resolve();
  #open = (): void => {};
  /** Who waits. */
  waiting = 0;

  shut(): void {
    this.#opened = new Promise((resolve) => this.#open = resolve);
  }

  open(): void {
    this.#open();
  }

  async pass(): Promise<void> {
    this.waiting++;
    await this.#opened;
    this.waiting--;
  }
}

class Bench {
  readonly clock = new ManualClock();
  readonly states = new Map(NAMES.map((name) => [name, "on"]));
  readonly orders: string[] = [];
  readonly warnings: string[] = [];
  readonly leasesGate = new Gate();
  readonly writeGate = new Gate();
  /** Nodes that another module has as well. */
  shared: readonly string[] = [];
  stateText = "";
  rule: ScaleRule | undefined = RULE;
  isSafe = false;
  readonly service: ScaleService;
  #look = (): void => {};

  constructor() {
    this.service = new ScaleService(this.#options() as unknown as ScaleServiceOptions);
  }

  /** Nodes that get no new calls. */
  get drained(): string[] {
    return [...this.states].filter(([, state]) => state === "drain").map(([name]) => name);
  }

  async pass(seconds: number): Promise<void> {
    for (let second = 0; second < seconds; second++) {
      this.clock.advance(1_000);
      this.#look();
      for (let turn = 0; turn < 100; turn++) await Promise.resolve();
    }
  }

  #options(): { [Name in keyof ScaleServiceOptions]: unknown } {
    const module = (): object => ({
      ...{ ...KEY, name: "", callsPerSecond: 10, errorShare: 0 },
      nodes: [...this.states].map(([name, state]) => ({
        ...{ ...KEY, name, state, ip: "10.0.0.1", port: Number(name.split(":")[1]) },
        ...{ health: "well", callsPerSecond: 3, reportedAtMs: this.clock.wallMs() },
      })),
    });
    const other = (): object => ({ nodes: this.shared.map((name) => ({ name })) });
    const model = {
      module,
      get view(): object {
        return { isStale: false, modules: [module(), other()] };
      },
    };
    const log: Logger = {
      ...silentLogger,
      warn: (text, fields) => void this.warnings.push(`${text}: ${fields?.error}`),
    };
    return {
      ...{ clock: this.clock, log, holder: "test", makeId: () => "id" },
      store: {
        addEvents: () => Promise.resolve(),
        console: {
          takeLease: () => Promise.resolve(true),
          state: () => Promise.resolve(this.stateText),
          putState: () => Promise.resolve(),
        },
      },
      reader: { model, onReading: (look: () => void) => this.#look = look },
      settings: {
        rules: () => Promise.resolve(this.rule === undefined ? [] : [{ ...KEY, rule: this.rule }]),
      },
      changes: {
        patchNode: async (_actor: unknown, _key: unknown, name: string, to: { state: string }) => {
          if (to.state === "drain") await this.writeGate.pass();
          this.states.set(name, to.state);
        },
      },
      nodeUse: {
        use: () => Promise.resolve({ answers: [], unlinked: [], dnsCount: this.isSafe ? 1 : 0 }),
      },
      leases: {
        find: async () => {
          await this.leasesGate.pass();
          const leases = NAMES.map((name, index) => ({
            ...{ ip: "10.0.0.1", port: Number(name.split(":")[1]), sinceMs: index },
            ...{ phase: "live", operator: {} },
          }));
          return { leases };
        },
        free: () => Promise.resolve(),
      },
      drivers: {
        give: (_rule: unknown, { action, nodes }: { action: string; nodes: readonly string[] }) => {
          this.orders.push(`${action} ${nodes.join(" ")}`);
          return Promise.resolve({ isDone: true, text: "done" });
        },
      },
    };
  }
}

async function startBench(before: (bench: Bench) => void = () => {}): Promise<Bench> {
  const bench = new Bench();
  before(bench);
  await bench.service.start();
  return bench;
}

async function startDraining(): Promise<Bench> {
  const bench = await startBench();
  await bench.pass(12);
  assert.ok(bench.drained.includes(NAMES[2]), "the youngest goes first");
  return bench;
}

const ENDS: readonly [what: string, rule: ScaleRule | undefined][] = [
  ["removed", undefined],
  ["paused", { ...RULE, isEnabled: false }],
  ["dry", { ...RULE, driver: "dry" }],
];

for (const [what, rule] of ENDS) {
  test(`a rule that is ${what}: what drains gets calls again, and nothing is stopped`, async () => {
    const bench = await startDraining();
    bench.rule = rule;
    await bench.pass(4);
    bench.isSafe = true;
    await bench.pass(60);
    assert.deepEqual(bench.drained, []);
    assert.deepEqual(bench.orders, []);
    await bench.service.stop();
  });

  test(`a rule that is ${what} while a drain is written: it is taken back after`, async () => {
    const bench = await startBench();
    bench.writeGate.shut();
    await bench.pass(12);
    assert.equal(bench.writeGate.waiting, 1, "a drain is under way");
    bench.rule = rule;
    await bench.pass(4);
    bench.writeGate.open();
    await bench.pass(10);
    assert.deepEqual(bench.drained, []);
    await bench.service.stop();
  });

  test(`a rule that is ${what} while a look reads: nothing drains by it`, async () => {
    const slow = { windowS: 20, stabilisationS: 5 };
    const bench = await startBench((made) => made.rule = { ...RULE, ...slow });
    await bench.pass(13);
    assert.deepEqual(bench.drained, [], "not yet");
    bench.leasesGate.shut();
    await bench.pass(3);
    assert.equal(bench.leasesGate.waiting, 1, "a look is under way");
    bench.rule = rule === undefined ? undefined : { ...rule, ...slow };
    await bench.pass(3);
    bench.leasesGate.open();
    await bench.pass(10);
    assert.deepEqual(bench.drained, []);
    await bench.service.stop();
  });

  test(`a rule that is ${what} when a console takes over: what drained gets calls again`, async () => {
    const leaving = [{ name: NAMES[0], phase: "draining", sinceMs: 1 }];
    const bench = await startBench((made) => {
      made.states.set(NAMES[0], "drain");
      made.stateText = JSON.stringify({ memory: { leaving, awaited: null } });
      // One that is removed leaves nothing to take over from.
      made.rule = rule ?? { ...RULE, driver: "dry" };
    });
    await bench.pass(1);
    assert.deepEqual(bench.drained, []);
    await bench.service.stop();
  });
}

test("a memory that cannot be read is none, and the rule is followed", async () => {
  for (const text of ["{", "null", '{"memory":null}', '{"memory":{"leaving":1}}']) {
    const bench = await startBench((made) => made.stateText = text);
    await bench.pass(12);
    assert.ok(bench.drained.length > 0, text);
    await bench.service.stop();
  }
});

test("a node of another module as well is not drained", async () => {
  const bench = await startBench((made) => made.shared = NAMES.slice(1));
  await bench.pass(20);
  assert.deepEqual(bench.drained, [NAMES[0]]);
  await bench.service.stop();
});

test("why a module cannot be scaled is said, once", async () => {
  const floor = { days: "*", from: "00:00", to: "24:00", zone: "Nowhere/None", nodes: 2 };
  const bench = await startBench((made) => made.rule = { ...RULE, floors: [floor] });
  await bench.pass(5);
  assert.equal(bench.warnings.length, 1);
  assert.match(bench.warnings[0], /^A module cannot be scaled: .*Nowhere\/None/);
  bench.rule = RULE;
  await bench.pass(12);
  assert.ok(bench.drained.length > 0, "it goes on");
  assert.equal(bench.warnings.length, 1);
  await bench.service.stop();
});
