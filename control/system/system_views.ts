// Core. What the pages are given, made from the system as the console knows it.

import { type ModuleKey, moduleText } from "../../model/module.ts";
import { addressText, type CountedRow, takesCalls } from "../../model/node.ts";
import { formatIpv4 } from "../../reactor/address.ts";
import { revisionOf } from "../../sql/console/route_difference.ts";
import type { StoredModule } from "../../sql/console/console_store.ts";
import { sharesOf } from "../changes/traffic_shift.ts";
import { countAgents, isPartOf } from "./agent_list.ts";
import { NO_REFUSALS, refusedShareOf } from "./refusal_rates.ts";
import {
  policyName,
  type SeenModule,
  type SeenNode,
  sumRates,
  type SystemView,
} from "./system_model.ts";
import type {
  Hit,
  ModuleDetail,
  ModuleList,
  ModuleListWish,
  ModuleSummary,
  NodeStatus,
  Overview,
  Problem,
  ServiceList,
  ServiceListWish,
} from "../schemas.ts";

const PROBLEMS_SHOWN = 50;
const WORST_SHOWN = 20;
const BUSIEST_SHOWN = 5;
/** Silent agents that are problems of their own. */
const SILENT_AGENTS_NAMED = 5;

/** How bad a health is, worst first. */
const RANK: Readonly<Record<SeenModule["health"], number>> = {
  down: 0,
  degraded: 1,
  empty: 2,
  ok: 3,
  idle: 4,
};

/** Enough digits for people, so that a stream does not repeat itself for nothing. */
function rounded(value: number): number {
  return value >= 100 ? Math.round(value) : Math.round(value * 10) / 10;
}

function roundedShare(value: number): number {
  return Math.round(value * 10_000) / 10_000;
}

function troubleOf(
  module: SeenModule | undefined,
): Pick<ModuleSummary, "severity" | "troubleSinceMs"> {
  const trouble = module?.trouble ?? null;
  return { severity: trouble?.severity ?? null, troubleSinceMs: trouble?.sinceMs ?? null };
}

/** A module of a list. */
function summaryOf(module: SeenModule): ModuleSummary {
  return {
    modId: module.modId,
    cmdId: module.cmdId,
    name: module.name,
    policy: module.policy,
    health: module.health,
    ...troubleOf(module),
    nodeCount: module.nodes.length,
    onCount: module.onCount,
    overloadCount: module.overloadCount,
    callsPerSecond: rounded(module.callsPerSecond),
    errorShare: roundedShare(module.errorShare),
    refusedPerSecond: rounded(module.refusedPerSecond),
    refusedShare: roundedShare(module.refusedShare),
  };
}

const NO_STATUS = {
  health: "idle",
  severity: null,
  troubleSinceMs: null,
  callsPerSecond: 0,
  errorShare: 0,
  callerCount: 0,
  overloadCallerCount: 0,
  reportedAtMs: null,
  sparkline: [],
} as const;

function nodeStatus(row: CountedRow, seen: SeenNode | undefined, wantedShare: number): NodeStatus {
  const { port, weight, zone, state } = row;
  const {
    health,
    severity,
    troubleSinceMs,
    callerCount,
    overloadCallerCount,
    reportedAtMs,
    sparkline,
  } = seen ?? NO_STATUS;
  return {
    ip: formatIpv4(row.ip),
    port,
    weight,
    zone,
    state,
    health,
    wantedShare: roundedShare(wantedShare),
    severity,
    troubleSinceMs,
    callsPerSecond: rounded(seen?.callsPerSecond ?? 0),
    errorShare: roundedShare(seen?.errorShare ?? 0),
    callerCount,
    overloadCallerCount,
    reportedAtMs,
    ...(row.copies === undefined ? {} : { copies: row.copies }),
    sparkline,
  };
}

/**
 * A module with its nodes: values and revision of one reading of the database, so that an edit with
 * this revision never overwrites what was not shown; health and rates as last seen.
 */
export function detailOf(stored: StoredModule, seen: SeenModule | undefined): ModuleDetail {
  const { modId, cmdId, name, nodes } = stored;
  const refused = seen ?? NO_REFUSALS;
  const shares = sharesOf(stored);
  const byName = new Map(seen?.nodes.map((node) => [node.name, node]));
  return {
    modId,
    cmdId,
    name,
    policy: policyName(stored.policy),
    health: seen?.health ?? (nodes.length === 0 ? "empty" : "idle"),
    ...troubleOf(seen),
    nodeCount: nodes.length,
    onCount: nodes.filter(takesCalls).length,
    overloadCount: seen?.overloadCount ?? 0,
    callsPerSecond: rounded(seen?.callsPerSecond ?? 0),
    errorShare: roundedShare(seen?.errorShare ?? 0),
    refusedPerSecond: rounded(refused.refusedPerSecond),
    refusedShare: roundedShare(refused.refusedShare),
    refusedBy: {
      overload: rounded(refused.refusedBy.overload),
      unusable: rounded(refused.refusedBy.unusable),
      noNode: rounded(refused.refusedBy.noNode),
      noRoute: rounded(refused.refusedBy.noRoute),
    },
    policyText: stored.policy,
    revision: revisionOf(stored),
    nodes: nodes.map((row) =>
      nodeStatus(row, byName.get(addressText(row)), shares.get(addressText(row)) ?? 0)
    ),
  };
}

