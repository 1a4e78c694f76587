// Shell. `lars drain` and `lars undrain`: a node gets no new picks, until it is safe to stop.

import type { Command } from "commander";
import { sleep } from "../reactor/time/clock.ts";
import { runtime } from "../reactor/runtime/mod.ts";
import { visibleText } from "../reactor/visible_text.ts";
import { systemClock } from "../reactor/time/system_clock.ts";
import type { RouteRow } from "../sql/store.ts";
import { DEFAULT_PORTS } from "../proto/message_ids.ts";
import { type Address, formatAddress } from "../reactor/address.ts";
import { parseNodeAddress, parsePeer } from "./cli_arguments.ts";
import { argument, CommandError, repeated } from "./cli_errors.ts";
import { addExamples, type CommandContext } from "./command.ts";
import { chooseUndoing, type DrainUndoing, findDrains } from "../control/drain/drain_origin.ts";
import { DrainState, type DrainVerdict } from "../control/drain/drain_state.ts";
import type { SystemAccess } from "../control/system_access.ts";
import { quantity } from "../model/quantity.ts";
import {
  addEditOptions,
  type EditFlags,
  made,
  namedOf,
  outcomeJson,
  versionText,
} from "./route_edit.ts";
import { isAway } from "./stop_signal.ts";
import { addServerOption, type SystemFlags, withSystem } from "./system_access.ts";
import { noteLine, printJson, printLine, warningLine } from "./terminal.ts";
import { type ModuleKey, moduleText } from "../model/module.ts";
import { didYouMean } from "../model/near_words.ts";
import { addressText, type NodeAddress, type NodeState } from "../model/node.ts";
import { parseWhole } from "../model/route_values.ts";
import type { ChangeResult } from "../control/schemas.ts";

/** Time between two rounds of questions. */
const ROUND_MS = 500;

/** Callers that still report calls, by name; the rest is counted. */
const REPORTERS_NAMED_MAX = 5;

/** Largest quiet time and time limit: a day. */
const SECONDS_MAX = 86_400;

interface DrainFlags extends EditFlags, SystemFlags {
  readonly wait?: boolean;
  readonly quietSeconds: number;
  readonly timeout: number;
  readonly gone: readonly Address[];
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
    .option(
      "--gone <HOST:PORT>",
      "an agent that is stopped and not waited for (may be given several times)",
      repeated((text) => parsePeer(text, DEFAULT_PORTS.agent)),
      [],
    )
    .action((node: NodeAddress, flags: DrainFlags) =>
      flags.wait === true ? drainAndWait(node, flags, context) : drain(node, flags)
    );
  addServerOption(addEditOptions(command));
  addExamples(command, [
    ["lars drain 10.0.0.7:7777 --wait && ssh 10.0.0.7 systemctl restart shop", "a deployment"],
    ["lars drain 10.0.0.7:7777", "no new calls; do not wait"],
    ["lars drain 10.0.0.7:7777 --wait --server http://10.0.0.5:8080", "through a console"],
  ]);
  command.addHelpText(
    "after",
    "\nExit codes: 0 drained, with --wait: safe to stop; 1 no such node, or not safe in\ntime.",
  );
}

interface UndrainFlags extends EditFlags, SystemFlags {
  readonly all?: boolean;
}

/** Adds `undrain`. */
export function addUndrainTo(parent: Command): void {
  const command = parent.command("undrain")
    .description(
      "Give a drained node calls again, in the modules that its latest drain took it out of. Where " +
        "another change had drained it before, it stays so, and is named.",
    )
    .argument("<IP:PORT>", "the node", argument(parseNodeAddress))
    .option("--all", "in every module, whoever drained it there")
    .action((node: NodeAddress, flags: UndrainFlags) => undrain(node, flags));
  addServerOption(addEditOptions(command));
  addExamples(command, [
    ["lars undrain 10.0.0.7:7777", "after the deployment"],
    ["lars undrain 10.0.0.7:7777 --all", "in every module that has it"],
  ]);
}

async function undrain(node: NodeAddress, flags: UndrainFlags): Promise<void> {
  const { edited, left } = await withSystem(flags, async (system) => {
    const rows = await rowsToSet(system, node, "drain", "on");
    const { undone, left } = await undoingOf(system, node, rows, flags);
    const chosen = new Set(undone.map(moduleText));
    const set = rows.filter((row) => row.state === "on" || chosen.has(moduleText(row)));
    return { edited: await setRows(system, node, set, "on", flags), left };
  });
  for (const { modId, cmdId, change } of left) {
    const by = change === undefined
      ? "its history does not say by whom"
      : `change ${change.id} of ${change.who} did that` +
        (change.why === "" ? "" : `: ${change.why}`);
    noteLine(
      `${addressText(node)} stays drained in (${modId},${cmdId}) (${by}); --all ends that too`,
    );
  }
  if (flags.json === true) {
    return printJson({ ...editJson(node, edited), left: left.map(moduleJson) });
  }
  printLine(`${addressText(node)} gets calls again${editText(edited)}`);
}

