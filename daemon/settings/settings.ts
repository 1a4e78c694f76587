// Core. Tables of configuration keys: one declaration gives parsing, ranges, flags, help and docs.

import type { Address } from "../../reactor/address.ts";
import { parseAddress, plainHost } from "../../reactor/address.ts";
import type { ConfigFile } from "../../reactor/config_file.ts";
import { ConfigError } from "../../reactor/errors.ts";
import { withValue } from "./value_fault.ts";

/** What a setting turns text into, and how it is shown to people. */
export interface Setting<T> {
  /** Section of the file, for example `loadbalance`. */
  readonly section: string;
  /** Key inside the section, for example `probe_num`. */
  readonly key: string;
  /** Other sections in which the key is accepted too (the original's misspelt `[repoter]`). */
  readonly sectionAliases: readonly string[];
  /** Further keys that this setting reads (the port beside an `ip`), each with its check. */
  readonly companions: Readonly<Record<string, (text: string) => unknown>>;
  readonly defaultValue: T;
  /** Unit and range, as shown in help and in errors: `1 to 65535`, `seconds, 0.05 to 3600`. */
  readonly range: string;
  /** What it is for, one or two sentences. */
  readonly doc: string;
  /** Text of the default, as one would write it in the file. */
  readonly defaultText: string;
  /** True when the value must never be printed. */
  readonly secret: boolean;
  /** Turns text into the value; throws RangeError that says what would be right. */
  parse(text: string, companions: Readonly<Record<string, string | undefined>>): T;
  /**
   * What is taken instead of a number that is out of range, as text; undefined: nothing, it is an
   * error. Only for keys with which the original starts whatever the number is.
   */
  nearest?(text: string): string | undefined;
}

/** What is taken for a number below or above the range; where a side is missing it is an error. */
export interface Nearest {
  readonly below?: number;
  readonly above?: number;
}

/** Settings by the name the code uses. */
// deno-lint-ignore no-explicit-any -- a table mixes settings of every value type
export type SettingsTable = Readonly<Record<string, Setting<any>>>;

/** The values of a table, by name. */
export type SettingsOf<T extends SettingsTable> = {
  readonly [Name in keyof T]: T[Name] extends Setting<infer Value> ? Value : never;
};

/** Where values come from; later ones win: default, file, environment, flags. */
export interface SettingSources {
  readonly file?: ConfigFile;
  /** Environment by variable name; `LARS_<SECTION>_<KEY>` in capitals is read. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Flags by `section.key`. */
  readonly flags?: Readonly<Record<string, string | undefined>>;
}

/** What a setting of text may be told besides. */
interface TextOptions {
  /** True when the value must never be printed. @default {false} */
  readonly secret?: boolean;
  /** What the text looks like. @default {"text"} */
  readonly shape?: string;
}

type Bounds = readonly [min: number, max: number];

function parseNumber(text: string, [min, max]: Bounds, whole: boolean): number {
  const value = Number(text);
  const shape = whole ? /^[+-]?\d+$/ : NUMBER;
  if (!shape.test(text.trim()) || value < min || value > max) {
    throw new RangeError(`must be a ${whole ? "whole " : ""}number from ${min} to ${max}`);
  }
  return value;
}

const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)$/;

/** The number that takes the place of one out of range, where there is one. */
function nearestOf(text: string, [min, max]: Bounds, nearest: Nearest): string | undefined {
  if (!NUMBER.test(text.trim())) return undefined;
  const value = Number(text);
  const taken = value < min ? nearest.below : value > max ? nearest.above : undefined;
  return taken?.toString();
}

const parsePort = (text: string): number => parseNumber(text, [1, 65535], true);

/** Addresses in one list at the most. */
export const ADDRESS_LIST_MAX = 16;

/** A setting that has yet to be said what it is for, in one or two sentences. */
export interface NeedsDoc<T> {
  doc(text: string): Setting<T>;
}

/** Makes the settings of one section, each from its key and default. */
export class Section {
  readonly #name: string;
  readonly #aliases: readonly string[];

  /** `aliases`: other sections in which the keys are accepted too. */
  constructor(name: string, ...aliases: readonly string[]) {
    this.#name = name;
    this.#aliases = aliases;
  }

