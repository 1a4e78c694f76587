// Shell. Counters of every node, read from the database for whoever makes rates of them.

import { type ModuleKey, moduleText } from "../../model/module.ts";
import { nodeId } from "../../model/node.ts";
import { formatIpv4 } from "../../reactor/address.ts";
import { type Clock, sleep } from "../../reactor/time/clock.ts";
import { type CallHistoryPoint, historyWholeUntil } from "../../sql/results/call_history.ts";
import type { NodeCallTotals } from "../../sql/console/console_store.ts";
import type { RefusedTotal, ServiceInstance, Store } from "../../sql/store.ts";
import { isRecent, knownServices } from "../system/known_services.ts";
import { readNodeCalls } from "./node_calls.ts";
import { groupCalls } from "./recent_calls.ts";
import { CALLER_RECENT_S } from "../system/system_model.ts";
import type {
  Counters,
  ModuleCounters,
  NodeCounters,
  RecentCalls,
  RefusedCauses,
} from "../schemas.ts";

/** Several who ask within this time are given the same counters, in milliseconds. */
const AGE_MAX_MS = 500;
/** The history has new numbers every ten seconds. */
const RECENT_AGE_MAX_MS = 10_000;
/** Services change less often, and there may be thousands of agents. */
const SERVICES_AGE_MAX_MS = 3_000;
/** What counts as recent, in seconds. */
const RECENT_S = 60;
/** With more nodes than this the history is asked for modules alone: each node is many rows. */
export const RECENT_NODES_MAX = 2000;

/** What the service works with. */
export interface CounterServiceOptions {
  readonly store: Store;
  readonly clock: Clock;
}

interface Recent {
  readonly seconds: number;
  readonly modules: ReadonlyMap<string, RecentCalls>;
  readonly nodes: ReadonlyMap<string, RecentCalls>;
}

function pointKey({ module, node }: CallHistoryPoint): string {
  if (module === undefined) return "";
  return node === undefined ? moduleText(module) : nodeId({ ...module, ...node });
}

/** How many of each kind live, of how many. */
function serviceCounts(
  services: readonly ServiceInstance[],
  wallMs: number,
): Counters["services"] {
  const kinds = [...new Set(services.map(({ kind }) => kind))];
  return kinds.map((kind) => {
    const same = services.filter((service) => service.kind === kind);
    const aliveCount = same.filter((service) => isRecent(service, wallMs)).length;
    return { kind, aliveCount, count: same.length };
  });
}

const NONE_REFUSED: RefusedCauses = { overload: 0, unusable: 0, noNode: 0, noRoute: 0 };

function moduleCounters(
  calls: readonly NodeCallTotals[],
  refused: readonly RefusedTotal[],
  recent: Recent,
): ModuleCounters[] {
  const modules = new Map<string, ModuleCounters & { nodes: NodeCounters[] }>();
  const refusedOf = new Map(
    refused.map(({ modId, cmdId, ts: _ts, ...causes }) => [moduleText({ modId, cmdId }), causes]),
  );
  const moduleOf = ({ modId, cmdId }: ModuleKey): ModuleCounters & { nodes: NodeCounters[] } => {
    const key = moduleText({ modId, cmdId });
    const known = modules.get(key);
    if (known !== undefined) return known;
    const module = {
      modId,
      cmdId,
      recent: recent.modules.get(key) ?? null,
      refused: refusedOf.get(key) ?? NONE_REFUSED,
      nodes: [],
    };
    modules.set(key, module);
    return module;
  };
  for (const node of calls) {
    moduleOf(node).nodes.push({
      ip: formatIpv4(node.ip),
      port: node.port,
      succTotal: node.succTotal,
      errTotal: node.errTotal,
      succCount: node.succCount,
      errCount: node.errCount,
      callerCount: node.callerCount,
      overloadCount: node.overloadCount,
      reportedAtS: node.ts,
      recent: recent.nodes.get(nodeId(node)) ?? null,
    });
  }
  for (const module of refused) moduleOf(module);
  return [...modules.values()];
}

