// Core. Errors of the REST interface, and how faults from below become them.

import { ControlError } from "../control/control_error.ts";
import {
  ConflictError,
  LimitError,
  messageOf,
  StoreError,
  type StoreRefusal,
} from "../reactor/errors.ts";
import { NewerSchemaError } from "../sql/schema/newer_schema.ts";
import { type ProblemBody, type ProblemName, PROBLEMS } from "./contract.ts";

/** An error that is shown to whoever asked. */
export class ApiProblem extends ControlError<ProblemName> {
  override name = "ApiProblem";
}

/** What a database may refuse, as a problem, and what those are told who are not known. */
const REFUSED: { readonly [refusal in StoreRefusal]?: readonly [ProblemName, string] } = {
  rights: ["store-rights", "The database refuses the console a right"],
  schema: ["store-schema", "The database lacks a table of the console"],
  unusable: ["store-unusable", "The console cannot reach its database"],
};

/** Problems of which the log has to say more than whoever asked may be told. */
export const STORE_REFUSED: ReadonlySet<ProblemName> = new Set(
  Object.values(REFUSED).map(([name]) => name),
);

/**
 * The problem that fits a fault; what is nobody's fault but ours tells nothing to the outside.
 *
 * @param isKnown Whoever asked has shown who that is, and is told what the database says: account and
 * host, tables, rights. Never a password, which no fault of a store holds.
 */
export function problemOf(error: unknown, isKnown = false): ControlError<ProblemName> {
  if (error instanceof ControlError) return error;
  if (error instanceof ConflictError) return new ApiProblem("conflict", error.message);
  if (error instanceof LimitError) return new ApiProblem("limit", error.message);
  if (error instanceof NewerSchemaError) return new ApiProblem("store-newer", error.message);
  if (error instanceof StoreError && error.transient) {
    const what = error.inDoubt
      ? "whether the change was made is not known: look before you repeat it"
      : "nothing was changed";
    const why = isKnown ? ` (${error.message})` : "";
    return new ApiProblem("store-away", `The database does not answer${why}; ${what}`, {
      retryAfterS: 2,
    });
  }
  if (error instanceof StoreError && error.refusal !== undefined) {
    const [name, words] = REFUSED[error.refusal] ?? [];
    if (name !== undefined) {
      return new ApiProblem(
        name,
        isKnown ? error.message : `${words}: its log says what is refused`,
      );
    }
  }
  if (error instanceof RangeError) return new ApiProblem("invalid", messageOf(error));
  return new ApiProblem("internal", "This should not happen; the log of the console has the cause");
}

/** The body of an error. */
export function problemBody({ reason, message, extras }: ControlError<ProblemName>): ProblemBody {
  const { status, title } = PROBLEMS[reason];
  const { errors, revision } = extras;
  return {
    type: `urn:lars:${reason}`,
    title,
    status,
    detail: message,
    ...(errors === undefined ? {} : { errors }),
    ...(revision === undefined ? {} : { revision }),
  };
}
