import { Outbox } from "./outbox.ts";
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { RuleRow, SilenceRow } from "../../sql/console/console_store.ts";
import {
  AlertEngine,
  type AlertNews,
  ALERTS_MAX,
  alertText,
  DEFAULT_RULES,
} from "./alert_engine.ts";
import type { SeenModule, SeenNode, SystemView } from "../system/system_model.ts";
import type { ServiceView } from "../schemas.ts";

function node(values: Partial<SeenNode> = {}): SeenNode {
  return {
    modId: 1,
    cmdId: 1,
    name: "10.0.0.1:1",
    ip: "10.0.0.1",
    port: 1,
    weight: 100,
    zone: "",
    state: "on",
    health: "ok",
    severity: null,
    troubleSinceMs: null,
    callsPerSecond: 1,
    errorShare: 0,
    callerCount: 1,
    overloadCallerCount: 0,
    reportedAtMs: 0,
    sparkline: [],
    ...values,
  };
}

function module(values: Partial<SeenModule> = {}): SeenModule {
  return {
    modId: 1,
    cmdId: 1,
    name: "",
    policy: "lars",
    policyText: "",
    health: "ok",
    trouble: null,
    callsPerSecond: 10,
    errorShare: 0,
    nodes: [node()],
    refusedBy: { overload: 0, unusable: 0, noNode: 0, noRoute: 0 },
    refusedPerSecond: 0,
    refusedShare: 0,
    onCount: 1,
    overloadCount: 0,
    ...values,
  };
}

function service(kind: string, values: Partial<ServiceView> = {}): ServiceView {
  return {
    kind,
    address: "h:1",
    software: "",
    startedAtMs: 0,
    seenAtMs: 1_000_000,
    isSilent: false,
    revision: null,
    revisionLag: null,
    detail: {},
    ...values,
  };
}

function view(modules: SeenModule[], services: ServiceView[] = []): SystemView {
  return {
    atMs: 1_000_000,
    isStale: false,
    version: 1,
    modules,
    services,
    nodeCount: 1,
    callerCount: 1,
  };
}

function ruleOf(kind: string, values: Partial<RuleRow> = {}): RuleRow {
  const found = DEFAULT_RULES.find((rule) => rule.kind === kind);
  assert.ok(found !== undefined, kind);
  return { ...found, id: 1, forS: 0, clearS: 0, ...values };
}

/** An engine under virtual time, a look a second. */
class Bench {
  readonly engine = new AlertEngine();
  /** A receiver that takes everything at once. */
  readonly outbox = new Outbox([]);
  rules: RuleRow[] = [];
  silences: SilenceRow[] = [];
  nowMs = 0;

  look(system: SystemView, seconds = 1): string[] {
    const news: string[] = [];
    for (let second = 0; second < seconds; second++) {
      this.nowMs += 1000;
      const time = { nowMs: this.nowMs, wallMs: 1_700_000_000_000 + this.nowMs };
      const kept = this.engine.look(system, this.rules, this.silences, time);
      this.outbox.update(this.engine.alerts.filter(({ state }) => state === "firing"));
      const told = this.outbox.waiting();
      this.outbox.confirm(told);
      const isTold = (one: AlertNews): boolean =>
        told.some(({ state, alert }) => state === one.type && alert.key === one.alert.key);
      for (const one of kept) news.push(`${one.type}${isTold(one) ? " told" : ""} kept`);
      for (const { state, alert } of told) {
        if (!kept.some((one) => one.alert.key === alert.key)) news.push(`${state} told`);
      }
    }
    return news;
  }

  get states(): string[] {
    return this.engine.alerts.map(({ state, isSilenced }) => state + (isSilenced ? " silent" : ""));
  }
}

const DOWN = view([module({ health: "down" })]);
const WELL = view([module()]);

