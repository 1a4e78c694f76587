// Goal: a node that stays broken stays known as such, however long it rests between two probes, and
// its alert ends when it is back and not before. Method: balancer, what goes over the wire, the rows
// of the reporter, an embedded database, the console's model and its alerts, all in virtual time.

import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { defaultBalanceSettings, RouteLb } from "../balancer/mod.ts";
import { AlertEngine, DEFAULT_RULES } from "../control/alerts/alert_engine.ts";
import { readNodeCalls } from "../control/counters/node_calls.ts";
import { CALLER_RECENT_S, SystemModel } from "../control/system/system_model.ts";
import { PendingReports } from "../feed/pending_reports.ts";
import { NO_GAINS } from "../feed/reported_totals.ts";
import { decodeReportStatusRequest, encodeReportStatusRequest } from "../proto/codec.ts";
import { systemClock } from "../reactor/time/system_clock.ts";
import { seededRng } from "../reactor/time/rng.ts";
import { rowsOf } from "../reporter/report_rows.ts";
import { openStore, type Store } from "../sql/mod.ts";
import { withTempDir } from "./support/temp_dir.ts";

const START_S = 1_700_000_000;
const CALLER = 0x0a000009;
const BROKEN = 2;
const routes = [1, BROKEN, 3].map((ip) => ({
  ip,
  port: 80,
  weight: 100,
  zone: "",
  state: "on" as const,
}));

/** A module of three nodes with the preset `recommended`, called 40 times a second. */
class Lab {
  readonly model = new SystemModel();
  readonly alerts = new AlertEngine();
  readonly news: string[] = [];
  readonly #pending = new PendingReports();
  readonly #store: Store;
  readonly lb = new RouteLb({
    settings: defaultBalanceSettings,
    rng: seededRng(1),
    onPull: () => {},
  });
  isBroken = true;
  nowMs = 0;
  brokenCalls = 0;

  constructor(store: Store) {
    this.#store = store;
    this.lb.use(1, 1, 0);
    this.lb.setModulePolicy(1, 1, '{"policy":"recommended"}');
    this.lb.update(1, 1, routes, 0);
    this.model.setRoutes(routes.map((row) => ({ ...row, modId: 1, cmdId: 1 })), []);
  }

  async pass(seconds: number): Promise<void> {
    for (const endMs = this.nowMs + seconds * 1000; this.nowMs < endMs;) {
      for (let tick = 0; tick < 10; tick++) this.#tick();
      await this.#write();
      await this.#look();
    }
  }

  #tick(): void {
    this.nowMs += 100;
    for (let call = 0; call < 4; call++) {
      const host = this.lb.getHost(1, 1, this.nowMs);
      if (typeof host === "number") continue;
      if (host.ip === BROKEN) this.brokenCalls++;
      const code = this.isBroken && host.ip === BROKEN ? 1 : 0;
      this.lb.report(1, 1, host.ip, host.port, code, 5, this.nowMs);
    }
    this.lb.tick(this.nowMs);
    const ts = START_S + Math.floor(this.nowMs / 1000);
    for (const report of this.lb.drainReports(this.nowMs)) {
      const results = report.results.map((result) => ({ ...result, gains: NO_GAINS }));
      this.#pending.add({ ...report, results, ts, refusedNew: 0 });
    }
  }

  async #write(): Promise<void> {
    for (let report = this.#pending.take(); report !== undefined; report = this.#pending.take()) {
      const body = encodeReportStatusRequest({ ...report, caller: CALLER });
      const { rows } = rowsOf(decodeReportStatusRequest(body), 0, 1);
      assert.deepEqual(await this.#store.writeCallStatus(rows), []);
    }
  }

  async #look(): Promise<void> {
    const wallMs = START_S * 1000 + this.nowMs;
    const calls = await readNodeCalls(this.#store, systemClock, wallMs / 1000 - CALLER_RECENT_S);
    const { nowMs } = this;
    const rest = { version: 1, refused: [], services: [], callerCount: 1 };
    this.model.update({ wallMs, nowMs, calls, ...rest });
    const rules = DEFAULT_RULES.map((rule, id) => ({ ...rule, id }));
    for (const { type, alert } of this.alerts.look(this.model.view, rules, [], { nowMs, wallMs })) {
      this.news.push(`${type} ${alert.kind} ${alert.node}`);
    }
  }
}

test("a node that stays broken stays out for all who look, until it is well", () =>
  withTempDir(async (directory) => {
    const store = await openStore(`sqlite:${join(directory, "lars.db")}`);
    try {
      await store.migrate();
      const lab = new Lab(store);
      await lab.pass(60);
      const begun = ["firing node_out 0.0.0.2:80"];
      assert.deepEqual(lab.news, begun);
      const seen = (): unknown => {
        const module = lab.model.module(1, 1);
        const node = module?.nodes.find(({ ip }) => ip === "0.0.0.2");
        return [module?.health, module?.trouble?.sinceMs, node?.health, node?.callerCount];
      };
      const before = seen();
      assert.deepEqual((before as unknown[])[2], "overload");
      let quietS = 0;
      let quietMaxS = 0;
      for (let second = 0; second < 600; second += 5) {
        const { brokenCalls } = lab;
        await lab.pass(5);
        quietS = lab.brokenCalls === brokenCalls ? quietS + 5 : 0;
        quietMaxS = Math.max(quietMaxS, quietS);
        assert.deepEqual(seen(), before, `${second} s`);
        const rows = await store.readCallStatus({ modId: 1, cmdId: 1 });
        const ts = rows.find(({ ip }) => ip === BROKEN)?.ts ?? 0;
        assert.ok(START_S + lab.nowMs / 1000 - ts <= 10, `${second} s: ${ts}`);
      }
      assert.ok(quietMaxS > CALLER_RECENT_S, `no call went to it for ${quietMaxS} s`);
      assert.deepEqual(lab.news, begun);
      lab.isBroken = false;
      await lab.pass(300);
      assert.deepEqual(lab.news, [...begun, "ended node_out 0.0.0.2:80"]);
    } finally {
      await store.close();
    }
  }));
