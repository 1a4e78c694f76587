// Core. What a caller can be told apart from a node; all derive from LarsError.

import { ConnectError, LarsError } from "../reactor/errors.ts";

/** Every node of the module is overloaded: shed the call, or try again a little later. */
export class OverloadError extends LarsError {
  override name = "OverloadError";
  readonly modId: number;
  readonly cmdId: number;

  constructor(modId: number, cmdId: number) {
    super(`Every node of module ${modId},${cmdId} is overloaded`);
    this.modId = modId;
    this.cmdId = cmdId;
  }
}

/**
 * The agent knows no node of the module: there is no such module, or it was asked for the first
 * time and its route has not arrived yet (see `regInit`).
 */
export class NoRouteError extends LarsError {
  override name = "NoRouteError";
  readonly modId: number;
  readonly cmdId: number;

  constructor(modId: number, cmdId: number) {
    super(`The agent knows no node of module ${modId},${cmdId}`);
    this.modId = modId;
    this.cmdId = cmdId;
  }
}

/** The agent answered that it could not do its work. */
export class AgentError extends LarsError {
  override name = "AgentError";
  /** 2 for a system error; any other number is a code this api does not know. */
  readonly retcode: number;

  constructor(modId: number, cmdId: number, retcode: number) {
    super(`The agent answered for module ${modId},${cmdId} with return code ${retcode}`);
    this.retcode = retcode;
  }
}

/**
 * No agent listens at the address. Only Node and Bun can notice; Deno does not hand such messages
 * of the network on, so there a TimeoutError comes instead.
 */
export class NoAgentError extends ConnectError {
  override name = "NoAgentError";

  constructor(address: string, options?: ErrorOptions) {
    super(address, "no Lars agent listens here: is it running?", options);
  }
}

/** A relay answered a request with something else than an answer of a worker. */
export class RelayError extends LarsError {
  override name = "RelayError";
  /** Why: one of {@linkcode RelayStatus}. */
  readonly status: number;
  /** True when nobody has seen the request, so that it can be sent again without harm. */
  readonly unseen: boolean;

  constructor(status: number, message: string, unseen: boolean) {
    super(message);
    this.status = status;
    this.unseen = unseen;
  }
}

/** The client was closed before the answer came, or before the call. */
export class ClosedError extends LarsError {
  override name = "ClosedError";

  constructor() {
    super("The client is closed");
  }
}
