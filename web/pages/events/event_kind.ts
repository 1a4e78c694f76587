// Core. How bad a kind of event is, and the words for it.

/** How bad something is. */
export type Severity = "info" | "warning" | "critical";

/** Kinds that begin so, worst rule first that fits. */
const SEVERITIES: readonly (readonly [RegExp, Severity])[] = [
  [/^alert\.(fir|crit)/, "critical"],
  [/^module\.(down|overload)/, "critical"],
  [/\.(overload|out|silent|lost|refused|behind|backlog|failed|dropped)$/, "warning"],
  [/^alert\.pending/, "warning"],
];

/** Severity of an event, by its kind: `node.overload` is a warning, `node.idle` only news. */
export function severityOf(kind: string): Severity {
  return SEVERITIES.find(([pattern]) => pattern.test(kind))?.[1] ?? "info";
}

/** `node.overload` as words: `node overload`. */
export function kindText(kind: string): string {
  return kind.replace(/[._-]+/g, " ");
}
