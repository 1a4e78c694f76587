// Shell. What each route of the table does.

import { isModule, type ModuleKey, moduleText } from "../model/module.ts";
import type { NodeState } from "../model/node.ts";
import { messageOf } from "../reactor/errors.ts";
import type { Clock } from "../reactor/time/clock.ts";
import type { Store } from "../sql/store.ts";
import type { AccessService, Login } from "../control/access/access_service.ts";
import type { Actor } from "../control/access/actor.ts";
import type { AgentService } from "../control/system/agent_service.ts";
import type { AlertService } from "../control/alerts/alert_service.ts";
import { listAgents, STATUS_AGENTS_MAX } from "../control/system/agent_list.ts";
import { listFollowers } from "../control/system/follower_list.ts";
import type { ApiContext, ApiHandlers } from "./api_context.ts";
import { parseNode } from "../control/changes/change_edits.ts";
import { type ChangeService, readTexts } from "../control/changes/change_service.ts";
import {
  type accessRoutes,
  type alertRoutes,
  type changeRoutes,
  type editRoutes,
  type ResponseOf,
  type RouteName,
  type sessionRoutes,
  type viewRoutes,
} from "./contract.ts";
import type { CounterService } from "../control/counters/counter_service.ts";
import type { EventTail } from "../control/reports/event_tail.ts";
import type { EventRecord } from "../sql/results/event.ts";
import type { ExplainService } from "../control/explain/explain_service.ts";
import type { FleetExplainService } from "../control/explain/fleet_explain_service.ts";
import {
  eventQuery,
  eventView,
  historyQuery,
  historyView,
  knownQuery,
} from "../control/reports/history_views.ts";
import { type LeaseHandlerParts, leaseHandlers } from "./lease_handlers.ts";
import type { LiveHub, LiveMessage } from "./live_stream.ts";
import type { NodeUseService } from "../control/drain/node_use_service.ts";
import { policyList } from "./policy_list.ts";
import { openApiDocument } from "./openapi.ts";
import { ApiProblem } from "./problem.ts";
import { sessionCookie } from "./session_cookie.ts";
import { type RelayHandlerParts, relayHandlers } from "./relays/relay_handlers.ts";
import { type ScalingHandlerParts, scalingHandlers } from "./scaling_handlers.ts";
import type { ReportService } from "../control/reports/report_service.ts";
import { NODE_MODULES_MAX } from "../control/schemas.ts";
import type { SystemReader } from "../control/system/system_reader.ts";
import {
  detailOf,
  listModules,
  listServices,
  modulesWith,
  overviewOf,
  search,
} from "../control/system/system_views.ts";
import type { ChangeResult, ModuleDetail, Session, Status } from "../control/schemas.ts";

/** A caller that reported within this time is one of a node, in seconds. */
const CALLERS_WITHIN_S = 60;

/** Events one message of the stream carries. */
const LIVE_EVENTS_MAX = 100;

/** What the handlers work with. */
export interface HandlerParts extends LeaseHandlerParts, ScalingHandlerParts, RelayHandlerParts {
  readonly store: Store;
  readonly access: AccessService;
  readonly changes: ChangeService;
  readonly alerts: AlertService;
  readonly reader: SystemReader;
  readonly live: LiveHub;
  /** Asks the agent of this host. */
  readonly explain: ExplainService;
  /** Asks any agent. */
  readonly fleetExplain: FleetExplainService;
  readonly agents: AgentService;
  readonly counters: CounterService;
  readonly events: EventTail;
  readonly reports: ReportService;
  readonly nodeUse: NodeUseService;
  readonly clock: Clock;
  readonly software: string;
  /** Names the database for `lars user reset`. */
  storeOption(): string;
  /** What a login by OpenID Connect is called; undefined where there is none. */
  readonly loginProvider: string | undefined;
  /** True sends the cookie over encrypted connections only. */
  readonly secureCookie: boolean;
}

/** The handlers of some routes. */
type HandlersOf<Name extends RouteName> = Pick<ApiHandlers, Name>;

/** What is told to those who are not logged in, and are on another host. */
const ONLY_READS = "The database is newer than this console, which only reads there";

function sessionView(actor: Actor, { newerSchema }: SystemReader): Session {
  const { name, role, csrfToken, mustChangePassword, isByLink, expiresAtMs } = actor;
  const via = actor.via === "token" ? "token" : "cookie";
  return {
    ...{ name, role, via, csrfToken, mustChangePassword, isByLink, expiresAtMs },
    isByProvider: actor.isByProvider ?? false,
    readOnly: newerSchema ?? null,
  };
}