  /** A whole number. */
  integer(key: string, fallback: number, bounds: Bounds, nearest: Nearest = {}): NeedsDoc<number> {
    return this.#setting(key, {
      defaultValue: fallback,
      defaultText: String(fallback),
      range: `${bounds[0]} to ${bounds[1]}`,
      parse: (text) => parseNumber(text, bounds, true),
      nearest: (text) => nearestOf(text, bounds, nearest),
    });
  }

  /** A share or ratio that may have a fraction. */
  fraction(key: string, fallback: number, bounds: Bounds, nearest: Nearest = {}): NeedsDoc<number> {
    return this.#setting(key, {
      defaultValue: fallback,
      defaultText: String(fallback),
      range: `${bounds[0]} to ${bounds[1]}`,
      parse: (text) => parseNumber(text, bounds, false),
      nearest: (text) => nearestOf(text, bounds, nearest),
    });
  }

  /** A time written in seconds (fractions allowed); the value in code is in milliseconds. */
  seconds(key: string, fallback: number, bounds: Bounds, nearest: Nearest = {}): NeedsDoc<number> {
    return this.#setting(key, {
      defaultValue: fallback * 1000,
      defaultText: String(fallback),
      range: `seconds, ${bounds[0]} to ${bounds[1]}`,
      parse: (text) => Math.round(parseNumber(text, bounds, false) * 1000),
      nearest: (text) => nearestOf(text, bounds, nearest),
    });
  }

  /** Free text. */
  text(key: string, fallback: string, options: TextOptions = {}): NeedsDoc<string> {
    const { shape: range = "text", secret = false } = options;
    return this.#setting(key, {
      defaultValue: fallback,
      defaultText: fallback,
      range,
      secret,
      parse: (value) => value,
    });
  }

  /** Where to listen: a name, an IPv4 or an IPv6 address, this one with or without brackets. */
  host(key: string, fallback: string): NeedsDoc<string> {
    return this.#setting(key, {
      defaultValue: fallback,
      defaultText: fallback,
      range: "IPv4 or IPv6 address, or name",
      parse(value): string {
        const host = plainHost(value.trim());
        if (host === undefined) {
          throw new RangeError("must be an address such as 127.0.0.1 or ::1, or a name");
        }
        return host;
      },
    });
  }

  /** Yes or no: `1`, `true`, `yes`, `on` and their opposites. */
  boolean(key: string, fallback: boolean): NeedsDoc<boolean> {
    return this.#setting(key, {
      defaultValue: fallback,
      defaultText: fallback ? "1" : "0",
      range: "0 or 1",
      parse(value): boolean {
        const lower = value.trim().toLowerCase();
        if (["1", "true", "yes", "on"].includes(lower)) return true;
        if (["0", "false", "no", "off"].includes(lower)) return false;
        throw new RangeError("must be 0 or 1");
      },
    });
  }

  /** One of a few words. */
  choice<const Value extends string>(
    key: string,
    fallback: NoInfer<Value>,
    values: readonly Value[],
  ): NeedsDoc<Value> {
    return this.#setting<Value>(key, {
      defaultValue: fallback,
      defaultText: fallback,
      range: values.join(" | "),
      parse(value): Value {
        const found = values.find((candidate) => candidate === value.trim());
        if (found === undefined) throw new RangeError(`must be one of ${values.join(", ")}`);
        return found;
      },
    });
  }

  /**
   * One or several `host[:port]` in key `ip`, separated by commas or spaces; a host without a port
   * takes the port of the companion key `port` (the original's `ip` and `port` pair), else
   * `defaultPort`.
   */
  addresses(defaultIp: string, defaultPort: number): NeedsDoc<readonly Address[]> {
    return this.#list(defaultIp, defaultPort, "host or host:port", parseAddress);
  }

  /** The same, each read by `parse`, which says what an entry looks like in `shape`. */
  servers<Server extends Address>(
    defaultIp: string,
    defaultPort: number,
    shape: string,
    parse: (text: string, defaultPort: number) => Server,
  ): NeedsDoc<readonly Server[]> {
    return this.#list(defaultIp, defaultPort, shape, parse);
  }

  #list<Server extends Address>(
    defaultIp: string,
    defaultPort: number,
    shape: string,
    parse: (text: string, defaultPort: number) => Server,
  ): NeedsDoc<readonly Server[]> {
    return this.#setting<readonly Server[]>("ip", {
      companions: { port: parsePort },
      defaultValue: [parse(defaultIp, defaultPort)],
      defaultText: `${defaultIp} (port = ${defaultPort})`,
      range: `1 to ${ADDRESS_LIST_MAX} of ${shape}`,
      parse(value, companions): readonly Server[] {
        const port = companions.port === undefined ? defaultPort : parsePort(companions.port);
        const list = value === "" ? defaultIp : value;
        const parts = list.split(/[\s,]+/).filter((part) => part !== "");
        if (parts.length === 0 || parts.length > ADDRESS_LIST_MAX) {
          throw new RangeError(`must hold 1 to ${ADDRESS_LIST_MAX} addresses`);
        }
        return parts.map((part) => parse(part, port));
      },
    });
  }

  #setting<T>(
    key: string,
    rest:
      & Pick<Setting<T>, "defaultValue" | "defaultText" | "range" | "parse">
      & Partial<Setting<T>>,
  ): NeedsDoc<T> {
    const where = { section: this.#name, key, sectionAliases: this.#aliases };
    return { doc: (doc) => ({ ...where, companions: {}, secret: false, ...rest, doc }) };
  }
}

