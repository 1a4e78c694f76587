// Shell. A console as commands use it: its REST interface, with an API token.

import { type Command, Option } from "commander";
import { readToken, softwareName } from "../daemon/daemon.ts";
import { messageOf } from "../reactor/errors.ts";
import { runtime } from "../reactor/runtime/mod.ts";
import { API_PREFIX, type ProblemBody } from "../web/contract.ts";
import { CommandError, TOKEN_FILE_VARIABLE, UsageError } from "./cli_errors.ts";
import type { StoreFlags } from "./store_access.ts";

/** Options of commands that work on a database or through a console. */
export interface ServerFlags extends StoreFlags {
  readonly server?: string;
  readonly tokenFile?: string;
}

/** Adds `--server`, and `--token-file` where the command has none yet. */
export function addServerOption(command: Command): Command {
  const others = ["store", "data", "dns"]
    .filter((name) => command.options.some((option) => option.attributeName() === name));
  command.addOption(
    new Option("--server <URL>", "work through this console, for example http://127.0.0.1:8080")
      .conflicts(others),
  );
  if (command.options.some(({ long }) => long === "--token-file")) return command;
  return command.option("--token-file <FILE>", "with --server: an API token of the console");
}

/** The console, or its database, does not answer just now. */
export class ConsoleAwayError extends CommandError {}

/** What to ask. */
export interface ConsoleRequest {
  readonly method: "GET" | "POST";
  /** Below `/api/v1`. */
  readonly path: string;
  readonly body?: unknown;
}

/** One console. */
export class ConsoleClient {
  readonly #base: string;
  readonly #token: string;

  private constructor(base: string, token: string) {
    this.#base = base;
    this.#token = token;
  }

  /**
   * The console that `--server` names; undefined without the option.
   *
   * @throws {UsageError} without a token, or when the address is none.
   */
  static async of(flags: ServerFlags): Promise<ConsoleClient | undefined> {
    const { server } = flags;
    if (server === undefined) return undefined;
    const token = await readToken(flags.tokenFile ?? runtime.env(TOKEN_FILE_VARIABLE) ?? "");
    if (token === undefined) {
      throw new UsageError("--server needs an API token of that console: give --token-file FILE");
    }
    if (!/^https?:\/\/[^/?#]+\/?$/.test(server)) {
      throw new UsageError(
        `--server must look like http://HOST:PORT: current value is "${server}"`,
      );
    }
    const base = server.replace(/\/$/, "") + API_PREFIX;
    return new ConsoleClient(base, new TextDecoder().decode(token));
  }

  /** @throws {CommandError} when the console does not answer, or refuses. */
  async ask<T>(request: ConsoleRequest): Promise<T> {
    const { status, value } = await this.#send(request);
    if (status < 300) return value as T;
    throw refusal(status, value);
  }

  /** As {@linkcode ask}; undefined when there is no such thing. */
  async find<T>(path: string): Promise<T | undefined> {
    const { status, value } = await this.#send({ method: "GET", path });
    if (status < 300) return value as T;
    if (status === 404) return undefined;
    throw refusal(status, value);
  }

  async #send({ method, path, body }: ConsoleRequest): Promise<{ status: number; value: unknown }> {
    let response: Response;
    try {
      response = await fetch(this.#base + path, {
        method,
        headers: {
          Authorization: `Bearer ${this.#token}`,
          "User-Agent": softwareName(),
          ...(body === undefined ? {} : { "Content-Type": "application/json" }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        redirect: "error",
      });
    } catch (error) {
      throw new ConsoleAwayError(`${this.#base} does not answer: ${messageOf(error)}`, {
        cause: error,
      });
    }
    const text = await response.text();
    try {
      return { status: response.status, value: JSON.parse(text) };
    } catch (error) {
      throw new CommandError(`${this.#base} is no console: it answered ${response.status}`, {
        cause: error,
      });
    }
  }
}

function refusal(status: number, value: unknown): CommandError {
  const { detail, title } = value as Partial<ProblemBody>;
  const message = detail ?? title ?? `The console answered ${status}`;
  return status >= 500 ? new ConsoleAwayError(message) : new CommandError(message);
}
