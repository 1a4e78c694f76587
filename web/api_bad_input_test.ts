import assert from "node:assert/strict";
import { request } from "node:http";
import { test } from "node:test";
import type { ResponseOf } from "./contract.ts";
import {
  type AskOptions,
  Client,
  type ConsoleBench,
  withConsole,
} from "../tests/support/console_bench.ts";

const TIMEOUT = { timeout: 120_000 };
const NODES = "/modules/1/1/nodes";
const NODE = `${NODES}/10.0.0.1:7777`;
const SCRIPT = "<script>alert(1)</script>";
const SQL = "'; DROP TABLE RouteData; --";
const MANY = Object.fromEntries(Array.from({ length: 2_000 }, (_, index) => [`k${index}`, 1]));
const HUGE = "x".repeat(1_000_000);

/** Everything a write could have changed, as text. */
async function everything({ store }: ConsoleBench): Promise<string> {
  const rows: unknown[] = [];
  await store.readRoutes((page) => void rows.push(...page));
  return JSON.stringify([
    rows,
    await store.moduleRows(),
    await store.routeMark(),
    await store.console.users(),
    await store.console.tokens(),
    await store.console.rules(),
    await store.console.silences(0),
    await store.console.webhooks(),
    await store.console.changes({ before: 0, limit: 100 }),
  ]);
}

async function withModule(fn: (bench: ConsoleBench) => Promise<void>): Promise<void> {
  await withConsole(async (bench) => {
    await bench.clients.operator.get(`POST ${NODES}`, { body: { ip: "10.0.0.1", port: 7777 } });
    await fn(bench);
  });
}

type Case = [route: string, options: AskOptions, status: number, words: RegExp];

/** Asks as admin, so that nothing but the input is at fault; asserts that nothing changed. */
async function refuses(bench: ConsoleBench, cases: readonly Case[]): Promise<void> {
  const before = await everything(bench);
  for (const [route, options, status, words] of cases) {
    const answer = await bench.clients.admin.ask(route, options);
    const shown = `${route} ${JSON.stringify(options).slice(0, 200)}`;
    assert.equal(answer.status, status, `${shown}: ${JSON.stringify(answer.value).slice(0, 300)}`);
    assert.match(answer.problem.detail, words, shown);
    assert.match(answer.problem.type, /^urn:lars:[a-z-]+$/);
    assert.equal(answer.problem.status, status);
    assert.equal(answer.headers.get("Content-Type"), "application/problem+json");
    assert.ok(JSON.stringify(answer.value).length < 5000, `${shown}: the answer is short`);
  }
  assert.equal(await everything(bench), before);
}

const RULE = {
  kind: "node_out",
  title: "t",
  severity: "warning",
  isEnabled: true,
  threshold: 0,
  forS: 0,
  clearS: 0,
  modId: null,
  cmdId: null,
};
const SILENCE = { ruleId: null, modId: null, cmdId: null, node: null, minutes: 5, why: "x" };

const ADD = { op: "add", modId: 9, cmdId: 9, ip: "10.0.0.9", port: 9 };

