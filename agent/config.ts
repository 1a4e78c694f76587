// Core. The keys of the agent.

import type { BalanceSettings } from "../balancer/mod.ts";
import {
  MODULES_MAX,
  PULLS_BURST_MAX,
  PULLS_PER_SECOND_MAX,
} from "../balancer/routes/route_records.ts";
import { authSettings } from "../daemon/settings/common_settings.ts";
import { Section, type SettingsOf, type SettingsTable } from "../daemon/settings/settings.ts";
import { CONNECTION_AGE_MS, RETURN_MS } from "../feed/chosen_link.ts";
import { parseServer, SERVER_SHAPE } from "../feed/server_choice.ts";
import { PUSH_GUARD_MS } from "../feed/route_subscriber.ts";
import { AGENT_PORT_COUNT, DEFAULT_PORTS } from "../proto/message_ids.ts";

const COUNT_MAX = 1_000_000_000;
/** Ten milliseconds to a day: tests go down, nobody needs to go up. */
const TIME = [0.01, 86_400] as const;

/** The original takes any number for these: one out of range is taken as the nearest. */
const COUNT_NEAREST = { below: 0, above: COUNT_MAX } as const;
const LIMIT_NEAREST = { below: 1, above: COUNT_MAX } as const;
const RATE_NEAREST = { below: 0, above: 1 } as const;
const TIME_NEAREST = { below: TIME[0], above: TIME[1] } as const;
/** There 0 asks again a second later, and dns should not be asked a hundred times as often. */
const UPDATE_NEAREST = { below: 1, above: TIME[1] } as const;

const loadbalance = new Section("loadbalance");
const agent = new Section("agent");

/** The rules of picking and judging, under the names of the original. */
const balanceTable = {
  probeNum: loadbalance.integer("probe_num", 10, [1, COUNT_MAX], LIMIT_NEAREST)
    .doc("Ordinary picks (or refusals) before one pick probes an overload node."),
  initSuccCnt: loadbalance.integer("init_succ_cnt", 180, [0, COUNT_MAX], COUNT_NEAREST)
    .doc("Successes an idle node is trusted with at the start of each window."),
  initErrCnt: loadbalance.integer("init_err_cnt", 5, [0, COUNT_MAX], COUNT_NEAREST)
    .doc("Failures a node starts with when it becomes overload."),
  errRate: loadbalance.fraction("err_rate", 0.1, [0, 1], RATE_NEAREST)
    .doc("An idle node becomes overload when its error rate is above this; 1: never by rate."),
  succRate: loadbalance.fraction("succ_rate", 0.95, [0, 1], RATE_NEAREST)
    .doc("An overload node becomes idle when its success rate is above this; 1: never by rate."),
  continErrLimit: loadbalance.integer("contin_err_limit", 15, [1, COUNT_MAX], LIMIT_NEAREST)
    .doc("Failures in a row that make an idle node overload."),
  continSuccLimit: loadbalance.integer("contin_succ_limit", 15, [1, COUNT_MAX], LIMIT_NEAREST)
    .doc("Successes in a row that make an overload node idle."),
  windowErrRate: loadbalance.fraction("window_err_rate", 0.7, [0, 1], RATE_NEAREST)
    .doc("Real error rate of a whole window from which an idle node becomes overload."),
  idleTimeoutMs: loadbalance.seconds("idle_timeout", 15, TIME, TIME_NEAREST)
    .doc("Length of the window of an idle node."),
  overloadTimeoutMs: loadbalance.seconds("overload_timeout", 15, TIME, TIME_NEAREST)
    .doc("Longest time a node stays overload."),
  updateTimeoutMs: loadbalance.seconds("update_timeout", 15, TIME, UPDATE_NEAREST)
    .doc("Age from which the route of a used module is asked for again."),
} as const satisfies SettingsTable;

