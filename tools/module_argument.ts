// Shell. A module on the command line: by its numbers or by its name, the same in every command.

import { Argument, type Command } from "commander";
import type { SystemAccess } from "../control/system_access.ts";
import { parseCmdId, parseModId } from "../model/route_values.ts";
import { type ModuleId, moduleId, type ModuleKey, modulePair } from "../model/module.ts";
import { meaningOfName, moduleLabel, type NamedModule } from "../model/module_name.ts";
import { nearWords } from "../model/near_words.ts";
import { CommandError, UsageError } from "./cli_errors.ts";

/** What somebody typed for a module, not looked up yet. */
export type ModuleWord = { readonly key: ModuleKey } | { readonly name: string };

/** A word of the command line that follows a module. */
export interface WordSpec<T> {
  /** `IP:PORT` */
  readonly name: string;
  readonly about: string;
  parse(text: string): T;
  /** What holds when the word is left out; undefined: it must be there. */
  readonly initial?: T;
}

type Values<Specs extends readonly WordSpec<unknown>[]> = {
  -readonly [Index in keyof Specs]: Specs[Index] extends WordSpec<infer T> ? T : never;
};

/** The words of a command that begin with a module, as the parser and the help know them. */
export class ModuleWords extends Argument {
  /** As the help lists them. */
  readonly shown: readonly Argument[];

  constructor(shown: readonly Argument[]) {
    super("[WORDS...]", shown[0].description);
    this.shown = shown;
  }
}

/** The module words of a command, if it has some. */
export function moduleWordsOf(command: Command): ModuleWords | undefined {
  const [first] = command.registeredArguments;
  return first instanceof ModuleWords ? first : undefined;
}

/** What the help of a module says. */
const MODULE_ABOUT = "MODID CMDID, each 0 to 4294967295, or the module's name";

const NUMBERS = /^\(?(\d+)[,/](\d+)\)?$/;

function isDigits(text: string | undefined): text is string {
  return text !== undefined && /^\d+$/.test(text);
}

/** A module that is one word: `1/2`, `1,2`, or a name. @throws {RangeError} */
export function parseModuleWord(text: string): ModuleWord {
  const pair = NUMBERS.exec(text);
  if (pair !== null) return { key: { modId: parseModId(pair[1]), cmdId: parseCmdId(pair[2]) } };
  if (text.trim() === "") throw new RangeError("Module must be MODID CMDID or a name");
  return { name: text };
}

/** The module that an option names: one word, or two numbers. @throws {UsageError} */
export function parseModuleOption(
  option: string,
  words: readonly string[] | undefined,
): ModuleWord | undefined {
  if (words === undefined) return undefined;
  try {
    const isName = words.length === 1 && !isDigits(words[0]);
    if (isName) return parseModuleWord(words[0]);
    if (words.length !== 2) {
      const current = `current value is "${words.join(" ")}"`;
      throw new RangeError(`Module must be MODID CMDID or a name: ${current}`);
    }
    return { key: { modId: parseModId(words[0]), cmdId: parseCmdId(words[1]) } };
  } catch (error) {
    if (error instanceof RangeError) throw new UsageError(`${option}: ${error.message}`);
    throw error;
  }
}

function parsedOr(
  command: Command,
  name: string,
  text: string,
  parse: (text: string) => void,
): void {
  try {
    parse(text);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    command.error(
      `error: command-argument value '${text}' is invalid for argument '${name}'. ${why}`,
    );
  }
}

/** Splits the words into the module and what follows it; ends the command when they do not fit. */
function takeModule(
  command: Command,
  words: readonly string[],
  required: number,
  allowed: number,
): { module: ModuleWord; rest: readonly string[] } {
  if (words.length === 0) missing(command, "MODULE");
  let module: ModuleWord = { name: words[0] };
  let rest = words.slice(1);
  if (isDigits(words[0])) {
    if (words.length < 2 || words.length - 1 <= required && !isDigits(words[1])) {
      missing(command, "CMDID");
    }
    parsedOr(command, "MODID", words[0], parseModId);
    parsedOr(command, "CMDID", words[1], (text) => {
      module = { key: { modId: parseModId(words[0]), cmdId: parseCmdId(text) } };
    });
    rest = words.slice(2);
  } else {
    // A word too many, and a number after the first: two numbers were meant, the first is wrong.
    if (rest.length > allowed && isDigits(words[1])) {
      parsedOr(command, "MODID", words[0], parseModId);
    }
    parsedOr(command, "MODULE", words[0], (text) => {
      module = parseModuleWord(text);
    });
  }
  return { module, rest };
}

function missing(command: Command, name: string): never {
  command.error(`error: missing required argument '${name}'`);
}

/**
 * Gives a command words that begin with a module, and what is done with them.
 *
 * @param specs The words after the module; those with a default last.
 * @param tail Words behind `--`, at least one, as many as there are; without it there are none.
 */
