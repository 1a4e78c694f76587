// Shell. The system as its database shows it, by the services that the console uses too.

import { userInfo } from "node:os";
import { readToken, softwareName } from "../daemon/daemon.ts";
import { runtime } from "../reactor/runtime/mod.ts";
import { systemClock } from "../reactor/time/system_clock.ts";
import { systemRng } from "../reactor/time/system_rng.ts";
import type { EventQuery, EventRecord } from "../sql/results/event.ts";
import type {
  EditOptions,
  ModuleChange,
  ModuleRow,
  RouteEdit,
  RouteRow,
  Store,
} from "../sql/store.ts";
import { AccessService } from "../control/access/access_service.ts";
import type { Actor } from "../control/access/actor.ts";
import { CounterService } from "../control/counters/counter_service.ts";
import { NodeUseService } from "../control/drain/node_use_service.ts";
import { readFacts, readReport } from "../control/reports/report_service.ts";
import { PasswordHasher } from "../control/access/secrets.ts";
import { TOKEN_FILE_VARIABLE } from "./cli_errors.ts";
import {
  changeAndTell,
  editAndTell,
  type EditFlags,
  type EditOutcome,
  setModulesAndTell,
} from "./route_edit.ts";
import type {
  Counters,
  NodeCallers,
  NodeUse,
  Report,
  StoreFacts,
  SystemAccess,
  UserAccess,
} from "./system_access.ts";
import type { ModuleKey } from "../model/module.ts";
import type { NodeAddress } from "../model/node.ts";

/** Whoever runs the command may do everything: the database is open to him anyway. */
function commandActor(): Actor {
  return {
    name: userInfo().username,
    role: "admin",
    via: "command",
    address: "",
    session: "",
    csrfToken: null,
    mustChangePassword: false,
    expiresAtMs: null,
  };
}

function userAccess(store: Store): UserAccess {
  const access = new AccessService({
    store: store.console,
    hasher: new PasswordHasher(),
    clock: systemClock,
  });
  return {
    list: () => access.users(),
    add: async (name, role) => (await access.addUser(commandActor(), { name, role })).password,
    reset: async (name) => (await access.resetPassword(commandActor(), name)).password,
    remove: (name) => access.removeUser(commandActor(), name),
  };
}

/** The system behind a database. */
export class StoreSystem implements SystemAccess {
  readonly users: UserAccess;
  readonly #store: Store;
  readonly #flags: Partial<EditFlags>;
  readonly #counters: CounterService;
  #nodeUse: Promise<NodeUseService> | undefined;

  /** @param flags Which dns to ask besides those that signed in, and the secret shared with them. */
  constructor(store: Store, flags: Partial<EditFlags> = {}) {
    this.#store = store;
    this.#flags = flags;
    this.#counters = new CounterService({ store, clock: systemClock });
    this.users = userAccess(store);
  }

  async read(module?: ModuleKey): Promise<RouteRow[]> {
    if (module !== undefined) return await this.#store.readModules([module]);
    const rows: RouteRow[] = [];
    await this.#store.readRoutes((page) => void rows.push(...page));
    return rows;
  }

  async readNode({ ip, port }: NodeAddress): Promise<RouteRow[]> {
    const rows: RouteRow[] = [];
    await this.#store.readRoutes((page) => {
      for (const row of page) if (row.ip === ip && row.port === port) rows.push(row);
    });
    return rows;
  }

  edit(
    edits: readonly RouteEdit[],
    flags: EditFlags,
    options?: EditOptions,
  ): Promise<EditOutcome> {
    return editAndTell(this.#store, edits, flags, options);
  }

  confirm(module: ModuleKey, flags: EditFlags): Promise<EditOutcome> {
    return changeAndTell(this.#store, flags, () => this.#store.confirmRoutes([module]));
  }

  async module(module: ModuleKey): Promise<ModuleRow> {
    const [row] = await this.#store.moduleRows([module]);
    return row ?? { ...module, name: "", policy: "", updatedAt: 0 };
  }

  async modules(): Promise<ModuleRow[]> {
    return (await this.#store.moduleRows())
      .filter(({ name, policy }) => name !== "" || policy !== "");
  }

  setModules(changes: readonly ModuleChange[], flags: EditFlags): Promise<EditOutcome> {
    return setModulesAndTell(this.#store, changes, flags);
  }

  facts(): Promise<StoreFacts> {
    return readFacts(this.#store);
  }

  report(): Promise<Report> {
    return readReport(this.#store, systemClock);
  }

  counters(): Promise<Counters> {
    return this.#counters.read();
  }

  readEvents(query?: EventQuery): Promise<EventRecord[]> {
    return this.#store.readEvents(query);
  }

  async nodeUse(node: NodeAddress, modules: readonly ModuleKey[]): Promise<NodeUse> {
    return await (await this.#nodes).use(node, modules);
  }

  async nodeCallers(
    node: NodeAddress,
    modules: readonly ModuleKey[],
    withinS: number,
  ): Promise<NodeCallers> {
    return await (await this.#nodes).callers(node, modules, withinS);
  }

  async close(): Promise<void> {
    await (await this.#nodeUse)?.close();
  }

  get #nodes(): Promise<NodeUseService> {
    return this.#nodeUse ??= this.#openNodeUse();
  }

  async #openNodeUse(): Promise<NodeUseService> {
    const { tokenFile, dns = [] } = this.#flags;
    return new NodeUseService({
      store: this.#store,
      clock: systemClock,
      rng: systemRng,
      software: softwareName(),
      token: await readToken(tokenFile ?? runtime.env(TOKEN_FILE_VARIABLE) ?? ""),
      addresses: dns,
    });
  }
}
