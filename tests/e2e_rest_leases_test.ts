// Nodes registered over the console's REST interface: a console, a discovery as a process, and curl.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import process from "node:process";
import { test } from "node:test";
import { LeasePeer } from "../discovery/testing/lease_peer.ts";
import { NODES_OF_TEST, withRegistrars } from "./support/rest_leases.ts";
import { until } from "./support/until.ts";

const SLOW = { timeout: 120_000 };
const WISH = { modId: 7, cmdId: 1, ip: "10.0.0.7", port: 8080 } as const;
const PATH = "/leases/7/1/10.0.0.7:8080";

test(
  "a registrar registers, beats, changes and leaves, and the route follows",
  SLOW,
  () =>
    withRegistrars(async ({ store, first }) => {
      const routes = async () =>
        (await store.readModules([WISH])).map(({ state, weight }) => `${state} ${weight}`);
      const made = await first.ask<{ incarnation: number; ttlMs: number }>("POST /leases", {
        body: { ...WISH, weight: 40, note: { v: 1 }, isReady: false, createModule: true },
      });
      assert.equal(made.status, 201, JSON.stringify(made.value));
      const { incarnation, ttlMs } = made.value;
      assert.equal(ttlMs, 15_000);
      assert.deepEqual(await routes(), [], "it is not ready");
      await first.get(`PATCH ${PATH}`, { body: { incarnation, isReady: true, weight: 50 } });
      assert.deepEqual(await routes(), ["on 50"]);
      const [lease] = await store.leases.list({}, 9);
      assert.deepEqual([lease.source, lease.owner, lease.note], ["rest", "admin/first", '{"v":1}']);
      const named = { ...WISH, incarnation };
      const other = { ...named, incarnation: incarnation + 1 };
      const { lost } = await first.get<{ lost: unknown[] }>("POST /leases/beats", {
        body: { leases: [named, other] },
      });
      assert.deepEqual(lost, [other]);
      const again = await first.get<{ incarnation: number }>("POST /leases", {
        body: { ...WISH, incarnation, weight: 60 },
      });
      assert.equal(again.incarnation, incarnation, "it goes on");
      await first.get(`DELETE ${PATH}?incarnation=${incarnation}`);
      await first.get(`DELETE ${PATH}?incarnation=${incarnation}`);
      assert.deepEqual(await routes(), []);
      const audit = await store.console.auditRows({ before: 0, limit: 20 });
      assert.ok(audit.some(({ action, who }) => action === "lease.change" && who === "discovery"));
    }),
);

test(
  "a registrar has no say in what is not its own, and no look at anything",
  SLOW,
  () =>
    withRegistrars(async ({ store, clients, first, second, discoveryPort }) => {
      const body = { ...WISH, createModule: true };
      const { incarnation } = await first.get<{ incarnation: number }>("POST /leases", { body });
      const before = await store.routeMark();
      const refused: [string, object | undefined][] = [
        ["POST /leases", body],
        [`PATCH ${PATH}`, { incarnation, weight: 1 }],
        [`DELETE ${PATH}?incarnation=${incarnation}`, undefined],
        [`POST ${PATH}/end`, undefined],
        [`POST ${PATH}/free`, undefined],
        ["POST /leases/7/1/confirm", undefined],
        ["GET /leases", undefined],
        ["GET /modules", undefined],
        ["POST /modules/7/1/nodes", { ip: "10.0.0.8", port: 1 }],
      ];
      for (const [route, given] of refused) {
        const { status, problem } = await second.ask(
          route,
          given === undefined ? {} : { body: given },
        );
        assert.equal(status, 403, `${route}: ${JSON.stringify(problem)}`);
      }
      const named = { ...WISH, incarnation };
      const beaten = await second.get<{ lost: unknown[] }>("POST /leases/beats", {
        body: { leases: [named] },
      });
      assert.deepEqual(beaten.lost, [named], "another's is not renewed");
      assert.deepEqual(await store.routeMark(), before);
      assert.equal((await clients.viewer.ask("POST /leases", { body })).status, 403);
      // What came over our own frames is not the registrar's either.
      const peer = await LeasePeer.open(discoveryPort);
      const mine = await peer.register({ ...NODES_OF_TEST, port: 9001 });
      const path = `/leases/${NODES_OF_TEST.modId}/1/127.0.0.1:9001`;
      const taken = await first.ask(`PATCH ${path}`, {
        body: { incarnation: mine.incarnation, weight: 1 },
      });
      assert.equal(taken.status, 403);
      await clients.operator.get(`PATCH ${path}`, {
        body: { incarnation: mine.incarnation, weight: 9 },
      });
      assert.equal((await store.readModules([NODES_OF_TEST]))[0].weight, 9, "an operator may");
      // Who may no longer make such a token has none that works.
      await clients.admin.get("PATCH /users/operator", { body: { role: "viewer" } });
      const { status } = await second.ask("POST /leases/beats", { body: { leases: [named] } });
      assert.equal(status, 401);
      peer.destroy();
    }),
);

