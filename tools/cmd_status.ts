// Shell. `lars status`: database, services, agent and call results at a glance.

import type { Command } from "commander";
import { type AgentFacts, askAgent } from "../control/explain/agent_probe.ts";
import type { Address } from "../reactor/address.ts";
import { ConfigError, LarsError, messageOf } from "../reactor/errors.ts";
import { UsageError } from "./cli_errors.ts";
import { addExamples, agentOption, type CommandContext } from "./command.ts";
import { eventJson, eventLine, eventOf } from "./history_view.ts";
import { quantity } from "../model/quantity.ts";
import { addStoreOptions } from "./store_access.ts";
import { factsJson, factsText } from "./store_facts.ts";
import { namesIn } from "./module_argument.ts";
import { addServerOption, type SystemFlags, withSystem } from "./system_access.ts";
import { coloursOf, printJson, printLine, printTable } from "./terminal.ts";
import { RESULTS_RECENT_S } from "../control/reports/call_summary.ts";
import type { Report } from "../control/schemas.ts";
import type { SystemAccess } from "../control/system_access.ts";
import { type ModuleId, moduleId, type ModuleKey } from "../model/module.ts";
import { type NameMap, nameMapOf, withNames } from "../model/module_words.ts";
import { errorSeverity } from "../control/system/severity.ts";

interface StatusFlags extends SystemFlags {
  readonly agent: Address;
  readonly json?: boolean;
}

/** A report, and the names of modules that have one. */
type NamedReport = Report & {
  readonly names: ReadonlyMap<ModuleId, string>;
  /** The same for texts that have numbers in them. */
  readonly words: NameMap;
};

/** Something that was asked for and may have failed. */
type Outcome<T> = { readonly value: T } | { readonly fault: string };

/** Adds `status`. */
export function addTo(parent: Command, context: CommandContext): void {
  const command = parent.command("status")
    .description(
      "Show the database, the services and agents it knows of, the agent of this host, call results " +
        "and the latest events. Exit code 1 when the database, or the console, does not answer.",
    )
    .addOption(agentOption("first port of the agent"))
    .option("--json", "print one JSON value")
    .action(async (flags: StatusFlags) => {
      const [stored, agent] = await Promise.all([
        attempt(() => withSystem(flags, readReport)),
        attempt(() => askAgent(flags.agent)),
      ]);
      if ("fault" in stored) context.exitCode = 1;
      if (flags.json === true) printJson(toJson(stored, agent));
      else await printReport(stored, agent, flags.server === undefined ? "database" : "console");
    });
  addServerOption(addStoreOptions(command));
  addExamples(command, [
    ["lars status", "this machine, data in ./data"],
    ["lars status --store @/etc/lars/store.url --json", "for a program"],
    ["lars status --server http://10.0.0.5:8080 --token-file token", "through a console"],
  ]);
}

async function readReport(system: SystemAccess): Promise<NamedReport> {
  const [report, texts] = await Promise.all([system.report(), system.texts()]);
  return { ...report, names: namesIn(texts), words: nameMapOf(texts) };
}

async function attempt<T>(ask: () => Promise<T>): Promise<Outcome<T>> {
  try {
    return { value: await ask() };
  } catch (error) {
    if (error instanceof LarsError && !isUsage(error)) return { fault: messageOf(error) };
    throw error;
  }
}

/** What is wrong with the command line itself is no news about the system. */
function isUsage(error: LarsError): boolean {
  return error instanceof UsageError || error instanceof ConfigError;
}

function toJson(
  stored: Outcome<NamedReport>,
  agent: Outcome<AgentFacts & { original?: true }>,
): Record<string, unknown> {
  const agentJson = "fault" in agent
    ? { ok: false, fault: agent.fault }
    : { ok: true, ...agent.value };
  if ("fault" in stored) {
    return { store: { ok: false, fault: stored.fault }, services: [], agent: agentJson };
  }
  const { store, services, agents, recent, events } = stored.value;
  return {
    store: { ok: true, ...factsJson(store) },
    services: services.map((service) => ({
      kind: service.kind,
      address: service.address,
      alive: service.isAlive,
      software: service.software,
      started_at: service.startedAtMs / 1000,
      seen_at: service.seenAtMs / 1000,
      detail: service.detail,
    })),
    agents,
    agent: agentJson,
    calls: callsJson(stored.value),
    recent: {
      seconds: recent.seconds,
      succ: recent.calls - recent.errors,
      err: recent.errors,
      meanMs: recent.meanMs,
      refused: recent.refused,
    },
    events: events.map((event) => eventJson(eventOf(event))),
  };
}

