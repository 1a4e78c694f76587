// Core. What rules about relays look for: relays answer the console, not the database.

import type { RelayDrop, RelayFacts, RelayRow, RuleKind } from "../schemas.ts";
import { alertAbout, type AlertCondition, type AlertWords } from "./alert_condition.ts";

/** Kinds of rules that look at relays. */
export const RELAY_RULE_KINDS = [
  "relay_away",
  "relay_no_worker",
  "relay_waiting",
  "relay_drops",
  "relay_store_full",
] as const satisfies readonly RuleKind[];

/** Any of {@linkcode RELAY_RULE_KINDS}. */
export type RelayRuleKind = (typeof RELAY_RULE_KINDS)[number];

/** A relay as rules see it. */
export interface SeenRelay extends RelayRow {
  /** It has answered before, or was asked for by name: that it does not answer means something. */
  readonly isExpected: boolean;
}

/** Reasons that say of the relay, its workers or its store that they cannot keep up. */
const DROP_REASONS: readonly string[] = ["full", "dropped", "slow", "failed", "lost"];

function aboutRelay({ relay }: RelayRow, words: AlertWords, value: number): AlertCondition {
  return alertAbout(`relay ${relay}`, words, value);
}

/** How many a second, as text. */
function perSecond(rate: number): string {
  return `${rate < 10 ? Math.round(rate * 10) / 10 : Math.round(rate)}`;
}

function sumOf(drops: readonly RelayDrop[]): number {
  return drops.reduce((sum, drop) => sum + (drop.perSecond ?? 0), 0);
}

function away(relays: readonly SeenRelay[]): AlertCondition[] {
  return relays.flatMap((row): AlertCondition[] => {
    if (row.facts === null) {
      if (!row.isExpected) return [];
      return [aboutRelay(row, [`does not answer: ${row.fault ?? ""}`, "did not answer"], 1)];
    }
    if (!row.facts.isCutOff) return [];
    const words: AlertWords = [
      "reaches no NATS server: nothing passes to other relays",
      "reached no NATS server",
    ];
    return [aboutRelay(row, words, 1)];
  });
}

/** Those that answer and for whom `check` finds something. */
function answering(
  relays: readonly SeenRelay[],
  check: (facts: RelayFacts) => { readonly words: AlertWords; readonly value: number } | undefined,
): AlertCondition[] {
  return relays.flatMap((row) => {
    const found = row.facts === null ? undefined : check(row.facts);
    return found === undefined ? [] : [aboutRelay(row, found.words, found.value)];
  });
}

/** What each kind looks for. */
export const RELAY_CHECKS: Readonly<
  Record<RelayRuleKind, (relays: readonly SeenRelay[], threshold: number) => AlertCondition[]>
> = {
  relay_away: away,
  relay_no_worker: (relays, threshold) =>
    answering(relays, ({ drops, workers, waiting, answersPerSecond }) => {
      const rate = sumOf(drops.filter(({ reason }) => reason === "no_worker"));
      if (rate > threshold) {
        const many = `${perSecond(rate)} requests a second`;
        const words: AlertWords = [`has no worker for ${many}`, `had no worker for ${many}`];
        return { words, value: rate };
      }
      // Clients of the original cannot be told: their requests wait. Workers of other relays answer too.
      if (workers > 0 || waiting === 0 || (answersPerSecond ?? 0) > 0) return undefined;
      const words: AlertWords = [
        `has no worker, and requests that wait: ${waiting}`,
        `had no worker, and requests that waited: ${waiting}`,
      ];
      return { words, value: waiting };
    }),
  relay_waiting: (relays, threshold) =>
    answering(relays, ({ oldestMs, waiting }) => {
      const seconds = Math.round(oldestMs / 100) / 10;
      if (oldestMs <= threshold * 1000) return undefined;
      const words: AlertWords = [
        `has a request that has waited ${seconds} s for a worker, of ${waiting} that wait`,
        `had a request that waited ${seconds} s for a worker`,
      ];
      return { words, value: seconds };
    }),
  relay_drops: (relays, threshold) =>
    answering(relays, ({ drops }) => {
      const counted = drops.filter(({ reason }) => DROP_REASONS.includes(reason));
      const rate = sumOf(counted);
      if (rate <= threshold) return undefined;
      const most = counted.reduce((a, b) => (b.perSecond ?? 0) > (a.perSecond ?? 0) ? b : a);
      const which = `most of them ${most.what}, ${most.reason}`;
      const many = `${perSecond(rate)} messages a second (${which})`;
      return { words: [`does not take ${many}`, `did not take ${many}`], value: rate };
    }),
  relay_store_full: (relays, threshold) =>
    answering(relays, ({ mailShare }) => {
      if (mailShare === null || mailShare <= threshold) return undefined;
      const share = `${Math.round(mailShare * 100)} %`;
      const words: AlertWords = [
        `has filled ${share} of what it may keep for clients that are away`,
        `had filled ${share} of what it may keep`,
      ];
      return { words, value: mailShare };
    }),
};
