// Core. What was asked of the console, counted by kind of route and by status.

import type { Metric, MetricSample } from "../daemon/monitor/metrics_text.ts";
import { API_PREFIX, API_ROUTES } from "./contract.ts";

/** The first part of each path of the interface: `modules` for all that is below it. */
const API_GROUPS: ReadonlySet<string> = new Set(
  Object.values(API_ROUTES).map(({ path }) => path.split("/")[1]),
);

/**
 * The kind of route of a path: `modules`, `changes`, … of the interface, `pages`, `health`. What no
 * route is has one kind, `unknown`, so that strangers cannot make new ones.
 *
 * @param isFound False for a path that was answered 404 outside of the interface.
 */
export function routeKind(pathname: string, isFound: boolean): string {
  if (pathname === "/healthz" || pathname === "/readyz") return "health";
  if (pathname === "/api" || pathname.startsWith("/api/")) {
    const [group] = pathname.slice(API_PREFIX.length + 1).split("/");
    return pathname.startsWith(`${API_PREFIX}/`) && API_GROUPS.has(group) ? group : "unknown";
  }
  return isFound ? "pages" : "unknown";
}

interface Count {
  readonly route: string;
  readonly code: number;
  requests: number;
  seconds: number;
}

/** Counts answers. Kinds and statuses are few, so that the table stays small whatever is asked. */
export class RequestCounts {
  readonly #counts = new Map<string, Count>();

  /** Notes an answer, and how long it took until it began. */
  note(pathname: string, code: number, tookMs: number): void {
    const route = routeKind(pathname, code !== 404);
    const key = `${route} ${code}`;
    let count = this.#counts.get(key);
    if (count === undefined) {
      count = { route, code, requests: 0, seconds: 0 };
      this.#counts.set(key, count);
    }
    count.requests++;
    count.seconds += tookMs / 1000;
  }

  /** Answers whose status `matches`. */
  total(matches: (code: number) => boolean = () => true): number {
    let sum = 0;
    for (const { code, requests } of this.#counts.values()) if (matches(code)) sum += requests;
    return sum;
  }

  metrics(): Metric[] {
    const samples = (value: (count: Count) => number): MetricSample[] =>
      [...this.#counts.values()].map((count) => ({
        labels: { route: count.route, code: String(count.code) },
        value: value(count),
      }));
    return [
      {
        name: "lars_web_requests_total",
        help: "Requests answered, by the first part of the path below /api/v1 and by status.",
        type: "counter",
        samples: samples(({ requests }) => requests),
      },
      {
        name: "lars_web_request_seconds_total",
        help: "Time from requests until their answers began.",
        type: "counter",
        samples: samples(({ seconds }) => seconds),
      },
    ];
  }
}
