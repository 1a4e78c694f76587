// Core. The table of all routes of the REST interface; validation, OpenAPI document and types come from it.

import * as z from "zod";
import * as shapes from "./schemas.ts";

/** Where all routes of the table start. */
export const API_PREFIX = "/api/v1";

/** Name of the session cookie. */
export const SESSION_COOKIE = "lars_session";
/** Header that carries {@linkcode shapes.Session}'s `csrfToken` on every write with a cookie. */
export const CSRF_HEADER = "X-CSRF-Token";

/** Roles, weakest first; each may do what those before it may. */
export const ROLES = ["viewer", "operator", "admin"] as const;
export type Role = (typeof ROLES)[number];

/** Every kind of error: its HTTP status and title. `type` in the body is `urn:lars:` and the name. */
export const PROBLEMS = {
  "bad-request": { status: 400, title: "Request cannot be read" },
  "not-logged-in": { status: 401, title: "Login needed" },
  "wrong-login": { status: 401, title: "Wrong name or password" },
  "not-allowed": { status: 403, title: "Role does not allow this" },
  "csrf": { status: 403, title: "CSRF token missing or wrong" },
  "password-change-needed": { status: 403, title: "Password must be changed first" },
  "foreign-host": { status: 403, title: "Not reachable under this host name" },
  "not-found": { status: 404, title: "Not found" },
  "wrong-method": { status: 405, title: "Method not allowed" },
  "conflict": { status: 409, title: "Contradicts what is stored" },
  "changed-meanwhile": { status: 412, title: "Changed meanwhile" },
  "too-large": { status: 413, title: "Request too large" },
  "wrong-media-type": { status: 415, title: "Body must be JSON" },
  "invalid": { status: 422, title: "Value out of range or of the wrong kind" },
  "revision-needed": { status: 428, title: "If-Match needed" },
  "too-many-requests": { status: 429, title: "Too many requests" },
  "limit": { status: 507, title: "Limit reached" },
  "internal": { status: 500, title: "Fault of the console" },
  "agent-away": { status: 502, title: "Agent does not answer" },
  "store-away": { status: 503, title: "Database does not answer" },
} as const satisfies Record<string, { status: number; title: string }>;
export type ProblemName = keyof typeof PROBLEMS;

/** What is said of a path that no route of this version has. */
export const NO_ROUTE_DETAIL = "There is no such route";

/** One route. */
export interface ApiRoute {
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  /** Below {@linkcode API_PREFIX}, with `{name}` for parts. */
  readonly path: string;
  /** Who may call it: `public` needs no login, `any` every login, also one before password change. */
  readonly role: Role | "public" | "any";
  readonly summary: string;
  /** Group in the OpenAPI document. */
  readonly tag: string;
  readonly params?: z.ZodType;
  readonly query?: z.ZodType;
  /** JSON body of the request. */
  readonly body?: z.ZodType;
  /** JSON body of the answer, or the media type of another kind of answer; null: none (204). */
  readonly response: z.ZodType | string | null;
  /** Status of success; 200, or 204 without a body, unless given. */
  readonly status?: 201;
  /** `required`: answers 428 without If-Match; a wrong one is 412. `If-Match: *` takes any. */
  readonly ifMatch?: "required" | "optional";
  /** Errors besides those every route has, see {@linkcode problemsOf}. */
  readonly problems?: readonly ProblemName[];
}

const sessionRoutes = {
  getSession: {
    method: "GET",
    path: "/session",
    role: "any",
    tag: "session",
    summary: "Who am I?",
    response: shapes.Session,
  },
  login: {
    method: "POST",
    path: "/session",
    role: "public",
    tag: "session",
    summary: "Logs in with name and password; sets the session cookie.",
    body: shapes.LoginInput,
    response: shapes.Session,
    problems: ["wrong-login", "too-many-requests"],
  },
  loginByLink: {
    method: "POST",
    path: "/session/link",
    role: "public",
    tag: "session",
    summary: "Logs in with the token of a one-time link, which is then used up.",
    body: shapes.LinkInput,
    response: shapes.Session,
    problems: ["wrong-login", "too-many-requests"],
  },
  logout: {
    method: "DELETE",
    path: "/session",
    role: "any",
    tag: "session",
    summary: "Ends the session.",
    response: null,
  },
  changePassword: {
    method: "PUT",
    path: "/session/password",
    role: "any",
    tag: "session",
    summary: "Changes my password; ends my other sessions.",
    body: shapes.PasswordInput,
    response: shapes.Session,
    problems: ["wrong-login", "conflict", "too-many-requests"],
  },
} as const satisfies Record<string, ApiRoute>;