function nameOf(names: NamedReport["names"], { modId, cmdId }: ModuleKey): string {
  return names.get(moduleId(modId, cmdId)) ?? "";
}

function callsJson({ calls, names }: NamedReport): Record<string, unknown> {
  return {
    module_count: calls.moduleCount,
    last_ts: calls.lastTs,
    // Results older than this are left out; each is of the last window of its agent.
    within_seconds: RESULTS_RECENT_S,
    modules: calls.modules.map((module) => ({
      modid: module.modId,
      cmdid: module.cmdId,
      name: nameOf(names, module),
      succ: module.succ,
      err: module.err,
      error_share: module.errorShare,
      mean_ms: module.meanMs,
      refused: module.refused,
      overloaded_nodes: module.overloadedNodes,
    })),
    overloaded_count: calls.overloadedCount,
    overloaded: calls.overloaded.map((node) => ({
      modid: node.modId,
      cmdid: node.cmdId,
      name: nameOf(names, node),
      node: node.node,
      agents: node.agents,
      agents_total: node.agentsTotal,
    })),
  };
}

async function printReport(
  stored: Outcome<NamedReport>,
  agent: Outcome<AgentFacts & { original?: true }>,
  asked: "database" | "console",
): Promise<void> {
  const { bad, good, strong } = coloursOf("stdout");
  if ("fault" in stored) printLine(`${strong(asked.padEnd(8))}  ${bad(stored.fault)}`);
  else printLine(`${strong("database")}  ${factsText(stored.value.store)}`);
  if ("fault" in agent) printLine(`${strong("agent")}     ${bad(agent.fault)}`);
  else if (agent.value.original === true) {
    printLine(
      `${strong("agent")}     an agent of the original ${
        good("answers")
      } at ${agent.value.address}; ` +
        "it says nothing of itself",
    );
  } else {
    const { address, software, status } = agent.value;
    printLine(`${strong("agent")}     ${good("answers")} at ${address}, ${software}`);
    printLine(`          ${agentText(status)}`);
    const words = "fault" in stored ? new Map<string, string>() : stored.value.words;
    for (const line of agentComplaints(status)) {
      printLine(`          ${bad(withNames(words, line))}`);
    }
  }
  if ("fault" in stored) return;
  await printServices(stored.value);
  await printAgents(stored.value);
  await printCalls(stored.value);
  printRecent(stored.value);
}

function printRecent({ recent, events, words }: NamedReport): void {
  const { bad, strong } = coloursOf("stdout");
  const { seconds, calls, errors, meanMs, refused } = recent;
  const share = calls === 0 ? "" : `, ${(100 * errors / calls).toFixed(1)} % failed`;
  printLine("");
  const mean = meanMs === null ? "" : `, ${meanMs.toFixed(1)} ms on average`;
  const refusedText = refused === 0 ? "" : `, ${bad(`${quantity(refused, "caller")} refused`)}`;
  printLine(
    strong(`Last ${seconds / 60} minutes`) +
      `  ${quantity(calls, "call")}${share}${mean}${refusedText} (up to 15 s ago)`,
  );
  if (events.length === 0) return;
  printLine("");
  printLine(strong("Latest events") + " (lars events shows more)");
  for (const event of events) printLine(eventLine(eventOf(event), words));
}

/** The few facts of an agent that a person wants first; `--json` has all. */
function agentText(status: Record<string, unknown>): string {
  const { bad, good } = coloursOf("stdout");
  const link = (name: string): string =>
    `${name} ${status[`${name}Address`]} ` +
    (status[`${name}Connected`] === 1 ? good("connected") : bad("not connected"));
  const counted = (name: string, one: string): string =>
    typeof status[name] === "number" ? quantity(status[name], one) : `? ${one}s`;
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
  const refused = Number(status.policiesRefused ?? 0);
  if (refused > 0) {
    lines.push(`has refused policies of modules ${quantity(refused, "time")}; see its log`);
  }
  for (const name of ["dns", "reporter"]) {
    const fault = status[`${name}SecretFault`];
    if (typeof fault === "string" && fault !== "") lines.push(`${name}: ${fault}`);
  }
  return lines;
}

