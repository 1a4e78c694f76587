// Shell. The system as a console shows it by its REST interface.

import { type ModuleKey, moduleText } from "../model/module.ts";
import { addressText, type NodeAddress } from "../model/node.ts";
import { formatIpv4, parseIpv4 } from "../reactor/address.ts";
import type { ChangeOptions, ModuleFilter } from "../control/changes/change.ts";
import type {
  AlertAccess,
  ChangeLog,
  ScaleAccess,
  SystemAccess,
  UserAccess,
} from "../control/system_access.ts";
import type { ChangeEdits } from "../sql/console/console_store.ts";
import type { EventQuery, EventRecord } from "../sql/results/event.ts";
import type { ModuleRow, RouteRow } from "../sql/store.ts";
import { CHANGE_EDITS_MAX, NODE_MODULES_MAX, PAGE_ROWS_MAX } from "../control/schemas.ts";
import { CommandError } from "./cli_errors.ts";
import type { ConsoleClient } from "./console_client.ts";
import { eventOf } from "./history_view.ts";
import type {
  ChangeResult,
  Counters,
  EventView,
  Explanation,
  FollowerList,
  NodeCallers,
  NodeUseAnswers,
  Report,
  StoreFacts,
} from "../control/schemas.ts";

interface FileNode extends Pick<RouteRow, "port" | "weight" | "zone" | "state"> {
  readonly modid: number;
  readonly cmdid: number;
  readonly ip: string;
}

/** The rows of an exported file; undefined when it is none. */
function rowsOf(text: string): RouteRow[] | undefined {
  try {
    return (JSON.parse(text) as FileNode[]).map(
      ({ modid, cmdid, ip, port, weight, zone, state }) => ({
        modId: modid,
        cmdId: cmdid,
        ip: parseIpv4(ip),
        port,
        weight,
        zone,
        state,
      }),
    );
  } catch {
    return undefined;
  }
}

/** As a query names them, in parts that one request takes. */
function moduleLists(modules: readonly ModuleKey[]): string[] {
  const lists: string[] = [];
  for (let at = 0; at < modules.length; at += NODE_MODULES_MAX) {
    const some = modules.slice(at, at + NODE_MODULES_MAX);
    lists.push(some.map(moduleText).join(","));
  }
  return lists;
}

function userAccess(client: ConsoleClient): UserAccess {
  return {
    list: async () => (await client.call("listUsers")).users,
    add: async (name, role) => (await client.call("addUser", { body: { name, role } })).password,
    reset: async (name) => (await client.call("resetPassword", { params: { name } })).password,
    patch: async (name, patch) =>
      void await client.call("patchUser", { params: { name }, body: patch }),
    remove: async (name) => void await client.call("deleteUser", { params: { name } }),
  };
}

function alertAccess(client: ConsoleClient): AlertAccess {
  return {
    rules: async () => (await client.call("listRules")).rules,
    addRule: async (body) => void await client.call("addRule", { body }),
    putRule: async (id, body) => void await client.call("putRule", { params: { id }, body }),
    removeRule: async (id) => void await client.call("deleteRule", { params: { id } }),
    silences: async () => (await client.call("listSilences")).silences,
    addSilence: async (body) => void await client.call("addSilence", { body }),
    removeSilence: async (id) => void await client.call("deleteSilence", { params: { id } }),
    webhooks: async () =>
      (await client.call("listWebhooks")).webhooks
        .map(({ last: _last, waitingCount: _waiting, ...webhook }) => webhook),
    addWebhook: async (body) => (await client.call("addWebhook", { body })).secret,
    patchWebhook: async (id, body) =>
      void await client.call("patchWebhook", { params: { id }, body }),
    removeWebhook: async (id) => void await client.call("deleteWebhook", { params: { id } }),
  };
}

function scaleAccess(client: ConsoleClient): ScaleAccess {
  return {
    modules: async () => (await client.call("listScaling")).modules,
    put: async ({ modId, cmdId }, rule, why) =>
      void await client.call("putScaling", {
        params: { modId, cmdId },
        body: { rule: { ...rule, floors: [...rule.floors] }, why },
      }),
    remove: async ({ modId, cmdId }, why) =>
      void await client.call("deleteScaling", {
        params: { modId, cmdId },
        query: why === undefined ? {} : { why },
      }),
  };
}

/** The system behind a console. */
export class ServerSystem implements SystemAccess {
  readonly users: UserAccess;
  readonly alerts: AlertAccess;
  readonly scaling: ScaleAccess;
  readonly history: ChangeLog;
  readonly #client: ConsoleClient;

  constructor(client: ConsoleClient) {
    this.#client = client;
    this.users = userAccess(client);
    this.alerts = alertAccess(client);
    this.scaling = scaleAccess(client);
    this.history = {
      changes: async ({ modId, cmdId, limit }) => {
        const query = { modId: `${modId}`, cmdId: `${cmdId}`, limit: `${limit}` };
        return (await client.call("listChanges", { query })).changes;
      },
      detail: (id) => client.call("getChange", { params: { id } }),
    };
  }

