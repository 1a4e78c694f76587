// Shell. A console as commands use it: its REST interface, with an API token.

import { type Command, Option } from "commander";
import { readToken, softwareName } from "../daemon/daemon.ts";
import { shapeWords } from "../control/shape_words.ts";
import type { StoreRefusal } from "../reactor/errors.ts";
import { runtime } from "../reactor/runtime/mod.ts";
import {
  API_PREFIX,
  API_ROUTES,
  type ApiRoute,
  type ApiRoutes,
  type BodyOf,
  NO_ROUTE_DETAIL,
  type ProblemBody,
  type QueryOf,
  type ResponseOf,
  type RouteName,
} from "../web/contract.ts";
import { CommandError, UsageError } from "./cli_errors.ts";
import { fetchFault, mayHaveArrived } from "./fetch_fault.ts";
import type { StoreFlags } from "./store_access.ts";

/** Variable with the path of a file that holds an API token of a console. */
export const API_TOKEN_VARIABLE = "LARS_API_TOKEN_FILE";

/** Longest wait for an answer. A console with a slow database takes seconds, never minutes. */
const REQUEST_TIMEOUT_MS = 30_000;

/** Largest answer that is taken, in bytes: all routes of the largest database are about 50 MB. */
export const CONSOLE_ANSWER_BYTES_MAX = 256 * 1024 * 1024;

/** Options of commands that work on a database or through a console. */
export interface ServerFlags extends StoreFlags {
  readonly server?: string;
  readonly tokenFile?: string;
}

/** Options that say where the system is, or whom it tells: with a console they make no sense. */
const OWN_OPTIONS = ["store", "data", "dns"];

/**
 * Adds `--server`, and `--token-file` where the command has none yet.
 *
 * @param excluded Options that cannot be used together with `--server`, besides those of a database.
 */
export function addServerOption(command: Command, excluded: readonly string[] = []): Command {
  const others = [...OWN_OPTIONS, ...excluded]
    .filter((name) => command.options.some((option) => option.attributeName() === name));
  command.addOption(
    new Option("--server <URL>", "work through this console, for example http://127.0.0.1:8080")
      .conflicts(others),
  );
  const token = `with --server: an API token of the console (or ${API_TOKEN_VARIABLE})`;
  const known = command.options.find(({ long }) => long === "--token-file");
  if (known === undefined) return command.option("--token-file <FILE>", token);
  known.description += `; ${token}`;
  return command;
}

/** The console, or its database, does not answer just now. */
export class ConsoleAwayError extends CommandError {
  override name = "ConsoleAwayError";
}

/** The database of the console refuses it something, until somebody has done something about it. */
export class ConsoleRefusedError extends CommandError {
  override name = "ConsoleRefusedError";
  readonly refusal: StoreRefusal;

  constructor(message: string, refusal: StoreRefusal) {
    super(message);
    this.refusal = refusal;
  }
}

/** Problems that say that the database of a console refuses something. */
const REFUSALS: Readonly<Record<string, StoreRefusal>> = {
  "urn:lars:store-rights": "rights",
  "urn:lars:store-schema": "schema",
  "urn:lars:store-unusable": "unusable",
};

/** Routes that answer with a JSON value. */
export type JsonRouteName = {
  [Name in RouteName]: ApiRoutes[Name]["response"] extends string ? never : Name;
}[RouteName];

/** Parts of a request. */
export interface CallParts<Name extends RouteName> {
  /** Parts of the path. */
  readonly params?: Readonly<Record<string, string | number>>;
  readonly query?: QueryOf<Name>;
  readonly body?: BodyOf<Name>;
}

interface RawAnswer {
  readonly status: number;
  readonly type: string;
  readonly text: string;
}

/** One console. */
export class ConsoleClient {
  /** `http://HOST:PORT` */
  readonly origin: string;
  readonly #token: string;
  readonly #tokenFile: string;
  readonly #closing = new AbortController();

  private constructor(origin: string, token: string, tokenFile: string) {
    this.origin = origin;
    this.#token = token;
    this.#tokenFile = tokenFile;
  }

