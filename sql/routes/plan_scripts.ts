// Core. Which state of the routes a server of the database has, and reading exactly one.

import { type DatabaseState, isOlderState } from "../../model/database_state.ts";
import { StatementFault } from "../drivers/driver.ts";
import { numberOf, type Script, type SqlRow } from "../drivers/sql_script.ts";
import type { RouteReadOptions, SeenChange } from "../store.ts";

/** Row of RouteVersion that holds the epoch; programs of the original know row 1 alone. */
export const EPOCH_ROW_ID = 2;

/** Times that routes are read again because an edit came in between. */
const EXACT_READS_MAX = 20;

/** The state that a server has, and what is left of a change that was seen before. */
export interface ServerState extends DatabaseState {
  /** Smallest RouteChange.id; undefined: there is no change. */
  readonly changeIdMin: number | undefined;
  /** Version of the change that was seen; undefined: it is not there. */
  readonly seenVersion: number | undefined;
  /** The change with the largest id; undefined: there is none. */
  readonly newest: SeenChange | undefined;
}

/** Columns of {@linkcode serverStateOf}, with the id of the change that was seen as parameter. */
export const STATE_COLUMNS = "(SELECT version FROM RouteVersion WHERE id = 1) AS version, " +
  `(SELECT version FROM RouteVersion WHERE id = ${EPOCH_ROW_ID}) AS epoch, ` +
  "(SELECT MIN(id) FROM RouteChange) AS changeIdMin, " +
  "(SELECT MAX(id) FROM RouteChange) AS changeIdMax, " +
  "(SELECT version FROM RouteChange ORDER BY id DESC LIMIT 1) AS changeVersion, " +
  "(SELECT version FROM RouteChange WHERE id = ?) AS seenVersion";

/** What a row of {@linkcode STATE_COLUMNS} says. */
export function serverStateOf(row: SqlRow): ServerState {
  const known = (value: unknown): number | undefined =>
    value === null || value === undefined ? undefined : numberOf(value);
  const [id, version] = [known(row.changeIdMax), known(row.changeVersion)];
  return {
    version: numberOf(row.version),
    epoch: numberOf(row.epoch),
    newest: id === undefined || version === undefined ? undefined : { id, version },
    changeIdMin: known(row.changeIdMin),
    seenVersion: known(row.seenVersion),
  };
}

/** The state that this server has now. */
export function* serverStateScript(seen?: SeenChange): Script<ServerState> {
  const [row = {}] = yield { sql: `SELECT ${STATE_COLUMNS}`, params: [seen?.id ?? 0] };
  return serverStateOf(row);
}

/**
 * Asks whether this server has the state that was read before. What is read after it over the same
 * connection is at least as new.
 *
 * @returns its state; undefined when nobody wants to know it.
 * @throws {StatementFault} as {@linkcode checkState}.
 */
export function* checkVersionScript(
  options: RouteReadOptions = {},
): Script<ServerState | undefined> {
  const { atLeastVersion = 0, atLeastEpoch = 0, seenChange, onPlan } = options;
  const hasRead = atLeastVersion > 0 || atLeastEpoch > 0 || seenChange !== undefined;
  if (!hasRead && onPlan === undefined) return undefined;
  const state = yield* serverStateScript(seenChange);
  checkState(state, options);
  return state;
}

/**
 * Reads something of exactly one state, and tells which: what an edit came into is read again.
 *
 * @throws {StatementFault} as {@linkcode checkState}; or transient, when edits come faster than it can
 * be read.
 */
export function* exactScript<T>(
  options: RouteReadOptions,
  read: () => Script<T>,
): Script<T> {
  for (let tries = 1; tries <= EXACT_READS_MAX; tries++) {
    const before = yield* checkVersionScript(options);
    const result = yield* read();
    if (options.onPlan === undefined || before === undefined) return result;
    const after = yield* serverStateScript();
    if (after.version !== before.version || after.epoch !== before.epoch) continue;
    tellPlan(options, before);
    return result;
  }
  throw new StatementFault("transient", "edits come faster than the routes can be read");
}

/** Tells who wants to know it which state was read. */
export function tellPlan({ onPlan }: RouteReadOptions, state: ServerState | undefined): void {
  if (state === undefined) return;
  const { epoch, version, newest } = state;
  onPlan?.({ epoch, version }, newest);
}

/** What the changes of a server say of the one that was seen. */
type Trace =
  /** It is there, or none was seen. */
  | "there"
  /** It may have been pruned, with all that were before it. */
  | "pruned"
  /** They end before it: this server lags, or its tables were set back. */
  | "before"
  /** They go on without it: its tables were set back, and then edited. */
  | "without";

/** No server that lags has a change after one that it lacks, nor a version above all that was read. */
function traceOf(
  { changeIdMin, newest, seenVersion, version }: ServerState,
  { atLeastVersion = 0, seenChange: seen }: RouteReadOptions,
): Trace {
  if (seen === undefined || seenVersion === seen.version) return "there";
  if (seenVersion !== undefined) return "without";
  if (changeIdMin === undefined || newest === undefined || changeIdMin > seen.id) return "pruned";
  const isPast = newest.id > seen.id || version > Math.max(atLeastVersion, seen.version);
  return isPast ? "without" : "before";
}

/**
 * Holds a server to what was read before. In a later epoch everything counts.
 *
 * @throws {StatementFault} behind, when its state is older; setBack, when it was set back and edits
 * went on from there.
 */
export function checkState(state: ServerState, options: RouteReadOptions): void {
  const { atLeastVersion: version = 0, atLeastEpoch: epoch = 0 } = options;
  if (state.epoch > epoch) return;
  if (!isOlderState(state, { epoch, version })) return checkHistory(state, options);
  // Said before it can be pruned, though the version may need much longer to come to what was read.
  if (state.epoch === epoch && traceOf(state, options) === "without") throw setBackFault();
  const what = state.epoch < epoch
    ? `The epoch must be at least ${epoch}, which was read before: current value is ${state.epoch}`
    : `RouteVersion must be at least ${version}, which was read before: current value is ` +
      `${state.version}`;
  throw behindFault(what);
}

/**
 * Older changes may be gone, as editors delete them and programs of the original all of them; but where
 * they are, the one that was seen must be among them, and the same. Where it has been missed before, it
 * must be there in any case.
 *
 * @throws {StatementFault} behind or setBack, when it is not.
 */
export function checkHistory(state: ServerState, options: RouteReadOptions): void {
  const { seenChange } = options;
  const trace = traceOf(state, options);
  if (trace === "before") {
    throw behindFault(
      `RouteChange must have change ${seenChange?.id}, which was read before: its last one is ` +
        `${state.newest?.id}`,
    );
  }
  if (trace === "without") throw setBackFault();
  if (trace === "pruned" && seenChange?.mustBeThere === true) throw setBackFault();
}

function behindFault(what: string): StatementFault {
  return new StatementFault(
    "behind",
    `${what}. This server lags behind, or its tables were set back; in that case ` +
      "`lars sql accept-restored` makes them count",
  );
}

function setBackFault(): StatementFault {
  return new StatementFault(
    "setBack",
    "Changes that were read before are missing from RouteChange: the database was set back, as " +
      "from a backup. Its routes are not taken until `lars sql accept-restored` says that they count",
  );
}
