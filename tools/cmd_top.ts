// Shell. `lars top`: a live view of modules and nodes in a terminal, one look in a pipe.

import { writeOut } from "../daemon/output.ts";
import process from "node:process";
import { type Command, Option } from "commander";
import { untilStopSignal } from "../daemon/daemon.ts";
import { sleep } from "../reactor/time/clock.ts";
import { runtime } from "../reactor/runtime/mod.ts";
import { systemClock } from "../reactor/time/system_clock.ts";
import { parseWhole } from "../model/route_values.ts";
import { argument, UsageError } from "./cli_errors.ts";
import { addExamples, type CommandContext } from "./command.ts";
import { parseModuleOption, requireModule, resolveModule } from "./module_argument.ts";
import { isAway, StopSignal } from "./stop_signal.ts";
import { addStoreOptions } from "./store_access.ts";
import type { SystemAccess } from "../control/system_access.ts";
import { addServerOption, type SystemFlags, withSystem } from "./system_access.ts";
import { coloursOf, printJson, printLine, warningLine } from "./terminal.ts";
import { TopModel, type TopSnapshot } from "./top_model.ts";
import {
  columnNames,
  modulesOf,
  nodesOf,
  parseKeys,
  plainTop,
  pressKey,
  renderTop,
  TOP_START,
  type TopFrame,
  type TopMarks,
  type TopState,
} from "./top_view.ts";
import { moduleText } from "../model/module.ts";
import { formatIpv4 } from "../reactor/address.ts";
import type { Counters } from "../control/schemas.ts";

/** Routes are read anew after this time at the latest. */
const ROUTES_MAX_AGE_MS = 30_000;

/** A terminal that does not say how large it is. */
const DEFAULT_SIZE = { columns: 80, rows: 24 };

const ENTER_SCREEN = "\x1b[?1049h\x1b[?25l";
const LEAVE_SCREEN = "\x1b[?25h\x1b[?1049l";

interface TopFlags extends SystemFlags {
  readonly nodes?: boolean;
  readonly module?: string[];
  readonly sort?: string;
  readonly reverse?: boolean;
  readonly filter?: string;
  readonly interval: number;
  readonly once?: boolean;
  readonly json?: boolean;
}

/** Adds `top`. */
export function addTo(parent: Command, context: CommandContext): void {
  const command = parent.command("top")
    .description(
      "Live view of modules and nodes: calls, errors, who is out. Without a terminal it prints " +
        "one look.",
    )
    .option("--nodes", "nodes instead of modules")
    .option("--module <MODULE...>", "nodes of this module: MODID CMDID, or its name")
    .addOption(
      new Option("--sort <COLUMN>", "column to sort by").choices([
        ...new Set([...columnNames("modules"), ...columnNames("nodes")]),
      ]),
    )
    .option("--reverse", "smallest first")
    .option("--filter <TEXT>", "rows that contain a text")
    .option(
      "--interval <SECONDS>",
      "time between two looks",
      argument((text) => parseWhole("Interval", text, 1, 3600)),
      2,
    )
    .option("--once", "one look, then end")
    .option("--json", "one JSON object a line for each look")
    .action(async (flags: TopFlags) => {
      const word = parseModuleOption("--module", flags.module);
      const state = stateOf(flags, word !== undefined);
      context.exitCode = await withSystem(flags, async (system) => {
        const module = word === undefined ? undefined : await resolveModule(system, word);
        if (module !== undefined) await requireModule(system, module);
        return await runTop(system, flags, {
          ...state,
          module: module === undefined ? undefined : moduleText(module),
        });
      });
    });
  addServerOption(addStoreOptions(command));
  addExamples(command, [
    ["lars top", "modules, the busiest first; h lists the keys"],
    ["lars top --module 1 2 --sort out", "nodes of one module"],
    ["lars top --once --nodes | grep drain", "in a pipe"],
    ["lars top --json --interval 10", "for a program"],
    ["lars top --server http://10.0.0.5:8080 --token-file token", "through a console"],
  ]);
}

