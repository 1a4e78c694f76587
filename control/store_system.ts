// Shell. The system as its database shows it, by the services that the console uses too.

import type { SessionTransport } from "../session/handshake.ts";
import type { Secrets } from "../session/secrets.ts";
import type { ModuleKey } from "../model/module.ts";
import { type CountedRow, type NodeAddress, rowsThatCount } from "../model/node.ts";
import type { Rng } from "../reactor/time/rng.ts";
import type { ChangeEdits } from "../sql/console/console_store.ts";
import type { EventQuery, EventRecord } from "../sql/results/event.ts";
import type { ModuleRow, RouteRow, Store } from "../sql/store.ts";
import { AccessService } from "./access/access_service.ts";
import { type Actor, COMMAND_ACTOR } from "./access/actor.ts";
import { PasswordHasher } from "./access/secrets.ts";
import { AlertSettings, webhookSettings } from "./alerts/alert_settings.ts";
import type { ChangeOptions, ModuleFilter } from "./changes/change.ts";
import { ChangeService, readTexts } from "./changes/change_service.ts";
import type { NotifyOptions } from "./changes/dns_notifier.ts";
import { CounterService } from "./counters/counter_service.ts";
import { FleetExplainService } from "./explain/fleet_explain_service.ts";
import { DnsLines } from "./system/dns_lines.ts";
import { NodeUseService } from "./drain/node_use_service.ts";
import { readFacts, readReport } from "./reports/report_service.ts";
import { followerSource, listFollowers } from "./system/follower_list.ts";
import { knownServices } from "./system/known_services.ts";
import { ScaleSettings } from "./scaling/scale_settings.ts";
import type {
  AlertAccess,
  ChangeLog,
  ScaleAccess,
  SystemAccess,
  UserAccess,
} from "./system_access.ts";
import type {
  ChangeResult,
  Counters,
  Explanation,
  FollowerList,
  NodeCallers,
  NodeUseAnswers,
  Report,
  StoreFacts,
} from "./schemas.ts";

/** What the system works with. */
export interface StoreSystemOptions extends Omit<NotifyOptions, "secrets" | "transport"> {
  readonly rng: Rng;
  /** Name of whoever works on the database, for the history. */
  readonly who: string;
  /** Reads the secret shared with dns, when it is needed first. */
  secrets(): Promise<Secrets | undefined>;
  /** What makes connections to dns, when it is needed first. @default {without TLS} */
  transport?(): Promise<SessionTransport | undefined>;
}

/** Services that talk to dns. */
interface DnsServices {
  readonly changes: ChangeService;
  readonly nodeUse: NodeUseService;
  readonly explain: FleetExplainService;
  readonly lines: DnsLines;
}

function alertAccess(settings: AlertSettings, actor: Actor): AlertAccess {
  return {
    rules: () => settings.rules(),
    addRule: async (rule) => void await settings.addRule(actor, rule),
    putRule: async (id, rule) => void await settings.putRule(actor, id, rule),
    removeRule: (id) => settings.removeRule(actor, id),
    silences: () => settings.silences(),
    addSilence: async (wish) => void await settings.addSilence(actor, wish),
    removeSilence: (id) => settings.removeSilence(actor, id),
    webhooks: async () => (await settings.webhookRows()).map(webhookSettings),
    addWebhook: async (wish) => (await settings.addWebhook(actor, wish)).secret,
    patchWebhook: async (id, patch) => void await settings.patchWebhook(actor, id, patch),
    removeWebhook: (id) => settings.removeWebhook(actor, id),
  };
}

function scaleAccess(settings: ScaleSettings, actor: Actor): ScaleAccess {
  return {
    modules: () => settings.modules(),
    put: async (module, rule, why) => void await settings.put(actor, module, rule, why),
    remove: (module, why) => settings.remove(actor, module, why),
  };
}

/** The system behind a database. Whoever has it may do everything: the database is open to him. */
export class StoreSystem implements SystemAccess {
  readonly users: UserAccess;
  readonly alerts: AlertAccess;
  readonly scaling: ScaleAccess;
  readonly history: ChangeLog;
  readonly #options: StoreSystemOptions;
  readonly #store: Store;
  readonly #actor: Actor;
  readonly #counters: CounterService;
  #opened: Promise<DnsServices> | undefined;