/** For each field: a body in which it is right, and the route that takes it. */
const FIELDS: readonly [
  route: string,
  body: Record<string, unknown>,
  field: string,
  bad: unknown[],
][] = [
  [`POST ${NODES}`, { port: 1 }, "ip", [5, "10.0.0", "0.0.0.0", "::1", "10.0.0.256"]],
  [`POST ${NODES}`, { ip: "10.0.0.2" }, "port", ["80", 0, -1, 65_536, 1.5, null, 1e99]],
  [`POST ${NODES}`, { ip: "10.0.0.2", port: 1 }, "weight", ["1", -1, 10_001, 0.5, null]],
  [`POST ${NODES}`, { ip: "10.0.0.2", port: 1 }, "zone", [5, "a b", "x".repeat(65), null]],
  [`POST ${NODES}`, { ip: "10.0.0.2", port: 1 }, "state", [5, "gone", "ON", null]],
  [`POST ${NODES}`, { ip: "10.0.0.2", port: 1 }, "why", [5, "a\nb", "x".repeat(501), "\ud800"]],
  ["PUT /modules/1/1", {}, "name", [5, "a\u0000b", "x".repeat(129), null]],
  ["PUT /modules/1/1", {}, "policy", [5, "{", "[]", '{"policy":"best"}', '{"errRate":2}', null]],
  ["POST /users", { role: "viewer" }, "name", [5, "", "a b", "-x", "x".repeat(65), null]],
  ["POST /users", { name: "eve" }, "role", [5, "root", "Admin", null]],
  ["POST /tokens", { role: "viewer", days: 1 }, "title", [5, "", "x".repeat(65), "a\tb"]],
  ["POST /tokens", { title: "t", role: "viewer" }, "days", ["1", 0, 3651, 1.5]],
  ["POST /alert-rules", RULE, "kind", [5, "anything"]],
  ["POST /alert-rules", RULE, "severity", [5, "fatal"]],
  ["POST /alert-rules", RULE, "threshold", ["1", -1, 1e10]],
  ["POST /alert-rules", RULE, "forS", ["1", -1, 86_401, 0.5]],
  ["POST /alert-rules", RULE, "modId", ["1", -1, 4_294_967_296]],
  ["POST /silences", SILENCE, "minutes", ["1", 0, 43_201]],
  ["POST /silences", SILENCE, "node", [5, "10.0.0.1", "host:1", "300.1.1.1:80"]],
  ["POST /silences", SILENCE, "why", [5, ""]],
  ["POST /webhooks", { title: "t" }, "url", [5, "x", "file:///etc/passwd", "javascript:alert(1)"]],
  ["POST /webhooks", { title: "t", url: "http://h/" }, "secret", [5, "short", "x".repeat(201)]],
  ["POST /changes", { edits: [ADD] }, "meant", ["true", 1, null]],
  ["POST /changes", {}, "edits", [5, [], [{}], [{ op: "drop" }], "x"]],
  ["POST /changes/preview", {}, "edits", [5, [], [{}]]],
  ["POST /routes/import", { text: "x" }, "format", [5, "xml"]],
  ["POST /routes/import", { format: "csv" }, "text", [5, "", "modid\n1\n"]],
  ["PUT /session/password", { oldPassword: "x" }, "newPassword", [5, "short", "x".repeat(201)]],
];

test(
  "each field of the wrong kind or out of range is named, and nothing changes",
  TIMEOUT,
  async () => {
    await withModule(async (bench) => {
      for (const [route, body, field, bad] of FIELDS) {
        const cases = [...bad, { a: 1 }, [[1]]].map((value): Case => [
          route,
          { body: { ...body, [field]: value } },
          422,
          new RegExp(field === "policy" ? "Policy|policy" : field === "text" ? "text|file" : field),
        ]);
        await refuses(bench, cases);
      }
      await refuses(bench, [
        [`POST ${NODES}`, { body: { ip: "10.0.0.2", port: 1, other: 1 } }, 422, /other/],
        ["GET /events?toString=1", {}, 422, /^must not have "toString"/],
        ["GET /events?__proto__=1", {}, 422, /^must not have "__proto__"/],
        ["GET /events?limit=1&limit=2", {}, 422, /limit must be given once/],
        [`POST ${NODES}`, { body: [] }, 422, /object/],
        [`POST ${NODES}`, { body: { ip: "10.0.0.2", port: 1, ...MANY } }, 422, /and 1996 more/],
        [
          `POST ${NODES}`,
          { body: { ip: "10.0.0.2", port: 1, ["x".repeat(10_000)]: 1 } },
          422,
          /not have "xxx/,
        ],
        [`POST ${NODES}`, { body: "null" }, 422, /object/],
        [`PATCH ${NODE}`, { body: {}, ifMatch: "x" }, 422, /weight, zone or state/],
      ]);
    });
  },
);

