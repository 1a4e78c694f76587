// Shell. `lars drain` and `lars undrain`: a node gets no new picks, until it is safe to stop.

import type { Command } from "commander";
import { readToken, softwareName } from "../daemon/daemon.ts";
import { type Address, formatAddress, formatIpv4, parseAddress } from "../reactor/address.ts";
import { sleep } from "../reactor/clock.ts";
import { silentLogger } from "../reactor/log.ts";
import { runtime } from "../reactor/runtime/mod.ts";
import { systemClock } from "../reactor/system_clock.ts";
import { systemRng } from "../reactor/system_rng.ts";
import type { NodeState, RouteRow, Store } from "../sql/store.ts";
import { type NodeAddress, parseNodeAddress, parseWhole } from "./cli_arguments.ts";
import { argument, CommandError, TOKEN_FILE_VARIABLE, UsageError } from "./cli_errors.ts";
import { addExamples, type CommandContext } from "./command.ts";
import { type DnsAnswer, DrainState, type DrainVerdict } from "./drain_state.ts";
import { NodeUseAsker } from "./node_use_asker.ts";
import {
  addEditOptions,
  type EditFlags,
  type EditOutcome,
  isRecent,
  knownInstances,
  outcomeJson,
  toldText,
} from "./route_edit.ts";
import {
  addServerOption,
  type RouteAccess,
  type RouteFlags,
  storeRoutes,
  withRoutes,
} from "./route_access.ts";
import { plural } from "./plural.ts";
import { withStore } from "./store_access.ts";
import { noteLine, printJson, printLine, warningLine } from "./terminal.ts";

/** Time between two rounds of questions. */
const ROUND_MS = 500;

/** Largest quiet time and time limit: a day. */
const SECONDS_MAX = 86_400;

interface DrainFlags extends EditFlags, RouteFlags {
  readonly wait?: boolean;
  readonly quietSeconds: number;
  readonly timeout: number;
}

/** Adds `drain`. */
export function addTo(parent: Command, context: CommandContext): void {
  const command = parent.command("drain")
    .description(
      "Give a node no new calls, in every module that has it; results of calls under way still " +
        "count. With --wait: return when every agent has the change and none has used the node " +
        "for some time, so that it is safe to stop.",
    )
    .argument("<IP:PORT>", "the node", argument(parseNodeAddress))
    .option("--wait", "return when it is safe to stop")
    .option("--quiet-seconds <N>", "time without any use that makes it safe", wholeSeconds, 5)
    .option("--timeout <N>", "seconds after which to give up; 0: never", wholeSeconds, 300)
    .action((node: NodeAddress, flags: DrainFlags) =>
      flags.wait === true ? drainAndWait(node, flags, context) : drain(node, flags)
    );
  addServerOption(addEditOptions(command));
  addExamples(command, [
    ["lars drain 10.0.0.7:7777 --wait && ssh 10.0.0.7 systemctl restart shop", "a deployment"],
    ["lars drain 10.0.0.7:7777", "no new calls; do not wait"],
  ]);
  command.addHelpText(
    "after",
    "\nExit codes: 0 drained, with --wait: safe to stop; 1 no such node, or not safe in time.",
  );
}

/** Adds `undrain`. */
export function addUndrainTo(parent: Command): void {
  const command = parent.command("undrain")
    .description("Give a drained node calls again, in every module that has it.")
    .argument("<IP:PORT>", "the node", argument(parseNodeAddress))
    .action(async (node: NodeAddress, flags: EditFlags & RouteFlags) => {
      const { rows, outcome } = await withRoutes(
        flags,
        (routes) => setState(routes, node, "drain", "on", flags),
      );
      if (flags.json === true) {
        return printJson({
          node: nameOf(node),
          modules: rows.map(moduleJson),
          ...outcomeJson(outcome),
        });
      }
      printLine(`${nameOf(node)} gets calls again${editText(outcome)}`);
    });
  addServerOption(addEditOptions(command));
  addExamples(command, [["lars undrain 10.0.0.7:7777", "after the deployment"]]);
}

