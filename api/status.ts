// Core. HTTP status codes as outcomes of calls: which ones say that the node failed.

import { LarsError } from "../reactor/errors.ts";

/** A node answered with a status that says it failed. */
export class StatusError extends LarsError {
  override name = "StatusError";
  /** The status, reported for the node as it is: modules may weigh 429 and 503 less. */
  readonly status: number;

  constructor(status: number) {
    super(`The node answered with status ${status}`);
    this.status = status;
  }
}

/** What {@linkcode checkStatus} needs of an answer: that of `fetch` has it. */
export interface StatusAnswer {
  readonly status: number;
  readonly body?: { cancel(): Promise<void> } | null | undefined;
}

/**
 * True when the node is to blame for a status: 500 and above, 429 (it pushes back) and 408 (it gave
 * up). Any other one of 400 to 499 is the caller's own fault, and no reason to avoid a node.
 */
export function isNodeFailure(status: number): boolean {
  return status >= 500 || status === 429 || status === 408;
}

/**
 * Lets an answer through, or throws when its status says that the node failed. Around `fetch` in
 * the function of `call` it is all it takes for a 500 to count against its node; without it only what `fetch`
 * itself throws counts, and that is lost connections alone.
 *
 * ```ts
 * import assert from "node:assert/strict";
 * import { checkStatus, StatusError } from "./status.ts";
 *
 * const found = checkStatus(new Response("hello"));
 * assert.equal(await found.text(), "hello");
 * assert.throws(() => checkStatus(new Response("broken", { status: 500 })), StatusError);
 * ```
 *
 * @returns the answer itself.
 * @throws {StatusError} for 408, 429, and 500 and above; the body is cancelled then.
 */
export function checkStatus<A extends StatusAnswer>(answer: A): A {
  const { status, body } = answer;
  if (!isNodeFailure(status)) return answer;
  // It will not be read, and an unread body holds its connection. It may have ended badly already.
  body?.cancel().catch(() => {});
  throw new StatusError(status);
}
