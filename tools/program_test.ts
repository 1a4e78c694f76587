import assert from "node:assert/strict";
import { test } from "node:test";
import { findProgram } from "../tests/support/mariadb.ts";
import {
  type Ended,
  type Processes,
  scriptCommand,
  withProcesses,
} from "../tests/support/processes.ts";
import { VERSION } from "../daemon/version.ts";
import { buildProgram } from "./program.ts";

function lars(processes: Processes, args: readonly string[]): Promise<Ended> {
  return processes.run("tools/lars.ts", args);
}

interface Row {
  readonly args: readonly string[];
  readonly code: 0 | 1 | 2;
  readonly stdout?: RegExp;
  readonly stderr?: RegExp;
}

const rows: readonly Row[] = [
  { args: [], code: 2, stderr: /^Usage: lars / },
  { args: ["--help"], code: 0, stdout: /Commands:[\s\S]* up [\s\S]*Examples:[\s\S]*Exit codes: 0/ },
  { args: ["help"], code: 0, stdout: /^Usage: lars / },
  { args: ["--version"], code: 0, stdout: new RegExp(`^${VERSION}\n$`) },
  { args: ["help", "route"], code: 0, stdout: /^Usage: lars route / },
  { args: ["help", "route", "add"], code: 0, stdout: /^Usage: lars route add [\s\S]*Examples:/ },
  { args: ["help", "foo"], code: 2, stderr: /unknown command 'foo'\n/ },
  { args: ["help", "rout"], code: 2, stderr: /unknown command 'rout': did you mean route\?/ },
  { args: ["help", "route", "ad"], code: 2, stderr: /'ad' of route: did you mean add\?/ },
  { args: ["help", "drain", "foo"], code: 2, stderr: /unknown command 'foo' of drain\n/ },
  { args: ["help", "help"], code: 0, stdout: /^Usage: lars / },
  { args: ["help", "lbagent"], code: 0, stdout: /^Usage: lars agent / },
  { args: ["rout", "ls"], code: 2, stderr: /unknown command 'rout'\n\(Did you mean route\?\)/ },
  { args: ["route"], code: 2, stderr: /^Usage: lars route / },
  { args: ["route", "ad"], code: 2, stderr: /Did you mean (one of )?.*add/ },
  { args: ["route", "add"], code: 2, stderr: /missing required argument 'MODULE'/ },
  { args: ["route", "add", "x", "1", "10.0.0.1:1"], code: 2, stderr: /MODID must be a whole/ },
  { args: ["route", "add", "1", "-1", "10.0.0.1:1"], code: 2, stderr: /"-1"\n/ },
  { args: ["route", "add", "1", "1", "10.0.0.1:0"], code: 2, stderr: /from 1 to 65535/ },
  { args: ["route", "add", "1", "1", "10.0.0.1:1", "2"], code: 2, stderr: /too many arguments/ },
  { args: ["route", "add", "1", "1", "10.0.0.1:1", "--stat", "on"], code: 2, stderr: /--state\?/ },
  { args: ["route", "set", "1", "1", "10.0.0.1:1"], code: 2, stderr: /Nothing to set/ },
  { args: ["route", "ls", "--store", "x:y"], code: 2, stderr: /must start with sqlite:/ },
  {
    args: ["route", "ls", "--store", "sqlite:a", "--data", "b"],
    code: 2,
    stderr: /cannot be used/,
  },
  { args: ["route", "ls"], code: 1, stderr: /no database at \.\/data\/lars\.db: name one/ },
  {
    args: ["route", "import", "none.csv"],
    code: 2,
    stderr: /^lars: none\.csv cannot be read: .*no such file.*\n$/i,
  },
  {
    args: ["test", "gethost", "1", "1", "--token-file", "none"],
    code: 1,
    stderr: /^lars: --token-file cannot be read: /,
  },
  { args: ["restore", "none.gz"], code: 2, stderr: /^lars: none\.gz cannot be read: .*\n$/ },
  {
    args: ["restore", "/etc/passwd"],
    code: 2,
    stderr: /^lars: \/etc\/passwd: It is no whole backup/,
  },
  { args: ["cert", "show", "none.pem"], code: 2, stderr: /^lars: none\.pem cannot be read: .*\n$/ },
  { args: ["cert", "show", "/etc/passwd"], code: 2, stderr: /passwd must hold whole blocks/ },
  {
    args: ["cert", "make", "a", "--role", "dns"],
    code: 2,
    stderr: /^lars: ca\.pem cannot be read/,
  },
  { args: ["import", "/etc/passwd"], code: 2, stderr: /^lars: \/etc\/passwd must be JSON/ },
  { args: ["diff", "none.json"], code: 2, stderr: /^lars: none\.json cannot be read/ },
  { args: ["route", "diff", "none.csv"], code: 2, stderr: /^lars: none\.csv cannot be read/ },
  { args: ["sim", "--replay", "none"], code: 2, stderr: /^lars: --replay none cannot be read/ },
  { args: ["sim", "--replay", "/etc/passwd"], code: 2, stderr: /^lars: .*passwd/ },
  { args: ["status", "--store", "@none"], code: 2, stderr: /^lars: --store cannot be read/ },
  {
    args: ["export", "haproxi"],
    code: 2,
    stderr: /no service "haproxi" of lars export: did you mean haproxy\? .* as \.\/haproxi\n$/,
  },
  { args: ["register", "1", "1", "80"], code: 2, stderr: /missing required argument 'COMMAND'/ },
  { args: ["register", "x", "99999", "--", "y"], code: 2, stderr: /Port must be .* 1 to 65535/ },
  {
    args: ["register", "1", "1", "80", "--note", "x", "--", "y"],
    code: 2,
    stderr: /Note must be a JSON object: current value is x/,
  },
  { args: ["route", "import", "a", "--format", "xml"], code: 2, stderr: /csv, json/ },
  { args: ["status", "--server", "x"], code: 2, stderr: /^lars: --server must look like http:/ },
  { args: ["top", "--server", "http://h:99999"], code: 2, stderr: /value is "http:\/\/h:99999"/ },
  {
    args: ["zone", "restore", "a", "--server", "http://127.0.0.1:1"],
    code: 2,
    stderr: /^lars: --server needs an API token .*LARS_API_TOKEN_FILE/,
  },
  {
    args: ["drain", "10.0.0.1:1", "--wait", "--server", "http://h", "--token-file", "none"],
    code: 2,
    stderr: /^lars: --token-file cannot be read/,
  },
  {
    args: ["explain", "1", "1", "--server", "http://h", "--agent", "h:1"],
    code: 2,
    stderr: /--server needs an API token/,
  },
  {
    args: ["user", "ls", "--server", "http://h", "--data", "d"],
    code: 2,
    stderr: /cannot be used/,
  },
  { args: ["sql", "migrate", "--server", "http://h"], code: 2, stderr: /unknown option/ },
  { args: ["sql"], code: 2, stderr: /^Usage: lars sql / },
  { args: ["sql", "migrate", "--data", "/proc/none"], code: 1, stderr: /cannot be made/ },
  { args: ["completion"], code: 2, stderr: /missing required argument 'SHELL'/ },
  { args: ["completion", "csh"], code: 2, stderr: /bash, zsh, fish/ },
  { args: ["dns", "--help"], code: 0, stdout: /^Usage: lars dns [\s\S]*--reactor-port/ },
  { args: ["dns", "-c", "none.ini"], code: 2, stderr: /Configuration file cannot be read/ },
  { args: ["reporter", "--reactor-port", "70000"], code: 2, stderr: /0 to 65535.*"70000"/ },
  { args: ["agent", "--reactor-prot", "1"], code: 2, stderr: /unknown option/ },
  { args: ["up", "--dns", "x:y"], code: 2, stderr: /Port must be a whole number/ },
  { args: ["up", "--log-level", "loud"], code: 2, stderr: /debug, info, warning, error/ },
  { args: ["test"], code: 1, stderr: /^Usage: lars test / },
  { args: ["test", "gethost", "1"], code: 1, stderr: /missing required argument 'CMDID'/ },
  { args: ["test", "getroute", "1", "4294967296"], code: 1, stderr: /from 0 to 4294967295/ },
  { args: ["test", "report", "1", "1", "10.0.0.1", "0", "0"], code: 1, stderr: /1 to 65535/ },
  { args: ["test", "report", "1", "1", "10.0.0.1", "1", "2"], code: 1, stderr: /0, 1/ },
  { args: ["test", "report", "1", "1", "ten", "1", "0"], code: 1, stderr: /IPv4 address/ },
  { args: ["test", "simulator", "1", "1", "11"], code: 1, stderr: /from 0 to 10/ },
  { args: ["test", "simulator", "1", "1", "2", "1000000"], code: 1, stderr: /from 0 to 999999/ },
  { args: ["test", "qps", "0"], code: 1, stderr: /from 1 to/ },
  { args: ["test", "gethost", "1", "1", "--agent", "h:0"], code: 1, stderr: /from 1 to 65535/ },
  { args: ["test", "gethots", "1", "1"], code: 1, stderr: /Did you mean gethost/ },
  {
    args: ["user", "add", "a\u001b[31m"],
    code: 2,
    stderr: /^error: argument 'NAME': Name must be [^"]*: current value is "a\\u001b\[31m"\n\(add/,
  },
  {
    args: ["test", "gethost", "1", "1", "--agent", "\u001b:x"],
    code: 1,
    stderr: /^error: option '--agent <HOST:PORT>': Port must be .*: current value is "\\u001b:x"\n/,
  },
  { args: ["route", "ls", "--data", "\u001b"], code: 1, stderr: /no database at \\u001b\/lars/ },
  { args: ["agent", "--a\u001b", "1"], code: 2, stderr: /^error: unknown option '--a\\u001b'\n/ },
  { args: ["agent", "--agent-port", "\u001b"], code: 2, stderr: /current value is "\\u001b"/ },
  { args: ["agent", "-c", "\u001b"], code: 2, stderr: /^lars agent: Conf.*\\u001b/ },
  { args: ["reactor"], code: 1, stderr: /^Usage: lars reactor / },
  { args: ["reactor", "qps"], code: 1, stderr: /missing required argument 'ThreadNum'/ },
  { args: ["reactor", "qps", "1", "--to", "h:x"], code: 1, stderr: /from 0 to 65535/ },
  { args: ["reactor", "server", "-c", "none.conf"], code: 1, stderr: /cannot be read/ },
];

test("lars: arguments, output streams and exit codes", async () => {
  await withProcesses(async (processes) => {
    // A few at a time: each is a process of its own.
    for (let at = 0; at < rows.length; at += 4) {
      await Promise.all(
        rows.slice(at, at + 4).map(async (row) => {
          const { code, stdout, stderr } = await lars(processes, row.args);
          const shown = `lars ${row.args.join(" ")}\n${stdout}${stderr}`;
          assert.equal(code, row.code, shown);
          if (row.stdout !== undefined) assert.match(stdout, row.stdout, shown);
          if (row.stderr !== undefined) assert.match(stderr, row.stderr, shown);
          if (code !== 0) assert.equal(stdout, "", `complaints go to standard error: ${shown}`);
          assert.doesNotMatch(stderr, /^\s+at .*:\d+/m, `no stack for a user's mistake: ${shown}`);
        }),
      );
    }
  });
});

test("lars: every command has a description, and examples in its help", async () => {
  const { program } = await buildProgram("all");
  const visit = (command: typeof program, path: string): void => {
    assert.notEqual(command.description(), "", path);
    let help = "";
    command.configureOutput({ writeOut: (text) => (help += text) });
    command.outputHelp();
    const isService = ["dns", "reporter", "discovery", "agent", "web"].includes(command.name());
    if (!isService) assert.match(help, /\nExamples:\n {2}\$ /, `${path} --help`);
    assert.doesNotMatch(help, /default: [[{]|default [^)]*\)\s+\(default/, `${path} --help`);
    for (const child of command.commands) visit(child, `${path} ${child.name()}`);
  };
  visit(program, "lars");
});

test("lars: colours only on a terminal and without NO_COLOR", async (t) => {
  if (findProgram("script") === undefined) return t.skip("script (util-linux) is not installed");
  await withProcesses(async (processes) => {
    const command = [...scriptCommand("tools/lars.ts"), "route", "ls"].join(" ");
    const inTerminal = (env: Record<string, string>): Promise<Ended> =>
      processes.spawnCommand("script", ["script", "-qec", command, "/dev/null"], {
        env: { TERM: "xterm", ...env },
      }).untilEnded(30_000);
    // deno-lint-ignore no-control-regex -- colour codes
    const colour = /\x1b\[3\dm/;
    const coloured = await inTerminal({ NO_COLOR: "" });
    assert.match(coloured.stdout, colour, "on a terminal");
    assert.doesNotMatch((await inTerminal({ NO_COLOR: "1" })).stdout, colour, "with NO_COLOR");
    const piped = await lars(processes, ["route", "ls"]);
    assert.doesNotMatch(piped.stderr, colour, "in a pipe");
  });
});
