// Shell. `lars events`: what happened, and what happens.

import type { Command } from "commander";
import { EVENT_KINDS, type EventQuery, EVENTS_READ_MAX } from "../sql/results/event.ts";
import type { EventRecord } from "../sql/mod.ts";
import { argument, repeated, UsageError } from "./cli_errors.ts";
import { addExamples, type CommandContext } from "./command.ts";
import { parseModuleOption, requireModule, resolveModule } from "./module_argument.ts";
import { EventFollower, eventJson, eventLine } from "./history_view.ts";
import { isAway, StopSignal } from "./stop_signal.ts";
import { addStoreOptions } from "./store_access.ts";
import { eventSeverity, isRecovery } from "../control/system/severity.ts";
import type { SystemAccess } from "../control/system_access.ts";
import { addServerOption, type SystemFlags, withSystem } from "./system_access.ts";
import { coloursOf, noteLine, printJson, printLine, warningLine } from "./terminal.ts";
import type { ModuleKey } from "../model/module.ts";
import { nameMapOf } from "../model/module_words.ts";
import { didYouMean } from "../model/near_words.ts";
import { parseWhole } from "../model/route_values.ts";

/** Time between two looks while following. */
const FOLLOW_INTERVAL_MS = 1_000;

interface EventFlags extends SystemFlags {
  readonly follow?: boolean;
  readonly module?: string[];
  readonly kind: string[];
  readonly limit: number;
  readonly json?: boolean;
}

/** @throws {RangeError} when it is no kind. */
function parseKind(text: string): string {
  if (/^[a-z0-9._-]{1,32}$/.test(text)) return text;
  throw new RangeError(`Kind must look like node.overload or node.: current value is "${text}"`);
}

/** Adds `events`. */
export function addTo(parent: Command, _context: CommandContext): void {
  const command = parent.command("events")
    .description("Show what happened, oldest first: nodes that went out and came back, alerts.")
    .option("-f, --follow", "go on with what happens, until Ctrl-C")
    .option("--module <MODULE...>", "events of this module only: MODID CMDID, or its name")
    .option(
      "--kind <WORD>",
      `events of this kind only: ${EVENT_KINDS.join(", ")}; \`node.\` for all that begin so; ` +
        "may be repeated",
      repeated(parseKind),
      [],
    )
    .option(
      "-n, --limit <N>",
      "so many of the latest",
      argument((text) => parseWhole("Limit", text, 1, EVENTS_READ_MAX)),
      100,
    )
    .option("--json", "print one JSON object a line")
    .action(async (flags: EventFlags) => {
      const word = parseModuleOption("--module", flags.module);
      await withSystem(flags, async (system) => {
        const module = word === undefined ? undefined : await resolveModule(system, word);
        await showEvents(system, flags, module);
      });
    });
  addServerOption(addStoreOptions(command));
  addExamples(command, [
    ["lars events", "the latest hundred"],
    ["lars events -f --module 1 2", "follow one module"],
    ["lars events --kind node. --json", "for a program"],
  ]);
}

async function printEvents(
  source: Pick<EventSource, "texts">,
  events: readonly EventRecord[],
  asJson: boolean,
): Promise<void> {
  if (events.length === 0) return;
  const { bad, good, warn } = coloursOf("stdout");
  // Asked for anew: a module may have got its name meanwhile.
  const names = asJson ? undefined : nameMapOf(await source.texts());
  const marks = { critical: bad, warning: warn, info: (text: string) => text };
  for (const event of events) {
    if (asJson) printJson(eventJson(event));
    else if (isRecovery(event.kind)) printLine(good(eventLine(event, names)));
    else printLine(marks[eventSeverity(event.kind, event.detail)](eventLine(event, names)));
  }
}

/** Where events are read. */
type EventSource = Pick<SystemAccess, "readEvents" | "read" | "texts">;

/**
 * Looks at kinds that nothing was found for. One that this version does not know may have been
 * stored by a newer one.
 *
 * @throws {UsageError} when no event of a kind was ever written, and none will be.
 */
async function requireKinds(
  source: Pick<EventSource, "readEvents">,
  kinds: readonly string[],
): Promise<void> {
  for (const kind of kinds) {
    const isKnown = EVENT_KINDS.some((known) =>
      known === kind || (kind.endsWith(".") && known.startsWith(kind))
    );
    if (isKnown || (await source.readEvents({ kinds: [kind], limit: 1 })).length > 0) continue;
    const hint = didYouMean(kind, EVENT_KINDS) || `: there are ${EVENT_KINDS.join(", ")}`;
    throw new UsageError(`--kind: No event is of kind ${kind}${hint}`);
  }
}

async function showEvents(
  source: EventSource,
  flags: EventFlags,
  module: ModuleKey | undefined,
): Promise<void> {
  const query: EventQuery = {
    ...(module === undefined ? {} : { module: { modId: module.modId, cmdId: module.cmdId } }),
    ...(flags.kind.length === 0 ? {} : { kinds: flags.kind }),
  };
  const asJson = flags.json === true;
  const follower = new EventFollower();
  const latest = follower.take(await source.readEvents({ ...query, limit: flags.limit }));
  await printEvents(source, latest, asJson);
  if (latest.length === 0) await requireKinds(source, flags.kind);
  // A module that was removed has events still; one that never was is a mistyped one.
  if (latest.length === 0 && module !== undefined && flags.kind.length === 0) {
    await requireModule(source, module);
  }
  if (flags.follow !== true) {
    if (latest.length === 0 && !asJson) noteLine("no events");
    return;
  }
  // Events before the ones shown are not new, although they may be asked for again.
  if (latest.length > 0) follower.skipBefore(latest[0].id);
  await follow(source, query, follower, asJson);
}

/** Shows what comes, until Ctrl-C; a database or console that is away is waited for. */
async function follow(
  source: EventSource,
  query: EventQuery,
  follower: EventFollower,
  asJson: boolean,
): Promise<void> {
  const stop = new StopSignal();
  let wasAway = false;
  for (;;) {
    await stop.sleep(FOLLOW_INTERVAL_MS);
    if (stop.given) return;
    try {
      const limit = EVENTS_READ_MAX;
      const asked = source.readEvents({ ...query, afterId: follower.afterId, limit });
      const found = await stop.orStop(asked);
      // Said before what it tells: who sees an event knows that the wait is over.
      if (wasAway && found !== undefined) noteLine("it answers again");
      await printEvents(source, follower.take(found ?? []), asJson);
      wasAway = false;
    } catch (error) {
      if (!isAway(error)) throw error;
      if (!wasAway) warningLine(`${error.message}; trying again`);
      wasAway = true;
    }
  }
}
