// Core. What each route answers with JSON: the types of the services behind them.

import type { OneTimePassword, Token, User } from "../control/access/access_service.ts";
import type { Actor } from "../control/access/actor.ts";
import type { Alert } from "../control/alerts/alert_engine.ts";
import type { Rule, Webhook } from "../control/alerts/alert_service.ts";
import type {
  ChangeDetail,
  ChangePreview,
  ChangeResult,
  ChangeSummary,
} from "../control/changes/change.ts";
import type { Counters } from "../control/counters/counter_service.ts";
import type { NodeCallers, NodeUse } from "../control/drain/node_use_service.ts";
import type { Explanation } from "../control/explain/explain_service.ts";
import type { EventView, History } from "../control/reports/history_views.ts";
import type { Report } from "../control/reports/report_service.ts";
import type { AgentList } from "../control/system/agent_list.ts";
import type { ServiceView } from "../control/system/system_model.ts";
import type {
  Hit,
  ModuleDetail,
  ModuleList,
  Overview,
  ServiceList,
} from "../control/system/system_views.ts";
import type { AuditRow, SilenceRow } from "../sql/console/console_store.ts";
import type { ModuleRow } from "../sql/store.ts";

/** Who is logged in. */
export interface Session
  extends Pick<Actor, "name" | "role" | "csrfToken" | "mustChangePassword" | "expiresAtMs"> {
  readonly via: "cookie" | "token";
}

/** The state of the system for scripts. */
export interface Status {
  readonly software: string;
  readonly store: {
    readonly label: string;
    readonly isUp: boolean;
    readonly schemaVersion: number;
    readonly fault: string | null;
  };
  readonly overview: Overview;
  /** Of agents the worst 100. */
  readonly services: readonly ServiceView[];
}

/** What a setting of a policy may be. */
export interface SettingView {
  readonly name: string;
  readonly kind: "number" | "whole" | "flag" | "choice" | "choices" | "zones" | "shares";
  readonly min: number | null;
  readonly max: number | null;
  readonly unit: string;
  readonly choices: readonly string[];
  /** Value when left out; null: the agent's file decides. */
  readonly initial: unknown;
}

/** Name and policy of a module, and when they were changed. */
export type ModuleTextsView = Omit<ModuleRow, "updatedAt"> & { readonly updatedAtMs: number };

type ListOf<Name extends string, Row> = { readonly [Key in Name]: readonly Row[] };

/** JSON answers by the name of their route; routes that are not here answer nothing, or text. */
export interface Answers {
  getSession: Session;
  login: Session;
  loginByLink: Session;
  changePassword: Session;
  getOverview: Overview;
  getStatus: Status;
  getReport: Report;
  getCounters: Counters;
  listServices: ServiceList;
  listAgents: AgentList;
  listModules: ModuleList;
  listModuleTexts: ListOf<"modules", ModuleTextsView>;
  search: ListOf<"hits", Hit>;
  listPolicies: ListOf<"policies", string> & ListOf<"settings", SettingView>;
  getModule: ModuleDetail;
  explainModule: Explanation;
  getNodeUse: NodeUse;
  getNodeCallers: NodeCallers;
  getHistory: History;
  listEvents: ListOf<"events", EventView>;
  putModule: ChangeResult;
  deleteModule: ChangeResult;
  addNode: ChangeResult;
  patchNode: ChangeResult;
  removeNode: ChangeResult;
  confirmModule: ChangeResult;
  drainNode: ChangeResult;
  restoreNode: ChangeResult;
  previewChange: ChangePreview;
  applyChange: ChangeResult;
  listChanges: ListOf<"changes", ChangeSummary>;
  getChange: ChangeDetail;
  previewRollback: ChangePreview;
  rollbackChange: ChangeResult;
  previewImport: ChangePreview;
  importRoutes: ChangeResult;
  listAlerts: ListOf<"alerts", Alert>;
  listRules: ListOf<"rules", Rule>;
  addRule: Rule;
  putRule: Rule;
  listSilences: ListOf<"silences", SilenceRow>;
  addSilence: SilenceRow;
  listWebhooks: ListOf<"webhooks", Webhook>;
  addWebhook: Webhook & { readonly secret: string };
  patchWebhook: Webhook;
  testWebhook: { readonly isDone: boolean; readonly text: string };
  listAudit: ListOf<"entries", AuditRow>;
  listUsers: ListOf<"users", User>;
  addUser: OneTimePassword;
  patchUser: User;
  resetPassword: OneTimePassword;
  listTokens: ListOf<"tokens", Token>;
  addToken: Token & { readonly secret: string };
}
