// Shell. For tests and measurements: writes a table of picks that changes all the time, or stands
// still, until it is ended: PATH MODULES NODES busy|still.
//
// Prints a line once the table is there. Nodes are named as proto/testing/table_check.c expects.

import { defaultBalanceSettings, RouteLb } from "../../balancer/mod.ts";
import type { RouteNode } from "../../model/node.ts";
import { silentLogger } from "../../reactor/log.ts";
import { runtime } from "../../reactor/runtime/mod.ts";
import { seededRng } from "../../reactor/time/rng.ts";
import { systemClock } from "../../reactor/time/system_clock.ts";
import { SharedTable } from "../table/shared_table.ts";

/** Changes between two looks at the clock. */
const CHANGES_PER_TURN = 20;

/** Pause in which a still table is kept alive. Milliseconds. */
const STILL_MS = 200;

function nodeOf(module: number, number: number, weight: number): RouteNode {
  const port = 10_000 + (module * 31 + number * 7) % 50_000;
  return { ip: (10 << 24 | module << 8 | number) >>> 0, port, weight };
}

class TableWriter {
  readonly #rng = seededRng(Math.floor(systemClock.wallMs()) >>> 0);
  readonly #lb: RouteLb;
  readonly #table: SharedTable;
  readonly #modules: number;
  readonly #nodes: number;
  #atMs = 0;

  constructor(path: string, modules: number, nodes: number) {
    this.#modules = modules;
    this.#nodes = nodes;
    this.#lb = new RouteLb({
      settings: defaultBalanceSettings,
      rng: this.#rng,
      modulesMax: modules,
      hasPlans: true,
      onPull: () => {},
    });
    this.#table = new SharedTable({
      ...{ path, mode: 0o640, group: undefined, ip: 0x7f000001, port: 8888 },
      clock: systemClock,
      log: silentLogger,
    });
    for (let module = 1; module <= modules; module++) {
      this.#lb.use(module, 1, 0);
      this.#setRoute(module, nodes, false);
    }
    this.#flush();
  }

  /** Keeps the table alive. */
  beat(): void {
    this.#table.turn(systemClock.nowMs(), () => {});
  }

  /** Changes some modules: their nodes, their weights, and which nodes are well. */
  change(): void {
    for (let i = 0; i < CHANGES_PER_TURN; i++) {
      const module = 1 + Math.floor(this.#rng.next() * this.#modules);
      const what = this.#rng.next();
      const count = Math.floor(this.#rng.next() * (this.#nodes + 1));
      if (what < 0.4) this.#setRoute(module, count, what < 0.2);
      else for (let failed = 0; failed < 20; failed++) this.#report(module, count, what < 0.8);
    }
    this.#atMs += 100;
    this.#lb.tick(this.#atMs);
    this.#flush();
    this.beat();
  }

  #setRoute(module: number, count: number, weighted: boolean): void {
    const weight = (): number => weighted ? 1 + Math.floor(this.#rng.next() * 300) : 100;
    const nodes = Array.from({ length: count }, (_, number) => nodeOf(module, number, weight()));
    this.#lb.update(module, 1, nodes, this.#atMs);
  }

  #report(module: number, number: number, failed: boolean): void {
    const { ip, port } = nodeOf(module, number, 0);
    this.#lb.report(module, 1, ip, port, failed ? 1 : 0, 5, this.#atMs);
  }

  #flush(): void {
    const nowMs = systemClock.nowMs();
    this.#lb.plans?.take(
      Infinity,
      (modId, cmdId, plan) => this.#table.put(modId, cmdId, plan, nowMs),
    );
  }
}

const [path, modules, nodes, kind] = runtime.args;
const writer = new TableWriter(path, Number(modules), Number(nodes));
runtime.writeStdout("ready\n");
const beat = (): void => {
  writer.beat();
  systemClock.setTimer(STILL_MS, beat);
};
const busy = (): void => {
  writer.change();
  systemClock.setTimer(0, busy);
};
if (kind === "busy") busy();
else beat();
