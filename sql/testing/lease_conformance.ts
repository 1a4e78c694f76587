// Shell. What every kind of store must do with leases.

import assert from "node:assert/strict";
import type { LeaseRow } from "../../model/lease.ts";
import type { LeaseEdits } from "../leases/lease_store.ts";
import type { Store } from "../store.ts";
import type { Define } from "./conformance_bench.ts";

const NODE = { modId: 4_294_967_295, cmdId: 1, ip: 3_232_235_953, port: 7777 };
const ROUTE = { weight: 10_000, zone: 'z"é', state: "on" } as const;

function lease(port: number, more: Partial<LeaseRow> = {}): LeaseRow {
  return {
    ...{ ...NODE, port, incarnation: 2 ** 52, holder: 2 ** 51 + 1, phase: "live" },
    ...{ ttlMs: 86_400_000, weight: 10_000, zone: 'z"é', source: "lars", owner: "10.0.0.1" },
    ...{ note: '{"a":"é"}', check: "http:/up", sinceS: 1_700_000_000, written: ROUTE, hand: {} },
    ...more,
  };
}

function write(store: Store, edits: Partial<LeaseEdits>): ReturnType<Store["leases"]["change"]> {
  const nodes = [...edits.leases ?? [], NODE];
  const all = { leases: [], routes: [], modules: [], audit: undefined, ...edits };
  return store.leases.change({ nodes, decide: () => all });
}

