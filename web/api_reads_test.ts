import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { get as httpGet, type IncomingHttpHeaders as HttpHeaders } from "node:http";
import { test } from "node:test";
import { gunzipSync } from "node:zlib";
import { systemClock } from "../reactor/time/system_clock.ts";
import type { Store } from "../sql/store.ts";
import { type Client, withConsole } from "../tests/support/console_bench.ts";
import { API_PREFIX, API_ROUTES, type ResponseOf } from "./contract.ts";
import { CounterService } from "../control/counters/counter_service.ts";
import { readReport } from "../control/reports/report_service.ts";

const TIMEOUT = { timeout: 120_000 };
const NODE = { modId: 1, cmdId: 2, ip: 0x0a000001, port: 7777 };

/** A module with a node that one of two callers keeps out, with its history and its events. */
async function fill(store: Store): Promise<void> {
  const nowS = Math.floor(systemClock.wallMs() / 1000);
  await store.editRoutes([{ op: "add", ...NODE }, { op: "add", ...NODE, port: 7778 }]);
  const row = { ...NODE, succCount: 8, errCount: 2, succTotal: 80, errTotal: 20, ts: nowS };
  await store.writeCallStatus([
    { ...row, caller: 1, overload: true },
    { ...row, caller: 2, overload: false },
    { ...row, caller: 3, overload: true, ts: 1000 },
  ]);
  const bucket = {
    ...NODE,
    atSeconds: nowS - 15,
    succCount: 30,
    errCount: 10,
    reportCount: 1,
    overloadCount: 0,
    timedCount: 4,
    timeMsSum: 50,
    refusedCount: 0,
  };
  await store.writeCallHistory(1, [
    { ...bucket, caller: 1 },
    { ...bucket, ip: 0, port: 0, caller: 0, refusedCount: 3 },
  ]);
  await store.heartbeat({
    kind: "dns",
    address: "127.0.0.1:1",
    software: "lars/1",
    startedAt: nowS - 60,
    seenAt: nowS,
    detail: { revision: 3 },
  });
}

test("GET /report says what the database says, whoever reads it", TIMEOUT, async () => {
  await withConsole(async ({ store, clients: { viewer } }) => {
    await fill(store);
    await store.addEvents([
      { atMs: 1000, kind: "node.overload", text: "out", detail: { share: 0.5 } },
    ]);
    const report = await viewer.get<ResponseOf<"getReport">>("GET /report");
    assert.deepEqual(API_ROUTES.getReport.response.parse(report), report);
    const direct = await readReport(store, systemClock);
    assert.ok(Math.abs(direct.atMs - report.atMs) < 60_000);
    assert.deepEqual({ ...report, atMs: 0 }, JSON.parse(JSON.stringify({ ...direct, atMs: 0 })));
    assert.deepEqual([report.store.moduleCount, report.store.nodeCount], [1, 2]);
    assert.deepEqual(report.services.map(({ kind, isAlive }) => [kind, isAlive]), [["dns", true]]);
    assert.deepEqual(report.calls.modules, [{
      modId: 1,
      cmdId: 2,
      succ: 16, // Not of the caller that has told nothing for decades.
      err: 4,
      errorShare: 0.2,
      meanMs: 12.5,
      refused: 3,
      overloadedNodes: 1,
    }]);
    assert.deepEqual(report.calls.overloaded[0], {
      modId: 1,
      cmdId: 2,
      node: "10.0.0.1:7777",
      agents: 1,
      agentsTotal: 2,
    });
    assert.deepEqual(report.recent, {
      seconds: 300,
      calls: 40,
      errors: 10,
      meanMs: 12.5,
      refused: 3,
    });
    assert.deepEqual(report.events[0].detail, { share: 0.5 });
  });
});

