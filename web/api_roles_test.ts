import assert from "node:assert/strict";
import { test } from "node:test";
import { ROLES } from "../control/access/actor.ts";
import { API_ROUTES, type ApiRoute, type RouteName } from "./contract.ts";
import { mayAct } from "../control/access/actor.ts";
import { type Client, withConsole } from "../tests/support/console_bench.ts";

const TIMEOUT = { timeout: 120_000 };
const NODE = "10.0.0.1:7777";

/** Parts of addresses, and bodies that are taken, so that nothing but the role decides. */
const BODIES: Partial<Record<RouteName, unknown>> = {
  registerLease: { modId: 1, cmdId: 1, ip: "10.0.0.9", port: 1 },
  beatLeases: { leases: [{ modId: 1, cmdId: 1, ip: "10.0.0.9", port: 1, incarnation: 1 }] },
  patchLease: { incarnation: 1, weight: 7 },
  putScaling: { rule: { metric: "calls", target: 1, max: 2 } },
  putModule: { name: "shop" },
  addNode: { ip: "10.0.0.9", port: 1 },
  patchNode: { weight: 7 },
  confirmModule: {},
  drainNode: {},
  restoreNode: {},
  previewChange: { edits: [{ op: "add", modId: 9, cmdId: 9, ip: "10.0.0.1", port: 1 }] },
  applyChange: { edits: [{ op: "add", modId: 9, cmdId: 9, ip: "10.0.0.1", port: 1 }] },
  rollbackChange: {},
  previewImport: { format: "csv", text: "modid,cmdid,ip,port\n8,8,10.0.0.1,1\n" },
  importRoutes: { format: "csv", text: "modid,cmdid,ip,port\n8,8,10.0.0.1,1\n" },
  addRule: {
    kind: "node_out",
    title: "x",
    severity: "warning",
    isEnabled: true,
    threshold: 0,
    forS: 0,
    clearS: 0,
    modId: null,
    cmdId: null,
  },
  addSilence: { ruleId: null, modId: null, cmdId: null, node: null, minutes: 1, why: "x" },
  addWebhook: { title: "x", url: "http://127.0.0.1:1/" },
  patchWebhook: { title: "y" },
  addUser: { name: "eve", role: "viewer" },
  patchUser: { role: "viewer" },
  addToken: { title: "ci", role: "viewer", days: 1 },
  login: { name: "nobody", password: "x" },
  loginByLink: { token: "x" },
  changePassword: { oldPassword: "x", newPassword: "a long new password" },
};
BODIES.putRule = BODIES.addRule;

function urlOf(name: RouteName, route: ApiRoute): string {
  const queries: Partial<Record<RouteName, string>> = {
    ...{ search: "?q=1", live: "?view=alerts", leaveLease: "?incarnation=1" },
  };
  const query = queries[name] ?? "";
  return route.path.replace("{modId}", "1").replace("{cmdId}", "1").replace("{node}", NODE)
    .replace("{id}", "1").replace("{name}", "bob").replace("{address}", "10.0.0.1:8888")
    .replace("{relay}", "127.0.0.1:1").replace("{sid}", "1") + query;
}

/** Status of a request with this client; streams are only opened. */
async function statusOf(client: Client, name: RouteName, route: ApiRoute): Promise<number> {
  const abort = new AbortController();
  const body = BODIES[name];
  const response = await fetch(`${client.base}/api/v1${urlOf(name, route)}`, {
    method: route.method,
    signal: abort.signal,
    headers: {
      ...client.headers,
      "If-Match": "*",
      ...(route.body === undefined ? {} : { "Content-Type": "application/json" }),
    },
    ...(route.body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  if (name === "live") abort.abort();
  else await response.text();
  return response.status;
}

const routes = Object.entries(API_ROUTES) as [RouteName, ApiRoute][];

test("the bodies of this test cover every route that takes one", () => {
  const missing = routes.filter(([name, { body }]) => body !== undefined && !(name in BODIES));
  assert.deepEqual(missing.map(([name]) => name), []);
});

test("every route refuses whoever is not logged in, and writes nothing", TIMEOUT, async () => {
  await withConsole(async ({ nobody, store }) => {
    const before = await store.routeMark();
    for (const [name, route] of routes) {
      const status = await statusOf(nobody, name, route);
      if (route.role === "public") assert.ok([200, 401].includes(status), `${name}: ${status}`);
      else assert.equal(status, 401, name);
    }
    assert.deepEqual(await store.routeMark(), before);
  });
});

test("every route is open to its role and those above, and to no other", TIMEOUT, async () => {
  for (const role of ROLES) {
    await withConsole(async ({ clients }) => {
      await clients.operator.get("POST /modules/1/1/nodes", {
        body: { ip: "10.0.0.1", port: 7777 },
      });
      const last: RouteName[] = ["removeNode", "deleteModule", "logout"];
      const ordered = [
        ...routes.filter(([name]) => !last.includes(name)),
        ...last.map((name) => [name, API_ROUTES[name]] as [RouteName, ApiRoute]),
      ];
      for (const [name, route] of ordered) {
        if (route.role === "public" || route.role === "any") continue;
        const status = await statusOf(clients[role], name, route);
        const may = mayAct(role, route.role);
        assert.equal(status === 403, !may, `${role} ${name}: ${status}`);
        // There is no agent here, no relay, and no discovery.
        const isAsked = name === "explainModule" || route.path.startsWith("/relays/");
        const isAway = (isAsked && status === 502) ||
          (route.role === "registrar" && status === 503);
        assert.ok(isAway || (status < 500 && status !== 401), `${role} ${name}: ${status}`);
        if (may) assert.ok(isAway || status < 300 || status === 404, `${role} ${name}: ${status}`);
      }
    });
  }
});

test(
  "every write needs the CSRF token of its session; a bearer token needs none",
  TIMEOUT,
  async () => {
    await withConsole(async ({ clients, store, base }) => {
      const before = await store.routeMark();
      const [cookie] = Object.values(clients.admin.headers);
      for (const [name, route] of routes) {
        if (route.method === "GET" || route.role === "public") continue;
        for (const token of [undefined, "", clients.operator.headers["X-CSRF-Token"]]) {
          const headers: Record<string, string> = token === undefined
            ? { Cookie: cookie }
            : { Cookie: cookie, "X-CSRF-Token": token };
          const status = await statusOf({ base, headers } as Client, name, route);
          assert.equal(status, 403, `${name} with ${token}`);
        }
      }
      assert.deepEqual(await store.routeMark(), before);
      assert.equal((await store.console.users()).length, 3);
      const { entries } = await clients.admin.get<
        { entries: { outcome: string; action: string }[] }
      >(
        "GET /audit?action=refused",
      );
      assert.ok(entries.length > 50, "attempts are in the audit");
      assert.ok(entries.every(({ outcome }) => outcome === "refused"));
      const { secret } = await clients.operator.get<{ secret: string }>("POST /tokens", {
        body: { title: "ci", role: "operator", days: null },
      });
      const program = { base, headers: { Authorization: `Bearer ${secret}` } } as unknown as Client;
      assert.equal(await statusOf(program, "addNode", API_ROUTES.addNode), 201);
      assert.equal(await statusOf(program, "listUsers", API_ROUTES.listUsers), 403);
    });
  },
);
