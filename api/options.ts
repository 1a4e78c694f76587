// Core. What a client and its calls can be told, and the checks of it.

import type { Clock } from "../reactor/time/clock.ts";
import type { AgentLink, AgentLinkEvents } from "./link.ts";
import { AGENT_PORT_COUNT, DEFAULT_PORTS } from "../proto/message_ids.ts";
import type { PickKey } from "../proto/pick_key.ts";
import type { Host } from "./host.ts";
import { PENDING_MAX } from "./pending.ts";
import type { ClientTls } from "./tls_option.ts";

/** Longest token, in bytes. A longer one is refused with a RangeError. */
export const TOKEN_BYTES_MAX = 1024;

/** How long the first route of a module is waited for when nobody says, in milliseconds. */
export const FIRST_ROUTE_MS = 1000;

/** Longest deadline, in milliseconds. A longer one is refused with a RangeError. */
export const DEADLINE_MS_MAX = 60_000;

/** Most tries of one call after its first. */
export const RETRIES_MAX = 10;

/** Longest time of a call with all its tries, in milliseconds: a day. */
export const CALL_TIMEOUT_MS_MAX = 86_400_000;

/** How many calls may be tried again, for each module. */
export interface RetryBudgetOptions {
  /** Retries for each call of the last ten seconds, 0 to 1. @default {0.2} */
  retryShare?: number;
  /** Retries for each second without regard to calls, 0 to 1000. @default {1} */
  retryFloorPerSecond?: number;
}

/** How long the first route of a module is waited for. */
export interface FirstRouteOptions {
  /**
   * How long `getHost` and `call` go on asking for a module that has no route yet, or whose agent
   * does not answer, in milliseconds, 0 to 60000; 0 does not. It counts from the first pick of the
   * module, so that a module that does not exist costs it once, and never exceeds a `deadlineMs`
   * that is given. @default {1000}
   */
  firstRouteMs?: number;
}

/** Where the agent is and how patient to be. Every member may be left out. */
export interface LarsClientOptions extends RetryBudgetOptions, FirstRouteOptions {
  /** Address of the agent: it should run on this very host. @default {"127.0.0.1"} */
  hostname?: string;
  /**
   * First of the agent's three UDP ports, 1 to 65533, or all three of them.
   *
   * @default {8888}
   */
  port?: number | readonly [number, number, number];
  /** Time a question may take, in milliseconds, more than 0 to 60000. @default {50} */
  deadlineMs?: number;
  /** Shared secret, for an agent that wants one; 1 to 1024 bytes. */
  token?: Uint8Array;
  /** Speak TLS with services on other hosts. @default {no} */
  tls?: ClientTls;
  /**
   * For how long a node named earlier may be used while the agent does not answer, in
   * milliseconds; 0 never does that. @default {Infinity}
   */
  lastGoodMs?: number;
  /**
   * Dns servers to ask for nodes while the agent does not answer and no node that it named is well;
   * `host` or `host:port`. @default {none}
   */
  dns?: readonly string[];
  /** Reporters for the outcomes of such calls. @default {["127.0.0.1:7779"]} */
  reporters?: readonly string[];
  /**
   * Pick from the agent's table in shared memory where that can be: with an agent on this host, on
   * Linux, in Bun or in Deno with `--allow-ffi`. A text is its path. Elsewhere, and with false, the
   * agent is asked for each pick. @default {true: /dev/shm/lars-agent-PORT.table}
   */
  sharedTable?: boolean | string;
  /** Questions under way at once, 1 to 65536; one more is refused. @default {65536} */
  pendingMax?: number;
  /** Source of time. @default {the clock of the machine} */
  clock?: Clock;
  /** Makes the way to the agent; for tests. @default {UDP sockets} */
  openLink?: (hostname: string, ports: readonly number[], events: AgentLinkEvents) => AgentLink;
}

/** What one call can be told. */
export interface CallOptions {
  /** Time the question may take, in milliseconds. @default {that of the client} */
  deadlineMs?: number;
}