  /**
   * The console that `--server` names; undefined without the option.
   *
   * @throws {UsageError} without a token, or when the address is none.
   * @throws {ConfigError} when the file of the token cannot be read.
   */
  static async of(flags: ServerFlags): Promise<ConsoleClient | undefined> {
    if (flags.server === undefined) return undefined;
    const origin = originOf(flags.server);
    const tokenFile = flags.tokenFile ?? runtime.env(API_TOKEN_VARIABLE) ?? "";
    const token = await readToken(tokenFile, "--token-file");
    if (token === undefined) {
      throw new UsageError(
        "--server needs an API token of that console: give --token-file FILE, or name the file in " +
          API_TOKEN_VARIABLE,
      );
    }
    const text = new TextDecoder().decode(token);
    if (!/^[\x21-\x7e]+$/.test(text)) {
      throw new UsageError(`--token-file must hold one API token and nothing else: ${tokenFile}`);
    }
    return new ConsoleClient(origin, text, tokenFile);
  }

  /**
   * Asks a route for its JSON value.
   *
   * @throws {ConsoleAwayError} when the console or its database does not answer.
   * @throws {CommandError} when it refuses, or is none.
   */
  async call<Name extends JsonRouteName>(
    name: Name,
    parts: CallParts<Name> = {},
  ): Promise<ResponseOf<Name>> {
    const answer = await this.#send(name, parts);
    if (answer.status >= 300) throw this.#refusal(name, answer);
    return this.#valueOf(name, answer);
  }

  /** As {@linkcode call}; undefined when there is no such thing. */
  async find<Name extends JsonRouteName>(
    name: Name,
    parts: CallParts<Name> = {},
  ): Promise<ResponseOf<Name> | undefined> {
    const answer = await this.#send(name, parts);
    if (answer.status < 300) return this.#valueOf(name, answer);
    if (problemOf(answer)?.type === "urn:lars:not-found" && !isUnknownRoute(answer)) {
      return undefined;
    }
    throw this.#refusal(name, answer);
  }

  /** Asks a route whose answer is no JSON value by the contract; the answer as text. */
  async text<Name extends Exclude<RouteName, JsonRouteName>>(
    name: Name,
    parts: CallParts<Name> = {},
  ): Promise<string> {
    const answer = await this.#send(name, parts);
    if (answer.status >= 300) throw this.#refusal(name, answer);
    return answer.text;
  }

  /** Ends requests that are under way; they fail. */
  close(): void {
    this.#closing.abort();
  }

  async #send<Name extends RouteName>(name: Name, parts: CallParts<Name>): Promise<RawAnswer> {
    const { method }: ApiRoute = API_ROUTES[name];
    const { body } = parts;
    const signal = AbortSignal.any([
      AbortSignal.timeout(REQUEST_TIMEOUT_MS),
      this.#closing.signal,
    ]);
    try {
      const response = await fetch(this.origin + pathOf(name, parts), {
        method,
        headers: {
          Authorization: `Bearer ${this.#token}`,
          "User-Agent": softwareName(),
          ...(body === undefined ? {} : { "Content-Type": "application/json" }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        redirect: "manual",
        signal,
      });
      this.#requireNoRedirect(response);
      const text = await this.#textOf(response);
      return { status: response.status, type: response.headers.get("Content-Type") ?? "", text };
    } catch (error) {
      if (error instanceof CommandError) throw error;
      const doubt = method !== "GET" && mayHaveArrived(error)
        ? "; whether it has made the change is not known: look before you repeat it"
        : "";
      throw new ConsoleAwayError(`${this.origin} does not answer: ${fetchFault(error)}${doubt}`, {
        cause: error,
      });
    }
  }

  /** A token is given to nobody but the console that was named. */
  #requireNoRedirect({ status, headers }: Response): void {
    if (status < 300 || status > 399) return;
    const location = headers.get("Location");
    throw new CommandError(
      `${this.origin} sends on to ${location ?? "nowhere"}: give the address of the console itself`,
    );
  }

