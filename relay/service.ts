// Shell. The relay as a service: many clients, few workers, queues between them.

import {
  type DaemonContext,
  type DaemonDefinition,
  type RunningService,
} from "../daemon/daemon.ts";
import { METRICS_PORTS, requireSafeListen } from "../daemon/settings/common_settings.ts";
import type { SettingsOf } from "../daemon/settings/settings.ts";
import { formatAddress } from "../reactor/address.ts";
import { type ModulePolicy, parseModulePolicy } from "../balancer/mod.ts";
import { ConfigError, messageOf } from "../reactor/errors.ts";
import { onTrustChange, trustOf } from "../session/peer_trust.ts";
import type { Store } from "../sql/store.ts";
import type { MailStore } from "../sql/mail/mail_store.ts";
import { type MailChanges, MailRoom } from "./people/mail_room.ts";
import { type BrokerLimits, defaultBrokerLimits } from "./broker/broker_limits.ts";
import { relaySettings } from "./config.ts";
import { type NatsSide, openNatsSide } from "./cluster/nats_side.ts";
import { RELAY_LEAVE_MS_MAX, RelayLoop, type RelayLoopInit } from "./relay_loop.ts";
import { openRelayTransport, type RelayTransport } from "./relay_transport.ts";
import { parseOrigins } from "./web_origin.ts";
import type { WebPort } from "./web_port.ts";

type RelaySettings = SettingsOf<typeof relaySettings>;

/** What the settings say of the broker. */
function limitsOf(settings: RelaySettings): BrokerLimits {
  const { timeoutMs, clientRequestsMax, clientBytesMax, moduleRequestsMax } = settings;
  const { moduleBytesMax, totalBytesMax, whenFull } = settings;
  return {
    ...defaultBrokerLimits,
    ...{ timeoutMs, clientRequestsMax, clientBytesMax, moduleRequestsMax },
    ...{ moduleBytesMax, totalBytesMax, whenFull },
  };
}

/** @throws {ConfigError} when it is none. */
function policyOf({ policy }: RelaySettings): ModulePolicy | undefined {
  try {
    return policy === "" ? undefined : parseModulePolicy(policy);
  } catch (error) {
    throw new ConfigError(`[relay] policy: ${messageOf(error)}`, { cause: error });
  }
}

function initOf(settings: RelaySettings, context: DaemonContext): RelayLoopInit {
  const { listenIp: hostname, connectionsMax, connectionsPerHostMax } = settings;
  const { originals, modId, cmdId, linksMax, linksPerHostMax, clientBytesMax } = settings;
  const { software, secrets, tls } = context;
  const hasOriginals = originals === "on" ||
    (originals === "auto" && secrets === undefined && tls === undefined);
  return {
    ...{ hostname, connectionsMax, connectionsPerHostMax, software },
    translated: settings.addressTranslation,
    ...trustOf(context),
    // Two frames of the largest kind must fit.
    outputBytesMax: Math.max(clientBytesMax, 2 * 65_536),
    limits: limitsOf(settings),
    policy: policyOf(settings),
    mailTtl: { mailTtlMs: settings.mailTtlMs, mailTtlMsMax: settings.mailTtlMsMax },
    originals: hasOriginals
      ? {
        module: { modId, cmdId },
        limits: { linksMax, linksPerHostMax, outputBytesMax: clientBytesMax },
      }
      : undefined,
  };
}

/** An embedded database gets its tables here; a server gets them from `lars sql migrate`. */
async function openMailStore(
  { storeUrl }: RelaySettings,
  { log }: DaemonContext,
): Promise<Store> {
  const { openStore } = await import("../sql/open_store.ts");
  const store = await openStore(storeUrl, { log });
  if (store.dialect === "sqlite") await store.migrate();
  return store;
}

function mailRoomOf(
  store: MailStore,
  settings: RelaySettings,
  context: DaemonContext,
  changes: MailChanges | undefined,
): MailRoom {
  const { mailMessagesMax, mailBytesMax, mailTotalMessagesMax, mailTotalBytesMax } = settings;
  const { clock, rng, log } = context;
  return new MailRoom({
    ...{ store, changes, clock, rng, log, idWindowMs: settings.mailWindowMs },
    limits: {
      messagesMax: mailMessagesMax,
      bytesMax: mailBytesMax,
      totalMessagesMax: mailTotalMessagesMax,
      totalBytesMax: mailTotalBytesMax,
    },
  });
}

/**
 * Without a port for WebSockets none of it is loaded.
 *
 * @throws {ConfigError} when a setting of it does not fit.
 */
