import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import { findProgram } from "../tests/support/mariadb.ts";
import { scriptCommand } from "../tests/support/processes.ts";
import { type CompletionNode, completionScript, type Shell } from "./completion_script.ts";

const leaf = (name: string, options: CompletionNode["options"] = []): CompletionNode => ({
  names: [name],
  summary: `does ${name}`,
  children: [],
  options,
  argumentValues: [],
});

const tree: CompletionNode = {
  ...leaf("lars"),
  children: [
    {
      ...leaf("route"),
      children: [
        leaf("ls"),
        leaf("add", [
          { names: ["--state"], summary: "it's", takesValue: true, values: ["on", "drain"] },
          { names: ["--zone"], summary: "where", takesValue: true, values: [] },
          { names: ["-j", "--json"], summary: "json", takesValue: false, values: [] },
          {
            names: ["--set"],
            summary: "set",
            takesValue: true,
            values: ["policy=maglev", "policy=lars", "errRate="],
          },
          { names: ["--module"], summary: "m", takesValue: true, values: [], lookup: "modules" },
          { names: ["--data"], summary: "where", takesValue: true, values: [] },
        ]),
        { ...leaf("rm"), argumentLookup: "modules" },
      ],
    },
    { ...leaf("agent"), names: ["agent", "lbagent"] },
    { ...leaf("completion"), argumentValues: ["bash", "zsh"] },
  ],
};

/** What bash would offer after these words; the last one is being typed. */
function offers(script: string, words: readonly string[]): string[] {
  const line = words.map((word) => `'${word}'`).join(" ");
  // Stands for the program: names by what it is asked for and where.
  const names = 'lars() { case "$*" in *none*) return 1 ;; *a:b*) echo a:b ;; ' +
    "*) printf '%s\\n' 'log in' logout '$(exit 9)' \"of $3\" ;; esac; }";
  const program = `${script}
${names}
COMP_WORDS=(${line}); COMP_CWORD=${words.length - 1}
_lars_complete; printf '%s\\n' "\${COMPREPLY[@]}"`;
  const output = execFileSync("bash", ["--norc", "-c", program], { cwd: "/", stdio: "pipe" });
  return new TextDecoder().decode(output).split("\n").filter((word) => word !== "").sort();
}

const cases: readonly (readonly [words: string[], offered: string[]])[] = [
  [["lars", ""], ["agent", "completion", "lbagent", "route"]],
  [["lars", "ro"], ["route"]],
  [["lars", "route", ""], ["add", "ls", "rm"]],
  [["lars", "route", "a"], ["add"]],
  [["lars", "route", "add", "--"], [
    "--data",
    "--json",
    "--module",
    "--set",
    "--state",
    "--zone",
  ]],
  [["lars", "route", "add", "--set", "err"], ["errRate="]],
  // A shell gives words with = or : in pieces, and wants the last piece back.
  [["lars", "route", "add", "--set", "policy", "="], ["lars", "maglev"]],
  [["lars", "route", "add", "--set", "policy", "=", "m"], ["maglev"]],
  [["lars", "route", "rm", ""], ["$(exit 9)", "log in", "logout", "of modules"]],
  [["lars", "route", "rm", "lo"], ["log in", "logout"]],
  [["lars", "route", "rm", "--data", "/d", "lo"], ["log in", "logout"]],
  [["lars", "route", "rm", "--data", "/none", "lo"], []],
  [["lars", "route", "rm", "--data", "a", ":", "b", ""], ["a:b"]],
  [["lars", "route", "add", "--module", "logo"], ["logout"]],
  [["lars", "route", "add", "1", "1", "10.0.0.1:1", "--st"], ["--state"]],
  [["lars", "route", "add", "--state", ""], ["drain", "on"]],
  [["lars", "route", "--zone", "ls", "add", "--j"], ["--json"]],
  [["lars", "completion", ""], ["bash", "zsh"]],
];

for (const [words, offered] of cases) {
  test(`completion: bash offers ${offered.join(", ")} after "${words.slice(1).join(" ")}"`, () => {
    assert.deepEqual(offers(completionScript("bash", tree), words), offered);
  });
}

test("completion: scripts quote what stands in summaries", () => {
  for (const shell of ["zsh", "fish"] satisfies Shell[]) {
    assert.match(completionScript(shell, tree), /it'\\''s/);
  }
});

function larsCompletion(shell: Shell): string {
  const [program, ...args] = [...scriptCommand("tools/lars.ts"), "completion", shell];
  return new TextDecoder().decode(execFileSync(program, args, { stdio: "pipe" }));
}

test("lars completion bash: bash accepts the script and knows the commands", () => {
  const script = larsCompletion("bash");
  execFileSync("bash", ["-n"], { input: script });
  const route = offers(script, ["lars", "route", ""]);
  for (const word of ["ls", "add", "rm", "set", "import", "export", "diff"]) {
    assert.ok(route.includes(word), `${word} in ${route}`);
  }
  const top = offers(script, ["lars", ""]);
  for (const word of ["up", "dns", "lbagent", "test", "status"]) assert.ok(top.includes(word));
  assert.ok(offers(script, ["lars", "dns", "--"]).includes("--reactor-port"));
  assert.deepEqual(offers(script, ["lars", "route", "set", "--state", "d"]), ["drain"]);
});

for (const shell of ["zsh", "fish"] satisfies Shell[]) {
  test(`lars completion ${shell}: ${shell} accepts the script`, (t) => {
    const script = larsCompletion(shell);
    assert.match(script, /lars/);
    if (findProgram(shell) === undefined) return t.skip(`${shell} is not installed`);
    execFileSync(shell, shell === "zsh" ? ["-n", "/dev/stdin"] : ["--no-execute"], {
      input: script,
    });
  });
}
