// Core. From what was seen of a system and of this host to what is wrong with it, and what is right.

import type { Report } from "../../control/schemas.ts";
import { quantity } from "../../model/quantity.ts";
import type { StoreRefusal } from "../../reactor/errors.ts";
import { missingRightOf, SERVICE_GRANTS } from "../../sql/grants/grants.ts";
import { SCHEMA_VERSION } from "../../sql/schema/migrations.ts";
import { ADVICE, type AdviceKey } from "./advice.ts";

/** How bad it is: `bad` makes `lars doctor` end with 1. */
export type SymptomLevel = "ok" | "note" | "bad";

/** One line of the answer. */
export interface Symptom {
  /** What was looked at: "database", "agent", ... */
  readonly subject: string;
  readonly level: SymptomLevel;
  /** What was seen. */
  readonly seen: string;
  /** Which advice belongs to it; undefined for what is well. */
  readonly key?: AdviceKey;
}

/** What could not be asked, and why. */
export interface Fault {
  readonly fault: string;
  /** Why a database refuses; undefined: it does not, or it is not known. */
  readonly refusal?: StoreRefusal | undefined;
}

/** Limits of this process that services started from here inherit, and the disk of the data folder. */
export interface HostFacts {
  /** Soft limit of open files; undefined where it is not known. */
  readonly openFilesMax: number | undefined;
  /** Of the disk that holds the data folder; undefined where there is none. */
  readonly disk:
    | { readonly path: string; readonly freeBytes: number; readonly bytes: number }
    | undefined;
}

/** What an export could not do now on this host. */
export interface ExportFault {
  readonly key: AdviceKey;
  readonly seen: string;
  /** It may be as it should be: nobody can tell from here. */
  readonly isUnsure?: true;
}

/** What was found in one configuration file. */
export interface ConfigFacts {
  readonly path: string;
  /** What a service would refuse, and which. */
  readonly problems: readonly string[];
  /** Files with secrets that it names and others than owner and group can read. */
  readonly readable: readonly string[];
  /** `[auth] allow_insecure` is set and an address beyond loopback is listened on. */
  readonly isOpen: boolean;
  /** What an export could not do with it; undefined: it is for none. */
  readonly exports: readonly ExportFault[] | undefined;
}

/** Everything that was seen. */
export interface DoctorFacts {
  readonly report: Report | Fault;
  /** This host's wall clock less the database's, in milliseconds; undefined: not known. */
  readonly clockAheadMs: number | undefined;
  /** Addresses of live services that could not be reached, with why. */
  readonly unreachable: readonly { readonly address: string; readonly reason: string }[];
  /** What the agent of this host says of itself. */
  readonly agent: {
    readonly address: string;
    readonly software: string;
    readonly status: Record<string, unknown>;
  } | Fault;
  readonly host: HostFacts;
  readonly configs: readonly ConfigFacts[];
  /** Name and version of this program, as services say theirs. */
  readonly software: string;
}

/** Clocks may differ by so much, in milliseconds. */
const CLOCK_DIFFERENCE_MAX_MS = 2_000;
/** Fewer open files than this are few for a service that others connect to. */
const OPEN_FILES_FEW = 4_096;
/** A disk with less than this free is nearly full: bytes, and share of the whole. */
const DISK_FREE_FEW_BYTES = 256 * 2 ** 20;
const DISK_FREE_FEW_SHARE = 0.02;

/** Tables without any right that are named. */
const HIDDEN_SHOWN = 4;

const ok = (subject: string, seen: string): Symptom => ({ subject, level: "ok", seen });
const note = (subject: string, key: AdviceKey, seen: string): Symptom => ({
  subject,
  level: "note",
  seen,
  key,
});
const bad = (subject: string, key: AdviceKey, seen: string): Symptom => ({
  subject,
  level: "bad",
  seen,
  key,
});

/** `lars/0.1.0` of `lars/0.1.0 deno/2.9.6`. */
function versionOf(software: string): string {
  return software.split(" ")[0];
}

/** Of a database that could not be asked. Doctor asks for what the console does. */
function refusalFinding({ fault, refusal }: Fault): Symptom {
  if (refusal === "schema") return bad("database", "schema_missing", fault);
  if (refusal !== "rights") return bad("database", "database_away", fault);
  const missing = missingRightOf(fault);
  if (missing === undefined) return bad("database", "rights_missing", fault);
  const { rights, table, services } = missing;
  const has = services.length === 0 ? "no service has it" : `${services.join(", ")} must have it`;
  return bad("database", "rights_missing", `${fault}. Missing: ${rights} on ${table}; ${has}`);
}