/** Reads counters, for the command line and for REST alike. */
export class CounterService {
  readonly #store: Store;
  readonly #clock: Clock;
  #recent: Recent = { seconds: RECENT_S, modules: new Map(), nodes: new Map() };
  #recentAtMs = -Infinity;
  #services: readonly ServiceInstance[] = [];
  #servicesAtMs = -Infinity;
  #last: Counters | undefined;
  #lastAtMs = -Infinity;
  #reading: Promise<Counters> | undefined;

  constructor({ store, clock }: CounterServiceOptions) {
    this.#store = store;
    this.#clock = clock;
  }

  /** Counters that are at most half a second old; those who ask at once share one reading. */
  async read(): Promise<Counters> {
    const isFresh = this.#clock.nowMs() - this.#lastAtMs < AGE_MAX_MS;
    if (isFresh && this.#last !== undefined) return this.#last;
    this.#reading ??= this.#read().finally(() => {
      this.#reading = undefined;
    });
    return await this.#reading;
  }

  async #read(): Promise<Counters> {
    const wallMs = Math.trunc(this.#clock.wallMs());
    const routeMark = JSON.stringify(await this.#store.routeMark());
    const sinceTs = Math.trunc(wallMs / 1000) - CALLER_RECENT_S;
    const calls = await readNodeCalls(this.#store, this.#clock, sinceTs);
    const refused = await this.#store.refusedTotals(0);
    if (this.#clock.nowMs() - this.#recentAtMs >= RECENT_AGE_MAX_MS) {
      this.#recent = await this.#readRecent(calls, wallMs);
      this.#recentAtMs = this.#clock.nowMs();
    }
    const counters: Counters = {
      atMs: wallMs,
      storeLabel: this.#store.label,
      routeMark,
      services: serviceCounts(await this.#readServices(), wallMs),
      recentSeconds: this.#recent.seconds,
      modules: moduleCounters(calls, refused, this.#recent),
    };
    this.#last = counters;
    this.#lastAtMs = this.#clock.nowMs();
    return counters;
  }

  async #readServices(): Promise<readonly ServiceInstance[]> {
    if (this.#clock.nowMs() - this.#servicesAtMs >= SERVICES_AGE_MAX_MS) {
      this.#services = await knownServices(this.#store);
      this.#servicesAtMs = this.#clock.nowMs();
    }
    return this.#services;
  }

  async #readRecent(calls: readonly NodeCallTotals[], wallMs: number): Promise<Recent> {
    const toSeconds = historyWholeUntil(wallMs / 1000);
    const range = { fromSeconds: toSeconds - RECENT_S, toSeconds, stepSeconds: 10 };
    const byModule = await this.#store.readCallHistory({ ...range, groupBy: "module" });
    const seconds = toSeconds - byModule.fromSeconds;
    const modules = groupCalls(byModule.points, pointKey);
    if (calls.length > RECENT_NODES_MAX) return { seconds, modules, nodes: new Map() };
    const nodes = new Map<string, RecentCalls>();
    for (const { module } of byModule.points.filter(isFirstOfItsModule())) {
      if (module === undefined) continue;
      const byNode = await this.#store.readCallHistory({ ...range, module, groupBy: "node" });
      for (const [key, sum] of groupCalls(byNode.points, (one) => pointKey({ ...one, module }))) {
        nodes.set(key, sum);
      }
      await sleep(this.#clock, 0); // An embedded database reads on this thread: let others run.
    }
    return { seconds, modules, nodes };
  }
}

/** True for the first point of each module. */
function isFirstOfItsModule(): (point: CallHistoryPoint) => boolean {
  const seen = new Set<string>();
  return (point) => {
    const key = pointKey(point);
    if (seen.has(key)) return false;
    seen.add(key);
    return true;
  };
}
