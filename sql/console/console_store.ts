// Core. What the console asks of the database beyond routes: users, history of changes, alerts.

import type { OriginalNames } from "./original_name_scripts.ts";
import type { ModuleChange, ModuleKey } from "../../model/module.ts";
import type { NamedModule } from "../../model/module_name.ts";
import type { CountedRow, RouteEdit, RouteRow } from "../../model/node.ts";

/** Most users, tokens, alert rules, silences and webhooks; more are refused with a LimitError. */
export const USERS_MAX = 1000;
export const TOKENS_MAX = 1000;
export const SESSIONS_PER_USER_MAX = 20;
export const RULES_MAX = 500;
export const SILENCES_MAX = 1000;
export const WEBHOOKS_MAX = 50;
export const SCALE_RULES_MAX = 500;
/** Audit entries and changes kept; of more the oldest are forgotten. */
export const AUDIT_ROWS_MAX = 1_000_000;
export const CHANGES_MAX = 100_000;

/** What a user may do; each role may do what those before it may. */
export type UserRole = "viewer" | "operator" | "admin";

/** What a token may do: at most as much as its owner; `registrar` registers nodes alone. */
export type TokenRole = UserRole | "registrar";

/** A person who may log in. Instants here and below are in milliseconds since 1970. */
export interface UserRow {
  /** Also the key; at most 64 ASCII characters. */
  readonly name: string;
  readonly role: UserRole;
  /** Hash of the password with its parameters, never the password. */
  readonly passwordHash: string;
  readonly mustChange: boolean;
  readonly disabled: boolean;
  readonly createdAtMs: number;
  /** 0 before the first login. */
  readonly loginAtMs: number;
}

/** A login of a browser. */
export interface SessionRow {
  /** SHA-256 of the cookie, as hexadecimal text. */
  readonly hash: string;
  readonly user: string;
  readonly createdAtMs: number;
  readonly seenAtMs: number;
  readonly expiresAtMs: number;
}

/** A secret by which a program acts for its owner. */
export interface TokenRow {
  readonly id: number;
  readonly title: string;
  readonly owner: string;
  readonly role: TokenRole;
  /** SHA-256 of the secret, as hexadecimal text. */
  readonly hash: string;
  readonly createdAtMs: number;
  /** 0: never. */
  readonly expiresAtMs: number;
  /** 0 before the first use. */
  readonly usedAtMs: number;
}

/** One write, or one refused; kept in the same transaction as the write. */
export interface AuditEntry {
  readonly atMs: number;
  /** Name of the user, or of the command line. */
  readonly who: string;
  /** Word such as `node.add`; at most 32 ASCII characters. */
  readonly action: string;
  /** What it was done to; cut at 200 characters. */
  readonly target: string;
  readonly outcome: "done" | "refused";
  /** Details for people; cut at 2000 characters. */
  readonly detail: string;
  /** Where the request came from; empty for commands. */
  readonly address: string;
}

/** A stored {@linkcode AuditEntry}. */
export interface AuditRow extends AuditEntry {
  readonly id: number;
}

/** Values of a node that may change. */
export type NodeValues = Pick<RouteRow, "weight" | "zone" | "state">;

/** A node before and after a change; null where it does not exist. */
export interface NodeDifference {
  readonly modId: number;
  readonly cmdId: number;
  readonly ip: number;
  readonly port: number;
  readonly before: NodeValues | null;
  readonly after: NodeValues | null;
}

/** Name and policy of a module; both empty when nothing is stored. */
export interface ModuleTexts {
  readonly name: string;
  readonly policy: string;
}

/** A module whose name or policy a change altered. */
export interface ModuleDifference extends ModuleKey {
  readonly before: ModuleTexts;
  readonly after: ModuleTexts;
}

/** What a change did. */
export interface ChangeDifferences {
  readonly nodes: readonly NodeDifference[];
  readonly modules: readonly ModuleDifference[];
}

/** What a change wants. */
export interface ChangeEdits {
  readonly routes: readonly RouteEdit[];
  /** @default {[]} */
  readonly modules?: readonly ModuleChange[];
}

/** A module as a change finds or leaves it. */
export interface StoredModule extends ModuleKey, ModuleTexts {
  /** Each node once, in order of their first rows. */
  readonly nodes: readonly CountedRow[];
}

/** How a change came to be. */
export type ChangeVia = "console" | "token" | "command" | "import" | "rollback";

/** A change of routes together with its record. */
export interface ChangeWish {
  /** Modules that are locked, read and given to `decide`; every edit must be in one of them. */
  readonly modules: readonly ModuleKey[];
  /**
   * Gives the edits for what is stored, in the order of `modules`. Must be pure: it is called again
   * when the database undid the transaction. What it throws ends the change; nothing is written.
   */
  decide(stored: readonly StoredModule[]): ChangeEdits;
  /**
   * Judges new names of modules beside all names there are, in the same transaction. Pure, and may
   * throw, as `decide`.
   *
   * @default every name is taken
   */
  judgeNames?(renamed: readonly NamedModule[], rows: readonly NamedModule[]): void;
  readonly via: ChangeVia;
  readonly why: string;
  /** The change this one undoes; 0 for none. */
  readonly undoes: number;
  /** As in `EditOptions`: agents take it at once, however many nodes it removes. */
  readonly meant: boolean;
  /** Written with the change; `target` and `detail` are made from what changed when empty. */
  readonly audit: AuditEntry;
}

