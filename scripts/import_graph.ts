// Core. What source files import, and the circles in that.

/** A source file as the rules of the house see it. */
export interface SourceFile {
  /** Path from the project root, with `/`: `dns/route_table.ts`. */
  readonly path: string;
  readonly text: string;
}

/** One import of a file. */
export interface Import {
  /** As written: a relative path, or the name of a package. */
  readonly specifier: string;
  /** True for `import type`, `export type … from` and `import("…")` in a type. */
  readonly typeOnly: boolean;
}

/** Text without comments, line numbers kept. */
export function withoutComments(text: string): string {
  return text
    .replace(/\/\*[\s\S]*?\*\//g, (comment) => comment.replace(/[^\n]/g, " "))
    .replace(/(^|[^:"'`])\/\/.*$/gm, "$1");
}

/** What a file imports: at its top, again as exports, when it runs, and for types. */
export function importsOf(text: string): Import[] {
  const code = withoutComments(text);
  const top = /^(?:import|export) (type )?(?:[^;"]*? from )?"([^"]+)"/gm;
  const inside = /(await |\breturn |=> |\()?\bimport\(\s*"([^"]+)",?\s*\)/g;
  return [
    ...[...code.matchAll(top)].map((match) => ({
      specifier: match[2],
      typeOnly: match[1] !== undefined,
    })),
    ...[...code.matchAll(inside)].map((match) => ({
      specifier: match[2],
      typeOnly: match[1] === undefined,
    })),
  ];
}

/** Path of a relative import, from the project root. */
export function resolvePath(from: string, specifier: string): string {
  const parts = from.split("/").slice(0, -1);
  for (const part of specifier.split("/")) {
    if (part === "..") parts.pop();
    else if (part !== ".") parts.push(part);
  }
  return parts.join("/");
}

/**
 * Circles in the imports between files, of whatever kind: files that need each other cannot be read
 * one after the other, even if only their types do. One circle for each group of such files.
 */
export function importCircles(files: readonly SourceFile[]): string[] {
  const graph = new Map(files.map((file) => [
    file.path,
    importsOf(file.text)
      .filter(({ specifier }) => specifier.startsWith("."))
      .map(({ specifier }) => resolvePath(file.path, specifier)),
  ]));
  const circles: string[] = [];
  const told = new Set<string>();
  for (const path of graph.keys()) {
    const circle = told.has(path) ? undefined : shortestCircle(graph, path);
    if (circle === undefined) continue;
    for (const member of circle) told.add(member);
    circles.push([...circle, path].join(" -> "));
  }
  return circles;
}

/** The shortest way from a file back to itself, undefined when there is none. */
function shortestCircle(
  graph: ReadonlyMap<string, readonly string[]>,
  start: string,
): string[] | undefined {
  const trails: string[][] = [[start]];
  const seen = new Set<string>();
  for (const trail of trails) {
    for (const next of graph.get(trail[trail.length - 1]) ?? []) {
      if (next === start) return trail;
      if (seen.has(next)) continue;
      seen.add(next);
      trails.push([...trail, next]);
    }
  }
  return undefined;
}