/** Every key of the agent. */
export const agentSettings = {
  ...balanceTable,
  dnsAddresses: new Section("dnsserver")
    .servers("127.0.0.1", DEFAULT_PORTS.dns, SERVER_SHAPE, parseServer)
    .doc("Dns servers or names of them; which one is taken says server_order."),
  reporterAddresses: new Section("reporter")
    .servers("127.0.0.1", DEFAULT_PORTS.reporter, SERVER_SHAPE, parseServer)
    .doc("Reporters or names of them; which one is taken says server_order."),
  serverOrder: agent.choice("server_order", "spread", ["spread", "listed"])
    .doc(
      "Which dns and reporter is taken: spread, one of the own zone by a hash, so that agents " +
        "spread evenly; listed, the first that answers.",
    ),
  serverReturnMs: agent.seconds("server_return", RETURN_MS / 1000, [0, 86_400])
    .doc(
      "Time between two looks whether the better server is back; up to fifteen times as much when " +
        "it stays away, or does not last, and more in a large fleet; 0: it stays where it is.",
    ),
  connectionAgeMs: agent.seconds("connection_age", CONNECTION_AGE_MS / 1000, [0, 31_536_000])
    .doc(
      "Age, give or take half, at which a connection to dns or reporter is made anew, as what a " +
        "name or a proxy stands for may be another; 0: never.",
    ),
  listenIp: agent.text("ip", "127.0.0.1", { shape: "IPv4 address" })
    .doc("Address to listen on for callers. Any other than loopback needs [auth]."),
  listenPort: agent.integer("port", DEFAULT_PORTS.agent, [0, 65535 - (AGENT_PORT_COUNT - 1)])
    .doc("First of three UDP ports; 0 takes three free ones in a row."),
  cacheDir: agent.text("cache_dir", "", { shape: "path" })
    .doc("Folder for the routes, so that a restarted agent serves without dns; empty: none."),
  zone: agent.text("zone", "")
    .doc("Zone this host stands in, for modules whose policy is aware of zones; empty: none."),
  modulesMax: agent.integer("modules_max", MODULES_MAX, [AGENT_PORT_COUNT, 1_000_000])
    .doc("Modules kept at once; a further one takes the place of an old one."),
  pullsBurst: agent.integer("pulls_burst", PULLS_BURST_MAX, [AGENT_PORT_COUNT, 1_000_000])
    .doc("Modules without nodes that may be asked of dns at once; others wait for their turn."),
  pullsPerSecond: agent.integer("pulls_per_second", PULLS_PER_SECOND_MAX, [1, 1_000_000])
    .doc(
      "Modules without nodes that may be asked of dns in a second beyond; those that callers " +
        "ask for again ten times as many.",
    ),
  threads: agent.choice("threads", "1", ["0", "1", "3"])
    .doc("UDP loops: 0 on the main thread, 1 one worker for all ports, 3 a worker for each port."),
  fastPath: agent.choice("fast_path", "auto", ["auto", "off"])
    .doc("Many datagrams in a system call, through FFI: auto where it works (Linux), off never."),
  tableFeed: agent.boolean("table_feed", true)
    .doc("Feed in-process clients over TCP on the first port; 0: no TCP port is opened."),
  sharedTable: agent.text("shared_table", "/dev/shm/lars-agent-PORT.table", { shape: "path" })
    .doc(
      "File in memory from which callers pick by themselves; PORT stands for the first port; " +
        "empty: none.",
    ),
  sharedTableGroup: agent.text("shared_table_group", "")
    .doc("Name or number of the group that may read it; empty: that of the agent."),
  pushGuardMs: agent.seconds("push_guard", PUSH_GUARD_MS / 1000, [0, 7 * 86_400])
    .doc(
      "How long a route that lost more than half of its nodes is held back unless it is " +
        "marked as meant; 0: not at all, as in the original.",
    ),
  handOver: agent.boolean("hand_over", true)
    .doc("1: a newer agent of this user may take over the sockets while this one runs (Linux)."),
  takeOver: agent.boolean("take_over", false)
    .doc(
      "1: take the sockets and routes of the agent that runs on these ports, which then ends; " +
        "where none runs, open own ones. No question of a caller is lost.",
    ),
  callerIp: agent.text("caller_ip", "", { shape: "IPv4 address" })
    .doc("Address of this host in reports; empty: the one it talks to the reporter or dns with."),
  ...authSettings,
} as const satisfies SettingsTable;

/** Values of {@linkcode agentSettings}. */
export type AgentSettings = SettingsOf<typeof agentSettings>;

/** Keys that take effect at the next start only. */
export const FIXED_KEYS = [
  "listenIp",
  "listenPort",
  "threads",
  "fastPath",
  "modulesMax",
  "pullsBurst",
  "pullsPerSecond",
  "cacheDir",
  "tableFeed",
  "zone",
  "sharedTable",
  "sharedTableGroup",
  "handOver",
  "takeOver",
  "serverOrder",
  "serverReturnMs",
  "connectionAgeMs",
] as const;

/** The part that steers the balancer; small enough to hand to a worker. */
export function balanceSettingsOf(settings: AgentSettings): BalanceSettings {
  const names = Object.keys(balanceTable) as (keyof typeof balanceTable)[];
  const entries = names.map((name) => [name, settings[name]] as const);
  return Object.fromEntries(entries) as unknown as BalanceSettings;
}
