// Core. The configuration keys of discovery.

import {
  authSettings,
  reactorSettings,
  storeSettings,
} from "../daemon/settings/common_settings.ts";
import { Section, type SettingsTable } from "../daemon/settings/settings.ts";
import { type ModuleKey, UINT32_MAX } from "../model/module.ts";
import { DEFAULT_PORTS } from "../proto/message_ids.ts";
import { type Address, parseAddress } from "../reactor/address.ts";
import { ConfigError } from "../reactor/errors.ts";
import { LOSS_GUARD_DEFAULTS } from "./loss_guard.ts";
import { SEED_CONNECTION_AGE_MS } from "./seed/seed_servers.ts";

const discovery = new Section("discovery");

/** Ports besides the first one, at the most. */
export const LISTENERS_MAX = 64;

/** Every key that discovery reads. Its connections are served by one thread, beside the database. */
export const discoverySettings = {
  ...reactorSettings(DEFAULT_PORTS.discovery),
  ...storeSettings,
  ...authSettings,
  module: discovery.text("module", "0/0", { shape: "MODID/CMDID" })
    .doc("Module whose servers the seed's protocol registers and gives, on the first port."),
  listeners: discovery.text("listeners", "", { shape: "HOST:PORT=MODID/CMDID, ..." })
    .doc("Further ports, each for the seed's protocol of another module."),
  isSeedServed: discovery.boolean("seed", true)
    .doc("1 speaks the seed's protocol beside our own; 0 only our own."),
  isSeedOpen: discovery.boolean("seed_open", false)
    .doc(
      "1: with [auth] token_file too, programs of the seed are served, who cannot prove a secret.",
    ),
  seedTtlMs: discovery.seconds("seed_ttl", 30, [1, 86_400])
    .doc(
      "Time to live of a server of the seed's protocol once it has beaten; before, it has none.",
    ),
  seedConnectionAgeMs: discovery.seconds("connection_age", SEED_CONNECTION_AGE_MS / 1000, [
    60,
    604_800,
  ])
    .doc(
      "A connection that a client of the seed told of counts for so long unless it says it left.",
    ),
  makesModules: discovery.boolean("new_modules", false)
    .doc("1: any registration may make its module; 0: only one that says so."),
  checksNodes: discovery.boolean("checks", false)
    .doc(
      "1: nodes that ask for it are checked, at their registered addresses; 0: asking is refused.",
    ),
  pollMs: discovery.seconds("poll_interval", 0.5, [0.05, 60])
    .doc("Time between two looks at what operators and other discoveries changed."),
  guardModuleShare: discovery.fraction("guard_module", LOSS_GUARD_DEFAULTS.moduleShare, [0, 1])
    .doc("Share of a module's nodes that may be lost in a minute; of more, all stay. 1: no limit."),
  guardTotalShare: discovery.fraction("guard_total", LOSS_GUARD_DEFAULTS.totalShare, [0, 1])
    .doc("The same of all nodes together."),
} as const satisfies SettingsTable;

/** Reads `MODID/CMDID`. @throws {ConfigError} when it is none. */
export function parseModulePair(text: string, key: string): ModuleKey {
  const match = /^\s*(\d{1,10})[/,](\d{1,10})\s*$/.exec(text);
  const [modId, cmdId] = match?.slice(1).map(Number) ?? [NaN, NaN];
  if (modId <= UINT32_MAX && cmdId <= UINT32_MAX) return { modId, cmdId };
  throw new ConfigError(`[discovery] ${key} must be MODID/CMDID: current value is "${text}"`);
}

/** Reads the further ports. @throws {ConfigError} when one cannot be read. */
export function parseListeners(text: string): { address: Address; module: ModuleKey }[] {
  const parts = text.split(/[,\s]+/).filter((part) => part !== "");
  if (parts.length > LISTENERS_MAX) {
    throw new ConfigError(`[discovery] listeners must be at most ${LISTENERS_MAX}`);
  }
  return parts.map((part) => {
    const [address, module, ...rest] = part.split("=");
    if (module === undefined || rest.length > 0) {
      throw new ConfigError(
        `[discovery] listeners must be HOST:PORT=MODID/CMDID: current value is "${part}"`,
      );
    }
    return { address: addressOf(address), module: parseModulePair(module, "listeners") };
  });
}

function addressOf(text: string): Address {
  try {
    return parseAddress(text);
  } catch (error) {
    throw new ConfigError(
      `[discovery] listeners: ${error instanceof Error ? error.message : error}`,
    );
  }
}