function sessionHandlers(
  { access, reader, secureCookie, storeOption, loginProvider }: HandlerParts,
): HandlersOf<keyof typeof sessionRoutes> {
  const opened = ({ secret, actor }: Login, headers: Headers): Session => {
    headers.set("Set-Cookie", sessionCookie(secret, secureCookie));
    return sessionView(actor, reader);
  };
  return {
    getSession: ({ actor }) => sessionView(actor, reader),
    login: async ({ body, address, headers }) =>
      opened(await access.login(body.name, body.password, address), headers),
    loginByLink: async ({ body, address, headers }) =>
      opened(await access.loginByLink(body.token, address), headers),
    getLoginHelp: ({ isLocal }) => ({
      provider: loginProvider ?? null,
      storeOption: isLocal ? storeOption() : "",
      readOnly: reader.newerSchema === undefined ? null : isLocal ? reader.newerSchema : ONLY_READS,
    }),
    async logout({ actor, headers }): Promise<undefined> {
      await access.logout(actor);
      headers.set("Set-Cookie", sessionCookie(undefined, secureCookie));
    },
    changePassword: async ({ actor, body }) =>
      sessionView(await access.changePassword(actor, body), reader),
  };
}

async function moduleDetail(
  { changes, reader }: HandlerParts,
  { modId, cmdId }: { modId: number; cmdId: number },
): Promise<ModuleDetail> {
  const { module } = await changes.stored({ modId, cmdId });
  if (!isModule(module, module.nodes.length)) {
    throw new ApiProblem("not-found", `There is no module ${moduleText({ modId, cmdId })}`);
  }
  return detailOf(module, reader.model.module(modId, cmdId));
}

/** The same from what was read for everybody; undefined when there is no such module. */
function seenDetail(
  { reader }: HandlerParts,
  { modId, cmdId }: { modId: number; cmdId: number },
): ModuleDetail | undefined {
  const stored = reader.model.stored(modId, cmdId);
  return stored === undefined ? undefined : detailOf(stored, reader.model.module(modId, cmdId));
}

async function statusOf(parts: HandlerParts): Promise<Status> {
  const { store, reader, alerts, software } = parts;
  const { view } = reader.model;
  let schemaVersion = 0;
  let fault = reader.fault ?? null;
  try {
    schemaVersion = await store.schemaVersion();
  } catch (error) {
    fault = messageOf(error);
  }
  return {
    software,
    store: { label: store.label, isUp: fault === null, schemaVersion, fault },
    overview: overviewOf(view, alerts.firingCount),
    services: [
      ...view.services.filter(({ kind }) => kind !== "agent"),
      ...listAgents(view, { limit: STATUS_AGENTS_MAX }).agents
        .map(({ state: _state, ...agent }) => agent),
    ],
  };
}

/** The modules a question about a node is of: those named, or all that have it. */
function modulesOf(
  { reader }: HandlerParts,
  { node }: { node: string },
  named: ModuleKey[] | undefined,
): readonly ModuleKey[] {
  return named ?? modulesWith(reader.model.view, node).slice(0, NODE_MODULES_MAX);
}

/** The latest events, then those that come; undefined when there are none. */
function eventsOf(
  { store, events }: HandlerParts,
  module: ModuleKey | undefined,
): () => Promise<readonly EventRecord[] | undefined> {
  let mark: number | undefined;
  // What was stored between the two questions comes with both.
  let first: ReadonlySet<number> = new Set();
  return async () => {
    if (mark === undefined) {
      mark = await events.mark();
      const filter = module === undefined ? {} : { module };
      const latest = await store.readEvents({ limit: LIVE_EVENTS_MAX, ...filter });
      first = new Set(latest.map(({ id }) => id));
      return latest;
    }
    const part = await events.after(mark, LIVE_EVENTS_MAX);
    mark = part.mark;
    const fresh = part.events.filter((event) =>
      !first.has(event.id) && (module === undefined ||
        (event.module?.modId === module.modId && event.module.cmdId === module.cmdId))
    );
    return fresh.length === 0 ? undefined : fresh;
  };
}

/** What a stream shows next. */
function liveNext(
  parts: HandlerParts,
  query: ApiContext<"live">["query"],
): () => Promise<LiveMessage | undefined> {
  const { reader, alerts } = parts;
  const { view = "overview", modId, cmdId, ...list } = query;
  const key = modId === undefined || cmdId === undefined ? undefined : { modId, cmdId };
  if (view === "module" && key === undefined) {
    throw new ApiProblem("invalid", "View module needs modId and cmdId");
  }
  const nextEvents = eventsOf(parts, key);
  return async () => {
    const system = reader.model.view;
    switch (view) {
      case "overview":
        return { event: view, data: overviewOf(system, alerts.firingCount) };
      case "modules":
        return { event: view, data: listModules(system, { ...list, limit: list.limit ?? 50 }) };
      case "alerts":
        return { event: view, data: { alerts: alerts.alerts() } };
      case "module": {
        // Before the database was read nobody knows which modules there are.
        if (key === undefined || system.atMs === 0) return undefined;
        const data = seenDetail(parts, key);
        return data === undefined ? { event: "gone", data: key } : { event: view, data };
      }
      case "events": {
        const events = await nextEvents();
        if (events === undefined) return undefined;
        return { event: view, data: { events: events.map((event) => eventView(event)) } };
      }
    }
  };
}

