// Core. The table of all routes of the REST interface; validation, OpenAPI document and types come from it.

import * as z from "zod";
import type { Role } from "../control/access/actor.ts";
import * as shapes from "../control/schemas.ts";

/** Where all routes of the table start. */
export const API_PREFIX = "/api/v1";

/** Name of the session cookie. */
export const SESSION_COOKIE = "lars_session";
/** Header that carries {@linkcode shapes.SessionShape}'s `csrfToken` on every write with a cookie. */
export const CSRF_HEADER = "X-CSRF-Token";

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
  "relay-away": { status: 502, title: "Relay does not answer" },
  "discovery-away": { status: 503, title: "No discovery answers" },
  "store-away": { status: 503, title: "Database does not answer" },
  "store-newer": { status: 503, title: "Database is newer than this console" },
  "store-rights": { status: 503, title: "Database refuses the console a right" },
  "store-schema": { status: 503, title: "Database lacks a table of the console" },
  "store-unusable": { status: 503, title: "Database cannot be used" },
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

/** Group in the OpenAPI document, by the first part of a path. */
const TAGS: Readonly<Record<string, string>> = {
  session: "session",
  modules: "modules",
  "module-texts": "modules",
  search: "modules",
  policies: "modules",
  nodes: "nodes",
  history: "history",
  events: "history",
  leases: "leases",
  scaling: "scaling",
  relays: "relays",
  changes: "changes",
  routes: "changes",
  alerts: "alerts",
  "alert-rules": "alerts",
  silences: "alerts",
  webhooks: "alerts",
  audit: "access",
  users: "access",
  tokens: "access",
};

type PartNames<Path extends string> = Path extends `${string}{${infer Name}}${infer Rest}`
  ? Name | PartNames<Rest>
  : never;
type PathParts<Path extends string> = Pick<
  typeof shapes.pathParts,
  PartNames<Path> & PathPart
>;
type PathPart = keyof typeof shapes.pathParts;
type OwnParts =
  & Pick<ApiRoute, "response">
  & Partial<Pick<ApiRoute, "query" | "body" | "status" | "ifMatch" | "problems">>;
type RouteOf<Path extends string, Parts> =
  & Omit<ApiRoute, "params" | keyof Parts>
  & Parts
  & (PartNames<Path> extends never ? unknown : { readonly params: z.ZodObject<PathParts<Path>> });

/** A route; its group and the shape of `{parts}` follow from its path, some errors from `ifMatch`. */
function route<const Path extends string, const Parts extends OwnParts>(
  on: `${ApiRoute["method"]} ${Path}`,
  role: ApiRoute["role"],
  summary: string,
  parts: Parts,
): RouteOf<Path, Parts> {
  const [method, path] = on.split(" ");
  const tag = path.includes("/nodes") ? "nodes" : TAGS[path.split("/")[1]] ?? "status";
  const names = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
  const params = z.strictObject(
    Object.fromEntries(names.map((name) => [name, shapes.pathParts[name as PathPart]])),
  );
  const found = { method, path, role, tag, summary, ...(names.length > 0 ? { params } : {}) };
  const { ifMatch, problems = [] } = parts;
  const ofMatch: ProblemName[] = ifMatch === undefined ? [] : ["changed-meanwhile"];
  if (ifMatch === "required") ofMatch.push("revision-needed");
  // The template of `on` says that these are its method and path.
  return { ...found, ...parts, problems: [...problems, ...ofMatch] } as unknown as RouteOf<
    Path,
    Parts
  >;
}