function wholeSeconds(text: string): number {
  return argument((value: string) => parseWhole("Seconds", value, 0, SECONDS_MAX))(text);
}

function nameOf({ ip, port }: NodeAddress): string {
  return `${formatIpv4(ip)}:${port}`;
}

function moduleJson({ modId, cmdId }: RouteRow): { modid: number; cmdid: number } {
  return { modid: modId, cmdid: cmdId };
}

function editText({ changed, version, told }: EditOutcome): string {
  if (changed.length === 0) return " (was so already)";
  return `, ${changed.length} module(s), version ${version}${toldText(told)}`;
}

/** Sets the node's state where it is `from`. @throws {CommandError} when no module has the node. */
async function setState(
  routes: RouteAccess,
  node: NodeAddress,
  from: NodeState,
  to: NodeState,
  flags: EditFlags,
): Promise<{ rows: RouteRow[]; outcome: EditOutcome }> {
  const found = await routes.readNode(node);
  const rows = found.filter(({ state }) => state === from || state === to);
  if (rows.length === 0) {
    const why = found.length === 0 ? "no module has it" : `it is ${found[0].state}`;
    throw new CommandError(`${nameOf(node)} cannot be set ${to}: ${why}`);
  }
  const edits = rows.filter(({ state }) => state === from)
    .map(({ modId, cmdId }) => ({ op: "set" as const, modId, cmdId, ...node, state: to }));
  return { rows, outcome: await routes.edit(edits, flags) };
}

async function drain(node: NodeAddress, flags: DrainFlags): Promise<void> {
  await withRoutes(flags, async (routes) => {
    const { rows, outcome } = await setState(routes, node, "on", "drain", flags);
    if (flags.json !== true) return printLine(`${nameOf(node)} drains${editText(outcome)}`);
    printJson({ node: nameOf(node), modules: rows.map(moduleJson), ...outcomeJson(outcome) });
  });
}

async function drainAndWait(
  node: NodeAddress,
  flags: DrainFlags,
  context: CommandContext,
): Promise<void> {
  if (flags.server !== undefined) {
    throw new UsageError(
      "--wait asks every dns itself and needs the database: leave --wait or --server out",
    );
  }
  await withStore(flags, async (store) => {
    const { rows, outcome } = await setState(storeRoutes(store), node, "on", "drain", flags);
    const about = { node: nameOf(node), modules: rows.map(moduleJson), ...outcomeJson(outcome) };
    if (flags.json !== true) noteLine(`${nameOf(node)} drains${editText(outcome)}`);
    const startMs = systemClock.nowMs();
    const verdict = await waitUntilSafe(store, rows, flags);
    const waitedS = Math.round((systemClock.nowMs() - startMs) / 100) / 10;
    if (!verdict.safe) context.exitCode = 1;
    if (flags.json === true) {
      const { safe, agents, plain, quietMs, waitsFor } = verdict;
      return printJson({
        ...about,
        safe,
        waited_seconds: waitedS,
        agents,
        plain,
        quiet_seconds: quietMs === undefined ? null : quietMs / 1000,
        waits_for: waitsFor,
      });
    }
    if (verdict.plain > 0) {
      warningLine(
        `${plural(verdict.plain, "agent")} of the original got the change and cannot be asked`,
      );
    }
    if (verdict.safe) {
      return printLine(
        `safe to stop ${nameOf(node)}: ${plural(verdict.agents, "agent")}, ${waitedS} s`,
      );
    }
    printLine(
      `not safe to stop ${nameOf(node)} after ${waitedS} s: ${verdict.waitsFor.join("; ")}`,
    );
  });
}

