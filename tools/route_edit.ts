// Shell. Route edits of the command line: one transaction, and then every dns is told.

import { userInfo } from "node:os";
import type { Command } from "commander";
import { readToken, softwareName } from "../daemon/daemon.ts";
import { DEFAULT_PORTS } from "../proto/message_ids.ts";
import type { Address } from "../reactor/address.ts";
import { runtime } from "../reactor/runtime/mod.ts";
import { systemClock } from "../reactor/time/system_clock.ts";
import type { EditOptions, EditResult, ModuleChange, RouteEdit, Store } from "../sql/store.ts";
import type { ChangeEdits } from "../sql/console/console_store.ts";
import { type ModuleKey, uniqueModules } from "../model/module.ts";
import { parsePeer } from "./cli_arguments.ts";
import { argument, repeated, TOKEN_FILE_VARIABLE } from "./cli_errors.ts";
import type { Told } from "../control/changes/dns_notifier.ts";
import { tellingDns } from "../control/changes/dns_teller.ts";
import { addStoreOptions, type StoreFlags } from "./store_access.ts";
import { warningLine } from "./terminal.ts";

/** Longest reason, in characters. */
const WHY_LENGTH_MAX = 500;

/** Options of every command that edits routes. */
export interface EditFlags extends StoreFlags {
  readonly dns: readonly Address[];
  readonly tokenFile?: string;
  readonly why?: string;
  readonly json?: boolean;
}

/** What an edit did, and who knows of it already. */
export interface EditOutcome {
  readonly changed: readonly ModuleKey[];
  readonly version: number;
  readonly told: readonly Told[];
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

/** Applies all edits or none, and tells every dns; who cannot be told is a warning. */
export function editAndTell(
  store: Store,
  edits: readonly RouteEdit[],
  flags: EditFlags,
  options: EditOptions = {},
): Promise<EditOutcome> {
  const { meant = true } = options;
  return changeAndTell(store, flags, () => changeRecorded(store, { routes: edits, meant }, flags));
}

/** Sets names and policies, all or none, and tells every dns. */
export function setModulesAndTell(
  store: Store,
  modules: readonly ModuleChange[],
  flags: EditFlags,
): Promise<EditOutcome> {
  const wanted = { routes: [], modules, meant: false };
  return changeAndTell(store, flags, () => changeRecorded(store, wanted, flags));
}

/** Schema from which on changes are kept in a history. */
const HISTORY_SCHEMA_VERSION = 6;

/** Makes a change with its record in the history, or without one on a schema that has none. */
async function changeRecorded(
  store: Store,
  wanted: ChangeEdits & { readonly meant: boolean },
  flags: EditFlags,
): Promise<EditResult> {
  const { routes, modules = [], meant } = wanted;
  if (await store.schemaVersion() < HISTORY_SCHEMA_VERSION) {
    return routes.length > 0
      ? await store.editRoutes(routes, { meant })
      : await store.setModules(modules);
  }
  const { changed, version } = await store.console.change({
    modules: uniqueModules([...routes, ...modules]),
    decide: () => wanted,
    via: "command",
    why: flags.why ?? "",
    undoes: 0,
    meant,
    audit: {
      atMs: Math.trunc(systemClock.wallMs()),
      who: userInfo().username,
      action: "route.command",
      target: "",
      outcome: "done",
      detail: "",
      address: "",
    },
  });
  return { changed: [...changed], version };
}

/** A reason fits the history: one line. */
function parseWhy(text: string): string {
  // deno-lint-ignore no-control-regex
  if (text.length <= WHY_LENGTH_MAX && !/[\u0000-\u001f\u007f]/.test(text)) return text;
  throw new RangeError(`Reason must be one line of at most ${WHY_LENGTH_MAX} characters`);
}

/** Does what `change` does, and tells every dns; who cannot be told is a warning. */
export async function changeAndTell(
  store: Store,
  flags: EditFlags,
  change: () => Promise<EditResult>,
): Promise<EditOutcome> {
  const { changed, version, told } = await tellingDns({
    store,
    clock: systemClock,
    software: softwareName(),
    token: await readToken(flags.tokenFile ?? runtime.env(TOKEN_FILE_VARIABLE) ?? ""),
    addresses: flags.dns,
  }, change);
  warnOfUntold(told);
  return { changed, version, told };
}

/** Names every dns that does not know of a change yet. */
export function warnOfUntold(told: readonly Told[]): void {
  for (const { address, told: isTold, fault } of told) {
    if (isTold) continue;
    warningLine(
      `dns ${address} was not told (${fault ?? "no reason given"}); ` +
        "it sees the change at its next poll",
    );
  }
}

/** `, dns 127.0.0.1:7778 told in 4 ms` or nothing. */
export function toldText(told: readonly Told[]): string {
  return told.filter((one) => one.told)
    .map((one) => `, dns ${one.address} told in ${one.tookMs} ms`).join("");
}

/** The outcome as JSON. */
export function outcomeJson(outcome: EditOutcome): Record<string, unknown> {
  return {
    changed: outcome.changed.map(({ modId, cmdId }) => ({ modid: modId, cmdid: cmdId })),
    version: outcome.version,
    told: outcome.told.map(({ address, told, tookMs, fault }) => ({
      address,
      told,
      took_ms: tookMs,
      ...(fault === undefined ? {} : { fault }),
    })),
  };
}
