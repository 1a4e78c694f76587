import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { Command } from "commander";
import { withProcesses } from "../tests/support/processes.ts";
import { buildProgram } from "./program.ts";

const TIMEOUT = { timeout: 300_000 };

/** A command line that names something that is not there, and what is said of it. */
type Row = readonly [line: string, words: RegExp];

const NO_RELAY =
  /No relay answers at 127\.0\.0\.1:1: nothing listens there \(is the relay running, is the port/;

/**
 * Every command: how it ends when what it names is not there; or why it names nothing that could be
 * missing. A new command has to be added here.
 */
const COMMANDS: Readonly<Record<string, readonly Row[] | string>> = {
  "route ls": [
    ["route ls logni", /No module is called "logni": did you mean \(1,1\) login\?/],
  ],
  "route add": [["route add logni 10.0.0.1:80", /did you mean \(1,1\) login\?/]],
  "route set": [
    ["route set 1 1 10.0.0.11:80 --weight 1", /\(1,1\) login has no node .*mean 10\.0\.0\.1:80\?/],
    ["route set 1 1 10.0.0.3:80 --weight 1", /has no node 10\.0\.0\.3:80: it is a node of \(2,1\)/],
    ["route set 1 2 10.0.0.1:80 --weight 1", /no module \(1,2\)/],
  ],
  "route rm": [
    ["route rm login 10.0.0.3:80", /has no node 10\.0\.0\.3:80: it is a node of \(2,1\)/],
    ["route rm 9 9 10.0.0.3:80", /no module \(9,9\)/],
  ],
  "route confirm": [["route confirm logn", /did you mean \(1,1\) login\?/]],
  "route import": [["route import empty.csv", /empty\.csv names no node; nothing was written/]],
  "route export": "writes all there is",
  "route diff": [["route diff empty.csv", /^$/]],
  "module ls": [["module ls logn", /did you mean \(1,1\) login\?/]],
  "module show": [
    ["module show 1 2", /no module \(1,2\).*did you mean \(1,1\) login\?/],
    ["module show 9 9 --json", /no module \(9,9\): it has no node, name or policy/],
    ["module show logn", /did you mean \(1,1\) login\?/],
  ],
  "module set": [
    ["module set logn --set policy=maglev", /did you mean \(1,1\) login\?/],
    ["module set 9 9 --policy ", /no module \(9,9\)/],
  ],
  "drain": [["drain 10.0.0.12:80", /no module has it: did you mean 10\.0\.0\.[12]:80/]],
  "undrain": [["undrain 10.0.0.12:80", /no module has it: did you mean 10\.0\.0\.[12]:80/]],
  "zone evacuate": [
    ["zone evacuate eats", /no zone eats: .*nothing was written: did you mean east\?/],
    ["zone evacuate eats --dry-run", /did you mean east\?/],
    ["zone evacuate eats --json", /did you mean east\?/],
    ["zone evacuate idle", /idle has no node in service: 1 node there is drained or off/],
  ],
  "zone restore": [["zone restore eats", /did you mean east\?/]],
  "user ls": "lists all there are",
  "user add": "makes what it names",
  "user reset": [["user reset amdin", /no user amdin: did you mean admin\?/]],
  "user rm": [["user rm amdin", /no user amdin: did you mean admin\?/]],
  "explain": [["explain logn --data .", /did you mean \(1,1\) login\?/]],
  "test gethost": [["test gethost logn --data .", /did you mean \(1,1\) login\?/]],
  "test getroute": [["test getroute logn --data .", /did you mean \(1,1\) login\?/]],
  "test report": [["test report logn 10.0.0.1 80 0 --data .", /did you mean \(1,1\) login\?/]],
  "test simulator": [["test simulator logn --data .", /did you mean \(1,1\) login\?/]],
  "test example": [["test example logn --data .", /did you mean \(1,1\) login\?/]],
  "test qps": "names no module",
  "events": [
    ["events --module 1 11", /no module \(1,11\)/],
    ["events --module logn", /did you mean \(1,1\) login\?/],
  ],
  "top": [
    ["top --once --module 1 11", /no module \(1,11\)/],
    ["top --once --module logn", /did you mean \(1,1\) login\?/],
  ],
  "sample call": [["sample call logn --data .", /did you mean \(1,1\) login\?/]],
  "sample ls": [["sample ls", /no sample nodes/]],
  "sample fail": [["sample fail", /no sample nodes/]],
  "sample slow": [["sample slow", /no sample nodes/]],
  "sample heal": [["sample heal", /no sample nodes/]],
  "module sync-names": "carries all names there are",
  "webhook ls": "lists what a console has",
  "webhook test": "a console names what is not there, by its number",
  "export": "writes all there is",
  "import": "a file that cannot be read is wrong usage",
  "diff": "a file that cannot be read is wrong usage",
  "config example": "prints files",
  "backup": [["backup none/x", /none\/x cannot be written/]],
  "restore": "a file that cannot be read is wrong usage",
  "sql migrate": "says what it applied",
  "sql status": "looks only",
  "sql grants": "its words are checked by the parser",
  "sql accept-restored": "names nothing",
  "cert ca": "makes files",
  "cert make": "a file that cannot be read is wrong usage",
  "cert show": "a file that cannot be read is wrong usage",
  "status": "looks at all there is",
  "followers": "looks at all there is",
  "doctor": "looks at all there is",
  "health": "its words are checked, as those of wrong usage",
  "sim": "its words are checked by the parser",
  "up": "runs",
  "completion": "its words are checked by the parser",
  "dns": "runs",
  "reporter": "runs",
  "web": "runs",
  "agent": "runs",
  "discovery": "runs",
  "lease ls": [["lease ls logn", /did you mean \(1,1\) login\?/]],
  "lease end": [
    ["lease end logn 10.0.0.1:80", /did you mean \(1,1\) login\?/],
    ["lease end login 10.0.0.1:80", /\(1,1\) login 10\.0\.0\.1:80 is not registered/],
  ],
  "lease free": [["lease free login 10.0.0.9:80", /10\.0\.0\.9:80.* is not registered/]],
  "lease confirm": [["lease confirm 9 9", /No node of \(9,9\) is held back/]],
  "scale ls": "lists all there are",
  "scale set": [
    ["scale set logn --target 1 --max 2", /did you mean \(1,1\) login\?/],
    ["scale set 9 9 --target 1 --max 2", /no module \(9,9\)/],
  ],
  "scale show": [["scale show 9 9", /\(9,9\) has no rule of scaling/]],
  "scale explain": [["scale explain login", /\(1,1\) has no rule of scaling/]],
  "scale off": [["scale off login", /\(1,1\) has no rule of scaling/]],
  "node ls": [["node ls logn", /did you mean \(1,1\) login\?/]],
  "register": [
    ["register logn 9100 -- true", /did you mean \(1,1\) login\?/],
    ["register 1 1 9100 -- no-such-thing", /no-such-thing cannot be started: there is no such pro/],
  ],
  "reactor server": "names nothing",
  "reactor qps": "names no module",
  "relay echo": "waits for its relay",
  "relay ls": [
    ["relay ls --relay 127.0.0.1:1", NO_RELAY],
    [
      "relay ls --relay nohost.invalid",
      /No relay answers at nohost.invalid:2000: no address is kno/,
    ],
  ],
  "relay kick": [["relay kick 7 --relay 127.0.0.1:1", NO_RELAY]],
  "relay send": [
    ["relay send ann x --relay 127.0.0.1:1", NO_RELAY],
    ["relay send ann x --group --relay 127.0.0.1:1", NO_RELAY],
    ["relay send ann x --relay nohost.invalid", /nohost.invalid:2000: no address is known for/],
  ],
  "relay tail": [["relay tail --relay 127.0.0.1:1", NO_RELAY]],
  "relay bench": [["relay bench --seconds 60 --relay 127.0.0.1:1", NO_RELAY]],
};

function leaves(command: Command, path: string): string[] {
  const below = command.commands.flatMap((child) =>
    leaves(child, `${path} ${child.name()}`.trim())
  );
  return below.length > 0 ? below : [path];
}

test("every command is in the table of what happens to unknown things", async () => {
  const { program } = await buildProgram("all");
  const missing = leaves(program, "").filter((path) => !Object.hasOwn(COMMANDS, path));
  assert.deepEqual(missing, []);
});

test("no command ends with 0 when what it names is not there", TIMEOUT, async () => {
  await withProcesses(async (processes) => {
    const lars = (line: string): ReturnType<typeof processes.run> => {
      const where = { cwd: processes.directory, env: { LARS_STORE_URL: "sqlite:lars.db" } };
      return processes.run("tools/lars.ts", line.split(" "), where);
    };
    writeFileSync(join(processes.directory, "empty.csv"), "modid,cmdid,ip,port\n");
    for (
      const line of [
        "sql migrate --store sqlite:lars.db",
        "route add 1 1 10.0.0.1:80 --zone east",
        "route add 1 1 10.0.0.2:80 --zone west",
        "route add 2 1 10.0.0.3:80 --zone idle --state off",
        "module set 1 1 --name login",
        "user add admin --role admin",
      ]
    ) assert.equal((await lars(line)).code, 0, line);
    const before = (await lars("route export")).stdout;
    const rows = Object.values(COMMANDS).flatMap((row) => typeof row === "string" ? [] : row);
    for (let at = 0; at < rows.length; at += 4) {
      await Promise.all(
        rows.slice(at, at + 4).map(async ([line, words]) => {
          const { code, stdout, stderr } = await lars(line);
          const shown = `lars ${line}\n${stdout}${stderr}`;
          assert.equal(code, 1, shown);
          assert.match(stderr, words, shown);
          if (!line.startsWith("route diff")) assert.equal(stdout, "", shown);
        }),
      );
    }
    assert.equal((await lars("route export")).stdout, before, "nothing was written");
  });
});
