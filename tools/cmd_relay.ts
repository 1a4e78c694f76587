// Shell. `lars relay`: the relay as a service, and commands for those who run one.

import { type Command, Option } from "commander";
import { RelayWorker } from "../api/relay_worker.ts";
import { readToken } from "../daemon/daemon.ts";
import { DEFAULT_PORTS } from "../proto/message_ids.ts";
import { type Address, formatAddress } from "../reactor/address.ts";
import { parseWhole } from "../model/route_values.ts";
import { UINT32_MAX } from "../model/module.ts";
import { argument } from "./cli_errors.ts";
import { parsePeer } from "./cli_arguments.ts";
import { addExamples } from "./command.ts";
import { StopSignal } from "./stop_signal.ts";
import { noteLine, printJson, printLine } from "./terminal.ts";

/** How often `lars relay echo` looks whether it is attached. */
const LOOK_INTERVAL_MS = 100;

/** Of a command that talks to a relay. */
export interface RelayFlags {
  readonly relay: Address;
  readonly tokenFile?: string;
  readonly json?: boolean;
}

/** Adds `relay` and its words. `lars relay` with flags alone is the service itself. */
export function addTo(parent: Command): void {
  const relay = parent.command("relay").description(
    "The relay: takes requests of many clients to few workers, and the answers back. " +
      "`lars relay run -c FILE`, or flags without a word, runs the service; `lars relay run --help` " +
      "has its flags. The words below talk to one that runs.",
  );
  addEcho(relay);
  addExamples(relay, [
    ["lars relay run -c relay.conf", "the service"],
    ["lars relay --relay-port 2000", "the same without a file"],
    ["lars relay echo", "a worker that sends each request's data back"],
  ]);
}

/** Options by which a relay is found. */
export function addRelayOptions(command: Command): Command {
  const relay = { hostname: "127.0.0.1", port: DEFAULT_PORTS.relay };
  return command
    .addOption(
      new Option("--relay <HOST:PORT>", "where the relay listens")
        .argParser(argument((text) => parsePeer(text, relay.port)))
        .default(relay, formatAddress(relay)),
    )
    .option("--token-file <FILE>", "secret that the relay shares with its clients and workers")
    .option("--json", "print JSON");
}

function addEcho(relay: Command): void {
  const whole = (name: string, least: number, most: number) =>
    argument((text) => parseWhole(name, text, least, most));
  const command = relay.command("echo")
    .description("A sample worker: sends the data of each request back, until Ctrl-C.")
    .option("--modid <N>", "first number of the module it serves", whole("modid", 0, UINT32_MAX), 0)
    .option("--cmdid <N>", "second number", whole("cmdid", 0, UINT32_MAX), 0)
    .option("--concurrency <N>", "requests at once", whole("concurrency", 1, 10_000), 256);
  addRelayOptions(command);
  command.action(async (flags: EchoFlags) => await echo(flags));
  addExamples(command, [
    ["lars relay echo", "for clients of the original at 127.0.0.1:2000"],
    ["lars relay echo --relay 10.0.0.1:2000 --modid 1 --cmdid 2", "another relay and module"],
  ]);
}

interface EchoFlags extends RelayFlags {
  readonly modid: number;
  readonly cmdid: number;
  readonly concurrency: number;
}

async function echo(flags: EchoFlags): Promise<void> {
  const { relay, modid: modId, cmdid: cmdId, concurrency, json } = flags;
  const address = formatAddress(relay);
  const token = await readToken(flags.tokenFile ?? "", "--token-file");
  const stop = new StopSignal();
  const worker = new RelayWorker({
    ...{ relays: [address], modules: [{ modId, cmdId }], concurrency },
    ...(token === undefined ? {} : { token }),
  }, ({ data }) => data);
  let isAttached = false;
  let toldFault = "";
  while (!stop.given) {
    if (worker.attachedCount > 0 !== isAttached) {
      isAttached = !isAttached;
      tell(json === true, isAttached ? "attached" : "lost", address);
    }
    const [fault] = worker.faults;
    if (fault !== undefined && fault.fault !== toldFault) {
      noteLine(`${fault.relay}: ${fault.fault}`);
    }
    toldFault = fault?.fault ?? "";
    await stop.sleep(LOOK_INTERVAL_MS);
  }
  await worker.close();
  const { answered, failed } = worker.counts;
  if (json === true) return printJson({ event: "stopped", answered, failed });
  printLine(`stopped after ${answered} answers`);
}

function tell(json: boolean, event: "attached" | "lost", relay: string): void {
  if (json) return printJson({ event, relay });
  printLine(event === "attached" ? `attached to ${relay}` : `lost ${relay}, trying again`);
}
