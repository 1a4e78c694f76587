import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { findProgram } from "../tests/support/mariadb.ts";
import { withTempDir } from "../tests/support/temp_dir.ts";
import { scriptCommand } from "../tests/support/processes.ts";
import { type CompletionNode, completionScript, type Shell } from "./completion_script.ts";

const SHELL_PATHS = { fish: findProgram("fish"), zsh: findProgram("zsh") };

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
        {
          ...leaf("rm", [{ names: ["--data"], summary: "where", takesValue: true, values: [] }]),
          argumentLookups: ["modules", "nodes"],
        },
      ],
    },
    { ...leaf("agent"), names: ["agent", "lbagent"] },
    { ...leaf("completion"), argumentValues: ["bash", "zsh"] },
  ],
};

/** Stands for the program: names by what it is asked for and where. */
const NAMES =
  'case "$*" in *none*) return 1 ;; *nodes*) printf "%s\\n" 10.0.0.1:80 10.0.0.2:80 ;; ' +
  "*a:b*) echo a:b ;; *) printf '%s\\n' 'log in' logout '$(exit 9)' \"of $3\" ;; esac";

/** What bash would offer after these words; the last one is being typed. */
function offers(script: string, words: readonly string[]): string[] {
  const line = words.map((word) => `'${word}'`).join(" ");
  const program = `${script}
lars() { ${NAMES}; }
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
  [["lars", "route", "rm", "logout", ""], ["10.0.0.1:80", "10.0.0.2:80"]],
  [["lars", "route", "rm", "1", "2", "10.0.0.2"], ["10.0.0.2:80"]],
  [["lars", "route", "rm", "logout", "10.0.0.1", ":", "8"], ["80"]],
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

/** Runs `fn` in a folder with a program `lars` of the name that the scripts ask, first in the path. */
function withStub<T>(
  script: string,
  fn: (file: string, env: Record<string, string | undefined>) => Promise<T>,
): Promise<T> {
  return withTempDir(async (directory) => {
    const file = join(directory, "script");
    writeFileSync(file, script);
    const names = NAMES.replace("return 1", "exit 1");
    writeFileSync(join(directory, "lars"), `#!/bin/sh\n${names}\n`, { mode: 0o755 });
    const path = `${directory}:${process.env.PATH}`;
    return await fn(file, {
      ...process.env,
      PATH: path,
      HOME: directory,
      XDG_DATA_HOME: directory,
    });
  });
}

/** What a real fish offers after a line, without the descriptions. */
function offersOfFish(script: string, lines: readonly string[]): Promise<string[][]> {
  return withStub(script, (file, env) => {
    const asked = lines.map((line) => `complete -C${quotedFish(line)}; echo ==`).join("\n");
    const text = `source ${file}\n${asked}`;
    const output = execFileSync(SHELL_PATHS.fish ?? "fish", ["--no-config", "-c", text], {
      ...{ env, cwd: "/", stdio: "pipe", encoding: "utf8", timeout: 60_000 },
    });
    return Promise.resolve(
      output.split("==\n").slice(0, -1).map((part) =>
        part.split("\n").filter((word) => word !== "").map((word) => word.split("\t")[0]).sort()
      ),
    );
  });
}

function quotedFish(text: string): string {
  return `'${text.replaceAll(/['\\]/g, "\\$&")}'`;
}

/**
 * The line that a real zsh, at a terminal of its own, makes of a line when the tab key is pressed.
 * After each one a key shows the line, and another empties it.
 */
const ZSH_TERMINAL = `
zmodload zsh/zpty || exit 3
zpty -b z zsh -f -i
zpty -w z 'unset zle_bracketed_paste; PS1=; autoload -Uz compinit; compinit -u -D'
zpty -w z "source $1; show() { zle -I; print -r -- \\"<<\\$BUFFER>>\\" }; zle -N show"
zpty -w z 'bindkey "^G" show; bindkey "^U" kill-whole-line; bindkey "^I" complete-word; print -- REA""DY'
wait_for() {
  local part all=
  integer tries=0
  while [[ $all != *\${~1}* ]]; do
    if zpty -r -t z part; then all+=$part; else sleep 0.02; (( ++tries > 500 )) && { print -r -- "LOST $all" >&2; exit 4 }; fi
  done
  REPLY=$all
}
wait_for 'READY'
shift
for line in "$@"; do
  zpty -w -n z $line$'\\t\\x07\\x15'
  wait_for '<<*>>'
  print -r -- \${\${REPLY##*<<}%%>>*}
done
zpty -d z
`;