  async read(module?: ModuleKey): Promise<RouteRow[]> {
    const filter = module === undefined
      ? {}
      : { modId: `${module.modId}`, cmdId: `${module.cmdId}` };
    const text = await this.#client.text("exportRoutes", { query: { format: "json", ...filter } });
    const rows = rowsOf(text);
    if (rows !== undefined) return rows;
    throw new CommandError(`${this.#client.origin} answers no routes: that is no console`);
  }

  async readNode({ ip, port }: NodeAddress): Promise<RouteRow[]> {
    return (await this.read()).filter((row) => row.ip === ip && row.port === port);
  }

  async change(
    { routes, modules = [] }: ChangeEdits,
    { why, meant }: ChangeOptions = {},
  ): Promise<ChangeResult> {
    const edits = [
      ...routes.map((edit) => ({ ...edit, ip: formatIpv4(edit.ip) })),
      ...modules.map((change) => ({ op: "module" as const, ...change })),
    ];
    if (edits.length > CHANGE_EDITS_MAX) {
      throw new CommandError(
        `A console takes at most ${CHANGE_EDITS_MAX} edits at once: these are ${edits.length}`,
      );
    }
    return await this.#client.call("applyChange", { body: { edits, meant, why } });
  }

  confirm({ modId, cmdId }: ModuleKey, why: string | undefined): Promise<ChangeResult> {
    return this.#client.call("confirmModule", { params: { modId, cmdId }, body: { why } });
  }

  async texts({ modId, cmdId }: ModuleFilter = {}): Promise<ModuleRow[]> {
    const { modules } = await this.#client.call("listModuleTexts", {
      query: {
        ...(modId === undefined ? {} : { modId: `${modId}` }),
        ...(cmdId === undefined ? {} : { cmdId: `${cmdId}` }),
      },
    });
    return modules.map(({ updatedAtMs, ...row }) => ({ ...row, updatedAt: updatedAtMs / 1000 }));
  }

  async facts(): Promise<StoreFacts> {
    return (await this.report()).store;
  }

  report(): Promise<Report> {
    return this.#client.call("getReport");
  }

  followers(): Promise<FollowerList> {
    return this.#client.call("listFollowers");
  }

  counters(): Promise<Counters> {
    return this.#client.call("getCounters");
  }

  async readEvents(query: EventQuery = {}): Promise<EventRecord[]> {
    const { module, kinds = [], limit = 100, afterId, beforeId } = query;
    const filter = {
      detail: "true" as const,
      ...(module === undefined ? {} : { modId: `${module.modId}`, cmdId: `${module.cmdId}` }),
      ...(kinds.length === 0 ? {} : { kind: kinds.join(",") }),
    };
    const found: EventView[] = [];
    let edge = afterId ?? beforeId;
    while (found.length < limit) {
      const rows = Math.min(limit - found.length, PAGE_ROWS_MAX);
      const side = afterId === undefined ? "before" : "after";
      const { events } = await this.#client.call("listEvents", {
        query: {
          ...filter,
          limit: `${rows}`,
          ...(edge === undefined ? {} : { [side]: `${edge}` }),
        },
      });
      const oldestFirst = events.toReversed();
      if (afterId === undefined) found.unshift(...oldestFirst);
      else found.push(...oldestFirst);
      if (events.length < rows) break;
      edge = afterId === undefined ? found[0].id : found[found.length - 1].id;
    }
    return found.map(eventOf);
  }

  async explain(
    { modId, cmdId }: ModuleKey,
    agent: string,
    nodesMax: number,
  ): Promise<Explanation> {
    const query = { agent, limit: `${nodesMax}` };
    return await this.#client.call("explainModule", { params: { modId, cmdId }, query });
  }

  async nodeUse(node: NodeAddress, modules: readonly ModuleKey[]): Promise<NodeUseAnswers> {
    const params = { node: addressText(node) };
    const parts = await Promise.all(
      moduleLists(modules).map((list) =>
        this.#client.call("getNodeUse", { params, query: { modules: list } })
      ),
    );
    return {
      dnsCount: Math.min(...parts.map(({ dnsCount }) => dnsCount)),
      answers: parts.flatMap(({ answers }) => answers),
      unlinked: parts.flatMap(({ unlinked }) => unlinked).filter(({ name }, index, all) =>
        all.findIndex((one) => one.name === name) === index
      ),
    };
  }

  async nodeCallers(
    node: NodeAddress,
    modules: readonly ModuleKey[],
    withinS: number,
  ): Promise<NodeCallers> {
    const params = { node: addressText(node) };
    const found = { callers: [] as NodeCallers["callers"][number][], callerCount: 0 };
    for (const list of moduleLists(modules)) {
      const query = { modules: list, withinS: `${withinS}` };
      const { callers, callerCount } = await this.#client.call("getNodeCallers", { params, query });
      found.callers.push(...callers);
      found.callerCount += callerCount;
    }
    return found;
  }

  close(): Promise<void> {
    this.#client.close();
    return Promise.resolve();
  }
}
