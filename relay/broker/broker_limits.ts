// Core. What a broker keeps at most, and what it does when that is reached.

/** What happens to a request that finds a queue full. */
export const WHEN_FULL = ["refuse", "drop_oldest", "cut"] as const;

/** Any of {@linkcode WHEN_FULL}. */
export type WhenFull = (typeof WHEN_FULL)[number];

/**
 * Requests that timed out at a worker and are remembered, so that a late answer is told from one to
 * nothing; the oldest is forgotten.
 */
export const LATE_REQUESTS_MAX = 10_000;

/** Longest time that a request may ask for, in milliseconds. */
export const REQUEST_TTL_MS_MAX = 3_600_000;

/** Bounds of a broker. */
export interface BrokerLimits {
  /** Time for an answer where a request does not say. */
  readonly timeoutMs: number;
  /** A longer one is made this. */
  readonly ttlMsMax: number;
  /** Requests of one client without an answer. */
  readonly clientRequestsMax: number;
  /** Bytes of those of one client that wait for a worker. */
  readonly clientBytesMax: number;
  /** Requests of one module that wait for a worker, and their bytes. */
  readonly moduleRequestsMax: number;
  readonly moduleBytesMax: number;
  /** Bytes of all that wait. When it is reached the newest is refused, whatever `whenFull` says. */
  readonly totalBytesMax: number;
  /** Requests that one worker may be given ahead of its answers. */
  readonly creditMax: number;
  /** What a full queue of a module does. */
  readonly whenFull: WhenFull;
}

/** Those of a relay that is told nothing. */
export const defaultBrokerLimits: BrokerLimits = {
  timeoutMs: 20_000,
  ttlMsMax: REQUEST_TTL_MS_MAX,
  clientRequestsMax: 1_000,
  clientBytesMax: 1024 * 1024,
  moduleRequestsMax: 10_000,
  moduleBytesMax: 16 * 1024 * 1024,
  totalBytesMax: 64 * 1024 * 1024,
  creditMax: 10_000,
  whenFull: "refuse",
};
