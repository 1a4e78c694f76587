// Core. The keys of the agent.

import type { BalanceSettings } from "../balancer/mod.ts";
import { MODULES_MAX } from "../balancer/mod.ts";
import { authSettings } from "../daemon/settings/common_settings.ts";
import {
  addressList,
  boolean,
  choice,
  fraction,
  integer,
  seconds,
  type SettingsOf,
  type SettingsTable,
  text,
} from "../daemon/settings/settings.ts";
import { PUSH_GUARD_MS } from "../feed/push_guard.ts";
import { AGENT_PORT_COUNT, DEFAULT_PORTS } from "../proto/message_ids.ts";

const COUNT_MAX = 1_000_000_000;
/** Ten milliseconds to a day: tests go down, nobody needs to go up. */
const TIME = { min: 0.01, max: 86_400 } as const;

/** The rules of picking and judging, under the names of the original. */
const balanceTable = {
  probeNum: integer("loadbalance", "probe_num", {
    default: 10,
    min: 1,
    max: COUNT_MAX,
    doc: "Ordinary picks (or refusals) before one pick probes an overload node.",
  }),
  initSuccCnt: integer("loadbalance", "init_succ_cnt", {
    default: 180,
    min: 0,
    max: COUNT_MAX,
    doc: "Successes an idle node is trusted with at the start of each window.",
  }),
  initErrCnt: integer("loadbalance", "init_err_cnt", {
    default: 5,
    min: 0,
    max: COUNT_MAX,
    doc: "Failures a node starts with when it becomes overload.",
  }),
  errRate: fraction("loadbalance", "err_rate", {
    default: 0.1,
    min: 0,
    max: 1,
    doc: "An idle node becomes overload when its error rate is above this; 1: never by rate.",
  }),
  succRate: fraction("loadbalance", "succ_rate", {
    default: 0.95,
    min: 0,
    max: 1,
    doc: "An overload node becomes idle when its success rate is above this; 1: never by rate.",
  }),
  continErrLimit: integer("loadbalance", "contin_err_limit", {
    default: 15,
    min: 1,
    max: COUNT_MAX,
    doc: "Failures in a row that make an idle node overload.",
  }),
  continSuccLimit: integer("loadbalance", "contin_succ_limit", {
    default: 15,
    min: 1,
    max: COUNT_MAX,
    doc: "Successes in a row that make an overload node idle.",
  }),
  windowErrRate: fraction("loadbalance", "window_err_rate", {
    default: 0.7,
    min: 0,
    max: 1,
    doc: "Real error rate of a whole window from which an idle node becomes overload.",
  }),
  idleTimeoutMs: seconds("loadbalance", "idle_timeout", {
    default: 15,
    ...TIME,
    doc: "Length of the window of an idle node.",
  }),
  overloadTimeoutMs: seconds("loadbalance", "overload_timeout", {
    default: 15,
    ...TIME,
    doc: "Longest time a node stays overload.",
  }),
  updateTimeoutMs: seconds("loadbalance", "update_timeout", {
    default: 15,
    ...TIME,
    doc: "Age from which the route of a used module is asked for again.",
  }),
} as const satisfies SettingsTable;

/** Every key of the agent. */
export const agentSettings = {
  ...balanceTable,
  dnsAddresses: addressList("dnsserver", {
    defaultIp: "127.0.0.1",
    defaultPort: DEFAULT_PORTS.dns,
    doc: "Dns servers; the next one is taken when one fails.",
  }),
  reporterAddresses: addressList("reporter", {
    defaultIp: "127.0.0.1",
    defaultPort: DEFAULT_PORTS.reporter,
    doc: "Reporters; the next one is taken when one fails.",
  }),
  listenIp: text("agent", "ip", {
    default: "127.0.0.1",
    shape: "IPv4 address",
    doc: "Address to listen on for callers. Any other than loopback needs [auth].",
  }),
  listenPort: integer("agent", "port", {
    default: DEFAULT_PORTS.agent,
    min: 0,
    max: 65535 - (AGENT_PORT_COUNT - 1),
    doc: "First of three UDP ports; 0 takes three free ones in a row.",
  }),
  cacheDir: text("agent", "cache_dir", {
    default: "",
    shape: "path",
    doc: "Folder for the routes, so that a restarted agent serves without dns; empty: none.",
  }),
  zone: text("agent", "zone", {
    default: "",
    doc: "Zone this host stands in, for modules whose policy is aware of zones; empty: none.",
  }),
  modulesMax: integer("agent", "modules_max", {
    default: MODULES_MAX,
    min: AGENT_PORT_COUNT,
    max: 1_000_000,
    doc: "Modules kept at once; a further one takes the place of an old one.",
  }),
  threads: choice("agent", "threads", {
    default: "1",
    values: ["0", "1", "3"],
    doc: "UDP loops: 0 on the main thread, 1 one worker for all ports, 3 a worker for each port.",
  }),
  fastPath: choice("agent", "fast_path", {
    default: "auto",
    values: ["auto", "off"],
    doc: "Many datagrams in a system call, through FFI: auto where it works (Linux), off never.",
  }),
  tableFeed: boolean("agent", "table_feed", {
    default: true,
    doc: "Feed in-process clients over TCP on the first port; 0: no TCP port is opened.",
  }),
  pushGuardMs: seconds("agent", "push_guard", {
    default: PUSH_GUARD_MS / 1000,
    min: 0,
    max: 7 * 86_400,
    doc:
      "How long a route that lost more than half of its nodes is held back unless it is marked " +
      "as meant; 0: not at all, as in the original.",
  }),
  callerIp: text("agent", "caller_ip", {
    default: "",
    shape: "IPv4 address",
    doc: "Address of this host in reports; empty: the one it talks to the reporter or dns with.",
  }),
  ...authSettings,
} as const satisfies SettingsTable;

/** Values of {@linkcode agentSettings}. */
export type AgentSettings = SettingsOf<typeof agentSettings>;

/** The part that steers the balancer; small enough to hand to a worker. */
export function balanceSettingsOf(settings: AgentSettings): BalanceSettings {
  const names = Object.keys(balanceTable) as (keyof typeof balanceTable)[];
  const entries = names.map((name) => [name, settings[name]] as const);
  return Object.fromEntries(entries) as unknown as BalanceSettings;
}
