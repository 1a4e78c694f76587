// Core. The house rules of this project, as functions from source text to complaints.
import { importsOf, resolvePath, type SourceFile, withoutComments } from "./import_graph.ts";

/** This file, which has to spell out what it looks for. */
const RULES_PATH = "scripts/check_house_rules.ts";

/** Longest function, in lines; longer ones hide what they do. */
export const FUNCTION_LINES_MAX = 70;

/** Longest file, in lines of code: without comments and empty lines. */
export const FILE_LINES_MAX = 500;

/** Files that are tables or generated, which nobody reads from start to end. */
const TABLES: readonly string[] = ["proto/codec.ts", "web/contract.ts", "control/schemas.ts"];

/** Names that several files may export, and why. */
const SHARED_NAMES: Readonly<Record<string, string>> = {
  addTo: "each command of lars is a module that exports it (CommandModule)",
  Host: "a node as callers of the api see it, and as the balancer counts it: the word of both",
};

/** Rooms in order: a file may import from its own room and from rooms before it. */
export const ROOM_ORDER: readonly (readonly string[])[] = [
  ["reactor"],
  ["model"],
  ["proto"],
  ["session"],
  ["daemon"],
  ["balancer", "sql"],
  ["feed"],
  ["service"],
  ["control"],
  ["scaling"],
  ["dns", "reporter", "discovery", "agent", "relay", "api", "sim"],
  ["web"],
  ["tools", "bench"],
  ["scripts"],
  ["tests"],
];

