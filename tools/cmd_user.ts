// Shell. `lars user`: who may log in to the console, for when nobody can.

import { type Command, Option } from "commander";
import { ROLES } from "../control/access/actor.ts";
import type { UserRole } from "../sql/console/console_store.ts";
import { userName } from "../control/schemas.ts";
import { shapeWords } from "../control/shape_words.ts";
import { argument, CommandError } from "./cli_errors.ts";
import { addExamples, type CommandContext } from "./command.ts";
import type { UserAccess } from "../control/system_access.ts";
import { didYouMean } from "../model/near_words.ts";
import { addStoreOptions } from "./store_access.ts";
import { addServerOption, type SystemFlags, withSystem } from "./system_access.ts";
import { printJson, printLine, printTable } from "./terminal.ts";

interface UserFlags extends SystemFlags {
  readonly role: UserRole;
  readonly json?: boolean;
}

function parseUserName(text: string): string {
  const result = userName.safeParse(text, { error: shapeWords });
  if (result.success) return result.data;
  throw new RangeError(`Name ${result.error.issues[0].message}: current value is "${text}"`);
}

/** Adds `user` and its subcommands. */
export function addTo(parent: Command, _context: CommandContext): void {
  const user = parent.command("user").description(
    "Users of the console: list, add, give a new one-time password, remove.",
  );
  addList(user);
  addAdd(user);
  addReset(user);
  addRemove(user);
  addExamples(user, [
    ["lars user ls", "who may log in"],
    ["lars user reset admin", "a new one-time password, when the old one is lost"],
    ["lars user ls --server http://10.0.0.5:8080 --token-file t", "by a token of role admin"],
  ]);
}

function addList(user: Command): void {
  const command = user.command("ls").description("List the users.")
    .option("--json", "print one JSON array")
    .action(async (flags: UserFlags) => {
      const users = await withSystem(flags, (system) => system.users.list());
      if (flags.json === true) return printJson(users);
      if (users.length === 0) return printLine("No users: the first start of lars web makes one.");
      await printTable(
        ["NAME", "ROLE", "LOGIN", "STATE"],
        users.map(({ name, role, login, isDisabled, mustChangePassword }) => [
          name,
          role,
          login,
          isDisabled ? "locked out" : mustChangePassword ? "one-time password" : "",
        ]),
      );
    });
  addServerOption(addStoreOptions(command));
  addExamples(command, [["lars user ls --json", "for programs"]]);
}

function addAdd(user: Command): void {
  const command = user.command("add")
    .description("Add a user and print the one-time password, which the first login changes.")
    .argument("<NAME>", "letters, digits, dots, dashes, @ or _", argument(parseUserName))
    .addOption(new Option("--role <ROLE>", "what the user may do").choices(ROLES).default("viewer"))
    .action(async (name: string, flags: UserFlags) => {
      const { role } = flags;
      const password = await withSystem(flags, (system) => system.users.add(name, role));
      printLine(`added ${name} (${role}), one-time password ${password}`);
    });
  addServerOption(addStoreOptions(command));
  addExamples(command, [["lars user add ann --role operator", "may change routes"]]);
}

/** @throws {CommandError} when there is no such user, with those that are near. */
async function requireUser(users: UserAccess, name: string): Promise<void> {
  const names = (await users.list()).map((user) => user.name);
  if (names.includes(name)) return;
  throw new CommandError(`There is no user ${name}${didYouMean(name, names)}`);
}

function addReset(user: Command): void {
  const command = user.command("reset")
    .description("Give a user a new one-time password and end the user's sessions.")
    .argument("<NAME>", "the user", argument(parseUserName))
    .action(async (name: string, flags: UserFlags) => {
      const password = await withSystem(flags, async (system) => {
        await requireUser(system.users, name);
        return await system.users.reset(name);
      });
      printLine(`one-time password of ${name}: ${password}`);
    });
  addServerOption(addStoreOptions(command));
  addExamples(command, [["lars user reset admin", "when nobody can log in"]]);
}

function addRemove(user: Command): void {
  const command = user.command("rm")
    .description("Remove a user with all sessions and tokens; the last admin stays.")
    .argument("<NAME>", "the user", argument(parseUserName))
    .action(async (name: string, flags: UserFlags) => {
      await withSystem(flags, async (system) => {
        await requireUser(system.users, name);
        await system.users.remove(name);
      });
      printLine(`removed ${name}`);
    });
  addServerOption(addStoreOptions(command));
  addExamples(command, [["lars user rm ann", "ends all of ann's sessions"]]);
}
