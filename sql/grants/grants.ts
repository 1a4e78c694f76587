// Core. The least rights of each service in the database, as statements: the one source of the files
// beside it, of the examples, and of `lars sql grants`.

import { StoreError } from "../../reactor/errors.ts";

/** Rights by table, `*` for every table of the database. */
type Rights = Readonly<Record<string, string>>;

/**
 * Rights of each account. `web` is for the console, `lars route`, `lars module` and `lars zone` too;
 * `migrate` for `lars sql migrate`; `all` for one account that everything shares.
 */
export const SERVICE_GRANTS = {
  dns: {
    RouteData: "SELECT",
    RouteVersion: "SELECT",
    RouteChange: "SELECT",
    Module: "SELECT",
    SchemaMigration: "SELECT",
    ServiceInstance: "SELECT, INSERT, UPDATE, DELETE",
  },
  reporter: {
    ServerCallStatus: "SELECT, INSERT, UPDATE, DELETE",
    SchemaMigration: "SELECT",
    ServiceInstance: "SELECT, INSERT, UPDATE, DELETE",
    CallHistory: "SELECT, INSERT, UPDATE, DELETE",
    CallHistoryStep: "SELECT, INSERT, UPDATE",
    Event: "SELECT, INSERT, DELETE",
    RefusedCalls: "SELECT, INSERT, UPDATE, DELETE",
    ReportMark: "SELECT, INSERT, UPDATE, DELETE",
    ReportGap: "SELECT, INSERT, DELETE",
  },
  web: {
    RouteData: "SELECT, INSERT, UPDATE, DELETE",
    RouteVersion: "SELECT, INSERT, UPDATE",
    RouteChange: "SELECT, INSERT, DELETE",
    Module: "SELECT, INSERT, UPDATE, DELETE",
    ServerCallStatus: "SELECT",
    ServiceInstance: "SELECT, DELETE",
    SchemaMigration: "SELECT",
    CallHistory: "SELECT",
    CallHistoryStep: "SELECT",
    RefusedCalls: "SELECT",
    ModIDConfig: "SELECT, INSERT",
    CmdIDConfig: "SELECT, INSERT",
    Event: "SELECT, INSERT",
    ConsoleUser: "SELECT, INSERT, UPDATE, DELETE",
    ConsoleSession: "SELECT, INSERT, UPDATE, DELETE",
    ConsoleToken: "SELECT, INSERT, UPDATE, DELETE",
    ConsoleAudit: "SELECT, INSERT, UPDATE, DELETE",
    ConsoleChange: "SELECT, INSERT, UPDATE, DELETE",
    ConsoleChangeModule: "SELECT, INSERT, UPDATE, DELETE",
    ConsoleChangePart: "SELECT, INSERT, UPDATE, DELETE",
    AlertRule: "SELECT, INSERT, UPDATE, DELETE",
    AlertSilence: "SELECT, INSERT, UPDATE, DELETE",
    AlertWebhook: "SELECT, INSERT, UPDATE, DELETE",
    ScaleRule: "SELECT, INSERT, UPDATE, DELETE",
    ConsoleState: "SELECT, INSERT, UPDATE, DELETE",
    Lease: "SELECT, INSERT, UPDATE",
    LeaseSeq: "SELECT, UPDATE",
    LeaseGuard: "SELECT, UPDATE",
  },
  discovery: {
    RouteData: "SELECT, INSERT, UPDATE, DELETE",
    RouteVersion: "SELECT, INSERT, UPDATE",
    RouteChange: "SELECT, INSERT, DELETE",
    Module: "SELECT, INSERT, UPDATE",
    SchemaMigration: "SELECT",
    ServiceInstance: "SELECT, INSERT, UPDATE, DELETE",
    Lease: "SELECT, INSERT, UPDATE, DELETE",
    LeaseSeq: "SELECT, INSERT, UPDATE",
    LeaseHolder: "SELECT, INSERT, UPDATE, DELETE",
    LeaseGuard: "SELECT, INSERT, UPDATE, DELETE",
    Event: "SELECT, INSERT",
    ConsoleAudit: "SELECT, INSERT, DELETE",
  },
  relay: {
    RelayMail: "SELECT, INSERT, UPDATE, DELETE",
    RelayMailbox: "SELECT, INSERT, UPDATE, DELETE",
    SchemaMigration: "SELECT",
  },
  migrate: {
    "*": "SELECT, INSERT, CREATE, ALTER, INDEX",
    ServerCallStatus: "UPDATE, DELETE",
  },
  all: {
    "*": "SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, INDEX",
  },
} as const satisfies Readonly<Record<string, Rights>>;

