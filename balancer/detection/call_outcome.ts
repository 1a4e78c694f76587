// Core. What the return code and the time say that are reported of a call.

/** Kinds of outcome, as small numbers for the hot path. */
export const CallOutcome = {
  /** The call went well. */
  Success: 0,
  /** The node turned the call away because it is overloaded. */
  Pushback: 1,
  /** The connection was refused or lost: the program or its machine is gone. */
  Refused: 2,
  /** The caller gave up waiting. */
  Timeout: 3,
  /** Any other failure. */
  Other: 4,
  /** Nobody said how the call ended. */
  Unknown: 5,
} as const;

/** Any of {@linkcode CallOutcome}. */
export type CallOutcome = (typeof CallOutcome)[keyof typeof CallOutcome];

/**
 * Return codes that say more than "failed", as a caller reports them. 1 is the original's "node is
 * overloaded"; the others are the error numbers of Linux and the status codes of HTTP that callers
 * have at hand, so that most can report what they got:
 *
 * | code                                         | kind     |
 * | -------------------------------------------- | -------- |
 * | 0                                            | success  |
 * | 1, 429, 503                                  | pushback |
 * | 101, 103, 104, 111, 113 (ENETUNREACH, ECONNABORTED, ECONNRESET, ECONNREFUSED, EHOSTUNREACH) | refused |
 * | 110 (ETIMEDOUT), 408, 504                    | timeout  |
 * | any other                                    | other    |
 *
 * Kinds matter only to modules whose settings weigh them apart.
 */
export function callOutcomeOf(retcode: number): CallOutcome {
  switch (retcode) {
    case 0:
      return CallOutcome.Success;
    case 1:
    case 429:
    case 503:
      return CallOutcome.Pushback;
    case 101:
    case 103:
    case 104:
    case 111:
    case 113:
      return CallOutcome.Refused;
    case 110:
    case 408:
    case 504:
      return CallOutcome.Timeout;
    default:
      return CallOutcome.Other;
  }
}

/** The return codes this project's own programs report; one for each kind of outcome. */
export const ReportCode = {
  Success: 0,
  Pushback: 1,
  Refused: 111,
  Timeout: 110,
  Other: 2,
} as const;

/** Time of a call that nobody has told. */
export const TIME_UNKNOWN_MS = -1;

/**
 * Longest time of a call that counts, a day. Beyond it stands no time, but a number that went
 * wrong: -1 as unsigned is 49 days.
 */
export const TIME_COUNTED_MS_MAX = 86_400_000;
