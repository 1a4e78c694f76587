// Shell. `lars followers`: who follows routes, by which way, and how far behind.

import type { Command } from "commander";
import { addExamples, type CommandContext } from "./command.ts";
import { addStoreOptions } from "./store_access.ts";
import { addServerOption, type SystemFlags, withSystem } from "./system_access.ts";
import { printJson, printLine, printTable } from "./terminal.ts";
import type { FollowerList, FollowerRow } from "../control/schemas.ts";

interface FollowerFlags extends SystemFlags {
  readonly json?: boolean;
}

/** Adds `followers`. */
export function addTo(parent: Command, _context: CommandContext): void {
  const command = parent.command("followers")
    .description(
      "Show who follows routes: agents, programs with a client of ours, and what exports keep in " +
        "step, such as gRPC programs, resolvers and proxies.",
    )
    .option("--json", "print one JSON value")
    .action(async (flags: FollowerFlags) => {
      await withSystem(flags, async (system) => {
        const list = await system.followers();
        if (flags.json === true) printJson(list);
        else await printFollowers(list);
      });
    });
  addServerOption(addStoreOptions(command));
  addExamples(command, [
    ["lars followers", "this machine, data in ./data"],
    ["lars followers --server http://10.0.0.5:8080 --token-file token --json", "for a program"],
  ]);
}

/** How they do, in words. */
function followerState(row: FollowerRow): string {
  if (row.isSilent) return "silent";
  if (row.fault !== null) return row.fault;
  if ((row.behind ?? 0) > 0) {
    const forMs = row.behindMs === null ? "" : `, ${Math.round(row.behindMs / 1000)} s`;
    return `${row.behind} behind${forMs}`;
  }
  return row.followers === null ? "not known" : "ok";
}

async function printFollowers({ version, followers }: FollowerList): Promise<void> {
  printLine(`Routes are at version ${version}.`);
  if (followers.length === 0) {
    printLine("Nobody follows them, as far as is known.");
    return;
  }
  await printTable(
    ["WAY", "THROUGH", "AT", "HOW MANY", "ROUTES", "LAG", "STATE"],
    followers.map((row) => [
      ...[row.way, row.through, row.at],
      row.followers === null ? "?" : String(row.followers),
      row.revision === null ? "?" : row.revision === version ? "newest" : String(row.revision),
      row.lagSeconds === null ? "?" : `${row.lagSeconds} s`,
      followerState(row),
    ]),
  );
}
