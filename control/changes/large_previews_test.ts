import assert from "node:assert/strict";
import { test } from "node:test";
import { systemClock } from "../../reactor/time/system_clock.ts";
import { withTempDir } from "../../tests/support/temp_dir.ts";
import { withStore } from "../../sql/testing/store_conformance.ts";
import type { Store } from "../../sql/store.ts";
import type { ClientEdit } from "../schemas.ts";
import { ChangeService } from "./change_service.ts";

const edits = (count: number): ClientEdit[] =>
  Array.from({ length: count }, (_, modId) => ({
    ...{ op: "add", modId, cmdId: 1, ip: "10.0.0.1", port: 80 },
  }));

test("of large previews only one is looked at at a time, and a small one waits for none", async () => {
  await withTempDir((folder) =>
    withStore(`sqlite:${folder}/lars.db`, async (store) => {
      await store.migrate();
      const sizes: number[] = [];
      let underWay = 0;
      let mostLarge = 0;
      const readModules: Store["readModules"] = async (keys) => {
        if (keys.length > 1) mostLarge = Math.max(mostLarge, ++underWay);
        const rows = await store.readModules(keys);
        if (keys.length > 1) underWay--;
        sizes.push(keys.length);
        return rows;
      };
      const watched = new Proxy(store, {
        get: (target, name) => {
          if (name === "readModules") return readModules;
          const value = Reflect.get(target, name, target);
          return typeof value === "function" ? value.bind(target) : value;
        },
      });
      const options = { store: watched, clock: systemClock, secrets: () => undefined };
      const service = new ChangeService(options as never);
      const large = [1, 2, 3].map(() => service.preview(edits(2_000)));
      const small = service.preview(edits(1));
      for (const { nodes } of await Promise.all(large)) assert.equal(nodes.length, 2_000);
      assert.equal((await small).nodes.length, 1);
      assert.equal(mostLarge, 1);
      assert.ok(sizes.indexOf(1) < sizes.lastIndexOf(2_000), sizes.join());
      const bad = { op: "set", modId: 1, cmdId: 1, ip: "10.0.0.1", port: 80, weight: 1 } as const;
      const failing = service.preview([...edits(1_000).slice(2), bad, bad]);
      const after = service.preview(edits(1_000));
      await assert.rejects(failing, /does not exist/);
      assert.equal((await after).nodes.length, 1_000, "one that fails holds up none");
    })
  );
});
