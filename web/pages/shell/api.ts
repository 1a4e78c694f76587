// Shell. Calls of the REST interface, typed by its contract.

import { signal } from "@preact/signals";
import type {
  API_PREFIX,
  ApiRoutes,
  BodyOf,
  CSRF_HEADER,
  ProblemBody,
  ProblemName,
  QueryOf,
  ResponseOf,
  RouteName,
} from "../../contract.ts";
import { LarsError } from "../../../reactor/errors.ts";
import { systemClock } from "../../../reactor/time/system_clock.ts";

/** Where the routes start. */
export const PREFIX: typeof API_PREFIX = "/api/v1";
const CSRF: typeof CSRF_HEADER = "X-CSRF-Token";

/** Who is logged in; null: nobody; undefined: not asked yet. */
export const session = signal<ResponseOf<"getSession"> | null | undefined>(undefined);

/** Why this console only reads, as the server last said; undefined while it writes. */
export const readOnly = signal<string | undefined>(undefined);

session.subscribe((current) => {
  if (current) readOnly.value = current.readOnly ?? undefined;
});

const SEEN_KEY = "lars-session";

/**
 * False when this browser surely has no session, so that it need not be asked for: an answer 401
 * would stand as an error in the browser's console.
 */
export function maybeLoggedIn(): boolean {
  try {
    return localStorage.getItem(SEEN_KEY) !== null;
  } catch {
    return true; // Storage may be forbidden.
  }
}

session.subscribe((current) => {
  if (current === undefined) return;
  try {
    if (current === null) localStorage.removeItem(SEEN_KEY);
    else localStorage.setItem(SEEN_KEY, "1");
  } catch {
    // See maybeLoggedIn.
  }
});

/** How far the clock of the server is ahead of ours, as its answers say, in milliseconds. */
export const clockAheadMs = signal(0);
/** The `Date` header has whole seconds: smaller differences mean nothing. */
const CLOCK_TOLERANCE_MS = 2000;

/** Longest wait for an answer. */
const ANSWER_TIMEOUT_MS = 30_000;

/**
 * Method and path of every route. The types come from the contract, so that a route that moved is
 * an error here; its schemas stay out of the bundle.
 */