/** Asks every dns again and again; the last verdict when time is over. */
async function waitUntilSafe(
  store: Store,
  rows: readonly RouteRow[],
  flags: DrainFlags,
): Promise<DrainVerdict> {
  const token = await readToken(flags.tokenFile ?? runtime.env(TOKEN_FILE_VARIABLE) ?? "");
  const startMs = systemClock.nowMs();
  const state = new DrainState(flags.quietSeconds * 1000, startMs);
  const askers = new Map<string, NodeUseAsker>();
  try {
    for (;;) {
      const roundMs = systemClock.nowMs();
      await keepAskers(store, askers, flags.dns, token);
      const answers = await Promise.all(
        [...askers.values()].flatMap((asker) => rows.map((row) => answerOf(asker, row))),
      );
      let verdict = state.judge(answers, systemClock.nowMs());
      if (verdict.safe) verdict = await checkReports(store, rows, verdict, flags.quietSeconds);
      const waitedMs = systemClock.nowMs() - startMs;
      showProgress(verdict, waitedMs, flags);
      const over = flags.timeout > 0 && waitedMs >= flags.timeout * 1000;
      if (verdict.safe || over) return verdict;
      await sleep(systemClock, Math.max(0, roundMs + ROUND_MS - systemClock.nowMs()));
    }
  } finally {
    endProgress(flags);
    await Promise.all([...askers.values()].map((asker) => asker.close()));
  }
}

/** One line to each dns that signed in, or was named; those that are gone are left. */
async function keepAskers(
  store: Store,
  askers: Map<string, NodeUseAsker>,
  named: readonly Address[],
  token: Uint8Array | undefined,
): Promise<void> {
  const registered = (await knownInstances(store))
    .filter((instance) => instance.kind === "dns" && isRecent(instance))
    .map(({ address }) => parseAddress(address));
  const wanted = new Map([...registered, ...named].map((one) => [formatAddress(one), one]));
  if (wanted.size === 0) {
    throw new CommandError("No dns is signed in to the database: give --dns HOST:PORT to wait");
  }
  for (const [name, asker] of askers) {
    if (wanted.has(name)) continue;
    askers.delete(name);
    await asker.close();
  }
  for (const [name, address] of wanted) {
    if (askers.has(name)) continue;
    const shared = { clock: systemClock, rng: systemRng, log: silentLogger };
    askers.set(
      name,
      new NodeUseAsker({ address, token, software: softwareName(), ...shared }),
    );
  }
}

async function answerOf(asker: NodeUseAsker, row: RouteRow): Promise<DnsAnswer> {
  const module = `(${row.modId},${row.cmdId})`;
  return { dns: asker.name, module, report: await asker.ask(row) };
}

/**
 * Agents without any dns, and those of the original, cannot be asked: the results they report say
 * that they still use the node.
 */
async function checkReports(
  store: Store,
  rows: readonly RouteRow[],
  verdict: DrainVerdict,
  quietSeconds: number,
): Promise<DrainVerdict> {
  const sinceS = Math.floor(systemClock.wallMs() / 1000) - quietSeconds;
  const waitsFor: string[] = [];
  for (const { modId, cmdId, ip, port } of rows) {
    for (const status of await store.readCallStatus({ modId, cmdId })) {
      if (status.ip !== ip || status.port !== port || status.ts <= sinceS) continue;
      if (status.succCount + status.errCount === 0) continue;
      waitsFor.push(`${formatIpv4(status.caller)} has just reported calls of (${modId},${cmdId})`);
    }
  }
  return waitsFor.length === 0 ? verdict : { ...verdict, safe: false, waitsFor };
}

function showsProgress(flags: DrainFlags): boolean {
  return flags.json !== true && runtime.isTerminal("stderr");
}

function showProgress(verdict: DrainVerdict, waitedMs: number, flags: DrainFlags): void {
  if (!showsProgress(flags)) return;
  const { stopped, agents, waitsFor } = verdict;
  const text = `${Math.round(waitedMs / 1000)} s, ${stopped} of ${agents} agents have stopped; ` +
    waitsFor.join("; ");
  runtime.writeStderr(`\r\x1b[K${text.slice(0, 150)}`);
}

function endProgress(flags: DrainFlags): void {
  if (showsProgress(flags)) runtime.writeStderr("\r\x1b[K");
}