/** Of tables that the database hides from the account that was asked by. */
function hiddenFinding(label: string, hidden: readonly string[]): Symptom {
  const rightsOf: Readonly<Record<string, string>> = SERVICE_GRANTS.web;
  const names = hidden.slice(0, HIDDEN_SHOWN).map((name) => `${name} (${rightsOf[name] ?? "any"})`);
  const more = hidden.length > HIDDEN_SHOWN ? `, and ${hidden.length - HIDDEN_SHOWN} more` : "";
  const what = `${label}: missing, or without any right for this account: ${names.join(", ")}` +
    `${more}; sql/grants/web.sql gives what web must have`;
  return bad("database", "rights_missing", what);
}

function databaseFindings({ report }: DoctorFacts): Symptom[] {
  if ("fault" in report) return [refusalFinding(report)];
  const { label, schemaVersion, moduleCount, nodeCount, hidden = [] } = report.store;
  if (hidden.length > 0) return [hiddenFinding(label, hidden)];
  const seen = `${label}: schema version ${schemaVersion}`;
  if (schemaVersion === 0) return [note("database", "schema_original", seen)];
  if (schemaVersion > SCHEMA_VERSION) {
    return [bad("database", "schema_newer", `${seen}, this program knows ${SCHEMA_VERSION}`)];
  }
  if (schemaVersion < SCHEMA_VERSION) {
    return [bad("database", "schema_old", `${seen} of ${SCHEMA_VERSION}`)];
  }
  return [
    ok("database", `${seen}, ${quantity(moduleCount, "module")}, ${quantity(nodeCount, "node")}`),
  ];
}

function clockFindings({ clockAheadMs }: DoctorFacts): Symptom[] {
  if (clockAheadMs === undefined) return [];
  const seconds = (Math.abs(clockAheadMs) / 1000).toFixed(1);
  if (Math.abs(clockAheadMs) <= CLOCK_DIFFERENCE_MAX_MS) {
    return [ok("clock", "in step with the database")];
  }
  const way = clockAheadMs > 0 ? "ahead of" : "behind";
  return [bad("clock", "clock_differs", `this host is ${seconds} s ${way} the database`)];
}

function serviceFindings({ report, unreachable, software }: DoctorFacts): Symptom[] {
  if ("fault" in report) return [];
  const { services } = report;
  const found: Symptom[] = [];
  for (const kind of ["dns", "reporter"]) {
    const alive = services.filter((one) => one.kind === kind && one.isAlive);
    const names = alive.map(({ address }) => address).join(", ");
    if (alive.length === 0) found.push(bad(kind, "service_missing", "none is alive"));
    else if (alive.length === 1) found.push(note(kind, "service_single", `one, ${names}`));
    else found.push(ok(kind, `${alive.length}: ${names}`));
  }
  for (const { kind, address, isAlive, detail } of services) {
    if (!isAlive) found.push(note(kind, "service_silent", `${address} is silent`));
    const refused = Number(detail.hostsRefused ?? 0);
    if (refused > 0) {
      const seen = `${address} and ${quantity(refused, "host")} refuse each other`;
      found.push(bad(kind, "secret_refused", seen));
    }
  }
  for (const { address, reason } of unreachable) {
    found.push(bad("service", "service_unreachable", `${address}: ${reason}`));
  }
  const own = versionOf(software);
  const others = [...services, ...report.agents.agents]
    .filter((one) => one.software !== "" && versionOf(one.software) !== own);
  if (others.length > 0) {
    const which = others.slice(0, 3).map((one) => `${one.address} has ${versionOf(one.software)}`);
    const more = others.length > which.length ? `, and ${others.length - which.length} more` : "";
    found.push(note("versions", "versions_differ", `here ${own}; ${which.join(", ")}${more}`));
  }
  return found;
}

function fleetFindings({ report }: DoctorFacts): Symptom[] {
  if ("fault" in report) return [];
  const { total, silent, holding, behind } = report.agents;
  if (silent + holding + behind === 0) {
    return [
      ok("agents", total === 0 ? "none is known to a dns" : `${total}, all with the newest routes`),
    ];
  }
  const found: Symptom[] = [];
  if (silent + behind > 0) {
    found.push(note("agents", "agent_behind", `${silent} silent, ${behind} behind, of ${total}`));
  }
  if (holding > 0) {
    found.push(bad("agents", "routes_held", `${quantity(holding, "agent")} hold a change back`));
  }
  return found;
}

