import assert from "node:assert/strict";
import { test } from "node:test";
import { ScaleRuleShape } from "../schemas.ts";
import { formatStateFile, type HeldState, parseStateFile, type WantedState } from "./state_file.ts";
import { describeState, planState, refusedOf } from "./state_plan.ts";

const NOW_MS = Date.parse("2026-01-01T00:00:00Z");

const RULE = {
  id: 4,
  kind: "node_out",
  title: "Out",
  severity: "warning",
  isEnabled: true,
  threshold: 0,
  forS: 7,
  clearS: 8,
  modId: null,
  cmdId: null,
} as const;

const HELD: HeldState = {
  routes: [
    { modId: 2, cmdId: 1, ip: 0x0a000002, port: 80, weight: 100, zone: "a", state: "on" },
    { modId: 1, cmdId: 1, ip: 0x0a000001, port: 80, weight: 5, zone: "", state: "drain" },
  ],
  texts: [
    { modId: 1, cmdId: 1, name: "shop", policy: '{"policy": "maglev"}', updatedAt: 1 },
    { modId: 3, cmdId: 1, name: "old", policy: "no json", updatedAt: 1 },
  ],
  scaling: [{
    ...{ modId: 1, cmdId: 1 },
    rule: ScaleRuleShape.parse({
      ...{ metric: "calls", target: 100, max: 9 },
      floors: [{ days: "mon-fri", from: "08:00", to: "20:00", zone: "UTC", nodes: 3 }],
    }),
  }],
  rules: [RULE],
  silences: [{
    id: 9,
    ruleId: 4,
    modId: null,
    cmdId: null,
    node: "10.0.0.1:80",
    why: "move",
    who: "ann",
    createdAtMs: NOW_MS,
    endsAtMs: NOW_MS + 600_000,
  }],
  webhooks: [{
    id: 2,
    title: "Chat",
    url: "http://10.0.0.9/",
    isEnabled: true,
    format: "slack",
    timeoutS: 10,
    groupS: 0,
  }],
  users: [{
    name: "ann",
    role: "admin",
    login: "password",
    isDisabled: false,
    mustChangePassword: false,
    createdAtMs: 1,
    lastLoginAtMs: null,
  }],
};

function read(text: string): WantedState {
  const result = parseStateFile(text, "state.json");
  assert.ok("wanted" in result, JSON.stringify(result));
  return result.wanted;
}

const linesOf = (held: HeldState, text: string, prune = true): string[] =>
  describeState(planState(held, read(text), NOW_MS), { prune });

const refusedAs = (held: HeldState, wanted: WantedState, prune = false): string[] =>
  refusedOf(planState(held, wanted, NOW_MS), wanted, held, { prune });

test("a file of a state is no difference to it, is stable, and holds no secret", () => {
  const text = formatStateFile(HELD);
  assert.deepEqual(linesOf(HELD, text), []);
  const reversed: HeldState = {
    ...HELD,
    routes: HELD.routes.toReversed(),
    texts: HELD.texts.toReversed(),
  };
  assert.equal(formatStateFile(reversed), text, "order of rows means nothing");
  assert.doesNotMatch(text, /secret|password/i);
  assert.match(
    text,
    /^ {8}\{ "node": "10\.0\.0\.1:80", "weight": 5, "zone": "", "state": "drain" \}$/m,
  );
});

test("into an empty system a file brings everything", () => {
  const none = { scaling: [], rules: [], silences: [], webhooks: [], users: [] };
  const empty = { routes: [], texts: [], ...none };
  assert.deepEqual(linesOf(empty, formatStateFile(HELD)), [
    "+ (1,1) 10.0.0.1:80 weight 5 state drain",
    "+ (2,1) 10.0.0.2:80 weight 100 state on zone a",
    '~ module (1,1) name "" -> "shop", policy "" -> {"policy":"maglev"}',
    '~ module (3,1) name "" -> "old", policy "" -> no json',
    "+ scaling 1,1",
    "+ rule Out",
    '+ silence ["Out",null,null,"10.0.0.1:80","move"]',
    "+ webhook Chat",
    "+ user ann",
  ]);
  assert.deepEqual(
    linesOf(HELD, formatStateFile(empty), false).every((line) => line[0] === "?"),
    true,
  );
  assert.deepEqual(linesOf(HELD, formatStateFile(empty)).every((line) => line[0] === "-"), true);
});

