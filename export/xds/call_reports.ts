// Core. How calls of gRPC programs went, as the reporter is told of it.

import type { HostResult } from "../../balancer/balance_records.ts";
import type { ModuleReport } from "../../balancer/routes/route_records.ts";
import { moduleId, type ModuleKey } from "../../model/module.ts";
import { addressText } from "../../model/node.ts";
import type { FleetView } from "../fleet_view.ts";

/** Calls of one node that a client made since its report before. */
export interface XdsCalls extends ModuleKey {
  /** `ip:port`, as its locality is called. */
  readonly address: string;
  readonly succ: number;
  readonly err: number;
}

/** Nodes whose calls are added up; beyond it the one that was heard of longest ago begins anew. */
export const TOTALS_MAX = 65_536;

/** Adds up what clients say: reports carry totals, so that one that is lost costs nothing. */
export class XdsCallReports {
  /** The one heard of longest ago first. */
  readonly #totals = new Map<string, { succ: number; err: number }>();
  #dropped = 0;

  /** Calls of nodes that their module does not have. */
  get droppedCount(): number {
    return this.#dropped;
  }

  /** Takes what a client says, and makes of it what the reporter is told. */
  take(calls: readonly XdsCalls[], view: FleetView): ModuleReport[] {
    const reports = new Map<string, { modId: number; cmdId: number; results: HostResult[] }>();
    for (const { modId, cmdId, address, succ, err } of calls) {
      if (succ + err === 0) continue;
      const node = view.module({ modId, cmdId })?.nodes.find((one) => addressText(one) === address);
      if (node === undefined) {
        this.#dropped += succ + err;
        continue;
      }
      const total = this.#totalOf(`${moduleId(modId, cmdId)} ${address}`);
      total.succ += succ;
      total.err += err;
      const id = String(moduleId(modId, cmdId));
      const report = reports.get(id) ?? { modId, cmdId, results: [] };
      reports.set(id, report);
      report.results.push({
        ...{ ip: node.ip, port: node.port, succ, err, overload: false },
        ...{ succTotal: total.succ, errTotal: total.err, timedTotal: 0, timeMsTotal: 0 },
      });
    }
    return [...reports.values()];
  }

  /** The totals of a node, which is the latest to be heard of then. Fleets that grow and shrink have new ones. */
  #totalOf(key: string): { succ: number; err: number } {
    const total = this.#totals.get(key) ?? { succ: 0, err: 0 };
    this.#totals.delete(key);
    if (this.#totals.size >= TOTALS_MAX) {
      for (const oldest of this.#totals.keys()) {
        this.#totals.delete(oldest);
        break;
      }
    }
    this.#totals.set(key, total);
    return total;
  }
}
