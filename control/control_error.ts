// Core. What a service refuses, and why.

import { LarsError } from "../reactor/errors.ts";

/** Why something is refused. */
export type RefusalReason =
  | "wrong-login"
  | "not-allowed"
  | "not-found"
  | "conflict"
  | "changed-meanwhile"
  | "invalid"
  | "too-many-requests"
  | "agent-away"
  | "discovery-away";

/** What a refusal says besides its reason and its sentence. */
export interface RefusalExtras {
  /** Faults of single fields: a path such as `edits.3.weight`, and what would be right. */
  readonly errors?: { path: string; message: string }[];
  /** With `changed-meanwhile`: the revision the module has now. */
  readonly revision?: string;
  /** Seconds after which trying again makes sense. */
  readonly retryAfterS?: number;
}

/** A refusal that is shown to whoever asked. */
export class ControlError<Reason extends string = RefusalReason> extends LarsError {
  override name = "ControlError";
  readonly reason: Reason;
  readonly extras: RefusalExtras;

  /** `message` is one sentence for people: what, where, what would be right. */
  constructor(reason: Reason, message: string, extras: RefusalExtras = {}) {
    super(message);
    this.reason = reason;
    this.extras = extras;
  }
}
