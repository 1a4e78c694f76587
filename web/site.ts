// Shell. What the console's port serves: health, pages and the REST interface.

import { createHash } from "node:crypto";
import { type ApiServer, problemResponse, requireHost, withSecurityHeaders } from "./api_server.ts";
import type { Asset } from "./assets.ts";
import { ApiProblem, problemOf } from "./problem.ts";

/** What the site works with. */
export interface SiteOptions {
  readonly api: ApiServer;
  readonly assets: ReadonlyMap<string, Asset>;
  readonly hostNames: readonly string[];
  /** Why the console cannot work now; undefined when it can. */
  fault(): string | undefined;
}

interface ServedAsset extends Asset {
  readonly etag: string;
}

/** Answers every request that comes to the port. */
export class Site {
  readonly #options: SiteOptions;
  readonly #assets = new Map<string, ServedAsset>();

  constructor(options: SiteOptions) {
    this.#options = options;
    for (const [path, asset] of options.assets) {
      const etag = `"${createHash("sha256").update(asset.text).digest("hex").slice(0, 32)}"`;
      this.#assets.set(path, { ...asset, etag });
    }
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
    return this.#asset(request, pathname);
  }

  #asset(request: Request, pathname: string): Response {
    const isFile = /\.[a-z0-9]+$/.test(pathname);
    const asset = this.#assets.get(pathname) ?? (isFile ? undefined : this.#assets.get("/"));
    if (asset === undefined) throw new ApiProblem("not-found", `There is no file ${pathname}`);
    const headers = { "Content-Type": asset.type, ETag: asset.etag, "Cache-Control": "no-cache" };
    if (request.headers.get("If-None-Match") === asset.etag) {
      return new Response(null, { status: 304, headers });
    }
    return new Response(request.method === "HEAD" ? null : asset.text, { headers });
  }
}

function plain(status: number, text: string): Response {
  return new Response(text, { status, headers: { "Content-Type": "text/plain; charset=utf-8" } });
}