function stateOf(flags: TopFlags, isOneModule: boolean): TopState {
  const mode = flags.nodes === true || isOneModule ? "nodes" : "modules";
  const { sort = TOP_START.sort } = flags;
  if (!columnNames(mode).includes(sort)) {
    throw new UsageError(
      `--sort of ${mode} must be one of ${columnNames(mode).join(", ")}: current value is ${sort}`,
    );
  }
  return {
    ...TOP_START,
    mode,
    sort,
    reverse: flags.reverse === true,
    filter: flags.filter ?? "",
  };
}

async function runTop(system: SystemAccess, flags: TopFlags, state: TopState): Promise<number> {
  const source = new TopSource(system);
  const isLive = runtime.isTerminal("stdout") && process.stdin.isTTY === true;
  if (flags.json === true) return await printLooks(source, flags, state);
  const first = await source.look();
  if (flags.once === true || !isLive) {
    for (const line of plainTop(first.snapshot, state, first.frame)) printLine(line);
    return 0;
  }
  return await new TopScreen(source, first, flags.interval * 1000, state).run();
}

/** One object a line for each look; after the first, what is away is waited for. */
async function printLooks(source: TopSource, flags: TopFlags, state: TopState): Promise<number> {
  printJson(toJson((await source.look()).snapshot, state));
  if (flags.once === true) return 0;
  const stop = new StopSignal();
  let wasAway = false;
  for (;;) {
    await stop.sleep(flags.interval * 1000);
    if (stop.given) return 0;
    try {
      const look = await stop.orStop(source.look());
      if (look !== undefined) printJson(toJson(look.snapshot, state));
      wasAway = false;
    } catch (error) {
      if (!isAway(error)) throw error;
      if (!wasAway) warningLine(`${error.message}; trying again`);
      wasAway = true;
    }
  }
}

function toJson(snapshot: TopSnapshot, state: TopState): Record<string, unknown> {
  const { atMs, callsPerSecond, errorShare, refusedPerSecond, out } = snapshot;
  return {
    at: new Date(atMs).toISOString(),
    modules: snapshot.modules.length,
    nodes: snapshot.nodes.length,
    out,
    callsPerSecond,
    errorShare,
    refusedPerSecond,
    rows: state.mode === "modules"
      ? modulesOf(snapshot, state)
      : nodesOf(snapshot, state).map((node) => ({ ...node, ip: formatIpv4(node.ip) })),
  };
}

/** What one look gives. */
interface TopLook {
  readonly snapshot: TopSnapshot;
  readonly frame: TopFrame;
}

/** Looks at a database, or at a console. */
class TopSource {
  readonly #system: SystemAccess;
  readonly #model = new TopModel();
  #mark = "";
  #routesAtMs = -Infinity;

  constructor(system: SystemAccess) {
    this.#system = system;
  }

  async look(): Promise<TopLook> {
    const counters = await this.#system.counters();
    await this.#readRoutes(counters.routeMark);
    return {
      snapshot: this.#model.look(counters),
      frame: { label: counters.storeLabel, services: servicesText(counters) },
    };
  }

  /** Routes change seldom: they are read when their mark differs. */
  async #readRoutes(mark: string): Promise<void> {
    const nowMs = systemClock.nowMs();
    if (mark === this.#mark && nowMs - this.#routesAtMs < ROUTES_MAX_AGE_MS) return;
    this.#model.setRoutes(await this.#system.read());
    this.#model.setTexts(await this.#system.texts());
    this.#mark = mark;
    this.#routesAtMs = nowMs;
  }
}

/** `dns 1  reporter 1 of 2` */
function servicesText({ services }: Counters): string {
  return services.map(({ kind, aliveCount, count }) =>
    `${kind} ${aliveCount}${aliveCount === count ? "" : ` of ${count}`}`
  ).join("  ");
}

