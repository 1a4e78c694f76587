// Shell. How the words of `lars relay` reach a relay that runs, and what they show it.

import { type ClientTls, transportOf } from "../api/tls_option.ts";
import { clientTlsOfEnvironment } from "./tls_access.ts";
import { readToken } from "../daemon/daemon.ts";
import type { Address } from "../reactor/address.ts";
import { systemClock } from "../reactor/time/system_clock.ts";
import { systemRng } from "../reactor/time/system_rng.ts";
import { RelayAdmin, RelayAnswerError, RelayAwayError } from "../relay/relay_admin.ts";
import { Secrets } from "../session/secrets.ts";
import { CommandError } from "./cli_errors.ts";

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
    throw isAnswer ? new CommandError(error.message, { cause: error }) : error;
  } finally {
    await admin.close();
  }
}
