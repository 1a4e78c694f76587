import assert from "node:assert/strict";
import { test } from "node:test";
import { Command, CommanderError } from "commander";
import { UsageError } from "./cli_errors.ts";
import {
  type ModuleFilterWord,
  type ModuleWord,
  parseModuleOption,
  withModuleFilter,
  withModuleWords,
} from "./module_argument.ts";
import { parseNodeAddress } from "./cli_arguments.ts";
import { parseWhole } from "../model/route_values.ts";

/** What a command line is taken for, or what is said of it. */
async function taken(
  words: readonly string[],
  make: (command: Command, got: (v: unknown) => void) => void,
): Promise<unknown> {
  let value: unknown;
  let said = "";
  const program = new Command("lars").exitOverride().configureOutput({
    writeErr: (text) => (said += text),
  });
  make(program.command("do"), (got) => (value = got));
  try {
    await program.parseAsync(["do", ...words], { from: "user" });
    return value;
  } catch (error) {
    if (error instanceof CommanderError) return said.trim();
    throw error;
  }
}

const withNode = (words: readonly string[]): Promise<unknown> =>
  taken(words, (command, got) =>
    withModuleWords(
      command,
      [{ name: "IP:PORT", about: "the node", parse: parseNodeAddress }, {
        name: "N",
        about: "a number",
        parse: (text) => parseWhole("N", text, 0, 9),
        initial: 5,
      }],
      (module: ModuleWord, values) => got([module, values[0].port, values[1]]),
    ));

const key = (modId: number, cmdId: number): ModuleWord => ({ key: { modId, cmdId } });

const good: readonly (readonly [line: string, value: unknown])[] = [
  ["1 2 10.0.0.1:80", [key(1, 2), 80, 5]],
  ["1 2 10.0.0.1:80 7", [key(1, 2), 80, 7]],
  ["1/2 10.0.0.1:80", [key(1, 2), 80, 5]],
  ["1,2 10.0.0.1:80 0", [key(1, 2), 80, 0]],
  ["(1,2) 10.0.0.1:80", [key(1, 2), 80, 5]],
  ["login 10.0.0.1:80 7", [{ name: "login" }, 80, 7]],
  ["2nd 10.0.0.1:80", [{ name: "2nd" }, 80, 5]],
];
for (const [line, value] of good) {
  test(`module words: takes "${line}"`, async () => {
    assert.deepEqual(await withNode(line.split(" ")), value);
  });
}

const bad: readonly (readonly [line: string, words: RegExp])[] = [
  ["", /missing required argument 'MODULE'/],
  ["1", /missing required argument 'CMDID'/],
  ["1 10.0.0.1:80", /missing required argument 'CMDID'/],
  ["1 2", /missing required argument 'IP:PORT'/],
  ["login", /missing required argument 'IP:PORT'/],
  ["x 1 10.0.0.1:80 7", /MODID must be a whole number/],
  ["1 4294967296 10.0.0.1:80", /CMDID must be .* 0 to 4294967295/],
  ["9999999999/1 10.0.0.1:80", /MODID must be/],
  ["login 10.0.0.1:80 7 8", /too many arguments for 'do': expected <MODULE> <IP:PORT> \[N\]/],
  ["login nonsense", /'IP:PORT'\. Node must look like/],
  ["login 10.0.0.1:80 x", /'N'\. N must be a whole number/],
];
for (const [line, words] of bad) {
  test(`module words: refuses "${line}"`, async () => {
    assert.match(String(await withNode(line === "" ? [] : line.split(" "))), words);
  });
}

test("module filter: nothing, a number, two numbers, a name", async () => {
  const filter = (line: string): Promise<unknown> =>
    taken(
      line.split(" ").filter((word) => word !== ""),
      (command, got) =>
        withModuleFilter(command, (found: ModuleFilterWord) => {
          got(found ?? "all");
          return Promise.resolve();
        }),
    );
  assert.equal(await filter(""), "all");
  assert.deepEqual(await filter("7"), { modId: 7 });
  assert.deepEqual(await filter("7 8"), key(7, 8));
  assert.deepEqual(await filter("7/8"), key(7, 8));
  assert.deepEqual(await filter("shop"), { name: "shop" });
  assert.match(String(await filter("shop 1")), /too many|MODID/);
  assert.match(String(await filter("1 2 3")), /too many/);
});

test("parseModuleOption() takes a name or numbers", () => {
  assert.equal(parseModuleOption("--module", undefined), undefined);
  assert.deepEqual(parseModuleOption("--module", ["1", "2"]), key(1, 2));
  assert.deepEqual(parseModuleOption("--module", ["1/2"]), key(1, 2));
  assert.deepEqual(parseModuleOption("--module", ["shop"]), { name: "shop" });
  for (const words of [["1"], ["a", "b"], ["1", "2", "3"], [" "]]) {
    assert.throws(() => parseModuleOption("--module", words), UsageError, words.join(" "));
  }
});
