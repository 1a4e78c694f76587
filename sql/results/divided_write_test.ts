import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { StoreError } from "../../reactor/errors.ts";
import { RowsRefusedError, writeDivided } from "./divided_write.ts";

test("writeDivided() writes every row but those that are refused alone", async () => {
  await fc.assert(fc.asyncProperty(
    fc.array(fc.record({ id: fc.nat(), isBad: fc.boolean() }), { maxLength: 60 }),
    fc.integer({ min: 1, max: 60 }),
    async (rows, rowsMax) => {
      const written: unknown[] = [];
      const refused = await writeDivided(rows, (some) => {
        // Also a cluster that takes no transaction of so many rows.
        if (some.length > rowsMax) throw new RowsRefusedError("too many");
        if (some.some(({ isBad }) => isBad)) throw new RowsRefusedError("bad");
        written.push(...some);
        return Promise.resolve();
      });
      assert.deepEqual(written, rows.filter(({ isBad }) => !isBad));
      assert.deepEqual(refused.map(({ row }) => row), rows.filter(({ isBad }) => isBad));
    },
  ));
});

test("writeDivided() asks some ten times for one bad row of a thousand, and stops when it is away", async () => {
  let writes = 0;
  const rows = Array.from({ length: 1000 }, (_, index) => index);
  await writeDivided(rows, (some) => {
    writes++;
    return some.includes(437) ? Promise.reject(new RowsRefusedError("bad")) : Promise.resolve();
  });
  assert.ok(writes <= 21, `${writes}`);
  await assert.rejects(
    writeDivided(rows, () => Promise.reject(new StoreError("away", true))),
    (error: unknown) => error instanceof StoreError && error.transient,
  );
});
