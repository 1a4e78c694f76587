// Shell. The REST interface: every route of the table behind login, role, CSRF token and validation.

import { Hono } from "hono";
import type * as z from "zod";
import { isLoopback } from "../reactor/address.ts";
import type { Clock } from "../reactor/time/clock.ts";
import { messageOf } from "../reactor/errors.ts";
import { type Logger, LogRateLimiter } from "../reactor/log.ts";
import type { AccessService } from "../control/access/access_service.ts";
import { type Actor, auditOf, mayAct } from "../control/access/actor.ts";
import { shapeWords } from "../control/shape_words.ts";
import type { ApiContext, ApiHandlers } from "./api_context.ts";
import {
  API_PREFIX,
  API_ROUTES,
  type ApiRoute,
  CSRF_HEADER,
  NO_ROUTE_DETAIL,
  type RouteName,
  SESSION_COOKIE,
} from "./contract.ts";
import { packedBody } from "./packing.ts";
import { ApiProblem, problemBody, problemOf, STORE_REFUSED } from "./problem.ts";
import { cookieOf } from "./session_cookie.ts";
import { sameText } from "../control/access/secrets.ts";
import type { AuditEntry } from "../sql/console/console_store.ts";

/** Largest body of a request, in bytes; files and lists of edits may be larger. */
export const BODY_BYTES_MAX = 65_536;
export const LARGE_BODY_BYTES_MAX = 4 * 1024 * 1024;
const LARGE_BODIES: readonly string[] = [
  "applyChange",
  "previewChange",
  "importRoutes",
  "previewImport",
];
/** Faults of fields that an answer names. */
const FIELD_FAULTS_MAX = 20;

/** What the interface works with. */
export interface ApiServerOptions {
  readonly handlers: ApiHandlers;
  readonly access: AccessService;
  readonly clock: Clock;
  readonly log: Logger;
  /** Names besides addresses and localhost under which it may be reached, against DNS rebinding. */
  readonly hostNames: readonly string[];
  /** Writes down what was refused. */
  audit(entry: AuditEntry): Promise<void>;
}

const NOBODY: Actor = {
  name: "",
  role: "viewer",
  via: "cookie",
  address: "",
  session: "",
  csrfToken: null,
  mustChangePassword: false,
  isByLink: false,
  expiresAtMs: null,
};

const SECURITY_HEADERS: Readonly<Record<string, string>> = {
  "Content-Security-Policy":
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; " +
    "font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'self'; " +
    "frame-ancestors 'none'",
  "X-Content-Type-Options": "nosniff",
  "X-Frame-Options": "DENY",
  "Referrer-Policy": "no-referrer",
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Resource-Policy": "same-origin",
  "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
};

/** Puts the headers on an answer that every answer of the console has. */
export function withSecurityHeaders(response: Response): Response {
  for (const [name, value] of Object.entries(SECURITY_HEADERS)) response.headers.set(name, value);
  if (!response.headers.has("Cache-Control")) response.headers.set("Cache-Control", "no-store");
  return response;
}

/** The answer of an error. */
export function problemResponse(problem: ReturnType<typeof problemOf>): Response {
  const body = problemBody(problem);
  const headers = new Headers({ "Content-Type": "application/problem+json" });
  const { retryAfterS } = problem.extras;
  if (retryAfterS !== undefined) headers.set("Retry-After", String(retryAfterS));
  if (body.status === 401) headers.set("WWW-Authenticate", "Bearer");
  return new Response(JSON.stringify(body), { status: body.status, headers });
}

