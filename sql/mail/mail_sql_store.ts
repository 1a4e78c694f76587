// Core. The relay's part of the store over any driver.

import type { StoreCore } from "../console/console_sql_store.ts";
import type { Dialect, Script } from "../drivers/sql_script.ts";
import {
  checkMail,
  checkMailName,
  countMailScript,
  expireMailScript,
  listMailScript,
  mailTotalsScript,
  openMailboxScript,
  pruneMailScript,
  putMailScript,
  readMailScript,
  takeMailScript,
} from "./mail_scripts.ts";
import type { Mailbox, MailOutcome, MailStore } from "./mail_store.ts";

/** The one implementation of {@linkcode MailStore}: each method runs one script. */
export function mailSqlStore({ driver, attempt }: Omit<StoreCore, "shape">): MailStore {
  const { dialect } = driver;
  const plain = <Given extends unknown[], T>(
    action: string,
    script: (...given: Given) => Script<T>,
  ) =>
  (...given: Given): Promise<T> => attempt(action, () => driver.run(() => script(...given)));
  /** In one transaction that survives a loss of power. */
  const whole = <Given extends unknown[], T>(
    action: string,
    script: (dialect: Dialect, ...given: Given) => Script<T>,
  ) =>
  (...given: Given): Promise<T> =>
    attempt(action, () => driver.transact(() => script(dialect, ...given), { durable: true }));
  const put = whole("keep messages", putMailScript);
  const open = whole("open a mailbox", openMailboxScript);
  return {
    async put(mail, limits, epoch): Promise<MailOutcome[]> {
      checkMail(mail);
      return await put(mail, limits, epoch);
    },
    async open(name, epoch): Promise<Mailbox> {
      checkMailName("Name of a mailbox", name);
      return await open(name, epoch);
    },
    read: plain("read messages", readMailScript),
    countAfter: plain("count messages", countMailScript),
    take: whole("take messages", takeMailScript),
    expire: whole("end messages", expireMailScript),
    prune: whole("end old messages", pruneMailScript),
    totals: plain("read the sums of mailboxes", mailTotalsScript),
    list: plain("list mailboxes", listMailScript),
  };
}
