// Shell. `lars zone`: takes all calls out of a zone by one command, and brings them back.

import type { Command } from "commander";
import type { ModuleKey } from "../model/module.ts";
import { parseZone } from "../model/route_values.ts";
import { argument, CommandError } from "./cli_errors.ts";
import { addExamples } from "./command.ts";
import { quantity } from "../model/quantity.ts";
import { addEditOptions, type EditFlags, made, outcomeJson, versionText } from "./route_edit.ts";
import { addServerOption, type SystemFlags, withSystem } from "./system_access.ts";
import { printJson, printLine, warningLine } from "./terminal.ts";
import { evacuatedZones, planZone, type ZonePlan } from "./zone_plan.ts";
import { didYouMean } from "../model/near_words.ts";
import type { ModuleRow, RouteRow } from "../sql/store.ts";

/** Modules that a message names; the rest is counted. */
const MODULES_NAMED_MAX = 10;

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
    if (plan.onlyThere.length > 0) {
      warningLine(
        `${named(plan.onlyThere)} stay there: they have no node in service anywhere else`,
      );
    }
    if (flags.dryRun === true || plan.changes.length === 0) return say(plan, flags);
    const edits = { routes: [], modules: plan.changes };
    const outcome = await made(system.change(edits, { why: flags.why, meant: false }));
    if (flags.json === true) return printJson({ ...planJson(plan), edit: outcomeJson(outcome) });
    printLine(
      `zone ${zone} ${evacuated ? "evacuated" : "restored"} in ` +
        `${quantity(plan.changes.length, "module")}, ${versionText(outcome)}`,
    );
  });
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

function say(plan: ZonePlan, flags: ZoneFlags): void {
  if (flags.json === true) return printJson({ ...planJson(plan), edit: null });
  printLine(
    `${quantity(plan.changes.length, "module")} to change, ` +
      `${plan.unchangedCount} as they should be; nothing written`,
  );
}

function named(keys: readonly ModuleKey[]): string {
  const some = keys.slice(0, MODULES_NAMED_MAX).map(({ modId, cmdId }) => `(${modId},${cmdId})`);
  const more = keys.length - some.length;
  return `${some.join(", ")}${more > 0 ? ` and ${more} more` : ""}`;
}

function planJson(plan: ZonePlan): Record<string, unknown> {
  const plain = ({ modId, cmdId }: ModuleKey): unknown => ({ modid: modId, cmdid: cmdId });
  return {
    changed: plan.changes.map(plain),
    unchanged: plan.unchangedCount,
    only_there: plan.onlyThere.map(plain),
  };
}
