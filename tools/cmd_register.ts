// Shell. `lars register`: runs any program and keeps it registered while it serves.

import { spawn } from "node:child_process";
import { constants } from "node:os";
import process from "node:process";
import type { Command } from "commander";
import { register, type RegisteredNode } from "../api/register.ts";
import { readToken } from "../daemon/daemon.ts";
import { checkNode, type CheckOutcome } from "../daemon/node_check.ts";
import { type NodeCheck, parseNodeCheck } from "../daemon/node_check_rules.ts";
import { LEASE_TTL_MS_DEFAULT, LEASE_TTL_MS_MAX, LEASE_TTL_MS_MIN } from "../model/lease.ts";
import { parseWhole } from "../model/route_values.ts";
import { moduleLabel } from "../model/module_name.ts";
import { PORT_MAX, WEIGHT_MAX } from "../model/node.ts";
import { DEFAULT_PORTS } from "../proto/message_ids.ts";
import { type Address, formatAddress, parseAddress, parseIpv4 } from "../reactor/address.ts";
import { runtime } from "../reactor/runtime/mod.ts";
import { sleep } from "../reactor/time/clock.ts";
import { systemClock } from "../reactor/time/system_clock.ts";
import { argument, CommandError, repeated } from "./cli_errors.ts";
import { tokenFileOf } from "./shared_secret.ts";
import { addExamples, type CommandContext } from "./command.ts";
import { withModuleWords } from "./module_argument.ts";
import { addNameStoreOptions, lookUpModule } from "./module_lookup.ts";
import { DATA_VARIABLE, STORE_VARIABLE, type StoreFlags } from "./store_access.ts";
import { noteLine, warningLine } from "./terminal.ts";
import { clientTlsOfEnvironment } from "./tls_access.ts";

/** Between two checks of a program that is not ready yet, and of one that is. */
const STARTING_CHECK_MS = 200;
const SERVING_CHECK_MS = 2_000;
/** Time for one check. */
const CHECK_TIMEOUT_MS = 1_000;
/** Checks in a row that must fail before a program that served gets no more calls. */
const FAILURES_MAX = 3;
/** A program that was told to stop has so long before the next signal is passed on by force. */
const SECONDS_MAX = 86_400;

interface RegisterFlags extends StoreFlags {
  readonly discovery: readonly Address[];
  readonly weight?: number;
  readonly zone?: string;
  readonly note?: Record<string, unknown>;
  readonly check?: NodeCheck | "none";
  readonly activeCheck?: string;
  readonly ttlSeconds: number;
  readonly drainSeconds: number;
  readonly ip?: string;
  readonly interface?: string;
  readonly cidr?: string;
  readonly tokenFile?: string;
}

/** Adds `register`. */
export function addTo(parent: Command, context: CommandContext): void {
  const command = parent.command("register")
    .description(
      "Run a program and make it a node of a module: it gets calls as soon as it answers, and " +
        "none any more before it is told to stop. Exits with the code of the program.",
    );
  withModuleWords(
    command,
    [{ name: "PORT", about: "port on which the program serves", parse: parsePort }],
    async (word, [port], flags: RegisterFlags, words) => {
      // Discovery knows the names too, and often nothing else is reached from here.
      const isSaid = [
        ...[flags.store, flags.data, runtime.env(STORE_VARIABLE), runtime.env(DATA_VARIABLE)],
      ].some((place) => (place ?? "") !== "");
      const module = "key" in word || isSaid ? await lookUpModule(word, flags) : undefined;
      const node = module === undefined
        ? { module: "name" in word ? word.name : "", port }
        : { modId: module.modId, cmdId: module.cmdId, port };
      context.exitCode = await new Sidecar(node, words, flags).run();
    },
    { name: "COMMAND", about: "the program and its arguments, after --" },
  );
  addOptions(command);
  addNameStoreOptions(command);
  addExamples(command, [
    ["lars register 7 1 8080 -- ./shop --port 8080", "runs, registers, leaves in order"],
    ["lars register shop 8080 -- ./shop", "by the module's name, which discovery knows"],
    ["lars register 7 1 8080 --check http:/up -- ./shop", "ready when /up answers"],
    ["lars register 7 1 8080 --cidr 10.0.0.0/8 -- ./shop", "by its address in that network"],
  ]);
  command.addHelpText(
    "after",
    "\nIn the environment: LARS_REGISTER_IP, LARS_REGISTER_INTERFACE,\nLARS_REGISTER_CIDR.",
  );
}

