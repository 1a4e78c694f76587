// Shell. `lars zone`: takes all calls out of a zone by one command, and brings them back.

import type { Command } from "commander";
import type { ModuleKey } from "../model/module.ts";
import { parseZone } from "../model/route_values.ts";
import { argument, CommandError } from "./cli_errors.ts";
import { addExamples } from "./command.ts";
import { quantity } from "../model/quantity.ts";
import {
  addEditOptions,
  type EditFlags,
  made,
  named,
  outcomeJson,
  versionText,
} from "./route_edit.ts";
import { addServerOption, type SystemFlags, withSystem } from "./system_access.ts";
import { printJson, printLine, warningLine } from "./terminal.ts";
import { evacuatedZones, planZone, type ZonePlan } from "./zone_plan.ts";
import { didYouMean } from "../model/near_words.ts";
import type { ModuleRow, RouteRow } from "../sql/store.ts";

interface ZoneFlags extends EditFlags, SystemFlags {
  readonly dryRun?: boolean;
}

/** Adds `zone` and its subcommands. */
export function addTo(parent: Command): void {
  const zone = parent.command("zone").description(
    "Take all calls out of a zone, and bring them back: in the policy of every module concerned.",
  );
  addWord(zone, "evacuate", true, "Send the calls of every module with nodes in a zone elsewhere.");
  addWord(zone, "restore", false, "Use a zone again, in every module that it was taken out of.");
  addExamples(zone, [
    ["lars zone evacuate east", "no calls to the zone east"],
    ["lars zone restore east", "and back"],
  ]);
}

function addWord(zone: Command, word: string, evacuated: boolean, about: string): void {
  const command = zone.command(word)
    .description(about)
    .argument("<ZONE>", "name of the zone", argument(parseZone))
    .option("--dry-run", "only say what would change")
    .action((name: string, flags: ZoneFlags) => changeZone(name, evacuated, flags));
  addServerOption(addEditOptions(command));
  if (evacuated) {
    command.addHelpText(
      "after",
      "\nIt stays in use in modules that have no node that takes calls outside of\n" +
        "evacuated zones. They are named; when there are no others, nothing is written,\n" +
        "and the exit code is 1.",
    );
  }
  addExamples(command, [[`lars zone ${word} east --dry-run`, "what would change?"]]);
}

async function changeZone(zone: string, evacuated: boolean, flags: ZoneFlags): Promise<void> {
  if (zone === "") throw new CommandError("The zone must have a name");
  await withSystem(flags, async (system) => {
    const routes = await system.read();
    const texts = await system.texts();
    requireZone(zone, evacuated, routes, texts);
    const plan = planZone(zone, evacuated, routes, texts);
    if (plan.faults.length > 0) {
      const { fault } = plan.faults[0];
      throw new CommandError(
        `Policies of ${named(plan.faults)} cannot be changed (${fault}); nothing was written`,
      );
    }
    sayRefused(zone, plan);
    if (flags.dryRun === true || plan.changes.length === 0) {
      return say(zone, evacuated, plan, flags);
    }
    const edits = { routes: [], modules: plan.changes };
    const outcome = await made(system.change(edits, { why: flags.why, meant: false }));
    if (flags.json === true) return printJson({ ...planJson(plan), edit: outcomeJson(outcome) });
    printLine(
      `zone ${zone} ${evacuated ? "evacuated" : "restored"} in ` +
        `${quantity(plan.changes.length, "module")}: ${named(plan.changed)}; ` +
        versionText(outcome),
    );
  });
}

/** @throws {CommandError} when the zone can be evacuated in no module. */
function sayRefused(zone: string, { onlyThere, changes }: ZonePlan): void {
  if (onlyThere.length === 0) return;
  const one = onlyThere.length === 1;
  const message = `zone ${zone} cannot be evacuated in ${named(onlyThere)}: ` +
    `${one ? "it has" : "they have"} no node that takes calls outside of evacuated zones`;
  if (changes.length > 0) return warningLine(`${message}; ${one ? "it stays" : "they stay"} there`);
  throw new CommandError(`${message[0].toUpperCase()}${message.slice(1)}; nothing was written`);
}

/**
 * A zone that is nowhere is a mistake, and who evacuates one in an emergency must hear of it.
 *
 * @throws {CommandError} when no node stands in it and no policy names it; or when it is to be
 * evacuated and no node there is in service.
 */
function requireZone(
  zone: string,
  evacuated: boolean,
  routes: readonly RouteRow[],
  texts: readonly ModuleRow[],
): void {
  const there = routes.filter((row) => row.zone === zone);
  const isNamed = evacuatedZones(texts).includes(zone);
  if (there.length === 0 && !isNamed) {
    const zones = [...routes.map((row) => row.zone), ...evacuatedZones(texts)];
    throw new CommandError(
      `There is no zone ${zone}: no node stands in it; nothing was written` +
        didYouMean(zone, zones),
    );
  }
  if (!evacuated || isNamed || there.some(({ state }) => state === "on")) return;
  throw new CommandError(
    `Zone ${zone} has no node in service: ${quantity(there.length, "node")} there ` +
      `${there.length === 1 ? "is" : "are"} drained or off; nothing was written`,
  );
}

function say(zone: string, evacuated: boolean, plan: ZonePlan, flags: ZoneFlags): void {
  if (flags.json === true) return printJson({ ...planJson(plan), edit: null });
  const { changed, unchangedCount } = plan;
  const word = evacuated ? "evacuated" : "restored";
  const same = unchangedCount === 0 ? "" : `${quantity(unchangedCount, "module")} ` +
    `${unchangedCount === 1 ? "has" : "have"} it ${evacuated ? "evacuated" : "in use"} already; `;
  if (changed.length === 0) {
    return printLine(`zone ${zone}: no module to change; ${same}nothing written`);
  }
  printLine(
    `zone ${zone} would be ${word} in ${quantity(changed.length, "module")}: ${named(changed)}; ` +
      `${same}nothing written`,
  );
}

function planJson(plan: ZonePlan): Record<string, unknown> {
  const plain = ({ modId, cmdId }: ModuleKey): unknown => ({ modid: modId, cmdid: cmdId });
  return {
    changed: plan.changes.map(plain),
    unchanged: plan.unchangedCount,
    only_there: plan.onlyThere.map(plain),
  };
}
