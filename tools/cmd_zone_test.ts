import assert from "node:assert/strict";
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
    assert.match(
      await succeed("zone", "evacuate", "east", "--dry-run"),
      /^2 modules to change, 0 as they should be; nothing written\n$/,
    );
    const evacuated = await lars(processes, "zone", "evacuate", "east");
    assert.equal(evacuated.code, 0);
    assert.match(evacuated.stdout, /^zone east evacuated in 2 modules, version \d+\n$/);
    assert.match(evacuated.stderr, /\(2,1\) stay there/);
    assert.deepEqual(await policies(), [
      [1, { policy: "maglev", evacuatedZones: ["east"] }],
      [2, { policy: "recommended", evacuatedZones: ["east"] }],
    ]);
    assert.match(await succeed("zone", "evacuate", "east"), /^0 modules to change, 2 as/);
    const restored = JSON.parse(await succeed("zone", "restore", "east", "--json"));
    assert.deepEqual(restored.changed, [{ modid: 1, cmdid: 1 }, { modid: 2, cmdid: 1 }]);
    assert.deepEqual(await policies(), [
      [1, { policy: "maglev" }],
      [2, { policy: "recommended" }],
    ]);
    assert.equal((await lars(processes, "zone", "evacuate", "no such zone")).code, 2);
    assert.equal((await lars(processes, "zone", "restore", "")).code, 1);
  });
});
