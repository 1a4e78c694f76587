// Goal: a database that was set back is never taken for one that only forgot its old changes, and one
// that did is taken. Method: states of a database, one after the other, in virtual time; the rules of
// sql/ and the file of dns as shipped.

import assert from "node:assert/strict";
import { test } from "node:test";
import type { EncodedCache } from "../daemon/cache_file.ts";
import type { ModuleKey } from "../model/module.ts";
import { silentLogger } from "../reactor/log.ts";
import { ManualClock } from "../reactor/time/manual_clock.ts";
import { seededRng } from "../reactor/time/rng.ts";
import { StoreHealth } from "../service/store_health.ts";
import { StatementFault, storeErrorOf } from "../sql/drivers/driver.ts";
import { checkState } from "../sql/routes/plan_scripts.ts";
import type { RouteMark, RouteReadOptions, RouteRow, SeenChange } from "../sql/store.ts";
import { RouteTable } from "./route_table.ts";
import { type KeptTable, tableFileFormat } from "./table_file.ts";
import { VersionPoller } from "./version_poller.ts";

/** What a server of the database has: its changes, and the one node of the one module. */
interface Server {
  readonly epoch: number;
  readonly version: number;
  readonly changes: readonly SeenChange[];
  readonly ip: number;
}

/** Changes as `id:version`. */
function server(ip: number, version: number, changes: string, epoch = 0): Server {
  const list = changes === "" ? [] : changes.split(" ").map((text) => {
    const [id, at] = text.split(":").map(Number);
    return { id, version: at };
  });
  return { ip, version, epoch, changes: list };
}

/** What was read first, and last from this line of history. */
const GOOD = server(1, 105, "1:101 2:102 3:103 4:104 5:105");
/** Set back to change 3, and edited. */
const EDITED = server(2, 120, "1:101 2:102 3:103 4:110 5:120");
/** The same, while its version is still below what was read: edits came faster than seconds. */
const EDITED_LOW = server(2, 104, "1:90 2:91 3:92 4:93 6:104");
/** The same, with one edit, which came to the version that was read, and beyond it. */
const EDITED_ONCE = server(2, 106, "1:101 2:102 3:103 4:106");
/** The same, much later: all that was before change 8 is gone. */
const PRUNED = server(3, 130, "8:129 9:130");
const EMPTIED = server(3, 130, "");
const ACCEPTED = server(4, 130, "8:129 9:130", 1);
/** A server that lags. */
const LAGGING = server(5, 103, "1:101 2:102 3:103");
/** The right one, with an edit more; and later, without what was before. */
const GOOD_LATER = server(6, 106, "4:104 5:105 6:106");
const GOOD_PRUNED = server(7, 140, "8:107 9:140");

/** What a dns asks; it is linked to one server. */
class OneServer {
  server = GOOD;
  /** Answers of where the database is come then. */
  gate: Promise<void> = Promise.resolve();

  #check(options: RouteReadOptions = {}): Server {
    const { server } = this;
    const { epoch, version, changes } = server;
    const newest = changes.at(-1);
    const seenVersion = changes.find(({ id }) => id === options.seenChange?.id)?.version;
    try {
      checkState({ epoch, version, newest, changeIdMin: changes[0]?.id, seenVersion }, options);
    } catch (error) {
      throw error instanceof StatementFault ? storeErrorOf(error) : error;
    }
    return server;
  }

  async routeMark(options?: RouteReadOptions): Promise<RouteMark> {
    await undefined;
    const { epoch, version, changes } = this.#check(options);
    await this.gate;
    const newest = changes.at(-1);
    return {
      ...{ epoch, version, changeIdMax: newest?.id ?? 0, changeCount: changes.length },
      changeVersion: newest?.version,
    };
  }

  changedModules(): Promise<ModuleKey[]> {
    return Promise.resolve([{ modId: 1, cmdId: 1 }]);
  }

  async readModules(_keys: readonly ModuleKey[], options?: RouteReadOptions): Promise<RouteRow[]> {
    await undefined;
    const { ip, epoch, version, changes } = this.#check(options);
    options?.onPlan?.({ epoch, version }, changes.at(-1));
    return [{ modId: 1, cmdId: 1, ip, port: 80, weight: 100, zone: "", state: "on" }];
  }

  async readRoutes(
    onRows: (rows: RouteRow[]) => void | Promise<void>,
    options?: RouteReadOptions,
  ): Promise<void> {
    await onRows(await this.readModules([], options));
  }

  async moduleRows(_keys?: readonly ModuleKey[], options?: RouteReadOptions): Promise<[]> {
    await undefined;
    this.#check(options);
    return [];
  }
}

/** A dns, with what it has on disk. */
class Dns {
  readonly store = new OneServer();
  readonly clock = new ManualClock();
  readonly table = new RouteTable(0);
  readonly poller: VersionPoller;
  /** Times that its file is to be written because of what is remembered of the database. */
  setBackCount = 0;

