// Core. Who follows routes, by which way: agents, programs with a client of ours, and all that
// exports keep in step; how many of them, with which routes, and how far behind.

import type { ServiceInstance } from "../../sql/store.ts";
import { AGENT_BEHIND_S } from "./agent_list.ts";
import { SERVICE_SILENT_MS } from "./system_model.ts";
import type { FollowerList, FollowerRow, ServiceView } from "../schemas.ts";

/** What is known of a service, for this list. */
export type FollowerSource = Pick<
  ServiceView,
  "kind" | "address" | "seenAtMs" | "isSilent" | "revision" | "revisionLag" | "detail"
>;

/**
 * A row of the database as such a source: how long it has been behind is not in the row, only
 * whether it is.
 *
 * @param version Newest `RouteVersion`.
 */
export function followerSource(
  { kind, address, seenAt, detail }: ServiceInstance,
  version: number,
  wallMs: number,
): FollowerSource {
  const revision = typeof detail.version === "number" ? detail.version : null;
  return {
    ...{ kind, address, revision, detail, seenAtMs: seenAt * 1000 },
    isSilent: wallMs - seenAt * 1000 > SERVICE_SILENT_MS,
    revisionLag: revision !== null && revision >= version ? 0 : null,
  };
}

function numberIn({ detail }: FollowerSource, name: string): number | null {
  const value = detail[name];
  return typeof value === "number" ? value : null;
}

const NOTHING = {
  ...{ at: "", behind: null, behindMs: null, revision: null, lagSeconds: null },
  ...{ fault: null, seenAtMs: null, isSilent: false },
} as const;

function least(values: readonly (number | null)[]): number | null {
  const known = values.filter((value) => value !== null);
  return known.length === 0 ? null : known.reduce((a, b) => Math.min(a, b));
}

function most(values: readonly (number | null)[]): number | null {
  const known = values.filter((value) => value !== null);
  return known.length === 0 ? null : known.reduce((a, b) => Math.max(a, b));
}

/** True for an agent that has lacked the newest routes for too long. */
function isBehind({ revision, revisionLag }: FollowerSource, version: number): boolean {
  if (revisionLag === null) return revision !== null && revision < version;
  return revisionLag > AGENT_BEHIND_S;
}

/** Agents, and those who follow through them. */
function agentRows(all: readonly FollowerSource[], version: number): FollowerRow[] {
  const agents = all.filter(({ kind, isSilent }) => kind === "agent" && !isSilent);
  if (agents.length === 0) return [];
  const revision = least(agents.map((agent) => agent.revision));
  const lagSeconds = most(agents.map((agent) => agent.revisionLag));
  const clients = agents.map((agent) => numberIn(agent, "clients"))
    .filter((count) => count !== null);
  const rows: FollowerRow[] = [{
    ...{ ...NOTHING, way: "agents", through: "dns", revision, lagSeconds },
    followers: agents.length,
    behind: agents.filter((agent) => isBehind(agent, version)).length,
  }];
  if (clients.length > 0) {
    rows.push({
      ...{ ...NOTHING, way: "in-process", through: "agents", revision, lagSeconds },
      followers: clients.reduce((sum, count) => sum + count, 0),
    });
  }
  return [...rows, ...tableRows(agents, version)];
}

/** Agents whose table readers have a row of their own; those of the others are added up. */
const TABLES_SHOWN_MAX = 20;

/** Programs that read the tables of these agents; null: none of them tells, being of an older version. */
function tableReaders(agents: readonly FollowerSource[]): number | null {
  const counts = agents.map((agent) => numberIn(agent, "tableReaders"))
    .filter((count) => count !== null);
  return counts.length === 0 ? null : counts.reduce((sum, count) => sum + count, 0);
}

/**
 * Readers of the agents' tables, where there are some: a table has the routes of its agent. Where
 * nobody reads one row says so.
 */
function tableRows(agents: readonly FollowerSource[], version: number): FollowerRow[] {
  const row = (through: string, some: readonly FollowerSource[]): FollowerRow => {
    const followers = tableReaders(some);
    const late = some.filter((agent) => isBehind(agent, version));
    return {
      ...{ ...NOTHING, way: "table", through, followers },
      behind: followers === null ? null : tableReaders(late) ?? 0,
      revision: least(some.map((agent) => agent.revision)),
      lagSeconds: most(some.map((agent) => agent.revisionLag)),
    };
  };
  const read = agents.filter((agent) => (tableReaders([agent]) ?? 0) > 0).sort((a, b) =>
    (b.revisionLag ?? 0) - (a.revisionLag ?? 0) ||
    (tableReaders([b]) ?? 0) - (tableReaders([a]) ?? 0)
  );
  if (read.length === 0) return [row("agents", agents)];
  const shown = read.length <= TABLES_SHOWN_MAX ? read : read.slice(0, TABLES_SHOWN_MAX - 1);
  const rest = read.slice(shown.length);
  return [
    ...shown.map((agent) => ({ ...row(agent.address, [agent]), seenAtMs: agent.seenAtMs })),
    ...rest.length === 0 ? [] : [row("agents", rest)],
  ];
}

/** Programs that follow a dns themselves. */
function dnsRows(all: readonly FollowerSource[]): FollowerRow[] {
  return all.filter(({ kind, isSilent }) => kind === "dns" && !isSilent).flatMap((dns) => {
    const { address, revision, revisionLag: lagSeconds, seenAtMs } = dns;
    const about = { ...NOTHING, through: address, revision, lagSeconds, seenAtMs };
    return [
      {
        ...{ ...about, way: "in-process", followers: numberIn(dns, "clients") },
        behind: numberIn(dns, "clientsBehind"),
      },
      { ...about, way: "plain", followers: numberIn(dns, "connectionsPlain") },
    ].filter(({ followers }) => followers !== null && followers > 0);
  });
}

interface ToldWay {
  readonly way: string;
  readonly at: string;
  readonly followers: number;
  readonly behind: number;
  readonly behindMs: number;
  readonly fault: string;
}

function isToldWay(value: unknown): value is ToldWay {
  if (typeof value !== "object" || value === null) return false;
  const way = value as Readonly<Record<string, unknown>>;
  return ["way", "at", "fault"].every((name) => typeof way[name] === "string") &&
    ["followers", "behind", "behindMs"].every((name) => Number.isSafeInteger(way[name]));
}

/** What the row of an export says of its ways; one that cannot be read says nothing. */
function waysOf({ detail }: FollowerSource): ToldWay[] {
  try {
    const ways: unknown = JSON.parse(String(detail.ways ?? "[]"));
    return Array.isArray(ways) ? ways.filter(isToldWay) : [];
  } catch {
    return [];
  }
}

function exportRows(all: readonly FollowerSource[]): FollowerRow[] {
  return all.filter(({ kind }) => kind === "export").flatMap((one) => {
    const { address, revision, revisionLag: lagSeconds, seenAtMs, isSilent } = one;
    return waysOf(one).map(({ way, at, followers, behind, behindMs, fault }): FollowerRow => ({
      ...{ way, at, followers, behind, behindMs, revision, lagSeconds, seenAtMs, isSilent },
      through: address,
      fault: fault === "" ? null : fault,
    }));
  });
}

/**
 * Everybody who follows, by way.
 *
 * @param version Newest `RouteVersion`.
 */
export function listFollowers(
  services: readonly FollowerSource[],
  version: number,
): FollowerList {
  return {
    version,
    followers: [...agentRows(services, version), ...dnsRows(services), ...exportRows(services)],
  };
}
