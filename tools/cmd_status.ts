// Shell. `lars status`: database, services, agent and call results at a glance.

import type { Command } from "commander";
import { DEFAULT_PORTS } from "../proto/message_ids.ts";
import type { Address } from "../reactor/address.ts";
import { LarsError, messageOf } from "../reactor/errors.ts";
import { systemClock } from "../reactor/system_clock.ts";
import type { CallHistoryPoint } from "../sql/call_history.ts";
import type { EventRecord } from "../sql/event.ts";
import type { ServiceInstance, Store } from "../sql/store.ts";
import { type AgentFacts, probeAgent } from "../agent/agent_probe.ts";
import { type CallSummary, summariseCalls } from "./call_summary.ts";
import { parseAgent } from "./cli_arguments.ts";
import { argument } from "./cli_errors.ts";
import { plural } from "./plural.ts";
import { factsText, type StoreFacts, storeFacts } from "./store_facts.ts";
import { addExamples, type CommandContext } from "./command.ts";
import { eventJson, eventLine } from "./history_view.ts";
import { type AgentSummary, summariseAgents } from "./agent_summary.ts";
import { isRecent, knownInstances } from "./route_edit.ts";
import { addStoreOptions, type StoreFlags, withStore } from "./store_access.ts";
import { coloursOf, printJson, printLine, printTable } from "./terminal.ts";

interface StatusFlags extends StoreFlags {
  readonly agent: Address;
  readonly json?: boolean;
}

/** Something that was asked for and may have failed. */
type Outcome<T> = { readonly value: T } | { readonly fault: string };

interface StoreReport {
  readonly facts: StoreFacts;
  readonly instances: readonly ServiceInstance[];
  readonly calls: CallSummary;
  readonly recent: RecentCalls;
  /** The latest, oldest first. */
  readonly events: readonly EventRecord[];
}

/** Calls of all modules in the last minutes, from the history. */
interface RecentCalls {
  readonly seconds: number;
  readonly succ: number;
  readonly err: number;
  /** Mean time of the calls whose time is known, in milliseconds; null when none is. */
  readonly meanMs: number | null;
}

/** What counts as recent, in seconds. */
const RECENT_S = 300;

/** Events that are shown. */
const EVENTS_SHOWN = 5;

/** Adds `status`. */
export function addTo(parent: Command, context: CommandContext): void {
  const command = parent.command("status")
    .description(
      "Show the database, the services and agents it knows of, the agent of this host, call results " +
        "and the latest events. Exit code 1 when the database cannot be read.",
    )
    .option(
      "--agent <HOST:PORT>",
      `first port of the agent (default 127.0.0.1:${DEFAULT_PORTS.agent})`,
      argument(parseAgent),
      parseAgent("127.0.0.1"),
    )
    .option("--json", "print one JSON value")
    .action(async (flags: StatusFlags) => {
      const [stored, agent] = await Promise.all([
        attempt(() => withStore(flags, readReport)),
        attempt(() => probeAgent(flags.agent)),
      ]);
      if (flags.json === true) printJson(toJson(stored, agent));
      else await printReport(stored, agent);
      if ("fault" in stored) context.exitCode = 1;
    });
  addStoreOptions(command);
  addExamples(command, [
    ["lars status", "this machine, data in ./data"],
    ["lars status --store mysql://lars:secret@10.0.0.5/lars_dns --json", "for a program"],
  ]);
}

async function attempt<T>(ask: () => Promise<T>): Promise<Outcome<T>> {
  try {
    return { value: await ask() };
  } catch (error) {
    if (error instanceof LarsError) return { fault: messageOf(error) };
    throw error;
  }
}

async function readReport(store: Store): Promise<StoreReport> {
  return {
    facts: await storeFacts(store),
    instances: await knownInstances(store),
    calls: summariseCalls(await store.readCallStatus()),
    recent: await readRecent(store),
    events: await store.readEvents({ limit: EVENTS_SHOWN }),
  };
}