export const sessionRoutes = {
  getSession: route("GET /session", "any", "Who am I?", { response: shapes.SessionShape }),
  login: route(
    "POST /session",
    "public",
    "Logs in with name and password; sets the session cookie.",
    {
      body: shapes.LoginInput,
      response: shapes.SessionShape,
      problems: ["wrong-login", "too-many-requests"],
    },
  ),
  loginByLink: route(
    "POST /session/link",
    "public",
    "Logs in with the token of a one-time link, which is then used up.",
    {
      body: shapes.LinkInput,
      response: shapes.SessionShape,
      problems: ["wrong-login", "too-many-requests"],
    },
  ),
  getLoginHelp: route(
    "GET /session/help",
    "public",
    "How somebody gets in who has no password or has lost it.",
    { response: shapes.LoginHelp },
  ),
  logout: route("DELETE /session", "any", "Ends the session.", { response: null }),
  changePassword: route(
    "PUT /session/password",
    "any",
    "Changes my password; ends my other sessions.",
    {
      body: shapes.PasswordInput,
      response: shapes.SessionShape,
      problems: ["wrong-login", "conflict", "too-many-requests"],
    },
  ),
};

export const viewRoutes = {
  getOverview: route(
    "GET /overview",
    "viewer",
    "Everything on one page: health, calls/s, what is wrong now.",
    { response: shapes.Overview },
  ),
  getStatus: route(
    "GET /status",
    "viewer",
    "State of database, services and modules, for scripts.",
    { response: shapes.StatusShape },
  ),
  getReport: route(
    "GET /report",
    "viewer",
    "What lars status shows: database, services, agents, call results, latest events.",
    { response: shapes.Report },
  ),
  getCounters: route(
    "GET /counters",
    "viewer",
    "Counters of every node with results: rates are the difference of two answers.",
    { response: shapes.Counters },
  ),
  listServices: route(
    "GET /services",
    "viewer",
    "dns, reporter and agent instances: last seen, version, revision lag.",
    { query: shapes.ServiceListQuery, response: shapes.ServiceListShape },
  ),
  listAgents: route(
    "GET /agents",
    "viewer",
    "Agents of the fleet, worst first: last seen, version, dns, routes, what they hold back.",
    { query: shapes.AgentListQuery, response: shapes.AgentListShape },
  ),
  listFollowers: route(
    "GET /followers",
    "viewer",
    "Who follows routes, by which way: agents, clients, exports with their streams and askers.",
    { response: shapes.FollowerListShape },
  ),
  listModules: route("GET /modules", "viewer", "Modules with health, calls/s and error share.", {
    query: shapes.ModuleListQuery,
    response: shapes.ModuleListShape,
  }),
  listModuleTexts: route(
    "GET /module-texts",
    "viewer",
    "Names and policies of all modules that have one.",
    { query: shapes.ModuleTextsQuery, response: shapes.ModuleTextsList },
  ),
  search: route("GET /search", "viewer", "Modules, nodes and hosts that match a text.", {
    query: shapes.SearchQuery,
    response: shapes.SearchResult,
  }),
  listPolicies: route("GET /policies", "viewer", "Balancing policies a module can choose.", {
    response: shapes.PolicyList,
  }),
  getModule: route(
    "GET /modules/{modId}/{cmdId}",
    "viewer",
    "One module with its nodes; the ETag is its revision.",
    { response: shapes.ModuleDetail, problems: ["not-found"] },
  ),
  explainModule: route(
    "GET /modules/{modId}/{cmdId}/explain",
    "viewer",
    "Why an agent picks which node: that of the console's host, or any that dns has heard of.",
    {
      query: shapes.ExplainQuery,
      response: shapes.Explanation,
      problems: ["agent-away", "not-found", "too-many-requests"],
    },
  ),
  getNodeUse: route(
    "GET /nodes/{node}/use",
    "operator",
    "Asks every dns how its agents use a node: is it safe to stop?",
    {
      query: shapes.NodeUseQueryShape,
      response: shapes.NodeUseAnswers,
      problems: ["too-many-requests"],
    },
  ),
  getNodeCallers: route(
    "GET /nodes/{node}/callers",
    "viewer",
    "Who has reported calls of a node lately.",
    { query: shapes.NodeCallersQuery, response: shapes.NodeCallers },
  ),
  getHistory: route(
    "GET /history",
    "viewer",
    "Calls, errors, latency and overload over time: in all, per module, node and caller.",
    { query: shapes.HistoryQuery, response: shapes.History },
  ),
  listEvents: route("GET /events", "viewer", "What happened, newest first.", {
    query: shapes.EventListQuery,
    response: shapes.EventList,
  }),
  live: route(
    "GET /live",
    "viewer",
    "Server-sent events: one view, sent again when it differs, at most once a second.",
    { query: shapes.LiveQuery, response: "text/event-stream", problems: ["limit"] },
  ),
};

