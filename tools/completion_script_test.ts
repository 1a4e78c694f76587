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
        ]),
      ],
    },
    { ...leaf("agent"), names: ["agent", "lbagent"] },
    { ...leaf("completion"), argumentValues: ["bash", "zsh"] },
  ],
};

/** What bash would offer after these words; the last one is being typed. */
function offers(script: string, words: readonly string[]): string[] {
  const line = words.map((word) => `'${word}'`).join(" ");
  const program = `${script}
COMP_WORDS=(${line}); COMP_CWORD=${words.length - 1}
_lars_complete; printf '%s\\n' "\${COMPREPLY[@]}"`;
  const output = execFileSync("bash", ["--norc", "-c", program], { cwd: "/", stdio: "pipe" });
  return new TextDecoder().decode(output).split("\n").filter((word) => word !== "").sort();
}

const cases: readonly (readonly [words: string[], offered: string[]])[] = [
  [["lars", ""], ["agent", "completion", "lbagent", "route"]],
  [["lars", "ro"], ["route"]],
  [["lars", "route", ""], ["add", "ls"]],
  [["lars", "route", "a"], ["add"]],
  [["lars", "route", "add", "--"], ["--json", "--state", "--zone"]],
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
