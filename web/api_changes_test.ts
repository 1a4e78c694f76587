import assert from "node:assert/strict";
import { test } from "node:test";
import type { ResponseOf } from "./contract.ts";
import { type Client, withConsole } from "../tests/support/console_bench.ts";

const TIMEOUT = { timeout: 180_000 };
const NODES = "/modules/1/1/nodes";

type Module = ResponseOf<"getModule">;
type Result = ResponseOf<"applyChange">;
type Preview = ResponseOf<"previewChange">;

async function addNodes(client: Client, count: number): Promise<Result> {
  return await client.get<Result>("POST /changes", {
    body: {
      edits: Array.from({ length: count }, (_, index) => ({
        op: "add",
        modId: 1,
        cmdId: 1,
        ip: "10.0.0.1",
        port: index + 1,
      })),
    },
  });
}

function read(client: Client): Promise<Module> {
  return client.get<Module>("GET /modules/1/1");
}

test(
  "100 editors of one module: no update is lost, and the history is in order",
  TIMEOUT,
  async () => {
    await withConsole(async ({ clients: { operator }, store }) => {
      await operator.get(`POST ${NODES}`, {
        body: { ip: "10.0.0.1", port: 1, weight: 0 },
      });
      let conflicts = 0;
      const addOne = async (): Promise<void> => {
        for (;;) {
          const { nodes: [node], revision } = await read(operator);
          const { status, problem } = await operator.ask(`PATCH ${NODES}/10.0.0.1:1`, {
            body: { weight: node.weight + 1 },
            ifMatch: revision,
          });
          if (status === 200) return;
          assert.equal(status, 412, JSON.stringify(problem));
          assert.notEqual(problem.revision, revision, "the answer says what it is now");
          conflicts++;
        }
      };
      await Promise.all(Array.from({ length: 100 }, addOne));
      assert.equal((await read(operator)).nodes[0].weight, 100);
      assert.ok(conflicts > 0, "editors did meet");
      const rows = await store.console.changes({ before: 0, limit: 200 });
      assert.equal(rows.length, 101);
      const weights: (number | undefined)[] = [];
      for (const { id } of rows.slice(0, 100)) {
        weights.push((await store.console.changeContent(id))?.differences.nodes[0].after?.weight);
      }
      assert.deepEqual(weights, Array.from({ length: 100 }, (_, index) => 100 - index));
    });
  },
);

test(
  "a node is added, changed, drained, restored and removed; the ETag follows",
  TIMEOUT,
  async () => {
    await withConsole(async ({ clients: { operator, viewer } }) => {
      const added = await operator.ask<Result>(`POST ${NODES}`, {
        body: { ip: "10.0.0.1", port: 80, zone: "east", why: "new machine" },
      });
      assert.equal(added.status, 201);
      assert.equal(added.headers.get("ETag"), `"${added.value.revision}"`);
      assert.deepEqual(added.value.changed, [{ modId: 1, cmdId: 1 }]);
      const seen = await viewer.ask<Module>("GET /modules/1/1");
      assert.equal(seen.headers.get("ETag"), added.headers.get("ETag"));
      const node = `${NODES}/10.0.0.1:80`;
      const ifMatch = seen.value.revision;
      const set = await operator.get<Result>(`PATCH ${node}`, { body: { weight: 50 }, ifMatch });
      assert.notEqual(set.revision, ifMatch);
      const same = await operator.get<Result>(`PATCH ${node}`, {
        body: { weight: 50 },
        ifMatch: set.revision ?? "",
      });
      assert.equal(same.changeId, null, "nothing to do is no change");
      await operator.get(`POST ${node}/drain`, { body: { why: "repair" } });
      assert.equal((await read(viewer)).nodes[0].state, "drain");
      await operator.get(`POST ${node}/restore`, { body: {} });
      const { nodes, revision } = await read(viewer);
      assert.deepEqual(
        { weight: nodes[0].weight, zone: nodes[0].zone, state: nodes[0].state },
        { weight: 50, zone: "east", state: "on" },
      );
      await operator.get("PUT /modules/1/1", {
        body: { name: "shop", policy: '{"policy":"p2c_ewma"}' },
        ifMatch: revision,
      });
      const named = await read(viewer);
      assert.deepEqual([named.name, named.policy], ["shop", "p2c_ewma"]);
      await operator.get(`DELETE ${node}?why=old`, { ifMatch: named.revision });
      assert.deepEqual((await read(viewer)).nodes, []);
      await operator.get("DELETE /modules/1/1", { ifMatch: (await read(viewer)).revision });
      assert.equal((await viewer.ask("GET /modules/1/1")).status, 404);
      const { changes } = await viewer.get<ResponseOf<"listChanges">>("GET /changes");
      assert.deepEqual(changes.map(({ summary }) => summary), [
        "unname 1/1, set policy of 1/1: none",
        "remove 1/1 10.0.0.1:80",
        "name 1/1 shop, set policy of 1/1: policy p2c_ewma",
        "set 1/1 10.0.0.1:80 state drain to on",
        "set 1/1 10.0.0.1:80 state on to drain",
        "set 1/1 10.0.0.1:80 weight 100 to 50",
        "add 1/1 10.0.0.1:80; set policy of 1/1: policy recommended",
      ]);
      assert.deepEqual(
        changes.map(({ who, via }) => `${who} ${via}`),
        new Array(7).fill("operator console"),
      );
      assert.equal(changes[6].why, "new machine");
      const { entries } = await operator.get<ResponseOf<"listAudit">>("GET /audit?limit=4");
      assert.deepEqual(entries.map(({ action }) => action), [
        "module.remove",
        "node.remove",
        "module.set",
        "node.restore",
      ]);
    });
  },
);