  constructor(earlier?: KeptTable) {
    const { store, clock, table } = this;
    if (earlier !== undefined) table.restore([...earlier.modules], earlier.memory.plan);
    this.poller = new VersionPoller({
      ...{ store, table, clock, rng: seededRng(1), log: silentLogger },
      health: new StoreHealth({ clock, log: silentLogger, label: "one", meanwhile: "serving" }),
      ...{ pollIntervalMs: 100, reloadIntervalMs: 1000 },
      ...(earlier === undefined ? {} : { earlier: earlier.memory }),
      *onLoaded(): Generator<void, void> {},
      *onChanged(): Generator<void, void> {},
      onSetBack: () => this.setBackCount++,
    });
    this.poller.start();
  }

  /** It looks at a server, often enough to see all there is to see. */
  async meets(server: Server): Promise<void> {
    this.store.server = server;
    await this.pass(5_000);
  }

  async pass(ms: number): Promise<void> {
    for (let passed = 0; passed < ms; passed += 10) {
      this.clock.advance(10);
      for (let i = 0; i < 30; i++) await undefined;
    }
  }

  get ip(): number {
    const [module] = this.table.kept();
    return module.rows[0].ip;
  }

  restarted(): Dns {
    this.poller.stop();
    const { memory } = this.poller;
    assert.ok(memory !== undefined);
    const kept = { memory, modules: [...this.table.kept()] };
    const steps = tableFileFormat.encode([kept], 5) as Generator<void, EncodedCache>;
    let step = steps.next();
    while (step.done !== true) step = steps.next();
    const read = tableFileFormat.decode(step.value.bytes);
    assert.ok(read.ok);
    return new Dns(read.routes[0]);
  }
}

const CASES: readonly {
  readonly name: string;
  readonly met: readonly (Server | "restart")[];
  readonly taken: Server;
}[] = [
  { name: "changes were pruned while nobody looked", met: [PRUNED], taken: PRUNED },
  { name: "changes were deleted by hand", met: [EMPTIED], taken: EMPTIED },
  { name: "a server lagged before it", met: [LAGGING, GOOD_PRUNED], taken: GOOD_PRUNED },
  { name: "set back and edited", met: [EDITED], taken: GOOD },
  { name: "set back, edited, and pruned", met: [EDITED, PRUNED], taken: GOOD },
  { name: "set back, edited once, and pruned", met: [EDITED_ONCE, PRUNED], taken: GOOD },
  { name: "pruned while its version was lower", met: [EDITED_LOW, PRUNED], taken: GOOD },
  { name: "set back, edited, and emptied", met: [EDITED, EMPTIED], taken: GOOD },
  { name: "a restart before it was pruned", met: [EDITED, "restart", PRUNED], taken: GOOD },
  { name: "a restart in between", met: [EDITED, "restart", EDITED, PRUNED], taken: GOOD },
  { name: "another server has it all", met: [EDITED, GOOD_LATER], taken: GOOD_LATER },
  {
    name: "another server has it all, and prunes it later",
    met: [EDITED, "restart", GOOD_LATER, "restart", GOOD_PRUNED],
    taken: GOOD_PRUNED,
  },
  { name: "an operator accepts it", met: [EDITED, PRUNED, ACCEPTED], taken: ACCEPTED },
  { name: "the same after a restart", met: [EDITED, "restart", ACCEPTED], taken: ACCEPTED },
];

for (const { name, met, taken } of CASES) {
  test(`VersionPoller, a database of which changes are missing: ${name}`, async () => {
    let dns = new Dns();
    await dns.meets(GOOD);
    for (const one of met) {
      if (one === "restart") dns = dns.restarted();
      else await dns.meets(one);
    }
    assert.equal(dns.ip, taken.ip);
    dns.poller.stop();
  });
}

test("VersionPoller has its file written when a database is set back, and when it is no longer", async () => {
  const dns = new Dns();
  const counts: number[] = [];
  for (const one of [GOOD, LAGGING, GOOD, EDITED, EDITED, PRUNED, GOOD_LATER, GOOD_PRUNED]) {
    await dns.meets(one);
    counts.push(dns.setBackCount);
  }
  assert.deepEqual(counts, [0, 0, 0, 1, 1, 1, 2, 2]);
  dns.poller.stop();
});

test("VersionPoller takes no answer that was asked for before it knew", async () => {
  const dns = new Dns();
  await dns.meets(GOOD);
  let open = (): void => {};
  dns.store.gate = new Promise((resolve) => (open = resolve));
  // Of two servers that were set back one has pruned what shows it.
  dns.store.server = PRUNED;
  await dns.pass(200);
  dns.store.server = EDITED;
  dns.poller.modulesChanged([{ modId: 1, cmdId: 1 }]);
  await dns.pass(200);
  assert.equal(dns.setBackCount, 1);
  open();
  await dns.meets(PRUNED);
  assert.equal(dns.ip, GOOD.ip);
  dns.poller.stop();
});

test("VersionPoller sends agents to another dns while it lags, and not while it knows better", async () => {
  const dns = new Dns();
  await dns.meets(GOOD);
  const behind = (): boolean[] =>
    [dns.poller.behindMs, dns.poller.toldBehindMs].map((ms) => ms !== undefined);
  for (const one of [LAGGING, LAGGING, LAGGING]) await dns.meets(one);
  assert.deepEqual(behind(), [true, true]);
  await dns.meets(EDITED);
  assert.deepEqual(behind(), [true, false]);
  await dns.meets(GOOD_LATER);
  assert.deepEqual(behind(), [false, false]);
  dns.poller.stop();
});