test("what a file does not say stays; what it says otherwise is named", () => {
  const change = (fn: (file: Record<string, unknown[]>) => void): string => {
    const file = JSON.parse(formatStateFile(HELD));
    fn(file);
    return JSON.stringify(file);
  };
  assert.deepEqual(linesOf(HELD, '{"format":"lars-state/1"}'), []);
  assert.deepEqual(linesOf(HELD, change((file) => file.rules = [])), ["- rule Out"]);
  const partly = change((file) => file.users = [{ name: "ann", role: "viewer" }]);
  assert.deepEqual(linesOf(HELD, partly), ['~ user ann: role "admin" -> "viewer"']);
  const hook = { title: "Chat", url: "http://10.0.0.9/", secret: "0123456789abcdef" };
  assert.deepEqual(linesOf(HELD, change((file) => file.webhooks = [hook])), []);
  const silence = { rule: "Out", modId: null, cmdId: null, node: "10.0.0.1:80", why: "move" };
  const until = (atMs: number): string =>
    change((file) => file.silences = [{ ...silence, endsAt: new Date(atMs).toISOString() }]);
  assert.deepEqual(linesOf(HELD, until(NOW_MS + 640_000)), [], "a minute makes no difference");
  assert.match(linesOf(HELD, until(NOW_MS + 6_000_000))[0], /^~ silence .*: endsAt /);
  assert.match(linesOf(HELD, until(NOW_MS - 1))[0], /^- silence /, "one that has ended is none");
});

test("what cannot be carried out is found before anything is written", () => {
  const wanted = read(JSON.stringify({
    format: "lars-state/1",
    silences: [{
      rule: "None",
      modId: null,
      cmdId: null,
      node: null,
      why: "w",
      endsAt: "2026-02-01T00:00:00Z",
    }],
    webhooks: [{ title: "P", url: "http://10.0.0.9/", format: "pagerduty" }],
  }));
  assert.deepEqual(refusedAs(HELD, wanted), [
    'Silence "w": there is no rule "None"',
    'Webhook "P": PagerDuty\'s routing key must be given as "secret" in the file',
  ]);
});

test("a rule of scaling is refused that no system would take, before anything is written", () => {
  const hooks = [{ title: "Fleet", url: "http://10.0.0.9/", format: "scaling" }];
  const refused = (values: Record<string, unknown>, webhooks?: unknown): string[] => {
    const rule = { modid: 1, cmdid: 1, metric: "calls", target: 100, max: 9, ...values };
    const wanted = read(JSON.stringify({ format: "lars-state/1", scaling: [rule], webhooks }));
    return refusedAs(HELD, wanted);
  };
  assert.deepEqual(refused({ min: 10 }), [
    "Scaling of 1,1: min must be at most max (9): current value is 10",
  ]);
  assert.match(refused({ driver: "webhook", webhook: "Chat" })[0], /webhook of format scaling/);
  assert.match(refused({ driver: "webhook", webhook: "Fleet" })[0], /there is none/);
  assert.deepEqual(refused({ driver: "webhook", webhook: "Fleet" }, hooks), []);
});

test("who logs in by a provider is in no file, and a file that names them is refused", () => {
  const [ann] = HELD.users;
  const held: HeldState = { ...HELD, users: [ann, { ...ann, name: "zoe", login: "provider" }] };
  const text = formatStateFile(held);
  assert.equal(text, formatStateFile(HELD));
  assert.deepEqual(linesOf(held, text), []);
  const users = [{ name: "ann", role: "admin" }, { name: "zoe", role: "viewer" }];
  const wanted = read(JSON.stringify({ format: "lars-state/1", users }));
  for (const prune of [false, true]) {
    assert.deepEqual(refusedAs(held, wanted, prune), [
      'User "zoe" logs in by a provider here, and cannot be added with a password: leave it out',
    ]);
  }
  assert.deepEqual(refusedAs(HELD, wanted), []);
});

