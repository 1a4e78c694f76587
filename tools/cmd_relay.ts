// Shell. `lars relay`: the relay as a service, and commands for those who run one.

import { Argument, type Command, Option } from "commander";
import { RelayClient } from "../api/relay_client.ts";
import { NOT_CONNECTED_YET, RelayWorker } from "../api/relay_worker.ts";
import { DEFAULT_PORTS, RELAY_MESSAGE_BYTES_MAX } from "../proto/message_ids.ts";
import { formatAddress } from "../reactor/address.ts";
import { TimeoutError } from "../reactor/errors.ts";
import { parseWhole } from "../model/route_values.ts";
import { UINT32_MAX } from "../model/module.ts";
import { argument, CommandError } from "./cli_errors.ts";
import { parsePeer } from "./cli_arguments.ts";
import { addExamples } from "./command.ts";
import { dialFault } from "./fetch_fault.ts";
import type { RelayTelling } from "../relay/relay_admin.ts";
import {
  type RelayAddressFlags,
  relayFailure,
  relaySecrets,
  withRelayAdmin,
} from "./relay_admin.ts";
import { runRelayBench } from "./relay_bench.ts";
import { StopSignal } from "./stop_signal.ts";
import { noteLine, printJson, printLine, printTable } from "./terminal.ts";

/** How often `lars relay echo` looks whether it is attached. */
const LOOK_INTERVAL_MS = 100;

/** Longest wait for the relay to take a message. */
const SEND_TIMEOUT_MS = 5_000;

/** Of a command that talks to a relay. */
export interface RelayFlags extends RelayAddressFlags {
  readonly json?: boolean;
}

/** Adds `relay` and its words. `lars relay` with flags alone is the service itself. */
export function addTo(parent: Command): void {
  const relay = parent.command("relay").description(
    "The relay: takes requests of many clients to few workers, and the answers back. " +
      "`lars relay run -c FILE`, or flags without a word, runs the service; `lars relay run --help` " +
      "has its flags. The words below talk to one that runs.",
  );
  addList(relay);
  addKick(relay);
  addSend(relay);
  addTail(relay);
  addEcho(relay);
  addBench(relay);
  addExamples(relay, [
    ["lars relay run -c relay.conf", "the service"],
    ["lars relay --relay-port 2000", "the same without a file"],
    ["lars relay ls", "who is here"],
    ["lars relay echo", "a worker that sends each request's data back"],
  ]);
}

/** Columns of each list, by the names the relay gives them. */
const COLUMNS = {
  clients: ["sid", "name", "from", "kind", "requests", "waiting_bytes"],
  workers: ["from", "modules", "credit", "running", "answered"],
  modules: ["modid", "cmdid", "workers", "waiting", "waiting_bytes", "oldest_ms"],
  relays: ["relay", "address", "names", "groups", "modules", "silent_ms"],
  mail: ["name", "waiting", "waiting_bytes", "last", "taken"],
} as const;

function addList(relay: Command): void {
  const command = relay.command("ls")
    .description(
      "List what a relay has: clients, workers, modules, other relays, mailboxes, counters.",
    )
    .addArgument(
      new Argument("[WHAT]", "which").choices([...Object.keys(COLUMNS), "stats"])
        .default("clients"),
    )
    .action(async (what: keyof typeof COLUMNS | "stats", flags: RelayFlags) => {
      const telling = await withRelayAdmin(flags, (admin) => admin.ask({ ask: what }));
      if (flags.json === true) return printJson(telling);
      if (what === "stats") {
        return await printTable(["COUNTER", "VALUE"], Object.entries(telling).map(cells));
      }
      const columns = COLUMNS[what];
      const rows = telling.rows as RelayTelling[];
      await printTable(
        columns.map((name) => name.toUpperCase()),
        rows.map((row) => cells(columns.map((name) => row[name]))),
      );
      const count = Number(telling.count ?? rows.length);
      if (count > rows.length) noteLine(`${count - rows.length} more are not shown`);
    });
  addRelayOptions(command);
  addExamples(command, [
    ["lars relay ls", "clients"],
    ["lars relay ls mail --json", "mailboxes, for a program"],
    ["lars relay ls stats", "counters"],
  ]);
}

function addKick(relay: Command): void {
  const command = relay.command("kick")
    .description("End the connection of a client, or both links of one of the original.")
    .argument("<CLIENT>", "its name, or its number (sid) as `lars relay ls` has it")
    .action(async (client: string, flags: RelayFlags) => {
      const whom = /^\d{1,10}$/.test(client) ? { sid: Number(client) } : { name: client };
      const telling = await withRelayAdmin(flags, (admin) => admin.ask({ ask: "kick", ...whom }));
      if (flags.json === true) return printJson(telling);
      printLine(`client ${String(telling.kicked)} is out`);
    });
  addRelayOptions(command);
  addExamples(command, [["lars relay kick 17", "by number"], ["lars relay kick ann", "by name"]]);
}

