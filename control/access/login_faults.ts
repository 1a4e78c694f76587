// Core. Why a login by an OpenID Connect provider is not let in.

import { LarsError } from "../../reactor/errors.ts";

/** Why somebody whom the provider knows is not let in, as the login page says it. */
export const LOGIN_FAULTS = {
  "no-role": "Your account is in no group that may use this console. An administrator can name " +
    "one of your groups under [oidc] roles.",
  "bad-name": "Your account has no name that this console can use: it needs 1 to 64 letters, " +
    "digits, dots, dashes, @ or _. An administrator can choose another claim by [oidc] name_claim.",
  "name-taken":
    "A user with a password has your name. An administrator can remove that user, and " +
    "you can log in then.",
  "locked-out": "You are locked out here. An administrator can let you in again.",
  "last-admin": "You are the last administrator here, and your groups say that you are none any " +
    "more. Log in as another administrator first.",
  "begun-elsewhere":
    "The login took longer than ten minutes, or was begun in another browser. Try " +
    "again.",
  refused: "The provider did not let you in. The log of this console says why.",
  unreachable: "The provider cannot be reached. Try again; who has a password can log in with it.",
  "store-away": "This console cannot use its database now, which is no fault of yours. Try again.",
  "too-many": "Too many logins from your address failed. Wait a minute, then try again.",
} as const;

/** Stands in the address in place of such a word when somebody was let in. */
export const LOGIN_DONE = "done";

/** A word of {@linkcode LOGIN_FAULTS}. */
export type LoginFault = keyof typeof LOGIN_FAULTS;

/** True for a word of {@linkcode LOGIN_FAULTS}. */
export function isLoginFault(word: string): word is LoginFault {
  return Object.hasOwn(LOGIN_FAULTS, word);
}

/** A login by a provider that is not let in. */
export class LoginFaultError extends LarsError {
  override name = "LoginFaultError";
  readonly fault: LoginFault;

  /** @param detail For the log and the audit; the page says the sentence of `fault`. */
  constructor(fault: LoginFault, detail: string, options?: ErrorOptions) {
    super(detail, options);
    this.fault = fault;
  }
}
