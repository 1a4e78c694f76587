// Core. The flags of a service's program, and the codes it ends with.

import { dataDirStoreUrl } from "./common_settings.ts";
import { describeSettings, type SettingsTable } from "./settings.ts";

/** One flag. */
export interface DaemonFlag {
  /** With its dashes: `--agent-port`. */
  readonly long: string;
  /** One letter with its dash, where there is one. */
  readonly short?: string;
  /** Name of its value in the help; undefined: it takes none. */
  readonly value?: string;
  readonly doc: string;
}

/** Values by long flag; that of a flag without a value is empty. */
export type GivenFlags = ReadonlyMap<string, string>;

const CONFIG: DaemonFlag = {
  long: "--config",
  short: "-c",
  value: "FILE",
  doc: "configuration file (INI)",
};

const JSON_LINE: DaemonFlag = { long: "--json", doc: "print the ready line as JSON" };

const STORE: readonly DaemonFlag[] = [
  {
    long: "--store",
    value: "URL",
    doc: "database: sqlite:PATH, mysql://user:password@host:port/name, or @FILE that holds one",
  },
  {
    long: "--data",
    value: "DIR",
    doc: "folder of the embedded database (same as --store sqlite:DIR/lars.db)",
  },
];

/** Every flag of a service, in the order of its help: one for each key of `table`, and ours. */
export function daemonFlags(table: SettingsTable): DaemonFlag[] {
  const keys = describeSettings(table).map(({ flag, doc, range, defaultText }): DaemonFlag => {
    const fallback = defaultText === "" ? "" : `, default ${defaultText}`;
    return { long: flag, value: "VALUE", doc: `${doc} (${range}${fallback})` };
  });
  return [CONFIG, JSON_LINE, ..."storeUrl" in table ? STORE : [], ...keys];
}

/**
 * Reads arguments in which nothing is wrong, short or asked for: the last of equal flags counts.
 *
 * @returns undefined when there is anything else, which a person has to be told about.
 */
export function readPlainFlags(
  known: readonly DaemonFlag[],
  argv: readonly string[],
): GivenFlags | undefined {
  const given = new Map<string, string>();
  for (let i = 0; i < argv.length; i++) {
    const flag = known.find(({ long, short }) => argv[i] === long || argv[i] === short);
    if (flag === undefined) return undefined;
    if (flag.value === undefined) given.set(flag.long, "");
    else if (++i < argv.length) given.set(flag.long, argv[i]);
    else return undefined;
  }
  return given;
}

/** Settings by `section.key`, as `readSettings` takes them. */
export function settingFlags(
  table: SettingsTable,
  given: GivenFlags,
): Record<string, string | undefined> {
  const flags: Record<string, string | undefined> = {};
  for (const { section, key, flag } of describeSettings(table)) {
    const value = given.get(flag);
    if (value !== undefined) flags[`${section}.${key}`] = value;
  }
  const data = given.get("--data");
  const store = given.get("--store");
  if (data !== undefined) flags["store.url"] = dataDirStoreUrl(data);
  if (store !== undefined) flags["store.url"] = store;
  return flags;
}

/** Exit codes of every command. */
export const ExitCode = { Ok: 0, Failed: 1, Usage: 2 } as const;