const viewRoutes = {
  getOverview: {
    method: "GET",
    path: "/overview",
    role: "viewer",
    tag: "status",
    summary: "Everything on one page: health, calls/s, what is wrong now.",
    response: shapes.Overview,
  },
  getStatus: {
    method: "GET",
    path: "/status",
    role: "viewer",
    tag: "status",
    summary: "State of database, services and modules, for scripts.",
    response: shapes.Status,
  },
  getReport: {
    method: "GET",
    path: "/report",
    role: "viewer",
    tag: "status",
    summary: "What lars status shows: database, services, agents, call results, latest events.",
    response: shapes.Report,
  },
  getCounters: {
    method: "GET",
    path: "/counters",
    role: "viewer",
    tag: "status",
    summary: "Counters of every node with results: rates are the difference of two answers.",
    response: shapes.Counters,
  },
  listServices: {
    method: "GET",
    path: "/services",
    role: "viewer",
    tag: "status",
    summary: "dns, reporter and agent instances: last seen, version, revision lag.",
    query: shapes.ServiceListQuery,
    response: shapes.ServiceList,
  },
  listAgents: {
    method: "GET",
    path: "/agents",
    role: "viewer",
    tag: "status",
    summary:
      "Agents of the fleet, worst first: last seen, version, dns, routes, what they hold back.",
    query: shapes.AgentListQuery,
    response: shapes.AgentList,
  },
  listModules: {
    method: "GET",
    path: "/modules",
    role: "viewer",
    tag: "modules",
    summary: "Modules with health, calls/s and error share.",
    query: shapes.ModuleListQuery,
    response: shapes.ModuleList,
  },
  listModuleTexts: {
    method: "GET",
    path: "/module-texts",
    role: "viewer",
    tag: "modules",
    summary: "Names and policies of all modules that have one.",
    query: shapes.ModuleTextsQuery,
    response: shapes.ModuleTextsList,
  },
  search: {
    method: "GET",
    path: "/search",
    role: "viewer",
    tag: "modules",
    summary: "Modules, nodes and hosts that match a text.",
    query: shapes.SearchQuery,
    response: shapes.SearchResult,
  },
  listPolicies: {
    method: "GET",
    path: "/policies",
    role: "viewer",
    tag: "modules",
    summary: "Balancing policies a module can choose.",
    response: shapes.PolicyList,
  },
  getModule: {
    method: "GET",
    path: "/modules/{modId}/{cmdId}",
    role: "viewer",
    tag: "modules",
    summary: "One module with its nodes; the ETag is its revision.",
    params: shapes.ModuleParams,
    response: shapes.ModuleDetail,
    problems: ["not-found"],
  },
  explainModule: {
    method: "GET",
    path: "/modules/{modId}/{cmdId}/explain",
    role: "viewer",
    tag: "modules",
    summary: "Why the agent of the console's host picks which node.",
    params: shapes.ModuleParams,
    query: shapes.ExplainQuery,
    response: shapes.Explanation,
    problems: ["agent-away", "too-many-requests"],
  },
  getNodeUse: {
    method: "GET",
    path: "/nodes/{node}/use",
    role: "operator",
    tag: "nodes",
    summary: "Asks every dns how its agents use a node: is it safe to stop?",
    params: shapes.NodeOnlyParams,
    query: shapes.NodeUseQuery,
    response: shapes.NodeUse,
    problems: ["too-many-requests"],
  },
  getNodeCallers: {
    method: "GET",
    path: "/nodes/{node}/callers",
    role: "viewer",
    tag: "nodes",
    summary: "Who has reported calls of a node lately.",
    params: shapes.NodeOnlyParams,
    query: shapes.NodeCallersQuery,
    response: shapes.NodeCallers,
  },
  getHistory: {
    method: "GET",
    path: "/history",
    role: "viewer",
    tag: "history",
    summary: "Calls, errors, latency and overload over time: in all, per module, node and caller.",
    query: shapes.HistoryQuery,
    response: shapes.History,
  },
  listEvents: {
    method: "GET",
    path: "/events",
    role: "viewer",
    tag: "history",
    summary: "What happened, newest first.",
    query: shapes.EventListQuery,
    response: shapes.EventList,
  },
  live: {
    method: "GET",
    path: "/live",
    role: "viewer",
    tag: "status",
    summary: "Server-sent events: one view, sent again when it differs, at most once a second.",
    query: shapes.LiveQuery,
    response: "text/event-stream",
    problems: ["not-found", "limit"],
  },
} as const satisfies Record<string, ApiRoute>;

