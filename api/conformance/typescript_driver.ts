// Shell. The driver of the TypeScript client: commands as lines, see README.md.

import process from "node:process";
import { createInterface } from "node:readline";
import { ReportCode } from "../../balancer/detection/call_outcome.ts";
import { LarsError } from "../../reactor/errors.ts";
import { openFileMaps } from "../../reactor/runtime/file_maps.ts";
import { sleep } from "../../reactor/time/clock.ts";
import { systemClock } from "../../reactor/time/system_clock.ts";
import { LarsClient } from "../client.ts";
import type { Host } from "../host.ts";
import type { PickOptions } from "../options.ts";
import { bytesOfHex, hexOf } from "./exchange.ts";

/** Names of errors in results, by the class of the error. */
const ERROR_WORDS: Readonly<Record<string, string>> = {
  OverloadError: "overload",
  NoRouteError: "no_route",
  TimeoutError: "timeout",
  NoAgentError: "no_agent",
  ConnectError: "connect",
  AgentError: "agent",
  LimitError: "limit",
  ClosedError: "closed",
  RangeError: "range",
};

/** The function of `call` throws it for a node that is to fail. */
class NodeFailure extends Error {}

/** The words of a command after its name. */
class Words {
  readonly #plain: readonly string[];
  readonly #named: ReadonlyMap<string, string>;

  constructor(words: readonly string[]) {
    this.#plain = words.filter((word) => !word.includes("="));
    this.#named = new Map(
      words.filter((word) => word.includes("=")).map((word) => {
        const at = word.indexOf("=");
        return [word.slice(0, at), word.slice(at + 1)] as const;
      }),
    );
  }

  text(index: number): string {
    return this.#plain[index] ?? "";
  }

  number(index: number): number {
    return Number(this.#plain[index]);
  }

  optional(index: number): number | undefined {
    return this.#plain[index] === undefined ? undefined : this.number(index);
  }

  named(name: string): string | undefined {
    return this.#named.get(name);
  }

  namedNumber(name: string): number | undefined {
    const text = this.named(name);
    return text === undefined ? undefined : Number(text);
  }

  /** Nodes of a list by commas. */
  list(name: string): readonly string[] {
    return this.named(name)?.split(",") ?? [];
  }
}

let client = new LarsClient();

function open(words: Words): string {
  const ports = words.list("ports").map(Number);
  const options = {
    deadlineMs: words.namedNumber("deadline_ms"),
    firstRouteMs: words.namedNumber("first_route_ms"),
    lastGoodMs: words.namedNumber("last_good_ms"),
    retryShare: words.namedNumber("retry_share"),
    retryFloorPerSecond: words.namedNumber("retry_floor"),
  };
  const token = words.named("token");
  const table = words.named("table");
  Object.assign(options, {
    hostname: words.named("host"),
    token: token === undefined ? undefined : new TextEncoder().encode(token),
    sharedTable: table === "" ? false : table,
  });
  const given = Object.entries(options).filter(([, value]) => value !== undefined);
  client = new LarsClient({ port: [ports[0], ports[1], ports[2]], ...Object.fromEntries(given) });
  return "ok";
}

function hostWords(host: Host): string {
  const weight = host.weight === undefined ? "" : ` weight=${host.weight}`;
  const zone = host.zone === undefined ? "" : ` zone=${hexOf(new TextEncoder().encode(host.zone))}`;
  return `host ${nodeOf(host)}${weight}${zone}${host.stale === true ? " stale" : ""}`;
}

function nodeOf({ ip, port }: Host): string {
  return `${ip}:${port}`;
}

function pickOptions(words: Words): PickOptions {
  const key = words.named("key");
  const deadlineMs = words.namedNumber("deadline_ms");
  const firstRouteMs = words.namedNumber("first_route_ms");
  return {
    ...(key === undefined ? {} : { key: bytesOfHex(key) }),
    ...(deadlineMs === undefined ? {} : { deadlineMs }),
    ...(firstRouteMs === undefined ? {} : { firstRouteMs }),
  };
}

async function tryGetHost(words: Words): Promise<string> {
  const options = pickOptions(words);
  const answer = await client.tryGetHost(words.number(0), words.number(1), options);
  return answer.host === undefined ? `code ${answer.retcode}` : hostWords(answer.host);
}

function report(words: Words): string {
  const [modId, cmdId] = [words.number(0), words.number(1)];
  client.report(
    ...[modId, cmdId, words.text(2)] as const,
    ...[words.number(3), words.number(4), words.optional(5)] as const,
  );
  return "ok";
}