test("what an import removes serves nothing else in it", () => {
  const [chat] = HELD.webhooks;
  const [scale] = HELD.scaling;
  const fleet = { ...chat, id: 3, title: "Fleet", format: "scaling" } as const;
  const held: HeldState = {
    ...HELD,
    webhooks: [chat, fleet],
    rules: [RULE, { ...RULE, id: 5, title: "Gone" }],
  };
  const rule = { modid: 2, cmdid: 1, metric: "calls", target: 100, max: 9 };
  const scaling = [{ ...rule, driver: "webhook", webhook: "Fleet" }];
  const silence = { modId: null, cmdId: null, node: null, endsAt: "2026-02-01T00:00:00Z" };
  const file = (values: Record<string, unknown>): WantedState =>
    read(JSON.stringify({ format: "lars-state/1", ...values }));
  const hooks = file({ scaling, webhooks: [{ title: "Chat", url: chat.url }] });
  assert.deepEqual(refusedAs(held, hooks), [], "without --prune it stays");
  assert.match(refusedAs(held, hooks, true)[0], /^Scaling of 2,1: webhook .*there is none/);
  const silenced = file({
    rules: [{ ...RULE, id: undefined }],
    silences: [{ ...silence, rule: "Gone", why: "w" }],
  });
  assert.deepEqual(refusedAs(held, silenced), []);
  assert.deepEqual(refusedAs(held, silenced, true), ['Silence "w": there is no rule "Gone"']);
  // A rule that stays loses nothing either.
  const ruled: HeldState = {
    ...held,
    scaling: [{ ...scale, rule: { ...scale.rule, driver: "webhook", webhook: "Fleet" } }],
  };
  const few = { webhooks: [{ title: "Chat", url: chat.url }] };
  assert.deepEqual(refusedAs(ruled, file(few)), []);
  assert.deepEqual(refusedAs(ruled, file(few), true), [
    'Scaling of 1,1: its webhook "Fleet" would be removed',
  ]);
  assert.deepEqual(refusedAs(ruled, file({ ...few, scaling: [] }), true), []);
  assert.deepEqual(refusedAs(held, file({ webhooks: [] }), true), [], "nobody names it");
});

test("nodes, policies and names that no edit takes are refused before anything is written", () => {
  const module = { modid: 9, cmdid: 1 };
  const refused = (...modules: Record<string, unknown>[]): string[] =>
    refusedAs(HELD, read(JSON.stringify({ format: "lars-state/1", modules })));
  assert.deepEqual(refused({ ...module, nodes: [{ node: "10.0.0.9:0" }, { node: "0.0.0.0:1" }] }), [
    "Module 9,1: node 10.0.0.9:0 must have an address other than 0.0.0.0 and a port from 1 to 65535",
    "Module 9,1: node 0.0.0.0:1 must have an address other than 0.0.0.0 and a port from 1 to 65535",
  ]);
  assert.match(refused({ ...module, nodes: [{ node: "10.0.0.9:65536" }] })[0], /65536 must have/);
  assert.match(
    refused({ ...module, policy: { policy: "nope" } })[0],
    /^Module 9,1: Policy cannot be used: policy must be one of recommended,/,
  );
  assert.match(refused({ ...module, name: "12" })[0], /Name of module \(9,1\) must not be numbers/);
  assert.match(refused({ ...module, name: "Shop" })[0], /\(1,1\) shop is called so/);
  // Two modules may take each other's names, and what is held already may stay as it is.
  assert.deepEqual(
    refused({ modid: 1, cmdid: 1, name: "old" }, { modid: 3, cmdid: 1, name: "shop" }),
    [],
  );
  assert.deepEqual(refusedAs(HELD, read(formatStateFile(HELD)), true), []);
  const odd: HeldState = { ...HELD, routes: [{ ...HELD.routes[0], port: 0 }] };
  assert.deepEqual(refusedAs(odd, read(formatStateFile(odd)), true), []);
});

test("a file that is none is refused, every fault with its place", () => {
  const cases: [string, RegExp][] = [
    ["{", /^state\.json must be JSON/],
    ["[]", /the whole: /],
    ['{"format":"lars-state/2"}', /format: /],
    ['{"format":"lars-state/1","modules":[{"modid":-1,"cmdid":1}]}', /modules\.0\.modid: /],
    ...["300.1.1.1:80", "10.0.0.1:99999999999", "10.0.0.1", "10.0.0.1:", ""].map(
      (node): [string, RegExp] => [
        JSON.stringify({
          format: "lars-state/1",
          modules: [{ modid: 1, cmdid: 1, nodes: [{ node }] }],
        }),
        /modules\.0\.nodes\.0\.node: must (look like 10\.0\.0\.1:7777|have a port)/,
      ],
    ),
    ['{"format":"lars-state/1","nodes":[]}', /nodes/],
    ['{"format":"lars-state/1","users":[{"name":"a","role":"boss"}]}', /users\.0\.role: /],
    [
      '{"format":"lars-state/1","users":[{"name":"a","role":"viewer"},{"name":"a","role":"admin"}]}',
      /user a stands twice/,
    ],
    [
      '{"format":"lars-state/1","modules":[{"modid":1,"cmdid":1,"nodes":[{"node":"10.0.0.1:1"},{"node":"10.0.0.1:1"}]}]}',
      /module 1,1: node 10\.0\.0\.1:1 stands twice/,
    ],
  ];
  for (const [text, words] of cases) {
    const result = parseStateFile(text, "state.json");
    assert.ok("problems" in result, text);
    assert.match(result.problems[0], words);
  }
});
