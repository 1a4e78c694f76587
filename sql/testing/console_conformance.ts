// Shell. The tests of the console's part that every kind of store must pass.

import assert from "node:assert/strict";
import { test } from "node:test";
import { ConflictError, LimitError } from "../../reactor/errors.ts";
import { fingerprintOf, revisionOf } from "../console/route_difference.ts";
import type {
  AuditEntry,
  ChangeWish,
  ConsoleStore,
  NodeCallTotals,
  UserRow,
} from "../console/console_store.ts";
import { type ConformanceTarget, withStore } from "./store_conformance.ts";
import type { CallStatusRow, RouteEdit, Store } from "../store.ts";

const TEST_TIMEOUT_MS = 120_000;
const IP = 3_232_235_953;

function audit(action: string, who = "ann"): AuditEntry {
  return {
    atMs: 1_700_000_000_000,
    who,
    action,
    target: "",
    outcome: "done",
    detail: "",
    address: "",
  };
}

function user(name: string, role: UserRow["role"] = "viewer"): UserRow {
  return {
    name,
    role,
    passwordHash: "scrypt$…",
    mustChange: true,
    disabled: false,
    createdAtMs: 5,
    loginAtMs: 0,
  };
}

function add(modId: number, cmdId: number, port = 7777): RouteEdit {
  return { op: "add", modId, cmdId, ip: IP, port };
}

/** A change that makes the given edits, whatever is stored. */
function wish(edits: readonly RouteEdit[], rest: Partial<ChangeWish> = {}): ChangeWish {
  return {
    modules: edits,
    decide: () => ({ routes: edits }),
    via: "console",
    why: "because",
    undoes: 0,
    meant: false,
    audit: audit("route.change"),
    ...rest,
  };
}

type Define = (name: string, fn: (console: ConsoleStore, store: Store) => Promise<void>) => void;

/** Registers the tests of {@linkcode ConsoleStore} for one kind of database. */
export function testConsoleConformance(target: ConformanceTarget): void {
  const define: Define = (name, fn) =>
    void test(
      `${target.name} console: ${name}`,
      { timeout: TEST_TIMEOUT_MS, skip: target.skipReason ?? false },
      (t) =>
        target.withDatabase(t, (url) =>
          withStore(url, async (store) => {
            await store.migrate();
            await fn(store.console, store);
          })),
    );
  testUsers(define);
  testAccess(define);
  testChanges(define);
  testConcurrentChanges(define);
  testAlerts(define);
  testCalls(define);
}

function testUsers(define: Define): void {
  define("users: added once, changed, removed, never without an admin", async (console) => {
    assert.equal(await console.addFirstUser(user("ann", "admin"), audit("user.add")), true);
    assert.equal(await console.addFirstUser(user("eve", "admin"), audit("user.add")), false);
    await console.addUser(user("bob"), audit("user.add"));
    await assert.rejects(console.addUser(user("bob"), audit("user.add")), ConflictError);
    assert.deepEqual((await console.users()).map(({ name }) => name), ["ann", "bob"]);
    assert.deepEqual(await console.user("bob"), user("bob"));
    assert.equal(await console.user("BOB"), undefined, "names differ by case");
    for (const patch of [{ role: "viewer" }, { disabled: true }] as const) {
      await assert.rejects(console.patchUser("ann", patch, audit("user.set")), ConflictError);
    }
    await assert.rejects(console.removeUser("ann", audit("user.remove")), ConflictError);
    assert.equal(await console.patchUser("nobody", {}, audit("user.set")), undefined);
    const bob = await console.patchUser("bob", { role: "admin" }, audit("user.set"));
    assert.deepEqual(bob, user("bob", "admin"));
    assert.equal(await console.removeUser("ann", audit("user.remove")), true);
    assert.equal(await console.removeUser("ann", audit("user.remove")), false);
    const actions = (await console.auditRows({ before: 0, limit: 10 })).map((row) => row.action);
    assert.deepEqual(actions, ["user.remove", "user.set", "user.add", "user.add"], "only what was");
  });

  define("users: two admins who demote each other at once, one stays", async (console) => {
    await console.addUser(user("ann", "admin"), audit("user.add"));
    await console.addUser(user("bob", "admin"), audit("user.add"));
    const results = await Promise.allSettled(
      ["ann", "bob"].map((name) => console.patchUser(name, { role: "viewer" }, audit("user.set"))),
    );
    assert.deepEqual(results.map(({ status }) => status).sort(), ["fulfilled", "rejected"]);
    assert.equal((await console.users()).filter(({ role }) => role === "admin").length, 1);
  });
}