/** What a change did. */
export interface ChangeOutcome {
  /** Id in the history; undefined when everything was so already. */
  readonly id: number | undefined;
  readonly version: number;
  /** Modules that differ now. */
  readonly changed: readonly ModuleKey[];
  /** The modules of the wish as they were and as they are now, in its order. */
  readonly before: readonly StoredModule[];
  readonly stored: readonly StoredModule[];
}

/** One entry of the history. */
export interface ChangeRow {
  readonly id: number;
  readonly atMs: number;
  readonly who: string;
  readonly via: ChangeVia;
  readonly why: string;
  readonly summary: string;
  /** At most 20. */
  readonly modules: readonly ModuleKey[];
  readonly moduleCount: number;
  readonly nodeCount: number;
  /** 0 for none. */
  readonly undoes: number;
  /** 0 for none. */
  readonly undoneBy: number;
}

/** An entry with all it did. */
export interface ChangeContent extends ChangeRow {
  readonly differences: ChangeDifferences;
}

/** Going back in time through a list. */
export interface BackFilter {
  /** Only rows with a smaller id; 0: from the newest. */
  readonly before: number;
  readonly limit: number;
}

/** What an alert rule looks at. */
export interface RuleRow {
  readonly id: number;
  readonly kind: string;
  readonly title: string;
  readonly severity: "warning" | "critical";
  readonly enabled: boolean;
  readonly threshold: number;
  readonly forS: number;
  readonly clearS: number;
  readonly modId: number | null;
  readonly cmdId: number | null;
}

/** A time in which matching alerts are quiet; null matches everything. */
export interface SilenceRow {
  readonly id: number;
  readonly ruleId: number | null;
  readonly modId: number | null;
  readonly cmdId: number | null;
  readonly node: string | null;
  readonly why: string;
  readonly who: string;
  readonly createdAtMs: number;
  readonly endsAtMs: number;
}

/** An address that alerts are sent to. */
export interface WebhookRow {
  readonly id: number;
  readonly title: string;
  readonly url: string;
  /** Key of the signature. */
  readonly secret: string;
  readonly enabled: boolean;
  /** What its messages look like: `lars`, or those of another program. */
  readonly format: string;
  /** Longest wait for an answer, in seconds. */
  readonly timeoutS: number;
  /** Seconds that a message waits for others to come along. */
  readonly groupS: number;
}

/** How many nodes a module should have for its load. */
export interface ScaleRuleRow extends ModuleKey {
  /** The rule as JSON. */
  readonly content: string;
  readonly updatedAtMs: number;
}

/** Calls of one node, added up over its callers. */
export interface NodeCallTotals {
  readonly modId: number;
  readonly cmdId: number;
  readonly ip: number;
  readonly port: number;
  /** Totals of all callers that ever reported. */
  readonly succTotal: number;
  readonly errTotal: number;
  /** The same of the last window of each of them; all that is known where nobody tells totals. */
  readonly succCount: number;
  readonly errCount: number;
  /** Callers that reported since the instant asked for, and those of them that keep it out. */
  readonly callerCount: number;
  readonly overloadCount: number;
  /** Last report, in unix seconds. */
  readonly ts: number;
}

/**
 * The console's part of the store. Fails as {@linkcode Store} does. Methods that take an `audit`
 * entry write it in the same transaction.
 */
export interface ConsoleStore {
  /** Every user, by name. */
  users(): Promise<UserRow[]>;
  user(name: string): Promise<UserRow | undefined>;
  /** @throws {ConflictError} when the name is taken. @throws {LimitError} at `USERS_MAX`. */
  addUser(user: UserRow, audit: AuditEntry): Promise<void>;
  /** Makes the first user, and says false when there is one already. */
  addFirstUser(user: UserRow, audit: AuditEntry): Promise<boolean>;
  /**
   * Changes a user; sessions other than `keepSession` end.
   *
   * @returns undefined when there is none.
   * @throws {ConflictError} when no admin would be left.
   */
  patchUser(
    name: string,
    patch: Partial<Pick<UserRow, "role" | "disabled" | "passwordHash" | "mustChange">>,
    audit: AuditEntry,
    keepSession?: string,
  ): Promise<UserRow | undefined>;
  /**
   * Removes a user with sessions and tokens; false when there is none.
   *
   * @throws {ConflictError} when no admin would be left.
   */
  removeUser(name: string, audit: AuditEntry): Promise<boolean>;
  /** Notes a login: the oldest sessions beyond `SESSIONS_PER_USER_MAX` and all old ones end. */
  addSession(session: SessionRow, audit: AuditEntry): Promise<void>;
  /** A session with its user. */
  session(hash: string): Promise<{ session: SessionRow; user: UserRow } | undefined>;
  touchSession(hash: string, seenAtMs: number, expiresAtMs: number): Promise<void>;
  removeSession(hash: string, audit: AuditEntry): Promise<void>;
  /** Tokens, newest last; of one owner when given. */
  tokens(owner?: string): Promise<TokenRow[]>;
  /** A token with its owner. */
  token(hash: string): Promise<{ token: TokenRow; user: UserRow } | undefined>;
  /** @returns the id. @throws {LimitError} at `TOKENS_MAX`. */
  addToken(token: Omit<TokenRow, "id">, audit: AuditEntry): Promise<number>;
  touchToken(id: number, usedAtMs: number): Promise<void>;
  /** Revokes a token, when it belongs to `owner` if one is given; false when there is none. */
  removeToken(id: number, owner: string | undefined, audit: AuditEntry): Promise<boolean>;