/** True for addresses, localhost, and names under which the console may be reached. */
export function isOwnHost(hostname: string, hostNames: readonly string[]): boolean {
  const isAddress = /^\d+\.\d+\.\d+\.\d+$|^\[/.test(hostname);
  return isAddress || isLoopback(hostname) || hostNames.includes(hostname.toLowerCase());
}

/**
 * Refuses requests that reach this console under a name that is not its own: a page of another site
 * whose name was pointed at this address afterwards.
 *
 * @throws {ApiProblem} foreign-host.
 */
export function requireHost(request: Request, hostNames: readonly string[]): void {
  const { hostname } = new URL(request.url);
  if (isOwnHost(hostname, hostNames)) return;
  throw new ApiProblem(
    "foreign-host",
    `This console is not known as ${hostname}: add the name to [web] host_names`,
  );
}

/** Whether somebody on this host asks, as far as that can be known. */
function isLocal(request: Request, address: string): boolean {
  const isProxied = ["Forwarded", "X-Forwarded-For", "Via"].some((name) =>
    request.headers.has(name)
  );
  return !isProxied && isLoopback(address) && isLoopback(new URL(request.url).hostname);
}

function bearerOf(request: Request): string | undefined {
  return /^Bearer (\S+)$/i.exec(request.headers.get("Authorization") ?? "")?.[1];
}

/** Checks one part of a request. */
function parsePart(shape: z.ZodType | undefined, value: unknown): unknown {
  if (shape === undefined) return undefined;
  const result = shape.safeParse(value, { error: shapeWords });
  if (result.success) return result.data;
  const errors = result.error.issues.slice(0, FIELD_FAULTS_MAX).map((issue) => ({
    path: issue.path.join("."),
    message: issue.message,
  }));
  const [first] = errors;
  throw new ApiProblem(
    "invalid",
    first.path === "" ? first.message : `${first.path}: ${first.message}`,
    { errors },
  );
}

/** The query as an object; a name given twice is a fault of the client. */
function queryOf(request: Request): Record<string, string> {
  const query = new Map<string, string>();
  for (const [name, value] of new URL(request.url).searchParams) {
    if (query.has(name)) throw new ApiProblem("invalid", `${name} must be given once`);
    query.set(name, value);
  }
  return Object.fromEntries(query);
}

async function readText(request: Request, bytesMax: number): Promise<string> {
  const tooLarge = new ApiProblem("too-large", `The body must be at most ${bytesMax} bytes`);
  if (Number(request.headers.get("Content-Length") ?? 0) > bytesMax) throw tooLarge;
  const decoder = new TextDecoder("utf-8", { fatal: true });
  let text = "";
  let bytes = 0;
  try {
    for await (const chunk of request.body ?? []) {
      bytes += chunk.length;
      if (bytes > bytesMax) throw tooLarge;
      text += decoder.decode(chunk, { stream: true });
    }
    return text + decoder.decode();
  } catch (error) {
    if (error instanceof ApiProblem) throw error;
    throw new ApiProblem("bad-request", "The body must be UTF-8 text");
  }
}

async function bodyOf(request: Request, name: string, route: ApiRoute): Promise<unknown> {
  if (route.body === undefined) return undefined;
  const type = request.headers.get("Content-Type") ?? "";
  if (!/^application\/json\s*(;|$)/i.test(type)) {
    throw new ApiProblem("wrong-media-type", "Content-Type must be application/json");
  }
  const text = await readText(
    request,
    LARGE_BODIES.includes(name) ? LARGE_BODY_BYTES_MAX : BODY_BYTES_MAX,
  );
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new ApiProblem("bad-request", `The body must be JSON: ${messageOf(error)}`);
  }
}

function ifMatchOf(request: Request, route: ApiRoute): string | undefined {
  const value = request.headers.get("If-Match") ?? undefined;
  if (route.ifMatch === undefined) return undefined;
  if (value === undefined) {
    if (route.ifMatch === "optional") return undefined;
    throw new ApiProblem(
      "revision-needed",
      "If-Match must carry the ETag of the module as it was read, or *",
    );
  }
  const match = /^(?:W\/)?"([^"]{0,100})"$|^(\*)$/.exec(value.trim());
  if (match === null) throw new ApiProblem("bad-request", "If-Match must be one ETag, or *");
  return match[1] ?? match[2];
}

/** The REST interface. */
export class ApiServer {
  readonly #options: ApiServerOptions;
  readonly #logLimiter: LogRateLimiter;
  readonly #app = new Hono<{ Bindings: { address: string } }>();