function testAccess(define: Define): void {
  define("sessions: found with their user, bounded, ended with it", async (console) => {
    await console.addUser(user("ann", "admin"), audit("user.add"));
    await console.addUser(user("bob"), audit("user.add"));
    const open = (hash: string, name: string, atMs: number): Promise<void> =>
      console.addSession(
        { hash, user: name, createdAtMs: atMs, seenAtMs: atMs, expiresAtMs: atMs + 1000 },
        audit("login"),
      );
    for (let index = 0; index < 25; index++) await open(`h${index}`, "bob", 10_000 + index);
    assert.equal(await console.session("h4"), undefined, "the oldest of too many has ended");
    assert.equal((await console.session("h24"))?.user.loginAtMs, 10_024);
    await console.touchSession("h24", 10_500, 99_000);
    assert.deepEqual((await console.session("h24"))?.session, {
      hash: "h24",
      user: "bob",
      createdAtMs: 10_024,
      seenAtMs: 10_500,
      expiresAtMs: 99_000,
    });
    await open("new", "ann", 50_000);
    assert.equal(await console.session("h23"), undefined, "over, so forgotten");
    await console.removeSession("new", audit("logout"));
    assert.equal(await console.session("new"), undefined);
    await open("h30", "bob", 50_000);
    await console.patchUser("bob", { mustChange: false }, audit("user.set"), "h30");
    assert.equal(await console.session("h24"), undefined);
    assert.equal((await console.session("h30"))?.user.mustChange, false);
    await console.removeUser("bob", audit("user.remove"));
    assert.equal(await console.session("h30"), undefined);
  });

  define("tokens: of their owner, revoked by the owner or anybody asked for", async (console) => {
    await console.addUser(user("ann", "admin"), audit("user.add"));
    await console.addUser(user("bob"), audit("user.add"));
    const token = {
      title: "ci",
      owner: "bob",
      role: "viewer" as const,
      hash: "abc",
      createdAtMs: 7,
      expiresAtMs: 0,
      usedAtMs: 0,
    };
    const id = await console.addToken(token, audit("token.add"));
    await console.touchToken(id, 60_000);
    assert.deepEqual((await console.token("abc"))?.token, { ...token, id, usedAtMs: 60_000 });
    assert.equal((await console.token("abc"))?.user.name, "bob");
    assert.equal((await console.tokens("ann")).length, 0);
    assert.equal((await console.tokens()).length, 1);
    assert.equal(await console.removeToken(id, "ann", audit("token.remove")), false);
    assert.equal(await console.removeToken(id, undefined, audit("token.remove")), true);
    assert.equal(await console.token("abc"), undefined);
  });

  define("audit: newest first, filtered, long texts cut", async (console) => {
    await console.audit({ ...audit("login"), outcome: "refused", detail: "x".repeat(70_000) });
    await console.audit({ ...audit("node.add", "bob"), target: "ü'\"\\%_".repeat(100) });
    const rows = await console.auditRows({ before: 0, limit: 10 });
    assert.deepEqual(rows.map(({ action }) => action), ["node.add", "login"]);
    assert.equal(rows[0].target.length, 200);
    assert.equal(rows[1].outcome, "refused");
    assert.equal(rows[1].detail.length, 2000);
    const before = await console.auditRows({ before: rows[0].id, limit: 10 });
    assert.deepEqual(before.map(({ id }) => id), [rows[1].id]);
    assert.equal((await console.auditRows({ before: 0, limit: 10, who: "bob" })).length, 1);
    assert.equal((await console.auditRows({ before: 0, limit: 10, action: "x" })).length, 0);
  });
}

