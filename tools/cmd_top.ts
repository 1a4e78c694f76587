// Shell. `lars top`: a live view of modules and nodes in a terminal, one look in a pipe.

import process from "node:process";
import { type Command, Option } from "commander";
import { untilStopSignal } from "../daemon/daemon.ts";
import { sleep } from "../reactor/clock.ts";
import { messageOf, StoreError } from "../reactor/errors.ts";
import { runtime } from "../reactor/runtime/mod.ts";
import { systemClock } from "../reactor/system_clock.ts";
import type { RouteRow, Store } from "../sql/mod.ts";
import { parseWhole } from "./cli_arguments.ts";
import { argument, UsageError } from "./cli_errors.ts";
import { moduleOption } from "./cmd_events.ts";
import { addExamples, type CommandContext } from "./command.ts";
import { isRecent, knownInstances } from "./route_edit.ts";
import { addStoreOptions, type StoreFlags, withStore } from "./store_access.ts";
import { coloursOf, printJson, printLine } from "./terminal.ts";
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

/** Routes are read anew after this time at the latest. */
const ROUTES_MAX_AGE_MS = 30_000;

/** History that stands in for rates at the first look, in seconds. */
const HISTORY_S = 60;

/** A terminal that does not say how large it is. */
const DEFAULT_SIZE = { columns: 80, rows: 24 };

const ENTER_SCREEN = "\x1b[?1049h\x1b[?25l";
const LEAVE_SCREEN = "\x1b[?25h\x1b[?1049l";

interface TopFlags extends StoreFlags {
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
    .option("--module <MODID CMDID...>", "nodes of this module")
    .addOption(
      new Option("--sort <COLUMN>", "column to sort by").choices([
        ...new Set([...columnNames("modules"), ...columnNames("nodes")]),
      ]),
    )
    .option("--reverse", "smallest first")
    .option("--filter <TEXT>", "rows that contain a text")
    .option(
      "--interval <SECONDS>",
      "time between two looks (default 2)",
      argument((text) => parseWhole("Interval", text, 1, 3600)),
      2,
    )
    .option("--once", "one look, then end")
    .option("--json", "one JSON object a line for each look")
    .action(async (flags: TopFlags) => {
      const state = stateOf(flags);
      context.exitCode = await withStore(flags, (store) => runTop(store, flags, state));
    });
  addStoreOptions(command);
  addExamples(command, [
    ["lars top", "modules, the busiest first; h lists the keys"],
    ["lars top --module 1 2 --sort out", "nodes of one module"],
    ["lars top --once --nodes | grep drain", "in a pipe"],
    ["lars top --json --interval 10", "for a program"],
  ]);
}

function stateOf(flags: TopFlags): TopState {
  const module = moduleOption(flags.module);
  const mode = flags.nodes === true || module !== undefined ? "nodes" : "modules";
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
    module: module === undefined ? undefined : `${module.modId}/${module.cmdId}`,
  };
}

async function runTop(store: Store, flags: TopFlags, state: TopState): Promise<number> {
  const source = new TopSource(store);
  const isLive = runtime.isTerminal("stdout") && process.stdin.isTTY === true;
  if (flags.json === true) return await printLooks(source, flags, state);
  if (flags.once === true || !isLive) {
    const { snapshot, frame } = await source.look();
    for (const line of plainTop(snapshot, state, frame)) printLine(line);
    return 0;
  }
  return await new TopScreen(source, flags.interval * 1000, state).run();
}

async function printLooks(source: TopSource, flags: TopFlags, state: TopState): Promise<number> {
  let stopped = false;
  const stop = untilStopSignal().then(() => {
    stopped = true;
  });
  for (;;) {
    const { snapshot } = await source.look();
    printJson(toJson(snapshot, state));
    if (flags.once === true) return 0;
    await Promise.race([sleep(systemClock, flags.interval * 1000), stop]);
    if (stopped) return 0;
  }
}

function toJson(snapshot: TopSnapshot, state: TopState): Record<string, unknown> {
  const { atMs, callsPerSecond, errorShare, out } = snapshot;
  return {
    at: new Date(atMs).toISOString(),
    modules: snapshot.modules.length,
    nodes: snapshot.nodes.length,
    out,
    callsPerSecond,
    errorShare,
    rows: state.mode === "modules" ? modulesOf(snapshot, state) : nodesOf(snapshot, state),
  };
}

