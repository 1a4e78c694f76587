// Core. What an in-process client can be told, and the checks of it.

import {
  type BalanceSettings,
  checkBalanceSettings,
  defaultBalanceSettings,
} from "../balancer/detection/balance_settings.ts";
import { MODULES_MAX } from "../balancer/routes/route_records.ts";
import { DEFAULT_PORTS } from "../proto/message_ids.ts";
import { type Address, parseAddress, parseIpv4 } from "../reactor/address.ts";
import type { Clock } from "../reactor/time/clock.ts";
import type { Rng } from "../reactor/time/rng.ts";
import { LEDGER_NODES_MAX } from "./call_ledger.ts";
import { checkWhole, type FirstRouteOptions, type RetryBudgetOptions } from "./options.ts";
import type { Upstream, UpstreamEvents } from "./upstream.ts";
import type { ClientTls } from "./tls_option.ts";

/** Most modules a client may keep. */
export const IN_PROCESS_MODULES_MAX = 1_000_000;

/** How an in-process client works. Every member may be left out. */
export interface InProcessClientOptions extends RetryBudgetOptions, FirstRouteOptions {
  /** Who gives routes and takes results: the agent, or dns and reporter. @default {"local"} */
  mode?: "local" | "direct";
  /** Agents, tried in turn; `host` or `host:port`. For `local`. @default {["127.0.0.1:8888"]} */
  agents?: readonly string[];
  /** Dns servers, tried in turn. For `direct`. @default {["127.0.0.1:7778"]} */
  dns?: readonly string[];
  /** Reporters, tried in turn. For `direct`. @default {["127.0.0.1:7779"]} */
  reporters?: readonly string[];
  /** IPv4 address of this host in reports. For `direct`. @default {that of the connection} */
  callerIp?: string;
  /** Shared secret, for peers that want one; 1 to 1024 bytes. */
  token?: Uint8Array;
  /** Speak TLS with services on other hosts. @default {no} */
  tls?: ClientTls;
  /** Time the first answer about a module may take, in milliseconds. @default {50} */
  deadlineMs?: number;
  /**
   * Rules that differ from those of the agent, which tells its own in mode `local`; in mode `direct`
   * from those of the original.
   */
  rules?: Partial<BalanceSettings>;
  /**
   * Zone this program stands in, for modules whose policy is aware of zones.
   *
   * @default {that of the agent; in mode `direct` ""}
   */
  zone?: string;
  /** Modules kept, 1 to 1000000; a further one takes the place of an old one. @default {10000} */
  modulesMax?: number;
  /** Nodes with results that wait, 1 to 65536; the rest is dropped. @default {65536} */
  resultsMax?: number;
  /** Source of time. @default {the clock of the machine} */
  clock?: Clock;
  /** Source of chance. @default {that of the machine} */
  rng?: Rng;
  /** Makes the way to the rest of the system; for tests. @default {TCP} */
  openUpstream?: (events: UpstreamEvents) => Upstream;
}

/** What an in-process client has seen since it was made, and its present sizes. */
export interface InProcessClientStats {
  readonly modules: number;
  readonly hosts: number;
  readonly hostsOverload: number;
  readonly picks: number;
  readonly probes: number;
  readonly refusedOverload: number;
  readonly refusedNoExist: number;
  readonly reports: number;
  readonly reportsIgnored: number;
  readonly modulesEvicted: number;
  /** Policies of modules, and rules of the agent, that could not be used; those before stayed. */
  readonly policiesRefused: number;
  /** Calls of `getHost` and the like that wait for a first route. */
  readonly waiting: number;
  /** Tries made by `call` after the first one. */
  readonly retried: number;
  /** Tries that `call` did not make because the budget was spent. */
  readonly retriesRefused: number;
  readonly connects: number;
  /** Nodes with results that have not been sent, or not been confirmed. */
  readonly resultsPending: number;
  readonly resultsDropped: number;
  readonly batches: number;
}

/** @throws {RangeError} when there is no address, or one cannot be read. */
export function checkAddresses(
  name: string,
  texts: readonly string[] | undefined,
  defaultPort: number,
): Address[] {
  const addresses = (texts ?? ["127.0.0.1"]).map((text) => parseAddress(text, defaultPort));
  if (addresses.length === 0) throw new RangeError(`${name} must name at least one address`);
  const bad = addresses.find(({ port }) => port === 0);
  if (bad !== undefined) throw new RangeError(`${name} must have ports from 1: current value is 0`);
  return addresses;
}

/** Addresses of each kind. @throws {RangeError} when one cannot be read. */
export function checkPeers(
  options: InProcessClientOptions,
): { agents: Address[]; dns: Address[]; reporters: Address[]; callerIp: number | undefined } {
  const { agents, dns, reporters, callerIp } = options;
  return {
    agents: checkAddresses("agents", agents, DEFAULT_PORTS.agent),
    dns: checkAddresses("dns", dns, DEFAULT_PORTS.dns),
    reporters: checkAddresses("reporters", reporters, DEFAULT_PORTS.reporter),
    callerIp: callerIp === undefined ? undefined : parseIpv4(callerIp),
  };
}

/** @throws {RangeError} when the mode is none. */
export function checkMode(mode: InProcessClientOptions["mode"] = "local"): "local" | "direct" {
  if (mode === "local" || mode === "direct") return mode;
  throw new RangeError(`mode must be "local" or "direct": current value is "${mode}"`);
}

/** All rules. @throws {RangeError} when one is out of range. */
export function checkRules(rules: Partial<BalanceSettings> = {}): BalanceSettings {
  return checkBalanceSettings({ ...defaultBalanceSettings, ...rules });
}

/** @throws {RangeError} when the limit is out of range. */
export function checkModulesMax(value = MODULES_MAX): number {
  return checkWhole("modulesMax", value, 1, IN_PROCESS_MODULES_MAX);
}

/** @throws {RangeError} when the limit is out of range. */
export function checkResultsMax(value = LEDGER_NODES_MAX): number {
  return checkWhole("resultsMax", value, 1, LEDGER_NODES_MAX);
}