/** Sections that some program of this project or of the original reads. */
export const KNOWN_SECTIONS: readonly string[] = [
  "reactor",
  "mysql",
  "store",
  "reporter",
  "repoter",
  "dnsserver",
  "dns",
  "loadbalance",
  "agent",
  "auth",
  "log",
  "metrics",
  "discovery",
  "relay",
  "web",
  "oidc",
];

const REPORTER_KEYS = [
  "ip",
  "port",
  "db_thread_cnt",
  "flush_interval",
  "keys_max",
  "spool_dir",
  "spool_max_bytes",
  "history",
  "history_keep",
  "history_keep_minutes",
  "history_keep_hours",
  "event_keep",
];

/** Keys that another service reads from a section both share; this service passes over them. */
const SHARED_KEYS: Readonly<Record<string, readonly string[]>> = {
  reactor: ["maxConn", "threadNum", "ip", "port"],
  metrics: ["ip", "port", "token_file"],
  reporter: REPORTER_KEYS,
  repoter: REPORTER_KEYS,
};

/**
 * Reads a table of settings from its sources and checks every value.
 *
 * @throws {ConfigError} with one problem per fault: unknown section or key (with a suggestion), a
 * value of the wrong shape, or one out of range. The place is `file:line`, a variable, or a flag.
 *
 * @param onNearest Told of each number out of range that the nearest one was taken for.
 */
export function readSettings<T extends SettingsTable>(
  table: T,
  sources: SettingSources,
  onNearest: (warning: string) => void = () => {},
): SettingsOf<T> {
  const problems = sources.file === undefined ? [] : unknownKeys(table, sources.file);
  const values: Record<string, unknown> = {};
  for (const [name, one] of Object.entries(table)) {
    const found = find(one, one.key, sources);
    const companions: Record<string, string> = {};
    const attempt = (key: string, source: Found, parse: () => void): void => {
      try {
        parse();
      } catch (error) {
        if (!(error instanceof RangeError)) throw error;
        const shown = one.secret ? "(secret)" : `"${source.value}"`;
        // A complaint that is a sentence of its own stands behind a colon.
        const why = withValue(error.message, source.value, shown).replace(/^(?=\p{Lu})/u, ": ");
        problems.push(`${source.place}: [${one.section}] ${key}${/^:/.test(why) ? "" : " "}${why}`);
      }
    };
    for (const [key, check] of Object.entries(one.companions)) {
      const companion = find(one, key, sources);
      if (companion === undefined) continue;
      attempt(key, companion, () => {
        check(companion.value);
        companions[key] = companion.value;
      });
    }
    values[name] = one.defaultValue;
    if (found === undefined && Object.keys(companions).length === 0) continue;
    const taken = found === undefined ? undefined : one.nearest?.(found.value);
    if (found !== undefined && taken !== undefined) {
      onNearest(
        `${found.place}: [${one.section}] ${one.key} = ${found.value.trim()} is out of range ` +
          `(${one.range}): ${taken} is used`,
      );
    }
    attempt(one.key, found ?? { value: "", place: "" }, () => {
      values[name] = one.parse(taken ?? found?.value ?? "", companions);
    });
  }
  if (problems.length > 0) throw new ConfigError(problems);
  return values as SettingsOf<T>;
}

