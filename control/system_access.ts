// Core. The system as commands see it: its database, or a console by its REST interface.

import type { ModuleKey } from "../model/module.ts";
import type { NodeAddress } from "../model/node.ts";
import type { ChangeEdits, UserRole } from "../sql/console/console_store.ts";
import type { EventQuery, EventRecord } from "../sql/results/event.ts";
import type { ModuleRow, RouteRow } from "../sql/store.ts";
import type { CountedRow } from "../model/node.ts";
import type { WebhookSettings } from "./alerts/alert_settings.ts";
import type { ChangeOptions, ModuleFilter } from "./changes/change.ts";
import type {
  ChangeDetail,
  ChangeResult,
  ChangeSummary,
  Counters,
  Explanation,
  FollowerList,
  NodeCallers,
  NodeUseAnswers,
  Report,
  Rule,
  ScaledModule,
  ScaleRule,
  Silence,
  SilenceWish,
  StoreFacts,
  User,
  WebhookWish,
} from "./schemas.ts";

/** Who may log in to the console. */
export interface UserAccess {
  list(): Promise<readonly User[]>;
  /** The one-time password. */
  add(name: string, role: UserRole): Promise<string>;
  /** The new one-time password. */
  reset(name: string): Promise<string>;
  /** Changes the role of a user, or whether he may log in. */
  patch(name: string, patch: Partial<Pick<User, "role" | "isDisabled">>): Promise<void>;
  remove(name: string): Promise<void>;
}

/** What alerts go by. */
export interface AlertAccess {
  rules(): Promise<readonly Rule[]>;
  addRule(rule: Omit<Rule, "id">): Promise<void>;
  putRule(id: number, rule: Omit<Rule, "id">): Promise<void>;
  removeRule(id: number): Promise<void>;
  /** Those that have not ended. */
  silences(): Promise<readonly Silence[]>;
  addSilence(wish: SilenceWish): Promise<void>;
  removeSilence(id: number): Promise<void>;
  /** Without their secrets. */
  webhooks(): Promise<readonly WebhookSettings[]>;
  /** The secret that its messages are signed with. */
  addWebhook(wish: WebhookWish): Promise<string>;
  patchWebhook(id: number, patch: Partial<WebhookWish>): Promise<void>;
  removeWebhook(id: number): Promise<void>;
}

/** How many nodes modules should have for their load. */
export interface ScaleAccess {
  /** Every rule, with what was decided last. */
  modules(): Promise<readonly ScaledModule[]>;
  put(module: ModuleKey, rule: ScaleRule, why?: string): Promise<void>;
  remove(module: ModuleKey, why?: string): Promise<void>;
}

/** The history of changes. */
export interface ChangeLog {
  /** Of one module, newest first; none on a schema that keeps no history. */
  changes(filter: ModuleKey & { readonly limit: number }): Promise<readonly ChangeSummary[]>;
  detail(id: number): Promise<ChangeDetail>;
}

/** What commands need of a system, wherever it is. */
export interface SystemAccess {
  /** All routes, or those of one module. */
  read(module?: ModuleKey): Promise<CountedRow[]>;
  /** The rows of one node, in whichever modules have it. */
  readNode(node: NodeAddress): Promise<RouteRow[]>;
  /** Modules with a name or a policy. */
  texts(filter?: ModuleFilter): Promise<ModuleRow[]>;
  /** Applies all edits of routes, names and policies or none; every dns is told. */
  change(edits: ChangeEdits, options?: Omit<ChangeOptions, "expect">): Promise<ChangeResult>;
  /** Says that a route is meant as it is. */
  confirm(module: ModuleKey, why: string | undefined): Promise<ChangeResult>;
  /** What the database holds. */
  facts(): Promise<StoreFacts>;
  /** How the system is. */
  report(): Promise<Report>;
  /** Who follows routes, by which way. */
  followers(): Promise<FollowerList>;
  /** Counters of every node. */
  counters(): Promise<Counters>;
  /** Events, as `Store.readEvents` gives them. */
  readEvents(query?: EventQuery): Promise<EventRecord[]>;
  /** Asks every dns how its agents use a node in these modules. */
  /**
   * Why an agent of the fleet picks which node.
   *
   * @param agent Its name, `host` or `host:port`.
   */
  explain(module: ModuleKey, agent: string, nodesMax: number): Promise<Explanation>;
  nodeUse(node: NodeAddress, modules: readonly ModuleKey[]): Promise<NodeUseAnswers>;
  /** Who reported calls of a node within the last seconds. */
  nodeCallers(
    node: NodeAddress,
    modules: readonly ModuleKey[],
    withinS: number,
  ): Promise<NodeCallers>;
  readonly users: UserAccess;
  readonly alerts: AlertAccess;
  readonly scaling: ScaleAccess;
  readonly history: ChangeLog;
  /** Ends whatever is under way; it fails. */
  close(): Promise<void>;
}