const editRoutes = {
  forgetAgent: {
    method: "DELETE",
    path: "/agents/{address}",
    role: "operator",
    tag: "status",
    summary: "Forgets the agent of a host that is gone; one that lives would be back at once.",
    params: shapes.AgentParams,
    response: null,
    problems: ["not-found", "conflict"],
  },
  putModule: {
    method: "PUT",
    path: "/modules/{modId}/{cmdId}",
    role: "operator",
    tag: "modules",
    summary: "Names a module, chooses its policy; makes it when it is new.",
    params: shapes.ModuleParams,
    body: shapes.ModuleInput,
    response: shapes.ChangeResult,
    ifMatch: "optional",
    problems: ["conflict", "changed-meanwhile"],
  },
  deleteModule: {
    method: "DELETE",
    path: "/modules/{modId}/{cmdId}",
    role: "operator",
    tag: "modules",
    summary: "Removes a module with all its nodes.",
    params: shapes.ModuleParams,
    query: shapes.whyQuery,
    response: shapes.ChangeResult,
    ifMatch: "required",
    problems: ["not-found", "changed-meanwhile", "revision-needed"],
  },
  addNode: {
    method: "POST",
    path: "/modules/{modId}/{cmdId}/nodes",
    role: "operator",
    tag: "nodes",
    summary: "Adds a node; the module comes into being with its first one.",
    params: shapes.ModuleParams,
    body: shapes.NodeInput,
    response: shapes.ChangeResult,
    status: 201,
    ifMatch: "optional",
    problems: ["conflict", "changed-meanwhile"],
  },
  patchNode: {
    method: "PATCH",
    path: "/modules/{modId}/{cmdId}/nodes/{node}",
    role: "operator",
    tag: "nodes",
    summary: "Changes weight, zone or state of a node.",
    params: shapes.NodeParams,
    body: shapes.NodePatch,
    response: shapes.ChangeResult,
    ifMatch: "required",
    problems: ["not-found", "changed-meanwhile", "revision-needed"],
  },
  removeNode: {
    method: "DELETE",
    path: "/modules/{modId}/{cmdId}/nodes/{node}",
    role: "operator",
    tag: "nodes",
    summary: "Removes a node.",
    params: shapes.NodeParams,
    query: shapes.whyQuery,
    response: shapes.ChangeResult,
    ifMatch: "required",
    problems: ["not-found", "changed-meanwhile", "revision-needed"],
  },
  confirmModule: {
    method: "POST",
    path: "/modules/{modId}/{cmdId}/confirm",
    role: "operator",
    tag: "modules",
    summary: "Says that a route is meant as it is: agents that hold its change back take it.",
    params: shapes.ModuleParams,
    body: shapes.WhyBody,
    response: shapes.ChangeResult,
  },
  drainNode: {
    method: "POST",
    path: "/modules/{modId}/{cmdId}/nodes/{node}/drain",
    role: "operator",
    tag: "nodes",
    summary: "Gives a node no new picks.",
    params: shapes.NodeParams,
    body: shapes.WhyBody,
    response: shapes.ChangeResult,
    ifMatch: "optional",
    problems: ["not-found", "changed-meanwhile"],
  },
  restoreNode: {
    method: "POST",
    path: "/modules/{modId}/{cmdId}/nodes/{node}/restore",
    role: "operator",
    tag: "nodes",
    summary: "Gives a drained node picks again.",
    params: shapes.NodeParams,
    body: shapes.WhyBody,
    response: shapes.ChangeResult,
    ifMatch: "optional",
    problems: ["not-found", "changed-meanwhile"],
  },
} as const satisfies Record<string, ApiRoute>;