/** Names whose readings must come as arguments, and the files that may use them. */
const AMBIENT: readonly { pattern: RegExp; instead: string; allowed: readonly string[] }[] = [
  {
    pattern: /\b(Date\.now|performance\.now)\(|\bnew Date\(\)/,
    instead: "a Clock",
    allowed: ["reactor/time/system_clock.ts"],
  },
  { pattern: /\bMath\.random\(/, instead: "an Rng", allowed: ["reactor/time/system_rng.ts"] },
  {
    pattern: /\bset(Timeout|Interval)\(/,
    instead: "clock.setTimer",
    allowed: ["reactor/time/system_clock.ts"],
  },
];

/** What a file that claims to be core must not mention. */
const CORE_BANNED: readonly { pattern: RegExp; what: string }[] = [
  { pattern: /^import [^;]*from "node:/m, what: "a node: module" },
  { pattern: /\b(console|process|fetch)[.(]/, what: "the console, the process or the network" },
  { pattern: /\bnew (Worker|WebSocket)\(/, what: "a worker or socket" },
];

/** Packages that are pure functions, which core files may import. */
const PURE_PACKAGES = [
  "murmurhash3js",
  "fast-check",
  "zod",
  "protobufjs",
  "dns-packet",
  "mustache",
];

/** True for files that the rules on sources leave alone. */
export function isTest(path: string): boolean {
  return path.endsWith("_test.ts") || path.startsWith("tests/") ||
    path.endsWith("_conformance.ts");
}

/** Text without comments and without what stands between quotes, line numbers kept. */
export function withoutCommentsAndStrings(text: string): string {
  return withoutComments(text)
    .replace(/"(?:[^"\\\n]|\\.)*"/g, '""')
    .replace(/'(?:[^'\\\n]|\\.)*'/g, "''");
}

/** First line of each source says whether it is core or shell, and what it is. */
export function checkHeader(file: SourceFile): string[] {
  if (isTest(file.path) || file.path.endsWith(".d.ts")) return [];
  const first = file.text.split("\n", 1)[0];
  return /^\/\/ (Core|Shell)\. \S.*/.test(first)
    ? []
    : [`${file.path}:1: first line must be "// Core. …" or "// Shell. …"`];
}

/** Core files are pure: no I/O, no clock, no chance, and they import core files only. */
export function checkCorePurity(
  file: SourceFile,
  headerOf: (path: string) => string | undefined,
): string[] {
  if (!file.text.startsWith("// Core.")) return [];
  const complaints: string[] = [];
  const code = withoutCommentsAndStrings(file.text);
  for (const { pattern, what } of CORE_BANNED) {
    const source = pattern.source.includes('"node:') ? file.text : code;
    if (pattern.test(source)) complaints.push(`${file.path}: a core file must not use ${what}`);
  }
  for (const { specifier, typeOnly } of importsOf(file.text)) {
    if (typeOnly) continue;
    if (!specifier.startsWith(".")) {
      if (!specifier.startsWith("node:") && !PURE_PACKAGES.includes(specifier)) {
        complaints.push(`${file.path}: a core file must not import ${specifier}`);
      }
      continue;
    }
    const target = resolvePath(file.path, specifier);
    if (headerOf(target)?.startsWith("// Shell.") === true) {
      complaints.push(`${file.path}: a core file must not import the shell file ${target}`);
    }
  }
  return complaints;
}

/** Time, chance and timers come as arguments; only one file each reads the real ones. */
export function checkAmbient(file: SourceFile): string[] {
  if (isTest(file.path)) return [];
  const code = withoutCommentsAndStrings(file.text).split("\n");
  return AMBIENT.filter(({ allowed }) => !allowed.includes(file.path)).flatMap((
    { pattern, instead },
  ) =>
    code.flatMap((line, index) =>
      pattern.test(line) ? [`${file.path}:${index + 1}: use ${instead}: ${line.trim()}`] : []
    )
  );
}

/** Tests wait for something to become true (`until`), never for time to pass. */
export function checkSleeps(file: SourceFile): string[] {
  if (!file.path.endsWith("_test.ts")) return [];
  return withoutCommentsAndStrings(file.text).split("\n").flatMap((line, index) =>
    /await\b.*\b(setTimeout|sleep|delay)\(/.test(line)
      ? [`${file.path}:${index + 1}: use until() or a ManualClock: ${line.trim()}`]
      : []
  );
}

/** No `any`: say what the type is. */
export function checkAny(file: SourceFile): string[] {
  if (file.path === RULES_PATH) return [];
  const lines = file.text.split("\n");
  return withoutCommentsAndStrings(file.text).split("\n").flatMap((line, index) =>
    /\bas any\b|: any\b|<any>/.test(line) && !lines[index - 1]?.includes("deno-lint-ignore")
      ? [`${file.path}:${index + 1}: say what the type is: ${line.trim()}`]
      : []
  );
}

/** Only `reactor/runtime/` knows Deno from Bun. */
export function checkRuntimeNames(file: SourceFile): string[] {
  if (file.path.startsWith("reactor/runtime/") || file.path === RULES_PATH) return [];
  return withoutCommentsAndStrings(file.text).split("\n").flatMap((line, index) =>
    /\b(Deno|Bun)\.\w|globalThis\.(Deno|Bun)\b|"bun:/.test(line)
      ? [`${file.path}:${index + 1}: only reactor/runtime/ may name Deno or Bun: ${line.trim()}`]
      : []
  );
}

/** Rooms depend in one direction, see {@linkcode ROOM_ORDER}. */
export function checkRoomOrder(file: SourceFile): string[] {
  const rank = (path: string): number =>
    ROOM_ORDER.findIndex((rooms) => rooms.includes(path.split("/")[0]));
  const own = file.path.split("/")[0];
  const ownRank = rank(file.path);
  if (ownRank < 0 || isTest(file.path)) return [];
  return importsOf(file.text).flatMap(({ specifier }) => {
    if (!specifier.startsWith(".")) return [];
    const target = resolvePath(file.path, specifier);
    const room = target.split("/")[0];
    const targetRank = rank(target);
    if (room === own || targetRank < 0 || targetRank < ownRank) return [];
    return [`${file.path}: ${own}/ must not import ${target} (order of rooms)`];
  });
}

/** `api/` is imported from a URL with no import map: relative paths and `node:` only. */
export function checkApiImports(file: SourceFile): string[] {
  if (!file.path.startsWith("api/") || isTest(file.path)) return [];
  return importsOf(file.text)
    .filter(({ specifier }) => !specifier.startsWith(".") && !specifier.startsWith("node:"))
    .map(({ specifier }) => `${file.path}: api/ must not import the bare name ${specifier}`);
}

/**
 * Nor may anything that `api/mod.ts` imports, however far: the whole of it loads from the URL. Type
 * imports count too, as a checker follows them.
 */
export function checkApiClosure(files: readonly SourceFile[]): string[] {
  const byPath = new Map(files.map((file) => [file.path, file]));
  const complaints: string[] = [];
  const seen = new Set<string>();
  const visit = (path: string, trail: readonly string[]): void => {
    if (seen.has(path)) return;
    seen.add(path);
    const file = byPath.get(path);
    const names = [...trail, path];
    if (file === undefined) {
      complaints.push(`${names.join(" -> ")}: no such source`);
      return;
    }
    for (const { specifier } of importsOf(file.text)) {
      if (specifier.startsWith(".")) visit(resolvePath(path, specifier), names);
      else if (!specifier.startsWith("node:")) {
        complaints.push(`${names.join(" -> ")} must not import the bare name ${specifier}`);
      }
    }
  };
  visit("api/mod.ts", []);
  return complaints;
}

/** No function is longer than {@linkcode FUNCTION_LINES_MAX}; relies on the formatter's layout. */
export function checkFunctionLength(file: SourceFile): string[] {
  if (isTest(file.path)) return [];
  const lines = file.text.split("\n");
  const opening =
    /^(\s*)(?!(?:export )?(?:abstract )?(?:class|interface|namespace|switch|if|for|while|try|else)\b).*(?:\)|\) =>|\): [^={]+|=>) \{$/;
  return lines.flatMap((line, index) => {
    const indent = opening.exec(line)?.[1];
    if (indent === undefined || /^\s*\}/.test(line)) return [];
    const end = lines.findIndex((later, at) => at > index && later.startsWith(`${indent}}`));
    const length = end - index + 1;
    if (end < 0 || length <= FUNCTION_LINES_MAX) return [];
    return [
      `${file.path}:${index + 1}: function of ${length} lines, at most ${FUNCTION_LINES_MAX}`,
    ];
  });
}

/** Words that must not stand in sources or documents, each with its reason. */
const BANNED_WORDS: readonly { pattern: RegExp; why: string }[] = [
  { pattern: /\b(TODO|FIXME|XXX)\b/, why: "finish it, or write it down where users look" },
  { pattern: /\/(work|home|root)\/[a-z]/, why: "a path of one machine means nothing elsewhere" },
  { pattern: /registry\.npmjs|deb\.debian\.org/, why: "name packages, not their hosts" },
];

/** Leftovers that nobody else should have to read. */
export function checkWords(file: SourceFile): string[] {
  if (file.path === RULES_PATH) return [];
  return file.text.split("\n").flatMap((line, index) =>
    line.includes("deno-lint-ignore") ? [] : BANNED_WORDS
      .filter(({ pattern }) => pattern.test(line))
      .map(({ why }) => `${file.path}:${index + 1}: ${why}: ${line.trim()}`)
  );
}

/** No file is longer than {@linkcode FILE_LINES_MAX} lines of code, but for tables. */
export function checkFileLength(file: SourceFile): string[] {
  if (isTest(file.path) || TABLES.includes(file.path)) return [];
  const lines = withoutComments(file.text).split("\n").filter((line) => line.trim() !== "").length;
  return lines <= FILE_LINES_MAX
    ? []
    : [`${file.path}: ${lines} lines of code, at most ${FILE_LINES_MAX}: it has more than one job`];
}

const DEFINITION =
  /^export (?:declare )?(?:default )?(?:async )?(?:abstract )?(?:function\*?|const|let|class|interface|type|enum) (\w+)/gm;

/** A name that files export is defined in one of them: a second one is a copy, or misleads. */
export function checkDefinitions(files: readonly SourceFile[]): string[] {
  const places = new Map<string, Set<string>>();
  for (const file of files.filter(({ path }) => !isTest(path))) {
    for (const [, name] of withoutComments(file.text).matchAll(DEFINITION)) {
      places.set(name, (places.get(name) ?? new Set()).add(file.path));
    }
  }
  const copies = [...places]
    .filter(([name, paths]) => paths.size > 1 && !Object.hasOwn(SHARED_NAMES, name))
    .map(([name, paths]) => `${name} is defined in ${[...paths].join(" and in ")}`);
  return [...copies, ...staleExceptions(places)];
}

/** What the rules make an exception of without need; seen among all files only. */
function staleExceptions(places: ReadonlyMap<string, ReadonlySet<string>>): string[] {
  if (!places.has("checkDefinitions")) return [];
  return Object.keys(SHARED_NAMES).filter((name) => (places.get(name)?.size ?? 0) < 2)
    .map((name) => `${RULES_PATH}: ${name} is defined once: take it off SHARED_NAMES`);
}

/** Writes of routes, names and policies; each file that may call them, by its beginning. */
const ROUTE_WRITES = /\.(editRoutes|setModules|confirmRoutes)\(|\bconsole\.change\(/;
const ROUTE_WRITERS = ["control/changes/", "sql/", "bench/"];

/** Routes are changed by the change service alone: with its history, and dns is told. */
export function checkRouteWrites(file: SourceFile): string[] {
  if (isTest(file.path) || ROUTE_WRITERS.some((begin) => file.path.startsWith(begin))) return [];
  return withoutCommentsAndStrings(file.text).split("\n").flatMap((line, index) =>
    ROUTE_WRITES.test(line)
      ? [`${file.path}:${index + 1}: only control/changes/ changes routes: ${line.trim()}`]
      : []
  );
}