function isTrouble(module: SeenModule): boolean {
  return module.trouble !== null;
}

/** Critical before warning before nothing, older before younger: an order that numbers do not shake. */
function bySeverity(
  a: Pick<Problem, "severity" | "sinceMs"> | null,
  b: Pick<Problem, "severity" | "sinceMs"> | null,
): number {
  const rank = (one: typeof a): number => one === null ? 0 : one.severity === "critical" ? 2 : 1;
  return rank(b) - rank(a) || (a?.sinceMs ?? 0) - (b?.sinceMs ?? 0);
}

/** Equal ones stay in the order of their numbers. */
function byTrouble(a: SeenModule, b: SeenModule): number {
  return RANK[a.health] - RANK[b.health] || bySeverity(a.trouble, b.trouble);
}

/** By calls/s, as far as they differ by a third: modules that are alike do not change places. */
function byCallsRoughly(a: SeenModule, b: SeenModule): number {
  const size = ({ callsPerSecond }: SeenModule): number => Math.round(Math.log(callsPerSecond) * 3);
  return size(b) - size(a);
}

function labelOf(module: SeenModule): string {
  const id = moduleText(module);
  return module.name === "" ? `Module ${id}` : `${module.name} (${id})`;
}

function moduleProblem(module: SeenModule): Problem[] {
  const { modId, cmdId, trouble } = module;
  if (trouble === null) return [];
  const { severity, sinceMs, facts: { text, node } } = trouble;
  const key = `module ${moduleText(module)}`;
  return [{ key, severity, text: `${labelOf(module)}: ${text}`, modId, cmdId, node, sinceMs }];
}

/** Silent services one by one; of agents, which may be thousands, many are one problem. */
function silentProblems({ services }: SystemView): Problem[] {
  const silent = services.filter((service) => service.isSilent);
  const agents = silent.filter(({ kind }) => kind === "agent");
  const isMany = agents.length > SILENT_AGENTS_NAMED;
  const about = { severity: "warning", modId: null, cmdId: null, node: null } as const;
  const problems = silent.filter(({ kind }) => !isMany || kind !== "agent").map((
    { kind, address, seenAtMs },
  ): Problem => {
    const key = `${kind} ${address}`;
    return { ...about, key, text: `${key} is silent`, sinceMs: seenAtMs };
  });
  if (!isMany) return problems;
  const sinceMs = Math.min(...agents.map(({ seenAtMs }) => seenAtMs));
  const text = `${agents.length} agents are silent`;
  return [...problems, { ...about, key: "agents", text, sinceMs }];
}

/** Everything that is wrong, worst first. */
export function problemsIn(view: SystemView): Problem[] {
  const plain = { modId: null, cmdId: null, node: null };
  const away: Problem[] = view.isStale
    ? [{
      ...plain,
      key: "database",
      severity: "critical",
      text: "The database does not answer",
      sinceMs: view.atMs,
    }]
    : [];
  const all = [...view.modules.flatMap(moduleProblem), ...silentProblems(view)].sort(bySeverity);
  return [...away, ...all];
}

/** The overview page. */
export function overviewOf(view: SystemView, firingCount: number): Overview {
  const health = { ok: 0, degraded: 0, down: 0, idle: 0, empty: 0 };
  for (const module of view.modules) health[module.health]++;
  const rates = sumRates(view.modules);
  const refused = view.modules.reduce((sum, module) => sum + module.refusedPerSecond, 0);
  const problems = problemsIn(view);
  const services = { dns: 0, reporter: 0, agent: 0, silent: 0 };
  for (const { kind, isSilent } of view.services) {
    if (isSilent) services.silent += Number(kind !== "agent");
    else if (kind === "dns" || kind === "reporter" || kind === "agent") services[kind]++;
  }
  return {
    atMs: view.atMs,
    isStale: view.isStale,
    version: view.version,
    moduleCount: view.modules.length,
    nodeCount: view.nodeCount,
    health,
    callsPerSecond: rounded(rates.callsPerSecond),
    errorShare: roundedShare(rates.errorShare),
    refusedPerSecond: rounded(refused),
    refusedShare: roundedShare(refusedShareOf(refused, rates.callsPerSecond)),
    callerCount: view.callerCount,
    services,
    agents: countAgents(view),
    firingCount,
    problems: problems.slice(0, PROBLEMS_SHOWN),
    problemCount: problems.length,
    worst: view.modules.filter(isTrouble).sort(byTrouble).slice(0, WORST_SHOWN).map(summaryOf),
    busiest: view.modules.filter(({ callsPerSecond }) => callsPerSecond > 0).sort(byCallsRoughly)
      .slice(0, BUSIEST_SHOWN).map(summaryOf),
  };
}