/** Looks at the database. */
class TopSource {
  readonly #store: Store;
  readonly #model = new TopModel();
  #mark = "";
  #routesAtMs = -Infinity;
  #first = true;

  constructor(store: Store) {
    this.#store = store;
  }

  get label(): string {
    return this.#store.label;
  }

  async look(): Promise<{ snapshot: TopSnapshot; frame: TopFrame }> {
    await this.#readRoutes();
    const wallMs = systemClock.wallMs();
    if (this.#first) {
      const nowSeconds = Math.floor(wallMs / 1000);
      const { points, fromSeconds } = await this.#store.readCallHistory({
        fromSeconds: nowSeconds - HISTORY_S,
        toSeconds: nowSeconds,
        stepSeconds: HISTORY_S,
        groupBy: "node",
      });
      this.#model.setHistory(points, nowSeconds - fromSeconds);
      this.#first = false;
    }
    const rows = await this.#store.readCallStatus();
    const snapshot = this.#model.look(rows, systemClock.nowMs(), wallMs);
    return { snapshot, frame: { label: this.label, services: await this.#services() } };
  }

  /** Routes change seldom: they are read when their mark differs. */
  async #readRoutes(): Promise<void> {
    const nowMs = systemClock.nowMs();
    const mark = JSON.stringify(await this.#store.routeMark());
    if (mark === this.#mark && nowMs - this.#routesAtMs < ROUTES_MAX_AGE_MS) return;
    const routes: RouteRow[] = [];
    await this.#store.readRoutes((rows) => void routes.push(...rows));
    this.#model.setRoutes(routes);
    this.#mark = mark;
    this.#routesAtMs = nowMs;
  }

  async #services(): Promise<string> {
    const instances = await knownInstances(this.#store);
    const kinds = [...new Set(instances.map(({ kind }) => kind))];
    return kinds.map((kind) => {
      const same = instances.filter((instance) => instance.kind === kind);
      const alive = same.filter(isRecent).length;
      return `${kind} ${alive}${alive === same.length ? "" : ` of ${same.length}`}`;
    }).join("  ");
  }
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
  #snapshot: TopSnapshot = {
    atMs: systemClock.wallMs(),
    modules: [],
    nodes: [],
    callsPerSecond: 0,
    errorShare: 0,
    out: 0,
  };
  #frame: TopFrame;
  #looking: Promise<void> | undefined;
  #wake: (() => void) | undefined;
  #done = false;

  constructor(source: TopSource, intervalMs: number, state: TopState) {
    this.#source = source;
    this.#intervalMs = intervalMs;
    this.#state = state;
    this.#frame = { label: source.label, services: "" };
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
    runtime.writeStdout(ENTER_SCREEN);
    const looking = this.#lookAgainAndAgain();
    try {
      return await this.#ended.promise;
    } finally {
      this.#done = true;
      this.#wake?.();
      stdout.off("resize", onResize);
      stdin.off("data", onKeys);
      stdin.setRawMode(false);
      stdin.pause();
      runtime.writeStdout(LEAVE_SCREEN);
      await looking;
    }
  }

  async #lookAgainAndAgain(): Promise<void> {
    while (!this.#done) {
      if (!this.#state.paused) await this.#look();
      if (this.#done) return;
      const woken = new Promise<void>((resolve) => this.#wake = resolve);
      await Promise.race([sleep(systemClock, this.#intervalMs), woken]);
    }
  }

  #look(): Promise<void> {
    this.#looking ??= this.#source.look().then(
      ({ snapshot, frame }) => {
        this.#snapshot = snapshot;
        this.#frame = frame;
      },
      (error) => {
        // The last look stays; a database that is away may come back.
        if (!(error instanceof StoreError)) this.#ended.reject(error);
        this.#frame = { ...this.#frame, fault: messageOf(error) };
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
      ...(row === undefined ? {} : { chosen: `${row.modId}/${row.cmdId}` }),
    });
    if (next === "quit") return this.#ended.resolve(0);
    this.#state = next;
    this.#draw();
  }

  #draw(): void {
    if (this.#done) return;
    const lines = renderTop(this.#snapshot, this.#state, this.#frame, this.#size(), this.#marks);
    // Each line is cleared to its end; nothing after the last, so that the screen does not scroll.
    runtime.writeStdout(`\x1b[H${lines.map((line) => `${line}\x1b[K`).join("\r\n")}\x1b[J`);
  }
}
