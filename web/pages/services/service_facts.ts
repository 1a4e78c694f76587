// Core. What services tell of themselves, in order: what people look for first, then the rest.

import { AGENT_BEHIND_S } from "../../../control/system/agent_list.ts";
import { formatCount, formatNumber, formatSpan } from "../parts/format.ts";
import type { ServiceView } from "../../../control/schemas.ts";

/** A word and its value, ready to show. */
export interface Fact {
  readonly name: string;
  readonly text: string;
}

/** What is shown at once, by kind of service; a name with `!` only when it is not zero. */
const FIRST: Readonly<Record<string, readonly string[]>> = {
  dns: ["connections", "agents", "connectionsPlain!", "subscriptions", "modules", "nodes"],
  reporter: ["connections", "reports", "rows_waiting", "rows_refused!"],
  agent: [
    "modules",
    "hosts",
    "hostsOverload!",
    "picks",
    "reports",
    "resultsPending!",
    "resultsDropped!",
    "modulesHeld!",
  ],
};
/** Values that name something and count nothing. */
const NAMES = new Set(["version", "revision"]);

function textOf(name: string, value: number | string): string {
  if (typeof value === "string") return value;
  if (NAMES.has(name)) return String(value);
  return Number.isInteger(value) ? formatCount(value) : formatNumber(value);
}

/** `dnsRouteAgeS` and `rows_waiting` as words. */
function words(name: string): string {
  return name.replace(/([a-z0-9])([A-Z])/g, "$1 $2").replaceAll("_", " ").toLowerCase();
}

/** What people look for first, and everything else that says something. */
export function factsOf(
  { kind, detail }: Pick<ServiceView, "kind" | "detail">,
): { first: Fact[]; rest: Fact[] } {
  const wanted = FIRST[kind] ?? [];
  const first: string[] = [];
  for (const entry of wanted) {
    const name = entry.replace("!", "");
    if (name in detail && !(entry.endsWith("!") && detail[name] === 0)) first.push(name);
  }
  const rest = Object.keys(detail).filter((name) => !first.includes(name) && detail[name] !== "");
  const facts = (names: readonly string[]): Fact[] =>
    names.map((name) => ({ name: words(name), text: textOf(name, detail[name]) }));
  return { first: facts(first), rest: facts(rest) };
}

/** How new a service's routes are. */
export interface RouteFreshness {
  readonly text: string;
  readonly isWarning: boolean;
}

/**
 * Routes by their version; without one, or without a dns, those of an agent by its link; undefined:
 * it has none.
 */
export function freshnessOf(service: ServiceView): RouteFreshness | undefined {
  const { kind, revision, revisionLag, detail } = service;
  if (kind === "agent" && detail.dnsConnected === 1 && revision === null) {
    return { text: "linked to dns", isWarning: false };
  }
  if (kind === "agent" && detail.dnsConnected === 0) {
    const ageS = typeof detail.dnsRouteAgeS === "number" ? detail.dnsRouteAgeS : -1;
    const text = ageS < 0 ? "no dns yet" : `no dns for ${formatSpan(ageS * 1000)}`;
    return { text, isWarning: true };
  }
  if (revision === null) return undefined;
  const toleratedS = kind === "agent" ? AGENT_BEHIND_S : 0;
  return revisionLag === null || revisionLag <= toleratedS
    ? { text: "up to date", isWarning: false }
    : { text: `${formatSpan(revisionLag * 1000)} behind`, isWarning: true };
}