  constructor(options: ApiServerOptions) {
    this.#options = options;
    this.#logLimiter = new LogRateLimiter(options.clock);
    const methods = new Map<string, string[]>();
    for (const [name, route] of Object.entries(API_ROUTES) as [RouteName, ApiRoute][]) {
      const path = API_PREFIX + route.path.replace(/\{(\w+)\}/g, ":$1");
      methods.set(path, [...methods.get(path) ?? [], route.method]);
      this.#app.on(
        route.method,
        path,
        (context) =>
          this.#answer(name, route, context.req.raw, context.req.param(), context.env.address),
      );
    }
    for (const [path, allowed] of methods) {
      this.#app.all(path, () => {
        const response = problemResponse(
          new ApiProblem("wrong-method", `Only ${allowed.join(", ")} can be used here`),
        );
        response.headers.set("Allow", allowed.join(", "));
        return response;
      });
    }
    this.#app.notFound(() => problemResponse(new ApiProblem("not-found", NO_ROUTE_DETAIL)));
    this.#app.onError((error) => this.#failed(error, "request"));
  }

  /** Answers a request below `/api/`. Never throws. */
  async handle(request: Request, address: string): Promise<Response> {
    return await this.#app.fetch(request, { address });
  }

  async #answer(
    name: RouteName,
    route: ApiRoute,
    request: Request,
    params: Record<string, string>,
    address: string,
  ): Promise<Response> {
    let actor: Actor | undefined;
    try {
      requireHost(request, this.#options.hostNames);
      actor = await this.#authorize(name, route, request, address);
      const headers = new Headers();
      const context = {
        params: parsePart(route.params, params),
        query: parsePart(route.query, queryOf(request)),
        body: parsePart(route.body, await bodyOf(request, name, route)),
        actor,
        ifMatch: ifMatchOf(request, route),
        address,
        isLocal: isLocal(request, address),
        headers,
        stillAllowed: async (): Promise<boolean> => {
          const now = await this.#actorOf(request, address);
          return now !== undefined && !now.mustChangePassword && mayAct(now.role, "viewer");
        },
      };
      // The table says that these are the types of this route's parts.
      const handler = this.#options.handlers[name] as (
        context: ApiContext<RouteName>,
      ) => unknown;
      const value = await handler(context as unknown as ApiContext<RouteName>);
      if (value instanceof Response) return value;
      if (route.response === null) return new Response(null, { status: 204, headers });
      headers.set("Content-Type", "application/json");
      const sent = await packedBody(JSON.stringify(value), request, headers);
      return new Response(sent, { status: route.status ?? 200, headers });
    } catch (error) {
      const isKnown = actor !== undefined && actor !== NOBODY && mayAct(actor.role, "viewer");
      return this.#failed(error, name, isKnown);
    }
  }

  #failed(error: unknown, name: string, isKnown = false): Response {
    const problem = problemOf(error, isKnown);
    const isInternal = problem.reason === "internal";
    if (isInternal || STORE_REFUSED.has(problem.reason)) this.#tell(error, name, isInternal);
    return problemResponse(problem);
  }

  /** Anybody may ask, as often as they like. */
  #tell(error: unknown, route: string, isInternal: boolean): void {
    const what = isInternal ? "Request failed" : "The database refuses the console";
    const held = this.#logLimiter.admit(what);
    if (held === undefined) return;
    const stack = isInternal && error instanceof Error ? error.stack : undefined;
    this.#options.log.error(what, { route, error: stack ?? messageOf(error), ...held });
  }

  async #actorOf(request: Request, address: string): Promise<Actor | undefined> {
    const { access } = this.#options;
    const bearer = bearerOf(request);
    if (bearer !== undefined) return await access.actorOfToken(bearer, address);
    const cookie = cookieOf(request, SESSION_COOKIE);
    return cookie === undefined ? undefined : await access.actorOfCookie(cookie, address);
  }

  async #authorize(
    name: RouteName,
    route: ApiRoute,
    request: Request,
    address: string,
  ): Promise<Actor> {
    const { role } = route;
    if (role === "public") return NOBODY;
    const actor = await this.#actorOf(request, address);
    if (actor === undefined) {
      throw new ApiProblem("not-logged-in", "Log in first: the session is over, or there was none");
    }
    if (role !== "any") {
      if (actor.mustChangePassword) {
        throw new ApiProblem("password-change-needed", "Change the one-time password first");
      }
      if (!mayAct(actor.role, role)) {
        await this.#noteRefused(actor, name, route, `needs role ${role}`);
        throw new ApiProblem("not-allowed", `This needs the role ${role}: yours is ${actor.role}`);
      }
    }
    if (route.method !== "GET" && actor.csrfToken !== null) {
      const given = request.headers.get(CSRF_HEADER);
      if (given === null || !sameText(given, actor.csrfToken)) {
        await this.#noteRefused(actor, name, route, "no CSRF token");
        throw new ApiProblem("csrf", `${CSRF_HEADER} must carry the csrfToken of the session`);
      }
    }
    return actor;
  }

  /** Reads that a role may not make are no news; attempts to write are. */
  async #noteRefused(actor: Actor, name: string, route: ApiRoute, why: string): Promise<void> {
    if (route.method === "GET") return;
    const atMs = Math.trunc(this.#options.clock.wallMs());
    const entry = auditOf(actor, atMs, "refused", name, why);
    await this.#options.audit({ ...entry, outcome: "refused" });
  }
}