/** Registers the tests. */
export function testLeaseConformance(define: Define): void {
  define("leases are stored as they are, and their routes with them", async ({ store }) => {
    const rows = [
      lease(7777),
      lease(7778, { hand: { state: "off", weight: 0, zone: "b" }, written: undefined }),
      lease(7779, {
        ...{ zone: "o'\\\"?", owner: "'; DROP TABLE Lease; -- ", check: "http:/a?b=c'd" },
        ...{ note: '{"a":"\\u0000 \\\\ it\'s ?"}', written: { ...ROUTE, zone: "/* '? */" } },
      }),
      lease(7780, { zone: "plain-1", note: '{"b":"-- /* x */ ;%"}', written: undefined }),
    ];
    const before = await store.routeMark();
    const { changed, seq } = await write(store, {
      leases: rows,
      routes: [{ op: "add", ...NODE, ...ROUTE }],
      audit: {
        ...{ atMs: 1, who: "discovery", action: "lease.change", target: "", outcome: "done" },
        ...{ detail: "x", address: "" },
      },
    });
    assert.deepEqual(changed, [{ modId: NODE.modId, cmdId: NODE.cmdId }]);
    assert.deepEqual(await store.leases.list({}, 10), rows);
    assert.deepEqual(await store.readModules([NODE]), [{ ...NODE, ...ROUTE }]);
    const page = await store.leases.since(seq - 1, 10);
    assert.deepEqual(page, { rows, seq, isCut: false });
    assert.notDeepEqual(await store.routeMark(), before, "dns sees it");
    assert.match((await store.moduleRows([NODE]))[0].meant ?? "", /^\d+:1-/, "and it is meant");
    assert.equal((await store.console.auditRows({ before: 0, limit: 1 }))[0].who, "discovery");
  });

  define("a change of leases finds what is there, and writes all or nothing", async ({ store }) => {
    const { seq } = await write(store, {
      leases: [lease(7777)],
      routes: [{ op: "add", ...NODE, ...ROUTE }],
    });
    await assert.rejects(
      store.leases.change({
        nodes: [NODE, { ...NODE, modId: 5 }],
        decide(stored): LeaseEdits {
          assert.deepEqual(stored.leases, [lease(7777)]);
          assert.deepEqual(stored.modules.map(({ nodes }) => nodes.length), [1, 0]);
          assert.ok(stored.nowS > 1_700_000_000);
          return {
            leases: [lease(7777, { phase: "gone" })],
            routes: [{ op: "add", ...NODE }],
            ...{ modules: [], audit: undefined },
          };
        },
      }),
      /exists already/,
    );
    assert.deepEqual(await store.leases.since(seq, 10), { rows: [], seq, isCut: false });
    assert.deepEqual((await store.leases.list({}, 10))[0].phase, "live");
  });

  define("pages of changed leases end with whole changes", async ({ store }) => {
    const ports = Array.from({ length: 5 }, (_, index) => 7000 + index);
    await write(store, { leases: ports.map((port) => lease(port)) });
    await write(store, { leases: ports.slice(0, 2).map((port) => lease(port, { weight: 1 })) });
    const seen = new Map<number, number>();
    let seq = 0;
    for (let page = 0; page < 10; page++) {
      const { rows, seq: next, isCut } = await store.leases.since(seq, 2);
      for (const { port, weight } of rows) seen.set(port, weight);
      seq = next;
      if (!isCut) break;
    }
    assert.deepEqual([...seen].sort(([a], [b]) => a - b), [
      ...[[7000, 1], [7001, 1], [7002, 10_000], [7003, 10_000], [7004, 10_000]],
    ]);
  });

  define("a drain of a node that is in doubt is remembered, and audited", async ({ store }) => {
    const doubt = { ...ROUTE, state: "drain" } as const;
    const ports = [7777, 7778, 7779];
    await write(store, {
      leases: [
        lease(7777, { phase: "doubt", written: doubt }),
        lease(7778, { phase: "doubt", written: doubt, hand: { weight: 3 } }),
        lease(7779),
      ],
      routes: ports.map((port) => ({
        ...{ op: "add", ...NODE, port, ...(port === 7779 ? ROUTE : doubt) } as const,
      })),
    });
    const { modId, cmdId, ip } = NODE;
    const edits = ports.map((port) =>
      ({ op: "set", modId, cmdId, ip, port, state: "drain" }) as const
    );
    const { seq } = await store.leases.since(0, 100);
    const steps = [edits.slice(0, 1), edits.slice(1), edits, edits];
    for (const [index, some] of steps.entries()) {
      const { changed } = await store.console.change({
        modules: [{ modId, cmdId }],
        decide: () => ({ routes: some }),
        ...{ why: "", via: "command", undoes: 0, meant: true },
        audit: {
          ...{ atMs: 1, who: "me", action: `drain${index}`, target: "t", outcome: "done" },
          ...{ detail: "", address: "" },
        },
      });
      assert.equal(changed.length, index === 1 ? 1 : 0, "the one that was on");
    }
    assert.deepEqual((await store.leases.list({}, 10)).map(({ hand }) => hand), [
      ...[{ state: "drain" }, { weight: 3, state: "drain" }, {}],
    ]);
    const { rows } = await store.leases.since(seq, 100);
    assert.deepEqual(rows.map(({ port }) => port), [7777, 7778], "every discovery reads it");
    const said = (await store.console.auditRows({ before: 0, limit: 10 }))
      .filter(({ who }) => who === "me").reverse();
    assert.deepEqual(said.map(({ action }) => action), ["drain0", "drain1", "drain2"], "each once");
    assert.match(said[0].detail, /kept so: 1 node/);
  });

  define(
    "who drains a registered node that is drained is in the history, once",
    async ({ store }) => {
      const drained = { ...ROUTE, state: "drain" } as const;
      const { modId, cmdId, ip } = NODE;
      const add = (port: number) => ({ op: "add", modId, cmdId, ip, port, ...drained }) as const;
      // One that discovery drained for its lease, one as scaling did, one that never registered.
      await write(store, {
        leases: [
          lease(7777, { written: drained, hand: { state: "drain" } }),
          lease(7778),
          lease(7779, { phase: "gone", hand: { state: "drain" } }),
        ],
        routes: [7777, 7778, 7779, 7780].map(add),
      });
      const drain = async (who: string, ports: readonly number[]): Promise<number | undefined> => {
        const outcome = await store.console.change({
          modules: [{ modId, cmdId }],
          decide: () => ({
            routes: ports.map((port) => ({ op: "set", modId, cmdId, ip, port, state: "drain" })),
          }),
          ...{ why: "", via: "command", undoes: 0, meant: true },
          audit: {
            ...{
              atMs: 1,
              who,
              action: "drain",
              target: "",
              outcome: "done",
              detail: "",
              address: "",
            },
          },
        });
        assert.deepEqual(outcome.changed, [], "no route differs");
        return outcome.id;
      };
      const id = await drain("ann", [7777, 7778, 7779, 7780]);
      assert.ok(id !== undefined);
      const content = await store.console.changeContent(id);
      const same = { before: drained, after: drained };
      assert.deepEqual(
        content?.differences.nodes,
        [7777, 7778].map((port) => ({ modId, cmdId, ip, port, ...same })),
      );
      const filter = { before: 0, limit: 9, modId, cmdId };
      const [{ who, summary }] = await store.console.changes(filter);
      assert.equal(who, "ann");
      assert.match(summary, /^drain .*:7777 again; drain .*:7778 again$/);
      assert.equal(await drain("ann", [7777, 7778]), undefined, "she said so");
      assert.notEqual(await drain("bob", [7777]), undefined);
      assert.equal(await drain("bob", [7779, 7780]), undefined, "nobody brings these back");
      assert.equal((await store.console.changes(filter)).length, 2);
    },
  );

  define("leases are found by phase and text, page by page, and counted", async ({ store }) => {
    await write(store, {
      leases: [
        ...Array.from({ length: 7 }, (_, index) => lease(100 + index)),
        lease(200, { phase: "drain", owner: "ann/ci_1" }),
        lease(201, { phase: "gone" }),
        lease(202, { phase: "gone", hand: { state: "off" } }),
      ],
    });
    const ports = async (
      filter: Parameters<typeof store.leases.find>[0],
      offset = 0,
    ): Promise<number[]> =>
      (await store.leases.find(filter, offset, 3)).rows.map(({ port }) => port);
    assert.deepEqual(await ports({}), [100, 101, 102]);
    assert.deepEqual(await ports({}, 6), [106, 200, 202]);
    assert.deepEqual(await ports({ phase: "drain" }), [200]);
    assert.deepEqual(await ports({ text: "ci_1" }), [200]);
    assert.deepEqual(await ports({ text: "ci%1" }), [], "no wildcards");
    assert.deepEqual(await ports({ text: "192.168.1.177:104" }), [104]);
    assert.deepEqual(await ports({ text: "192.168.1.178" }), []);
    assert.deepEqual(await ports({ modId: 3 }), []);
    const { counts } = await store.leases.find({ phase: "drain" }, 0, 1);
    assert.deepEqual([...counts].sort(), [["drain", 1], ["gone", 1], ["live", 7]]);
  });

  define("changes of routes by others are told from those of leases", async ({ store }) => {
    const first = await write(store, { routes: [{ op: "add", ...NODE, ...ROUTE }] });
    const { changeIdMax } = await store.leases.foreignChanges(0, []);
    const own = await write(store, { routes: [{ op: "set", ...NODE, weight: 1 }] });
    await store.editRoutes([{ op: "add", modId: 8, cmdId: 8, ip: 1, port: 1 }]);
    const versions = [...first.versions, ...own.versions];
    const { modules } = await store.leases.foreignChanges(changeIdMax, versions);
    assert.deepEqual(modules, [{ modId: 8, cmdId: 8 }]);
  });

  define("discoveries say that they live, and what they hold back", async ({ store }) => {
    const { leases } = store;
    await leases.beat({ id: 2 ** 52, address: "a:1", beat: 1 });
    await leases.beat({ id: 7, address: "b:1", beat: 1 });
    const all = await leases.beat({ id: 2 ** 52, address: "a:1", beat: 2 });
    assert.deepEqual(all.map(({ id, beat }) => [id, beat]).sort(([a], [b]) => a - b), [
      ...[[7, 1], [2 ** 52, 2]],
    ]);
    const held = { holder: 7, modId: 1, cmdId: 2, heldCount: 3, liveCount: 4, sinceS: 5 };
    await leases.putGuard(7, [{ ...held, isConfirmed: false }]);
    const audit = {
      ...{ atMs: 1, who: "me", action: "lease.confirm", target: "1/2", outcome: "done" as const },
      ...{ detail: "", address: "" },
    };
    assert.equal(await leases.confirmGuard({ modId: 1, cmdId: 3 }, audit), false);
    assert.equal(await leases.confirmGuard({ modId: 1, cmdId: 2 }, audit), true);
    await leases.putGuard(7, [{ ...held, heldCount: 2, isConfirmed: false }]);
    assert.deepEqual(await leases.guard(), [{ ...held, heldCount: 2, isConfirmed: true }]);
    await leases.putGuard(7, []);
    assert.deepEqual(await leases.guard(7), []);
    await leases.forgetHolder(7);
    assert.equal((await leases.beat({ id: 9, address: "", beat: 1 })).length, 2);
  });

  define(
    "leases that are over are forgotten after an hour, but for an operator's hand",
    async ({ store, execute }) => {
      await write(store, {
        leases: [
          lease(1, { phase: "gone" }),
          lease(2, { phase: "gone", hand: { state: "off" } }),
          lease(3),
          lease(4, { phase: "gone" }),
        ],
      });
      await execute("UPDATE Lease SET changed = 1 WHERE port < 4");
      await store.leases.prune();
      const { rows } = await store.leases.since(0, 10);
      assert.deepEqual(rows.map(({ port }) => port).sort(), [2, 3, 4]);
    },
  );
}
