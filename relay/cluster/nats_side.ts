// Shell. What a relay has with the NATS servers of its configuration; without them nothing of it is loaded.

import { type DaemonContext, readToken } from "../../daemon/daemon.ts";
import type { SettingsOf } from "../../daemon/settings/settings.ts";
import { ConfigError } from "../../reactor/errors.ts";
import type { Clock, Timer } from "../../reactor/time/clock.ts";
import { nextInt, type Rng } from "../../reactor/time/rng.ts";
import type { relaySettings } from "../config.ts";
import type { LogMailStore } from "./log_mail_store.ts";
import type { NatsLink } from "./nats_link.ts";
import type { ClusterBus } from "./relay_cluster.ts";

/** Time that edits which are under way have when the relay stops, in milliseconds. */
const CLOSE_MS = 500;

type RelaySettings = SettingsOf<typeof relaySettings>;

/** Servers of a list, as the library takes them. @throws {ConfigError} naming what is none. */
export function parseNatsServers(text: string): string[] {
  const servers = text.split(/[\s,]+/).filter((one) => one !== "");
  for (const server of servers) {
    if (/^(nats|tls):\/\/(\[[0-9a-fA-F:]+\]|[\w.-]+)(:\d{1,5})?$/.test(server)) continue;
    throw new ConfigError(
      `[relay] nats must be like nats://host:4222, several separated by commas: ` +
        `current value is ${server.replace(/\/\/.*@/, "//***@")}`,
    );
  }
  return servers;
}

/** Addresses of their monitoring. @throws {ConfigError} naming what is none. */
export function parseNatsMonitors(text: string): string[] {
  const monitors = text.split(/[\s,]+/).filter((one) => one !== "");
  for (const monitor of monitors) {
    if (/^https?:\/\/(\[[0-9a-fA-F:]+\]|[\w.-]+)(:\d{1,5})?$/.test(monitor)) continue;
    throw new ConfigError(
      `[relay] nats_monitor must be like http://host:8222, several separated by commas: ` +
        `current value is ${monitor.replace(/\/\/.*@/, "//***@")}`,
    );
  }
  return monitors;
}

/** The settings that have to do with NATS. */
function checkSettings({ nats, storeUrl, natsPrefix, natsMonitor }: RelaySettings): string[] {
  const servers = parseNatsServers(nats);
  parseNatsMonitors(natsMonitor);
  if (servers.length === 0 && storeUrl === "nats") {
    throw new ConfigError("[relay] store = nats needs [relay] nats = nats://host:4222");
  }
  if (servers.length > 0 && storeUrl !== "" && storeUrl !== "nats") {
    throw new ConfigError(
      "[relay] nats with a database in [relay] store would keep messages at one relay that are " +
        "for a client at another: set store = nats, or leave it empty",
    );
  }
  if (!/^[A-Za-z0-9_-]{1,32}$/.test(natsPrefix)) {
    throw new ConfigError(
      `[relay] nats_prefix must be 1 to 32 letters, digits, _ or -: current value is ${natsPrefix}`,
    );
  }
  return servers;
}

/** A number that no relay has had before. */
function newRelayNumber(rng: Rng): string {
  return Array.from({ length: 4 }, () => nextInt(rng, 2 ** 16).toString(16).padStart(4, "0"))
    .join("");
}

/** One connection to the servers, and what goes over it. */
export class NatsSide {
  readonly clusterBus: ClusterBus;
  /** Undefined: messages are not kept there. */
  readonly mail: LogMailStore | undefined;
  readonly #link: NatsLink;
  readonly #clock: Clock;
  #closing: Timer | undefined;

  constructor(link: NatsLink, relay: string, mail: LogMailStore | undefined, clock: Clock) {
    this.clusterBus = { bus: link, relay };
    this.mail = mail;
    this.#link = link;
    this.#clock = clock;
  }

  /** Edits of mailboxes fail soon, if the servers do not answer. */
  beginClose(): void {
    this.#closing = this.#clock.setTimer(CLOSE_MS, () => this.mail?.close());
  }

  /** Ends the connection once what was sent has left. */
  async close(): Promise<void> {
    this.#closing?.cancel();
    this.mail?.close();
    await this.#link.close();
  }
}

/**
 * Begins to connect; the relay does not wait for it.
 *
 * @returns undefined when no servers are configured.
 * @throws {ConfigError} when a setting does not fit.
 */
export async function openNatsSide(
  settings: RelaySettings,
  { clock, rng, log }: DaemonContext,
): Promise<NatsSide | undefined> {
  const servers = checkSettings(settings);
  if (servers.length === 0) return undefined;
  const { natsTokenFile, natsCaFile, natsPrefix: prefix, natsReplicas: replicas } = settings;
  const token = await readToken(natsTokenFile, "[relay] nats_token_file");
  const options = {
    ...{ servers, prefix, replicas, clock, log },
    secret: token && new TextDecoder().decode(token),
    caFile: natsCaFile === "" ? undefined : natsCaFile,
    isStore: settings.storeUrl === "nats",
    monitors: parseNatsMonitors(settings.natsMonitor),
  };
  const { NatsLink, NatsMailLog } = await import("./nats_link.ts");
  const { LogMailStore } = await import("./log_mail_store.ts");
  const link = new NatsLink(options);
  const relay = newRelayNumber(rng);
  const mail = options.isStore
    ? new LogMailStore({ log: new NatsMailLog(link, options), clock, logger: log, rng, relay })
    : undefined;
  void mail?.start();
  return new NatsSide(link, relay, mail, clock);
}