function testChanges(define: Define): void {
  define("change(): routes, history and audit together", async (console, store) => {
    const first = await console.change(wish([add(1, 1), add(1, 2)]));
    assert.deepEqual(first.changed, [{ modId: 1, cmdId: 1 }, { modId: 1, cmdId: 2 }]);
    const second = await console.change(wish(
      [{ op: "set", modId: 1, cmdId: 1, ip: IP, port: 7777, weight: 50, zone: "ü" }],
      { via: "token", why: "slow" },
    ));
    assert.ok((second.id ?? 0) > (first.id ?? 0));
    assert.equal(second.version, (await store.routeMark()).version);
    assert.deepEqual(await console.changeContent(second.id ?? 0), {
      id: second.id,
      atMs: 1_700_000_000_000,
      who: "ann",
      via: "token",
      why: "slow",
      summary: "set 1/1 192.168.1.177:7777 weight 100 to 50, zone none to ü",
      modules: [{ modId: 1, cmdId: 1 }],
      moduleCount: 1,
      nodeCount: 1,
      undoes: 0,
      undoneBy: 0,
      differences: {
        nodes: [{
          modId: 1,
          cmdId: 1,
          ip: IP,
          port: 7777,
          before: { weight: 100, zone: "", state: "on" },
          after: { weight: 50, zone: "ü", state: "on" },
        }],
        modules: [],
      },
    });
    const ids = async (filter: Record<string, unknown>): Promise<number[]> =>
      (await console.changes({ before: 0, limit: 9, ...filter })).map(({ id }) => id);
    assert.deepEqual(await ids({}), [second.id, first.id]);
    assert.deepEqual(await ids({ modId: 1, cmdId: 2 }), [first.id]);
    assert.deepEqual(await ids({ before: second.id, modId: 1, who: "ann" }), [first.id]);
    assert.deepEqual(await ids({ who: "bob" }), []);
    const [entry] = await console.auditRows({ before: 0, limit: 1 });
    assert.equal(entry.target, "1/1");
    assert.match(entry.detail, /^change \d+: set 1\/1 /);
    const undo = await console.change(wish([add(7, 7)], { undoes: second.id ?? 0 }));
    assert.equal((await console.changeContent(second.id ?? 0))?.undoneBy, undo.id);
    assert.equal(await console.changeContent(99_999), undefined);
  });

  define("change(): nothing to do, or a fault, leaves nothing behind", async (console, store) => {
    await console.change(wish([add(1, 1)]));
    const mark = await store.routeMark();
    const same = await console.change(
      wish([{ op: "set", modId: 1, cmdId: 1, ip: IP, port: 7777, weight: 100 }]),
    );
    assert.equal(same.id, undefined);
    assert.deepEqual(same.changed, []);
    assert.equal(same.stored[0].nodes.length, 1);
    await assert.rejects(console.change(wish([add(1, 2), add(1, 1)])), ConflictError);
    await assert.rejects(console.change(wish([add(1, 3, 0)])), RangeError);
    const stop = new Error("not now");
    await assert.rejects(
      console.change(wish([add(1, 2)], {
        decide: () => {
          throw stop;
        },
      })),
      stop,
    );
    assert.deepEqual(await store.routeMark(), mark);
    assert.equal((await console.changes({ before: 0, limit: 9 })).length, 1);
    assert.equal((await console.auditRows({ before: 0, limit: 9 })).length, 1);
  });

  define("change(): names, policies and nodes in one", async (console, store) => {
    const key = { modId: 1, cmdId: 1 };
    const { id, changed, stored, before } = await console.change(wish([], {
      modules: [key, { modId: 2, cmdId: 2 }],
      decide: () => ({
        routes: [add(1, 1), add(2, 2)],
        modules: [{ ...key, name: "shop", policy: "{}" }],
      }),
    }));
    assert.deepEqual(changed, [key, { modId: 2, cmdId: 2 }]);
    assert.equal(stored[0].name, "shop");
    assert.equal(before[0].name, "");
    assert.notEqual(revisionOf(stored[0]), revisionOf({ ...stored[0], policy: "" }));
    const content = await console.changeContent(id ?? 0);
    assert.equal(content?.summary, "add 2 nodes in 2 modules; name or policy of 1 module");
    assert.deepEqual(content?.differences.modules, [{
      ...key,
      before: { name: "", policy: "" },
      after: { name: "shop", policy: "{}" },
    }]);
    assert.equal((await store.moduleRows())[0].name, "shop");
    const text = await console.change(wish([], {
      modules: [key],
      decide: () => ({ routes: [], modules: [{ ...key, name: "Shop" }] }),
    }));
    assert.equal((await console.changeContent(text.id ?? 0))?.summary, "name 1/1 Shop");
    await assert.rejects(
      console.change(wish([], {
        modules: [key],
        decide: () => ({ routes: [add(1, 1, 9)], modules: [{ ...key, policy: "no" }] }),
      })),
      RangeError,
    );
    assert.equal((await store.readModules([key])).length, 1, "all or nothing");
  });

  define("change(): thousands of nodes in many modules", async (console) => {
    const edits = Array.from({ length: 2500 }, (_, index) => add(index % 1200, 1, 1 + index));
    const { id } = await console.change(wish(edits));
    const content = await console.changeContent(id ?? 0);
    assert.equal(content?.differences.nodes.length, 2500);
    assert.equal(content?.moduleCount, 1200);
    assert.equal(content?.modules.length, 20);
    assert.equal(content?.summary, "add 2500 nodes in 1200 modules");
  });
}

