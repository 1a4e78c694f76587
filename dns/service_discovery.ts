// Core. The nodes of modules as targets for the HTTP service discovery of Prometheus.

import type { HttpAnswer } from "../daemon/monitor/http_get.ts";
import { StoreError } from "../reactor/errors.ts";
import type { RouteRow, Store } from "../sql/store.ts";
import { addressText, isNodePort, NODE_STATES, type NodeState, PORT_MAX } from "../model/node.ts";
import { UINT32_MAX } from "../model/module.ts";
import type { RouteTable } from "./route_table.ts";

/** Most nodes of one answer; for more the question has to name a module. */
export const DISCOVERY_TARGETS_MAX = 50_000;

/** Nodes with the same labels. */
interface TargetGroup {
  /** Each once, though the table, or the port that was asked for, may name it several times. */
  readonly targets: Set<string>;
  readonly labels: Readonly<Record<string, string>>;
  /** One of its rows. */
  readonly row: RouteRow;
}

/** What is asked for. */
interface DiscoveryQuery {
  readonly modId: number | undefined;
  readonly cmdId: number | undefined;
  readonly states: ReadonlySet<string>;
  /** Port of the targets in place of the node's own. */
  readonly port: number | undefined;
}

const PARAMETERS = ["modid", "cmdid", "state", "port"];

function numberOf(query: URLSearchParams, name: string, max: number): number | undefined {
  const text = query.get(name);
  if (text === null) return undefined;
  const value = Number(text);
  if (/^\d{1,10}$/.test(text) && value <= max) return value;
  throw new RangeError(
    `${name} must be a whole number from 0 to ${max}: current value is "${text}"`,
  );
}

function parseQuery(query: URLSearchParams): DiscoveryQuery {
  for (const name of query.keys()) {
    if (PARAMETERS.includes(name)) continue;
    throw new RangeError(`There is no parameter "${name}"; known: ${PARAMETERS.join(", ")}`);
  }
  const states = (query.get("state") ?? "on,drain").split(",");
  const unknown = states.find((state) => !NODE_STATES.includes(state as NodeState));
  if (unknown !== undefined) {
    throw new RangeError(
      `state must be some of ${NODE_STATES.join(",")}: current value is "${unknown}"`,
    );
  }
  return {
    modId: numberOf(query, "modid", UINT32_MAX),
    cmdId: numberOf(query, "cmdid", UINT32_MAX),
    states: new Set(states),
    port: numberOf(query, "port", PORT_MAX),
  };
}

/** Gathers nodes into groups of the same labels. */
class TargetGroups {
  readonly #query: DiscoveryQuery;
  readonly #groups = new Map<string, TargetGroup>();
  /** Rows of one group mostly come together. */
  #last: TargetGroup | undefined;
  #count = 0;

  constructor(query: DiscoveryQuery) {
    this.#query = query;
  }

  /** True when no more fit. */
  get isFull(): boolean {
    return this.#count > DISCOVERY_TARGETS_MAX;
  }

  add(rows: Iterable<RouteRow>): void {
    const { modId, cmdId, states, port } = this.#query;
    for (const row of rows) {
      if (this.isFull) return;
      if (modId !== undefined && row.modId !== modId) continue;
      if (cmdId !== undefined && row.cmdId !== cmdId) continue;
      if (!states.has(row.state) || !isNodePort(row.port)) continue;
      const target = addressText({ ip: row.ip, port: port ?? row.port });
      const { targets } = this.#groupOf(row);
      if (targets.has(target)) continue;
      targets.add(target);
      this.#count++;
    }
  }

  json(): string {
    const groups = [...this.#groups.values()];
    return JSON.stringify(groups.map(({ targets, labels }) => ({ targets: [...targets], labels })));
  }

  #groupOf(row: RouteRow): TargetGroup {
    const { modId, cmdId, zone, state } = row;
    const last = this.#last?.row;
    if (
      this.#last !== undefined && last?.modId === modId && last.cmdId === cmdId &&
      last.zone === zone && last.state === state
    ) return this.#last;
    const key = JSON.stringify([modId, cmdId, zone, state]);
    let group = this.#groups.get(key);
    if (group === undefined) {
      const labels = {
        __meta_lars_modid: String(modId),
        __meta_lars_cmdid: String(cmdId),
        __meta_lars_zone: zone,
        __meta_lars_state: state,
      };
      this.#groups.set(key, group = { targets: new Set(), labels, row });
    }
    this.#last = group;
    return group;
  }
}

/** Rows of the table in memory that the question is about. */
function* rowsInMemory(table: RouteTable, { modId, cmdId }: DiscoveryQuery): Generator<RouteRow> {
  for (const key of table.modules()) {
    if ((modId ?? key.modId) !== key.modId || (cmdId ?? key.cmdId) !== key.cmdId) continue;
    const { snapshot, index } = table.route(key.modId, key.cmdId);
    yield* snapshot.rowsOf(index);
  }
}

/**
 * Answers `/sd/modules?modid=&cmdid=&state=on,drain&port=`: what Prometheus asks of a
 * `http_sd_configs` url, from the routes in memory. Nodes that are `off` are not there: a question
 * for them reads the database. When there is no answer, or memory may be behind the database,
 * Prometheus is told so, and keeps the targets it has.
 *
 * @param isStale True while the database does not answer.
 */
export async function discoverModules(
  table: RouteTable,
  store: Pick<Store, "readRoutes" | "readModules">,
  parameters: URLSearchParams,
  isStale: boolean,
): Promise<HttpAnswer> {
  try {
    const query = parseQuery(parameters);
    if (isStale) return { status: 503, body: "The database is away\n" };
    const { modId, cmdId } = query;
    const groups = new TargetGroups(query);
    if (!query.states.has("off")) {
      if (!table.loaded) return { status: 503, body: "The routes have not been read yet\n" };
      groups.add(rowsInMemory(table, query));
    } else if (modId !== undefined && cmdId !== undefined) {
      groups.add(await store.readModules([{ modId, cmdId }]));
    } else {
      await store.readRoutes((rows) => groups.add(rows));
    }
    if (groups.isFull) {
      const body = `More than ${DISCOVERY_TARGETS_MAX} nodes: name modid and cmdid\n`;
      return { status: 413, body };
    }
    return { status: 200, contentType: "application/json", body: groups.json() };
  } catch (error) {
    if (error instanceof RangeError) return { status: 400, body: `${error.message}\n` };
    if (error instanceof StoreError) return { status: 503, body: "The database is away\n" };
    throw error;
  }
}