/** What `fn` of a call is told beside the node. */
export interface CallAttempt {
  /** 0 for the first try, 1 for the second, and so on. */
  readonly number: number;
  /** Aborted when the time of the call is over; undefined without `timeoutMs`. */
  readonly signal: AbortSignal | undefined;
}

/** The part of a call that is the caller's own: throwing means that the node failed. */
export type CallFunction<T> = (host: Host, attempt: CallAttempt) => T | Promise<T>;

/** What a pick can be told; `firstRouteMs` counts for `getHost` and `call`. */
export interface PickOptions extends CallOptions, FirstRouteOptions {
  /**
   * Calls of one key stay on one node, where the policy of the module heeds keys (`ring_hash`,
   * `bounded_ring_hash`, `maglev`); elsewhere it does nothing. A text counts by its UTF-8 bytes; 1
   * to 256 bytes. @default {none}
   */
  key?: PickKey;
}

/** What `call` can be told. A key holds for the first try; another node is tried without it. */
export interface RetryOptions extends PickOptions {
  /**
   * Further nodes to try when the function throws, 0 to 10; never the node just tried, and never
   * more than the budget of the client allows. For calls that may be made twice. @default {0}
   */
  retries?: number;
  /**
   * Time for the picks and all tries, in milliseconds, more than 0 to a day. When it is over the
   * running try counts as a failure of its node, its signal is aborted, and the call rejects with
   * a TimeoutError. @default {no limit}
   */
  timeoutMs?: number;
  /** Whether another node may do better after this error. @default {always} */
  isRetryable?: (error: unknown, host: Host) => boolean;
  /**
   * Return code to report for an error that the function threw, for what only the caller knows: a
   * node that pushes back (429, 503), say. Kinds matter to modules that weigh them apart; undefined,
   * 0 and what is no whole number of 32 bits count as if it were not given. @default {refused and
   * lost connections 111, time over 110, all else 2}
   */
  retcodeOf?: (error: unknown, host: Host) => number | undefined;
}

/** What a client has seen since it was made. */
export interface LarsClientStats {
  /** Questions asked and not answered yet. */
  readonly pending: number;
  /** Questions sent a second time. */
  readonly resent: number;
  /** Answers that nobody waited for (any more). */
  readonly late: number;
  /** Datagrams of the agent that could not be read. */
  readonly garbage: number;
  /** Datagrams that came from somewhere else than the agent, as far as the system lets them in. */
  readonly foreign: number;
  /** Datagrams that could not be sent. */
  readonly dropped: number;
  /** Times a node named earlier was given because the agent did not answer. */
  readonly stale: number;
  /** Picks that were made from shared memory. */
  readonly tablePicks: number;
  /** Tries made by `call` after the first one. */
  readonly retried: number;
  /** Tries that `call` did not make because the budget was spent. */
  readonly retriesRefused: number;
}

/**
 * The agent's three ports.
 *
 * @throws {RangeError} when one is not a port.
 */
export function checkPorts(port: LarsClientOptions["port"] = DEFAULT_PORTS.agent): number[] {
  const ports = typeof port === "number"
    ? Array.from({ length: AGENT_PORT_COUNT }, (_, index) => port + index)
    : [...port];
  if (ports.length === AGENT_PORT_COUNT && ports.every(isPort)) return ports;
  throw new RangeError(
    `Port must be a whole number from 1 to 65533, or three of them: current value is ${port}`,
  );
}

function isPort(value: number): boolean {
  return Number.isInteger(value) && value >= 1 && value <= 65535;
}

/**
 * The value, a whole number from `least` to `most`.
 *
 * @throws {RangeError} when it is something else; the message begins with `name`.
 */
export function checkWhole(name: string, value: number, least: number, most: number): number {
  if (Number.isInteger(value) && value >= least && value <= most) return value;
  throw new RangeError(
    `${name} must be a whole number from ${least} to ${most}: current value is ${value}`,
  );
}

