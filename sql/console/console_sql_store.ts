// Core. The console's part of the store over any driver.

import {
  addSessionScript,
  addTokenScript,
  addUserScript,
  auditRowsScript,
  auditScript,
  patchUserScript,
  removeSessionScript,
  removeTokenScript,
  removeUserScript,
  sessionScript,
  tokenScript,
  tokensScript,
  touchSessionScript,
  touchTokenScript,
  userScript,
  usersScript,
} from "./access_scripts.ts";
import {
  addRuleScript,
  addSilenceScript,
  addWebhookScript,
  putRuleScript,
  putStateScript,
  putWebhookScript,
  removeByIdScript,
  rulesScript,
  silencesScript,
  stateScript,
  takeLeaseScript,
  webhooksScript,
} from "./alert_scripts.ts";
import {
  callerCountScript,
  changeContentScript,
  changeScript,
  changesScript,
  nodeCallsScript,
} from "./change_scripts.ts";
import type {
  AuditEntry,
  AuditRow,
  BackFilter,
  ChangeContent,
  ChangeOutcome,
  ChangeRow,
  ChangeWish,
  ConsoleStore,
  NodeCalls,
  RuleRow,
  SessionRow,
  SilenceRow,
  TokenRow,
  UserRow,
  WebhookRow,
} from "./console_store.ts";
import type { Driver, ScriptMaker } from "../drivers/driver.ts";
import type { SchemaShape } from "../schema/schema_shape.ts";
import type { Dialect, Script } from "../drivers/sql_script.ts";
import type { ModuleKey } from "../../model/module.ts";

/** What the console's part takes from the store it belongs to. */
export interface StoreCore {
  readonly driver: Driver;
  /** Runs `work`, again after faults that another attempt may mend. */
  attempt<T>(action: string, work: () => Promise<T>): Promise<T>;
  /** Which of our additions the database has. */
  shape(): Promise<SchemaShape>;
}

/** The one implementation of {@linkcode ConsoleStore}. */
export class ConsoleSqlStore implements ConsoleStore {
  readonly #core: StoreCore;
  readonly #dialect: Dialect;

  constructor(core: StoreCore) {
    this.#core = core;
    this.#dialect = core.driver.dialect;
  }

  users(): Promise<UserRow[]> {
    return this.#read("read the users", usersScript);
  }

  user(name: string): Promise<UserRow | undefined> {
    return this.#read("read a user", () => userScript(name));
  }

  async addUser(user: UserRow, audit: AuditEntry): Promise<void> {
    await this.#write("add a user", () => addUserScript(this.#dialect, user, audit, false));
  }

  addFirstUser(user: UserRow, audit: AuditEntry): Promise<boolean> {
    return this.#write("add a user", () => addUserScript(this.#dialect, user, audit, true));
  }

