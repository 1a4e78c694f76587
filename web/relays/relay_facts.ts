// Core. What relays tell of themselves, as the console shows it. Nothing of it is believed to be whole.

import type {
  RelayClientList,
  RelayDrop,
  RelayFacts,
  RelayMail,
  RelayQueueList,
  RelayWorkerList,
} from "../../control/schemas.ts";
import { REFUSALS } from "../../relay/broker/ledger.ts";
import type { RelayTelling } from "../../relay/relay_admin.ts";

/** Kinds of messages that a relay counts, as its counters begin. */
const KINDS = ["requests", "replies", "transits", "messages", "mail"] as const;

/** Longest text of a relay that is shown, in characters. */
const TEXT_LENGTH_MAX = 128;

/** Counters of a relay some time ago. */
export interface EarlierStats {
  readonly stats: RelayTelling;
  /** How long ago, in seconds; above 0. */
  readonly agoS: number;
}

/**
 * What a relay has and does.
 *
 * @param earlier What rates are the difference to; without it nothing is known of them.
 */
export function relayFacts(stats: RelayTelling, earlier: EarlierStats | undefined): RelayFacts {
  const rate = (name: string): number | null => rateOf(stats, earlier, name);
  return {
    clients: countOf(stats, "clients"),
    originals: countOf(stats, "links"),
    webSockets: countOf(stats, "connections_web"),
    names: countOf(stats, "names"),
    workers: countOf(stats, "workers"),
    running: countOf(stats, "requests_at_workers"),
    // Those that workers have were delivered to them.
    waiting: countOf(stats, "requests_waiting"),
    waitingBytes: countOf(stats, "waiting_bytes"),
    oldestMs: Math.round(numberOf(stats, "oldest_waiting_seconds") * 1000),
    requestsPerSecond: rate("requests_sent"),
    answersPerSecond: rate("replies_delivered"),
    messagesPerSecond: sumOf(rate("messages_sent"), rate("mail_sent"), rate("transits_sent")),
    timedOut: countOf(stats, "requests_timed_out"),
    lostWithWorkers: countOf(stats, "requests_lost_with_worker"),
    mailWaiting: "mail_waiting" in stats ? countOf(stats, "mail_waiting") : null,
    mailShare: "mail_share" in stats ? numberOf(stats, "mail_share") : null,
    isCutOff: stats.relays_connected === 0,
    drops: dropsOf(stats, earlier),
  };
}

/** Clients, as `lars relay ls` has them. */
export function relayClients(telling: RelayTelling): RelayClientList {
  const clients = rowsOf(telling).map((row) => ({
    sid: countOf(row, "sid"),
    name: textOf(row, "name"),
    from: textOf(row, "from"),
    kind: textOf(row, "kind"),
    requests: countOf(row, "requests"),
    waitingBytes: countOf(row, "waiting_bytes"),
  }));
  return { total: totalOf(telling, clients.length), clients };
}

/** Workers, as `lars relay ls workers` has them. */
export function relayWorkers(telling: RelayTelling): RelayWorkerList {
  const workers = rowsOf(telling).map((row) => ({
    from: textOf(row, "from"),
    modules: modulesOf(textOf(row, "modules")),
    credit: countOf(row, "credit"),
    running: countOf(row, "running"),
    answered: countOf(row, "answered"),
  }));
  return { total: totalOf(telling, workers.length), workers };
}

/** Queues of modules, as `lars relay ls modules` has them. */
export function relayQueues(telling: RelayTelling): RelayQueueList {
  const queues = rowsOf(telling).map((row) => ({
    modId: countOf(row, "modid"),
    cmdId: countOf(row, "cmdid"),
    workers: countOf(row, "workers"),
    waiting: countOf(row, "waiting"),
    waitingBytes: countOf(row, "waiting_bytes"),
    oldestMs: countOf(row, "oldest_ms"),
  }));
  return { total: totalOf(telling, queues.length), queues };
}

/** Mailboxes, as `lars relay ls mail` has them. */
export function relayMail(telling: RelayTelling): RelayMail {
  const boxes = rowsOf(telling).map((row) => ({
    name: textOf(row, "name"),
    waiting: countOf(row, "waiting"),
    waitingBytes: countOf(row, "waiting_bytes"),
  }));
  const oldestSentAtMs = countOf(telling, "oldest_sent_at_ms");
  return {
    waiting: countOf(telling, "waiting"),
    waitingBytes: countOf(telling, "waiting_bytes"),
    oldestSentAtMs: oldestSentAtMs === 0 ? null : oldestSentAtMs,
    boxes,
  };
}

/** What did not arrive, by kind and reason: what happens now first, then what happened most. */
function dropsOf(stats: RelayTelling, earlier: EarlierStats | undefined): RelayDrop[] {
  const drops = KINDS.flatMap((what) =>
    [...REFUSALS.map((reason) => [reason, `_refused_${reason}`]), ["expired", "_expired"]]
      .map(([reason, ending]): RelayDrop => ({
        ...{ what, reason, count: countOf(stats, what + ending) },
        perSecond: rateOf(stats, earlier, what + ending),
      }))
  );
  return drops.filter(({ count }) => count > 0)
    .sort((a, b) => (b.perSecond ?? 0) - (a.perSecond ?? 0) || b.count - a.count);
}

/** A relay that has started again counts from 0: then nothing is known. */
function rateOf(
  stats: RelayTelling,
  earlier: EarlierStats | undefined,
  name: string,
): number | null {
  if (earlier === undefined) return null;
  const more = countOf(stats, name) - countOf(earlier.stats, name);
  return more < 0 ? null : more / earlier.agoS;
}

function sumOf(...rates: readonly (number | null)[]): number | null {
  return rates.reduce<number | null>(
    (sum, rate) => sum === null || rate === null ? null : sum + rate,
    0,
  );
}

/** `1,2 3,4` as a relay names modules. */
function modulesOf(text: string): { modId: number; cmdId: number }[] {
  return [...text.matchAll(/(\d{1,10}),(\d{1,10})/g)]
    .map(([, modId, cmdId]) => ({ modId: Number(modId), cmdId: Number(cmdId) }));
}

function rowsOf({ rows }: RelayTelling): RelayTelling[] {
  if (!Array.isArray(rows)) return [];
  return rows.filter((row) => typeof row === "object" && row !== null) as RelayTelling[];
}

function totalOf(telling: RelayTelling, rows: number): number {
  return Math.max(rows, countOf(telling, "count"));
}

function numberOf(telling: RelayTelling, name: string): number {
  const value = telling[name];
  return typeof value === "number" && value >= 0 && value <= Number.MAX_SAFE_INTEGER ? value : 0;
}

function countOf(telling: RelayTelling, name: string): number {
  return Math.round(numberOf(telling, name));
}

function textOf(telling: RelayTelling, name: string): string {
  const value = telling[name];
  return typeof value === "string" ? value.slice(0, TEXT_LENGTH_MAX) : "";
}
