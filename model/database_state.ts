// Core. How new a route is: what the database said when it was read, comparable between all who read.

/**
 * A state of the routes. Within an epoch RouteVersion only grows; a new epoch begins when an operator
 * says that a database which was set back counts all the same.
 */
export interface DatabaseState {
  readonly epoch: number;
  readonly version: number;
}

/** True when the first state is older than the second. */
export function isOlderState(one: DatabaseState, other: DatabaseState): boolean {
  return one.epoch === other.epoch ? one.version < other.version : one.epoch < other.epoch;
}

/** The later of two states, of which either may not be known. */
export function laterState(
  one: DatabaseState | undefined,
  other: DatabaseState | undefined,
): DatabaseState | undefined {
  if (one === undefined || other === undefined) return one ?? other;
  return isOlderState(one, other) ? other : one;
}