const ROUTES: { readonly [N in RouteName]: `${ApiRoutes[N]["method"]} ${ApiRoutes[N]["path"]}` } = {
  getSession: "GET /session",
  login: "POST /session",
  loginByLink: "POST /session/link",
  getLoginHelp: "GET /session/help",
  logout: "DELETE /session",
  changePassword: "PUT /session/password",
  getOverview: "GET /overview",
  getStatus: "GET /status",
  getReport: "GET /report",
  getCounters: "GET /counters",
  listServices: "GET /services",
  listAgents: "GET /agents",
  listFollowers: "GET /followers",
  forgetAgent: "DELETE /agents/{address}",
  listModules: "GET /modules",
  listModuleTexts: "GET /module-texts",
  search: "GET /search",
  listPolicies: "GET /policies",
  getModule: "GET /modules/{modId}/{cmdId}",
  explainModule: "GET /modules/{modId}/{cmdId}/explain",
  getNodeUse: "GET /nodes/{node}/use",
  getNodeCallers: "GET /nodes/{node}/callers",
  getHistory: "GET /history",
  listEvents: "GET /events",
  live: "GET /live",
  putModule: "PUT /modules/{modId}/{cmdId}",
  deleteModule: "DELETE /modules/{modId}/{cmdId}",
  confirmModule: "POST /modules/{modId}/{cmdId}/confirm",
  addNode: "POST /modules/{modId}/{cmdId}/nodes",
  patchNode: "PATCH /modules/{modId}/{cmdId}/nodes/{node}",
  removeNode: "DELETE /modules/{modId}/{cmdId}/nodes/{node}",
  drainNode: "POST /modules/{modId}/{cmdId}/nodes/{node}/drain",
  restoreNode: "POST /modules/{modId}/{cmdId}/nodes/{node}/restore",
  previewChange: "POST /changes/preview",
  applyChange: "POST /changes",
  listChanges: "GET /changes",
  getChange: "GET /changes/{id}",
  previewRollback: "POST /changes/{id}/rollback/preview",
  rollbackChange: "POST /changes/{id}/rollback",
  exportRoutes: "GET /routes/export",
  previewImport: "POST /routes/import/preview",
  importRoutes: "POST /routes/import",
  listAlerts: "GET /alerts",
  listRules: "GET /alert-rules",
  addRule: "POST /alert-rules",
  putRule: "PUT /alert-rules/{id}",
  deleteRule: "DELETE /alert-rules/{id}",
  listSilences: "GET /silences",
  addSilence: "POST /silences",
  deleteSilence: "DELETE /silences/{id}",
  listWebhooks: "GET /webhooks",
  addWebhook: "POST /webhooks",
  patchWebhook: "PATCH /webhooks/{id}",
  deleteWebhook: "DELETE /webhooks/{id}",
  testWebhook: "POST /webhooks/{id}/test",
  listLeases: "GET /leases",
  registerLease: "POST /leases",
  beatLeases: "POST /leases/beats",
  patchLease: "PATCH /leases/{modId}/{cmdId}/{node}",
  leaveLease: "DELETE /leases/{modId}/{cmdId}/{node}",
  endLease: "POST /leases/{modId}/{cmdId}/{node}/end",
  freeLease: "POST /leases/{modId}/{cmdId}/{node}/free",
  confirmLosses: "POST /leases/{modId}/{cmdId}/confirm",
  listRelays: "GET /relays",
  listRelayClients: "GET /relays/{relay}/clients",
  kickRelayClient: "DELETE /relays/{relay}/clients/{sid}",
  listRelayWorkers: "GET /relays/{relay}/workers",
  listRelayQueues: "GET /relays/{relay}/queues",
  getRelayMail: "GET /relays/{relay}/mail",
  listScaling: "GET /scaling",
  getScaling: "GET /scaling/{modId}/{cmdId}",
  putScaling: "PUT /scaling/{modId}/{cmdId}",
  deleteScaling: "DELETE /scaling/{modId}/{cmdId}",
  listAudit: "GET /audit",
  listUsers: "GET /users",
  addUser: "POST /users",
  patchUser: "PATCH /users/{name}",
  resetPassword: "POST /users/{name}/password",
  deleteUser: "DELETE /users/{name}",
  listTokens: "GET /tokens",
  addToken: "POST /tokens",
  deleteToken: "DELETE /tokens/{id}",
  getOpenApi: "GET /openapi.json",
};

/** An error the server answered, or that kept it from answering. */
export class CallProblem extends LarsError {
  override name = "CallProblem";
  /** What kind, see `PROBLEMS` of the contract; `unreachable` when no answer came. */
  readonly kind: ProblemName | "unreachable";
  readonly title: string;
  readonly detail: string;
  /** Faults of single fields. */
  readonly errors: readonly { readonly path: string; readonly message: string }[];
  /** With 412: the revision the module has now. */
  readonly revision: string | undefined;

  constructor(kind: ProblemName | "unreachable", body: Omit<ProblemBody, "type" | "status">) {
    super(body.detail === "" ? body.title : body.detail);
    this.kind = kind;
    this.title = body.title;
    this.detail = body.detail;
    this.errors = body.errors ?? [];
    this.revision = body.revision;
  }
}

/** Any thrown value as the problem to show. */
export function callProblemOf(error: unknown): CallProblem {
  if (error instanceof CallProblem) return error;
  const detail = error instanceof Error ? error.message : String(error);
  return new CallProblem("internal", { title: "Fault of this page", detail });
}

/** What a call carries beside its name. */
export interface RouteCallOptions<N extends RouteName> {
  readonly params?: Readonly<Record<string, string | number>>;
  readonly query?: QueryOf<N>;
  readonly body?: BodyOf<N>;
  /** Revision the write relies on. */
  readonly ifMatch?: string;
  readonly signal?: AbortSignal;
}

/** Address of a route, for links and streams. */
export function addressOf<N extends RouteName>(name: N, options: RouteCallOptions<N> = {}): string {
  const path = ROUTES[name].split(" ")[1].replace(
    /\{(\w+)\}/g,
    (_, part: string) => encodeURIComponent(String(options.params?.[part])),
  );
  const query = new URLSearchParams();
  for (const [key, value] of Object.entries(options.query ?? {})) {
    if (value !== undefined && value !== "") query.set(key, String(value));
  }
  const text = query.toString();
  return `${PREFIX}${path}${text === "" ? "" : `?${text}`}`;
}