function addSend(relay: Command): void {
  const command = relay.command("send")
    .description("Send a message to a client, or to all members of a group that are here.")
    .argument("<TO>", "name of the client or the group")
    .argument("<TEXT>", "what is sent")
    .option("--group", "TO is a group")
    .option("--stored", "keep it until the client takes it")
    .option("--from <NAME>", "name of the sender; default: it has none")
    .action(async (to: string, text: string, flags: SendFlags) => {
      const secrets = await relaySecrets(flags);
      const client = new RelayClient({
        relays: [formatAddress(flags.relay)],
        ...{ timeoutMs: SEND_TIMEOUT_MS },
        ...secrets,
        ...(flags.from === undefined ? {} : { name: flags.from }),
      });
      try {
        const data = new TextEncoder().encode(text);
        const receivers = flags.group === true ? await client.publish(to, data) : 1;
        if (flags.group !== true) await client.send(to, data, { stored: flags.stored === true });
        if (flags.json === true) return printJson({ to, receivers, stored: flags.stored === true });
        printLine(flags.stored === true ? `kept for ${to}` : `sent to ${receivers}`);
      } catch (error) {
        const failure = relayFailure(error, flags);
        const isInDoubt = error instanceof TimeoutError && error.cause === undefined;
        if (!isInDoubt) throw failure;
        throw new CommandError(
          `${failure.message}: whether it arrives is not known, its log may say why`,
          { cause: error },
        );
      } finally {
        await client.close();
      }
    });
  addRelayOptions(command);
  addExamples(command, [
    ["lars relay send ann hello", "to a client that is here"],
    ["lars relay send ann hello --stored", "also to one that is away"],
    ["lars relay send team hello --group", "to a group"],
  ]);
}

interface SendFlags extends RelayFlags {
  readonly group?: boolean;
  readonly stored?: boolean;
  readonly from?: string;
}

function addTail(relay: Command): void {
  const command = relay.command("tail")
    .description(
      "Print what happens at a relay, until Ctrl-C: clients and workers that come and go, requests " +
        "that are refused or have no answer in time.",
    )
    .action(async (flags: RelayFlags) => {
      const stop = new StopSignal();
      await withRelayAdmin(flags, async (admin) => {
        admin.follow({ ask: "tail" }, (telling) => printEvent(telling, flags.json === true));
        while (!stop.given && !admin.lost) await stop.sleep(LOOK_INTERVAL_MS);
        if (admin.lost) throw new CommandError("The relay has ended the connection");
      });
    });
  addRelayOptions(command);
  addExamples(command, [["lars relay tail", "for people"], [
    "lars relay tail --json",
    "for programs",
  ]]);
}

function printEvent(telling: RelayTelling, json: boolean): void {
  if (json) return printJson(telling);
  const { event, atMs, ...fields } = telling;
  if (event === "tail") return;
  const at = new Date(Number(atMs)).toISOString().slice(11, 23);
  const more = Object.entries(fields).map(([name, value]) => `${name}=${String(value)}`);
  printLine(`${at}  ${String(event).padEnd(18)} ${more.join(" ")}`);
}

function addBench(relay: Command): void {
  const whole = wholeArgument;
  const command = relay.command("bench")
    .description("Measure requests through a relay: how many are answered, and how fast.")
    .option(
      "--modid <N>",
      "first number of the module that answers",
      whole("modid", 0, UINT32_MAX),
      0,
    )
    .option("--cmdid <N>", "second number", whole("cmdid", 0, UINT32_MAX), 0)
    .option("--clients <N>", "connections", whole("clients", 1, 20_000), 10)
    .option("--in-flight <N>", "requests of each under way", whole("in-flight", 1, 1000), 10)
    .option("--bytes <N>", "data of each", whole("bytes", 0, RELAY_MESSAGE_BYTES_MAX), 184)
    .option("--seconds <N>", "for how long", whole("seconds", 1, 3600), 5)
    .action(async (flags: BenchFlags) => {
      const { modid: modId, cmdid: cmdId, clients, inFlight, bytes, seconds } = flags;
      const plan = { modId, cmdId, clients, inFlight, bytes, seconds };
      const result = await runRelayBench(flags, plan);
      const { answers, failures, failure, perSecond, p50Ms, p99Ms } = result;
      const rate = Math.round(perSecond);
      if (flags.json === true) {
        return printJson({ answers, failures, per_second: rate, p50_ms: p50Ms, p99_ms: p99Ms });
      }
      printLine(`${rate} answers/s, half within ${p50Ms} ms, 99 % within ${p99Ms} ms`);
      if (failures > 0) noteLine(`${failures} were not answered: ${failure ?? ""}`);
    });
  addRelayOptions(command);
  addExamples(command, [
    ["lars relay bench", "10 clients with 10 requests each, for 5 s; a worker must serve 0,0"],
    ["lars relay bench --clients 1000 --in-flight 1 --seconds 30", "many clients"],
  ]);
}

interface BenchFlags extends RelayFlags {
  readonly modid: number;
  readonly cmdid: number;
  readonly clients: number;
  readonly inFlight: number;
  readonly bytes: number;
  readonly seconds: number;
}

function cells(values: readonly unknown[]): (string | number)[] {
  return values.map((value) => typeof value === "number" ? value : String(value ?? ""));
}

function wholeArgument(name: string, least: number, most: number): (text: string) => number {
  return argument((text) => parseWhole(name, text, least, most));
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
  const whole = wholeArgument;
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
  const secrets = await relaySecrets(flags);
  const stop = new StopSignal();
  const worker = new RelayWorker({
    ...{ relays: [address], modules: [{ modId, cmdId }], concurrency },
    ...secrets,
  }, ({ data }) => data);
  let isAttached = false;
  let toldFault = "";
  while (!stop.given) {
    if (worker.attachedCount > 0 !== isAttached) {
      isAttached = !isAttached;
      tell(json === true, isAttached ? "attached" : "lost", address);
    }
    const [fault] = worker.faults;
    // Nothing has been tried yet: that is no fault to speak of.
    const isFirst = toldFault === "" && fault?.fault === NOT_CONNECTED_YET;
    if (fault !== undefined && fault.fault !== toldFault && !isFirst) {
      noteLine(`${fault.relay}: ${dialFault(fault.fault, "the relay")}; trying again`);
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