const changeRoutes = {
  previewChange: {
    method: "POST",
    path: "/changes/preview",
    role: "operator",
    tag: "changes",
    summary: "What edits would change, and whose traffic shifts; nothing is written.",
    body: shapes.PreviewInput,
    response: shapes.ChangePreview,
    problems: ["conflict"],
  },
  applyChange: {
    method: "POST",
    path: "/changes",
    role: "operator",
    tag: "changes",
    summary: "Applies all edits or none.",
    body: shapes.ChangeInput,
    response: shapes.ChangeResult,
    problems: ["conflict", "changed-meanwhile"],
  },
  listChanges: {
    method: "GET",
    path: "/changes",
    role: "viewer",
    tag: "changes",
    summary: "The change history, newest first.",
    query: shapes.ChangeListQuery,
    response: shapes.ChangeList,
  },
  getChange: {
    method: "GET",
    path: "/changes/{id}",
    role: "viewer",
    tag: "changes",
    summary: "One change with every difference it made.",
    params: shapes.IdParams,
    response: shapes.ChangeDetail,
    problems: ["not-found"],
  },
  previewRollback: {
    method: "POST",
    path: "/changes/{id}/rollback/preview",
    role: "operator",
    tag: "changes",
    summary: "What undoing a change would do; warns of nodes that have changed since.",
    params: shapes.IdParams,
    response: shapes.ChangePreview,
    problems: ["not-found"],
  },
  rollbackChange: {
    method: "POST",
    path: "/changes/{id}/rollback",
    role: "operator",
    tag: "changes",
    summary: "Puts every node and name a change touched back as it was before.",
    params: shapes.IdParams,
    body: shapes.RollbackInput,
    response: shapes.ChangeResult,
    problems: ["not-found", "changed-meanwhile"],
  },
  exportRoutes: {
    method: "GET",
    path: "/routes/export",
    role: "viewer",
    tag: "changes",
    summary: "All nodes as CSV or JSON, as the import takes them.",
    query: shapes.ExportQuery,
    response: "text/csv",
  },
  previewImport: {
    method: "POST",
    path: "/routes/import/preview",
    role: "operator",
    tag: "changes",
    summary: "What importing a file would change.",
    body: shapes.ImportInput.omit({ why: true, expect: true }),
    response: shapes.ChangePreview,
  },
  importRoutes: {
    method: "POST",
    path: "/routes/import",
    role: "operator",
    tag: "changes",
    summary: "Makes the routes say what a file says, in one transaction.",
    body: shapes.ImportInput,
    response: shapes.ChangeResult,
    problems: ["conflict", "changed-meanwhile"],
  },
} as const satisfies Record<string, ApiRoute>;