function openLive(parts: HandlerParts, context: ApiContext<"live">): Response {
  if (parts.live.isFull) throw new ApiProblem("limit", "Too many pages are open");
  const { name } = context.actor;
  if (parts.live.isFullFor(name)) throw new ApiProblem("limit", "Too many pages of yours are open");
  const next = liveNext(parts, context.query);
  const stream = parts.live.open({ next, isAllowed: () => context.stillAllowed() }, name);
  return new Response(stream, {
    headers: { "Content-Type": "text/event-stream", "X-Accel-Buffering": "no" },
  });
}

function viewHandlers(parts: HandlerParts): HandlersOf<keyof typeof viewRoutes> {
  const { reader, alerts, store } = parts;
  return {
    getOverview: () => overviewOf(reader.model.view, alerts.firingCount),
    getStatus: () => statusOf(parts),
    listServices: ({ query }) => listServices(reader.model.view, query),
    listAgents: ({ query }) => listAgents(reader.model.view, query),
    listFollowers: () => listFollowers(reader.model.view.services, reader.model.view.version),
    listModules: ({ query }) => listModules(reader.model.view, query),
    search: ({ query }) => search(reader.model.view, query.q, query.limit ?? 20),
    listPolicies: policyList,
    async getModule({ params, headers }): Promise<ModuleDetail> {
      const detail = await moduleDetail(parts, params);
      headers.set("ETag", `"${detail.revision}"`);
      return detail;
    },
    listModuleTexts: async ({ query }) => ({
      modules: (await readTexts(store, query))
        .map(({ updatedAt, ...row }) => ({ ...row, updatedAtMs: updatedAt * 1000 })),
    }),
    explainModule: ({ params, query }) =>
      query.agent === undefined
        ? parts.explain.explain(params, query.limit)
        : parts.fleetExplain.explain(params, query.agent, query.limit),
    getReport: () => parts.reports.read(),
    getCounters: () => parts.counters.read(),
    getNodeUse: ({ params, query }) =>
      parts.nodeUse.use(parseNode(params.node), modulesOf(parts, params, query.modules)),
    getNodeCallers: ({ params, query }) =>
      parts.nodeUse.callers(
        parseNode(params.node),
        modulesOf(parts, params, query.modules),
        query.withinS ?? CALLERS_WITHIN_S,
      ),
    async getHistory({ query }): Promise<ResponseOf<"getHistory">> {
      const question = historyQuery(query, Math.trunc(parts.clock.wallMs()));
      const history = await store.readCallHistory(question);
      const known = question.groupBy === "total" && question.module === undefined &&
          question.node === undefined && question.caller === undefined
        ? history
        : await store.readCallHistory(knownQuery(question));
      return historyView(history, question, known);
    },
    async listEvents({ query }): Promise<ResponseOf<"listEvents">> {
      const events = await store.readEvents(eventQuery(query));
      const withDetail = query.detail === "true";
      return { events: events.map((event) => eventView(event, withDetail)).reverse() };
    },
    live: (context) => openLive(parts, context),
  };
}

function editHandlers({ changes, agents }: HandlerParts): HandlersOf<keyof typeof editRoutes> {
  const tagged = async (
    headers: Headers,
    change: Promise<ChangeResult>,
  ): Promise<ChangeResult> => {
    const result = await change;
    if (result.revision !== null) headers.set("ETag", `"${result.revision}"`);
    return result;
  };
  const setState = (
    state: NodeState,
    action: string,
    { actor, params, body: { why }, ifMatch, headers }: ApiContext<"drainNode" | "restoreNode">,
  ): Promise<ChangeResult> => {
    const wish = changes.patchNode(actor, params, params.node, { state }, { why, ifMatch }, action);
    return tagged(headers, wish);
  };
  return {
    async forgetAgent({ actor, params }): Promise<undefined> {
      await agents.forget(actor, params.address);
    },
    putModule: ({ actor, params, body: { why, ...texts }, ifMatch, headers }) =>
      tagged(headers, changes.putModule(actor, params, texts, { why, ifMatch })),
    confirmModule: ({ actor, params, body }) => changes.confirm(actor, params, body.why),
    deleteModule: ({ actor, params, query: { why }, ifMatch }) =>
      changes.deleteModule(actor, params, { why, ifMatch }),
    addNode: ({ actor, params, body: { why, ...node }, ifMatch, headers }) =>
      tagged(headers, changes.addNode(actor, params, node, { why, ifMatch })),
    patchNode: ({ actor, params, body: { why, ...values }, ifMatch, headers }) =>
      tagged(headers, changes.patchNode(actor, params, params.node, values, { why, ifMatch })),
    removeNode: ({ actor, params, query: { why }, ifMatch, headers }) =>
      tagged(headers, changes.removeNode(actor, params, params.node, { why, ifMatch })),
    drainNode: (context) => setState("drain", "node.drain", context),
    restoreNode: (context) => setState("on", "node.restore", context),
  };
}