  patchUser(
    name: string,
    patch: Partial<Pick<UserRow, "role" | "disabled" | "passwordHash" | "mustChange">>,
    audit: AuditEntry,
    keepSession = "",
  ): Promise<UserRow | undefined> {
    const script = (): Script<UserRow | undefined> =>
      patchUserScript(this.#dialect, name, patch, audit, keepSession);
    return this.#write("change a user", script);
  }

  removeUser(name: string, audit: AuditEntry): Promise<boolean> {
    return this.#write("remove a user", () => removeUserScript(this.#dialect, name, audit));
  }

  addSession(session: SessionRow, audit: AuditEntry): Promise<void> {
    return this.#write("note a login", () => addSessionScript(this.#dialect, session, audit));
  }

  session(hash: string): Promise<{ session: SessionRow; user: UserRow } | undefined> {
    return this.#read("read a session", () => sessionScript(hash));
  }

  touchSession(hash: string, seenAtMs: number, expiresAtMs: number): Promise<void> {
    return this.#read("keep a session", () => touchSessionScript(hash, seenAtMs, expiresAtMs));
  }

  removeSession(hash: string, audit: AuditEntry): Promise<void> {
    return this.#write("end a session", () => removeSessionScript(this.#dialect, hash, audit));
  }

  tokens(owner?: string): Promise<TokenRow[]> {
    return this.#read("read the tokens", () => tokensScript(owner));
  }

  token(hash: string): Promise<{ token: TokenRow; user: UserRow } | undefined> {
    return this.#read("read a token", () => tokenScript(hash));
  }

  addToken(token: Omit<TokenRow, "id">, audit: AuditEntry): Promise<number> {
    return this.#write("add a token", () => addTokenScript(this.#dialect, token, audit));
  }

  touchToken(id: number, usedAtMs: number): Promise<void> {
    return this.#read("note the use of a token", () => touchTokenScript(id, usedAtMs));
  }

  removeToken(id: number, owner: string | undefined, audit: AuditEntry): Promise<boolean> {
    return this.#write(
      "revoke a token",
      () => removeTokenScript(this.#dialect, id, owner, audit),
    );
  }

  audit(entry: AuditEntry): Promise<void> {
    return this.#write("write the audit", () => auditScript(this.#dialect, entry));
  }

  auditRows(filter: BackFilter & { who?: string; action?: string }): Promise<AuditRow[]> {
    return this.#read("read the audit", () => auditRowsScript(filter));
  }

  change(wish: ChangeWish): Promise<ChangeOutcome> {
    return this.#core.attempt("change the routes", async () => {
      const shape = await this.#core.shape();
      return await this.#core.driver.transact(
        () => changeScript(this.#dialect, shape, wish),
        { durable: true },
      );
    });
  }

  changes(
    filter: BackFilter & Partial<ModuleKey> & { who?: string },
  ): Promise<ChangeRow[]> {
    return this.#read("read the history of changes", () => changesScript(filter));
  }

  changeContent(id: number): Promise<ChangeContent | undefined> {
    return this.#read("read a change", () => changeContentScript(id));
  }

  rules(): Promise<RuleRow[]> {
    return this.#read("read the alert rules", rulesScript);
  }

  addRule(rule: Omit<RuleRow, "id">, audit: AuditEntry): Promise<number> {
    return this.#write("add an alert rule", () => addRuleScript(this.#dialect, rule, audit));
  }

  putRule(rule: RuleRow, audit: AuditEntry): Promise<boolean> {
    return this.#write("change an alert rule", () => putRuleScript(this.#dialect, rule, audit));
  }

  removeRule(id: number, audit: AuditEntry): Promise<boolean> {
    return this.#remove("AlertRule", id, audit);
  }

  silences(nowMs: number): Promise<SilenceRow[]> {
    return this.#read("read the silences", () => silencesScript(nowMs));
  }

  addSilence(silence: Omit<SilenceRow, "id">, audit: AuditEntry): Promise<number> {
    return this.#write("add a silence", () => addSilenceScript(this.#dialect, silence, audit));
  }

  removeSilence(id: number, audit: AuditEntry): Promise<boolean> {
    return this.#remove("AlertSilence", id, audit);
  }

  webhooks(): Promise<WebhookRow[]> {
    return this.#read("read the webhooks", webhooksScript);
  }

  addWebhook(webhook: Omit<WebhookRow, "id">, audit: AuditEntry): Promise<number> {
    return this.#write("add a webhook", () => addWebhookScript(this.#dialect, webhook, audit));
  }

  putWebhook(webhook: WebhookRow, audit: AuditEntry): Promise<boolean> {
    return this.#write("change a webhook", () => putWebhookScript(this.#dialect, webhook, audit));
  }

  removeWebhook(id: number, audit: AuditEntry): Promise<boolean> {
    return this.#remove("AlertWebhook", id, audit);
  }

  state(name: string): Promise<string | undefined> {
    return this.#read("read the console's state", () => stateScript(name));
  }

  putState(name: string, content: string): Promise<void> {
    return this.#read(
      "write the console's state",
      () => putStateScript(this.#dialect, name, content),
    );
  }

  takeLease(name: string, holder: string, nowMs: number, untilMs: number): Promise<boolean> {
    return this.#write(
      "take a lease",
      () => takeLeaseScript(this.#dialect, name, holder, nowMs, untilMs),
    );
  }

  nodeCalls(sinceTs: number, after: NodeCalls | undefined, limit: number): Promise<NodeCalls[]> {
    return this.#core.attempt("read call totals", async () => {
      const shape = await this.#core.shape();
      return await this.#core.driver.run(() => nodeCallsScript(shape, sinceTs, after, limit));
    });
  }

  callerCount(sinceTs: number): Promise<number> {
    return this.#read("count the callers", () => callerCountScript(sinceTs));
  }

  #read<T>(action: string, makeScript: ScriptMaker<T>): Promise<T> {
    return this.#core.attempt(action, () => this.#core.driver.run(makeScript));
  }

  #write<T>(action: string, makeScript: ScriptMaker<T>): Promise<T> {
    return this.#core.attempt(
      action,
      () => this.#core.driver.transact(makeScript, { durable: true }),
    );
  }

  #remove(
    table: "AlertRule" | "AlertSilence" | "AlertWebhook",
    id: number,
    audit: AuditEntry,
  ): Promise<boolean> {
    const script = (): Script<boolean> => removeByIdScript(this.#dialect, table, id, audit);
    return this.#write("remove a row", script);
  }
}