const alertRoutes = {
  listAlerts: {
    method: "GET",
    path: "/alerts",
    role: "viewer",
    tag: "alerts",
    summary: "Alerts that fire or are about to.",
    response: shapes.AlertList,
  },
  listRules: {
    method: "GET",
    path: "/alert-rules",
    role: "viewer",
    tag: "alerts",
    summary: "Rules that make alerts.",
    response: shapes.RuleList,
  },
  addRule: {
    method: "POST",
    path: "/alert-rules",
    role: "operator",
    tag: "alerts",
    summary: "Adds a rule.",
    body: shapes.RuleInput,
    response: shapes.Rule,
    status: 201,
    problems: ["limit"],
  },
  putRule: {
    method: "PUT",
    path: "/alert-rules/{id}",
    role: "operator",
    tag: "alerts",
    summary: "Replaces a rule.",
    params: shapes.IdParams,
    body: shapes.RuleInput,
    response: shapes.Rule,
    problems: ["not-found"],
  },
  deleteRule: {
    method: "DELETE",
    path: "/alert-rules/{id}",
    role: "operator",
    tag: "alerts",
    summary: "Removes a rule; its alerts end.",
    params: shapes.IdParams,
    response: null,
    problems: ["not-found"],
  },
  listSilences: {
    method: "GET",
    path: "/silences",
    role: "viewer",
    tag: "alerts",
    summary: "Silences that have not ended.",
    response: shapes.SilenceList,
  },
  addSilence: {
    method: "POST",
    path: "/silences",
    role: "operator",
    tag: "alerts",
    summary: "Keeps matching alerts quiet for a time.",
    body: shapes.SilenceInput,
    response: shapes.Silence,
    status: 201,
    problems: ["limit"],
  },
  deleteSilence: {
    method: "DELETE",
    path: "/silences/{id}",
    role: "operator",
    tag: "alerts",
    summary: "Ends a silence early.",
    params: shapes.IdParams,
    response: null,
    problems: ["not-found"],
  },
  listWebhooks: {
    method: "GET",
    path: "/webhooks",
    role: "admin",
    tag: "alerts",
    summary: "Addresses that alerts are sent to.",
    response: shapes.WebhookList,
  },
  addWebhook: {
    method: "POST",
    path: "/webhooks",
    role: "admin",
    tag: "alerts",
    summary: "Adds a webhook; the answer shows its secret once.",
    body: shapes.WebhookInput,
    response: shapes.WebhookCreated,
    status: 201,
    problems: ["limit"],
  },
  patchWebhook: {
    method: "PATCH",
    path: "/webhooks/{id}",
    role: "admin",
    tag: "alerts",
    summary: "Changes a webhook.",
    params: shapes.IdParams,
    body: shapes.WebhookPatch,
    response: shapes.Webhook,
    problems: ["not-found"],
  },
  deleteWebhook: {
    method: "DELETE",
    path: "/webhooks/{id}",
    role: "admin",
    tag: "alerts",
    summary: "Removes a webhook.",
    params: shapes.IdParams,
    response: null,
    problems: ["not-found"],
  },
  testWebhook: {
    method: "POST",
    path: "/webhooks/{id}/test",
    role: "admin",
    tag: "alerts",
    summary: "Sends a test message now and says how it went.",
    params: shapes.IdParams,
    response: shapes.WebhookTest,
    problems: ["not-found"],
  },
} as const satisfies Record<string, ApiRoute>;

const accessRoutes = {
  listAudit: {
    method: "GET",
    path: "/audit",
    role: "operator",
    tag: "access",
    summary: "Every write and every refused one: who, when, what, from where.",
    query: shapes.AuditListQuery,
    response: shapes.AuditList,
  },
  listUsers: {
    method: "GET",
    path: "/users",
    role: "admin",
    tag: "access",
    summary: "Users.",
    response: shapes.UserList,
  },
  addUser: {
    method: "POST",
    path: "/users",
    role: "admin",
    tag: "access",
    summary: "Adds a user; the answer shows the first password once.",
    body: shapes.UserInput,
    response: shapes.OneTimePassword,
    status: 201,
    problems: ["conflict", "limit"],
  },
  patchUser: {
    method: "PATCH",
    path: "/users/{name}",
    role: "admin",
    tag: "access",
    summary: "Changes the role of a user, or locks the user out; ends the user's sessions.",
    params: shapes.UserParams,
    body: shapes.UserPatch,
    response: shapes.User,
    problems: ["not-found", "conflict"],
  },
  resetPassword: {
    method: "POST",
    path: "/users/{name}/password",
    role: "admin",
    tag: "access",
    summary: "Gives a user a new one-time password; ends the user's sessions.",
    params: shapes.UserParams,
    response: shapes.OneTimePassword,
    problems: ["not-found"],
  },
  deleteUser: {
    method: "DELETE",
    path: "/users/{name}",
    role: "admin",
    tag: "access",
    summary: "Removes a user with all sessions and tokens.",
    params: shapes.UserParams,
    response: null,
    problems: ["not-found", "conflict"],
  },
  listTokens: {
    method: "GET",
    path: "/tokens",
    role: "viewer",
    tag: "access",
    summary: "My API tokens; for admins everybody's.",
    response: shapes.TokenList,
  },
  addToken: {
    method: "POST",
    path: "/tokens",
    role: "viewer",
    tag: "access",
    summary: "Makes an API token of mine; the answer shows it once.",
    body: shapes.TokenInput,
    response: shapes.TokenCreated,
    status: 201,
    problems: ["limit"],
  },
  deleteToken: {
    method: "DELETE",
    path: "/tokens/{id}",
    role: "viewer",
    tag: "access",
    summary: "Revokes a token of mine; admins revoke anybody's.",
    params: shapes.IdParams,
    response: null,
    problems: ["not-found"],
  },
  getOpenApi: {
    method: "GET",
    path: "/openapi.json",
    role: "public",
    tag: "status",
    summary: "This interface as an OpenAPI 3.1 document.",
    response: "application/json",
  },
} as const satisfies Record<string, ApiRoute>;