export function withModuleWords<const Specs extends readonly WordSpec<unknown>[], Flags>(
  command: Command,
  specs: Specs,
  run: (
    module: ModuleWord,
    values: Values<Specs>,
    flags: Flags,
    tail: readonly string[],
  ) => Promise<void> | void,
  tail?: { readonly name: string; readonly about: string },
): Command {
  const shown = [
    new Argument("<MODULE>", MODULE_ABOUT),
    ...specs.map((spec) =>
      spec.initial === undefined
        ? new Argument(`<${spec.name}>`, spec.about)
        : new Argument(`[${spec.name}]`, spec.about).default(spec.initial)
    ),
    ...(tail === undefined ? [] : [new Argument(`<${tail.name}...>`, tail.about)]),
  ];
  const names = shown.map((one) =>
    one.variadic ? `-- <${one.name()}...>` : one.required ? `<${one.name()}>` : `[${one.name()}]`
  );
  command.addArgument(new ModuleWords(shown)).usage(`[options] ${names.join(" ")}`);
  const required = specs.filter(({ initial }) => initial === undefined).length +
    (tail === undefined ? 0 : 1);
  const allowed = tail === undefined ? specs.length : Infinity;
  return command.action(async (words: string[], flags: Flags) => {
    const { module, rest } = takeModule(command, words, required, allowed);
    if (rest.length > allowed) {
      command.error(
        `error: too many arguments for '${command.name()}': expected ${names.join(" ")}, ` +
          `got ${words.join(" ")}`,
      );
    }
    const values = specs.map((spec, index) => {
      if (index >= rest.length) return spec.initial ?? missing(command, spec.name);
      let value: unknown;
      parsedOr(command, spec.name, rest[index], (text) => {
        value = spec.parse(text);
      });
      return value;
    });
    if (tail !== undefined && rest.length <= specs.length) missing(command, tail.name);
    await run(module, values as Values<Specs>, flags, rest.slice(specs.length));
  });
}

/** Modules that a list is narrowed down to: all, those of one number, or one. */
export type ModuleFilterWord = ModuleWord | { readonly modId: number } | undefined;

/** Gives a command of a list the words `[MODULE]`: nothing, MODID, MODID CMDID, or a name. */
export function withModuleFilter<Flags>(
  command: Command,
  run: (filter: ModuleFilterWord, flags: Flags) => Promise<void>,
): Command {
  const about = "MODID, or MODID CMDID, or the module's name";
  command.addArgument(new ModuleWords([new Argument("[MODULE]", about)]))
    .usage("[options] [MODULE]");
  return command.action(async (words: string[], flags: Flags) => {
    if (words.length === 0) return await run(undefined, flags);
    if (words.length === 1 && isDigits(words[0])) {
      let modId = 0;
      parsedOr(command, "MODID", words[0], (text) => {
        modId = parseModId(text);
      });
      return await run({ modId }, flags);
    }
    const { module, rest } = takeModule(command, words, 0, 0);
    if (rest.length > 0) command.error(`error: too many arguments for '${command.name()}'`);
    await run(module, flags);
  });
}

/**
 * Looks a module up, for its name or for its numbers.
 *
 * @throws {CommandError} when no module is called so, with those that are near; or several are.
 */
export async function resolveModule(
  system: Pick<SystemAccess, "texts">,
  word: ModuleWord,
): Promise<NamedModule> {
  if ("key" in word) {
    const [row] = await system.texts(word.key);
    return { ...word.key, name: row?.name ?? "" };
  }
  const meaning = meaningOfName(word.name, await system.texts());
  if ("fault" in meaning) throw new CommandError(meaning.fault);
  const { modId, cmdId, name } = meaning.module;
  return { modId, cmdId, name };
}

/** As {@linkcode resolveModule}, of a list. */
export async function resolveFilter(
  system: Pick<SystemAccess, "texts">,
  filter: ModuleFilterWord,
): Promise<Partial<ModuleKey>> {
  if (filter === undefined || "modId" in filter) return filter ?? {};
  const { modId, cmdId } = await resolveModule(system, filter);
  return { modId, cmdId };
}

/** Names of all modules that have one. */
export async function namesOf(
  system: Pick<SystemAccess, "texts">,
): Promise<Map<ModuleId, string>> {
  return namesIn(await system.texts());
}

/** Names of modules that have one. */
export function namesIn(rows: readonly NamedModule[]): Map<ModuleId, string> {
  const named = rows.filter(({ name }) => name !== "");
  return new Map(named.map(({ modId, cmdId, name }) => [moduleId(modId, cmdId), name]));
}

/** @throws {CommandError} when a module has neither node, name nor policy. */
export async function requireModule(
  system: Pick<SystemAccess, "texts" | "read">,
  { modId, cmdId }: ModuleKey,
): Promise<void> {
  if ((await system.texts({ modId, cmdId })).length > 0) return;
  if ((await system.read({ modId, cmdId })).length > 0) return;
  throw await unknownModule(system, { modId, cmdId });
}

/** The error for a module that nobody has heard of, with the ones whose numbers are near. */
async function unknownModule(
  system: Pick<SystemAccess, "texts" | "read">,
  key: ModuleKey,
): Promise<CommandError> {
  const named = new Map<string, NamedModule>();
  for (const row of await system.read()) named.set(modulePair(row), { ...row, name: "" });
  for (const row of await system.texts()) named.set(modulePair(row), row);
  const near = nearWords(modulePair(key), named.keys())
    .flatMap((pair) => named.get(pair) ?? []).map(moduleLabel);
  const hint = near.length === 0 ? "" : `: did you mean ${near.join(" or ")}?`;
  return new CommandError(
    `There is no module ${moduleLabel(key)}: it has no node, name or policy${hint}`,
  );
}
