// Shell. The words of the `lars` command. The module behind a word is loaded when the word is used.

import { exitCodeOfOutput, writeOut } from "../daemon/output.ts";
import { Command } from "commander";
import { complaintText } from "./complaint_text.ts";
import { EXPORT_WORDS, exportArguments } from "./export_words.ts";
import { didYouMean } from "../model/near_words.ts";
import { VERSION } from "../daemon/version.ts";
import { runtime } from "../reactor/runtime/mod.ts";
import {
  addExamples,
  type CommandContext,
  type CommandModule,
  describeOption,
  subcommandTerm,
  visibleArguments,
} from "./command.ts";

interface CommandWord {
  readonly name: string;
  readonly summary: string;
  /** Exit code of wrong usage, where it is that of the original's program. @default {2} */
  readonly usageExitCode?: number;
  load(): Promise<CommandModule>;
}

interface DaemonWord {
  readonly name: string;
  readonly alias?: string;
  readonly summary: string;
  /**
   * There is a command of this name too, in {@linkcode COMMAND_WORDS}: these words behind it run the
   * service; "" stands for flags alone.
   */
  readonly words?: readonly string[];
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
    name: "discovery",
    summary: "run discovery: nodes that register themselves, and the protocol of seed programs",
    run: async (argv) => {
      const { runDaemon } = await import("../daemon/daemon.ts");
      const { discoveryDaemon } = await import("../discovery/service.ts");
      return runDaemon(discoveryDaemon, argv, "lars discovery");
    },
  },
  {
    name: "web",
    summary: "run the console: REST interface and pages",
    run: async (argv) => {
      const { runDaemon } = await import("../daemon/daemon.ts");
      return runDaemon((await import("../web/service.ts")).webDaemon, argv, "lars web");
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
  {
    name: "relay",
    summary: "run the relay service: requests of many clients to few workers",
    words: ["run", ""],
    run: async (argv) => {
      const { runDaemon } = await import("../daemon/daemon.ts");
      const own = argv[0] === "run" ? argv.slice(1) : argv;
      return runDaemon((await import("../relay/service.ts")).relayDaemon, own, "lars relay run");
    },
  },
  {
    name: "export",
    summary: "keep gRPC, HAProxy, nginx, name resolvers and files in step",
    words: Object.keys(EXPORT_WORDS),
    run: async (argv) => {
      const { runDaemon } = await import("../daemon/daemon.ts");
      const { exportDaemon } = await import("../export/service.ts");
      const own = exportArguments(exportDaemon.settings, argv);
      return runDaemon(exportDaemon, own, `lars export ${argv[0]}`);
    },
  },
];

const COMMAND_WORDS: readonly CommandWord[] = [
  {
    name: "up",
    summary: "run dns, reporter, agent and console in one process, with an embedded database",
    load: () => import("./cmd_up.ts"),
  },
  {
    name: "route",
    summary: "list, change, import, export and compare routes",
    load: () => import("./cmd_route.ts"),
  },
  {
    name: "module",
    summary: "names and policies of modules: list, show, set",
    load: () => import("./cmd_module.ts"),
  },
  {
    name: "drain",
    summary: "give a node no new calls, and wait until it is safe to stop",
    load: () => import("./cmd_drain.ts"),
  },
  {
    name: "undrain",
    summary: "give a drained node calls again",
    load: async () => ({ addTo: (await import("./cmd_drain.ts")).addUndrainTo }),
  },
  {
    name: "zone",
    summary: "take all calls out of a zone, and bring them back",
    load: () => import("./cmd_zone.ts"),
  },
  {
    name: "register",
    summary: "run a program as a node that registers itself while it serves",
    load: () => import("./cmd_register.ts"),
  },
  {
    name: "lease",
    summary: "nodes that registered themselves: ls, end, free, confirm",
    load: () => import("./cmd_lease.ts"),
  },
  {
    name: "node",
    summary: "list nodes, where they come from, and who took them out",
    load: async () => ({ addTo: (await import("./cmd_lease.ts")).addNodeTo }),
  },
  {
    name: "user",
    summary: "users of the console",
    load: () => import("./cmd_user.ts"),
  },
  {
    name: "webhook",
    summary: "receivers of alerts of a console",
    load: () => import("./cmd_webhook.ts"),
  },
  {
    name: "scale",
    summary: "how many nodes modules should have for their load",
    load: () => import("./cmd_scale.ts"),
  },
  {
    name: "followers",
    summary: "who follows routes, by which way, and how far behind",
    load: () => import("./cmd_followers.ts"),
  },
  {
    name: "explain",
    summary: "ask an agent why which node is picked",
    load: () => import("./cmd_explain.ts"),
  },
  {
    name: "test",
    summary: "ask and load an agent: gethost, getroute, report, simulator, qps, example",
    usageExitCode: 1,
    load: () => import("./cmd_test_tools.ts"),
  },
  {
    name: "reactor",
    summary: "the original's pair of programs that measures the reactor: server, qps",
    usageExitCode: 1,
    load: () => import("./cmd_reactor.ts"),
  },
  {
    name: "export",
    summary: "write everything an operator made into one file",
    load: () => import("./cmd_transfer.ts"),
  },
  {
    name: "import",
    summary: "make a system hold what such a file says",
    load: async () => ({ addTo: (await import("./cmd_transfer.ts")).addImportTo }),
  },
  {
    name: "diff",
    summary: "compare such a file with a system",
    load: async () => ({ addTo: (await import("./cmd_transfer.ts")).addDiffTo }),
  },
  {
    name: "config",
    summary: "print example configuration files, with every key",
    load: () => import("./cmd_config.ts"),
  },
  {
    name: "relay",
    summary: "run the relay between many clients and few workers, and look after it",
    load: () => import("./cmd_relay.ts"),
  },
  {
    name: "sample",
    summary: "make a sample node of `lars up` fail, and call them, to watch what happens",
    load: () => import("./cmd_sample.ts"),
  },
  {
    name: "backup",
    summary: "copy a whole database into one file while it is in use",
    load: () => import("./cmd_backup.ts"),
  },
  {
    name: "restore",
    summary: "put such a file into a database, of either kind",
    load: async () => ({ addTo: (await import("./cmd_backup.ts")).addRestoreTo }),
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
    name: "health",
    summary: "say whether services are ready, for health checks and scripts",
    load: () => import("./cmd_health.ts"),
  },
  {
    name: "doctor",
    summary: "look for what is wrong with the system and this host, and say what to do",
    load: () => import("./cmd_doctor.ts"),
  },
  {
    name: "top",
    summary: "watch modules and nodes live in the terminal",
    load: () => import("./cmd_top.ts"),
  },
  {
    name: "events",
    summary: "show what happened, or follow what happens",
    load: () => import("./cmd_events.ts"),
  },
  {
    name: "sim",
    summary: "simulate faults under virtual time, with the rules the agent runs",
    load: () => import("./cmd_sim.ts"),
  },
  {
    name: "cert",
    summary: "certificates for TLS: make an authority and pairs with roles, show them",
    load: () => import("./cmd_cert.ts"),
  },
  {
    name: "completion",
    summary: "print a completion script for bash, zsh or fish",
    load: () => import("./cmd_completion.ts"),
  },
];

function baseProgram(): Command {
  const program = new Command("lars")
    .description("Load balancing and service scheduling: which node next, by real call outcomes.")
    .version(VERSION, "-V, --version", "print the version")
    .helpOption("-h, --help", "print help")
    .showHelpAfterError("(add --help for usage)")
    .exitOverride()
    .configureHelp({
      optionDescription: describeOption,
      minWidthToWrap: 20,
      subcommandTerm,
      visibleArguments,
    })
    .configureOutput({
      writeOut,
      outputError: (text, write) => write(complaintText(text)),
      writeErr: (text) => void runtime.writeStderr(text),
    });
  addExamples(program, [
    ["lars up", "everything on this machine, data in ./data"],
    ["lars test gethost 1 1", "ask the agent for a node of module (1,1)"],
    ["lars route add 1 1 10.0.0.7:7777", "add a node; agents know it at once"],
    ["lars dns -c dns.ini", "run one service with its configuration file"],
    ["lars status", "is everything well?"],
  ]);
  program.addHelpText(
    "after",
    "\nExit codes: 0 ok, 1 failed, 2 wrong usage or configuration\n" +
      "(wrong usage of `test` and `reactor`: 1, as in the original).",
  );
  return program;
}

/**
 * The tree of commands. Only `loaded` has its arguments and options, or all have with `"all"`;
 * the others are names with a summary, enough for help and for suggestions.
 */
export async function buildProgram(
  loaded: string | undefined,
): Promise<{ program: Command; context: CommandContext }> {
  const program = baseProgram();
  const context: CommandContext = {
    exitCode: 0,
    wholeTree: async () => (await buildProgram("all")).program,
  };
  for (const word of COMMAND_WORDS) {
    if (loaded !== word.name && loaded !== "all") {
      program.command(word.name).description(word.summary);
      continue;
    }
    (await word.load()).addTo(program, context);
    program.commands.at(-1)?.summary(word.summary);
  }
  for (const word of DAEMON_WORDS.filter(({ words }) => words === undefined)) {
    const command = program.command(word.name).description(word.summary);
    if (word.alias !== undefined) command.alias(word.alias);
  }
  return { program, context };
}

/** The service that these words run, if they do. */
function findDaemon([word, next]: readonly string[]): DaemonWord | undefined {
  const found = DAEMON_WORDS.find(({ name, alias }) =>
    word !== undefined && [name, alias].includes(word)
  );
  if (found?.words === undefined || next === undefined) return found?.words ? undefined : found;
  return found.words.includes(next.startsWith("-") && !isHelp(next) ? "" : next)
    ? found
    : undefined;
}

function isHelp(word: string): boolean {
  return word === "-h" || word === "--help";
}

/** Ends with a complaint that names the first word which is no command. */
function requireWords(program: Command, words: readonly string[]): void {
  let command = program;
  for (const word of words) {
    if (word.startsWith("-") || (command === program && word === "help")) return;
    const children = command.commands;
    const found = children.find((one) => [one.name(), ...one.aliases()].includes(word));
    if (found === undefined) {
      const near = didYouMean(word, children.map((one) => one.name()));
      const place = command === program ? "" : ` of ${command.name()}`;
      return command.error(`error: unknown command '${word}'${place}${near}`);
    }
    command = found;
  }
}

/**
 * Runs the command line after the program's name; resolves with the exit code. A result that could
 * not be written is a failure; that nobody wants to read on is none.
 */
export async function runCli(argv: readonly string[]): Promise<number> {
  return exitCodeOfOutput(await runWords(argv), "lars");
}

async function runWords(argv: readonly string[]): Promise<number> {
  const asksHelp = argv[0] === "help";
  const word = asksHelp ? argv[1] : argv[0];
  try {
    const daemon = findDaemon(asksHelp ? argv.slice(1) : argv);
    if (daemon !== undefined) {
      const word = asksHelp && daemon.words?.includes(argv[2]) ? [argv[2]] : [];
      return await daemon.run(asksHelp ? [...word, "--help"] : argv.slice(1));
    }
    const { program, context } = await buildProgram(word);
    // The parser's own `help` knows one word; `lars help route add` means `lars route add --help`.
    if (asksHelp) requireWords(program, argv.slice(1));
    const asked = argv.slice(1).filter((one) => one !== "help");
    const words = asksHelp ? [...asked, "--help"] : [...argv];
    await program.parseAsync(words, { from: "user" });
    return context.exitCode;
  } catch (error) {
    const { reportFailure } = await import("./cli_errors.ts");
    const { Usage } = (await import("../daemon/settings/flags.ts")).ExitCode;
    const code = reportFailure(error);
    const own = COMMAND_WORDS.find(({ name }) => name === word)?.usageExitCode;
    return code === Usage ? own ?? code : code;
  }
}
