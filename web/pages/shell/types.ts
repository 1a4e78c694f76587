// Core. Short names for the values of the contract that pages pass around.

import type { BodyOf, ResponseOf } from "../../contract.ts";

export type ModuleDetail = ResponseOf<"getModule">;
export type Explanation = ResponseOf<"explainModule">;
export type NodeRow = ModuleDetail["nodes"][number];
export type ModuleRow = ResponseOf<"listModules">["modules"][number];
export type Health = ModuleRow["health"];
export type NodeHealth = NodeRow["health"];
export type NodeState = NodeRow["state"];
export type Overview = ResponseOf<"getOverview">;
export type Edit = BodyOf<"applyChange">["edits"][number];
export type ChangePreview = ResponseOf<"previewChange">;
export type ChangeResult = ResponseOf<"applyChange">;
export type ChangeRow = ResponseOf<"listChanges">["changes"][number];
export type NodeDifference = ChangePreview["nodes"][number];
export type ModuleDifference = ChangePreview["modules"][number];
export type TrafficShift = ChangePreview["traffic"][number];
export type AlertRow = ResponseOf<"listAlerts">["alerts"][number];
export type RuleRow = ResponseOf<"listRules">["rules"][number];
export type SilenceRow = ResponseOf<"listSilences">["silences"][number];
export type WebhookRow = ResponseOf<"listWebhooks">["webhooks"][number];
export type EventRow = ResponseOf<"listEvents">["events"][number];
export type AgentRow = ResponseOf<"listAgents">["agents"][number];
export type ServiceRow = ResponseOf<"listServices">["services"][number];
export type AuditRow = ResponseOf<"listAudit">["entries"][number];
export type UserRow = ResponseOf<"listUsers">["users"][number];
export type TokenRow = ResponseOf<"listTokens">["tokens"][number];
export type History = ResponseOf<"getHistory">;
export type HistorySeries = History["series"][number];
