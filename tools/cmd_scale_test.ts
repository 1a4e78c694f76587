import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { type Ended, withProcesses } from "../tests/support/processes.ts";

test("lars scale: set, ls, show, explain, off, and into another database by export", async () => {
  await withProcesses(async (processes) => {
    const lars = (...args: string[]): Promise<Ended> =>
      processes.run("tools/lars.ts", args, { cwd: processes.directory });
    const succeed = async (...args: string[]): Promise<string> => {
      const { code, stdout, stderr } = await lars(...args);
      assert.equal(code, 0, `lars ${args.join(" ")}: ${stdout}${stderr}`);
      return stdout;
    };
    await succeed("sql", "migrate");
    await succeed("route", "add", "1", "1", "10.0.0.1:80");
    assert.match(await succeed("scale", "ls"), /No module/);
    const { code, stderr } = await lars("scale", "set", "1", "1");
    assert.equal(code, 2);
    assert.match(
      stderr,
      /^lars: --target must be given: calls\/s.*; --max must be given: most nodes\n$/,
    );
    const floor = "mon-fri 08:00-20:00 Europe/Berlin 6";
    assert.match(
      await succeed("scale", "set", "1", "1", "--target", "100", "--max", "9", "--floor", floor),
      /^\(1,1\): 1 to 9 nodes, 100 calls each; dry: it only says what it would do\n$/,
    );
    await succeed("scale", "set", "1", "1", "--min", "2", "--why", "night");
    const show = JSON.parse(await succeed("scale", "show", "1", "1", "--json"));
    assert.deepEqual(
      [show.rule.min, show.rule.max, show.rule.target, show.rule.floors.length, show.status],
      [2, 9, 100, 1, null],
    );
    assert.match(await succeed("scale", "show", "1", "1"), /floor +mon-fri 08:00-20:00/);
    assert.match(await succeed("scale", "explain", "1", "1"), /Nothing was decided yet/);
    const refused: readonly (readonly [pattern: RegExp, code: number, ...args: string[]])[] = [
      [/min must be at most max \(9\)/, 1, "--min", "10"],
      [/--target must be a number/, 2, "--target", "many"],
      [/--target must be more than 0: current value is -1\n/, 2, "--target", "-1"],
      [/--min must be a whole number: current value is 1\.5\n/, 2, "--min", "1.5"],
      [/--webhook must have at most 64 characters: current/, 2, "--webhook", "x".repeat(65)],
      [/there is none/, 1, "--driver", "webhook", "--webhook", "fleet"],
      [/Europe\/Nowhere/, 1, "--floor", "mon 08:00-09:00 Europe/Nowhere 2"],
      [/'DAYS HH:MM-HH:MM ZONE N'/, 2, "--floor", "always"],
    ];
    for (const [pattern, code, ...args] of refused) {
      const ended = await lars("scale", "set", "1", "1", ...args);
      assert.match(ended.stderr, pattern);
      assert.equal(ended.code, code, ended.stderr);
    }
    const file = join(processes.directory, "state.json");
    await succeed("export", file);
    assert.match(readFileSync(file, "utf8"), /"stabilisationS": 300/);
    assert.equal((await lars("diff", file)).code, 0);
    await succeed("scale", "off", "1", "1");
    assert.equal((await lars("scale", "show", "1", "1")).code, 1);
    assert.match((await lars("diff", file)).stdout, /\+ scaling 1,1/);
    await succeed("import", file);
    assert.deepEqual(
      JSON.parse(await succeed("scale", "show", "1", "1", "--json")).rule,
      show.rule,
    );
    const state = JSON.parse(readFileSync(file, "utf8"));
    writeFileSync(file, JSON.stringify({ ...state, scaling: [] }));
    assert.match(await succeed("import", file, "--prune"), /- scaling 1,1/);
    assert.match(await succeed("scale", "ls"), /No module/);
  });
});
