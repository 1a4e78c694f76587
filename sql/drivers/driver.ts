// Core. What the store needs of a database driver, and how a driver reports faults.

import { messageOf, StoreError, type StoreRefusal } from "../../reactor/errors.ts";
import type { Dialect, Script } from "./sql_script.ts";

/**
 * What a fault means for the call:
 * - `deadlock`: the database undid the transaction to let another go on, or somebody else has made
 *   what a migration was about to make; try again.
 * - `busy`: somebody else is writing; try again until the time is over.
 * - `schema`: a table or column is missing; look at the schema again.
 * - `transient`: the database is away; the caller may try later.
 * - `behind`: this server knows less than was read before; another one of the url may know it.
 * - `rows`: some row of the statement is refused, or there are too many; with fewer it may pass.
 * - `rights`: the account may not do it.
 * - `setBack`: this server has lost what was read before; another one of the url may have it.
 * - `unusable`: the database lets nobody in, as with a wrong password, or is none.
 * - `permanent`: the same call will fail again.
 */
export type FaultKind =
  | "deadlock"
  | "busy"
  | "schema"
  | "transient"
  | "behind"
  | "rows"
  | "rights"
  | "setBack"
  | "unusable"
  | "permanent";

/** A fault of the database, as a driver throws it; never leaves this room. */
export class StatementFault extends Error {
  override name = "StatementFault";
  readonly kind: FaultKind;
  /** True: the answer to a write was lost, so nobody knows whether it was done. */
  readonly inDoubt: boolean;

  constructor(
    kind: FaultKind,
    message: string,
    options: ErrorOptions & { readonly inDoubt?: boolean } = {},
  ) {
    super(message, options);
    this.kind = kind;
    this.inDoubt = options.inDoubt === true;
  }
}

/** Kinds of faults that somebody has to do something about, and what is said of them. */
const REFUSALS: { readonly [kind in FaultKind]?: StoreRefusal } = {
  schema: "schema",
  rights: "rights",
  setBack: "setBack",
  unusable: "unusable",
};

/** True when the same call will fail again, until somebody has done something. */
export function isForGood({ kind }: StatementFault): boolean {
  return kind === "permanent" || kind === "rows" || REFUSALS[kind] !== undefined;
}

/** A fault as it leaves this room. `text`: what is said of it, besides its own words. */
export function storeErrorOf(
  fault: StatementFault,
  text: (words: string) => string = (words) => words,
): StoreError {
  return new StoreError(text(messageOf(fault)), !isForGood(fault), {
    cause: fault.cause ?? fault,
    inDoubt: fault.inDoubt,
    refusal: REFUSALS[fault.kind],
  });
}

/** How a write transaction is made. */
export interface TransactOptions<T> {
  /** It survives a loss of power once it is reported done. */
  readonly durable: boolean;
  /**
   * Whether the transaction that gave this result was committed, when the answer to COMMIT was lost:
   * asked in a transaction of its own, which must wait for the other to end (by a lock that both
   * take). Without it, or when it cannot be asked either, the fault is in doubt.
   */
  wasCommitted?(result: T): Script<boolean>;
}

/** Makes a script; called once for each attempt, because a generator runs only once. */
export type ScriptMaker<T> = () => Script<T>;

/** Runs scripts. What a script throws itself passes through; faults come as StatementFault. */
export interface Driver {
  readonly dialect: Dialect;
  readonly label: string;
  /** Runs statements one by one, with no transaction around them. */
  run<T>(makeScript: ScriptMaker<T>): Promise<T>;
  /** Runs statements in one write transaction, undone when the script throws. */
  transact<T>(makeScript: ScriptMaker<T>, options: TransactOptions<T>): Promise<T>;
  /** Lets `body` run scripts that all see the same instant. */
  snapshot<T>(body: (run: SnapshotRun) => Promise<T>): Promise<T>;
  /** Runs a migration, alone and without the usual time-out. */
  migrate<T>(makeScript: ScriptMaker<T>): Promise<T>;
  /** Ends all connections; later calls throw a permanent fault. */
  close(): Promise<void>;
}

/** A {@linkcode Driver} for programs that do nothing else meanwhile. */
export interface LoadingDriver extends Driver {
  /** Lets `body` run scripts in one write transaction that may take long, undone when it throws. */
  load<T>(body: (run: SnapshotRun) => Promise<T>): Promise<T>;
}

/** Runs one script inside a snapshot. */
export type SnapshotRun = <T>(makeScript: ScriptMaker<T>) => Promise<T>;
