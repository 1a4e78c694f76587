// Core. The error classes a caller can act on; every other fault is a plain TypeError or RangeError.

/** Base of every error this project throws on purpose. `name` always equals the class name. */
export class LarsError extends Error {
  override name = "LarsError";
}

/** A configuration file, environment variable or flag holds a value that cannot be used. Exit code 2. */
export class ConfigError extends LarsError {
  override name = "ConfigError";
  /** One line for each fault, each naming place, key, value and what would be right. */
  readonly problems: readonly string[];

  constructor(problems: string | readonly string[], options?: ErrorOptions) {
    const list = typeof problems === "string" ? [problems] : problems;
    super(list.join("\n"), options);
    this.problems = list;
  }
}

/** A TCP connection could not be made or was lost. */
export class ConnectError extends LarsError {
  override name = "ConnectError";
  /** `host:port` of the peer. */
  readonly address: string;

  constructor(address: string, message: string, options?: ErrorOptions) {
    super(`${address}: ${message}`, options);
    this.address = address;
  }
}

/** A local address could not be bound. */
export class BindError extends LarsError {
  override name = "BindError";
  /** `host:port` that was asked for. */
  readonly address: string;
  /** True when another program already listens there. */
  readonly inUse: boolean;

  constructor(address: string, inUse: boolean, message: string, options?: ErrorOptions) {
    super(message, options);
    this.address = address;
    this.inUse = inUse;
  }
}

/** No answer came within the time allowed. */
export class TimeoutError extends LarsError {
  override name = "TimeoutError";
  /** Time waited, in milliseconds. */
  readonly waitedMs: number;

  constructor(message: string, waitedMs: number, options?: ErrorOptions) {
    super(message, options);
    this.waitedMs = waitedMs;
  }
}

/** Bytes from the network break the wire rules; the peer is at fault, never this process. */
export class ProtocolError extends LarsError {
  override name = "ProtocolError";
}

/** A named limit was reached and the request was refused rather than queued. */
export class LimitError extends LarsError {
  override name = "LimitError";
  /** Name of the limit, as in docs/limits.md. */
  readonly limit: string;

  constructor(limit: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.limit = limit;
  }
}

/**
 * Why a database refuses what another time it would take, where an operator can do something about it:
 * - `schema`: a table or a column is missing.
 * - `rights`: the account may not do it.
 * - `setBack`: what was read before is missing, as after a backup was put back.
 * - `unusable`: nobody is let in, as with a wrong password, or the file is no database.
 */
export type StoreRefusal = "schema" | "rights" | "setBack" | "unusable";

/** The database refused, was away, or did not answer in time. */
export class StoreError extends LarsError {
  override name = "StoreError";
  /** True when the same call may succeed later (connection lost, deadlock, time-out). */
  readonly transient: boolean;
  /** True when the answer to a write was lost, so that nobody knows whether it was done. */
  readonly inDoubt: boolean;
  /** Undefined: it does not refuse, or nobody knows why. */
  readonly refusal: StoreRefusal | undefined;

  constructor(
    message: string,
    transient: boolean,
    options: ErrorOptions & {
      readonly inDoubt?: boolean;
      readonly refusal?: StoreRefusal | undefined;
    } = {},
  ) {
    super(message, options);
    this.transient = transient;
    this.inDoubt = options.inDoubt === true;
    this.refusal = options.refusal;
  }
}

/** An edit contradicts what the database holds: a node exists already, or is missing. */
export class ConflictError extends LarsError {
  override name = "ConflictError";
}

/** Text of any thrown value, for a log line or an error that wraps it. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
