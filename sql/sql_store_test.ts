import assert from "node:assert/strict";
import { test } from "node:test";
import { StoreError } from "../reactor/errors.ts";
import { silentLogger } from "../reactor/log.ts";
import { ManualClock } from "../reactor/time/manual_clock.ts";
import { seededRng } from "../reactor/time/rng.ts";
import { type Driver, type FaultKind, type ScriptMaker, StatementFault } from "./drivers/driver.ts";
import { runScript, type Script, type SqlRow, type Statement } from "./drivers/sql_script.ts";
import { SCHEMA_VERSION } from "./schema/migrations.ts";
import { NewerSchemaError } from "./schema/newer_schema.ts";
import { SqlStore } from "./sql_store.ts";

/** A driver that fails as told, then answers; it never waits. */
class FakeDriver implements Driver {
  readonly dialect = "mysql";
  readonly label = "fake";
  readonly faults: FaultKind[];
  readonly answer: (statement: Statement) => SqlRow[];
  attempts = 0;

  constructor(faults: FaultKind[], answer: (statement: Statement) => SqlRow[] = () => []) {
    this.faults = faults;
    this.answer = answer;
  }

  // deno-lint-ignore require-await
  async run<T>(makeScript: ScriptMaker<T>): Promise<T> {
    this.attempts++;
    const kind = this.faults.shift();
    if (kind !== undefined) throw new StatementFault(kind, `a ${kind} fault`);
    return runScript(makeScript(), this.answer);
  }

  transact<T>(makeScript: ScriptMaker<T>): Promise<T> {
    return this.run(makeScript);
  }

  snapshot<T>(body: (run: <R>(make: ScriptMaker<R>) => Promise<R>) => Promise<T>): Promise<T> {
    return body((make) => this.run(make));
  }

