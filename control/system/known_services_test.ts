import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { formatAddress } from "../../reactor/address.ts";
import { ManualClock } from "../../reactor/time/manual_clock.ts";
import { withStore } from "../../sql/testing/store_conformance.ts";
import { withTempDir } from "../../tests/support/temp_dir.ts";
import { liveDns } from "./known_services.ts";

test("liveDns() gives those that signed in lately, also by a clock that is ahead", async () => {
  await withTempDir((path) =>
    withStore(`sqlite:${join(path, "lars.db")}`, async (store) => {
      await store.migrate();
      const clock = new ManualClock();
      const nowS = Math.floor(clock.wallMs() / 1000);
      const about = { kind: "dns" as const, software: "lars/1", startedAt: 1, detail: {} };
      const live = async (): Promise<string[]> =>
        (await liveDns(store, clock)).map(formatAddress).sort();
      await store.heartbeat({ ...about, address: "10.0.0.1:7778", seenAt: nowS - 700 });
      assert.deepEqual(await live(), [], "gone for long");
      await store.heartbeat({ ...about, address: "10.0.0.2:7778", seenAt: nowS - 45 });
      assert.deepEqual(await live(), ["10.0.0.2:7778"], "all seem old: this clock may be ahead");
      await store.heartbeat({ ...about, address: "10.0.0.3:7778", seenAt: nowS - 5 });
      assert.deepEqual(await live(), ["10.0.0.3:7778"], "one is recent: the clocks agree");
      await store.heartbeat({ ...about, address: "10.0.0.2:7778", seenAt: nowS + 120 });
      assert.deepEqual(await live(), ["10.0.0.2:7778", "10.0.0.3:7778"], "and theirs may be");
    })
  );
});