async function readRecent(store: Store): Promise<RecentCalls> {
  const toSeconds = Math.floor(systemClock.wallMs() / 1000);
  const fromSeconds = toSeconds - RECENT_S;
  const { points } = await store.readCallHistory({ fromSeconds, toSeconds, stepSeconds: 10 });
  const sumOf = (of: (point: CallHistoryPoint) => number): number =>
    points.reduce((sum, point) => sum + of(point), 0);
  const timed = sumOf((point) => point.timedCount);
  return {
    seconds: RECENT_S,
    succ: sumOf((point) => point.succCount),
    err: sumOf((point) => point.errCount),
    meanMs: timed === 0 ? null : sumOf((point) => point.timeMsSum) / timed,
  };
}

function toJson(
  stored: Outcome<StoreReport>,
  agent: Outcome<AgentFacts>,
): Record<string, unknown> {
  const agentJson = "fault" in agent
    ? { ok: false, fault: agent.fault }
    : { ok: true, ...agent.value };
  if ("fault" in stored) {
    return { store: { ok: false, fault: stored.fault }, services: [], agent: agentJson };
  }
  const { facts, instances, calls, recent, events } = stored.value;
  return {
    store: { ok: true, ...facts },
    services: instances.map((instance) => ({
      kind: instance.kind,
      address: instance.address,
      alive: isRecent(instance),
      software: instance.software,
      started_at: instance.startedAt,
      seen_at: instance.seenAt,
      detail: instance.detail,
    })),
    agents: agentsOf(stored.value),
    agent: agentJson,
    calls,
    recent,
    events: events.map(eventJson),
  };
}

function agentsOf({ instances, facts }: StoreReport): AgentSummary {
  return summariseAgents(instances, facts.route_version, systemClock.wallMs() / 1000);
}

async function printReport(
  stored: Outcome<StoreReport>,
  agent: Outcome<AgentFacts>,
): Promise<void> {
  const { bad, good, strong } = coloursOf("stdout");
  if ("fault" in stored) printLine(`${strong("database")}  ${bad(stored.fault)}`);
  else printLine(`${strong("database")}  ${factsText(stored.value.facts)}`);
  if ("fault" in agent) printLine(`${strong("agent")}     ${bad(agent.fault)}`);
  else {
    const { address, software, status } = agent.value;
    printLine(`${strong("agent")}     ${good("answers")} at ${address}, ${software}`);
    printLine(`          ${agentText(status)}`);
    for (const line of agentComplaints(status)) printLine(`          ${bad(line)}`);
  }
  if ("fault" in stored) return;
  await printServices(stored.value.instances.filter(({ kind }) => kind !== "agent"));
  await printAgents(agentsOf(stored.value));
  await printCalls(stored.value.calls);
  printRecent(stored.value);
}

function printRecent({ recent, events }: StoreReport): void {
  const { strong } = coloursOf("stdout");
  const { seconds, succ, err, meanMs } = recent;
  const calls = succ + err;
  const share = calls === 0 ? "" : `, ${(100 * err / calls).toFixed(1)} % failed`;
  printLine("");
  const mean = meanMs === null ? "" : `, ${meanMs.toFixed(1)} ms on average`;
  printLine(
    strong(`Last ${seconds / 60} minutes`) + `  ${plural(calls, "call")}${share}${mean}` +
      " (up to 10 s ago)",
  );
  if (events.length === 0) return;
  printLine("");
  printLine(strong("Latest events") + " (lars events shows more)");
  for (const event of events) printLine(eventLine(event));
}

/** The few facts of an agent that a person wants first; `--json` has all. */
function agentText(status: Record<string, unknown>): string {
  const { bad, good } = coloursOf("stdout");
  const link = (name: string): string =>
    `${name} ${status[`${name}Address`]} ` +
    (status[`${name}Connected`] === 1 ? good("connected") : bad("not connected"));
  const counted = (name: string, one: string): string =>
    typeof status[name] === "number" ? plural(status[name], one) : `? ${one}s`;
  return `${link("dns")}, ${link("reporter")}, ${counted("modules", "module")}, ` +
    `${counted("hosts", "node")} (${status.hostsOverload ?? "?"} overloaded), ` +
    `${counted("picks", "pick")}, ${counted("reports", "report")}`;
}