/** @throws {RangeError} when the value is not a port. */
export function checkPort(value: number): number {
  return checkWhole("Port", value, 1, 65535);
}

/** @throws {RangeError} when the time is not a deadline. */
export function checkDeadline(value: number): number {
  if (value > 0 && value <= DEADLINE_MS_MAX) return value;
  throw new RangeError(
    `Deadline must be more than 0 and at most ${DEADLINE_MS_MAX} ms: current value is ${value}`,
  );
}

/** @throws {RangeError} when the time is not from 0 to 60000. */
export function checkFirstRoute(value: number): number {
  if (value >= 0 && value <= DEADLINE_MS_MAX) return value;
  throw new RangeError(
    `firstRouteMs must be from 0 to ${DEADLINE_MS_MAX}: current value is ${value}`,
  );
}

/** @throws {RangeError} when the number is not from 0 to 10. */
export function checkRetries(value: number): number {
  return checkWhole("retries", value, 0, RETRIES_MAX);
}

/** Infinity for no limit. @throws {RangeError} when the time is not more than 0, up to a day. */
export function checkTimeout(value: number | undefined): number {
  if (value === undefined) return Infinity;
  if (value > 0 && value <= CALL_TIMEOUT_MS_MAX) return value;
  throw new RangeError(
    `timeoutMs must be more than 0 and at most ${CALL_TIMEOUT_MS_MAX}: current value is ${value}`,
  );
}

/** @throws {RangeError} when the share is not from 0 to 1. */
export function checkRetryShare(value: number): number {
  if (value >= 0 && value <= 1) return value;
  throw new RangeError(`retryShare must be from 0 to 1: current value is ${value}`);
}

/** @throws {RangeError} when the number is not from 0 to 1000. */
export function checkRetryFloor(value: number): number {
  if (value >= 0 && value <= 1000) return value;
  throw new RangeError(`retryFloorPerSecond must be from 0 to 1000: current value is ${value}`);
}

/** @throws {RangeError} when the time is negative or no number. */
export function checkLastGood(value: number): number {
  if (value >= 0) return value;
  throw new RangeError(`lastGoodMs must be 0 or more: current value is ${value}`);
}

/** @throws {RangeError} when the limit is not from 1 to 65536. */
export function checkPendingMax(value: number): number {
  return checkWhole("pendingMax", value, 1, PENDING_MAX);
}

/** A copy of the token. @throws {RangeError} when it is empty or too long. */
export function checkToken(token: Uint8Array | undefined): Uint8Array | undefined {
  if (token === undefined) return undefined;
  if (token.length >= 1 && token.length <= TOKEN_BYTES_MAX) return new Uint8Array(token);
  throw new RangeError(
    `Token must be 1 to ${TOKEN_BYTES_MAX} bytes long: current length is ${token.length}`,
  );
}

/**
 * An id as an unsigned number: callers of the original write those from 2^31 up as negative ones.
 *
 * @throws {RangeError} when it is not a whole number of 32 bits.
 */
export function checkId(name: "modId" | "cmdId", value: number): number {
  if (Number.isInteger(value) && value >= -2147483648 && value <= 4294967295) return value >>> 0;
  throw new RangeError(
    `${name} must be a whole number from 0 to 4294967295: current value is ${value}`,
  );
}

/** @throws {RangeError} when the code is not a whole number of 32 bits. */
export function checkRetcode(value: number): number {
  if (value === (value | 0)) return value;
  throw new RangeError(`Return code must be a whole number of 32 bits: current value is ${value}`);
}

/** Whole milliseconds that fit the message. @throws {RangeError} when negative or no number. */
export function checkTimecost(value: number | undefined): number | undefined {
  if (value === undefined) return undefined;
  if (value >= 0) return Math.min(Math.round(value), 4294967295);
  throw new RangeError(`timecostMs must be 0 or more: current value is ${value}`);
}