/** @throws {CommandError} when nobody can say which modules are meant. */
async function undoingOf(
  system: SystemAccess,
  node: NodeAddress,
  rows: readonly RouteRow[],
  { all = false }: UndrainFlags,
): Promise<DrainUndoing> {
  const drained = rows.filter(({ state }) => state === "drain");
  if (all) return { undone: drained.map((row) => ({ ...row, change: undefined })), left: [] };
  const undoing = chooseUndoing(await findDrains(system.history, node, drained));
  if (undoing !== undefined) return undoing;
  const modules = drained.map(({ modId, cmdId }) => `(${modId},${cmdId})`).join(", ");
  throw new CommandError(
    `${
      addressText(node)
    } is drained in ${modules}, and the history does not say by which change: ` +
      "give --all, or say where by lars route set MODULE IP:PORT --state on",
  );
}

function wholeSeconds(text: string): number {
  return argument((value: string) => parseWhole("Seconds", value, 0, SECONDS_MAX))(text);
}

function moduleJson({ modId, cmdId }: ModuleKey): { modid: number; cmdid: number } {
  return { modid: modId, cmdid: cmdId };
}

function editText({ outcome, modules }: StateEdit): string {
  if (outcome.changed.length === 0) return " (was so already)";
  return `, ${quantity(outcome.changed.length, "module")}: ${modules}; ${versionText(outcome)}`;
}

function editJson(node: NodeAddress, { rows, outcome }: StateEdit): Record<string, unknown> {
  return {
    node: addressText(node),
    modules: rows.map(moduleJson),
    ...outcomeJson(outcome),
  };
}

/** A node whose state was set. */
interface StateEdit {
  readonly rows: readonly RouteRow[];
  /** Those that changed, by name. */
  readonly modules: string;
  readonly outcome: ChangeResult;
}

/** Sets the node's state where it is `from`. @throws {CommandError} when no module has the node. */
async function setState(
  system: SystemAccess,
  node: NodeAddress,
  from: NodeState,
  to: NodeState,
  flags: EditFlags,
): Promise<StateEdit> {
  return await setRows(system, node, await rowsToSet(system, node, from, to), to, flags);
}

/** Rows of the node whose state is one of two. @throws {CommandError} when there are none. */
async function rowsToSet(
  system: SystemAccess,
  node: NodeAddress,
  from: NodeState,
  to: NodeState,
): Promise<RouteRow[]> {
  const found = await system.readNode(node);
  const rows = found.filter(({ state }) => state === from || state === to);
  if (rows.length > 0) return rows;
  const why = found.length === 0
    ? `no module has it${await nearNodes(system, node)}`
    : `it is ${found[0].state}`;
  throw new CommandError(`${addressText(node)} cannot be set ${to}: ${why}`);
}

/** A dns of the original knows no states, and cannot be seen in the database. */
function warnOfOriginal(node: NodeAddress, { changed, told }: ChangeResult): void {
  if (changed.length === 0 || told.some((one) => one.told)) return;
  warningLine(
    "no dns of ours knows of it yet; one of the original, if it serves this database, goes on " +
      `giving ${addressText(node)} to callers: it knows no states, lars route rm takes a node away`,
  );
}

async function setRows(
  system: SystemAccess,
  node: NodeAddress,
  rows: readonly RouteRow[],
  to: NodeState,
  flags: EditFlags,
): Promise<StateEdit> {
  // Also where it is so already: nothing changes there, and the version comes back.
  const routes = rows.map(({ modId, cmdId }) => ({
    op: "set" as const,
    modId,
    cmdId,
    ...node,
    state: to,
  }));
  const outcome = await made(system.change({ routes }, { why: flags.why }));
  if (to === "drain") warnOfOriginal(node, outcome);
  const modules = await namedOf(system, outcome.changed);
  return { rows, modules, outcome };
}

/** `: did you mean 10.0.0.1:80?` */
async function nearNodes(system: SystemAccess, node: NodeAddress): Promise<string> {
  return didYouMean(addressText(node), (await system.read()).map(addressText));
}

