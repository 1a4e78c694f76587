// Core. Errors of the REST interface, and how faults from below become them.

import { ConflictError, LarsError, LimitError, messageOf, StoreError } from "../reactor/errors.ts";
import { type ProblemBody, type ProblemName, PROBLEMS } from "../web/contract.ts";

/** What a problem says besides its name and its sentence. */
export type ProblemExtras = Pick<ProblemBody, "errors" | "revision"> & {
  /** Seconds after which trying again makes sense. */
  readonly retryAfterS?: number;
};

/** An error that is shown to whoever asked. */
export class ApiProblem extends LarsError {
  override name = "ApiProblem";
  readonly problem: ProblemName;
  readonly extras: ProblemExtras;

  /** `message` is one sentence for people: what, where, what would be right. */
  constructor(problem: ProblemName, message: string, extras: ProblemExtras = {}) {
    super(message);
    this.problem = problem;
    this.extras = extras;
  }
}

/** The problem that fits a fault; what is nobody's fault but ours tells nothing to the outside. */
export function problemOf(error: unknown): ApiProblem {
  if (error instanceof ApiProblem) return error;
  if (error instanceof ConflictError) return new ApiProblem("conflict", error.message);
  if (error instanceof LimitError) return new ApiProblem("limit", error.message);
  if (error instanceof StoreError && error.transient) {
    return new ApiProblem("store-away", "The database does not answer; nothing was changed", {
      retryAfterS: 2,
    });
  }
  if (error instanceof RangeError) return new ApiProblem("invalid", messageOf(error));
  return new ApiProblem("internal", "This should not happen; the log of the console has the cause");
}

/** The body of an error. */
export function problemBody({ problem, message, extras }: ApiProblem): ProblemBody {
  const { status, title } = PROBLEMS[problem];
  return {
    type: `urn:lars:${problem}`,
    title,
    status,
    detail: message,
    ...(extras.errors === undefined ? {} : { errors: extras.errors }),
    ...(extras.revision === undefined ? {} : { revision: extras.revision }),
  };
}
