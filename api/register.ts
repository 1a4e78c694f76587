// Shell. How a server makes itself a node: registers, stays registered, and leaves in order.

import { networkInterfaces } from "node:os";
import process from "node:process";
import { DEFAULT_PORTS } from "../proto/message_ids.ts";
import { type Address, formatAddress, formatIpv4, parseAddress } from "../reactor/address.ts";
import { LarsError } from "../reactor/errors.ts";
import { silentLogger } from "../reactor/log.ts";
import type { Clock } from "../reactor/time/clock.ts";
import { systemClock } from "../reactor/time/system_clock.ts";
import { systemRng } from "../reactor/time/system_rng.ts";
import { nodeTransport } from "../session/node_transport.ts";
import { Secrets } from "../session/secrets.ts";
import { SessionClient } from "../session/session_client.ts";
import { type AddressWish, chooseAddress, type OwnInterface } from "./own_address.ts";
import { type CloseOutcome, Registrar, type Registration } from "./registrar.ts";
import type { RegisterValues, RegistrationState } from "./registration_types.ts";

/** Time that `register` waits for its answer; then it goes on trying by itself. */
const FIRST_ANSWER_MS = 5_000;
/** Longest wait for a node to be safe to stop, and the quiet that it takes, unless told otherwise. */
const CLOSE_LIMIT_MS = 30_000;
const CLOSE_QUIET_MS = 1_000;

/** What {@linkcode register} is told. */
export interface RegisterOptions extends RegisterValues {
  /** Discoveries, tried in turn: `host` or `host:port`. @default {"127.0.0.1:9527"} */
  readonly discovery?: string | readonly string[];
  /** Shared secret, for a discovery that wants one. */
  readonly token?: Uint8Array;
  /** Hears what is doubtful about the address, and why discovery is not reached. @default {nobody} */
  readonly onWarning?: (text: string) => void;
  /** Source of time. @default {the clock of the machine} */
  readonly clock?: Clock;
}

/** Discovery will not have this node as it is. */
export class RegisterError extends LarsError {
  override name = "RegisterError";
}

/**
 * The address wish of options and environment: `LARS_REGISTER_IP`, `LARS_REGISTER_INTERFACE` and
 * `LARS_REGISTER_CIDR` count where the options say nothing.
 */
function wishOf({ ip, interface: name, cidr }: AddressWish): AddressWish {
  if (ip !== undefined || name !== undefined || cidr !== undefined) {
    return { ip, interface: name, cidr };
  }
  const of = (key: string): string | undefined => process.env[`LARS_REGISTER_${key}`] || undefined;
  return { ip: of("IP"), interface: of("INTERFACE"), cidr: of("CIDR") };
}

function ownInterfaces(): OwnInterface[] {
  return Object.entries(networkInterfaces()).flatMap(([name, all]) =>
    (all ?? []).map(({ address }) => ({ name, address }))
  );
}

function addressesOf(given: string | readonly string[] | undefined): Address[] {
  const list = given === undefined ? ["127.0.0.1"] : typeof given === "string" ? [given] : given;
  if (list.length === 0) throw new RangeError("discovery must name one address at least");
  return list.map((text) => parseAddress(text, DEFAULT_PORTS.discovery));
}

/** A node of this program that is registered, or on its way. */
export class RegisteredNode {
  readonly #one: Registration;
  readonly #link: SessionClient;
  readonly #clock: Clock;

  constructor(one: Registration, link: SessionClient, clock: Clock) {
    this.#one = one;
    this.#link = link;
    this.#clock = clock;
  }

  /** Where it stands. */
  get state(): RegistrationState {
    return this.#one.state;
  }

  /** Why it is not registered, for people; empty when it is. */
  get reason(): string {
    return this.#one.reason || (this.state === "registered" ? "" : this.#link.fault ?? "");
  }

  /** Its address, once it is known: `10.0.0.7:8080`. */
  get address(): string | undefined {
    const { ip, values } = this.#one;
    return ip === undefined ? undefined : `${formatIpv4(ip)}:${values.port}`;
  }

  /** Says whether it wants calls. */
  setReady(isReady: boolean): Promise<void> {
    return this.#one.setReady(isReady);
  }

  /** Says other values of itself; what is absent stays. @throws {RangeError} when they cannot be. */
  update(values: Pick<RegisterValues, "weight" | "zone" | "note">): Promise<void> {
    return this.#one.update(values);
  }

  /** Resolves with the next change of `state`, or after that time. */
  changed(timeoutMs: number): Promise<void> {
    return this.#one.changed(this.#clock, timeoutMs);
  }

  /**
   * Takes no new calls, waits until no agent may use the node, and unregisters it.
   *
   * @param limitMs Longest wait. @default {30000}
   * @param quietMs Time without any use that makes it safe. @default {1000}
   */
  async close(
    { limitMs = CLOSE_LIMIT_MS, quietMs = CLOSE_QUIET_MS }: {
      readonly limitMs?: number;
      readonly quietMs?: number;
    } = {},
  ): Promise<CloseOutcome> {
    try {
      return await this.#one.close(limitMs, quietMs);
    } finally {
      this.#link.sayGoodbye("closed");
      await this.#link.close();
    }
  }
}

/**
 * Makes this program a node of a module: it beats, registers again by itself after any outage or
 * lost lease, and `close()` takes it out so that no call is lost. Resolves when it is registered,
 * or after 5 s without an answer, and then goes on trying.
 *
 * @throws {RegisterError} when discovery refuses it.
 * @throws {RangeError} when an option cannot be.
 */
export async function register(options: RegisterOptions): Promise<RegisteredNode> {
  const { token, onWarning = (): void => {}, clock = systemClock, discovery, ...values } = options;
  const rng = systemRng;
  const wish = wishOf(values);
  const registrar = new Registrar({
    clock,
    rng,
    addressOf(): number {
      const local = link.local?.hostname ?? "";
      const found = chooseAddress(wish, ownInterfaces(), local, link.address.hostname);
      for (const text of found.warnings) onWarning(text);
      return found.ip;
    },
  });
  const link: SessionClient = new SessionClient({
    ...{ name: "discovery", role: "node", software: "lars-api", clock, rng, log: silentLogger },
    addresses: addressesOf(discovery),
    secrets: Secrets.ofToken(token),
    transport: nodeTransport,
    welcomeWaitMs: Infinity,
    secretMissingReason: "discovery wants a secret and there is none: give option token",
    onReady: () => registrar.ready(),
    onLost: () => registrar.lost(link.fault ?? "the connection is lost"),
    onFault: (reason) =>
      onWarning(`discovery ${formatAddress(link.address)}: ${reason}; trying again`),
  });
  registrar.use(link);
  const one = registrar.add(values);
  const node = new RegisteredNode(one, link, clock);
  link.start();
  if (one.state === "connecting") await one.changed(clock, FIRST_ANSWER_MS);
  if (one.state === "refused" || one.state === "superseded") {
    const { reason } = one;
    await link.close();
    throw new RegisterError(reason);
  }
  return node;
}