test("script, SQL and huge texts are refused, or kept as the text they are", TIMEOUT, async () => {
  await withModule(async (bench) => {
    await refuses(bench, [
      [`POST ${NODES}`, { body: { ip: "10.0.0.2", port: 1, zone: SCRIPT } }, 422, /zone/],
      [`POST ${NODES}`, { body: { ip: SQL, port: 1 } }, 422, /ip/],
      [`POST ${NODES}`, { body: { ip: "10.0.0.2", port: 1, why: HUGE } }, 413, /at most 65536/],
      ["PUT /modules/1/1", { body: { name: HUGE } }, 413, /at most/],
      ["POST /users", { body: { name: HUGE, role: "viewer" } }, 413, /at most/],
      ["POST /users", { body: { name: SQL, role: "viewer" } }, 422, /name/],
      ["POST /session", { body: { name: HUGE, password: "x" } }, 413, /at most/],
      ["GET /modules/1/1%27%20OR%201=1", {}, 422, /cmdId/],
      [`GET /search?q=${"x".repeat(2000)}`, {}, 422, /q/],
      ["GET /modules?limit=501", {}, 422, /limit/],
      ["GET /modules?limit=1&limit=2", {}, 422, /once/],
      ["GET /modules?color=red", {}, 422, /color/],
      ["GET /history?fromMs=5", {}, 422, /together/],
      ["GET /history?range=9d", {}, 422, /range/],
      ["GET /events?kind=%3Cscript%3E", {}, 422, /kind/],
      ["GET /events?kind=node.,,alert.", {}, 422, /commas/],
      ["GET /events?before=5&after=4", {}, 422, /together/],
      ["GET /events?after=-1", {}, 422, /after/],
      ["GET /events?detail=1", {}, 422, /detail/],
      ["GET /module-texts?modId=x", {}, 422, /modId/],
      ["GET /modules/1/1/explain?limit=0", {}, 422, /limit/],
      ["GET /modules/1/1/explain?limit=100001", {}, 422, /limit/],
      ["GET /nodes/10.0.0.1/use", {}, 422, /10\.0\.0\.1:7777/],
      ["GET /nodes/10.0.0.256:1/use", {}, 422, /node: must look like 10\.0\.0\.1:7777/],
      ["GET /nodes/10.0.0.1:4294967296/use", {}, 422, /node: must have a port of at most/],
      ["GET /nodes/10.0.0.1:1/use?modules=1", {}, 422, /1\/1,1\/2/],
      ["GET /nodes/10.0.0.1:1/use?modules=4294967296/1", {}, 422, /modules/],
      [`GET /nodes/10.0.0.1:1/use?modules=${"1/1,".repeat(100)}1/1`, {}, 422, /100/],
      ["GET /nodes/10.0.0.1:1/callers?withinS=86401", {}, 422, /withinS/],
    ]);
    const { admin } = bench.clients;
    for (const name of [SCRIPT, SQL, "ü 'quoted' \"\\ %_"]) {
      await admin.get("PUT /modules/1/1", { body: { name, why: name } });
      assert.equal((await admin.get<ResponseOf<"getModule">>("GET /modules/1/1")).name, name);
      const { changes } = await admin.get<ResponseOf<"listChanges">>("GET /changes?limit=1");
      assert.equal(changes[0].why, name);
      const answer = await admin.ask("GET /modules/1/1");
      assert.equal(answer.headers.get("Content-Type"), "application/json");
      assert.equal(answer.headers.get("X-Content-Type-Options"), "nosniff");
    }
    for (const q of [SCRIPT, SQL]) {
      await admin.get(`GET /search?q=${encodeURIComponent(q)}`);
      await admin.get(`GET /modules?search=${encodeURIComponent(q)}`);
    }
    assert.equal((await bench.store.readModules([{ modId: 1, cmdId: 1 }])).length, 1);
  });
});

test("what contradicts the routes is refused with the right status", TIMEOUT, async () => {
  await withModule(async (bench) => {
    const add = { op: "add", modId: 1, cmdId: 1, ip: "10.0.0.1", port: 7777 };
    const star = { headers: { "If-Match": "*" } };
    await refuses(bench, [
      [`POST ${NODES}`, { body: { ip: "10.0.0.1", port: 7777 } }, 409, /exists already/],
      ["POST /changes", { body: { edits: [add] } }, 409, /exists already/],
      ["POST /changes/preview", { body: { edits: [add] } }, 409, /exists already/],
      [`PATCH ${NODES}/10.0.0.9:1`, { body: { weight: 1 }, ...star }, 404, /no node 10\.0\.0\.9:1/],
      [`POST ${NODES}/10.0.0.9:1/drain`, { body: {} }, 404, /no node/],
      [`DELETE ${NODES}/10.0.0.9:1`, star, 404, /no node/],
      ["GET /modules/7/7", {}, 404, /no module 7\/7/],
      ["DELETE /modules/7/7", star, 404, /no module 7\/7/],
      ["PATCH /modules/7/7/nodes/10.0.0.1:1", { body: { weight: 1 }, ...star }, 404, /no node/],
      ["GET /changes/99", {}, 404, /no change 99/],
      ["POST /changes/99/rollback", { body: {} }, 404, /no change 99/],
      ["PUT /alert-rules/99", { body: RULE }, 404, /no alert rule 99/],
      ["DELETE /silences/99", {}, 404, /no silence 99/],
      ["PATCH /webhooks/99", { body: { title: "x" } }, 404, /no webhook 99/],
      ["DELETE /tokens/99", {}, 404, /no token 99/],
      ["PATCH /users/nobody", { body: { role: "viewer" } }, 404, /no user nobody/],
      ["POST /users", { body: { name: "viewer", role: "viewer" } }, 409, /exists already/],
      ["PATCH /users/admin", { body: { role: "viewer" } }, 409, /At least one admin/],
      ["DELETE /users/admin", {}, 409, /At least one admin/],
      [`PATCH ${NODE}`, { body: { weight: 1 } }, 428, /If-Match/],
      [`DELETE ${NODE}`, {}, 428, /If-Match/],
      [`PATCH ${NODE}`, { body: { weight: 1 }, ifMatch: "old" }, 412, /changed meanwhile/],
      [`POST ${NODES}`, { body: { ip: "10.0.0.2", port: 1 }, ifMatch: "old" }, 412, /meanwhile/],
      [
        "POST /changes",
        {
          body: { edits: [{ ...add, op: "set", weight: 1 }], expect: "old" },
        },
        412,
        /since the preview/,
      ],
      [`PATCH ${NODE}`, { body: { weight: 1 }, headers: { "If-Match": "a b" } }, 400, /If-Match/],
    ]);
  });
});