test(
  "a preview writes nothing, says whose calls move, and holds for what was seen",
  TIMEOUT,
  async () => {
    await withConsole(async ({ clients: { operator }, store }) => {
      await addNodes(operator, 2);
      await store.writeCallStatus([{
        modId: 1,
        cmdId: 1,
        ip: 0x0a000001,
        port: 1,
        caller: 0x0a000063,
        succCount: 1,
        errCount: 0,
        ts: Math.trunc(Date.now() / 1000),
        overload: false,
      }]);
      const mark = await store.routeMark();
      const key = { modId: 1, cmdId: 1, ip: "10.0.0.1" };
      const edits = [
        { op: "set", ...key, port: 1, weight: 300 },
        { op: "set", ...key, port: 2, weight: 100 },
        { op: "module", modId: 1, cmdId: 1, name: "shop" },
      ];
      const preview = await operator.get<Preview>("POST /changes/preview", { body: { edits } });
      assert.deepEqual(preview.nodes, [{
        ...key,
        port: 1,
        before: { weight: 100, zone: "", state: "on" },
        after: { weight: 300, zone: "", state: "on" },
      }]);
      assert.equal(preview.unchangedCount, 1);
      assert.deepEqual(preview.modules.map(({ after }) => after.name), ["shop"]);
      const [shift] = preview.traffic;
      assert.equal(shift.movedShare, 0.25);
      assert.deepEqual(shift.callers, ["10.0.0.99"]);
      assert.deepEqual(shift.nodes.map(({ before, after }) => [before, after]), [[0.5, 0.75], [
        0.5,
        0.25,
      ]]);
      assert.deepEqual(await store.routeMark(), mark);
      const gone = await operator.get<Preview>("POST /changes/preview", {
        body: { edits: [1, 2].map((port) => ({ op: "set", ...key, port, state: "drain" })) },
      });
      assert.ok(gone.traffic[0].emptied);
      assert.match(gone.warnings[0], /^Module \(1,1\) will have no node/);
      await operator.get(`POST ${NODES}`, { body: { ip: "10.0.0.1", port: 9 } });
      const body = { edits, expect: preview.fingerprint };
      assert.equal((await operator.ask("POST /changes", { body })).status, 412);
      const again = await operator.get<Preview>("POST /changes/preview", { body: { edits } });
      await operator.get("POST /changes", { body: { edits, expect: again.fingerprint } });
      assert.equal((await read(operator)).nodes[0].weight, 300);
    });
  },
);

test(
  "a module keeps a zone to call, and a change says which modules it leaves without a node",
  TIMEOUT,
  async () => {
    await withConsole(async ({ clients: { operator }, store }) => {
      const key = { modId: 1, cmdId: 1 };
      const node = { ...key, ip: "10.0.0.1" };
      const zones = (...evacuatedZones: string[]) => ({
        edits: [{ op: "module", ...key, policy: JSON.stringify({ evacuatedZones }) }],
      });
      await operator.get<Result>("POST /changes", {
        body: {
          edits: [
            { op: "add", ...node, port: 1, zone: "east" },
            { op: "add", ...node, port: 2, zone: "west" },
          ],
        },
      });
      await operator.get<Result>("POST /changes", { body: zones("east") });
      const mark = await store.routeMark();
      const { revision } = await read(operator);
      const [{ policy }] = zones("east", "west").edits;
      const refusals = [
        await operator.ask("POST /changes", { body: zones("east", "west") }),
        await operator.ask("POST /changes/preview", { body: zones("east", "west") }),
        await operator.ask("PUT /modules/1/1", { body: { policy }, ifMatch: revision }),
      ];
      for (const { status, problem } of refusals) {
        assert.equal(status, 422, JSON.stringify(problem));
        assert.match(problem.detail, /outside of evacuated zones in \(1,1\)/);
      }
      assert.deepEqual(await store.routeMark(), mark);
      // Port 2 is the last one outside of the zone.
      const last = { edits: [{ op: "set", ...node, port: 2, state: "drain" }] };
      const { warnings } = await operator.get<Preview>("POST /changes/preview", { body: last });
      assert.deepEqual(warnings, [
        "Calls of module (1,1) will go to zone east again, although evacuated: " +
        "no other node will take calls",
      ]);
      const back = await operator.get<Result>("POST /changes", { body: last });
      assert.deepEqual([back.emptied, back.returned], [[], [{
        ...key,
        name: "",
        zones: ["east"],
      }]]);
      await operator.get<Result>("POST /changes", {
        body: { edits: [{ op: "set", ...node, port: 2, state: "on" }] },
      });
      const drain = [1, 2].map((port) => ({ op: "set", ...node, port, state: "drain" }));
      const half = await operator.get<Result>("POST /changes", { body: { edits: [drain[0]] } });
      assert.deepEqual([half.emptied, half.returned], [[], []]);
      const all = await operator.get<Result>("POST /changes", { body: { edits: drain } });
      assert.deepEqual([all.emptied, all.returned], [[{ ...key, name: "" }], []]);
    });
  },
);