  migrate<T>(makeScript: ScriptMaker<T>): Promise<T> {
    return this.run(makeScript);
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

function storeOver(driver: Driver): { store: SqlStore; clock: ManualClock } {
  const clock = new ManualClock();
  const store = new SqlStore({
    driver,
    clock,
    rng: seededRng(1),
    log: silentLogger,
    queryTimeoutMs: 1000,
    yieldToLoop: () => Promise.resolve(),
  });
  return { store, clock };
}

/** Lets virtual time pass until the call has ended. */
async function settle<T>(clock: ManualClock, call: Promise<T>): Promise<T | unknown> {
  let outcome: unknown;
  let isOver = false;
  call.then((value) => (outcome = value), (error: unknown) => (outcome = error))
    .finally(() => (isOver = true));
  for (let step = 0; step < 10_000 && !isOver; step++) {
    await Promise.resolve();
    if (clock.pendingCount > 0) clock.advance(5);
  }
  assert.ok(isOver, "the call ends");
  return outcome;
}

test("a store tries again after deadlocks, a bounded number of times", async () => {
  for (const [count, passes] of [[0, true], [1, true], [7, true], [1000, false]] as const) {
    const driver = new FakeDriver(new Array<FaultKind>(count).fill("deadlock"));
    const { store, clock } = storeOver(driver);
    const outcome = await settle(clock, store.ping());
    assert.equal(outcome === undefined, passes, String(outcome));
    if (passes) {
      assert.equal(driver.attempts, count + 1);
      continue;
    }
    assert.ok(outcome instanceof StoreError && outcome.transient);
    assert.ok(driver.attempts >= 8 && driver.attempts < 20, `${driver.attempts} attempts`);
    assert.ok(clock.nowMs() >= 500 && clock.nowMs() < 800, `${clock.nowMs()} ms`);
  }
});

test("a store asks a busy database until the time is over", async () => {
  const driver = new FakeDriver(new Array<FaultKind>(1000).fill("busy"));
  const { store, clock } = storeOver(driver);
  const outcome = await settle(clock, store.ping());
  assert.ok(outcome instanceof StoreError && outcome.transient);
  assert.match(outcome.message, /^Could not reach the database in fake: a busy fault$/);
  assert.ok(clock.nowMs() >= 1000 && clock.nowMs() < 1300, `${clock.nowMs()} ms`);
  assert.ok(driver.attempts < 60, `${driver.attempts} attempts`);
});

test("a store does not repeat what cannot be mended", async () => {
  for (const [kind, transient] of [["transient", true], ["permanent", false]] as const) {
    const driver = new FakeDriver([kind]);
    const outcome = await settle(new ManualClock(), storeOver(driver).store.ping());
    assert.ok(outcome instanceof StoreError);
    assert.equal(outcome.transient, transient);
    assert.equal(driver.attempts, 1);
  }
});

test("a store looks at the schema once more when a column is missing", async () => {
  const once = new FakeDriver(["schema"]);
  assert.equal(await settle(new ManualClock(), storeOver(once).store.schemaVersion()), 0);
  const twice = new FakeDriver(["schema", "schema"]);
  const outcome = await settle(new ManualClock(), storeOver(twice).store.schemaVersion());
  assert.ok(outcome instanceof StoreError && !outcome.transient);
  assert.match(outcome.message, /are the migrations applied/);
});

test("readRoutes() does not give rows twice when a page fails", async () => {
  const rows = [{ id: 1, modid: 1, cmdid: 1, serverip: 1, serverport: 1 }];
  const driver = new FakeDriver([], ({ sql }) => sql.includes("RouteData") ? rows : []);
  const { store, clock } = storeOver(driver);
  let pages = 0;
  const call = store.readRoutes(() => {
    pages++;
    driver.faults.push("schema");
  }, { pageRows: 1 });
  const outcome = await settle(clock, call);
  assert.ok(outcome instanceof StoreError);
  assert.equal(pages, 1);
});

test("a store looks for our additions again after a while", async () => {
  let looks = 0;
  const driver = new FakeDriver([], ({ sql }) => {
    if (sql.includes("information_schema")) looks++;
    return [];
  });
  const { store, clock } = storeOver(driver);
  for (let call = 0; call < 3; call++) await store.instances();
  assert.equal(looks, 1);
  clock.advance(5000);
  await store.instances();
  assert.equal(looks, 2);
});

test("a store notices that somebody migrated its database further, and writes no more", async () => {
  let newest = SCHEMA_VERSION;
  const columns = (name: string, ...names: string[]): SqlRow[] =>
    names.map((column) => ({ tableName: name, columnName: column }));
  const tables = [
    ...columns("SchemaMigration", "version"),
    ...columns("ServiceInstance", "kind", "address", "detail"),
  ];
  const sent: string[] = [];
  const driver = new FakeDriver([], ({ sql }) => {
    sent.push(sql);
    if (sql.includes("information_schema")) return tables;
    return sql.includes("MAX(version)") ? [{ newest }] : [];
  });
  const { store, clock } = storeOver(driver);
  const beat = (): Promise<unknown> =>
    settle(
      clock,
      store.heartbeat({
        ...{ kind: "dns", address: "a:1", software: "", startedAt: 1, seenAt: 1, detail: {} },
      }),
    );
  assert.equal(await beat(), undefined);
  newest = SCHEMA_VERSION + 1;
  clock.advance(11_000);
  sent.length = 0;
  const outcome = await beat();
  assert.ok(outcome instanceof NewerSchemaError && !outcome.transient, String(outcome));
  assert.ok(!sent.some((sql) => /insert|delete/i.test(sql)), sent.join("\n"));
  assert.match(await settle(clock, store.newerSchema()) as string, /fake has schema version/);
  assert.deepEqual(await settle(clock, store.instances()), [], "reads go on");
  newest = SCHEMA_VERSION;
  clock.advance(11_000);
  assert.equal(await beat(), undefined, "a database that was put back is written again");
});

test("ping() asks for a row, which a node without quorum refuses, and takes any answer", async () => {
  const sent: string[] = [];
  const driver = new FakeDriver([], ({ sql }) => {
    sent.push(sql);
    return [];
  });
  assert.equal(await settle(new ManualClock(), storeOver(driver).store.ping()), undefined);
  assert.match(sent[0], /FROM RouteVersion/);
  const without = new FakeDriver(["schema"]);
  assert.equal(await settle(new ManualClock(), storeOver(without).store.ping()), undefined);
});

test("a migration goes on when another one through another node is ahead, many times", async () => {
  const driver = new FakeDriver([]);
  let hindered = 0;
  driver.migrate = (makeScript) => {
    if (hindered++ < 50) {
      return Promise.reject(new StatementFault("deadlock", "Duplicate column name"));
    }
    return driver.run(makeScript);
  };
  const { store, clock } = storeOver(driver);
  const outcome = await settle(clock, store.migrate());
  assert.ok(
    !(outcome instanceof Error) || /lock|still running/.test(outcome.message),
    `${outcome}`,
  );
  assert.equal(hindered, 51);
});

test("a statement that fails ends its script: no script can go on to a COMMIT that answers well", () => {
  let wentOn = false;
  function* script(): Script<void> {
    try {
      yield { sql: "UPDATE" };
    } catch {
      yield { sql: "SELECT" };
    }
    wentOn = true;
  }
  assert.throws(() =>
    runScript(script(), () => {
      throw new StatementFault("deadlock", "told by any later statement");
    })
  );
  assert.equal(wentOn, false);
});
