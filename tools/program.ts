// Shell. The words of the `lars` command. The module behind a word is loaded when the word is used.

import { Command } from "commander";
import { VERSION } from "../daemon/version.ts";
import { runtime } from "../reactor/runtime/mod.ts";

/** What a command can say about its outcome, besides throwing. */
export interface CommandContext {
  /** Exit code when nothing is thrown. @default {0} */
  exitCode: number;
}

/** What every `cmd_*.ts` exports. */
export interface CommandModule {
  /** Adds the command, with its arguments, options and action, to `parent`. */
  addTo(parent: Command, context: CommandContext): void;
}

interface CommandWord {
  readonly name: string;
  readonly summary: string;
  load(): Promise<CommandModule>;
}

interface DaemonWord {
  readonly name: string;
  readonly alias?: string;
  readonly summary: string;
  /** Runs the service with its own command line; resolves with the exit code. */
  run(argv: readonly string[]): Promise<number>;
}

/** Services, which parse their own flags: every configuration key is one. */
const DAEMON_WORDS: readonly DaemonWord[] = [
  {
    name: "dns",
    summary: "run the dns service: routes from SQL, pushed to agents",
    run: async (argv) => {
      const { runDaemon } = await import("../daemon/daemon.ts");
      return runDaemon((await import("../dns/service.ts")).dnsDaemon, argv, "lars dns");
    },
  },
  {
    name: "reporter",
    summary: "run the reporter service: call results into SQL",
    run: async (argv) => {
      const { runDaemon } = await import("../daemon/daemon.ts");
      const { reporterDaemon } = await import("../reporter/service.ts");
      return runDaemon(reporterDaemon, argv, "lars reporter");
    },
  },
  {
    name: "agent",
    alias: "lbagent",
    summary: "run the agent of this host: callers ask it over UDP which node to call",
    run: async (argv) => {
      const { runDaemon } = await import("../daemon/daemon.ts");
      return runDaemon((await import("../agent/service.ts")).agentDaemon, argv, "lars agent");
    },
  },
];

const COMMAND_WORDS: readonly CommandWord[] = [
  {
    name: "up",
    summary: "run dns, reporter and agent in one process, with an embedded database",
    load: () => import("./cmd_up.ts"),
  },
  {
    name: "route",
    summary: "list, change, import, export and compare routes",
    load: () => import("./cmd_route.ts"),
  },
  {
    name: "test",
    summary: "ask and load an agent: gethost, getroute, report, simulator, qps, example",
    load: () => import("./cmd_test_tools.ts"),
  },
  {
    name: "sql",
    summary: "bring the database up to date, or say how far it is",
    load: () => import("./cmd_sql.ts"),
  },
  {
    name: "status",
    summary: "show database, services, agent and call results at a glance",
    load: () => import("./cmd_status.ts"),
  },
  {
    name: "completion",
    summary: "print a completion script for bash, zsh or fish",
    load: () => import("./cmd_completion.ts"),
  },
];

/** Examples below a command's help, each a line to type and what it does. */
export function addExamples(
  command: Command,
  examples: readonly (readonly [string, string])[],
): void {
  const width = Math.max(...examples.map(([line]) => line.length));
  const lines = examples.map(([line, what]) => `  $ ${line.padEnd(width)}  # ${what}`);
  command.addHelpText("after", `\nExamples:\n${lines.join("\n")}`);
}

function baseProgram(): Command {
  const program = new Command("lars")
    .description("Load balancing and service scheduling: which node next, by real call outcomes.")
    .version(VERSION, "-V, --version", "print the version")
    .helpOption("-h, --help", "print help")
    .showHelpAfterError("(add --help for usage)")
    .exitOverride()
    .configureOutput({
      writeOut: (text) => runtime.writeStdout(text),
      writeErr: (text) => runtime.writeStderr(text),
    });
  addExamples(program, [
    ["lars up", "everything on this machine, data in ./data"],
    ["lars test gethost 1 1", "ask the agent for a node of module (1,1)"],
    ["lars route add 1 1 10.0.0.7:7777", "add a node; agents know it at once"],
    ["lars dns -c dns.ini", "run one service with its configuration file"],
    ["lars status", "is everything well?"],
  ]);
  program.addHelpText("after", "\nExit codes: 0 ok, 1 failed, 2 wrong usage or configuration.");
  return program;
}

/**
 * The tree of commands. Only `loaded` has its arguments and options, or all have with `"all"`;
 * the others are names with a summary, enough for help and for suggestions.
 */
export async function buildProgram(
  loaded: string | undefined,
  context: CommandContext,
): Promise<Command> {
  const program = baseProgram();
  for (const word of COMMAND_WORDS) {
    if (loaded !== word.name && loaded !== "all") {
      program.command(word.name).description(word.summary);
      continue;
    }
    (await word.load()).addTo(program, context);
    program.commands.at(-1)?.summary(word.summary);
  }
  for (const word of DAEMON_WORDS) {
    const command = program.command(word.name).description(word.summary);
    if (word.alias !== undefined) command.alias(word.alias);
  }
  return program;
}

function findDaemon(word: string | undefined): DaemonWord | undefined {
  return DAEMON_WORDS.find(({ name, alias }) => word !== undefined && [name, alias].includes(word));
}

/** Runs the command line after the program's name; resolves with the exit code. */
export async function runCli(argv: readonly string[]): Promise<number> {
  const asksHelp = argv[0] === "help";
  const word = asksHelp ? argv[1] : argv[0];
  const context: CommandContext = { exitCode: 0 };
  try {
    const daemon = findDaemon(word);
    if (daemon !== undefined) return await daemon.run(asksHelp ? ["--help"] : argv.slice(1));
    const program = await buildProgram(word, context);
    // The parser's own `help` knows one word; `lars help route add` means `lars route add --help`.
    const words = asksHelp && argv.length > 2 ? [...argv.slice(1), "--help"] : [...argv];
    await program.parseAsync(words, { from: "user" });
    return context.exitCode;
  } catch (error) {
    const { reportFailure } = await import("./cli_errors.ts");
    return reportFailure(error);
  }
}