function linesOfZsh(script: string, lines: readonly string[]): Promise<string[]> {
  return withStub(script, (file, env) => {
    const argv = ["-f", "-c", ZSH_TERMINAL, "test", file, ...lines];
    const output = execFileSync(SHELL_PATHS.zsh ?? "zsh", argv, {
      ...{ env, cwd: "/", stdio: "pipe", encoding: "utf8", timeout: 120_000 },
    });
    return Promise.resolve(output.split("\n").slice(0, lines.length));
  });
}

const FISH_CASES: readonly (readonly [line: string, offered: readonly string[]])[] = [
  ["lars ", ["agent", "completion", "lbagent", "route"]],
  ["lars ro", ["route"]],
  ["lars route ", ["add", "ls", "rm"]],
  ["lars route add --s", ["--set", "--state"]],
  ["lars route add --set err", ["errRate="]],
  ["lars route add --set policy=m", ["policy=maglev"]],
  ["lars route add --state ", ["drain", "on"]],
  ["lars route add --module logo", ["logout"]],
  ["lars route rm ", ["$(exit 9)", "log in", "logout", "of modules"]],
  ["lars route rm --data /d lo", ["log in", "logout"]],
  ["lars route rm --data /none lo", []],
  ["lars route rm --data a:b ", ["a:b"]],
  ["lars route rm logout ", ["10.0.0.1:80", "10.0.0.2:80"]],
  ["lars route rm 1 2 10.0.0.2", ["10.0.0.2:80"]],
  ["lars route --zone ls add --j", ["--json"]],
  ["lars completion ", ["bash", "zsh"]],
];

test("completion: a real fish offers words, names, keys, values and nodes", async (t) => {
  if (SHELL_PATHS.fish === undefined) return t.skip("fish is not installed");
  const lines = FISH_CASES.map(([line]) => line);
  const found = await offersOfFish(completionScript("fish", tree), lines);
  for (const [at, [line, offered]] of FISH_CASES.entries()) {
    assert.deepEqual(found[at], offered, line);
  }
});

const ZSH_CASES: readonly (readonly [line: string, completed: string])[] = [
  ["lars ro", "lars route "],
  ["lars route a", "lars route add "],
  ["lars route add --sta", "lars route add --state "],
  ["lars route add --set err", "lars route add --set errRate="],
  ["lars route add --set policy=m", "lars route add --set policy=maglev "],
  ["lars route add --state d", "lars route add --state drain "],
  ["lars route add --module logo", "lars route add --module logout "],
  ["lars route rm logo", "lars route rm logout "],
  ["lars route rm 'log ", "lars route rm 'log in' "],
  ["lars route rm --data a:b ", "lars route rm --data a:b a:b "],
  ["lars route rm --data /none lo", "lars route rm --data /none lo"],
  ["lars route rm logout 10.0.0.1", "lars route rm logout 10.0.0.1:80 "],
  ["lars route rm 1 2 10.0.0.2:", "lars route rm 1 2 10.0.0.2:80 "],
  ["lars route --zone ls add --j", "lars route --zone ls add --json "],
  ["lars completion z", "lars completion zsh "],
];

test("completion: a real zsh at a terminal completes words, names, keys, values and nodes", async (t) => {
  if (SHELL_PATHS.zsh === undefined) return t.skip("zsh is not installed");
  const lines = ZSH_CASES.map(([line]) => line);
  const found = await linesOfZsh(completionScript("zsh", tree), lines);
  assert.deepEqual(found, ZSH_CASES.map(([, completed]) => completed));
});

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