async function call(words: Words): Promise<string> {
  const bad = words.list("bad");
  const code = words.namedNumber("bad_code");
  let tries = 0;
  try {
    const host = await client.call(words.number(0), words.number(1), async (host) => {
      tries++;
      await sleep(systemClock, words.namedNumber("took_ms") ?? 0);
      if (bad.includes(nodeOf(host))) throw new NodeFailure();
      return host;
    }, {
      ...pickOptions(words),
      retries: words.namedNumber("retries") ?? 0,
      ...(words.named("timeout_ms") === undefined
        ? {}
        : { timeoutMs: words.namedNumber("timeout_ms") }),
      retcodeOf: () => code,
    });
    return `called ${nodeOf(host)} tries=${tries}`;
  } catch (error) {
    if (error instanceof NodeFailure) return `failed tries=${tries}`;
    return `${errorWords(error)} tries=${tries}`;
  }
}

async function explain(words: Words): Promise<string> {
  const explanation = await client.explain(words.number(0), words.number(1));
  return explanation === undefined ? "none" : `json nodes=${explanation.module?.nodes.length ?? 0}`;
}

/** Calls that each of those of `load` makes at least, however late it is. */
const LOAD_CALLS_MIN = 20;

/** Picks and reports in a row, several at a time, for as long as is said. */
async function load(words: Words): Promise<string> {
  const endMs = systemClock.nowMs() + (words.namedNumber("ms") ?? 0);
  const counts = { ok: 0, stale: 0, failed: 0 };
  const nodes = new Map<string, number>();
  let longestMs = 0;
  const loop = async (): Promise<void> => {
    for (let calls = 0; calls < LOAD_CALLS_MIN || systemClock.nowMs() < endMs; calls++) {
      const startMs = systemClock.nowMs();
      const { host } = await client.tryGetHost(words.number(0), words.number(1));
      longestMs = Math.max(longestMs, systemClock.nowMs() - startMs);
      if (host === undefined) counts.failed++;
      else {
        counts[host.stale === true ? "stale" : "ok"]++;
        nodes.set(nodeOf(host), (nodes.get(nodeOf(host)) ?? 0) + 1);
        const code = words.list("bad").includes(nodeOf(host)) ? ReportCode.Refused : 0;
        client.report(words.number(0), words.number(1), host.ip, host.port, code, 1);
      }
      await sleep(systemClock, words.namedNumber("pause_ms") ?? 1);
    }
  };
  await Promise.all(Array.from({ length: words.namedNumber("threads") ?? 1 }, loop));
  const { ok, stale, failed } = counts;
  const seen = [...nodes.keys()].sort().join(",");
  const [most = ""] = [...nodes].sort((a, b) => b[1] - a[1])[0] ?? [];
  const longest = Math.ceil(longestMs);
  return `load ok=${ok} stale=${stale} failed=${failed} longest_ms=${longest} nodes=${seen} most=${most}`;
}

function stats(): string {
  const { pending, resent, late, garbage, foreign, dropped, stale, retried, retriesRefused } =
    client.stats;
  const all = { pending, resent, late, garbage, foreign, dropped, stale, retried };
  const words = Object.entries(all).map(([name, value]) => `${name}=${value}`);
  return `stats ${words.join(" ")} retries_refused=${retriesRefused}`;
}

const COMMANDS: Readonly<Record<string, (words: Words) => string | Promise<string>>> = {
  open,
  get_host: async (words) =>
    hostWords(await client.getHost(words.number(0), words.number(1), pickOptions(words))),
  try_get_host: tryGetHost,
  report,
  get_route: async (words) => {
    const hosts = await client.getRoute(words.number(0), words.number(1), pickOptions(words));
    return ["route", ...hosts.map(nodeOf)].join(" ");
  },
  reg_init: async (words) => `code ${await client.regInit(words.number(0), words.number(1))}`,
  call,
  explain,
  load,
  stats,
  close: async () => {
    await client.close();
    return "ok";
  },
};

function errorWords(error: unknown): string {
  const name = error instanceof Error ? error.name : "";
  if (!(error instanceof LarsError) && !(error instanceof RangeError)) throw error;
  return `error ${ERROR_WORDS[name] ?? name}`;
}

async function answer(line: string): Promise<void> {
  const [id, name, ...words] = line.split(" ");
  const command = COMMANDS[name];
  let result = "unsupported";
  try {
    if (command !== undefined) result = await command(new Words(words));
  } catch (error) {
    result = errorWords(error);
  }
  process.stdout.write(`${id} ${result}\n`);
}

/** The runtime lets files be mapped: else no client here can read a table. */
function canMapFiles(): boolean {
  try {
    openFileMaps();
    return true;
  } catch {
    return false;
  }
}

process.stdout.write(`driver 1 threads${canMapFiles() ? " table" : ""}\n`);
const lines = createInterface({ input: process.stdin });
lines.on("line", (line) => void answer(line));
lines.on("close", () => void client.close());
