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
  statesScript,
  takeLeaseScript,
  webhooksScript,
} from "./alert_scripts.ts";
import {
  callerCountScript,
  changeContentScript,
  changeScript,
  changesScript,
  changeStandsScript,
  nodeCallsScript,
} from "./change_scripts.ts";
import { putScaleRuleScript, removeScaleRuleScript, scaleRulesScript } from "./scale_scripts.ts";
import { addOriginalNamesScript, originalNamesScript } from "./original_name_scripts.ts";
import { hiddenTablesScript } from "../schema/hidden_tables.ts";
import type { ConsoleStore } from "./console_store.ts";
import type { Driver } from "../drivers/driver.ts";
import type { SchemaShape } from "../schema/schema_shape.ts";
import type { Dialect, Script } from "../drivers/sql_script.ts";

/** What the console's part takes from the store it belongs to. */
export interface StoreCore {
  readonly driver: Driver;
  /** Runs `work`, again after faults that another attempt may mend. */
  attempt<T>(action: string, work: () => Promise<T>): Promise<T>;
  /** Which of our additions the database has. */
  shape(): Promise<SchemaShape>;
}

/** A method of the store. */
type Method<Given extends unknown[], T> = (...given: Given) => Promise<T>;

/** What is read of the system besides what the console keeps itself. */
function factsOf(
  { driver, attempt, shape }: StoreCore,
): Pick<ConsoleStore, "nodeCalls" | "callerCount" | "hiddenTables"> {
  const run = <T>(action: string, script: () => Script<T>): Promise<T> =>
    attempt(action, () => driver.run(script));
  return {
    nodeCalls: (sinceTs, after, limit, windowsSinceTs) =>
      attempt("read call totals", async () => {
        const known = await shape();
        return await driver.run(() =>
          nodeCallsScript(known, sinceTs, after, limit, windowsSinceTs)
        );
      }),
    callerCount: (sinceTs) => run("count the callers", () => callerCountScript(sinceTs)),
    hiddenTables: (names) =>
      run("read the tables", () => hiddenTablesScript(driver.dialect, names)),
  };
}

/** The one implementation of {@linkcode ConsoleStore}: each method runs one script. */
export function consoleSqlStore({ driver, attempt, shape }: StoreCore): ConsoleStore {
  const { dialect } = driver;
  /** Runs statements one by one. */
  const plain = <Given extends unknown[], T>(
    action: string,
    script: (...given: Given) => Script<T>,
  ): Method<Given, T> =>
  (...given) => attempt(action, () => driver.run(() => script(...given)));
  /** Runs them in one transaction that survives a loss of power. */
  const whole = <Given extends unknown[], T>(
    action: string,
    script: (dialect: Dialect, ...given: Given) => Script<T>,
  ): Method<Given, T> =>
  (...given) =>
    attempt(action, () => driver.transact(() => script(dialect, ...given), { durable: true }));
  const addUser = whole("add a user", addUserScript);
  const remove = whole("remove a row", removeByIdScript);
  const putState = plain("write the console's state", putStateScript);
  return {
    users: plain("read the users", () => usersScript()),
    user: plain("read a user", userScript),
    addUser: async (user, audit) => void await addUser(user, audit, false),
    addFirstUser: (user, audit) => addUser(user, audit, true),
    patchUser: whole("change a user", patchUserScript),
    removeUser: whole("remove a user", removeUserScript),
    addSession: whole("note a login", addSessionScript),
    session: plain("read a session", sessionScript),
    touchSession: plain("keep a session", touchSessionScript),
    removeSession: whole("end a session", removeSessionScript),
    tokens: plain("read the tokens", tokensScript),
    token: plain("read a token", tokenScript),
    addToken: whole("add a token", addTokenScript),
    touchToken: plain("note the use of a token", touchTokenScript),
    removeToken: whole("revoke a token", removeTokenScript),
    audit: whole("write the audit", auditScript),
    auditRows: plain("read the audit", auditRowsScript),
    change: (wish) =>
      attempt("change the routes", async () => {
        const known = await shape();
        return await driver.transact(() => changeScript(dialect, known, wish), {
          durable: true,
          wasCommitted: (outcome) => changeStandsScript(dialect, wish, outcome),
        });
      }),
    changes: plain("read the history of changes", changesScript),
    changeContent: plain("read a change", changeContentScript),
    rules: plain("read the alert rules", rulesScript),
    addRule: whole("add an alert rule", addRuleScript),
    putRule: whole("change an alert rule", putRuleScript),
    removeRule: (id, audit) => remove("AlertRule", id, audit),
    silences: plain("read the silences", silencesScript),
    addSilence: whole("add a silence", addSilenceScript),
    removeSilence: (id, audit) => remove("AlertSilence", id, audit),
    webhooks: plain("read the webhooks", webhooksScript),
    addWebhook: whole("add a webhook", addWebhookScript),
    putWebhook: whole("change a webhook", putWebhookScript),
    removeWebhook: (id, audit) => remove("AlertWebhook", id, audit),
    scaleRules: plain("read the rules of scaling", scaleRulesScript),
    putScaleRule: whole("set a rule of scaling", putScaleRuleScript),
    removeScaleRule: whole("remove a rule of scaling", removeScaleRuleScript),
    state: plain("read the console's state", stateScript),
    states: plain("read the console's states", statesScript),
    putState: (name, content) => putState(dialect, name, content),
    takeLease: whole("take a lease", takeLeaseScript),
    ...factsOf({ driver, attempt, shape }),
    originalNames: plain("read the names of the original", originalNamesScript),
    addOriginalNames: whole("add names for the original", addOriginalNamesScript),
  };
}