  async #textOf(response: Response): Promise<string> {
    const decoder = new TextDecoder();
    let text = "";
    let bytes = 0;
    for await (const chunk of response.body ?? []) {
      bytes += chunk.length;
      if (bytes > CONSOLE_ANSWER_BYTES_MAX) {
        throw new CommandError(
          `${this.origin} answers more than ${CONSOLE_ANSWER_BYTES_MAX} bytes: that is no console`,
        );
      }
      text += decoder.decode(chunk, { stream: true });
    }
    return text + decoder.decode();
  }

  #valueOf<Name extends JsonRouteName>(name: Name, answer: RawAnswer): ResponseOf<Name> {
    const { response }: ApiRoute = API_ROUTES[name];
    if (response === null) return undefined as ResponseOf<Name>;
    const value = jsonOf(answer);
    if (value === undefined || typeof response === "string") throw this.#noConsole(answer);
    const result = response.safeParse(value, { error: shapeWords });
    // A newer console may tell more than is known here.
    const faults = result.error?.issues.filter(({ code }) => code !== "unrecognized_keys") ?? [];
    if (faults.length === 0) return value as unknown as ResponseOf<Name>;
    const [{ path, message }] = faults;
    throw new CommandError(
      `${this.origin} answers what no console of this version would: ` +
        `${path.join(".") || "the whole"}: ${message}`,
    );
  }

  #noConsole({ status, type }: RawAnswer): CommandError {
    const kind = type === "" ? "" : ` with ${type.split(";")[0]}`;
    return new CommandError(`${this.origin} is no Lars console: it answered ${status}${kind}`);
  }

  #refusal(name: RouteName, answer: RawAnswer): CommandError {
    const { status } = answer;
    const problem = problemOf(answer);
    if (problem === undefined) {
      return [502, 503, 504].includes(status)
        ? new ConsoleAwayError(`${this.origin} does not answer: a proxy before it says ${status}`)
        : this.#noConsole(answer);
    }
    const { detail, type } = problem;
    if (isUnknownRoute(answer)) {
      const { method, path }: ApiRoute = API_ROUTES[name];
      return new CommandError(
        `The console at ${this.origin} is older than this program: it has no ${method} ${path}`,
      );
    }
    if (type === "urn:lars:not-logged-in") {
      return new CommandError(
        `${this.origin} does not take the token in ${this.#tokenFile}: it is wrong, or it has ` +
          "expired or was revoked; its owner can make another in the console, under Account",
      );
    }
    if (type === "urn:lars:not-allowed") {
      return new CommandError(`${detail} (${this.origin}, token in ${this.#tokenFile})`);
    }
    const refusal = Object.hasOwn(REFUSALS, type) ? REFUSALS[type] : undefined;
    if (refusal !== undefined) return new ConsoleRefusedError(detail, refusal);
    const isAway = ["urn:lars:store-away", "urn:lars:too-many-requests"].includes(type);
    return isAway ? new ConsoleAwayError(detail) : new CommandError(detail);
  }
}

/** `http://HOST:PORT` of an address. @throws {UsageError} when it is none. */
function originOf(server: string): string {
  const url = URL.parse(server);
  const isPlain = url !== null && ["http:", "https:"].includes(url.protocol) &&
    url.username === "" && url.password === "" && url.pathname === "/" && url.search === "" &&
    url.hash === "";
  if (isPlain && /^https?:\/\//i.test(server)) return url.origin;
  throw new UsageError(`--server must look like http://HOST:PORT: current value is "${server}"`);
}

function pathOf<Name extends RouteName>(name: Name, { params, query }: CallParts<Name>): string {
  const { path }: ApiRoute = API_ROUTES[name];
  const filled = path.replace(
    /\{(\w+)\}/g,
    (_, part: string) => encodeURIComponent(String(params?.[part])),
  );
  const given = Object.entries(query ?? {}).filter((entry): entry is [string, string] =>
    typeof entry[1] === "string"
  );
  const search = new URLSearchParams(given).toString();
  return `${API_PREFIX}${filled}${search === "" ? "" : `?${search}`}`;
}

function jsonOf({ text }: RawAnswer): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** What a console says of an error; undefined when no console says it. */
function problemOf(answer: RawAnswer): ProblemBody | undefined {
  const value = jsonOf(answer);
  if (typeof value !== "object" || value === null) return undefined;
  const { type, detail } = value as Partial<ProblemBody>;
  const isOurs = typeof type === "string" && type.startsWith("urn:lars:") &&
    typeof detail === "string";
  return isOurs ? value as ProblemBody : undefined;
}

function isUnknownRoute(answer: RawAnswer): boolean {
  return answer.status === 405 || problemOf(answer)?.detail === NO_ROUTE_DETAIL;
}
