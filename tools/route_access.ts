// Shell. Routes of a command: those of a database, or of a console by its REST interface.

import { formatIpv4, parseIpv4 } from "../reactor/address.ts";
import type {
  EditOptions,
  ModuleChange,
  ModuleKey,
  ModuleRow,
  RouteEdit,
  RouteRow,
  Store,
} from "../sql/store.ts";
import type { BodyOf, ResponseOf } from "../web/contract.ts";
import { CHANGE_EDITS_MAX, PAGE_ROWS_MAX } from "../web/schemas.ts";
import type { NodeAddress } from "./cli_arguments.ts";
import { CommandError } from "./cli_errors.ts";
import { ConsoleClient, type ServerFlags } from "./console_client.ts";
import {
  changeAndTell,
  editAndTell,
  type EditFlags,
  type EditOutcome,
  setModulesAndTell,
} from "./route_edit.ts";
import { withStore } from "./store_access.ts";
import { warningLine } from "./terminal.ts";

export { addServerOption } from "./console_client.ts";

/** Options of commands that work on a database or through a console. */
export type RouteFlags = ServerFlags;

/** What commands about routes need of wherever the routes are. */
export interface RouteAccess {
  /** All routes, or those of one module. */
  read(module?: ModuleKey): Promise<RouteRow[]>;
  /** The rows of one node, in whichever modules have it. */
  readNode(node: NodeAddress): Promise<RouteRow[]>;
  /** Applies all edits or none; every dns is told. */
  edit(
    edits: readonly RouteEdit[],
    flags: EditFlags,
    options?: EditOptions,
  ): Promise<EditOutcome>;
  /** Says that a route is meant as it is. */
  confirm(module: ModuleKey, flags: EditFlags): Promise<EditOutcome>;
  /** Name and policy of one module; both empty when it has none. */
  module(module: ModuleKey): Promise<ModuleRow>;
  /** All modules with a name or a policy; a console does not say when they changed. */
  modules(): Promise<ModuleRow[]>;
  /** Sets name and policy of one module; every dns is told. */
  setModule(change: ModuleChange, flags: EditFlags): Promise<EditOutcome>;
}

/** Opens the database, or looks at the console that `--server` names, for `fn`. */
export async function withRoutes<T>(
  flags: RouteFlags,
  fn: (routes: RouteAccess) => Promise<T>,
): Promise<T> {
  const client = await ConsoleClient.of(flags);
  if (client !== undefined) return await fn(new ServerRoutes(client));
  return await withStore(flags, (store) => fn(storeRoutes(store)));
}

/** The routes of a database. */
export function storeRoutes(store: Store): RouteAccess {
  return {
    async read(module): Promise<RouteRow[]> {
      if (module !== undefined) return await store.readModules([module]);
      const rows: RouteRow[] = [];
      await store.readRoutes((page) => void rows.push(...page));
      return rows;
    },
    async readNode({ ip, port }): Promise<RouteRow[]> {
      const rows: RouteRow[] = [];
      await store.readRoutes((page) => {
        for (const row of page) if (row.ip === ip && row.port === port) rows.push(row);
      });
      return rows;
    },
    edit: (edits, flags, options) => editAndTell(store, edits, flags, options),
    confirm: (module, flags) => changeAndTell(store, flags, () => store.confirmRoutes([module])),
    async module(module): Promise<ModuleRow> {
      const [row] = await store.moduleRows([module]);
      return row ?? noTexts(module);
    },
    modules: async () =>
      (await store.moduleRows()).filter(({ name, policy }) => name !== "" || policy !== ""),
    setModule: (change, flags) => setModulesAndTell(store, [change], flags),
  };
}

function noTexts({ modId, cmdId }: ModuleKey): ModuleRow {
  return { modId, cmdId, name: "", policy: "", updatedAt: 0 };
}

interface FileNode extends Pick<RouteRow, "port" | "weight" | "zone" | "state"> {
  readonly modid: number;
  readonly cmdid: number;
  readonly ip: string;
}

