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

/** Agents, and those who follow through them. */
function agentRows(all: readonly FollowerSource[], version: number): FollowerRow[] {
  const agents = all.filter(({ kind, isSilent }) => kind === "agent" && !isSilent);
  if (agents.length === 0) return [];
  const isBehind = (agent: FollowerSource): boolean =>
    agent.revisionLag === null
      ? agent.revision !== null && agent.revision < version
      : agent.revisionLag > AGENT_BEHIND_S;
  const revision = least(agents.map((agent) => agent.revision));
  const lagSeconds = most(agents.map((agent) => agent.revisionLag));
  const clients = agents.map((agent) => numberIn(agent, "clients"))
    .filter((count) => count !== null);
  const rows: FollowerRow[] = [{
    ...{ ...NOTHING, way: "agents", through: "dns", revision, lagSeconds },
    followers: agents.length,
    behind: agents.filter(isBehind).length,
  }];
  if (clients.length > 0) {
    rows.push({
      ...{ ...NOTHING, way: "in-process", through: "agents", revision, lagSeconds },
      followers: clients.reduce((sum, count) => sum + count, 0),
    });
  }
  // Whoever maps the table leaves no trace.
  rows.push({ ...NOTHING, way: "table", through: "agents", followers: null, revision, lagSeconds });
  return rows;
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
