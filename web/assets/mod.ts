// Shell. The files of the console as answers: found by path, compressed once, kept by browsers.

import { createHash } from "node:crypto";
import { gzipSync } from "node:zlib";
import { takesGzip } from "../packing.ts";
import { parsePlace } from "../pages/shell/places.ts";
import { FILES } from "./bundle.ts";

/** An answer for a file of the console. */
export interface Asset {
  readonly status: 200 | 304 | 404;
  readonly headers: Readonly<Record<string, string>>;
  /** Empty for 304. */
  readonly body: Uint8Array<ArrayBuffer>;
}

/** What a request says that an answer depends on. */
export interface AssetRequest {
  /** Header Accept-Encoding. */
  readonly acceptEncoding?: string | undefined;
  /** Header If-None-Match. */
  readonly ifNoneMatch?: string | undefined;
}

interface StoredFile {
  readonly type: string;
  readonly etag: string;
  readonly plain: Uint8Array<ArrayBuffer>;
  readonly packed: Uint8Array<ArrayBuffer>;
}

const TYPES: Readonly<Record<string, string>> = {
  css: "text/css; charset=utf-8",
  js: "text/javascript; charset=utf-8",
  svg: "image/svg+xml",
  ts: "application/typescript; charset=utf-8",
};

/** Where programs import the client library from, whichever version this console has. */
const API_ALIAS = "/api.js";

/** Files that were asked for, of the pages and of the library; there are four and three. */
const storedPages = new Map<string, StoredFile>();
const storedApi = new Map<string, StoredFile>();

function storedFile(
  path: string,
  files: Readonly<Record<string, string>>,
  stored: Map<string, StoredFile>,
): StoredFile | undefined {
  const known = stored.get(path);
  if (known !== undefined || !Object.hasOwn(files, path)) return known;
  const plain = new TextEncoder().encode(files[path]);
  const file: StoredFile = {
    type: TYPES[path.split(".").at(-1) ?? ""] ?? "text/html; charset=utf-8",
    etag: `"${createHash("sha256").update(plain).digest("hex").slice(0, 16)}"`,
    plain,
    packed: new Uint8Array(gzipSync(plain, { level: 9 })),
  };
  stored.set(path, file);
  return file;
}

/**
 * The answer for a path of the console; undefined for a path that is none.
 *
 * Every path without a dot gets the one HTML file, whose script then shows the page; with status
 * 404 where there is no such page, which the script says in words. So ask this last. Names under
 * `/assets/` hold a hash of what is in them, so that browsers may keep those for ever.
 */
export function findAsset(path: string, request: AssetRequest = {}): Asset | undefined {
  const isPage = !path.includes(".");
  const file = storedFile(isPage ? "/" : path, FILES, storedPages);
  if (file === undefined) return undefined;
  return answerOf(file, path, request, isPage);
}

/**
 * The client library for programs that import it from here, as `findAsset` gives files: under
 * `/api.js`, to be looked at again each time, and under a name with a hash of what is in it. It is
 * loaded when it is first asked for. It names its types, so that Deno checks programs that import
 * it. Undefined for any other path.
 */
export async function findApiScript(
  path: string,
  request: AssetRequest = {},
): Promise<Asset | undefined> {
  if (path !== API_ALIAS && !path.startsWith("/assets/lars-api-")) return undefined;
  const [{ API_PATH, API_SCRIPT }, { API_TYPES_PATH, API_TYPES }] = await Promise.all([
    import("./api_bundle.ts"),
    import("./api_types.ts"),
  ]);
  const files = { [API_ALIAS]: API_SCRIPT, [API_PATH]: API_SCRIPT, [API_TYPES_PATH]: API_TYPES };
  const file = storedFile(path, files, storedApi);
  if (file === undefined) return undefined;
  const answer = answerOf(file, path, request, false);
  if (path === API_TYPES_PATH) return answer;
  return { ...answer, headers: { ...answer.headers, "X-TypeScript-Types": API_TYPES_PATH } };
}

function answerOf(
  file: StoredFile,
  path: string,
  request: AssetRequest,
  isPage: boolean,
): Asset {
  const isMissing = isPage && path !== "/missing" && parsePlace(path).page === "missing";
  const status = isMissing ? 404 : 200;
  const headers: Record<string, string> = {
    "Content-Type": file.type,
    "Cache-Control": path.startsWith("/assets/")
      ? "public, max-age=31536000, immutable"
      : "no-cache",
    "ETag": file.etag,
    "Vary": "Accept-Encoding",
  };
  if (!isMissing && request.ifNoneMatch === file.etag) {
    return { status: 304, headers, body: new Uint8Array() };
  }
  if (!takesGzip(request.acceptEncoding)) {
    return { status, headers, body: file.plain };
  }
  return { status, headers: { ...headers, "Content-Encoding": "gzip" }, body: file.packed };
}