/** Any account of {@linkcode SERVICE_GRANTS}. */
export type GrantedService = keyof typeof SERVICE_GRANTS;

/** All of them, in order. */
export const GRANTED_SERVICES = Object.keys(SERVICE_GRANTS) as GrantedService[];

/** What {@linkcode grantStatements} is told. */
export interface GrantOptions {
  /** @default {`lars_` and the service, `lars` for all} */
  readonly user?: string;
  /** Hosts from which it may come, as MySQL has them. @default {%} */
  readonly host?: string;
  /** @default {lars_dns} */
  readonly database?: string;
}

/** Words that a statement may hold without quotes around them that could be closed. */
const SAFE = /^[A-Za-z0-9_.:%/-]{1,255}$/;

function checked(text: string, what: string): string {
  if (SAFE.test(text)) return text;
  throw new RangeError(
    `${what} must be letters, digits and _ . : % / -: current value is "${text}"`,
  );
}

/** The account of a service: `'lars_dns'@'%'`. @throws {RangeError} for other characters. */
export function accountName(service: GrantedService, options: GrantOptions = {}): string {
  const { user = service === "all" ? "lars" : `lars_${service}`, host = "%" } = options;
  return `'${checked(user, "User")}'@'${checked(host, "Host")}'`;
}

/**
 * The statements that give a service its rights, one a line, for MariaDB and MySQL. The account must
 * exist, and the tables too where they are named.
 *
 * @throws {RangeError} when a name has characters that would need quotes.
 */
export function grantStatements(service: GrantedService, options: GrantOptions = {}): string[] {
  const database = checked(options.database ?? "lars_dns", "Database");
  const account = accountName(service, options);
  return Object.entries(SERVICE_GRANTS[service]).map(([table, rights]) =>
    `GRANT ${rights} ON ${database}.${table} TO ${account};`
  );
}

/** A right that an account lacks. */
export interface MissingRight {
  /** `SELECT`, or several: `INSERT, UPDATE`. */
  readonly rights: string;
  readonly table: string;
  /** Accounts that must have it: {@linkcode SERVICE_GRANTS}, but for `all`. */
  readonly services: readonly GrantedService[];
}

/** As MariaDB and MySQL say it, of a table or of a column; the name of the table is the last. */
const DENIED = /([A-Z][A-Z, ]*) command denied to user .* (?:for|in) table .*['`]([^'`]+)['`]/;

const isAnyTable = (table: string): boolean => table === "*";

function servicesWith(rights: string, isTable: (table: string) => boolean): GrantedService[] {
  return GRANTED_SERVICES.filter((service) => {
    const given = Object.entries(SERVICE_GRANTS[service]).filter(([table]) => isTable(table))
      .flatMap(([, text]) => text.split(", "));
    return service !== "all" && rights.split(", ").every((right) => given.includes(right));
  });
}

/** Which right a server of the database says to be missing; undefined: it does not. */
export function missingRightOf(message: string): MissingRight | undefined {
  const [, rights, name] = DENIED.exec(message) ?? [];
  if (rights === undefined) return undefined;
  // Servers on some systems know tables by lower case.
  const isTable = (table: string): boolean => table.toLowerCase() === name.toLowerCase();
  const services = servicesWith(rights, isTable);
  const isNobodys = services.length === 0;
  return { rights, table: name, services: isNobodys ? servicesWith(rights, isAnyTable) : services };
}

/**
 * What is thrown where a table of ours is needed and not seen: the server hides those on which an
 * account has no right at all.
 */
export function missingTable(table: string): StoreError {
  const files = servicesWith("SELECT", (name) => name === table).map((name) => `${name}.sql`);
  return new StoreError(
    `Table ${table} is missing, or hidden from an account without any right on it: run the ` +
      `migrations, or what sql/grants has for the service (${files.join(", ")})`,
    false,
    { refusal: "schema" },
  );
}

/** The file of a service beside this one. */
export function grantFile(service: GrantedService): string {
  return `-- Least rights of ${service} in the database: sql/README.md, Grants. Made from grants.ts.\n` +
    grantStatements(service).map((line) => `${line}\n`).join("");
}