test(
  "bad registrations over REST are refused with a reason, and nothing is changed",
  SLOW,
  () =>
    withRegistrars(async ({ store, first }) => {
      const before = await store.routeMark();
      const good = { ...WISH, createModule: true };
      const wrong: [object, number, RegExp][] = [
        [WISH, 404, /no module 7\/1/],
        [{ ...good, modId: 4_294_967_296 }, 422, /modId/],
        [{ ...good, port: 0 }, 422, /port/],
        [{ ...good, ip: "224.0.0.1" }, 422, /ip must be/],
        [{ ...good, ip: "0.0.0.0" }, 422, /ip/],
        [{ ...good, ip: "10.0.0" }, 422, /ip/],
        [{ ...good, ttlMs: 999 }, 422, /ttlMs/],
        [{ ...good, ttlMs: 86_400_001 }, 422, /ttlMs/],
        [{ ...good, weight: 10_001 }, 422, /weight/],
        [{ ...good, zone: "a b" }, 422, /zone/],
        [{ ...good, note: { a: "x".repeat(5_000) } }, 422, /note must be at most 4096 bytes/],
        [{ ...good, note: { a: "x".repeat(1_000_000) } }, 413, /at most 65536 bytes/],
        [{ ...good, note: [] }, 422, /note/],
        [{ ...good, check: "ftp" }, 422, /check must be tcp/],
        [{ ...good, check: "tcp" }, 422, /checks no nodes/],
        [{ ...good, incarnation: 0 }, 422, /incarnation/],
        [{ ...good, more: 1 }, 422, /more/],
      ];
      for (const [body, expected, reason] of wrong) {
        const { status, problem } = await first.ask("POST /leases", { body });
        assert.equal(status, expected, JSON.stringify(problem));
        assert.match(problem.detail, reason);
      }
      for (
        const [route, body, expected] of [
          [`PATCH ${PATH}`, { incarnation: 5, weight: 1 }, 404],
          [`PATCH ${PATH}`, { weight: 1 }, 422],
          [`DELETE ${PATH}`, undefined, 422],
          ["DELETE /leases/7/1/nowhere?incarnation=1", undefined, 422],
          ["POST /leases/beats", { leases: [] }, 422],
        ] as const
      ) {
        const { status } = await first.ask(route, body === undefined ? {} : { body });
        assert.equal(status, expected, route);
      }
      const { incarnation } = await first.get<{ incarnation: number }>("POST /leases", {
        body: good,
      });
      const late = await first.ask(`DELETE ${PATH}?incarnation=${incarnation + 1}`);
      assert.equal(late.status, 409, "the end of another registration");
      assert.deepEqual((await store.leases.list({}, 9)).map(({ phase }) => phase), ["live"]);
      assert.notDeepEqual(await store.routeMark(), before);
    }),
);

test(
  "without a discovery REST says so, and goes on when there is one",
  SLOW,
  () =>
    withRegistrars(async ({ first, stopDiscovery, startDiscovery }) => {
      const body = { ...WISH, createModule: true };
      await first.get("POST /leases", { body });
      await stopDiscovery();
      const { status, problem, headers } = await first.ask("POST /leases", { body });
      assert.deepEqual([status, problem.type], [503, "urn:lars:discovery-away"]);
      assert.equal(headers.get("Retry-After"), "2");
      await startDiscovery();
      await until(async () => (await first.ask("POST /leases", { body })).status === 201, {
        what: "a discovery to be found",
        timeoutMs: 30_000,
      });
    }),
);

test(
  "what README types into a shell registers a node, beats and leaves",
  SLOW,
  () =>
    withRegistrars(async ({ base, store, secret }) => {
      const readme = readFileSync(new URL("../discovery/README.md", import.meta.url), "utf8");
      const script = /### By REST[^]*?```sh\n([^]*?)```/.exec(readme)?.[1] ?? "";
      const env = { PATH: process.env.PATH ?? "", CONSOLE: base, TOKEN: secret };
      const { code, output } = await new Promise<{ code: unknown; output: string }>((resolve) =>
        execFile(
          "sh",
          ["-euc", script],
          { env },
          (error, stdout, stderr) => resolve({ code: error?.code ?? 0, output: stdout + stderr }),
        )
      );
      assert.equal(code, 0, output);
      assert.match(output, /\{"lost":\[\]\}/);
      const { rows } = await store.leases.since(0, 9);
      assert.deepEqual(rows.map(({ zone, phase, owner }) => [zone, phase, owner]), [
        ...[["a", "gone", "admin/first"]],
      ]);
    }),
);