export const editRoutes = {
  forgetAgent: route(
    "DELETE /agents/{address}",
    "operator",
    "Forgets the agent of a host that is gone; one that lives would be back at once.",
    { response: null, problems: ["not-found", "conflict"] },
  ),
  putModule: route(
    "PUT /modules/{modId}/{cmdId}",
    "operator",
    "Names a module, chooses its policy; makes it when it is new.",
    {
      body: shapes.ModuleInput,
      response: shapes.ChangeResult,
      ifMatch: "optional",
      problems: ["conflict"],
    },
  ),
  deleteModule: route(
    "DELETE /modules/{modId}/{cmdId}",
    "operator",
    "Removes a module with all its nodes.",
    {
      query: shapes.whyQuery,
      response: shapes.ChangeResult,
      ifMatch: "required",
      problems: ["not-found"],
    },
  ),
  addNode: route(
    "POST /modules/{modId}/{cmdId}/nodes",
    "operator",
    "Adds a node; the module comes into being with its first one.",
    {
      body: shapes.NodeInput,
      response: shapes.ChangeResult,
      status: 201,
      ifMatch: "optional",
      problems: ["conflict"],
    },
  ),
  patchNode: route(
    "PATCH /modules/{modId}/{cmdId}/nodes/{node}",
    "operator",
    "Changes weight, zone or state of a node.",
    {
      body: shapes.NodePatch,
      response: shapes.ChangeResult,
      ifMatch: "required",
      problems: ["not-found"],
    },
  ),
  removeNode: route("DELETE /modules/{modId}/{cmdId}/nodes/{node}", "operator", "Removes a node.", {
    query: shapes.whyQuery,
    response: shapes.ChangeResult,
    ifMatch: "required",
    problems: ["not-found"],
  }),
  confirmModule: route(
    "POST /modules/{modId}/{cmdId}/confirm",
    "operator",
    "Says that a route is meant as it is: agents that hold its change back take it.",
    { body: shapes.WhyBody, response: shapes.ChangeResult },
  ),
  drainNode: route(
    "POST /modules/{modId}/{cmdId}/nodes/{node}/drain",
    "operator",
    "Gives a node no new picks.",
    {
      body: shapes.WhyBody,
      response: shapes.ChangeResult,
      ifMatch: "optional",
      problems: ["not-found"],
    },
  ),
  restoreNode: route(
    "POST /modules/{modId}/{cmdId}/nodes/{node}/restore",
    "operator",
    "Gives a drained node picks again.",
    {
      body: shapes.WhyBody,
      response: shapes.ChangeResult,
      ifMatch: "optional",
      problems: ["not-found"],
    },
  ),
};