test("bodies that are no JSON, routes and methods that do not exist", TIMEOUT, async () => {
  await withModule(async (bench) => {
    const xml = { body: "<a/>", headers: { "Content-Type": "text/xml" } };
    const form = {
      body: "ip=10.0.0.2&port=1",
      headers: { "Content-Type": "application/x-www-form-urlencoded" },
    };
    await refuses(bench, [
      [`POST ${NODES}`, { body: "{" }, 400, /JSON/],
      [`POST ${NODES}`, xml, 415, /application\/json/],
      [`POST ${NODES}`, form, 415, /application\/json/],
      ["GET /nothing", {}, 404, /no such route/],
      ["PUT /modules", { body: {} }, 405, /Only GET/],
      ["DELETE /overview", {}, 405, /Only GET/],
    ]);
    const { status } = await fetch(`${bench.base}/api/v2/modules`);
    assert.equal(status, 404);
    assert.equal((await fetch(`${bench.base}/nothing.js`)).status, 404);
    assert.equal((await fetch(`${bench.base}/`, { method: "POST" })).status, 405);
    assert.equal((await fetch(`${bench.base}/modules/1/1`)).status, 200, "pages route themselves");
  });
});

test(
  "sessions and tokens that are over are refused, and a wrong name of the host",
  TIMEOUT,
  async () => {
    await withModule(async (bench) => {
      const { base, store, clients, nobody, password } = bench;
      const other = await nobody.login("viewer", password);
      await other.get("DELETE /session");
      assert.equal((await other.ask("GET /overview")).status, 401);
      for (
        const cookie of [
          "",
          "lars_session=",
          "lars_session=x",
          `lars_session=${HUGE.slice(0, 4000)}`,
        ]
      ) {
        assert.equal((await new Client(base, { Cookie: cookie }).ask("GET /overview")).status, 401);
      }
      for (const token of ["", "x", "lars_x", SQL.replaceAll(" ", "")]) {
        const client = new Client(base, { Authorization: `Bearer ${token}` });
        assert.equal((await client.ask("GET /overview")).status, 401, token);
      }
      await clients.admin.get("PATCH /users/viewer", { body: { isDisabled: true } });
      assert.equal((await clients.viewer.ask("GET /overview")).status, 401, "locked out at once");
      assert.equal(
        (await nobody.ask("POST /session", {
          body: { name: "viewer", password },
        })).status,
        401,
      );
      const { id, secret } = await clients.operator.get<ResponseOf<"addToken">>("POST /tokens", {
        body: { title: "ci", role: "viewer", days: null },
      });
      const program = new Client(base, { Authorization: `Bearer ${secret}` });
      await program.get("GET /overview");
      await clients.operator.get(`DELETE /tokens/${id}`);
      assert.equal((await program.ask("GET /overview")).status, 401);
      assert.equal((await store.console.tokens()).length, 0);
      assert.equal(await statusUnderName(base, "evil.example"), 403);
      assert.equal(await statusUnderName(base, "localhost"), 200);
    });
  },
);

/** Status of the first page when it is asked for under another host name, as a rebound name does. */
function statusUnderName(base: string, host: string): Promise<number | undefined> {
  const { port } = new URL(base);
  return new Promise((resolve, reject) => {
    const asking = request({
      host: "127.0.0.1",
      port,
      path: "/",
      headers: { Host: `${host}:${port}` },
    });
    asking.on("response", (answer) => {
      answer.resume();
      resolve(answer.statusCode);
    });
    asking.on("error", reject);
    asking.end();
  });
}
