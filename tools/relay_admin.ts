// Shell. How the words of `lars relay` reach a relay that runs, and what they show it.

import { type ClientTls, transportOf } from "../api/tls_option.ts";
import { clientTlsOfEnvironment } from "./tls_access.ts";
import { readToken } from "../daemon/daemon.ts";
import { type Address, formatAddress } from "../reactor/address.ts";
import { messageOf, TimeoutError } from "../reactor/errors.ts";
import { systemClock } from "../reactor/time/system_clock.ts";
import { systemRng } from "../reactor/time/system_rng.ts";
import { RelayAdmin, RelayAnswerError, RelayAwayError } from "../relay/relay_admin.ts";
import { Secrets } from "../session/secrets.ts";
import { CommandError } from "./cli_errors.ts";
import { dialFault } from "./fetch_fault.ts";

/** How a relay is found. */
export interface RelayAddressFlags {
  readonly relay: Address;
  readonly tokenFile?: string;
}

/** What is shown to a relay: the secret that `--token-file` names, the certificate of the environment. */
export async function relaySecrets(
  { tokenFile }: RelayAddressFlags,
): Promise<{ readonly token?: Uint8Array; readonly tls?: ClientTls }> {
  const token = await readToken(tokenFile ?? "", "--token-file");
  return { ...(token === undefined ? {} : { token }), ...await clientTlsOfEnvironment() };
}

/**
 * Connects, does something, and ends the connection.
 *
 * @throws {CommandError} when no relay answers, or it says what is wrong.
 */
export async function withRelayAdmin<T>(
  flags: RelayAddressFlags,
  fn: (admin: RelayAdmin) => Promise<T>,
): Promise<T> {
  const { token, tls } = await relaySecrets(flags);
  const admin = new RelayAdmin({
    ...{ address: flags.relay, secrets: Secrets.ofToken(token), transport: transportOf(tls) },
    ...{ software: "lars-tool", clock: systemClock, rng: systemRng },
  });
  try {
    await admin.connected();
    return await fn(admin);
  } catch (error) {
    const isAnswer = error instanceof RelayAnswerError || error instanceof RelayAwayError;
    throw isAnswer ? relayFailure(error, flags) : error;
  } finally {
    await admin.close();
  }
}

/** What a relay refused, or why it could not be reached, and what to look at then. */
export function relayFailure(error: unknown, { relay }: RelayAddressFlags): CommandError {
  const isAway = error instanceof RelayAwayError || error instanceof TimeoutError;
  if (!isAway || !(error.cause instanceof Error)) {
    return new CommandError(messageOf(error), { cause: error });
  }
  const why = dialFault(error.cause.message, "the relay");
  return new CommandError(`No relay answers at ${formatAddress(relay)}: ${why}`, { cause: error });
}
