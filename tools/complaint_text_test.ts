import assert from "node:assert/strict";
import { test } from "node:test";
import { Argument, Command, Option } from "commander";
import { argument } from "./cli_errors.ts";
import { complaintText } from "./complaint_text.ts";

function refuse(text: string): never {
  throw new RangeError(`Node must look like 10.0.0.1:7777: current value is "${text}"`);
}

function refusePart(text: string): never {
  throw new RangeError(`Port must be from 1 to 9: current value is "${text.split(":")[1]}"`);
}

function refuseShortly(): never {
  throw new RangeError("must be something else");
}

/** What is printed when a command line is wrong. */
function complaintOf(...words: string[]): string {
  let said = "";
  const command = new Command("c").exitOverride()
    .addArgument(new Argument("[NODE]", "a node").argParser(argument(refuse)))
    .addArgument(new Argument("[SHELL]", "a shell").choices(["bash", "zsh"]))
    .addOption(new Option("-o, --option <V>", "a value").argParser(argument(refuse)))
    .option("--part <V>", "a value", argument(refusePart))
    .option("--short <V>", "a value", argument(refuseShortly))
    .configureOutput({ writeErr: (text) => (said += text) })
    .configureOutput({ outputError: (text, write) => write(complaintText(text)) });
  assert.throws(() => command.parse(words, { from: "user" }));
  return said;
}

const NODE = "Node must look like 10.0.0.1:7777: current value is";

const CASES: readonly (readonly [words: readonly string[], said: string])[] = [
  [["x"], `error: argument 'NODE': ${NODE} "x"\n`],
  [["--option", "x"], `error: option '-o, --option <V>': ${NODE} "x"\n`],
  [["it's is invalid. no"], `error: argument 'NODE': ${NODE} "it's is invalid. no"\n`],
  [[""], `error: argument 'NODE': ${NODE} ""\n`],
  [["\u001b[31mx\r\ny"], `error: argument 'NODE': ${NODE} "\\u001b[31mx\\u000d\\u000ay"\n`],
  [["--option", "\u0007"], `error: option '-o, --option <V>': ${NODE} "\\u0007"\n`],
  [
    ["--short", "\u001bx"],
    "error: option '--short <V>': must be something else: current value is " +
    '"\\u001bx"\n',
  ],
  [
    ["--part", "1.2.3.4:0"],
    `error: option '--part <V>': Port must be from 1 to 9: current value is "0", in "1.2.3.4:0"\n`,
  ],
  // Letters of the complaint itself are no value named.
  [
    ["--short", "else"],
    "error: option '--short <V>': must be something else: current value is \"else\"\n",
  ],
  [["--short", ""], "error: option '--short <V>': must be something else: current value is \"\"\n"],
  [["--optoin\u001b[1m"], "error: unknown option '--optoin\\u001b[1m'\n"],
  [["--shrot"], "error: unknown option '--shrot'\n(Did you mean --short?)\n"],
];

test("complaintText(): a wrong value is named once, and steers no terminal", () => {
  for (const [words, said] of CASES) assert.equal(complaintOf(...words), said);
});
