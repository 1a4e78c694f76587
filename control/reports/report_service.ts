// Shell. What somebody who asks how the system is wants to know first, read from the database at once.

import type { Clock } from "../../reactor/time/clock.ts";
import { type CallHistoryPoint, historyWholeUntil } from "../../sql/results/call_history.ts";
import { isModule, moduleText } from "../../model/module.ts";
import { SERVICE_GRANTS } from "../../sql/grants/grants.ts";
import type { Store } from "../../sql/store.ts";
import { summariseAgents } from "./agent_summary.ts";
import { RESULTS_RECENT_S, summariseCalls } from "./call_summary.ts";
import { eventView } from "./history_views.ts";
import { isRecent, knownServices } from "../system/known_services.ts";
import { readNodeCalls } from "../counters/node_calls.ts";
import { CALLER_RECENT_S } from "../system/system_model.ts";
import { groupCalls, sumCalls } from "../counters/recent_calls.ts";
import type { CallSummary, RecentCalls, Report, StoreFacts } from "../schemas.ts";

/** What counts as recent, in seconds. */
const RECENT_S = 300;

/** Events that are shown. */
const EVENTS_SHOWN = 5;

/** Counts what a database holds. */
export async function readFacts(store: Store): Promise<StoreFacts> {
  const modules = new Set<string>();
  let nodeCount = 0;
  await store.readRoutes((rows) => {
    nodeCount += rows.length;
    for (const row of rows) modules.add(moduleText(row));
  });
  for (const row of await store.moduleRows()) if (isModule(row)) modules.add(moduleText(row));
  return {
    label: store.label,
    schemaVersion: await store.schemaVersion(),
    moduleCount: modules.size,
    nodeCount,
    version: (await store.routeMark()).version,
    hidden: await store.console.hiddenTables(Object.keys(SERVICE_GRANTS.web)),
  };
}

/** Calls of all modules in the last minutes, in all and by module. */
async function readRecent(
  store: Store,
  wallMs: number,
): Promise<{ all: CallHistoryPoint[]; byModule: CallHistoryPoint[] }> {
  const toSeconds = historyWholeUntil(wallMs / 1000);
  const range = { fromSeconds: toSeconds - RECENT_S, toSeconds };
  const all = await store.readCallHistory({ ...range, stepSeconds: 10 });
  const byModule = await store.readCallHistory({ ...range, stepSeconds: 60, groupBy: "module" });
  return { all: [...all.points], byModule: [...byModule.points] };
}

/** Results of the last hour; who keeps a node out has said so as lately as everywhere else. */
async function readCalls(
  store: Store,
  clock: Clock,
  recent: ReadonlyMap<string, RecentCalls>,
): Promise<CallSummary> {
  const nowTs = Math.trunc(clock.wallMs() / 1000);
  const sinceTs = nowTs - RESULTS_RECENT_S;
  const calls = await readNodeCalls(store, clock, nowTs - CALLER_RECENT_S, sinceTs);
  return summariseCalls(calls, recent, sinceTs);
}

/** The state of the system, for the command line and for REST alike. */
export async function readReport(store: Store, clock: Clock): Promise<Report> {
  const wallMs = Math.trunc(clock.wallMs());
  const facts = await readFacts(store);
  const services = await knownServices(store);
  const recent = await readRecent(store, wallMs);
  const byModule = groupCalls(
    recent.byModule,
    ({ module }) => module === undefined ? "" : moduleText(module),
  );
  const events = await store.readEvents({ limit: EVENTS_SHOWN });
  return {
    atMs: wallMs,
    store: facts,
    services: services.filter(({ kind }) => kind !== "agent").map((service) => ({
      kind: service.kind,
      address: service.address,
      software: service.software,
      startedAtMs: service.startedAt * 1000,
      seenAtMs: service.seenAt * 1000,
      isAlive: isRecent(service, wallMs),
      detail: service.detail,
    })),
    agents: summariseAgents(services, facts.version, wallMs / 1000),
    calls: await readCalls(store, clock, byModule),
    recent: { seconds: RECENT_S, ...sumCalls(recent.all) },
    events: events.map((event) => eventView(event, true)),
  };
}

/** Reads reports for those who ask by REST: who asks at once shares one reading. */
export class ReportService {
  readonly #store: Store;
  readonly #clock: Clock;
  #reading: Promise<Report> | undefined;

  constructor({ store, clock }: { store: Store; clock: Clock }) {
    this.#store = store;
    this.#clock = clock;
  }

  async read(): Promise<Report> {
    this.#reading ??= readReport(this.#store, this.#clock).finally(() => {
      this.#reading = undefined;
    });
    return await this.#reading;
  }
}