test("AlertEngine: what each kind of rule looks for", () => {
  const out = node({ health: "overload", overloadCallerCount: 1 });
  const cases: [kind: string, bad: SystemView, good: SystemView, is: RegExp, was: RegExp][] = [
    [
      "module_overload",
      DOWN,
      WELL,
      /Module 1\/1: no node can be called/,
      /^ended: Module 1\/1: no node could be called$/,
    ],
    [
      "error_share",
      view([module({ errorShare: 0.25, name: "shop" })]),
      view([
        module({ errorShare: 0.1 }),
      ]),
      /shop \(1\/1\): 25 % of the calls fail/,
      /^ended: .* 25 % of the calls failed$/,
    ],
    [
      "calls_refused",
      view([module({
        refusedBy: { overload: 0, unusable: 2, noNode: 0, noRoute: 0 },
        refusedPerSecond: 2,
        refusedShare: 0.0625,
      })]),
      WELL,
      /Module 1\/1: 6\.3 % of the calls are refused \(no node may be called/,
      /^ended: .* were refused \(no node might be called/,
    ],
    [
      "node_out",
      view([module({ nodes: [out] })]),
      view([
        module({ nodes: [{ ...out, state: "drain" }] }),
      ]),
      /node 10\.0\.0\.1:1 is kept out by its only caller/,
      /^ended: Module 1\/1: node 10\.0\.0\.1:1 was kept out by its only caller$/,
    ],
    [
      "agent_silent",
      view([], [service("agent", { seenAtMs: 900_000 })]),
      view([], [
        service("agent"),
      ]),
      /agent h:1 has been silent for 100 s/,
      /^ended: agent h:1 was silent for 100 s$/,
    ],
    [
      "dns_behind",
      view([], [service("dns", { revisionLag: 6 })]),
      view([], [
        service("dns", { revisionLag: 5 }),
      ]),
      /dns h:1 is 6 s behind/,
      /^ended: dns h:1 was 6 s behind the database$/,
    ],
    [
      "push_refused",
      view([], [service("agent", { detail: { modulesHeld: 2 } })]),
      view([], [
        service("agent"),
      ]),
      /agent h:1 holds 2 changed routes back/,
      /^ended: agent h:1 held 2 changed routes back$/,
    ],
    [
      "report_backlog",
      view([], [service("reporter", { detail: { rows_waiting: 10_001 } })]),
      view(
        [],
        [service("reporter", { detail: { rows_waiting: 10_000 } })],
      ),
      /10001 results that wait/,
      /^ended: reporter h:1 had 10001 results that waited for the database$/,
    ],
  ];
  // Those about relays: relay_checks_test.ts
  const kinds = DEFAULT_RULES.map(({ kind }) => kind).filter((kind) => !kind.startsWith("relay_"));
  assert.deepEqual(cases.map(([kind]) => kind), kinds);
  for (const [kind, bad, good, is, was] of cases) {
    const bench = new Bench();
    bench.rules = [ruleOf(kind)];
    assert.deepEqual(bench.look(good), [], kind);
    assert.deepEqual(bench.look(bad), ["firing told kept"], kind);
    const [alert] = bench.engine.alerts;
    assert.match(alertText("firing", alert), is);
    assert.match(alertText("ended", alert), was);
    assert.deepEqual(bench.look(bad, 5), [], "said once");
    assert.deepEqual(bench.look(good), ["ended told kept"], kind);
  }
});

test("AlertEngine: a node of which nobody told lately is not kept out by nobody", () => {
  const bench = new Bench();
  bench.rules = [ruleOf("node_out")];
  const out = node({ health: "overload", callerCount: 0, overloadCallerCount: 0 });
  bench.look(view([module({ nodes: [out] })]));
  const [alert] = bench.engine.alerts;
  assert.equal(alert.text, "Module 1/1: node 10.0.0.1:1 was kept out when last heard of");
  assert.equal(alertText("ended", alert), "ended: Module 1/1: node 10.0.0.1:1 was kept out");
});

/** What a rule says of services. */
function textsOf(kind: string, services: ServiceView[]): string[] {
  const bench = new Bench();
  bench.rules = [ruleOf(kind)];
  bench.look(view([], services));
  return bench.engine.alerts.map(({ text }) => text);
}

test("AlertEngine: while no dns lives, one alert stands for all agents it would have told of", () => {
  const old = { seenAtMs: 900_000, isSilent: true };
  const agents = Array.from(
    { length: 1000 },
    (_, index) =>
      service("agent", { ...old, address: `10.0.0.${index}:8888`, detail: { dns: "h:1" } }),
  );
  // One that the console asks itself.
  const own = service("agent", { ...old, address: "own:8888" });
  const living = service("dns");
  const dead = service("dns", old);
  assert.equal(textsOf("agent_silent", [living, own, ...agents]).length, 1001);
  for (const dns of [[], [dead]]) {
    assert.deepEqual(textsOf("agent_silent", [...dns, own, ...agents]).sort(), [
      "No dns is alive, so nothing is heard of 1000 agents",
      "agent own:8888 has been silent for 100 s",
    ]);
  }
});

test("AlertEngine: a change that the whole fleet holds back is one alert", () => {
  const holding = (index: number, modulesHeld: number, isSilent = false): ServiceView =>
    service("agent", { address: `10.0.0.${index}:8888`, detail: { modulesHeld }, isSilent });
  assert.deepEqual(textsOf("push_refused", [holding(1, 1)]), [
    "agent 10.0.0.1:8888 holds a changed route back: confirm or undo the change",
  ]);
  assert.deepEqual(textsOf("push_refused", [holding(1, 1), holding(2, 3), holding(3, 0)]), [
    "2 agents (10.0.0.1:8888 for one) hold 3 changed routes back: confirm or undo the change",
  ]);
  assert.deepEqual(textsOf("push_refused", [holding(1, 1, true)]), [], "silent: who knows");
});

test("AlertEngine: fires after forS, ends after clearS, and does not flap between", () => {
  const bench = new Bench();
  bench.rules = [ruleOf("module_overload", { forS: 10, clearS: 20 })];
  assert.deepEqual(bench.look(DOWN, 10), []);
  assert.deepEqual(bench.states, ["pending"]);
  assert.deepEqual(bench.look(WELL, 10), [], "it passed before anybody had to know");
  assert.deepEqual(bench.states, []);
  assert.deepEqual(bench.look(DOWN, 11), ["firing told kept"]);
  for (let turn = 0; turn < 10; turn++) {
    assert.deepEqual(bench.look(WELL, 19), []);
    assert.deepEqual(bench.look(DOWN), []);
  }
  assert.deepEqual(bench.look(WELL, 19), []);
  assert.deepEqual(bench.look(WELL), ["ended told kept"]);
});

test("AlertEngine: with every default, what is bad for most of the time is told of, whatever cycles", () => {
  /** Out for so many seconds and in for so many, from each of so many callers, out of step. */
  const table = [
    { outS: 15, inS: 3, callers: 1, firesBy: 60 },
    { outS: 15, inS: 3, callers: 7, firesBy: 60 },
    { outS: 15, inS: 9, callers: 3, firesBy: 180 },
    { outS: 30, inS: 1, callers: 50, firesBy: 45 },
    { outS: 3, inS: 15, callers: 5, firesBy: undefined },
    { outS: 15, inS: 15, callers: 4, firesBy: undefined },
  ];
  const defaults = DEFAULT_RULES.find(({ kind }) => kind === "node_out");
  assert.ok(defaults !== undefined);
  for (const { outS, inS, callers, firesBy } of table) {
    const bench = new Bench();
    bench.rules = [{ ...defaults, id: 1 }];
    let firedAt: number | undefined;
    for (let second = 0; second < 600; second++) {
      const out = Array.from(
        { length: callers },
        (_, caller) => (second + caller * 5) % (outS + inS) < outS,
      );
      const count = out.filter((isOut) => isOut).length;
      const health = count === callers ? "overload" : "ok";
      const one = node({ health, callerCount: callers, overloadCallerCount: count });
      const news = bench.look(view([module({ nodes: [one] })]));
      if (news.length > 0) firedAt ??= second;
      assert.ok(!news.some((text) => text.startsWith("ended")), "it does not end between");
    }
    const row = JSON.stringify({ outS, inS, callers, firedAt });
    if (firesBy === undefined) assert.equal(firedAt, undefined, row);
    else assert.ok(firedAt !== undefined && firedAt <= firesBy, row);
  }
});

test("AlertEngine: a database that is away begins and ends nothing", () => {
  const bench = new Bench();
  bench.rules = [ruleOf("module_overload", { forS: 15 })];
  bench.look(DOWN, 5);
  assert.deepEqual(bench.look({ ...WELL, isStale: true }, 600), []);
  assert.deepEqual(bench.states, ["pending"]);
  bench.nowMs += 3_600_000;
  assert.deepEqual(bench.look(DOWN), [], "a pause in which nobody looked counts 10 s at most");
  assert.deepEqual(bench.look(DOWN, 10), ["firing told kept"]);
});

test("AlertEngine: silences keep quiet, and their end tells what still fires", () => {
  const bench = new Bench();
  bench.rules = [ruleOf("module_overload")];
  const silence = (values: Partial<SilenceRow>): SilenceRow => ({
    id: 1,
    ruleId: null,
    modId: null,
    cmdId: null,
    node: null,
    why: "",
    who: "",
    createdAtMs: 0,
    endsAtMs: 1_700_000_000_000 + 60_000,
    ...values,
  });
  bench.silences = [silence({ modId: 1 })];
  assert.deepEqual(bench.look(DOWN, 5), ["firing kept"]);
  assert.deepEqual(bench.states, ["firing silent"]);
  assert.deepEqual(bench.look(DOWN, 100), ["firing told"], "when the silence is over");
  bench.silences = [silence({ endsAtMs: 1e15 })];
  assert.deepEqual(bench.look(WELL), ["ended told kept"]);
  for (const other of [{ ruleId: 2 }, { modId: 2 }, { cmdId: 2 }, { node: "10.0.0.1:1" }]) {
    bench.silences = [silence({ endsAtMs: 1e15, ...other })];
    assert.deepEqual(bench.look(DOWN), ["firing told kept"], JSON.stringify(other));
    bench.silences = [];
    bench.look(WELL);
  }
});

test("AlertEngine: rules of one module, rules switched off or removed", () => {
  const bench = new Bench();
  bench.rules = [
    ruleOf("module_overload", { modId: 2 }),
    ruleOf("node_out", { id: 2, enabled: false }),
  ];
  assert.deepEqual(bench.look(DOWN), []);
  bench.rules = [ruleOf("module_overload", { clearS: 3600 })];
  assert.deepEqual(bench.look(DOWN), ["firing told kept"]);
  bench.rules = [];
  assert.deepEqual(bench.look(DOWN), ["ended told kept"], "at once");
});

test("AlertEngine: a restart neither repeats nor loses what fires", () => {
  const first = new Bench();
  first.rules = [ruleOf("module_overload")];
  first.look(DOWN);
  const second = new Bench();
  second.rules = first.rules;
  second.engine.restore(JSON.parse(JSON.stringify(first.engine.alerts)));
  second.outbox.confirm(JSON.parse(JSON.stringify(first.outbox.standing())));
  assert.deepEqual(second.look(DOWN, 5), []);
  assert.deepEqual(second.look(WELL), ["ended told kept"]);
});

test("AlertEngine: keeps no more than ALERTS_MAX alerts, and counts the rest", () => {
  const bench = new Bench();
  bench.rules = [ruleOf("module_overload")];
  const modules = Array.from(
    { length: ALERTS_MAX + 7 },
    (_, modId) => module({ modId, health: "down" }),
  );
  bench.look(view(modules));
  assert.equal(bench.engine.alerts.length, ALERTS_MAX);
  assert.equal(bench.engine.droppedCount, 7);
});

test("AlertEngine: whatever happens, firing and ended alternate", () => {
  fc.assert(fc.property(fc.array(fc.boolean(), { maxLength: 200 }), fc.nat(5), fc.nat(5), (
    ups,
    forS,
    clearS,
  ) => {
    const bench = new Bench();
    bench.rules = [ruleOf("module_overload", { forS, clearS })];
    const news = ups.flatMap((isWell) => bench.look(isWell ? WELL : DOWN));
    const expected = news.map((_, index) => (index % 2 === 0 ? "firing" : "ended") + " told kept");
    assert.deepEqual(news, expected);
  }));
});