function addOptions(command: Command): void {
  const whole = (what: string, min: number, max: number): (text: string) => number =>
    argument((text) => parseWhole(what, text, min, max));
  command
    .option(
      "--discovery <HOST:PORT>",
      `where discovery is (default 127.0.0.1:${DEFAULT_PORTS.discovery}; may be given several times)`,
      repeated((text) => parseAddress(text, DEFAULT_PORTS.discovery)),
      [],
    )
    .option("--weight <N>", "share of the calls", whole("Weight", 0, WEIGHT_MAX))
    .option("--zone <ZONE>", "where it stands")
    .option("--note <JSON>", "tags and metadata, a JSON object", argument(parseNote))
    .option(
      "--check <CHECK>",
      "when it is ready: tcp (as it is without this), http:/path, or none",
      argument((text) => text === "none" ? "none" as const : parseNodeCheck(text)),
    )
    .option(
      "--active-check <CHECK>",
      "ask discovery itself to check it too: tcp, or http:/path",
      argument((text) => (parseNodeCheck(text), text)),
    )
    .option(
      "--ttl-seconds <N>",
      "time after which it is out when nothing is heard of it",
      whole("TTL", LEASE_TTL_MS_MIN / 1000, LEASE_TTL_MS_MAX / 1000),
      LEASE_TTL_MS_DEFAULT / 1000,
    )
    .option(
      "--drain-seconds <N>",
      "longest wait, at a stop, for agents to use it no more",
      whole("Time", 0, SECONDS_MAX),
      10,
    )
    .option("--ip <IP>", "address to register", argument((text) => (parseIpv4(text), text)))
    .option("--interface <NAME>", "register the address of this interface")
    .option("--cidr <CIDR>", "register the address within this network")
    .option("--token-file <FILE>", "secret shared with discovery");
}

function labelOf(node: SidecarNode): string {
  return "module" in node ? node.module : moduleLabel(node);
}

function parsePort(text: string): number {
  return parseWhole("Port", text, 1, PORT_MAX);
}

function parseNote(text: string): Record<string, unknown> {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    // Said below, as of JSON that is no object.
  }
  if (parsed !== null && typeof parsed === "object" && !Array.isArray(parsed)) {
    return parsed as Record<string, unknown>;
  }
  throw new RangeError(`Note must be a JSON object: current value is ${text}`);
}

/** Why a program could not be started, for the person who named it. */
function spawnFault(program: string, error: Error & { code?: string }): string {
  const why = error.code === "ENOENT"
    ? "there is no such program (a name is looked for in PATH)"
    : error.code === "EACCES"
    ? "it must be a file that may be executed"
    : error.message;
  return `${program} cannot be started: ${why}`;
}

/** What the program serves: a module by its numbers or its name. */
type SidecarNode =
  & { readonly port: number }
  & ({ readonly modId: number; readonly cmdId: number } | { readonly module: string });

/** The program and its registration. */
class Sidecar {
  readonly #node: SidecarNode;
  readonly #words: readonly string[];
  readonly #flags: RegisterFlags;
  #registered: RegisteredNode | undefined;
  #isStopping = false;
  #told = "";

  constructor(
    node: SidecarNode,
    words: readonly string[],
    flags: RegisterFlags,
  ) {
    this.#node = node;
    this.#words = words;
    this.#flags = flags;
  }