function testConcurrentChanges(define: Define): void {
  define("change(): of editors with one revision only one gets through", async (console) => {
    const { stored } = await console.change(wish([add(1, 1)]));
    const seen = fingerprintOf(stored);
    assert.equal(seen, fingerprintOf([...stored].reverse()));
    const editors = Array.from({ length: 20 }, (_, index) =>
      console.change(wish([], {
        modules: [{ modId: 1, cmdId: 1 }],
        why: String(index),
        decide: (now) => {
          if (fingerprintOf(now) !== seen) throw new ConflictError("changed meanwhile");
          return {
            routes: [{ op: "set", modId: 1, cmdId: 1, ip: IP, port: 7777, weight: index }],
          };
        },
      })));
    const results = await Promise.allSettled(editors);
    assert.equal(results.filter(({ status }) => status === "fulfilled").length, 1);
    const [change] = await console.changes({ before: 0, limit: 1 });
    const content = await console.changeContent(change.id);
    assert.equal(content?.differences.nodes[0].after?.weight, Number(change.why));
  });

  define("change(): the history is in the order of what happened", async (console) => {
    await console.change(wish([
      { op: "add", modId: 1, cmdId: 1, ip: IP, port: 7777, weight: 0 },
    ]));
    await Promise.all(Array.from({ length: 20 }, () =>
      console.change(wish([], {
        modules: [{ modId: 1, cmdId: 1 }],
        decide: ([{ nodes: [node] }]) => ({
          routes: [{ op: "set", ...node, weight: node.weight + 1 }],
        }),
      }))));
    const history = await console.changes({ before: 0, limit: 20 });
    const weights: (number | undefined)[] = [];
    for (const { id } of history) {
      weights.push((await console.changeContent(id))?.differences.nodes[0].after?.weight);
    }
    assert.deepEqual(weights, Array.from({ length: 20 }, (_, index) => 20 - index));
  });

  define("revisionOf(): follows every value, not the order of rows", async (console) => {
    const key = { modId: 1, cmdId: 1, ip: IP, port: 7777 };
    const seen = new Set<string>();
    const steps: RouteEdit[][] = [
      [add(1, 1), add(1, 1, 8)],
      [{ op: "set", ...key, weight: 7 }],
      [{ op: "set", ...key, zone: "z" }],
      [{ op: "set", ...key, state: "drain" }],
      [{ op: "remove", ...key, port: 8 }],
    ];
    for (const edits of steps) {
      const [module] = (await console.change(wish(edits))).stored;
      seen.add(revisionOf(module));
      assert.equal(revisionOf({ ...module, nodes: module.nodes.toReversed() }), revisionOf(module));
    }
    assert.equal(seen.size, steps.length);
  });
}