const UNREACHABLE = {
  title: "The console does not answer",
  detail: "It is stopped, or the network is down. This page tries again by itself.",
};

async function send<N extends RouteName>(name: N, options: RouteCallOptions<N>): Promise<Response> {
  const method = ROUTES[name].split(" ")[0];
  const headers: Record<string, string> = { Accept: "application/json" };
  if (options.body !== undefined) headers["Content-Type"] = "application/json";
  if (options.ifMatch !== undefined) headers["If-Match"] = `"${options.ifMatch}"`;
  const token = session.peek()?.csrfToken;
  if (method !== "GET" && typeof token === "string") headers[CSRF] = token;
  const timeout = AbortSignal.timeout(ANSWER_TIMEOUT_MS);
  try {
    return await fetch(addressOf(name, options), {
      method,
      headers,
      credentials: "same-origin",
      cache: "no-store",
      body: options.body === undefined ? null : JSON.stringify(options.body),
      signal: options.signal === undefined ? timeout : AbortSignal.any([options.signal, timeout]),
    });
  } catch (error) {
    if (options.signal?.aborted === true) throw error;
    throw new CallProblem("unreachable", {
      title: UNREACHABLE.title,
      detail: timeout.aborted
        ? `No answer within ${ANSWER_TIMEOUT_MS / 1000} s. Try again, or see the log of lars web.`
        : UNREACHABLE.detail,
    });
  }
}

async function problemFrom(response: Response): Promise<CallProblem> {
  const fallback = { title: `Answer ${response.status}`, detail: response.statusText };
  let body: Partial<ProblemBody> = {};
  try {
    body = await response.json() as Partial<ProblemBody>;
  } catch {
    // A proxy's own page: the status has to do.
  }
  const kind = (body.type ?? "").replace(/^urn:lars:/, "") as ProblemName | "";
  return new CallProblem(kind === "" ? "internal" : kind, { ...fallback, ...body });
}

/** Asks who is logged in, and whether anything can be written. */
export async function askSession(signal?: AbortSignal): Promise<void> {
  const answer = await call("getSession", signal === undefined ? {} : { signal });
  if (JSON.stringify(answer) !== JSON.stringify(session.peek())) session.value = answer;
}

/** Notes what an error says about the session, so that login or password page comes up. */
function noteSession(problem: CallProblem): void {
  if (problem.kind === "store-newer" && session.peek()) askSession().catch(() => {});
  if (problem.kind === "not-logged-in") session.value = null;
  const current = session.peek();
  if (problem.kind === "password-change-needed" && current) {
    session.value = { ...current, mustChangePassword: true };
  }
}

function noteClock(response: Response): void {
  const at = Date.parse(response.headers.get("date") ?? "");
  if (Number.isNaN(at)) return;
  const ahead = at - systemClock.wallMs();
  clockAheadMs.value = Math.abs(ahead) < CLOCK_TOLERANCE_MS ? 0 : ahead;
}

/**
 * Asks whether a stream can be had, as an EventSource does not say why it cannot.
 *
 * @throws {CallProblem} why not.
 */
export async function probe(address: string): Promise<void> {
  const abort = new AbortController();
  let response: Response;
  try {
    response = await fetch(address, { credentials: "same-origin", signal: abort.signal });
  } catch {
    throw new CallProblem("unreachable", UNREACHABLE);
  }
  if (response.ok) return abort.abort();
  const problem = await problemFrom(response);
  noteSession(problem);
  throw problem;
}

/**
 * Calls a route.
 *
 * @throws {CallProblem} what the server refused, or that it cannot be reached.
 */
export async function call<N extends RouteName>(
  name: N,
  options: RouteCallOptions<N> = {},
): Promise<ResponseOf<N>> {
  let response = await send(name, options);
  if (response.status === 403 && name !== "getSession") {
    const problem = await problemFrom(response);
    if (problem.kind !== "csrf") {
      noteSession(problem);
      throw problem;
    }
    // Another tab logged in anew: take its token and try once more.
    await askSession();
    response = await send(name, options);
  }
  noteClock(response);
  if (!response.ok) {
    const problem = await problemFrom(response);
    noteSession(problem);
    throw problem;
  }
  if (response.status === 204) return undefined as ResponseOf<N>;
  const isJson = response.headers.get("content-type")?.includes("json") === true;
  return (isJson ? await response.json() : await response.text()) as ResponseOf<N>;
}
