// Shell. What commands that edit routes share: their options, and what they say of an edit.

import type { Command } from "commander";
import { DEFAULT_PORTS } from "../proto/message_ids.ts";
import type { Address } from "../reactor/address.ts";
import { parsePeer } from "./cli_arguments.ts";
import { argument, repeated, TOKEN_FILE_VARIABLE } from "./cli_errors.ts";
import { addStoreOptions, type StoreFlags } from "./store_access.ts";
import { printJson, printLine, warningLine } from "./terminal.ts";
import type { LeftNodes } from "../control/changes/left_nodes.ts";
import { type LeftTense, leftTexts } from "../control/changes/left_text.ts";
import type { ChangeResult } from "../control/schemas.ts";
import type { SystemAccess } from "../control/system_access.ts";
import type { ModuleKey } from "../model/module.ts";
import { moduleLabel } from "../model/module_name.ts";
import { quantity } from "../model/quantity.ts";

/** Longest reason, in characters. */
const WHY_LENGTH_MAX = 500;

/** Options of every command that edits routes. */
export interface EditFlags extends StoreFlags {
  readonly dns: readonly Address[];
  readonly tokenFile?: string;
  readonly why?: string;
  readonly json?: boolean;
}

/** Adds the options of {@linkcode EditFlags}. */
export function addEditOptions(command: Command): Command {
  return addStoreOptions(command)
    .option(
      "--dns <HOST:PORT>",
      "also tell this dns (may be given several times); those registered in the database are told anyway",
      repeated((text) => parsePeer(text, DEFAULT_PORTS.dns)),
      [],
    )
    .option("--why <TEXT>", "reason, kept in the history of changes", argument(parseWhy))
    .option("--token-file <FILE>", `secret shared with dns (or ${TOKEN_FILE_VARIABLE})`)
    .option("--json", "print one JSON value");
}

/** A reason fits the history: one line. */
function parseWhy(text: string): string {
  // deno-lint-ignore no-control-regex
  if (text.length <= WHY_LENGTH_MAX && !/[\u0000-\u001f\u007f]/.test(text)) return text;
  throw new RangeError(`Reason must be one line of at most ${WHY_LENGTH_MAX} characters`);
}

/** Modules that a message names; the rest is counted. */
const MODULES_NAMED_MAX = 10;

/** `(1,1) login, (1,2) shop and 3 more` */
export function named(modules: readonly (ModuleKey & { readonly name?: string })[]): string {
  const some = modules.slice(0, MODULES_NAMED_MAX).map(moduleLabel);
  const more = modules.length - some.length;
  return `${some.join(", ")}${more > 0 ? ` and ${more} more` : ""}`;
}

/** The same of modules whose names are to be looked up: of those that are shown. */
export async function namedOf(system: SystemAccess, keys: readonly ModuleKey[]): Promise<string> {
  const shown = await Promise.all(
    keys.slice(0, MODULES_NAMED_MAX).map(async ({ modId, cmdId }) => {
      const [row] = await system.texts({ modId, cmdId });
      return { modId, cmdId, name: row?.name ?? "" };
    }),
  );
  return named([...shown, ...keys.slice(MODULES_NAMED_MAX)]);
}

/** Names every module that a change leaves without a node to call, or with evacuated ones. */
export function warnOfLeft(left: LeftNodes, tense: LeftTense): void {
  const texts = leftTexts(left, tense, moduleLabel);
  for (const text of texts.slice(0, MODULES_NAMED_MAX)) warningLine(text);
  const more = texts.length - MODULES_NAMED_MAX;
  if (more > 0) warningLine(`the same of ${quantity(more, "more module")}`);
}

/**
 * Waits for a change, and names every dns that does not know of it yet, and every module that has no
 * node left to call, or evacuated ones only.
 */
export async function made(change: Promise<ChangeResult>): Promise<ChangeResult> {
  const result = await change;
  for (const { address, told: isTold, fault } of result.told) {
    if (isTold) continue;
    warningLine(
      `dns ${address} was not told (${fault ?? "no reason given"}); ` +
        "it sees the change at its next poll",
    );
  }
  warnOfLeft(result, "now");
  return result;
}

/** `version 1754000000, dns 127.0.0.1:7778 told in 4 ms` */
export function versionText({ version, told }: ChangeResult): string {
  const heard = told.filter((one) => one.told)
    .map((one) => `, dns ${one.address} told in ${one.tookMs} ms`);
  return `version ${version}${heard.join("")}`;
}

/** Says of a change of one thing what it did: `set (1,1), version 1754000000`. */
export function printChange(
  result: ChangeResult,
  word: string,
  thing: string,
  flags: EditFlags,
): void {
  if (flags.json === true) return printJson(outcomeJson(result));
  if (result.changed.length === 0) return printLine(`${thing} is so already`);
  printLine(`${word} ${thing}, ${versionText(result)}`);
}

/** The outcome as JSON. */
export function outcomeJson(outcome: ChangeResult): Record<string, unknown> {
  return {
    changed: outcome.changed.map(({ modId, cmdId }) => ({ modid: modId, cmdid: cmdId })),
    version: outcome.version,
    emptied: outcome.emptied.map(({ modId, cmdId }) => ({ modid: modId, cmdid: cmdId })),
    returned: outcome.returned.map(({ modId, cmdId, zones }) => ({
      modid: modId,
      cmdid: cmdId,
      zones,
    })),
    told: outcome.told.map(({ address, told, tookMs, fault }) => ({
      address,
      told,
      took_ms: tookMs,
      ...(fault === null ? {} : { fault }),
    })),
  };
}