function changeHandlers({ changes }: HandlerParts): HandlersOf<keyof typeof changeRoutes> {
  return {
    previewChange: ({ body }) => changes.preview(body.edits),
    applyChange: ({ actor, body }) => changes.apply(actor, body.edits, body),
    listChanges: async ({ query }) => ({ changes: await changes.changes(query) }),
    getChange: ({ params }) => changes.detail(params.id),
    previewRollback: ({ params }) => changes.previewRollback(params.id),
    rollbackChange: ({ actor, params, body }) => changes.rollback(actor, params.id, body),
    async exportRoutes({ query }): Promise<Response> {
      const format = query.format ?? "csv";
      const type = format === "csv" ? "text/csv; charset=utf-8" : "application/json";
      return new Response(await changes.exportFile(query), {
        headers: {
          "Content-Type": type,
          "Content-Disposition": `attachment; filename="routes.${format}"`,
        },
      });
    },
    previewImport: ({ body }) => changes.previewImport(body),
    importRoutes: ({ actor, body }) => changes.importFile(actor, body),
  };
}

function alertHandlers({ alerts }: HandlerParts): HandlersOf<keyof typeof alertRoutes> {
  return {
    listAlerts: () => ({ alerts: alerts.alerts() }),
    listRules: async () => ({ rules: await alerts.rules() }),
    addRule: ({ actor, body }) => alerts.addRule(actor, body),
    putRule: ({ actor, params, body }) => alerts.putRule(actor, params.id, body),
    async deleteRule({ actor, params }): Promise<undefined> {
      await alerts.removeRule(actor, params.id);
    },
    listSilences: async () => ({ silences: await alerts.silences() }),
    addSilence: ({ actor, body }) => alerts.addSilence(actor, body),
    async deleteSilence({ actor, params }): Promise<undefined> {
      await alerts.removeSilence(actor, params.id);
    },
    listWebhooks: async () => ({ webhooks: await alerts.webhooks() }),
    addWebhook: ({ actor, body }) => alerts.addWebhook(actor, body),
    patchWebhook: ({ actor, params, body }) => alerts.patchWebhook(actor, params.id, body),
    async deleteWebhook({ actor, params }): Promise<undefined> {
      await alerts.removeWebhook(actor, params.id);
    },
    testWebhook: ({ actor, params }) => alerts.testWebhook(actor, params.id),
  };
}

function accessHandlers({ access }: HandlerParts): HandlersOf<keyof typeof accessRoutes> {
  return {
    listAudit: async ({ query }) => ({ entries: await access.auditRows(query) }),
    listUsers: async () => ({ users: await access.users() }),
    addUser: ({ actor, body }) => access.addUser(actor, body),
    patchUser: ({ actor, params, body }) => access.patchUser(actor, params.name, body),
    resetPassword: ({ actor, params }) => access.resetPassword(actor, params.name),
    async deleteUser({ actor, params }): Promise<undefined> {
      await access.removeUser(actor, params.name);
    },
    listTokens: async ({ actor }) => ({ tokens: await access.tokens(actor) }),
    addToken: ({ actor, body }) => access.addToken(actor, body),
    async deleteToken({ actor, params }): Promise<undefined> {
      await access.removeToken(actor, params.id);
    },
    getOpenApi: () =>
      new Response(JSON.stringify(openApiDocument()), {
        headers: { "Content-Type": "application/json" },
      }),
  };
}

/** A handler for every route of the table. */
export function makeHandlers(parts: HandlerParts): ApiHandlers {
  return {
    ...sessionHandlers(parts),
    ...viewHandlers(parts),
    ...editHandlers(parts),
    ...changeHandlers(parts),
    ...alertHandlers(parts),
    ...leaseHandlers(parts),
    ...scalingHandlers(parts),
    ...relayHandlers(parts),
    ...accessHandlers(parts),
  };
}