export const changeRoutes = {
  previewChange: route(
    "POST /changes/preview",
    "operator",
    "What edits would change, and whose traffic shifts; nothing is written.",
    { body: shapes.PreviewInput, response: shapes.ChangePreview, problems: ["conflict"] },
  ),
  applyChange: route("POST /changes", "operator", "Applies all edits or none.", {
    body: shapes.ChangeInput,
    response: shapes.ChangeResult,
    problems: ["conflict", "changed-meanwhile"],
  }),
  listChanges: route("GET /changes", "viewer", "The change history, newest first.", {
    query: shapes.ChangeListQuery,
    response: shapes.ChangeList,
  }),
  getChange: route("GET /changes/{id}", "viewer", "One change with every difference it made.", {
    response: shapes.ChangeDetailShape,
    problems: ["not-found"],
  }),
  previewRollback: route(
    "POST /changes/{id}/rollback/preview",
    "operator",
    "What undoing a change would do; warns of nodes that have changed since.",
    { response: shapes.ChangePreview, problems: ["not-found"] },
  ),
  rollbackChange: route(
    "POST /changes/{id}/rollback",
    "operator",
    "Puts every node and name a change touched back as it was before.",
    {
      body: shapes.RollbackInput,
      response: shapes.ChangeResult,
      problems: ["not-found", "changed-meanwhile"],
    },
  ),
  exportRoutes: route(
    "GET /routes/export",
    "viewer",
    "All nodes as CSV or JSON, as the import takes them.",
    { query: shapes.ExportQuery, response: "text/csv" },
  ),
  previewImport: route(
    "POST /routes/import/preview",
    "operator",
    "What importing a file would change.",
    { body: shapes.ImportInput.omit({ why: true, expect: true }), response: shapes.ChangePreview },
  ),
  importRoutes: route(
    "POST /routes/import",
    "operator",
    "Makes the routes say what a file says, in one transaction.",
    {
      body: shapes.ImportInput,
      response: shapes.ChangeResult,
      problems: ["conflict", "changed-meanwhile"],
    },
  ),
};

export const alertRoutes = {
  listAlerts: route("GET /alerts", "viewer", "Alerts that fire or are about to.", {
    response: shapes.AlertList,
  }),
  listRules: route("GET /alert-rules", "viewer", "Rules that make alerts.", {
    response: shapes.RuleList,
  }),
  addRule: route("POST /alert-rules", "operator", "Adds a rule.", {
    body: shapes.RuleInput,
    response: shapes.RuleShape,
    status: 201,
    problems: ["limit"],
  }),
  putRule: route("PUT /alert-rules/{id}", "operator", "Replaces a rule.", {
    body: shapes.RuleInput,
    response: shapes.RuleShape,
    problems: ["not-found"],
  }),
  deleteRule: route("DELETE /alert-rules/{id}", "operator", "Removes a rule; its alerts end.", {
    response: null,
    problems: ["not-found"],
  }),
  listSilences: route("GET /silences", "viewer", "Silences that have not ended.", {
    response: shapes.SilenceList,
  }),
  addSilence: route("POST /silences", "operator", "Keeps matching alerts quiet for a time.", {
    body: shapes.SilenceInput,
    response: shapes.Silence,
    status: 201,
    problems: ["limit"],
  }),
  deleteSilence: route("DELETE /silences/{id}", "operator", "Ends a silence early.", {
    response: null,
    problems: ["not-found"],
  }),
  listWebhooks: route("GET /webhooks", "admin", "Addresses that alerts are sent to.", {
    response: shapes.WebhookList,
  }),
  addWebhook: route(
    "POST /webhooks",
    "admin",
    "Adds a webhook; the answer shows its secret once.",
    {
      body: shapes.WebhookInput,
      response: shapes.WebhookCreated,
      status: 201,
      problems: ["limit"],
    },
  ),
  patchWebhook: route("PATCH /webhooks/{id}", "admin", "Changes a webhook.", {
    body: shapes.WebhookPatch,
    response: shapes.WebhookShape,
    problems: ["not-found"],
  }),
  deleteWebhook: route("DELETE /webhooks/{id}", "admin", "Removes a webhook.", {
    response: null,
    problems: ["not-found"],
  }),
  testWebhook: route(
    "POST /webhooks/{id}/test",
    "admin",
    "Sends a test message now and says how it went.",
    { response: shapes.WebhookTest, problems: ["not-found"] },
  ),
};