/** What somebody should look at. */
function agentComplaints(status: Record<string, unknown>): string[] {
  const lines: string[] = [];
  if (typeof status.routesHeldBack === "string" && status.routesHeldBack !== "") {
    lines.push(
      `holds back routes that lost most of their nodes: ${status.routesHeldBack} ` +
        "(lars route confirm MODID CMDID, if that is meant)",
    );
  }
  if (Number(status.policiesRefused ?? 0) > 0) {
    lines.push(`has refused policies of modules ${status.policiesRefused} times; see its log`);
  }
  return lines;
}

function fieldsText(fields: Record<string, unknown>): string {
  return Object.entries(fields).map(([name, value]) =>
    `${name}=${typeof value === "string" ? value : JSON.stringify(value)}`
  ).join(" ");
}

async function printServices(instances: readonly ServiceInstance[]): Promise<void> {
  const { bad, good, strong } = coloursOf("stdout");
  printLine("");
  printLine(strong("Services that signed in"));
  if (instances.length === 0) return printLine("none");
  const nowSeconds = systemClock.wallMs() / 1000;
  await printTable(
    ["KIND", "ADDRESS", "LAST SEEN", "SOFTWARE", "DETAIL"],
    instances.map((instance) => {
      const ago = `${Math.max(0, Math.round(nowSeconds - instance.seenAt))} s ago`;
      return [
        instance.kind,
        instance.address,
        isRecent(instance) ? good(ago) : bad(ago),
        instance.software,
        fieldsText(instance.detail),
      ];
    }),
  );
}

async function printAgents(summary: AgentSummary): Promise<void> {
  const { bad, good, strong } = coloursOf("stdout");
  const { total, silent, holding, behind, agents } = summary;
  const parts = [
    ...(silent > 0 ? [bad(`${silent} silent`)] : []),
    ...(holding > 0 ? [bad(`${holding} hold changed routes back`)] : []),
    ...(behind > 0 ? [bad(`${behind} behind`)] : []),
  ];
  printLine("");
  const well = total > 0 && parts.length === 0 ? [good("all well")] : parts;
  printLine(`${strong("Agents")}  ${[`${total} that dns heard of`, ...well].join(", ")}`);
  // Of many only those are named that somebody should look at.
  const shown = total > agents.length ? agents.filter(({ state }) => state !== "ok") : agents;
  if (shown.length === 0) return;
  const nowSeconds = systemClock.wallMs() / 1000;
  await printTable(
    ["AGENT", "STATE", "LAST SEEN", "ZONE", "DNS", "ROUTE VERSION", "HELD BACK", "SOFTWARE"],
    shown.map((agent) => [
      agent.address,
      agent.state === "ok" ? good("ok") : bad(agent.state),
      `${Math.max(0, Math.round(nowSeconds - agent.seenAt))} s ago`,
      agent.zone,
      agent.dns,
      agent.version ?? "",
      agent.held,
      agent.software,
    ]),
  );
}

async function printCalls(calls: CallSummary): Promise<void> {
  const { bad, strong } = coloursOf("stdout");
  printLine("");
  printLine(strong("Call results") + ` (${plural(calls.module_count, "module")}, worst first)`);
  if (calls.modules.length === 0) return printLine("none yet");
  await printTable(
    ["MODID", "CMDID", "SUCC", "ERR", "ERROR SHARE", "OVERLOADED"],
    calls.modules.map((module) => {
      const share = `${(module.error_share * 100).toFixed(1)} %`;
      return [
        module.modid,
        module.cmdid,
        module.succ,
        module.err,
        module.error_share > 0.1 ? bad(share) : share,
        module.overloaded_nodes,
      ];
    }),
  );
  if (calls.overloaded_count === 0) return;
  printLine("");
  printLine(strong(`Overloaded nodes (${calls.overloaded_count})`));
  await printTable(
    ["MODID", "CMDID", "NODE", "KEPT OUT BY"],
    calls.overloaded.map((node) => [
      node.modid,
      node.cmdid,
      node.node,
      `${node.agents} of ${node.agents_total} agents`,
    ]),
  );
}