test(
  "a change is rolled back, also over later ones, and that can be rolled back too",
  TIMEOUT,
  async () => {
    await withConsole(async ({ clients: { operator } }) => {
      await addNodes(operator, 3);
      const before = await read(operator);
      const key = { modId: 1, cmdId: 1, ip: "10.0.0.1" };
      const { changeId } = await operator.get<Result>("POST /changes", {
        body: {
          edits: [
            { op: "set", ...key, port: 1, weight: 5 },
            { op: "remove", ...key, port: 2 },
            { op: "add", ...key, port: 4 },
            { op: "module", modId: 1, cmdId: 1, name: "shop" },
          ],
          why: "a mistake",
        },
      });
      await operator.get(`PATCH ${NODES}/10.0.0.1:1`, {
        body: { weight: 6 },
        headers: { "If-Match": "*" },
      });
      const preview = await operator.get<Preview>(`POST /changes/${changeId}/rollback/preview`);
      assert.deepEqual(preview.warnings, ["Node 1/1 10.0.0.1:1 was changed again since"]);
      assert.equal(preview.nodes.length, 3);
      const undone = await operator.get<Result>(`POST /changes/${changeId}/rollback`, {
        body: { why: "undo", expect: preview.fingerprint },
      });
      const after = await read(operator);
      assert.equal(after.revision, before.revision, "everything is as it was");
      const change = await operator.get<ResponseOf<"getChange">>(`GET /changes/${changeId}`);
      assert.equal(change.undoneBy, undone.changeId);
      const undo = await operator.get<ResponseOf<"getChange">>(`GET /changes/${undone.changeId}`);
      assert.deepEqual([undo.via, undo.undoes, undo.why], ["rollback", changeId, "undo"]);
      await operator.get(`POST /changes/${undone.changeId}/rollback`, { body: {} });
      assert.equal((await read(operator)).name, "shop");
    });
  },
);

test("files: export, import with preview and prune, faults named by line", TIMEOUT, async () => {
  await withConsole(async ({ clients: { operator, viewer }, base }) => {
    await addNodes(operator, 3);
    for (const format of ["csv", "json"]) {
      const file = await fetch(`${base}/api/v1/routes/export?format=${format}`, {
        headers: viewer.headers,
      });
      assert.match(file.headers.get("Content-Disposition") ?? "", new RegExp(`routes\\.${format}`));
      const text = await file.text();
      const preview = await operator.get<Preview>("POST /routes/import/preview", {
        body: { format, text, prune: true },
      });
      assert.deepEqual([preview.nodes, preview.unchangedCount], [[], 3], format);
    }
    const text = "modid,cmdid,ip,port,weight\n1,1,10.0.0.1,1,50\n2,2,10.0.0.2,1,10\n";
    const input = { format: "csv", text, prune: true };
    const preview = await operator.get<Preview>("POST /routes/import/preview", { body: input });
    assert.equal(preview.nodes.length, 4);
    const done = await operator.get<Result>("POST /routes/import", {
      body: { ...input, expect: preview.fingerprint, why: "file" },
    });
    assert.equal(done.changed.length, 2);
    assert.deepEqual((await read(operator)).nodes.map(({ weight }) => weight), [50]);
    const { changes } = await viewer.get<ResponseOf<"listChanges">>("GET /changes?modId=2&cmdId=2");
    assert.deepEqual(changes.map(({ via, why }) => [via, why]), [["import", "file"]]);
    const bad = await operator.ask("POST /routes/import", {
      body: { format: "csv", text: "modid,cmdid,ip,port\n1,1,10.0.0.1,0\n1,1,x,1\n" },
    });
    assert.equal(bad.status, 422);
    assert.deepEqual(bad.problem.errors?.map(({ message }) => message.split(" ")[0]), [
      "file:2:",
      "file:3:",
    ]);
  });
});
