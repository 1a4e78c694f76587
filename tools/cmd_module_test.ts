import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { withStoredNode } from "../tests/support/fleet.ts";
import { type Ended, type Processes, withProcesses } from "../tests/support/processes.ts";

async function lars(processes: Processes, ...args: string[]): Promise<Ended> {
  return await processes.run("tools/lars.ts", args, { cwd: processes.directory });
}

async function succeed(processes: Processes, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await lars(processes, ...args);
  assert.equal(code, 0, `lars ${args.join(" ")}: ${stdout}${stderr}`);
  return stdout;
}

test("lars module: set, ls, show", async () => {
  await withProcesses(async (processes) => {
    await succeed(processes, "sql", "migrate");
    assert.equal(
      await succeed(processes, "module", "ls"),
      "No module has a name or a policy.\n",
    );
    const set = ["--name", "log in", "--set", "policy=maglev", "--set", "errRate=0.2"];
    assert.match(
      await succeed(processes, "module", "set", "1", "4294967295", ...set),
      /^set \(1,4294967295\) log in, version \d+\n$/,
    );
    assert.match(
      await succeed(processes, "module", "set", "1", "4294967295", ...set),
      /is so already/,
    );
    const [row] = JSON.parse(await succeed(processes, "module", "ls", "--json"));
    assert.equal(row.name, "log in");
    assert.deepEqual(row.policy, { policy: "maglev", errRate: 0.2 });
    assert.match(await succeed(processes, "module", "ls"), /1 +4294967295 +log in +\{"policy"/);
    assert.equal(await succeed(processes, "module", "ls", "2", "--json"), "[]\n");

    const shown = await succeed(processes, "module", "show", "1", "4294967295");
    assert.match(shown, /^\(1,4294967295\) log in\n/);
    assert.match(shown, /policy +maglev +module\n/);
    assert.match(shown, /errRate +0\.2 +module\n/);
    assert.match(shown, /succRate +0\.95 +agent\n/);
    await succeed(processes, "route", "add", "9", "9", "10.0.0.9:80");
    const json = JSON.parse(await succeed(processes, "module", "show", "9", "9", "--json"));
    // What our tools make has the preset; what is undone or foreign has the original's rules.
    const recommended = { policy: "recommended" };
    assert.deepEqual([json.policy, json.effective.policy, json.refused], [
      recommended,
      "recommended",
      null,
    ]);
    await succeed(processes, "module", "set", "9", "9", "--set", "otherWeight=2");
    const preset = await succeed(processes, "module", "show", "9", "9");
    assert.match(preset, /policy +recommended +module\n/);
    assert.match(preset, /otherWeight +2 +module\n/);
    assert.match(preset, /whenAllOverload +open +recommended\n/);
    await succeed(processes, "module", "set", "9", "9", "--policy", "");

    await succeed(processes, "module", "set", "1", "4294967295", "--unset", "errRate");
    writeFileSync(join(processes.directory, "p.json"), '{\n  "policy": "ring_hash"\n}\n');
    await succeed(processes, "module", "set", "1", "1", "--policy", "@p.json");
    const all = JSON.parse(await succeed(processes, "module", "ls", "--json"));
    assert.deepEqual(all.map(({ policy }: { policy: unknown }) => policy), [
      { policy: "ring_hash" },
      { policy: "maglev" },
    ]);
    await succeed(processes, "module", "set", "1", "1", "--policy", "");
    assert.equal(await succeed(processes, "module", "ls", "1", "1", "--json"), "[]\n");
  });
});

test("lars module set refuses what agents would refuse, and says why", async () => {
  await withProcesses(async (processes) => {
    await succeed(processes, "sql", "migrate");
    const cases: [string[], RegExp][] = [
      [["--set", "policy=best"], /policy must be one of/],
      [["--set", "policy=magelv"], /current value is "magelv" \(did you mean maglev\?\)/],
      [["--set", "errRat=0.2"], /Unknown key "errRat" \(did you mean errRate\?\)/],
      [["--set", 'healthCheck={"knid":"tcp"}'], /healthCheck\.knid.*did you mean kind\?/],
      [["--set", "errRate=2"], /errRate must be .*from 0 to 1/],
      [["--set", "erRate=0.2"], /Unknown key/],
      [["--set", "policy"], /key=value/],
      [["--unset", "errRate"], /no key "errRate"/],
      [["--policy", "{"], /must be JSON/],
      [["--policy", "@nowhere.json"], /nowhere\.json cannot be read/],
      [[], /Nothing to set/],
    ];
    for (const [args, message] of cases) {
      const { code, stderr } = await lars(processes, "module", "set", "1", "1", ...args);
      assert.equal(code, 2, args.join(" "));
      assert.match(stderr, message);
    }
    assert.equal(await succeed(processes, "module", "ls", "--json"), "[]\n");
  });
});

test("lars route confirm says that a route is meant", async () => {
  await withProcesses(async (processes) => {
    await succeed(processes, "sql", "migrate");
    const confirmed = JSON.parse(await succeed(processes, "route", "confirm", "1", "2", "--json"));
    assert.deepEqual(confirmed.changed, [{ modid: 1, cmdid: 2 }]);
    assert.match(await succeed(processes, "route", "confirm", "1", "2"), /^confirmed \(1,2\)/);
  });
});

test("lars module sync-names carries names to and from the original's console", async () => {
  await withStoredNode(async ({ processes, url, store }) => {
    await store.editRoutes([{ op: "add", modId: 2, cmdId: 7, ip: 1, port: 1 }]);
    await store.setModules([{ modId: 2, cmdId: 7, name: "mail/send" }]);
    await store.console.addOriginalNames({
      modules: new Map([[1, "支付"]]),
      commands: new Map([[1, "charge"]]),
    });
    const sync = (...args: string[]): Promise<string> =>
      succeed(processes, "module", "sync-names", "--store", url, ...args);
    assert.match(await sync("--dry-run"), /would be named \(1,1\) 支付\/charge/);
    assert.deepEqual((await store.moduleRows([{ modId: 1, cmdId: 1 }])).map(({ name }) => name), [
      "",
    ]);
    const { named, added } = JSON.parse(await sync("--json"));
    assert.deepEqual(named, [{ modid: 1, cmdid: 1, name: "支付/charge" }]);
    assert.deepEqual(added, {
      modules: [{ number: 2, content: "mail" }],
      commands: [{ number: 7, content: "send" }],
    });
    const [row] = await store.moduleRows([{ modId: 1, cmdId: 1 }]);
    assert.deepEqual([row.name, row.policy], ["支付/charge", ""], "the original's rules stay");
    const { modules, commands } = await store.console.originalNames();
    assert.deepEqual([modules.get(2), commands.get(7)], ["mail", "send"]);
    assert.equal(await sync(), "Both sides have the same names\n");
  });
});