/** Of the agent of this host. */
function agentFindings({ agent }: DoctorFacts): Symptom[] {
  if ("fault" in agent) return [bad("agent", "agent_away", agent.fault)];
  const { status, address, software } = agent;
  const count = (name: string): number => Number(status[name] ?? 0);
  const text = (name: string): string => String(status[name] ?? "");
  const found: Symptom[] = [];
  if (Object.keys(status).length === 0) {
    return [ok("agent", `${address} answers, ${software || "an agent of the original"}`)];
  }
  if (count("dnsConnected") !== 1) {
    found.push(bad("agent", "agent_unlinked", `no connection to dns ${text("dnsAddress")}`));
  }
  if (count("reporterConnected") !== 1) {
    found.push(
      bad("agent", "agent_unreported", `no connection to reporter ${text("reporterAddress")}`),
    );
  }
  for (const name of ["dns", "reporter"]) {
    const fault = text(`${name}SecretFault`);
    if (fault !== "") found.push(bad("agent", "secret_refused", `${name}: ${fault}`));
  }
  const held = text("routesHeldBack");
  if (held !== "") found.push(bad("agent", "routes_held", `holds back ${held}`));
  if (count("policiesRefused") > 0) {
    const seen = `refused ${quantity(count("policiesRefused"), "policy", "policies")}`;
    found.push(note("agent", "policies_refused", seen));
  }
  if (count("resultsDropped") > 0) {
    const seen = `dropped ${quantity(count("resultsDropped"), "result")} since it started`;
    found.push(note("agent", "results_dropped", seen));
  }
  if (count("tableBytes") === 0) found.push(note("agent", "table_off", "keeps no table"));
  else if (count("tableModulesLeftOut") > 0) {
    const seen = `${quantity(count("tableModulesLeftOut"), "module")} did not fit`;
    found.push(note("agent", "table_full", seen));
  }
  if (found.length > 0) return found;
  return [
    ok("agent", `${address}, ${quantity(count("modules"), "module")}, linked to dns and reporter`),
  ];
}

function hostFindings({ host, configs }: DoctorFacts): Symptom[] {
  const found: Symptom[] = [];
  const { openFilesMax, disk } = host;
  if (openFilesMax !== undefined && openFilesMax < OPEN_FILES_FEW) {
    found.push(note("files", "files_few", `at most ${openFilesMax} open files in this shell`));
  } else if (openFilesMax !== undefined) found.push(ok("files", `at most ${openFilesMax} open`));
  if (disk !== undefined) {
    const few = Math.min(DISK_FREE_FEW_BYTES, disk.bytes * DISK_FREE_FEW_SHARE);
    const seen = `${Math.floor(disk.freeBytes / 2 ** 20)} MiB free for ${disk.path}`;
    found.push(disk.freeBytes < few ? bad("disk", "disk_full", seen) : ok("disk", seen));
  }
  for (const { path, problems, readable, isOpen, exports } of configs) {
    for (const problem of problems) found.push(bad("config", "config_wrong", problem));
    for (const file of readable) {
      found.push(
        bad(
          "config",
          "secret_readable",
          file === path ? `${path} holds a password` : `${file}, of ${path}`,
        ),
      );
    }
    if (isOpen) found.push(note("config", "open_everywhere", path));
    const isRefused = problems.length > 0 || exports?.some(({ key }) => key === "config_wrong");
    if (!isRefused && readable.length === 0 && !isOpen) found.push(ok("config", path));
    for (const { key, seen, isUnsure } of exports ?? []) {
      found.push((isUnsure === true ? note : bad)("export", key, `${seen}, of ${path}`));
    }
    if (exports?.length === 0) found.push(ok("export", `all that ${path} names is there`));
  }
  return found;
}

/** All findings, in the order in which they are shown. */
export function findingsOf(facts: DoctorFacts): Symptom[] {
  return [
    databaseFindings,
    clockFindings,
    serviceFindings,
    fleetFindings,
    agentFindings,
    hostFindings,
  ]
    .flatMap((find) => find(facts));
}

/** What to do about a finding; undefined for what is well. */
export function remedyOf({ key }: Symptom): string | undefined {
  return key === undefined ? undefined : ADVICE[key].remedy;
}
