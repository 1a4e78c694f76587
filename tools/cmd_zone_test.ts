import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { type Ended, type Processes, withProcesses } from "../tests/support/processes.ts";

async function lars(processes: Processes, ...args: string[]): Promise<Ended> {
  return await processes.run("tools/lars.ts", args, { cwd: processes.directory });
}

test("lars zone: evacuate, restore, and what cannot be done", async () => {
  await withProcesses(async (processes) => {
    const succeed = async (...args: string[]): Promise<string> => {
      const { code, stdout, stderr } = await lars(processes, ...args);
      assert.equal(code, 0, `lars ${args.join(" ")}: ${stdout}${stderr}`);
      return stdout;
    };
    const policies = async (): Promise<unknown> =>
      JSON.parse(await succeed("module", "ls", "--json"))
        .map(({ modid, policy }: { modid: number; policy: unknown }) => [modid, policy]);
    await succeed("sql", "migrate");
    await succeed("route", "add", "1", "1", "10.0.0.1:80", "--zone", "east");
    await succeed("route", "add", "1", "1", "10.0.0.2:80", "--zone", "west");
    await succeed("route", "add", "2", "1", "10.0.0.3:80", "--zone", "east");
    await succeed("module", "set", "1", "1", "--set", "policy=maglev");
    await succeed("module", "set", "1", "1", "--name", "shop");
    assert.equal(
      await succeed("zone", "evacuate", "east", "--dry-run"),
      "zone east would be evacuated in 1 module: (1,1) shop; nothing written\n",
    );
    const evacuated = await lars(processes, "zone", "evacuate", "east");
    assert.equal(evacuated.code, 0);
    assert.match(
      evacuated.stdout,
      /^zone east evacuated in 1 module: \(1,1\) shop; version \d+\n$/,
    );
    assert.match(evacuated.stderr, /cannot be evacuated in \(2,1\): .*; it stays there/);
    const eastOut = [
      [1, { policy: "maglev", evacuatedZones: ["east"] }],
      [2, { policy: "recommended" }],
    ];
    assert.deepEqual(await policies(), eastOut);
    const fails = async (pattern: RegExp, ...args: string[]): Promise<void> => {
      const { code, stdout, stderr } = await lars(processes, ...args);
      assert.equal(code, 1, stdout + stderr);
      assert.match(stderr, pattern);
      assert.equal(stdout, "");
      assert.deepEqual(await policies(), eastOut);
    };
    // The last zone stays, by whichever way somebody takes it out.
    const last = /Zone west cannot be evacuated in \(1,1\) shop: .*; nothing was written/;
    await fails(last, "zone", "evacuate", "west");
    await fails(last, "zone", "evacuate", "west", "--json");
    await fails(last, "zone", "evacuate", "west", "--dry-run");
    const set = ["module", "set", "shop", "--set", 'evacuatedZones=["west","east"]'];
    await fails(/No node that takes calls would be left .* in \(1,1\) shop/, ...set);
    const restored = JSON.parse(await succeed("zone", "restore", "east", "--json"));
    assert.deepEqual(restored.changed, [{ modid: 1, cmdid: 1 }]);
    assert.deepEqual(await policies(), [
      [1, { policy: "maglev" }],
      [2, { policy: "recommended" }],
    ]);
    await succeed("zone", "evacuate", "west");
    assert.equal(
      await succeed("zone", "restore", "east"),
      "zone east: no module to change; 1 module has it in use already; nothing written\n",
    );
    assert.equal((await lars(processes, "zone", "evacuate", "no such zone")).code, 2);
    assert.equal((await lars(processes, "zone", "restore", "")).code, 1);
  });
});

test("a module that loses its last node that takes calls is named, by every command", async () => {
  await withProcesses(async (processes) => {
    await lars(processes, "sql", "migrate");
    const warned = /warning: module \(1,1\) shop has no node that takes calls now/;
    const edit = async (isWarned: boolean, ...args: string[]): Promise<void> => {
      const { code, stdout, stderr } = await lars(processes, "route", ...args);
      assert.equal(code, 0, stderr);
      if (isWarned) assert.match(stderr, warned, `${args}: ${stdout}`);
      else assert.doesNotMatch(stderr, /takes calls/, `${args}: ${stdout}`);
    };
    await edit(false, "add", "1", "1", "10.0.0.1:80");
    await lars(processes, "module", "set", "1", "1", "--name", "shop");
    await edit(false, "add", "shop", "10.0.0.2:80");
    await edit(false, "set", "shop", "10.0.0.1:80", "--weight", "0");
    await edit(true, "set", "shop", "10.0.0.2:80", "--weight", "0");
    await edit(false, "set", "shop", "10.0.0.2:80", "--weight", "7");
    const file = join(processes.directory, "routes.csv");
    writeFileSync(file, "modid,cmdid,ip,port,state\n1,1,10.0.0.2,80,off\n");
    await edit(true, "import", file);
    await edit(false, "set", "shop", "10.0.0.2:80", "--state", "on");
    await edit(true, "rm", "shop", "10.0.0.2:80");
  });
});

test("calls that go back to an evacuated zone are said, before and after, by every command", async () => {
  await withProcesses(async (processes) => {
    await lars(processes, "sql", "migrate");
    const ends = async (pattern: RegExp | undefined, ...args: string[]): Promise<string> => {
      const { code, stdout, stderr } = await lars(processes, ...args);
      assert.equal(code, 0, stderr);
      if (pattern === undefined) assert.doesNotMatch(stderr, /evacuated/, `${args}`);
      else assert.match(stderr, pattern, `${args}`);
      return stdout;
    };
    const [east, west] = ["10.0.0.1:80", "10.0.0.2:80"];
    await ends(undefined, "route", "add", "1", "1", east, "--zone", "east");
    await ends(undefined, "route", "add", "1", "1", west, "--zone", "west");
    await ends(undefined, "module", "set", "1", "1", "--name", "shop");
    await ends(undefined, "zone", "evacuate", "east");
    const does =
      /warning: calls of module \(1,1\) shop go to zone east again, although evacuated: no other/;
    const would = /warning: calls of module \(1,1\) shop will go to zone east again, although evac/;
    const on = (): Promise<string> =>
      ends(undefined, "route", "set", "shop", west, "--state", "on", "--weight", "9");
    const json = await ends(does, "drain", west, "--json");
    assert.deepEqual(JSON.parse(json).returned, [{ modid: 1, cmdid: 1, zones: ["east"] }]);
    await ends(undefined, "undrain", west);
    await ends(does, "route", "set", "shop", west, "--weight", "0");
    await on();
    const routes = join(processes.directory, "routes.csv");
    writeFileSync(routes, "modid,cmdid,ip,port,state\n1,1,10.0.0.2,80,off\n");
    await ends(would, "route", "import", routes, "--dry-run");
    await ends(does, "route", "import", routes);
    await on();
    const state = join(processes.directory, "state.json");
    await ends(undefined, "export", state);
    writeFileSync(state, readFileSync(state, "utf8").replace('"state": "on"', '"state": "off"'));
    await ends(undefined, "import", state, "--dry-run");
    writeFileSync(state, readFileSync(state, "utf8").replace(/"state": "o\w+"/g, '"state": "off"'));
    await ends(/warning: module \(1,1\) shop will have no node/, "import", state, "--dry-run");
    await ends(does, "route", "rm", "shop", west);
  });
});
