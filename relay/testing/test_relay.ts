// Shell. A relay in this process for tests, on a free port, with what is left out as it usually is.

import { deepEqual } from "node:assert/strict";
import type { Address } from "../../reactor/address.ts";
import { silentLogger } from "../../reactor/log.ts";
import { parseModulePolicy, RECOMMENDED_TEXT } from "../../balancer/mod.ts";
import { systemRng } from "../../reactor/time/system_rng.ts";
import { systemClock } from "../../reactor/time/system_clock.ts";
import { type BrokerLimits, defaultBrokerLimits } from "../broker/broker_limits.ts";
import type { ClusterBus } from "../cluster/relay_cluster.ts";
import type { MailRoom } from "../people/mail_room.ts";
import { RelayLoop, type RelayLoopInit } from "../relay_loop.ts";
import { openRelayTransport } from "../relay_transport.ts";
import { WebPort, type WebPortOptions } from "../web_port.ts";
import type { SeedLimits } from "../seed/seed_door.ts";

/** What a test wants otherwise. */
export interface TestRelayOptions extends Partial<Omit<RelayLoopInit, "limits" | "originals">> {
  readonly mailRoom?: MailRoom;
  /** How it reaches others. @default {it is alone} */
  readonly clusterBus?: ClusterBus;
  /** The fast path. @default {the sockets of the runtime} */
  readonly fast?: boolean;
  /** With a port for WebSockets. @default {none} */
  readonly web?: Partial<WebPortOptions>;
  readonly limits?: Partial<BrokerLimits>;
  /** False: none are served. */
  readonly originals?: Partial<SeedLimits> | false;
}

/** A running relay. */
export interface TestRelay {
  readonly loop: RelayLoop;
  readonly address: Address;
  /** That for WebSockets. */
  readonly webAddress: Address;
  /** `host:port`. */
  readonly name: string;
  stats(): Record<string, number>;
}

/** Runs `fn` with a relay that ends with it. */
export async function withRelay(
  options: TestRelayOptions,
  fn: (relay: TestRelay) => Promise<void>,
): Promise<void> {
  const { limits, originals = {}, mailRoom, clusterBus, fast = false, web, ...more } = options;
  const errors: unknown[] = [];
  const transport = openRelayTransport({
    ...{ fast, hostname: "127.0.0.1", clock: systemClock, log: silentLogger },
    onError: (error) => void errors.push(error),
  });
  const webPort = web === undefined ? undefined : await WebPort.open({
    ...{ hostname: "127.0.0.1", port: 0, origins: [], clock: systemClock, log: silentLogger },
    ...web,
  });
  const loop = new RelayLoop({
    ...{ hostname: "127.0.0.1", connectionsMax: 1000, software: "test", secrets: undefined },
    policy: parseModulePolicy(RECOMMENDED_TEXT),
    mailTtl: { mailTtlMs: 86_400_000, mailTtlMsMax: 2_592_000_000 },
    ...more,
    limits: { ...defaultBrokerLimits, ...limits },
    originals: originals === false ? undefined : {
      module: { modId: 0, cmdId: 0 },
      limits: { linksMax: 500, linksPerHostMax: 0, outputBytesMax: 65_536, ...originals },
    },
  }, { ...transport, rng: systemRng, log: silentLogger, mailRoom, webPort, clusterBus });
  const address = await loop.listen(0);
  try {
    const name = `${address.hostname}:${address.port}`;
    const webAddress = webPort?.address ?? address;
    await fn({ loop, address, webAddress, name, stats: () => loop.stats() });
  } finally {
    await loop.close();
    webPort?.close();
    transport.close();
    deepEqual(errors, []);
  }
}
