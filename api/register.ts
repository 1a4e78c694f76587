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
import { Secrets } from "../session/secrets.ts";
import { SessionClient } from "../session/session_client.ts";
import { type AddressWish, chooseAddress, type OwnInterface } from "./own_address.ts";
import { type CloseOutcome, Registrar, type Registration } from "./registrar.ts";
import type { RegisterValues, RegistrationState } from "./registration_types.ts";
import { type ClientTls, transportOf } from "./tls_option.ts";

/** Time that `register` waits for its answer; then it goes on trying by itself. */
const FIRST_ANSWER_MS = 5_000;
/** Longest wait for a node to be safe to stop, and the quiet that it takes, unless told otherwise. */
const CLOSE_LIMIT_MS = 30_000;
const CLOSE_QUIET_MS = 1_000;

/** How discovery is reached. */
export interface DiscoveryOptions {
  /** Discoveries, tried in turn: `host` or `host:port`. @default {"127.0.0.1:9527"} */
  readonly discovery?: string | readonly string[] | undefined;
  /** Shared secret, for a discovery that wants one. */
  readonly token?: Uint8Array | undefined;
  /** Speak TLS with a discovery on another host. @default {no} */
  readonly tls?: ClientTls | undefined;
  /** Hears what is doubtful about an address, and why discovery is not reached. @default {nobody} */
  readonly onWarning?: ((text: string) => void) | undefined;
  /** Source of time. @default {the clock of the machine} */
  readonly clock?: Clock | undefined;
}

/** What {@linkcode register} is told. */
export interface RegisterOptions extends RegisterValues, DiscoveryOptions {}

/** How long a node waits until it is safe to stop. */
export interface NodeCloseOptions {
  /** Longest wait, in milliseconds. @default {30000} */
  readonly limitMs?: number;
  /** Time without any use that makes it safe, in milliseconds. @default {1000} */
  readonly quietMs?: number;
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
  readonly #endsLink: boolean;

  /** @param endsLink True: nobody else uses the connection. */
  constructor(one: Registration, link: SessionClient, clock: Clock, endsLink: boolean) {
    this.#one = one;
    this.#link = link;
    this.#clock = clock;
    this.#endsLink = endsLink;
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

  /** Takes no new calls, waits until no agent may use the node, and unregisters it. */
  async close(
    { limitMs = CLOSE_LIMIT_MS, quietMs = CLOSE_QUIET_MS }: NodeCloseOptions = {},
  ): Promise<CloseOutcome> {
    try {
      return await this.#one.close(limitMs, quietMs);
    } finally {
      if (this.#endsLink) await endLink(this.#link);
    }
  }
}

function isOpen({ state }: RegisteredNode): boolean {
  return state === "connecting" || state === "registered";
}

async function endLink(link: SessionClient): Promise<void> {
  link.sayGoodbye("closed");
  await link.close();
}

/** Several nodes of one program: they share a connection, and one frame is the heartbeat of all. */
export class NodeRegistrar {
  readonly #clock: Clock;
  readonly #registrar: Registrar;
  readonly #link: SessionClient;
  readonly #nodes = new Set<RegisteredNode>();

  /** Begins to connect. @throws {RangeError} when an option cannot be. */
  constructor(options: DiscoveryOptions = {}) {
    const { token, tls, onWarning = (): void => {}, clock = systemClock, discovery } = options;
    const rng = systemRng;
    this.#clock = clock;
    const registrar = this.#registrar = new Registrar({
      clock,
      rng,
      addressOf(values): number {
        const local = link.local?.hostname ?? "";
        const found = chooseAddress(wishOf(values), ownInterfaces(), local, link.address.hostname);
        for (const text of found.warnings) onWarning(text);
        return found.ip;
      },
    });
    const link: SessionClient = new SessionClient({
      ...{ name: "discovery", role: "node", software: "lars-api", clock, rng, log: silentLogger },
      addresses: addressesOf(discovery),
      secrets: Secrets.ofToken(token),
      transport: transportOf(tls),
      welcomeWaitMs: Infinity,
      // Else discovery would take a connection that stood still for the end of this program.
      saysGoodbye: true,
      secretMissingReason: "discovery wants a secret and there is none: give option token",
      onReady: () => registrar.ready(),
      onLost: () => registrar.lost(link.fault ?? "the connection is lost"),
      onFault: (reason) =>
        onWarning(`discovery ${formatAddress(link.address)}: ${reason}; trying again`),
    });
    this.#link = link;
    registrar.use(link);
    link.start();
  }

  /**
   * Makes this program a node; see {@linkcode register}. Its `close()` leaves the others alone.
   *
   * @throws {RegisterError} when discovery refuses it.
   * @throws {RangeError} when an option cannot be.
   */
  async register(values: RegisterValues): Promise<RegisteredNode> {
    const node = await this.#add(values, false);
    for (const old of this.#nodes) if (!isOpen(old)) this.#nodes.delete(old);
    this.#nodes.add(node);
    return node;
  }

  /** The same for a node that has the connection for itself. */
  async registerAlone(values: RegisterValues): Promise<RegisteredNode> {
    try {
      return await this.#add(values, true);
    } catch (error) {
      await this.#link.close();
      throw error;
    }
  }

  /** Takes all nodes out, as `close()` of each does, and ends the connection. */
  async close(options: NodeCloseOptions = {}): Promise<CloseOutcome[]> {
    const open = [...this.#nodes].filter(isOpen);
    try {
      return await Promise.all(open.map((node) => node.close(options)));
    } finally {
      await endLink(this.#link);
    }
  }

  async #add(values: RegisterValues, endsLink: boolean): Promise<RegisteredNode> {
    const one = this.#registrar.add(values);
    if (one.state === "connecting") await one.changed(this.#clock, FIRST_ANSWER_MS);
    if (one.state === "refused" || one.state === "superseded") throw new RegisterError(one.reason);
    return new RegisteredNode(one, this.#link, this.#clock, endsLink);
  }
}

/**
 * Makes this program a node of a module: it beats, registers again by itself after any outage or
 * lost lease, and `close()` takes it out so that no call is lost. Resolves when it is registered,
 * or after 5 s without an answer, and then goes on trying. A program of several nodes shares a
 * {@linkcode NodeRegistrar}.
 *
 * @throws {RegisterError} when discovery refuses it.
 * @throws {RangeError} when an option cannot be.
 */
export function register(options: RegisterOptions): Promise<RegisteredNode> {
  const { token, tls, onWarning, clock, discovery, ...values } = options;
  return new NodeRegistrar({ token, tls, onWarning, clock, discovery }).registerAlone(values);
}
