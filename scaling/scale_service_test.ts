// Goal: a node that scaling drains is stopped or gets calls again, whatever becomes of its rule at
// any moment of a look.
// Method: a service whose database, reader and driver are maps, and time by hand; what it waits for
// can be held back.

import assert from "node:assert/strict";
import { test } from "node:test";
import { ControlError } from "../control/control_error.ts";
import { type ScaleRule, ScaleRuleShape } from "../control/schemas.ts";
import { StoreError } from "../reactor/errors.ts";
import { type Logger, silentLogger } from "../reactor/log.ts";
import { ManualClock } from "../reactor/time/manual_clock.ts";
import { ScaleService, type ScaleServiceOptions } from "./scale_service.ts";

const KEY = { modId: 1, cmdId: 1 } as const;
const NAMES = [1, 2, 3].map((port) => `10.0.0.1:${port}`);

const RULE: ScaleRule = ScaleRuleShape.parse({
  ...{ metric: "calls", target: 100, max: 10, windowS: 5, stabilisationS: 5, coolDownDownS: 0 },
  ...{ driver: "command", drainS: 60 },
});

const AWAY = new StoreError("away", true);

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
  trackText = "";
  /** The database cannot be reached. */
  isAway = false;
  /** Nodes that cannot be changed. */
  readonly stuck = new Set<string>();
  /** Why nothing may be restored; undefined: it may. */
  refusal: ControlError | undefined;
  /** Nodes that were to be restored. */
  readonly restores: string[] = [];
  readonly events: string[] = [];
  /** Who changed which node, oldest first. */
  readonly history: {
    readonly who: string;
    readonly name: string;
    readonly atMs: number;
    readonly before: object | null;
    readonly after: object;
  }[] = [];
  readonly freed: string[] = [];
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

  /** Somebody changes a node, or says of it what is so already. */
  change(who: string, name: string, state: string, weight = 100): void {
    const was = this.states.get(name);
    const before = was === undefined ? null : { state: was, weight: 100, zone: "" };
    this.states.set(name, state);
    const after = { state, weight, zone: "" };
    this.history.push({ who, name, atMs: this.clock.wallMs(), before, after });
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
        addEvents: ([{ text }]: [{ text: string }]) => {
          this.events.push(text);
          return Promise.resolve();
        },
        console: {
          takeLease: () => Promise.resolve(true),
          state: (name: string) =>
            Promise.resolve(name === "scale-track.1.1" ? this.trackText : this.stateText),
          states: () => Promise.resolve([{ name: "scaling.1.1", content: this.stateText }]),
          putState: (name: string, content: string) => {
            if (this.isAway) return Promise.reject(AWAY);
            if (name === "scale-track.1.1") this.trackText = content;
            else this.stateText = content;
            return Promise.resolve();
          },
        },
      },
      reader: { model, onReading: (look: () => void) => this.#look = look },
      settings: {
        isKept: () => Promise.resolve(true),
        rules: () =>
          this.isAway
            ? Promise.reject(AWAY)
            : Promise.resolve(this.rule === undefined ? [] : [{ ...KEY, rule: this.rule }]),
      },
      changes: {
        patchNode: async (_actor: unknown, _key: unknown, name: string, to: { state: string }) => {
          if (to.state === "drain") await this.writeGate.pass();
          if (to.state === "on") this.restores.push(name);
          if (to.state === "on" && this.refusal !== undefined) throw this.refusal;
          if (this.isAway || this.stuck.has(name)) throw AWAY;
          if (!this.states.has(name)) throw new ControlError("not-found", `no ${name}`);
          this.change("lars-scaling", name, to.state);
        },
        changes: () => {
          if (this.isAway) return Promise.reject(AWAY);
          return Promise.resolve(
            this.history.map(({ who, atMs }, id) => ({ who, atMs, id })).toReversed(),
          );
        },
        detail: (id: number) => {
          const { name, before, after } = this.history[id];
          const [ip, port] = name.split(":");
          return Promise.resolve({ nodes: [{ ...KEY, ip, port: Number(port), before, after }] });
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
        free: (_who: unknown, { port }: { port: number }) => {
          this.freed.push(`10.0.0.1:${port}`);
          return Promise.resolve();
        },
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

  test(`a rule that is ${what} while nodes cannot be written: what drains is taken back after`, async () => {
    const bench = await startDraining();
    const drained = bench.drained;
    for (const name of drained) bench.stuck.add(name);
    bench.rule = rule;
    await bench.pass(30);
    assert.deepEqual(bench.drained, drained, "not yet");
    if (rule === undefined) assert.notEqual(bench.stateText, "", "who takes over must know it");
    bench.stuck.clear();
    await bench.pass(10);
    assert.deepEqual(bench.drained, []);
    assert.deepEqual(bench.orders, []);
    await bench.service.stop();
  });

  test(`a rule that is ${what} while the database is away: what drains is taken back after`, async () => {
    const bench = await startDraining();
    bench.isAway = true;
    await bench.pass(30);
    bench.rule = rule;
    await bench.pass(30);
    assert.ok(bench.drained.length > 0, "not yet");
    bench.isAway = false;
    await bench.pass(10);
    assert.deepEqual(bench.drained, []);
    await bench.service.stop();
  });

  test(`a rule that is ${what} when a console takes over: what drained gets calls again`, async () => {
    const leaving = [{ name: NAMES[0], phase: "draining", sinceMs: 1 }];
    const bench = await startBench((made) => {
      made.states.set(NAMES[0], "drain");
      made.stateText = JSON.stringify({ memory: { leaving, awaited: null } });
      made.rule = rule;
    });
    await bench.pass(1);
    assert.deepEqual(bench.drained, []);
    if (rule === undefined) assert.equal(bench.stateText, "", "nothing is left of it");
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

test("a rule that comes again before what the last one drained is taken back: it is, and the rule holds", async () => {
  const bench = await startDraining();
  for (const name of bench.drained) bench.stuck.add(name);
  bench.rule = undefined;
  await bench.pass(10);
  bench.rule = { ...RULE, min: 3 };
  await bench.pass(4);
  bench.stuck.clear();
  await bench.pass(20);
  assert.deepEqual(bench.drained, []);
  assert.notEqual(bench.stateText, "");
  await bench.service.stop();
});

test("a drain that may have been written is taken back", async () => {
  const bench = await startBench();
  const name = NAMES[2];
  bench.stuck.add(name);
  await bench.pass(12);
  bench.change("lars-scaling", name, "drain");
  bench.rule = { ...RULE, min: 3 };
  bench.stuck.clear();
  await bench.pass(10);
  assert.deepEqual(bench.drained, []);
  await bench.service.stop();
});

test("a drain that was not written is not taken back from who drains by hand meanwhile", async () => {
  const bench = await startBench();
  const name = NAMES[2];
  bench.stuck.add(name);
  await bench.pass(12);
  bench.rule = { ...RULE, min: 3 };
  bench.change("ann", name, "drain");
  bench.stuck.clear();
  await bench.pass(100);
  assert.deepEqual(bench.drained, [name]);
  bench.change("ann", name, "on");
  bench.change("bob", name, "drain");
  await bench.pass(100);
  assert.deepEqual(bench.drained, [name]);
  await bench.service.stop();
});

test("a drain that was not written, and that nobody else wrote, is taken back when it comes late", async () => {
  const bench = await startBench();
  const name = NAMES[2];
  bench.stuck.add(name);
  await bench.pass(12);
  bench.rule = { ...RULE, min: 3 };
  await bench.pass(4);
  bench.stuck.clear();
  await bench.pass(20);
  assert.ok(!bench.restores.includes(name), "there is nothing to take back");
  bench.change("lars-scaling", name, "drain");
  await bench.pass(10);
  assert.deepEqual(bench.drained, []);
  assert.equal(bench.restores.filter((one) => one === name).length, 1);
  await bench.service.stop();
});

test("a restore that is refused for good is said once, and not tried again", async () => {
  for (const rule of [undefined, { ...RULE, min: 3, drainS: 15 }]) {
    const bench = await startDraining();
    const draining = bench.drained.length;
    bench.refusal = new ControlError("not-allowed", "nobody may restore it");
    bench.rule = rule;
    await bench.pass(200);
    assert.equal(bench.restores.length, draining);
    const said = bench.events.filter((text) => text.includes("could not restore"));
    assert.equal(said.length, draining, said.join());
    if (rule === undefined) assert.equal(bench.stateText, "", "nothing is left of the rule");
    await bench.service.stop();
  }
  const bench = await startDraining();
  bench.refusal = new ControlError("too-many-requests", "later");
  bench.rule = undefined;
  await bench.pass(30);
  bench.refusal = undefined;
  await bench.pass(10);
  assert.deepEqual(bench.drained, [], "one that may be taken later is tried again");
  await bench.service.stop();
});

test("a draining node that an operator switches off stays off, and is not stopped", async () => {
  const bench = await startDraining();
  const name = NAMES[2];
  bench.states.set(name, "off");
  bench.isSafe = true;
  await bench.pass(4);
  bench.rule = undefined;
  await bench.pass(10);
  assert.equal(bench.states.get(name), "off");
  assert.ok(bench.orders.every((order) => !order.includes(name)), bench.orders.join());
  await bench.service.stop();
});

test("a draining node that an operator drains as well stays drained, and is not stopped", async () => {
  for (const isSafe of [false, true]) {
    const bench = await startDraining();
    const name = NAMES[2];
    const others = bench.drained.filter((one) => one !== name);
    bench.change("ann", name, "drain");
    bench.isSafe = isSafe;
    await bench.pass(4);
    bench.rule = undefined;
    await bench.pass(30);
    assert.equal(bench.states.get(name), "drain", "it is hers");
    assert.ok(!bench.restores.includes(name));
    assert.ok(bench.orders.every((order) => !order.includes(name)), bench.orders.join());
    if (!isSafe) { for (const one of others) assert.equal(bench.states.get(one), "on"); }
    const said = bench.events.filter((text) => text === `${name} is left alone: ann drained it`);
    assert.equal(said.length, 1, bench.events.join());
    await bench.service.stop();
  }
});

test("a draining node whose weight an operator changes gets calls again all the same", async () => {
  const bench = await startDraining();
  bench.change("ann", NAMES[2], "drain", 7);
  bench.rule = undefined;
  await bench.pass(10);
  assert.deepEqual(bench.drained, []);
  await bench.service.stop();
});

test("a node that stops after its rule was removed leaves no wish of ours behind", async () => {
  const leaving = [{ name: NAMES[0], phase: "stopping", sinceMs: 1 }];
  const bench = await startBench((made) => {
    made.states.set(NAMES[0], "drain");
    made.stateText = JSON.stringify({ memory: { leaving, awaited: null } });
    made.rule = undefined;
  });
  await bench.pass(10);
  assert.deepEqual(bench.drained, [NAMES[0]], "the driver was told");
  assert.notEqual(bench.stateText, "");
  bench.states.delete(NAMES[0]);
  await bench.pass(4);
  assert.deepEqual(bench.freed, [NAMES[0]]);
  assert.equal(bench.stateText, "");
  await bench.service.stop();
});

test("what a module had is kept for a chart, goes on from there, and ends with its rule", async () => {
  const bench = await startBench((made) => made.rule = { ...RULE, min: 3 });
  await bench.pass(40);
  const { nodes, load } = JSON.parse(bench.trackText);
  assert.ok(nodes.length >= 3 && nodes.every((count: number) => count === 3), bench.trackText);
  assert.equal(load[0], 10);
  await bench.service.stop();
  const next = await startBench((made) => {
    made.trackText = bench.trackText;
    made.clock.advance(100_000);
    made.rule = { ...RULE, min: 3 };
  });
  await next.pass(2);
  const later = JSON.parse(next.trackText).nodes as (number | null)[];
  assert.deepEqual(later.slice(0, nodes.length), nodes, "what was there");
  assert.ok(later.includes(null) && later.at(-1) === 3, "a gap, and on");
  next.rule = undefined;
  await next.pass(4);
  assert.equal(next.trackText, "");
  await next.service.stop();
});