function testAlerts(define: Define): void {
  define("rules of scaling are kept, one for a module, and audited", async (console) => {
    const row = { modId: 4_000_000_000, cmdId: 1, content: '{"max":2}', updatedAtMs: 7 };
    await console.putScaleRule({ ...row, content: "{}" }, audit("scale.set"));
    await console.putScaleRule(row, audit("scale.set"));
    await console.putScaleRule({ ...row, modId: 1 }, audit("scale.set"));
    assert.deepEqual(await console.scaleRules(), [{ ...row, modId: 1 }, row]);
    assert.equal(await console.removeScaleRule({ modId: 9, cmdId: 9 }, audit("scale.off")), false);
    assert.equal(await console.removeScaleRule(row, audit("scale.off")), true);
    assert.deepEqual(await console.scaleRules(), [{ ...row, modId: 1 }]);
    const actions = (await console.auditRows({ before: 0, limit: 9 })).map(({ action }) => action);
    assert.deepEqual(actions.filter((one) => one.startsWith("scale.")), [
      ...["scale.off", "scale.set", "scale.set", "scale.set"],
    ]);
  });

  define("rules, silences and webhooks are kept", async (console) => {
    const rule = {
      kind: "error_share",
      title: "Errors",
      severity: "critical" as const,
      enabled: true,
      threshold: 0.25,
      forS: 60,
      clearS: 120,
      modId: 4_294_967_295,
      cmdId: null,
    };
    const id = await console.addRule(rule, audit("rule.add"));
    assert.deepEqual(await console.rules(), [{ ...rule, id }]);
    assert.equal(await console.putRule({ ...rule, id, enabled: false }, audit("rule.set")), true);
    assert.equal((await console.rules())[0].enabled, false);
    assert.equal(await console.putRule({ ...rule, id: id + 1 }, audit("rule.set")), false);
    const silence = {
      ruleId: id,
      modId: null,
      cmdId: 0,
      node: "10.0.0.1:1",
      why: "work",
      who: "ann",
      createdAtMs: 1000,
      endsAtMs: 2000,
    };
    const first = await console.addSilence(silence, audit("silence.add"));
    assert.deepEqual(await console.silences(1999), [{ ...silence, id: first }]);
    assert.deepEqual(await console.silences(2000), []);
    assert.equal(await console.removeSilence(first, audit("silence.remove")), true);
    assert.equal(await console.removeSilence(first, audit("silence.remove")), false);
    const hook = {
      title: "chat",
      url: "https://chat.example/x",
      secret: "s'\"",
      enabled: true,
      ...{ format: "slack", timeoutS: 20, groupS: 30 },
    };
    const hookId = await console.addWebhook(hook, audit("webhook.add"));
    await console.putWebhook({ ...hook, id: hookId, enabled: false }, audit("webhook.set"));
    assert.deepEqual(await console.webhooks(), [{ ...hook, id: hookId, enabled: false }]);
    await console.removeWebhook(hookId, audit("webhook.remove"));
    for (let index = 0; index < 50; index++) await console.addWebhook(hook, audit("webhook.add"));
    await assert.rejects(console.addWebhook(hook, audit("webhook.add")), LimitError);
    assert.equal((await console.webhooks()).length, 50);
    await console.removeRule(id, audit("rule.remove"));
    assert.deepEqual(await console.rules(), []);
  });

  define("state and lease: one holder at a time", async (console) => {
    assert.equal(await console.state("alerts"), undefined);
    await console.putState("alerts", "1");
    await console.putState("alerts", "ü".repeat(30_000));
    assert.equal((await console.state("alerts"))?.length, 30_000);
    for (const name of ["scaling.2.1", "scaling.1.1", "scalingX", "scaling_"]) {
      await console.putState(name, name);
    }
    assert.deepEqual((await console.states("scaling.")).map(({ name }) => name), [
      ...["scaling.1.1", "scaling.2.1"],
    ]);
    assert.deepEqual(await console.states("scaling_"), [
      { name: "scaling_", content: "scaling_" },
    ]);
    assert.equal(await console.takeLease("alerts", "a", 1000, 2000), true);
    assert.equal(await console.takeLease("alerts", "b", 1500, 2500), false);
    assert.equal(await console.takeLease("alerts", "a", 1500, 2500), true);
    assert.equal(await console.takeLease("alerts", "b", 2500, 3500), true);
    assert.equal(await console.takeLease("alerts", "a", 2600, 3600), false);
    assert.equal((await console.state("alerts"))?.length, 30_000);
  });
}

function testCalls(define: Define): void {
  define("nodeCalls(): totals by node in pages; callerCount()", async (console, store) => {
    const row = (modId: number, port: number, caller: number, ts: number): CallStatusRow => ({
      modId,
      cmdId: 1,
      ip: IP,
      port,
      caller,
      succCount: 1,
      errCount: 1,
      ts,
      overload: caller === 2,
      succTotal: 10 * caller,
      errTotal: caller,
    });
    await store.writeCallStatus([
      row(4_294_967_295, 1, 1, 100),
      row(1, 1, 1, 100),
      row(1, 1, 2, 100),
      row(1, 1, 3, 50),
      row(1, 2, 2, 50),
      row(2, 1, 1, 100),
    ]);
    for (const limit of [1, 2, 3, 100]) {
      const found: NodeCallTotals[] = [];
      let page: NodeCallTotals[] = [];
      do {
        page = await console.nodeCalls(90, page.at(-1), limit);
        found.push(...page);
      } while (page.length === limit);
      const one = {
        cmdId: 1,
        ip: IP,
        port: 1,
        succTotal: 10,
        errTotal: 1,
        succCount: 1,
        errCount: 1,
        ts: 100,
      };
      assert.deepEqual(found, [
        { ...one, modId: 4_294_967_295, callerCount: 1, overloadCount: 0 },
        {
          ...one,
          modId: 1,
          succTotal: 60,
          errTotal: 6,
          succCount: 3,
          errCount: 3,
          callerCount: 2,
          overloadCount: 1,
        },
        {
          ...one,
          modId: 1,
          port: 2,
          succTotal: 20,
          errTotal: 2,
          callerCount: 0,
          overloadCount: 0,
          ts: 50,
        },
        { ...one, modId: 2, callerCount: 1, overloadCount: 0 },
      ], `pages of ${limit}`);
    }
    assert.equal(await console.callerCount(90), 2);
  });
}
