// Shell. `lars reactor`: the original's pair of programs that measures the reactor.

import { type Command, Option } from "commander";
import { readConfigFile } from "../daemon/daemon.ts";
import { readSettings, Section } from "../daemon/settings/settings.ts";
import { parseWhole } from "../model/route_values.ts";
import { type Address, formatAddress, parseAddress } from "../reactor/address.ts";
import { untilOver } from "../reactor/examples/example_program.ts";
import { measureQps, serveQps } from "../reactor/examples/qps_pair.ts";
import { argument, CommandError } from "./cli_errors.ts";
import { addExamples } from "./command.ts";
import { isOutputOver } from "../daemon/output.ts";
import { printLine } from "./terminal.ts";

/** Port that the original's client connects to. */
const QPS_PORT = 7777;

/** Most connections of one client. */
export const REACTOR_CONNECTIONS_MAX = 1000;

const reactor = new Section("reactor");

/** Of a file such as the original's `serv.conf`; other keys of the section count for services. */
const serverTable = {
  hostname: reactor.host("ip", "127.0.0.1").doc("Address to listen on."),
  port: reactor.integer("port", QPS_PORT, [0, 65535]).doc("Port to listen on; 0 takes a free one."),
};

interface ServerFlags {
  readonly config?: string;
  readonly ip?: string;
  readonly port?: number;
  readonly seconds?: number;
  readonly fast?: boolean;
}

interface QpsFlags {
  readonly to: Address;
  readonly window: number;
  readonly seconds?: number;
}

/** Adds `reactor` and its two programs. */
export function addTo(parent: Command): void {
  const both = parent.command("reactor").description(
    "Measure the reactor alone: a server that sends back what it is sent, and its client.",
  );
  addServer(both);
  addQps(both);
  addExamples(both, [
    ["lars reactor server", "listens on 127.0.0.1:7777"],
    ["lars reactor qps 3 --seconds 5", "three connections to it, for five seconds"],
  ]);
}

function addSeconds(command: Command): Command {
  return command.option(
    "--seconds <N>",
    "stop after so many seconds, 1 to 86400; default: never",
    argument((text) => parseWhole("Seconds", text, 1, 86_400)),
  );
}

function addServer(both: Command): void {
  const command = both.command("server")
    .description("Send each EchoMessage back, until Ctrl-C or --seconds.")
    .option("-c, --config <FILE>", "INI file with [reactor] ip and port, such as serv.conf")
    .option("--ip <HOST>", "address to listen on; default 127.0.0.1")
    .option(
      "--port <PORT>",
      `port to listen on, 0 takes a free one; default ${QPS_PORT}`,
      argument((text) => parseWhole("Port", text, 0, 65_535)),
    )
    .option("--fast", "take connections through FFI (Linux); Ctrl-C ends it at once then")
    .action(async (flags: ServerFlags) => {
      const file = flags.config === undefined ? undefined : await readConfigFile(flags.config);
      const given = {
        ...(flags.ip === undefined ? {} : { "reactor.ip": flags.ip }),
        ...(flags.port === undefined ? {} : { "reactor.port": String(flags.port) }),
      };
      const sources = { ...(file === undefined ? {} : { file }), flags: given };
      const { seconds = 0, fast = false } = flags;
      const address = readSettings(serverTable, sources);
      await serveQps({ ...address, seconds, fast, print: printLine });
    });
  addSeconds(command);
  addExamples(command, [
    ["lars reactor server --port 7000", "another port"],
    ["lars reactor server -c serv.conf", "as the original's file says"],
  ]);
}

function addQps(both: Command): void {
  const command = both.command("qps")
    .description(
      "Count the echoes that come back from a server in each second, over all connections; each " +
        "asks again when it has its answer. Exit code 1 when none came.",
    )
    .argument(
      "<ThreadNum>",
      `connections, 1 to ${REACTOR_CONNECTIONS_MAX}`,
      argument((text) => parseWhole("ThreadNum", text, 1, REACTOR_CONNECTIONS_MAX)),
    )
    .addOption(
      new Option("--to <HOST:PORT>", "where the server listens")
        .argParser(argument((text) => parseAddress(text, QPS_PORT)))
        .default({ hostname: "127.0.0.1", port: QPS_PORT }, `127.0.0.1:${QPS_PORT}`),
    )
    .option(
      "--window <N>",
      "requests that each connection keeps under way, 1 to 1000",
      argument((text) => parseWhole("Window", text, 1, 1000)),
      1,
    )
    .action(async (connections: number, { to: server, window, seconds = 0 }: QpsFlags) => {
      const { promise: unread, resolve: end } = Promise.withResolvers<void>();
      const print = (line: string): void => {
        printLine(line);
        if (isOutputOver()) end();
      };
      const over = Promise.race([untilOver(seconds), unread]);
      if (await measureQps({ server, connections, window, over, print }) > 0) return;
      throw new CommandError(
        `No echo came back from ${formatAddress(server)}: is \`lars reactor server\` running?`,
      );
    });
  addSeconds(command);
  addExamples(command, [
    ["lars reactor qps 1", "one connection, until Ctrl-C"],
    ["lars reactor qps 10 --window 8 --seconds 5", "eight requests of each under way"],
  ]);
}