export const leaseRoutes = {
  listLeases: route(
    "GET /leases",
    "viewer",
    "Nodes that registered themselves, who keeps them out, and what is held back.",
    { query: shapes.LeaseListQuery, response: shapes.LeaseListShape },
  ),
  registerLease: route(
    "POST /leases",
    "registrar",
    "Registers a node, or goes on with a registration; it has to beat.",
    {
      body: shapes.LeaseInput,
      response: shapes.LeaseGrant,
      status: 201,
      problems: ["not-found", "conflict", "discovery-away"],
    },
  ),
  beatLeases: route(
    "POST /leases/beats",
    "registrar",
    "Says that nodes live; answers which registrations are over.",
    {
      body: shapes.LeaseBeatInput,
      response: shapes.LeaseBeatAnswer,
      problems: ["discovery-away"],
    },
  ),
  patchLease: route(
    "PATCH /leases/{modId}/{cmdId}/{node}",
    "registrar",
    "Says that a registered node is ready or not, or other values of it.",
    {
      body: shapes.LeasePatch,
      response: null,
      problems: ["not-found", "conflict", "discovery-away"],
    },
  ),
  leaveLease: route(
    "DELETE /leases/{modId}/{cmdId}/{node}",
    "registrar",
    "Unregisters a node; one that is gone already is fine.",
    {
      query: shapes.LeaseLeaveQuery,
      response: null,
      problems: ["conflict", "discovery-away"],
    },
  ),
  endLease: route(
    "POST /leases/{modId}/{cmdId}/{node}/end",
    "operator",
    "Ends a registration; a program that lives registers again.",
    { response: shapes.ModuleKeyShape, problems: ["not-found"] },
  ),
  freeLease: route(
    "POST /leases/{modId}/{cmdId}/{node}/free",
    "operator",
    "Takes back state, weight and zone that an operator gave a registered node.",
    { response: shapes.ModuleKeyShape, problems: ["not-found"] },
  ),
  confirmLosses: route(
    "POST /leases/{modId}/{cmdId}/confirm",
    "operator",
    "Says that nodes of a module which are held in its route are really lost.",
    { response: shapes.ModuleKeyShape, problems: ["not-found"] },
  ),
};

export const scalingRoutes = {
  listScaling: route(
    "GET /scaling",
    "viewer",
    "Rules of scaling, and what was decided last for each module; of one module its last hour too.",
    { query: shapes.ScaledModuleQuery, response: shapes.ScaledModuleList },
  ),
  getScaling: route(
    "GET /scaling/{modId}/{cmdId}",
    "viewer",
    "The rule of a module, what was decided last with its reason, and the last hour as numbers.",
    { response: shapes.TrackedModuleShape, problems: ["not-found"] },
  ),
  putScaling: route(
    "PUT /scaling/{modId}/{cmdId}",
    "operator",
    "Sets how many nodes a module should have for its load.",
    { body: shapes.ScaleRulePut, response: shapes.ScaledModuleShape, problems: ["limit"] },
  ),
  deleteScaling: route(
    "DELETE /scaling/{modId}/{cmdId}",
    "operator",
    "Removes the rule of a module; nodes that drain by it get calls again.",
    { query: shapes.ScaleRuleQuery, response: null, problems: ["not-found"] },
  ),
};

export const relayRoutes = {
  listRelays: route(
    "GET /relays",
    "viewer",
    "Relays: clients, workers, rates, what waits and since when, drops by reason.",
    { response: shapes.RelayListShape },
  ),
  listRelayClients: route("GET /relays/{relay}/clients", "viewer", "Clients of a relay.", {
    response: shapes.RelayClientListShape,
    problems: ["not-found", "relay-away"],
  }),
  kickRelayClient: route(
    "DELETE /relays/{relay}/clients/{sid}",
    "operator",
    "Ends the connection of a client; it may come back.",
    { response: null, problems: ["not-found", "relay-away"] },
  ),
  listRelayWorkers: route("GET /relays/{relay}/workers", "viewer", "Workers of a relay.", {
    response: shapes.RelayWorkerListShape,
    problems: ["not-found", "relay-away"],
  }),
  listRelayQueues: route(
    "GET /relays/{relay}/queues",
    "viewer",
    "Modules of a relay: workers, and requests that wait.",
    { response: shapes.RelayQueueListShape, problems: ["not-found", "relay-away"] },
  ),
  getRelayMail: route(
    "GET /relays/{relay}/mail",
    "viewer",
    "Messages that a relay keeps for clients that are away.",
    { response: shapes.RelayMailShape, problems: ["not-found", "relay-away", "conflict"] },
  ),
};