test("GET /counters has sums of all callers, and who keeps a node out now", TIMEOUT, async () => {
  await withConsole(async ({ store, clients: { viewer } }) => {
    const empty = await viewer.get<ResponseOf<"getCounters">>("GET /counters");
    assert.deepEqual([empty.modules, empty.services], [[], []]);
    await fill(store);
    const counters = await new CounterService({ store, clock: systemClock }).read();
    assert.deepEqual(API_ROUTES.getCounters.response.parse(counters), counters);
    const [module] = counters.modules;
    const recent = { calls: 40, errors: 10, meanMs: 12.5, refused: 0 };
    assert.deepEqual(module.recent, { ...recent, refused: 3 });
    const { reportedAtS, ...node } = module.nodes[0];
    assert.ok(reportedAtS > 1000);
    assert.deepEqual(node, {
      ip: "10.0.0.1",
      port: 7777,
      succTotal: 240,
      errTotal: 60,
      succCount: 24,
      errCount: 6,
      callerCount: 2,
      overloadCount: 1,
      recent,
    });
    assert.notEqual(counters.routeMark, empty.routeMark, "the routes have changed");
    assert.deepEqual(counters.services, [{ kind: "dns", aliveCount: 1, count: 1 }]);
  });
});

test("CounterService reads once for all who ask at once, and anew after half a second", async () => {
  await withConsole(async ({ store }) => {
    let nowMs = 1000;
    const clock = { ...systemClock, nowMs: () => nowMs, wallMs: () => 1_700_000_000_000 + nowMs };
    clock.setTimer = (delayMs, action) => systemClock.setTimer(delayMs, action);
    let readings = 0;
    const counted = new Proxy(store, {
      get: (target, name) => {
        if (name === "routeMark") readings++;
        const value: unknown = Reflect.get(target, name, target);
        return typeof value === "function" ? value.bind(target) : value;
      },
    });
    const service = new CounterService({ store: counted, clock });
    const [first, second] = await Promise.all([service.read(), service.read()]);
    assert.equal(first, second);
    nowMs += 499;
    assert.equal(await service.read(), first);
    nowMs += 2;
    assert.notEqual(await service.read(), first);
    assert.equal(readings, 2);
  });
});

test(
  "GET /events pages forwards and backwards, by several kinds, with details if asked",
  TIMEOUT,
  async () => {
    await withConsole(async ({ store, clients: { viewer } }) => {
      const kinds = ["node.overload", "node.idle", "alert.firing", "alert.ended"];
      await store.addEvents(
        kinds.map((kind, index) => ({ atMs: index, kind, text: kind, detail: { index } })),
      );
      const ask = async (query: string): Promise<ResponseOf<"listEvents">["events"]> =>
        (await viewer.get<ResponseOf<"listEvents">>(`GET /events?${query}`)).events;
      const ids = (await ask("")).map(({ id }) => id).reverse();
      assert.equal(ids.length, 4);
      const kindsOf = async (query: string): Promise<string[]> =>
        (await ask(query)).map(({ kind }) => kind).reverse();
      assert.deepEqual(await kindsOf("limit=2"), kinds.slice(2));
      assert.deepEqual(await kindsOf(`limit=2&after=${ids[0]}`), kinds.slice(1, 3));
      assert.deepEqual(await kindsOf("limit=2&after=0"), kinds.slice(0, 2));
      assert.deepEqual(await kindsOf(`limit=2&before=${ids[3]}`), kinds.slice(1, 3));
      assert.deepEqual(await kindsOf("kind=alert.,node.idle"), kinds.slice(1));
      const [latest] = await ask("detail=true");
      assert.deepEqual(latest.detail, { index: 3 });
      assert.equal("detail" in (await ask("detail=false"))[0], false);
    });
  },
);

async function changeNodes(client: Client, meant?: boolean): Promise<void> {
  const edit = (op: string): unknown => ({ ...NODE, op, ip: "10.0.0.1" });
  const body = { edits: [edit("add")], ...(meant === undefined ? {} : { meant }) };
  await client.get("POST /changes", { body });
  await client.get("POST /changes", { body: { ...body, edits: [edit("remove")] } });
}

