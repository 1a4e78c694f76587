// Shell. Routes of a command: those of a database, or of a console by its REST interface.

import { type Command, Option } from "commander";
import { readToken, softwareName } from "../daemon/daemon.ts";
import { formatIpv4, parseIpv4 } from "../reactor/address.ts";
import { messageOf } from "../reactor/errors.ts";
import { runtime } from "../reactor/runtime/mod.ts";
import type { EditOptions, ModuleKey, RouteEdit, RouteRow } from "../sql/store.ts";
import { API_PREFIX, type BodyOf, type ProblemBody, type ResponseOf } from "../web/contract.ts";
import { CHANGE_EDITS_MAX } from "../web/schemas.ts";
import { CommandError, TOKEN_FILE_VARIABLE, UsageError } from "./cli_errors.ts";
import { editAndTell, type EditFlags, type EditOutcome } from "./route_edit.ts";
import { type StoreFlags, withStore } from "./store_access.ts";
import { warningLine } from "./terminal.ts";

/** Options of commands that work on a database or through a console. */
export interface RouteFlags extends StoreFlags {
  readonly server?: string;
  readonly tokenFile?: string;
}

/** What `lars route` needs of wherever the routes are. */
export interface RouteAccess {
  /** All routes, or those of one module. */
  read(module?: ModuleKey): Promise<RouteRow[]>;
  /** Applies all edits or none; every dns is told. */
  edit(
    edits: readonly RouteEdit[],
    flags: EditFlags,
    options?: EditOptions,
  ): Promise<EditOutcome>;
}

/** Adds `--server`, and `--token-file` where the command has none yet. */
export function addServerOption(command: Command): Command {
  command.addOption(
    new Option("--server <URL>", "work through this console, for example http://127.0.0.1:8080")
      .conflicts(["store", "data", "dns"]),
  );
  if (command.options.some(({ long }) => long === "--token-file")) return command;
  return command.option("--token-file <FILE>", "with --server: an API token of the console");
}

/** Opens the database, or looks at the console that `--server` names, for `fn`. */
export async function withRoutes<T>(
  flags: RouteFlags,
  fn: (routes: RouteAccess) => Promise<T>,
): Promise<T> {
  if (flags.server !== undefined) {
    const token = await readToken(flags.tokenFile ?? runtime.env(TOKEN_FILE_VARIABLE) ?? "");
    if (token === undefined) {
      throw new UsageError("--server needs an API token of that console: give --token-file FILE");
    }
    return await fn(new ServerRoutes(flags.server, new TextDecoder().decode(token)));
  }
  return await withStore(flags, (store) =>
    fn({
      async read(module): Promise<RouteRow[]> {
        if (module !== undefined) return await store.readModules([module]);
        const rows: RouteRow[] = [];
        await store.readRoutes((page) => void rows.push(...page));
        return rows;
      },
      edit: (edits, editFlags, options) => editAndTell(store, edits, editFlags, options),
    }));
}

interface FileNode extends Pick<RouteRow, "port" | "weight" | "zone" | "state"> {
  readonly modid: number;
  readonly cmdid: number;
  readonly ip: string;
}

/** The routes behind a console. */
class ServerRoutes implements RouteAccess {
  readonly #base: string;
  readonly #token: string;

  constructor(url: string, token: string) {
    if (!/^https?:\/\/[^/?#]+\/?$/.test(url)) {
      throw new UsageError(`--server must look like http://HOST:PORT: current value is "${url}"`);
    }
    this.#base = url.replace(/\/$/, "") + API_PREFIX;
    this.#token = token;
  }

  async read(module?: ModuleKey): Promise<RouteRow[]> {
    const filter = module === undefined ? "" : `&modId=${module.modId}&cmdId=${module.cmdId}`;
    const nodes = await this.#ask<FileNode[]>("GET", `/routes/export?format=json${filter}`);
    return nodes.map(({ modid, cmdid, ip, port, weight, zone, state }) => ({
      modId: modid,
      cmdId: cmdid,
      ip: parseIpv4(ip),
      port,
      weight,
      zone,
      state,
    }));
  }

  async edit(edits: readonly RouteEdit[], flags: EditFlags): Promise<EditOutcome> {
    if (edits.length > CHANGE_EDITS_MAX) {
      throw new CommandError(
        `A console takes at most ${CHANGE_EDITS_MAX} edits at once: these are ${edits.length}`,
      );
    }
    const body: BodyOf<"applyChange"> = {
      edits: edits.map((edit) => ({ ...edit, ip: formatIpv4(edit.ip) })),
      ...(flags.why === undefined ? {} : { why: flags.why }),
    };
    const result = await this.#ask<ResponseOf<"applyChange">>("POST", "/changes", body);
    const told = result.told.map(({ fault, ...one }) => fault === null ? one : { ...one, fault });
    for (const one of told) {
      if (!one.told) warningLine(`dns ${one.address} was not told; it sees the change at its poll`);
    }
    return { changed: result.changed, version: result.version, told };
  }

  async #ask<T>(method: string, path: string, body?: unknown): Promise<T> {
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
      throw new CommandError(`${this.#base} does not answer: ${messageOf(error)}`, {
        cause: error,
      });
    }
    const text = await response.text();
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch (error) {
      throw new CommandError(`${this.#base} is no console: it answered ${response.status}`, {
        cause: error,
      });
    }
    if (response.ok) return value as T;
    const { detail, title } = value as Partial<ProblemBody>;
    throw new CommandError(`${detail ?? title ?? `The console answered ${response.status}`}`);
  }
}
