// Shell. The files of this repository, for scripts that look at all of them.
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { SourceFile } from "./import_graph.ts";

/** The repository's folder, without a slash at its end. */
export const ROOT = fileURLToPath(new URL("..", import.meta.url)).replace(/\/$/, "");

const SKIPPED = new Set(["node_modules", "dist", "data", "bench/results", "coverage"]);

/** Starts of paths whose text a program wrote. */
const GENERATED = ["web/assets/bundle.ts", "web/assets/api_bundle.ts", "web/assets/api_types.ts"];

/** Files of the repository whose path, from its root, is wanted; in order of their paths. */
export function readFiles(accept: (path: string) => boolean, folder = ""): SourceFile[] {
  const entries = readdirSync(`${ROOT}/${folder}`, { withFileTypes: true })
    .sort((a, b) => a.name < b.name ? -1 : 1);
  return entries.flatMap((entry) => {
    const path = folder === "" ? entry.name : `${folder}/${entry.name}`;
    if (entry.name.startsWith(".") || SKIPPED.has(path)) return [];
    if (entry.isDirectory()) return readFiles(accept, path);
    return accept(path) ? [{ path, text: readFileSync(`${ROOT}/${path}`, "utf8") }] : [];
  });
}

/** Every source that people write. */
export function readSources(): SourceFile[] {
  return readFiles((path) => /\.(tsx?|c|h)$/.test(path) && !isGenerated(path));
}

/** Every document. */
export function readDocuments(): SourceFile[] {
  return readFiles((path) => path.endsWith(".md"));
}

function isGenerated(path: string): boolean {
  return GENERATED.some((start) => path.startsWith(start));
}
