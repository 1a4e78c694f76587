// Shell. What the console's port serves: health, pages and the REST interface.

import { SERVICE_HEADER } from "../daemon/monitor/monitor.ts";
import { type ApiServer, problemResponse, requireHost, withSecurityHeaders } from "./api_server.ts";
import { findApiScript, findAsset } from "./assets/mod.ts";
import type { OidcLogin } from "./oidc_login.ts";
import { ApiProblem, problemOf } from "./problem.ts";

/** What the site works with. */
export interface SiteOptions {
  readonly api: ApiServer;
  readonly hostNames: readonly string[];
  /** Answers below `/oidc/`; undefined where people log in by passwords alone. */
  provider(): Pick<OidcLogin, "answer"> | undefined;
  /** Why the console cannot work now; undefined when it can. */
  fault(): string | undefined;
}

/** Answers every request that comes to the port. */
export class Site {
  readonly #options: SiteOptions;

  constructor(options: SiteOptions) {
    this.#options = options;
  }

  /** Never throws. */
  async handle(request: Request, address: string): Promise<Response> {
    try {
      return withSecurityHeaders(await this.#answer(request, address));
    } catch (error) {
      return withSecurityHeaders(problemResponse(problemOf(error)));
    }
  }

  async #answer(request: Request, address: string): Promise<Response> {
    const { pathname } = new URL(request.url);
    if (pathname === "/api" || pathname.startsWith("/api/")) {
      return await this.#options.api.handle(request, address);
    }
    if (request.method !== "GET" && request.method !== "HEAD") {
      throw new ApiProblem("wrong-method", "Only GET can be used here");
    }
    if (pathname === "/healthz") return plain(200, "ok\n");
    if (pathname === "/readyz") {
      const fault = this.#options.fault();
      return fault === undefined ? plain(200, "ready\n") : plain(503, "database away\n");
    }
    requireHost(request, this.#options.hostNames);
    const byProvider = await this.#options.provider()?.answer(request, address);
    if (byProvider !== undefined) return byProvider;
    return await this.#asset(request, pathname);
  }

  async #asset(request: Request, pathname: string): Promise<Response> {
    const wish = {
      acceptEncoding: request.headers.get("Accept-Encoding") ?? undefined,
      ifNoneMatch: request.headers.get("If-None-Match") ?? undefined,
    };
    const asset = findAsset(pathname, wish) ?? await findApiScript(pathname, wish);
    if (asset === undefined) throw new ApiProblem("not-found", `There is no file ${pathname}`);
    const { status, headers, body } = asset;
    const hasBody = request.method !== "HEAD" && status !== 304;
    return new Response(hasBody ? body : null, { status, headers });
  }
}

function plain(status: number, text: string): Response {
  const headers = { "Content-Type": "text/plain; charset=utf-8", [SERVICE_HEADER]: "web" };
  return new Response(text, { status, headers });
}