/** Every route by its name. */
export const API_ROUTES = {
  ...sessionRoutes,
  ...viewRoutes,
  ...editRoutes,
  ...changeRoutes,
  ...alertRoutes,
  ...accessRoutes,
} as const satisfies Record<string, ApiRoute>;

export type ApiRoutes = typeof API_ROUTES;
export type RouteName = keyof ApiRoutes;

type PartOf<Name extends RouteName, Part extends string> = ApiRoutes[Name] extends
  { readonly [Key in Part]: infer Shape } ? Shape : undefined;

/** What a handler is given of one part; undefined where the route has none. */
export type ParsedOf<Name extends RouteName, Part extends "params" | "query" | "body"> =
  PartOf<Name, Part> extends z.ZodType ? z.output<PartOf<Name, Part>> : undefined;

/** What a client sends as the body of a route; undefined where it has none. */
export type BodyOf<Name extends RouteName> = PartOf<Name, "body"> extends z.ZodType
  ? z.input<PartOf<Name, "body">>
  : undefined;

/** What a client may put into the query of a route, as text. */
export type QueryOf<Name extends RouteName> = PartOf<Name, "query"> extends z.ZodType
  ? z.input<PartOf<Name, "query">>
  : undefined;

/** What a route answers: the JSON value, text for other media types, undefined for none. */
export type ResponseOf<Name extends RouteName> = ApiRoutes[Name]["response"] extends z.ZodType
  ? z.output<ApiRoutes[Name]["response"]>
  : ApiRoutes[Name]["response"] extends string ? string
  : undefined;

/** The body of every error. */
export type ProblemBody = z.output<typeof shapes.ProblemDetails>;

/** Events of {@linkcode ApiRoutes.live} by their names; each carries the whole of its value. */
export interface LiveEvents {
  /** View overview. */
  readonly overview: ResponseOf<"getOverview">;
  /** View modules. */
  readonly modules: ResponseOf<"listModules">;
  /** View module. */
  readonly module: ResponseOf<"getModule">;
  /** View alerts. */
  readonly alerts: ResponseOf<"listAlerts">;
  /** View events: those since the last message, oldest first, at most 100. */
  readonly events: ResponseOf<"listEvents">;
  /** The session has ended; the server closes the stream. */
  readonly bye: { readonly reason: string };
}

/** Every error a route can answer. */
export function problemsOf(route: ApiRoute): ProblemName[] {
  const writes = route.method !== "GET";
  return [
    "internal",
    "store-away",
    ...(route.role === "public" ? [] : ["not-logged-in"] as const),
    ...(["public", "any"].includes(route.role) ? [] : ["password-change-needed"] as const),
    ...(["public", "any", "viewer"].includes(route.role) ? [] : ["not-allowed"] as const),
    ...(writes && route.role !== "public" ? ["csrf"] as const : []),
    ...(route.params ?? route.query ?? route.body ? ["invalid"] as const : []),
    ...(route.body === undefined ? [] : ["bad-request", "too-large", "wrong-media-type"] as const),
    ...(route.problems ?? []),
  ];
}
