// Shell. The client library as one JavaScript file, and its types as another.

import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build, type Plugin, stop } from "esbuild";

const ROOT = fileURLToPath(new URL("..", import.meta.url));

/** What a program needs beside its own settings: names that older targets do not know. */
const TYPES_HEAD = '/// <reference lib="esnext.disposable" />\n\n';

/**
 * Everything that `api/mod.ts` exports as one module, for Deno, Bun and Node. The same bytes for
 * the same sources.
 */
export async function bundleApiScript({ minify = false } = {}): Promise<string> {
  const result = await build({
    entryPoints: [join(ROOT, "api/mod.ts")],
    absWorkingDir: ROOT,
    bundle: true,
    minify,
    write: false,
    format: "esm",
    platform: "neutral",
    external: ["node:*", "bun:*"],
    target: "es2022",
    charset: "utf8",
    legalComments: "none",
    logLevel: "silent",
    tsconfigRaw: "{}",
  });
  // The bundler notes where each part came from; names of sources help nobody who has none.
  return result.outputFiles[0].text.split("\n").filter((line) => !/^\/\/ .*\.ts$/.test(line))
    .join("\n");
}

/** In a page sessions with a relay are over WebSocket: one file in the place of another. */
const webSessions: Plugin = {
  name: "web-sessions",
  setup(bundler): void {
    bundler.onLoad({ filter: /[/\\]api[/\\]relay_link\.ts$/ }, () => ({
      contents: 'export { openWebRelayLink as openRelayLink } from "./web_relay_link.ts";',
      resolveDir: join(ROOT, "api"),
    }));
  },
};

/** The client of a relay as one module for browsers. Anything of a machine in it is an error. */
export async function bundleWebScript(): Promise<string> {
  const result = await build({
    entryPoints: [join(ROOT, "api/web_relay.ts")],
    absWorkingDir: ROOT,
    bundle: true,
    minify: true,
    write: false,
    format: "esm",
    platform: "browser",
    target: "es2022",
    charset: "utf8",
    legalComments: "none",
    logLevel: "silent",
    tsconfigRaw: "{}",
    plugins: [webSessions],
  });
  return result.outputFiles[0].text;
}

/** Ends the bundler, which would keep the process. */
export async function endBundler(): Promise<void> {
  await stop();
}

/** The types of everything that `api/mod.ts` exports, as one file that imports nothing. */
export function bundleApiTypes(): Promise<string> {
  return bundleTypes("api/mod.ts");
}

/** The types of what {@linkcode bundleWebScript} makes, as one file that imports nothing. */
export function bundleWebTypes(): Promise<string> {
  return bundleTypes("api/web_relay.ts");
}

async function bundleTypes(path: string): Promise<string> {
  const { generateDtsBundle } = await import("dts-bundle-generator");
  // The bundler's own declarations name files that are not beside them.
  const [types] = generateDtsBundle([{
    filePath: join(ROOT, path),
    output: { noBanner: true, exportReferencedTypes: false },
  }], { preferredConfigPath: join(ROOT, "scripts/api_types.json") });
  return TYPES_HEAD + types;
}
