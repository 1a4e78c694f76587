import assert from "node:assert/strict";
import { test } from "node:test";
import { withConsole } from "../../tests/support/console_bench.ts";
import { systemClock } from "../../reactor/time/system_clock.ts";
import { systemRng } from "../../reactor/time/system_rng.ts";
import { StoreSystem } from "../store_system.ts";
import { ControlError } from "../control_error.ts";

const KEY = { modId: 1, cmdId: 1 };

function refused(reason: string, words: RegExp): (error: unknown) => boolean {
  return (error) =>
    error instanceof ControlError && error.reason === reason && words.test(error.message);
}

test("names of modules are unique and no numbers, whoever gives them", async () => {
  await withConsole(async ({ store }) => {
    const system = new StoreSystem({
      store,
      clock: systemClock,
      rng: systemRng,
      software: "test",
      who: "ann",
      secrets: () => Promise.resolve(undefined),
      addresses: [],
    });
    const name = (modId: number, text: string): Promise<unknown> =>
      system.change({ routes: [], modules: [{ modId, cmdId: 1, name: text }] });
    await name(1, "login");
    await name(2, "cart");
    const mark = await store.routeMark();
    await assert.rejects(
      name(3, "Login"),
      refused("conflict", /\(3,1\) cannot be called "Login": \(1,1\) login is called so/),
    );
    await assert.rejects(name(3, "12"), refused("invalid", /must not be numbers alone/));
    assert.deepEqual(await store.routeMark(), mark, "nothing was written");
    await name(1, "Login");
    await system.change({
      routes: [],
      modules: [{ ...KEY, name: "cart" }, { modId: 2, cmdId: 1, name: "login" }],
    });
    assert.deepEqual((await system.texts()).map((row) => row.name), ["cart", "login"]);
    // What other programs stored stays as it is while it is not renamed.
    await store.setModules([{ modId: 4, cmdId: 1, name: "7" }, {
      modId: 5,
      cmdId: 1,
      name: "cart",
    }]);
    await system.change({ routes: [], modules: [{ modId: 4, cmdId: 1, name: "7", policy: "{}" }] });
    await system.change({
      routes: [],
      modules: [{ modId: 5, cmdId: 1, policy: '{"policy":"maglev"}' }],
    });
    await name(5, "");
    await system.close();
  });
});
