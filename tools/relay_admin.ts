// Shell. Questions to a relay that runs, for the words of `lars relay`.

import { openRelayLink } from "../api/relay_link.ts";
import type { ClientTls } from "../api/tls_option.ts";
import { clientTlsOfEnvironment } from "./tls_access.ts";
import { readToken } from "../daemon/daemon.ts";
import { decodeRelayTold, encodeRelayAsk } from "../proto/codec.ts";
import { MessageId } from "../proto/message_ids.ts";
import { type Address, formatAddress } from "../reactor/address.ts";
import { sleep } from "../reactor/time/clock.ts";
import { systemClock } from "../reactor/time/system_clock.ts";
import type { SessionClient } from "../session/session_client.ts";
import { CommandError } from "./cli_errors.ts";

/** Longest wait for a connection, and for an answer. */
const RELAY_ANSWER_MS = 5_000;

/** How a relay is found. */
export interface RelayAddressFlags {
  readonly relay: Address;
  readonly tokenFile?: string;
}

/** An answer of a relay: JSON. */
export type RelayTelling = Readonly<Record<string, unknown>>;

/** What is shown to a relay: the secret that `--token-file` names, the certificate of the environment. */
export async function relaySecrets(
  { tokenFile }: RelayAddressFlags,
): Promise<{ readonly token?: Uint8Array; readonly tls?: ClientTls }> {
  const token = await readToken(tokenFile ?? "", "--token-file");
  return { ...(token === undefined ? {} : { token }), ...await clientTlsOfEnvironment() };
}

/** A connection to a relay for questions. */
export class RelayAdmin {
  readonly #address: Address;
  readonly #link: SessionClient;
  #hear: (telling: RelayTelling) => void = () => {};
  #lost = false;

  private constructor(
    address: Address,
    secrets: { readonly token?: Uint8Array; readonly tls?: ClientTls },
  ) {
    this.#address = address;
    this.#link = openRelayLink({
      ...{ token: undefined, ...secrets, addresses: [address], role: "tool" },
      clock: systemClock,
      onReady: () => {},
      onLost: () => (this.#lost = true),
    });
    this.#link.router.add(MessageId.RelayTold, (body) => {
      this.#hear(JSON.parse(decodeRelayTold(body).answer) as RelayTelling);
    });
    this.#link.start();
  }

  /** Connects. @throws {CommandError} when no relay answers. */
  static async connect(flags: RelayAddressFlags): Promise<RelayAdmin> {
    const admin = new RelayAdmin(flags.relay, await relaySecrets(flags));
    const endMs = systemClock.nowMs() + RELAY_ANSWER_MS;
    while (!admin.#link.ready) {
      const { secretFault, fault } = admin.#link;
      if (secretFault !== undefined || systemClock.nowMs() > endMs) {
        await admin.close();
        throw new CommandError(
          `No relay answers at ${formatAddress(flags.relay)}: ${secretFault ?? fault ?? "silence"}`,
        );
      }
      await sleep(systemClock, 10);
    }
    return admin;
  }

  /** True when the connection is lost. */
  get lost(): boolean {
    return this.#lost;
  }

  /** Asks once. @throws {CommandError} when the relay does not answer, or says what is wrong. */
  async ask(question: RelayTelling): Promise<RelayTelling> {
    const telling = await new Promise<RelayTelling>((resolve, reject) => {
      const late = new CommandError(`The relay at ${formatAddress(this.#address)} does not answer`);
      const timer = systemClock.setTimer(RELAY_ANSWER_MS, () => reject(late));
      this.#hear = (answer) => {
        timer.cancel();
        resolve(answer);
      };
      this.#say(question);
    });
    if (typeof telling.error === "string") throw new CommandError(telling.error);
    return telling;
  }

  /** Hears everything that is told from now on. */
  follow(question: RelayTelling, hear: (telling: RelayTelling) => void): void {
    this.#hear = hear;
    this.#say(question);
  }

  /** Ends the connection. */
  close(): Promise<void> {
    return this.#link.close();
  }

  #say(question: RelayTelling): void {
    const body = encodeRelayAsk({ number: 1, question: JSON.stringify(question) });
    this.#link.send(MessageId.RelayAsk, body);
  }
}