interface Found {
  readonly value: string;
  readonly place: string;
}

function find(
  one: Setting<unknown>,
  key: string,
  sources: SettingSources,
): Found | undefined {
  const flag = sources.flags?.[`${one.section}.${key}`];
  if (flag !== undefined) return { value: flag, place: `flag ${flagName(one.section, key)}` };
  const variable = environmentName(one.section, key);
  const fromEnv = sources.env?.[variable];
  if (fromEnv !== undefined) return { value: fromEnv, place: `environment ${variable}` };
  for (const section of [one.section, ...one.sectionAliases]) {
    const entry = sources.file?.get(section, key);
    if (entry !== undefined) {
      return { value: entry.value, place: `${sources.file?.fileName}:${entry.line}` };
    }
  }
  return undefined;
}

function unknownKeys(table: SettingsTable, file: ConfigFile): string[] {
  const known = new Map<string, Set<string>>();
  for (const one of Object.values(table)) {
    for (const section of [one.section, ...one.sectionAliases]) {
      const keys = known.get(section) ?? new Set(SHARED_KEYS[section] ?? []);
      for (const key of [one.key, ...Object.keys(one.companions)]) keys.add(key);
      known.set(section, keys);
    }
  }
  const problems: string[] = [];
  for (const { section, key, line } of file.entries()) {
    const keys = known.get(section);
    if (keys?.has(key) === true) continue;
    const place = `${file.fileName}:${line}`;
    if (keys !== undefined) {
      problems.push(`${place}: [${section}] has no key ${key}${suggestion(key, [...keys])}`);
    } else if (!KNOWN_SECTIONS.includes(section)) {
      problems.push(
        `${place}: there is no section [${section}]${suggestion(section, KNOWN_SECTIONS)}`,
      );
    }
  }
  return [...new Set(problems)];
}

/** ` (did you mean …?)` with the closest candidate, or nothing when none is close. */
function suggestion(word: string, candidates: readonly string[]): string {
  let best = "";
  let bestDistance = 3;
  for (const candidate of candidates) {
    const distance = editDistance(word.toLowerCase(), candidate.toLowerCase());
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best === "" ? `; known: ${candidates.join(", ")}` : `; did you mean ${best}?`;
}

/** Levenshtein distance: fewest single-character edits from `a` to `b`. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const swap = row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(swap, row[j] + 1, next[j - 1] + 1));
    }
    row = next;
  }
  return row[b.length];
}

/** Variable that overrides a key: `LARS_LOADBALANCE_PROBE_NUM`. */
export function environmentName(section: string, key: string): string {
  return `LARS_${section}_${key}`.toUpperCase();
}

/** Flag that overrides a key: `--loadbalance-probe-num`, `--reactor-max-conn`. */
export function flagName(section: string, key: string): string {
  const dashed = key.replace(/([a-z])([A-Z])/g, "$1-$2").replaceAll("_", "-").toLowerCase();
  return `--${section}-${dashed}`;
}

/** One row of the table of keys, for `--help` and the documentation. */
export interface SettingRow {
  readonly section: string;
  readonly key: string;
  readonly flag: string;
  readonly environment: string;
  readonly defaultText: string;
  readonly range: string;
  readonly doc: string;
}

/** Every key of a table, companions included, in order of declaration. */
export function describeSettings(table: SettingsTable): SettingRow[] {
  return Object.values(table).flatMap((one: Setting<unknown>) =>
    [one.key, ...Object.keys(one.companions)].map((key): SettingRow => ({
      section: one.section,
      key,
      flag: flagName(one.section, key),
      environment: environmentName(one.section, key),
      defaultText: key === one.key ? one.defaultText : "",
      range: key === one.key ? one.range : "1 to 65535",
      doc: key === one.key ? one.doc : `Port for entries of ${one.key} that name none.`,
    }))
  );
}