type SortName = "trouble" | "id" | "name" | "calls" | "errors" | "nodes";

const ORDERS: Readonly<Record<SortName, (a: SeenModule, b: SeenModule) => number>> = {
  trouble: byTrouble,
  id: () => 0,
  name: (a, b) =>
    Number(a.name === "") - Number(b.name === "") ||
    (a.name < b.name ? -1 : a.name > b.name ? 1 : 0),
  calls: (a, b) => b.callsPerSecond - a.callsPerSecond,
  errors: (a, b) => b.errorShare - a.errorShare,
  nodes: (a, b) => b.nodes.length - a.nodes.length,
};

function matches(module: SeenModule, text: string): boolean {
  return moduleText(module).startsWith(text) ||
    module.name.toLowerCase().includes(text) ||
    module.nodes.some(({ name }) => isPartOf(name, text));
}

/** The list of modules. */
export function listModules(view: SystemView, wish: ModuleListWish): ModuleList {
  const text = wish.search?.trim().toLowerCase().replace(/^\((\d+),\s*(\d+)\)$/, "$1/$2") ?? "";
  const found = view.modules.filter((module) =>
    (wish.health === undefined || module.health === wish.health) &&
    (text === "" || matches(module, text))
  );
  found.sort(ORDERS[wish.sort ?? "trouble"]); // Stable: equal ones stay in order of their numbers.
  const offset = wish.offset ?? 0;
  return {
    total: found.length,
    modules: found.slice(offset, offset + (wish.limit ?? 100)).map(summaryOf),
  };
}

/** The services, servers first: there are few of them, and thousands of agents. */
export function listServices(
  { services }: SystemView,
  { kind, offset = 0, limit = 200 }: ServiceListWish,
): ServiceList {
  const servers = services.filter((service) => service.kind !== "agent");
  const found = [...servers, ...services.filter((service) => service.kind === "agent")]
    .filter((service) =>
      kind === undefined || service.kind === kind ||
      (kind === "server" && service.kind !== "agent")
    );
  return { total: found.length, services: found.slice(offset, offset + limit) };
}

/** The modules that have a node, in the order of their numbers. */
export function modulesWith({ modules }: SystemView, node: string): readonly ModuleKey[] {
  return modules.filter(({ nodes }) => nodes.some(({ name }) => name === node));
}

/** Modules, nodes and hosts that match a text: those that begin with it first of their kind. */
export function search(
  view: SystemView,
  q: string,
  limit: number,
): { readonly hits: readonly Hit[] } {
  const text = q.trim().toLowerCase();
  const first: Hit[] = [];
  const later: Hit[] = [];
  const hosts = new Map<string, { modId: number; cmdId: number; modules: Set<string> }>();
  const nodes: Hit[] = [];
  const nodesWith: Hit[] = [];
  for (const module of view.modules) {
    const { modId, cmdId } = module;
    const id = moduleText({ modId, cmdId });
    const name = module.name.toLowerCase();
    const hit: Hit = {
      kind: "module",
      text: module.name === "" ? id : `${module.name} ${id}`,
      modId,
      cmdId,
      node: null,
      moduleCount: 1,
    };
    if (id.startsWith(text) || (name !== "" && name.startsWith(text))) first.push(hit);
    else if (name.includes(text)) later.push(hit);
    for (const node of module.nodes) {
      if (!isPartOf(node.name, text)) continue;
      const begins = node.name.startsWith(text);
      const fitting = begins ? nodes : nodesWith;
      if (fitting.length < limit) {
        fitting.push({
          ...hit,
          kind: "node",
          text: `${node.name} in ${hit.text}`,
          node: node.name,
        });
      }
      // A port is no part of a host.
      if (!begins && !node.ip.includes(text)) continue;
      const host = hosts.get(node.ip) ?? { modId, cmdId, modules: new Set() };
      hosts.set(node.ip, host);
      host.modules.add(id);
    }
  }
  const hostHits = [...hosts].map(([ip, host]): Hit => ({
    kind: "host",
    text: ip,
    modId: host.modId,
    cmdId: host.cmdId,
    node: null,
    moduleCount: host.modules.size,
  }));
  return { hits: [...first, ...hostHits, ...nodes, ...nodesWith, ...later].slice(0, limit) };
}
