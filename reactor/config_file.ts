// Core. INI files as the original wrote them, with the line of every value for error messages.

import { ConfigError } from "./errors.ts";
import { visibleText } from "./visible_text.ts";

/** Faults of a file that are named; further ones are counted. */
export const CONFIG_PROBLEMS_MAX = 20;
/** Characters of a line that a fault shows. */
const SHOWN_CHARS_MAX = 80;

/** One `key = value` line. */
export interface ConfigEntry {
  readonly section: string;
  readonly key: string;
  readonly value: string;
  /** Line in the file, from 1. */
  readonly line: number;
}

/**
 * A parsed INI file: `[section]`, `key = value` or `key=value`, comments from `;` or `#` at the start
 * of a line or after a space. A value in double or single quotes is taken as it stands, comment
 * signs included. Sections and keys are case-sensitive; a section may be opened more than once.
 *
 * @example
 * ```ts
 * import { ConfigFile } from "./config_file.ts";
 * const file = ConfigFile.parse("[reactor]\nport = 7778 ; of dns\n", "dns.ini");
 * console.assert(file.get("reactor", "port")?.value === "7778");
 * console.assert(file.get("reactor", "port")?.line === 2);
 * ```
 */
export class ConfigFile {
  /** Name given to `parse`, for messages. */
  readonly fileName: string;
  readonly #sections: ReadonlyMap<string, ReadonlyMap<string, ConfigEntry>>;

  private constructor(
    fileName: string,
    sections: ReadonlyMap<string, ReadonlyMap<string, ConfigEntry>>,
  ) {
    this.fileName = fileName;
    this.#sections = sections;
  }

  /**
   * Reads the text of a file.
   *
   * @throws {ConfigError} with `file:line` of every fault: a key before any section, a line without
   * `=`, an empty key, a section that is not closed or has no name, a quote that is not closed, a
   * key that stands twice in its section.
   */
  static parse(text: string, fileName: string): ConfigFile {
    if (text.includes("\0")) {
      throw new ConfigError(`${fileName} is no text: it must have lines "key = value"`);
    }
    const parser = new IniParser(fileName);
    const lines = text.replace(/^\uFEFF/, "").split(/\r\n|\n|\r/);
    lines.forEach((line, index) => parser.readLine(line.trim(), index + 1));
    const { problems, unnamed } = parser;
    if (unnamed > 0) problems.push(`${fileName}: ${unnamed} more faults are not named`);
    if (problems.length > 0) throw new ConfigError(problems);
    return new ConfigFile(fileName, parser.sections);
  }

  /** The value of a key and its line, or undefined. */
  get(section: string, key: string): ConfigEntry | undefined {
    return this.#sections.get(section)?.get(key);
  }

  /** Names of all sections, those without keys included, in the order of the file. */
  sections(): Iterable<string> {
    return this.#sections.keys();
  }

  /** All values, section by section. */
  *entries(): IterableIterator<ConfigEntry> {
    for (const section of this.#sections.values()) yield* section.values();
  }
}

/** Text of a file as a message may show it: of bounded length, and nothing that steers a terminal. */
function shown(text: string): string {
  const plain = visibleText(text.slice(0, SHOWN_CHARS_MAX));
  return text.length > SHOWN_CHARS_MAX ? `${plain}…` : plain;
}

class IniParser {
  readonly problems: string[] = [];
  /** Faults beyond {@linkcode CONFIG_PROBLEMS_MAX}. */
  unnamed = 0;
  readonly sections = new Map<string, Map<string, ConfigEntry>>();
  readonly #fileName: string;
  #section: string | undefined;

  constructor(fileName: string) {
    this.#fileName = fileName;
  }

  readLine(line: string, number: number): void {
    if (line === "" || line.startsWith(";") || line.startsWith("#")) return;
    if (line.startsWith("[")) this.#openSection(line, number);
    else this.#addEntry(line, number);
  }

  #openSection(line: string, number: number): void {
    const match = /^\[([^\[\]]*)\]\s*(?:[;#].*)?$/.exec(line);
    if (match === null) return this.#fault(number, `section is not closed: "${shown(line)}"`);
    const name = match[1].trim();
    if (name === "") return this.#fault(number, "section must have a name");
    this.#section = name;
    if (!this.sections.has(name)) this.sections.set(name, new Map());
  }

  #addEntry(line: string, number: number): void {
    const equals = line.indexOf("=");
    if (equals < 0) return this.#fault(number, `line must be "key = value": "${shown(line)}"`);
    const key = line.slice(0, equals).trim();
    if (key === "") return this.#fault(number, `key must not be empty: "${shown(line)}"`);
    const value = this.#readValue(line.slice(equals + 1).trim(), number);
    if (value === undefined) return;
    const section = this.#section;
    if (section === undefined) {
      return this.#fault(number, `key "${shown(key)}" must stand in a [section]`);
    }
    const entries = this.sections.get(section) ?? new Map<string, ConfigEntry>();
    const earlier = entries.get(key);
    if (earlier !== undefined) {
      return this.#fault(
        number,
        `key "${shown(key)}" of [${shown(section)}] is set already in line ${earlier.line}`,
      );
    }
    entries.set(key, { section, key, value, line: number });
  }

  #readValue(text: string, number: number): string | undefined {
    const quote = text[0];
    if (quote !== '"' && quote !== "'") {
      return /^[;#]/.test(text) ? "" : text.replace(/\s[;#].*$/, "").trimEnd();
    }
    const end = text.indexOf(quote, 1);
    if (end < 0) {
      this.#fault(number, "quoted value is not closed");
      return undefined;
    }
    const rest = text.slice(end + 1).trim();
    if (rest !== "" && !/^[;#]/.test(rest)) {
      this.#fault(number, `nothing may follow a quoted value: "${shown(rest)}"`);
      return undefined;
    }
    return text.slice(1, end);
  }

  #fault(line: number, what: string): void {
    if (this.problems.length >= CONFIG_PROBLEMS_MAX) this.unnamed++;
    else this.problems.push(`${this.#fileName}:${line}: ${what}`);
  }
}