  /** Notes something that was refused, or a write outside the database. */
  audit(entry: AuditEntry): Promise<void>;
  /** Audit entries, newest first. */
  auditRows(filter: BackFilter & { who?: string; action?: string }): Promise<AuditRow[]>;

  /**
   * Changes routes and keeps the change in the history, both or neither. Changes wait for each
   * other, so that ids of the history are in the order of what happened.
   *
   * @throws {ConflictError} as `editRoutes`, and what `decide` throws.
   */
  change(wish: ChangeWish): Promise<ChangeOutcome>;
  /** The history, newest first. */
  changes(
    filter: BackFilter & Partial<ModuleKey> & { who?: string },
  ): Promise<ChangeRow[]>;
  changeContent(id: number): Promise<ChangeContent | undefined>;

  rules(): Promise<RuleRow[]>;
  /** @returns the id. @throws {LimitError} at `RULES_MAX`. */
  addRule(rule: Omit<RuleRow, "id">, audit: AuditEntry): Promise<number>;
  /** False when there is none. */
  putRule(rule: RuleRow, audit: AuditEntry): Promise<boolean>;
  removeRule(id: number, audit: AuditEntry): Promise<boolean>;
  /** Silences that end after `nowMs`. */
  silences(nowMs: number): Promise<SilenceRow[]>;
  /** Old ones are forgotten. @returns the id. @throws {LimitError} at `SILENCES_MAX`. */
  addSilence(silence: Omit<SilenceRow, "id">, audit: AuditEntry): Promise<number>;
  removeSilence(id: number, audit: AuditEntry): Promise<boolean>;
  webhooks(): Promise<WebhookRow[]>;
  /** @returns the id. @throws {LimitError} at `WEBHOOKS_MAX`. */
  addWebhook(webhook: Omit<WebhookRow, "id">, audit: AuditEntry): Promise<number>;
  putWebhook(webhook: WebhookRow, audit: AuditEntry): Promise<boolean>;
  removeWebhook(id: number, audit: AuditEntry): Promise<boolean>;

  /** Every rule of scaling, in order of its module. */
  scaleRules(): Promise<ScaleRuleRow[]>;
  /** Sets the rule of a module. @throws {LimitError} at `SCALE_RULES_MAX`. */
  putScaleRule(row: ScaleRuleRow, audit: AuditEntry): Promise<void>;
  /** Removes the rule of a module; false when it has none. */
  removeScaleRule(module: ModuleKey, audit: AuditEntry): Promise<boolean>;

  /** A text kept under a name; undefined when there is none. */
  state(name: string): Promise<string | undefined>;
  /** Texts whose names begin so, in order of their names. */
  states(prefix: string): Promise<{ readonly name: string; readonly content: string }[]>;
  putState(name: string, content: string): Promise<void>;
  /**
   * Takes or renews a lease until `untilMs`, of which there is one for each name.
   *
   * @returns false while another holder has it.
   */
  takeLease(name: string, holder: string, nowMs: number, untilMs: number): Promise<boolean>;

  /**
   * Call totals of a page of nodes in order of their key, after a node if one is given. Callers are
   * those that reported at `sinceTs` (unix seconds) or later, counts of last windows those of
   * callers that reported at `windowsSinceTs` or later. @default {0}, all of them
   */
  nodeCalls(
    sinceTs: number,
    after: NodeCallTotals | undefined,
    limit: number,
    windowsSinceTs?: number,
  ): Promise<NodeCallTotals[]>;
  /** What the console of the original calls module and command numbers. */
  originalNames(): Promise<OriginalNames>;
  /** Adds such names; what is there stays. */
  addOriginalNames(names: OriginalNames): Promise<void>;
  /** Distinct callers that reported at `sinceTs` (unix seconds) or later. */
  callerCount(sinceTs: number): Promise<number>;
  /** Those of these tables that migrations have made, and a server hides from this account. */
  hiddenTables(names: readonly string[]): Promise<string[]>;
}
