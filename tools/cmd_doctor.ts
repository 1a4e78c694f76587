// Shell. `lars doctor`: looks at the system and at this host for what is wrong, and says what to do.

import type { Command } from "commander";
import { askAgent } from "../control/explain/agent_probe.ts";
import type { Report } from "../control/schemas.ts";
import { softwareName } from "../daemon/daemon.ts";
import { quantity } from "../model/quantity.ts";
import type { Address } from "../reactor/address.ts";
import { ConfigError, LarsError, messageOf, StoreError } from "../reactor/errors.ts";
import { systemClock } from "../reactor/time/system_clock.ts";
import { UsageError } from "./cli_errors.ts";
import { ConsoleRefusedError } from "./console_client.ts";
import { addExamples, agentOption, type CommandContext } from "./command.ts";
import {
  type DoctorFacts,
  type Fault,
  findingsOf,
  remedyOf,
  type Symptom,
} from "./doctor/findings.ts";
import { configFacts, hostFacts } from "./doctor/host_facts.ts";
import { unreachableOf } from "./doctor/reach.ts";
import { wrapped } from "./doctor/advice.ts";
import { addStoreOptions, dataDirOf } from "./store_access.ts";
import { addServerOption, type SystemFlags, withSystem } from "./system_access.ts";
import { coloursOf, printJson, printLine } from "./terminal.ts";

/** Width of what is printed, in characters. */
const LINE_WIDTH = 80;

interface DoctorFlags extends SystemFlags {
  readonly agent: Address;
  readonly config: readonly string[];
  readonly json?: boolean;
}

/** Adds `doctor`. */
export function addTo(parent: Command, context: CommandContext): void {
  const command = parent.command("doctor")
    .description(
      "Look for what is wrong: database and schema, clocks, services and their versions, secrets, " +
        "agents and their routes, the agent of this host and its shared table, limits, disk, and " +
        "configuration files, of exports with all that they name. Each finding comes with what to " +
        "do. Exit code 1 when something is bad.",
    )
    .addOption(agentOption("first port of the agent of this host"))
    .option(
      "-c, --config <FILE>",
      "a configuration file of this host to look at; can be given several times",
      (path: string, paths: readonly string[]) => [...paths, path],
      [] as readonly string[],
    )
    .option("--json", "print one JSON array of findings")
    .action(async (flags: DoctorFlags) => {
      const findings = findingsOf(await factsOf(flags));
      if (findings.some(({ level }) => level === "bad")) context.exitCode = 1;
      if (flags.json === true) printJson(findings.map(toJson));
      else printFindings(findings);
    });
  addServerOption(addStoreOptions(command));
  addExamples(command, [
    ["lars doctor", "this machine, data in ./data"],
    [
      "lars doctor -c agent.conf --server http://10.0.0.5:8080 --token-file token",
      "a host of the fleet, the system through its console",
    ],
    ["lars doctor -c export.conf", "what an export needs on this host"],
  ]);
}

/** What `ask` gives, or why it could not; wrong usage is thrown. */
async function attempt<T>(ask: () => Promise<T>): Promise<T | Fault> {
  try {
    return await ask();
  } catch (error) {
    if (!(error instanceof LarsError) || error instanceof UsageError) throw error;
    if (error instanceof ConfigError) throw error;
    const isRefused = error instanceof StoreError || error instanceof ConsoleRefusedError;
    const refusal = isRefused ? error.refusal : undefined;
    return { fault: messageOf(error), refusal };
  }
}

/** A report, and how far this host's clock is ahead of who made it. */
async function readReport(flags: SystemFlags): Promise<{ report: Report; aheadMs: number }> {
  return await withSystem(flags, async (system) => {
    const askedAtMs = systemClock.wallMs();
    const report = await system.report();
    const answeredAtMs = systemClock.wallMs();
    // It was made some time between question and answer.
    const aheadMs = report.atMs < askedAtMs
      ? askedAtMs - report.atMs
      : Math.min(0, answeredAtMs - report.atMs);
    return { report, aheadMs };
  });
}

async function factsOf(flags: DoctorFlags): Promise<DoctorFacts> {
  const [read, configs] = await Promise.all([
    attempt(() => readReport(flags)),
    Promise.all(flags.config.map((path) => configFacts(path))),
  ]);
  // Not beside the database: reading it may keep this process from an answer that has come.
  const agent = await attempt(() => askAgent(flags.agent));
  const services = "fault" in read ? [] : read.report.services.filter(({ isAlive }) => isAlive);
  return {
    report: "fault" in read ? read : read.report,
    clockAheadMs: "fault" in read ? undefined : read.aheadMs,
    unreachable: await unreachableOf(
      services.filter(({ kind }) => ["dns", "reporter"].includes(kind)).map((one) => one.address),
    ),
    agent,
    host: hostFacts(dataDirOf(flags)),
    configs,
    software: softwareName(),
  };
}

function toJson(finding: Symptom): Record<string, unknown> {
  const { subject, level, seen, key } = finding;
  return { subject, level, seen, ...(key === undefined ? {} : { key, remedy: remedyOf(finding) }) };
}

function printFindings(findings: readonly Symptom[]): void {
  const { bad, good, strong, warn } = coloursOf("stdout");
  const paint = { ok: good, note: warn, bad };
  const width = Math.max(...findings.map(({ subject }) => subject.length));
  for (const finding of findings) {
    const { subject, level, seen } = finding;
    const [first, ...rest] = wrapped(seen, LINE_WIDTH - width - 8);
    printLine(`${paint[level](level.padEnd(4))}  ${strong(subject.padEnd(width))}  ${first}`);
    const remedy = remedyOf(finding);
    const lines = remedy === undefined ? [] : wrapped(remedy, LINE_WIDTH - width - 10);
    for (const line of rest) printLine(`${" ".repeat(width + 8)}${line}`);
    for (const line of lines) printLine(`${" ".repeat(width + 10)}${line}`);
  }
  const count = (level: Symptom["level"]): number =>
    findings.filter((one) => one.level === level).length;
  printLine("");
  printLine(
    count("bad") + count("note") === 0
      ? good("Everything that was looked at is well.")
      : `${quantity(count("bad"), "thing")} bad, ${quantity(count("note"), "note")}, ` +
        `${count("ok")} well`,
  );
}