function marksOfTerminal(): TopMarks {
  const { bad, warn, strong, faint } = coloursOf("stdout");
  return { bad, warn, strong, faint, chosen: (text) => `\x1b[7m${text}\x1b[27m` };
}

/** The screen of a terminal. */
class TopScreen {
  readonly #source: TopSource;
  readonly #intervalMs: number;
  readonly #marks = marksOfTerminal();
  readonly #ended = Promise.withResolvers<number>();
  #state: TopState;
  #snapshot: TopSnapshot;
  #frame: TopFrame;
  #looking: Promise<void> | undefined;
  #wake: (() => void) | undefined;
  #done = false;

  constructor(source: TopSource, first: TopLook, intervalMs: number, state: TopState) {
    this.#source = source;
    this.#snapshot = first.snapshot;
    this.#frame = first.frame;
    this.#intervalMs = intervalMs;
    this.#state = state;
  }

  /** Runs until the user quits; the terminal is as before then, whatever happened. */
  async run(): Promise<number> {
    const { stdin, stdout } = process;
    const onResize = (): void => this.#draw();
    const onKeys = (chunk: string): void => {
      for (const key of parseKeys(chunk)) this.#press(key);
    };
    void untilStopSignal().then(() => this.#ended.resolve(0));
    stdin.setEncoding("utf8");
    stdin.setRawMode(true);
    stdin.resume();
    stdin.on("data", onKeys);
    stdin.on("end", () => this.#ended.resolve(0));
    stdout.on("resize", onResize);
    writeOut(ENTER_SCREEN);
    this.#draw();
    // A look that is under way at the end is given up: nobody waits for a console that hangs.
    void this.#lookAgainAndAgain();
    try {
      return await this.#ended.promise;
    } finally {
      this.#done = true;
      this.#wake?.();
      stdout.off("resize", onResize);
      stdin.off("data", onKeys);
      stdin.setRawMode(false);
      stdin.pause();
      writeOut(LEAVE_SCREEN);
    }
  }

  async #lookAgainAndAgain(): Promise<void> {
    while (!this.#done) {
      const woken = new Promise<void>((resolve) => this.#wake = resolve);
      await Promise.race([sleep(systemClock, this.#intervalMs), woken]);
      if (!this.#done && !this.#state.paused) await this.#look();
    }
  }

  #look(): Promise<void> {
    this.#looking ??= this.#source.look().then(
      ({ snapshot, frame }) => {
        this.#snapshot = snapshot;
        this.#frame = frame;
      },
      (error) => {
        // The last look stays; what is away may come back.
        if (!isAway(error)) this.#ended.reject(error);
        else this.#frame = { ...this.#frame, fault: `Trying again: ${error.message}` };
      },
    ).finally(() => {
      this.#looking = undefined;
      this.#draw();
    });
    return this.#looking;
  }

  #size(): { columns: number; rows: number } {
    const { columns, rows } = process.stdout;
    return { columns: columns || DEFAULT_SIZE.columns, rows: rows || DEFAULT_SIZE.rows };
  }

  #press(key: string): void {
    if (key === " " && !this.#state.typing) {
      void this.#look();
      return;
    }
    const rows = this.#state.mode === "modules"
      ? modulesOf(this.#snapshot, this.#state)
      : nodesOf(this.#snapshot, this.#state);
    const row = rows[Math.min(this.#state.selected, rows.length - 1)];
    const next = pressKey(this.#state, key, {
      rowCount: rows.length,
      pageRows: Math.max(1, this.#size().rows - 4),
      ...(row === undefined ? {} : { chosen: moduleText(row) }),
    });
    if (next === "quit") return this.#ended.resolve(0);
    this.#state = next;
    this.#draw();
  }

  #draw(): void {
    if (this.#done) return;
    const lines = renderTop(this.#snapshot, this.#state, this.#frame, this.#size(), this.#marks);
    // Each line is cleared to its end; nothing after the last, so that the screen does not scroll.
    writeOut(`\x1b[H${lines.map((line) => `${line}\x1b[K`).join("\r\n")}\x1b[J`);
  }
}