async function openWebPort(
  settings: RelaySettings,
  { secrets, clock, log }: DaemonContext,
): Promise<WebPort | undefined> {
  const { webIp: hostname, webPort: port, webOrigins, addressTranslation } = settings;
  if (port === 0) return undefined;
  requireSafeListen(hostname, settings);
  if (secrets !== undefined && !addressTranslation) {
    throw new ConfigError(
      "[relay] web_port with [auth] token_file needs [auth] address_translation = 1: a " +
        "WebSocket may come through a proxy, and the proof of the secret names both ends else",
    );
  }
  let origins: string[];
  try {
    origins = parseOrigins(webOrigins);
  } catch (error) {
    throw new ConfigError(`[relay] web_origins ${messageOf(error)}`, { cause: error });
  }
  const { WebPort } = await import("./web_port.ts");
  return await WebPort.open({ hostname, port, origins, clock, log });
}

/** What a {@linkcode RelayService} ends with itself. */
interface RelayHoldings {
  readonly store: Store | undefined;
  readonly transport: RelayTransport;
  readonly webPort: WebPort | undefined;
  readonly nats: NatsSide | undefined;
}

class RelayService implements RunningService {
  readonly name = "relay";
  readonly addresses: readonly string[];
  readonly #loop: RelayLoop;
  readonly #holdings: RelayHoldings;
  readonly #stopListening: () => void;

  constructor(
    loop: RelayLoop,
    address: string,
    context: DaemonContext,
    holdings: RelayHoldings,
  ) {
    this.#loop = loop;
    this.#holdings = holdings;
    const { webPort } = holdings;
    this.addresses = webPort === undefined ? [address] : [address, formatAddress(webPort.address)];
    this.#stopListening = onTrustChange(context, (trust) => loop.setTrust(trust));
  }

  get leaveMsMax(): number {
    return RELAY_LEAVE_MS_MAX;
  }

  stats(): Record<string, number> {
    return this.#loop.stats();
  }

  readiness(): string | undefined {
    return undefined;
  }

  /** Bounds of queues and times change at once; the rest with the next start. */
  reload(settings: RelaySettings): void {
    this.#loop.setLimits(limitsOf(settings));
  }

  async stop(): Promise<void> {
    this.#stopListening();
    await this.#loop.leave();
    await closeAll(this.#loop, this.#holdings);
  }
}

async function closeAll(
  loop: RelayLoop,
  { webPort, transport, store, nats }: RelayHoldings,
): Promise<void> {
  // What is on its way to the servers has a moment; they may be away.
  nats?.beginClose();
  await loop.close();
  await nats?.close();
  webPort?.close();
  transport.close();
  await store?.close();
}

/** The service between many clients and few workers. */
export const relayDaemon: DaemonDefinition<typeof relaySettings> = {
  name: "relay",
  summary: "Takes requests of many clients to few workers, and the answers back.",
  settings: relaySettings,
  monitor: {
    port: METRICS_PORTS.relay,
    loadTable: async () => (await import("./metrics.ts")).relayMetrics,
  },
  async start(settings, context): Promise<RunningService> {
    requireSafeListen(settings.listenIp, settings);
    const { clock, rng, log } = context;
    const init = initOf(settings, context);
    const webPort = await openWebPort(settings, context);
    const nats = await openNatsSide(settings, context);
    const ownStore = settings.storeUrl !== "" && settings.storeUrl !== "nats";
    const store = ownStore ? await openMailStore(settings, context) : undefined;
    const mail = nats?.mail ?? store?.mail;
    const mailRoom = mail && mailRoomOf(mail, settings, context, nats?.mail);
    const transport = openRelayTransport({
      ...{
        fast: settings.fastPath !== "off",
        hasTls: context.tls !== undefined,
        hostname: settings.listenIp,
        clock,
        log,
      },
      // Nobody would be served any more: whoever watches the process starts it again.
      onError(error): void {
        log.error("The relay can go on no more", { error: messageOf(error) });
        queueMicrotask(() => {
          throw error;
        });
      },
    });
    const clusterBus = nats?.clusterBus;
    const loop = new RelayLoop(init, { ...transport, rng, log, mailRoom, webPort, clusterBus });
    const holdings = { store, transport, webPort, nats };
    try {
      const address = await loop.listen(settings.listenPort);
      mailRoom?.start();
      return new RelayService(loop, formatAddress(address), context, holdings);
    } catch (error) {
      await closeAll(loop, holdings);
      throw error;
    }
  },
};