test("POST /changes is meant, unless it says that it is not", TIMEOUT, async () => {
  await withConsole(async ({ store, clients: { operator } }) => {
    const meantAfter = async (meant?: boolean): Promise<boolean> => {
      await changeNodes(operator, meant);
      const [row] = await store.moduleRows();
      return row.meant !== "";
    };
    assert.deepEqual([await meantAfter(), await meantAfter(true), await meantAfter(false)], [
      true,
      true,
      false,
    ]);
  });
});

test(
  "GET /module-texts lists modules with a name or a policy, with their time",
  TIMEOUT,
  async () => {
    await withConsole(async ({ store, clients: { viewer } }) => {
      await store.setModules([
        { modId: 1, cmdId: 1, name: "shop" },
        { modId: 1, cmdId: 2, policy: '{"policy":"maglev"}' },
        { modId: 2, cmdId: 1, name: "gone" },
      ]);
      await store.setModules([{ modId: 2, cmdId: 1, name: "" }]);
      const ask = async (query: string): Promise<ResponseOf<"listModuleTexts">["modules"]> =>
        (await viewer.get<ResponseOf<"listModuleTexts">>(`GET /module-texts${query}`)).modules;
      const all = await ask("");
      assert.deepEqual(all.map(({ modId, cmdId, name }) => [modId, cmdId, name]), [
        [1, 1, "shop"],
        [1, 2, ""],
      ]);
      const [row] = await store.moduleRows([{ modId: 1, cmdId: 1 }]);
      assert.equal(all[0].updatedAtMs, row.updatedAt * 1000);
      assert.deepEqual(await ask("?modId=1&cmdId=2"), [all[1]]);
      assert.deepEqual(await ask("?cmdId=1"), [all[0]]);
      assert.deepEqual(await ask("?modId=7&cmdId=7"), []);
    });
  },
);

/** An answer as it came over the wire: `fetch` would unpack it. */
function rawGet(client: Client, path: string): Promise<{ headers: HttpHeaders; body: Uint8Array }> {
  return new Promise((resolve, reject) => {
    const headers = { ...client.headers, "Accept-Encoding": "gzip" };
    httpGet(client.base + API_PREFIX + path, { headers }, (response) => {
      const chunks: Uint8Array[] = [];
      response.on("data", (chunk: Uint8Array) => void chunks.push(chunk));
      response.on("end", () => resolve({ headers: response.headers, body: Buffer.concat(chunks) }));
    }).on("error", reject);
  });
}

test("long answers are packed for clients that take them so", TIMEOUT, async () => {
  await withConsole(async ({ store, clients: { viewer } }) => {
    const nodes = Array.from({ length: 500 }, (_, index) => ({ ...NODE, ip: NODE.ip + index }));
    await store.editRoutes(nodes.map((node) => ({ op: "add", ...node })));
    const results = { caller: 1, succCount: 8, errCount: 2, succTotal: 80, errTotal: 20 };
    const ts = Math.floor(systemClock.wallMs() / 1000);
    await store.writeCallStatus(
      nodes.map((node) => ({ ...node, ...results, ts, overload: false })),
    );
    const long = await rawGet(viewer, "/counters");
    assert.equal(long.headers["content-encoding"], "gzip");
    const plain = gunzipSync(long.body);
    assert.ok(long.body.length < plain.length / 5, `${long.body.length} of ${plain.length}`);
    const read = JSON.parse(plain.toString()) as ResponseOf<"getCounters">;
    const seen = await viewer.get<ResponseOf<"getCounters">>("GET /counters");
    assert.deepEqual({ ...read, atMs: 0 }, { ...seen, atMs: 0 }, "whoever reads it");
    const short = await rawGet(viewer, "/session");
    assert.equal(short.headers["content-encoding"], undefined);
  });
});