  /** Resolves with the exit code of the program. */
  async run(): Promise<number> {
    const [program, ...args] = this.#words;
    const child = spawn(program, args, { stdio: "inherit" });
    const ended = new Promise<number>((resolve, reject) => {
      child.once(
        "error",
        (error) => reject(new CommandError(spawnFault(program, error), { cause: error })),
      );
      child.once("exit", (code, signal) => {
        // Bun gives something else than null now and then where there was no signal.
        const number = signal === null ? undefined : constants.signals[signal];
        resolve(number === undefined ? code ?? 1 : 128 + number);
      });
    });
    let isOver = false;
    // By its id: after `child.kill` Deno says that the signal ended it, whatever code it exits with.
    const pass = (signal: NodeJS.Signals): void => {
      if (!isOver && child.pid !== undefined) process.kill(child.pid, signal);
    };
    const stop = (signal: NodeJS.Signals): void => {
      // The second one goes on at once.
      if (this.#isStopping) return pass(signal);
      this.#isStopping = true;
      void this.#leave().finally(() => pass(signal));
    };
    for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) {
      process.on(signal, () => stop(signal));
    }
    const failed = this.#keep().catch((error) => {
      pass("SIGTERM");
      throw error;
    });
    try {
      const [code] = await Promise.all([ended.finally(() => (isOver = true)), failed]);
      return code;
    } finally {
      isOver = true;
      this.#isStopping = true;
      // It has ended by itself: nobody needs to wait for it to be safe.
      await this.#registered?.close({ limitMs: 0 }).catch(() => {});
    }
  }

  /** Registers, and says that it is ready once it answers. Resolves when that is under way. */
  async #keep(): Promise<void> {
    const { discovery, tokenFile, check = { kind: "tcp" }, ttlSeconds, ...flags } = this.#flags;
    const { path, key } = tokenFileOf(tokenFile === undefined ? {} : { tokenFile });
    const token = await readToken(path, key);
    const { weight, zone, note, ip, interface: name, cidr, activeCheck } = flags;
    this.#registered = await register({
      ...this.#node,
      ...(discovery.length === 0 ? {} : { discovery: discovery.map(formatAddress) }),
      ...(token === undefined ? {} : { token }),
      ...await clientTlsOfEnvironment(),
      ...(weight === undefined ? {} : { weight }),
      ...(zone === undefined ? {} : { zone }),
      ...(note === undefined ? {} : { note }),
      ...(activeCheck === undefined ? {} : { check: activeCheck }),
      ...{ ip, interface: name, cidr, ttlMs: ttlSeconds * 1000 },
      ...{ isReady: check === "none", createModule: !("module" in this.#node) },
      onWarning: (text) => this.#warn(text),
      onState: (state, reason) => this.#tellState(state, reason),
    });
    if (check !== "none") void this.#watch(this.#registered, check);
  }

  async #watch(registered: RegisteredNode, check: NodeCheck): Promise<void> {
    let isReady = false;
    let failures = 0;
    while (!this.#isStopping) {
      const outcome = await this.#look(registered, check);
      if (this.#isStopping) return;
      failures = outcome.result === "good" ? 0 : failures + 1;
      if (outcome.result === "good" && !isReady) {
        isReady = true;
        noteLine(`ready: ${registered.address} gets calls of ${labelOf(this.#node)}`);
        await registered.setReady(true);
      } else if (isReady && failures >= FAILURES_MAX) {
        isReady = false;
        warningLine(`${registered.address} gets no new calls: ${outcome.fault}`);
        await registered.setReady(false);
      }
      await sleep(systemClock, isReady ? SERVING_CHECK_MS : STARTING_CHECK_MS);
    }
  }

  /** At the registered address alone: what others cannot reach is not ready. */
  #look(registered: RegisteredNode, check: NodeCheck): Promise<CheckOutcome> {
    const { address } = registered;
    if (address === undefined) {
      return Promise.resolve({ result: "bad", fault: "its address is not known yet" });
    }
    const ip = parseIpv4(address.split(":")[0]);
    return checkNode({ ip, port: this.#node.port }, check, systemClock, CHECK_TIMEOUT_MS);
  }

  async #leave(): Promise<void> {
    const limitMs = this.#flags.drainSeconds * 1000;
    const outcome = await this.#registered?.close({ limitMs }).catch(() => undefined);
    if (outcome === undefined || outcome.safe || limitMs === 0) return;
    warningLine(`stopped before it was safe: ${outcome.waitsFor}`);
  }

  #tellState(state: string, reason: string): void {
    if (state === "connecting" && reason !== "") this.#warn(`not registered: ${reason}`);
    else if (state === "superseded") warningLine(`not registered any more: ${reason}`);
  }

  /** The same is said once. */
  #warn(text: string): void {
    if (text === this.#told) return;
    this.#told = text;
    warningLine(text);
  }
}