export const accessRoutes = {
  listAudit: route(
    "GET /audit",
    "operator",
    "Every write and every refused one: who, when, what, from where.",
    { query: shapes.AuditListQuery, response: shapes.AuditList },
  ),
  listUsers: route("GET /users", "admin", "Users.", { response: shapes.UserList }),
  addUser: route("POST /users", "admin", "Adds a user; the answer shows the first password once.", {
    body: shapes.UserInput,
    response: shapes.OneTimePasswordShape,
    status: 201,
    problems: ["conflict", "limit"],
  }),
  patchUser: route(
    "PATCH /users/{name}",
    "admin",
    "Changes the role of a user, or locks the user out; ends the user's sessions.",
    { body: shapes.UserPatch, response: shapes.UserShape, problems: ["not-found", "conflict"] },
  ),
  resetPassword: route(
    "POST /users/{name}/password",
    "admin",
    "Gives a user a new one-time password; ends the user's sessions.",
    { response: shapes.OneTimePasswordShape, problems: ["not-found"] },
  ),
  deleteUser: route(
    "DELETE /users/{name}",
    "admin",
    "Removes a user with all sessions and tokens.",
    { response: null, problems: ["not-found", "conflict"] },
  ),
  listTokens: route("GET /tokens", "viewer", "My API tokens; for admins everybody's.", {
    response: shapes.TokenList,
  }),
  addToken: route(
    "POST /tokens",
    "viewer",
    "Makes an API token of mine; the answer shows it once.",
    { body: shapes.TokenInput, response: shapes.TokenCreated, status: 201, problems: ["limit"] },
  ),
  deleteToken: route(
    "DELETE /tokens/{id}",
    "viewer",
    "Revokes a token of mine; admins revoke anybody's.",
    { response: null, problems: ["not-found"] },
  ),
  getOpenApi: route("GET /openapi.json", "public", "This interface as an OpenAPI 3.1 document.", {
    response: "application/json",
  }),
};

/** Every route by its name. */
export const API_ROUTES = {
  ...sessionRoutes,
  ...viewRoutes,
  ...editRoutes,
  ...changeRoutes,
  ...alertRoutes,
  ...leaseRoutes,
  ...scalingRoutes,
  ...relayRoutes,
  ...accessRoutes,
} satisfies Record<string, ApiRoute>;

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
export type ResponseOf<Name extends RouteName> = ApiRoutes[Name]["response"] extends infer Shape
  ? Shape extends z.ZodType ? shapes.Shown<Shape> : Shape extends string ? string : undefined
  : never;

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
  /** View module while there is no such module: never added, or removed. */
  readonly gone: { readonly modId: number; readonly cmdId: number };
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
    "store-rights",
    "store-schema",
    "store-unusable",
    ...(writes ? ["store-newer"] as const : []),
    ...(route.role === "public" ? [] : ["not-logged-in"] as const),
    ...(["public", "any"].includes(route.role) ? [] : ["password-change-needed"] as const),
    ...(["public", "any", "viewer"].includes(route.role) ? [] : ["not-allowed"] as const),
    ...(writes && route.role !== "public" ? ["csrf"] as const : []),
    ...(route.params ?? route.query ?? route.body ? ["invalid"] as const : []),
    ...(route.body === undefined ? [] : ["bad-request", "too-large", "wrong-media-type"] as const),
    ...(route.problems ?? []),
  ];
}
