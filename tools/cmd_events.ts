// Shell. `lars events`: what happened, and what happens.

import type { Command } from "commander";
import { untilStopSignal } from "../daemon/daemon.ts";
import { sleep } from "../reactor/clock.ts";
import { StoreError } from "../reactor/errors.ts";
import { systemClock } from "../reactor/system_clock.ts";
import { EVENTS_READ_MAX } from "../sql/event.ts";
import type { EventRecord, ModuleKey, Store } from "../sql/mod.ts";
import { parseIpv4 } from "../reactor/address.ts";
import type { ResponseOf } from "../web/contract.ts";
import { PAGE_ROWS_MAX } from "../web/schemas.ts";
import { parseModuleWords, parseNodeAddress, parseWhole } from "./cli_arguments.ts";
import { argument, repeated, UsageError } from "./cli_errors.ts";
import { addExamples, type CommandContext } from "./command.ts";
import { EventFollower, eventJson, eventLine } from "./history_view.ts";
import {
  addServerOption,
  ConsoleAwayError,
  ConsoleClient,
  type ServerFlags,
} from "./console_client.ts";
import { addStoreOptions, withStore } from "./store_access.ts";
import { coloursOf, noteLine, printJson, printLine, warningLine } from "./terminal.ts";

/** Time between two looks while following. */
const FOLLOW_INTERVAL_MS = 1_000;

interface EventFlags extends ServerFlags {
  readonly follow?: boolean;
  readonly module?: string[];
  readonly kind: string[];
  readonly limit: number;
  readonly json?: boolean;
}

/** The module that `--module` names, from words such as `1 2` or `1/2`. */
export function moduleOption(words: readonly string[] | undefined): ModuleKey | undefined {
  if (words === undefined) return undefined;
  try {
    return parseModuleWords(words);
  } catch (error) {
    if (error instanceof RangeError) throw new UsageError(`--module: ${error.message}`);
    throw error;
  }
}

/** Adds `events`. */
export function addTo(parent: Command, _context: CommandContext): void {
  const command = parent.command("events")
    .description("Show what happened, oldest first: nodes that went out and came back, alerts.")
    .option("-f, --follow", "go on with what happens, until Ctrl-C")
    .option("--module <MODID CMDID...>", "events of this module only")
    .option(
      "--kind <WORD>",
      "events of this kind only, `node.` for all that begin so; may be repeated",
      repeated((text) => text),
      [],
    )
    .option(
      "-n, --limit <N>",
      "so many of the latest (default 100)",
      argument((text) => parseWhole("Limit", text, 1, EVENTS_READ_MAX)),
      100,
    )
    .option("--json", "print one JSON object a line")
    .action(async (flags: EventFlags) => {
      const module = moduleOption(flags.module);
      const client = await ConsoleClient.of(flags);
      if (client !== undefined) return await showEvents(serverEvents(client), flags, module);
      await withStore(flags, (store) => showEvents(store, flags, module));
    });
  addServerOption(addStoreOptions(command));
  addExamples(command, [
    ["lars events", "the latest hundred"],
    ["lars events -f --module 1 2", "follow one module"],
    ["lars events --kind node. --json", "for a program"],
  ]);
}

function printEvents(events: readonly EventRecord[], asJson: boolean): void {
  const { bad, good } = coloursOf("stdout");
  for (const event of events) {
    if (asJson) printJson(eventJson(event));
    else if (/overload|firing|silent/.test(event.kind)) printLine(bad(eventLine(event)));
    else printLine(/idle|resolved/.test(event.kind) ? good(eventLine(event)) : eventLine(event));
  }
}

/** Where events are read. */
type EventSource = Pick<Store, "readEvents">;

/** The events behind a console, which gives the latest ones of one kind. */
function serverEvents(client: ConsoleClient): EventSource {
  return {
    async readEvents(
      { module, kinds = [], limit = 100, afterId = 0 } = {},
    ): Promise<EventRecord[]> {
      if (kinds.length > 1) throw new UsageError("--kind can be given once with --server");
      const query = new URLSearchParams({
        limit: String(Math.min(limit, PAGE_ROWS_MAX)),
        ...(module === undefined
          ? {}
          : { modId: String(module.modId), cmdId: String(module.cmdId) }),
        ...(kinds.length === 0 ? {} : { kind: kinds[0] }),
      });
      const { events } = await client.ask<ResponseOf<"listEvents">>({
        method: "GET",
        path: `/events?${query}`,
      });
      return events.filter(({ id }) => id > afterId).toReversed().map(eventOf);
    },
  };
}

function eventOf(event: ResponseOf<"listEvents">["events"][number]): EventRecord {
  const { id, atMs, kind, modId, cmdId, node, host, text } = event;
  return {
    id,
    atMs,
    kind,
    ...(modId === null || cmdId === null ? {} : { module: { modId, cmdId } }),
    ...(node === null ? {} : { node: parseNodeAddress(node) }),
    ...(host === null ? {} : { host: parseIpv4(host) }),
    text,
    detail: {},
  };
}

async function showEvents(
  source: EventSource,
  flags: EventFlags,
  module: ModuleKey | undefined,
): Promise<void> {
  const query = {
    ...(module === undefined ? {} : { module }),
    ...(flags.kind.length === 0 ? {} : { kinds: flags.kind }),
  };
  const asJson = flags.json === true;
  const follower = new EventFollower();
  const latest = follower.take(await source.readEvents({ ...query, limit: flags.limit }));
  printEvents(latest, asJson);
  if (flags.follow !== true) {
    if (latest.length === 0 && !asJson) noteLine("no events");
    return;
  }
  // Events before the ones shown are not new, although they may be asked for again.
  if (latest.length > 0) follower.skipBefore(latest[0].id);
  let stopped = false;
  const stop = untilStopSignal().then(() => {
    stopped = true;
  });
  let isAway = false;
  while (!stopped) {
    await Promise.race([sleep(systemClock, FOLLOW_INTERVAL_MS), stop]);
    if (stopped) return;
    try {
      const limit = EVENTS_READ_MAX;
      const found = await source.readEvents({ ...query, afterId: follower.afterId, limit });
      printEvents(follower.take(found), asJson);
      isAway = false;
    } catch (error) {
      const isAwayFor = error instanceof StoreError && error.transient ||
        error instanceof ConsoleAwayError;
      if (!isAwayFor) throw error;
      if (!isAway) warningLine(`${error.message}; trying again`);
      isAway = true;
    }
  }
}