  constructor(options: StoreSystemOptions) {
    const { store, clock, who } = options;
    this.#options = options;
    this.#store = store;
    const actor = { ...COMMAND_ACTOR, name: who };
    this.#actor = actor;
    this.#counters = new CounterService({ store, clock });
    const access = new AccessService({
      store: store.console,
      hasher: new PasswordHasher(),
      clock,
    });
    this.history = {
      changes: async (filter) => await (await this.#changes()).changes(filter),
      detail: async (id) => await (await this.#changes()).detail(id),
    };
    this.users = {
      list: () => access.users(),
      add: async (name, role) => (await access.addUser(actor, { name, role })).password,
      reset: async (name) => (await access.resetPassword(actor, name)).password,
      patch: async (name, patch) => void await access.patchUser(actor, name, patch),
      remove: (name) => access.removeUser(actor, name),
    };
    this.alerts = alertAccess(new AlertSettings({ store, clock }), actor);
    this.scaling = scaleAccess(new ScaleSettings({ store, clock }), actor);
  }

  async #changes(): Promise<ChangeService> {
    return (await this.#services()).changes;
  }

  async read(module?: ModuleKey): Promise<CountedRow[]> {
    if (module !== undefined) return rowsThatCount(await this.#store.readModules([module]));
    const rows: RouteRow[] = [];
    await this.#store.readRoutes((page) => void rows.push(...page));
    return rowsThatCount(rows);
  }

  async readNode({ ip, port }: NodeAddress): Promise<RouteRow[]> {
    const rows: RouteRow[] = [];
    await this.#store.readRoutes((page) => {
      for (const row of page) if (row.ip === ip && row.port === port) rows.push(row);
    });
    return rowsThatCount(rows);
  }

  texts(filter?: ModuleFilter): Promise<ModuleRow[]> {
    return readTexts(this.#store, filter);
  }

  async change(edits: ChangeEdits, options?: ChangeOptions): Promise<ChangeResult> {
    return await (await this.#services()).changes.change(this.#actor, edits, options);
  }

  async confirm(module: ModuleKey, why: string | undefined): Promise<ChangeResult> {
    return await (await this.#services()).changes.confirm(this.#actor, module, why);
  }

  facts(): Promise<StoreFacts> {
    return readFacts(this.#store);
  }

  report(): Promise<Report> {
    return readReport(this.#store, this.#options.clock);
  }

  async followers(): Promise<FollowerList> {
    const services = await knownServices(this.#store);
    const { version } = await this.#store.routeMark();
    const wallMs = this.#options.clock.wallMs();
    return listFollowers(
      services.map((service) => followerSource(service, version, wallMs)),
      version,
    );
  }

  counters(): Promise<Counters> {
    return this.#counters.read();
  }

  readEvents(query?: EventQuery): Promise<EventRecord[]> {
    return this.#store.readEvents(query);
  }

  async nodeUse(node: NodeAddress, modules: readonly ModuleKey[]): Promise<NodeUseAnswers> {
    return await (await this.#services()).nodeUse.use(node, modules);
  }

  async nodeCallers(
    node: NodeAddress,
    modules: readonly ModuleKey[],
    withinS: number,
  ): Promise<NodeCallers> {
    return await (await this.#services()).nodeUse.callers(node, modules, withinS);
  }

  async explain(module: ModuleKey, agent: string, nodesMax: number): Promise<Explanation> {
    return await (await this.#services()).explain.explain(module, agent, nodesMax);
  }

  async close(): Promise<void> {
    await (await this.#opened)?.lines.close();
  }

  /** Opened when they are needed first, since most commands need no secret. */
  #services(): Promise<DnsServices> {
    return this.#opened ??= this.#open();
  }

  async #open(): Promise<DnsServices> {
    const { secrets, transport } = this.#options;
    const options = {
      ...this.#options,
      secrets: await secrets(),
      transport: await transport?.(),
    };
    const lines = new DnsLines(options);
    const { store, clock } = options;
    return {
      changes: new ChangeService(options),
      nodeUse: new NodeUseService({ store, clock, lines }),
      explain: new FleetExplainService({ store, clock, lines }),
      lines,
    };
  }
}