async function drain(node: NodeAddress, flags: DrainFlags): Promise<void> {
  await withSystem(flags, async (system) => {
    const edited = await setState(system, node, "on", "drain", flags);
    if (flags.json === true) return printJson(editJson(node, edited));
    printLine(`${addressText(node)} drains${editText(edited)}`);
  });
}

async function drainAndWait(
  node: NodeAddress,
  flags: DrainFlags,
  context: CommandContext,
): Promise<void> {
  await withSystem(flags, async (system) => {
    const edited = await setState(system, node, "on", "drain", flags);
    if (flags.json !== true) noteLine(`${addressText(node)} drains${editText(edited)}`);
    const startMs = systemClock.nowMs();
    const verdict = await waitUntilSafe(system, node, edited.rows, flags);
    const waitedS = Math.round((systemClock.nowMs() - startMs) / 100) / 10;
    if (!verdict.safe) context.exitCode = 1;
    if (flags.json === true) {
      const { safe, agents, plain, quietMs, waitsFor } = verdict;
      return printJson({
        ...editJson(node, edited),
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
        `${quantity(verdict.plain, "agent")} of the original got the change and cannot be asked`,
      );
    }
    if (verdict.safe) {
      return printLine(
        `safe to stop ${addressText(node)}: ${quantity(verdict.agents, "agent")}, ${waitedS} s`,
      );
    }
    printLine(
      `not safe to stop ${addressText(node)} after ${waitedS} s: ${verdict.waitsFor.join("; ")}`,
    );
  });
}

/** Asks every dns again and again; the last verdict when time is over. */
async function waitUntilSafe(
  system: SystemAccess,
  node: NodeAddress,
  rows: readonly RouteRow[],
  flags: DrainFlags,
): Promise<DrainVerdict> {
  const modules = rows.map(({ modId, cmdId }) => ({ modId, cmdId }));
  const startMs = systemClock.nowMs();
  const state = new DrainState(flags.quietSeconds * 1000, startMs, flags.gone.map(formatAddress));
  try {
    for (;;) {
      const roundMs = systemClock.nowMs();
      const verdict = await judgeRound(system, node, modules, state, flags.quietSeconds);
      const waitedMs = systemClock.nowMs() - startMs;
      showProgress(verdict, waitedMs, flags);
      const over = flags.timeout > 0 && waitedMs >= flags.timeout * 1000;
      if (verdict.safe || over) return verdict;
      await sleep(systemClock, Math.max(0, roundMs + ROUND_MS - systemClock.nowMs()));
    }
  } finally {
    endProgress(flags);
  }
}

/** One round of questions; while the database or the console is away, nothing is safe. */
async function judgeRound(
  system: SystemAccess,
  node: NodeAddress,
  modules: readonly ModuleKey[],
  state: DrainState,
  quietSeconds: number,
): Promise<DrainVerdict> {
  try {
    const { dnsCount, ...asked } = await system.nodeUse(node, modules);
    if (dnsCount === 0) {
      throw new CommandError(
        "No dns is signed in to the database, so nobody can say how agents use the node: " +
          "start one, or without --server name one by --dns HOST:PORT",
      );
    }
    const verdict = state.judge(asked, systemClock.nowMs());
    if (!verdict.safe) return verdict;
    // Agents without any dns, and those of the original, cannot be asked: the results they report
    // say that they still use the node.
    const { callers, callerCount } = await system.nodeCallers(node, modules, quietSeconds);
    if (callerCount === 0) return verdict;
    const named = callers.slice(0, REPORTERS_NAMED_MAX).map(({ host, modId, cmdId }) =>
      `${host} has just reported calls of (${modId},${cmdId})`
    );
    const more = callerCount - named.length;
    return { ...verdict, safe: false, waitsFor: more > 0 ? [...named, `${more} more`] : named };
  } catch (error) {
    if (!isAway(error)) throw error;
    return state.unheard(error.message);
  }
}

function showsProgress(flags: DrainFlags): boolean {
  return flags.json !== true && runtime.isTerminal("stderr");
}

function showProgress(verdict: DrainVerdict, waitedMs: number, flags: DrainFlags): void {
  if (!showsProgress(flags)) return;
  const { stopped, agents, waitsFor } = verdict;
  const text =
    `${Math.round(waitedMs / 1000)} s, ${stopped} of ${quantity(agents, "agent")} stopped; ` +
    waitsFor.join("; ");
  runtime.writeStderr(`\r\x1b[K${visibleText(text.slice(0, 150))}`);
}

function endProgress(flags: DrainFlags): void {
  if (showsProgress(flags)) runtime.writeStderr("\r\x1b[K");
}
