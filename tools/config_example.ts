// Core. Example configuration files, made from the tables of settings, so that they cannot go stale.

import { accountName, grantStatements } from "../sql/grants/grants.ts";
import type { SettingsTable } from "../daemon/settings/settings.ts";
import { describeSettings, type SettingRow } from "../daemon/settings/settings.ts";

/** For how many hosts an example is. */
export const EXAMPLE_HOSTS = [1, 3] as const;

/** One of {@linkcode EXAMPLE_HOSTS}. */
export type ExampleHosts = (typeof EXAMPLE_HOSTS)[number];

/** Where the repository keeps each example. */
export const EXAMPLE_FOLDERS = { 1: "deploy/one-host", 3: "deploy/three-hosts" } as const;

/** A service and its keys. */
export interface ExampleService {
  readonly name: string;
  readonly settings: SettingsTable;
}

/** A file of an example. */
export interface ExampleFile {
  readonly name: string;
  readonly text: string;
}

/** What stands in the place of the password of the database. */
export const EXAMPLE_PASSWORD = "change-me";

/** Longest line of a comment. */
const WIDTH = 96;

/** Keys that an example sets, by `section.key`; all others stand as comments with their defaults. */
type Chosen = Readonly<Record<string, string>>;

interface Plan {
  readonly about: string;
  readonly serverHost: string;
  readonly accountHost: string;
  readonly server: Chosen;
  readonly agent: Chosen;
}

const PLANS: Readonly<Record<ExampleHosts, Plan>> = {
  1: {
    about: "One host: database, dns, reporter, console and agent beside each other.",
    serverHost: "127.0.0.1",
    accountHost: "127.0.0.1",
    server: {},
    agent: {},
  },
  3: {
    about:
      "Three hosts: 10.0.0.1 has the database and the console, 10.0.0.1 and 10.0.0.2 each have " +
      "dns and reporter, and every host has an agent, 10.0.0.3 too. The same two files everywhere.",
    serverHost: "10.0.0.1",
    accountHost: "10.0.0.%",
    server: { "reactor.ip": "0.0.0.0", "auth.token_file": "/etc/lars/secret" },
    agent: {
      "dnsserver.ip": "10.0.0.1, 10.0.0.2",
      "reporter.ip": "10.0.0.2, 10.0.0.1",
      "auth.token_file": "/etc/lars/secret",
    },
  },
};

const COMMON_SERVER: Chosen = { "reporter.spool_dir": "/var/lib/lars/spool" };

const COMMON_AGENT: Chosen = { "agent.cache_dir": "/var/lib/lars/cache" };

/** All files of an example. */
export function exampleFiles(
  hosts: ExampleHosts,
  servers: readonly ExampleService[],
  agent: ExampleService,
): ExampleFile[] {
  const plan = PLANS[hosts];
  const store = `mysql://lars:${EXAMPLE_PASSWORD}@${plan.serverHost}:3306/lars_dns`;
  const secret = hosts === 1
    ? []
    : ["The secret, the same file on every host: openssl rand -base64 32 > /etc/lars/secret"];
  return [
    {
      name: "lars.conf",
      text: configText(
        [`${plan.about} This file is for dns, reporter and console, not for agents.`, ...secret],
        servers,
        { ...COMMON_SERVER, "store.url": store, ...plan.server },
      ),
    },
    {
      name: "agent.conf",
      text: configText([`${plan.about} This file is for the agent of each host.`, ...secret], [
        agent,
      ], { ...COMMON_AGENT, ...plan.agent }),
    },
    { name: "database.sql", text: databaseText(plan) },
  ];
}

function databaseText({ accountHost: host }: Plan): string {
  const account = accountName("all", { host });
  return `-- The database of Lars (MariaDB or MySQL): mariadb < database.sql, then
-- lars sql migrate --store @FILE, a file that holds the [store] url of lars.conf.
-- Change the password here and there. Rights for each service alone: lars sql grants.
CREATE DATABASE IF NOT EXISTS lars_dns CHARACTER SET utf8mb4;
CREATE USER IF NOT EXISTS ${account} IDENTIFIED BY '${EXAMPLE_PASSWORD}';
${grantStatements("all", { host }).join("\n")}
`;
}

interface Row extends SettingRow {
  /** Defaults by service, where they differ. */
  readonly defaults: ReadonlyMap<string, string>;
}

/** Rows of all services by section; a key that several have stands once. */
function rowsOf(services: readonly ExampleService[]): Map<string, Row[]> {
  const sections = new Map<string, Row[]>();
  for (const { name, settings } of services) {
    for (const row of describeSettings(settings)) {
      const rows = sections.get(row.section) ?? [];
      sections.set(row.section, rows);
      const known = rows.find(({ key }) => key === row.key);
      if (known === undefined) {
        rows.push({ ...row, defaults: new Map([[name, row.defaultText]]) });
      } else {
        (known.defaults as Map<string, string>).set(name, row.defaultText);
      }
    }
  }
  return sections;
}

function configText(
  about: readonly string[],
  services: readonly ExampleService[],
  chosen: Chosen,
): string {
  const lines = about.flatMap((text) => comment(text));
  lines.push(
    ...comment("Every key is here; those behind ; have the value that holds without them."),
  );
  for (const [section, rows] of rowsOf(services)) {
    lines.push("", `[${section}]`);
    for (const row of rows) lines.push(...rowLines(row, chosen[`${section}.${row.key}`]));
  }
  return `${lines.join("\n")}\n`;
}

function rowLines(row: Row, chosen: string | undefined): string[] {
  const lines = comment(`${row.doc} (${row.range})`);
  if (chosen !== undefined) return [...lines, `${row.key} = ${chosen}`];
  const differs = new Set(row.defaults.values()).size > 1;
  if (!differs) {
    const value = row.defaultText.replace(/ \(port = .*\)$/, "");
    return [...lines, `;${row.key} =${value === "" ? "" : ` ${value}`}`];
  }
  const each = [...row.defaults].map(([name, value]) => `${name} ${value}`).join(", ");
  return [
    ...lines,
    ...comment(`Each service has its own: ${each}. Set it in a file of that service alone.`),
    `;${row.key} =`,
  ];
}

/** A text as comment lines. */
function comment(text: string): string[] {
  const lines: string[] = [];
  let line = "#";
  for (const word of text.split(" ")) {
    if (line.length + 1 + word.length > WIDTH) {
      lines.push(line);
      line = "#";
    }
    line += ` ${word}`;
  }
  return [...lines, line];
}