function fieldsText(fields: Record<string, unknown>): string {
  return Object.entries(fields).map(([name, value]) =>
    `${name}=${typeof value === "string" ? value : JSON.stringify(value)}`
  ).join(" ");
}

function agoText(ms: number): string {
  return `${Math.max(0, Math.round(ms / 1000))} s ago`;
}

async function printServices({ services, atMs }: Report): Promise<void> {
  const { bad, good, strong } = coloursOf("stdout");
  printLine("");
  printLine(strong("Services that signed in"));
  if (services.length === 0) return printLine("none");
  await printTable(
    ["KIND", "ADDRESS", "LAST SEEN", "SOFTWARE", "DETAIL"],
    services.map((service) => {
      const ago = agoText(atMs - service.seenAtMs);
      return [
        service.kind,
        service.address,
        service.isAlive ? good(ago) : bad(ago),
        service.software,
        fieldsText(service.detail),
      ];
    }),
  );
  for (const { kind, address, detail } of services) {
    if (Number(detail.hostsRefused ?? 0) === 0) continue;
    const what = "and its peers have refused each other for their secrets within a minute";
    printLine(bad(`${kind} ${address} ${what}: its log names them`));
  }
}

async function printAgents({ agents: summary, atMs }: Report): Promise<void> {
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
  await printTable(
    ["AGENT", "STATE", "LAST SEEN", "ZONE", "DNS", "ROUTE VERSION", "HELD BACK", "SOFTWARE"],
    shown.map((agent) => [
      agent.address,
      agent.state === "ok" ? good("ok") : bad(agent.state),
      agoText(atMs - agent.seenAt * 1000),
      agent.zone,
      agent.dns,
      agent.version ?? "",
      agent.held,
      agent.software,
    ]),
  );
}

/** A share of errors in the colour that it has everywhere. */
function markShare(
  { succ, err, errorShare }: Report["calls"]["modules"][number],
  text: string,
): string {
  const { bad, warn } = coloursOf("stdout");
  // Of the last window of each caller: a rate of so many in ten seconds, as far as it matters here.
  const severity = errorSeverity(errorShare, (succ + err) / 10);
  return severity === null ? text : severity === "critical" ? bad(text) : warn(text);
}

async function printCalls({ calls, names, recent }: NamedReport): Promise<void> {
  const { bad, strong } = coloursOf("stdout");
  printLine("");
  printLine(strong("Call results") + ` (${quantity(calls.moduleCount, "module")}, worst first)`);
  if (calls.modules.length > 0) {
    printLine(
      `SUCC, ERR: last window (idle_timeout) of each agent, if reported within ` +
        `${RESULTS_RECENT_S / 60} min`,
    );
    printLine(`MEAN TIME, REFUSED: last ${recent.seconds / 60} min`);
  }
  if (calls.modules.length === 0) {
    return printLine(
      calls.lastTs === 0
        ? "none yet"
        : `none within the last hour, the latest at ${new Date(calls.lastTs * 1000).toISOString()}`,
    );
  }
  const name = names.size > 0 ? ["NAME"] : [];
  await printTable(
    ["MODID", "CMDID", ...name, "SUCC", "ERR", "ERROR SHARE", "MEAN TIME", "REFUSED", "OVERLOADED"],
    calls.modules.map((module) => {
      const share = `${(module.errorShare * 100).toFixed(1)} %`;
      return [
        module.modId,
        module.cmdId,
        ...name.map(() => nameOf(names, module)),
        module.succ,
        module.err,
        markShare(module, share),
        module.meanMs === null ? "-" : `${module.meanMs.toFixed(1)} ms`,
        module.refused > 0 ? bad(String(module.refused)) : 0,
        module.overloadedNodes,
      ];
    }),
  );
  if (calls.overloadedCount === 0) return;
  printLine("");
  printLine(strong(`Overloaded nodes (${calls.overloadedCount})`));
  await printTable(
    ["MODID", "CMDID", ...name, "NODE", "KEPT OUT BY"],
    calls.overloaded.map((node) => [
      node.modId,
      node.cmdId,
      ...name.map(() => nameOf(names, node)),
      node.node,
      `${node.agents} of ${quantity(node.agentsTotal, "agent")}`,
    ]),
  );
}