/** Module details asked for at once. */
const DETAILS_AT_ONCE = 16;

/** The routes behind a console. */
class ServerRoutes implements RouteAccess {
  readonly #client: ConsoleClient;

  constructor(client: ConsoleClient) {
    this.#client = client;
  }

  async read(module?: ModuleKey): Promise<RouteRow[]> {
    const filter = module === undefined ? "" : `&modId=${module.modId}&cmdId=${module.cmdId}`;
    const nodes = await this.#get<FileNode[]>(`/routes/export?format=json${filter}`);
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

  async readNode({ ip, port }: NodeAddress): Promise<RouteRow[]> {
    return (await this.read()).filter((row) => row.ip === ip && row.port === port);
  }

  async edit(edits: readonly RouteEdit[], flags: EditFlags): Promise<EditOutcome> {
    if (edits.length > CHANGE_EDITS_MAX) {
      throw new CommandError(
        `A console takes at most ${CHANGE_EDITS_MAX} edits at once: these are ${edits.length}`,
      );
    }
    return await this.#change(
      edits.map((edit) => ({ ...edit, ip: formatIpv4(edit.ip) })),
      flags,
    );
  }

  async confirm({ modId, cmdId }: ModuleKey, flags: EditFlags): Promise<EditOutcome> {
    const path = `/modules/${modId}/${cmdId}/confirm`;
    const body: BodyOf<"confirmModule"> = whyOf(flags);
    return outcomeOf(
      await this.#client.ask<ResponseOf<"confirmModule">>({ method: "POST", path, body }),
    );
  }

  async module(module: ModuleKey): Promise<ModuleRow> {
    const { modId, cmdId } = module;
    const found = await this.#client.find<ResponseOf<"getModule">>(`/modules/${modId}/${cmdId}`);
    if (found === undefined) return noTexts(module);
    return { ...noTexts(module), name: found.name, policy: found.policyText };
  }

  async modules(): Promise<ModuleRow[]> {
    const told: ResponseOf<"listModules">["modules"] = [];
    for (;;) {
      const page = await this.#get<ResponseOf<"listModules">>(
        `/modules?sort=id&limit=${PAGE_ROWS_MAX}&offset=${told.length}`,
      );
      told.push(...page.modules);
      if (page.modules.length === 0 || told.length >= page.total) break;
    }
    // A module with the default policy may still have settings, which the list does not show.
    const rows: ModuleRow[] = [];
    for (let at = 0; at < told.length; at += DETAILS_AT_ONCE) {
      const keys = told.slice(at, at + DETAILS_AT_ONCE);
      rows.push(...await Promise.all(keys.map((key) => this.module(key))));
    }
    return rows.filter(({ name, policy }) => name !== "" || policy !== "");
  }

  setModule(change: ModuleChange, flags: EditFlags): Promise<EditOutcome> {
    return this.#change([{ op: "module", ...change }], flags);
  }

  #get<T>(path: string): Promise<T> {
    return this.#client.ask<T>({ method: "GET", path });
  }

  async #change(
    edits: BodyOf<"applyChange">["edits"],
    flags: EditFlags,
  ): Promise<EditOutcome> {
    const body: BodyOf<"applyChange"> = { edits, ...whyOf(flags) };
    return outcomeOf(
      await this.#client.ask<ResponseOf<"applyChange">>({ method: "POST", path: "/changes", body }),
    );
  }
}

function whyOf({ why }: EditFlags): { why?: string } {
  return why === undefined ? {} : { why };
}

function outcomeOf(result: ResponseOf<"applyChange">): EditOutcome {
  const told = result.told.map(({ fault, ...one }) => fault === null ? one : { ...one, fault });
  for (const one of told) {
    if (!one.told) warningLine(`dns ${one.address} was not told; it sees the change at its poll`);
  }
  return { changed: result.changed, version: result.version, told };
}
