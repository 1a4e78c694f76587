// Shell. The relay as a service: many clients, few workers, queues between them.

import {
  type DaemonContext,
  type DaemonDefinition,
  type RunningService,
} from "../daemon/daemon.ts";
import { METRICS_PORTS, requireSafeListen } from "../daemon/settings/common_settings.ts";
import type { SettingsOf } from "../daemon/settings/settings.ts";
import { formatAddress } from "../reactor/address.ts";
import { type BrokerLimits, defaultBrokerLimits } from "./broker/broker_limits.ts";
import { relaySettings } from "./config.ts";
import { RelayLoop, type RelayLoopInit } from "./relay_loop.ts";

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

function initOf(settings: RelaySettings, context: DaemonContext): RelayLoopInit {
  const { listenIp: hostname, connectionsMax, connectionsPerHostMax } = settings;
  const { originals, modId, cmdId, linksMax, linksPerHostMax, clientBytesMax } = settings;
  const { software, secrets } = context;
  const hasOriginals = originals === "on" || (originals === "auto" && secrets === undefined);
  return {
    ...{ hostname, connectionsMax, connectionsPerHostMax, software },
    translated: settings.addressTranslation,
    secrets: secrets?.all,
    // Two frames of the largest kind must fit.
    outputBytesMax: Math.max(clientBytesMax, 2 * 65_536),
    limits: limitsOf(settings),
    originals: hasOriginals
      ? {
        module: { modId, cmdId },
        limits: { linksMax, linksPerHostMax, outputBytesMax: clientBytesMax },
      }
      : undefined,
  };
}

class RelayService implements RunningService {
  readonly name = "relay";
  readonly addresses: readonly string[];
  readonly #loop: RelayLoop;
  readonly #stopListening: () => void;

  constructor(loop: RelayLoop, address: string, { secrets }: DaemonContext) {
    this.#loop = loop;
    this.addresses = [address];
    this.#stopListening = secrets?.onChange(() => loop.setSecrets(secrets.all)) ?? (() => {});
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
    await this.#loop.close();
  }
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
    const { clock, log } = context;
    const loop = new RelayLoop(initOf(settings, context), { clock, log });
    try {
      const address = await loop.listen(settings.listenPort);
      return new RelayService(loop, formatAddress(address), context);
    } catch (error) {
      await loop.close();
      throw error;
    }
  },
};
