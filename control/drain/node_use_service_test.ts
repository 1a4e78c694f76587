import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { ManualClock } from "../../reactor/time/manual_clock.ts";
import { systemRng } from "../../reactor/time/system_rng.ts";
import { withStore } from "../../sql/testing/store_conformance.ts";
import type { Store } from "../../sql/store.ts";
import { withTempDir } from "../../tests/support/temp_dir.ts";
import { until } from "../../tests/support/until.ts";
import { NODE_QUESTIONS_MAX, NodeUseService } from "./node_use_service.ts";
import { DnsLines } from "../system/dns_lines.ts";
import { ControlError } from "../control_error.ts";

const NODE = { ip: 0x0a000001, port: 7777 };
const MODULE = { modId: 1, cmdId: 1 };

async function withService(
  hasDns: boolean,
  fn: (bench: { service: NodeUseService; clock: ManualClock; store: Store }) => Promise<void>,
): Promise<void> {
  await withTempDir((path) =>
    withStore(`sqlite:${join(path, "lars.db")}`, async (store) => {
      await store.migrate();
      const clock = new ManualClock();
      const lines = new DnsLines({
        store,
        clock,
        rng: systemRng,
        software: "test",
        secrets: undefined,
        // Nobody listens there.
        addresses: hasDns ? [{ hostname: "127.0.0.1", port: 1 }] : [],
      });
      const service = new NodeUseService({ store, clock, lines });
      try {
        await fn({ service, clock, store });
      } finally {
        await lines.close();
      }
    })
  );
}

test("NodeUseService: without any dns nobody can say how a node is used", async () => {
  await withService(false, async ({ service }) => {
    assert.deepEqual(await service.use(NODE, [MODULE]), { dnsCount: 0, answers: [], unlinked: [] });
  });
});

test("NodeUseService: a dns that does not answer says nothing; too many questions are refused", async () => {
  await withService(true, async ({ service, clock }) => {
    const answers: unknown[] = [];
    for (let index = 0; index < NODE_QUESTIONS_MAX; index++) {
      void service.use(NODE, [MODULE]).then((answer) => answers.push(answer));
    }
    await assert.rejects(
      () => service.use(NODE, [MODULE]),
      (error) => error instanceof ControlError && error.reason === "too-many-requests",
    );
    await until(() => {
      clock.advance(2000);
      return answers.length === NODE_QUESTIONS_MAX;
    }, { what: "the end of the questions" });
    assert.deepEqual(answers[0], {
      dnsCount: 1,
      answers: [{ dns: "127.0.0.1:1", ...MODULE, report: null }],
      unlinked: [],
    });
  });
});

test("NodeUseService: callers are those that reported calls of the node lately", async () => {
  await withService(false, async ({ service, clock, store }) => {
    const nowS = Math.floor(clock.wallMs() / 1000);
    const row = { ...MODULE, ...NODE, succCount: 3, errCount: 1, ts: nowS, overload: false };
    await store.writeCallStatus([
      { ...row, caller: 0x0a000101 },
      { ...row, caller: 0x0a000102, ts: nowS - 5 },
      { ...row, caller: 0x0a000103, succCount: 0, errCount: 0 },
      { ...row, caller: 0x0a000104, port: 7778 },
      { ...row, caller: 0x0a000105, cmdId: 2 },
    ]);
    assert.deepEqual(await service.callers(NODE, [MODULE], 5), {
      callers: [{ ...MODULE, host: "10.0.1.1", calls: 4 }],
      callerCount: 1,
    });
    const both = [MODULE, { modId: 1, cmdId: 2 }];
    assert.equal((await service.callers(NODE, both, 6)).callerCount, 3);
    assert.equal((await service.callers(NODE, both, 0)).callerCount, 0);
  });
});

test("NodeUseService names agents that called lately and that no dns can ask", async () => {
  await withService(true, async ({ service, clock, store }) => {
    const nowS = Math.floor(clock.wallMs() / 1000);
    const agent = { kind: "agent" as const, software: "lars/1", startedAt: 1, detail: {} };
    await store.sightings([
      { ...agent, address: "10.0.1.1:8888", seenAt: nowS - 14 },
      { ...agent, address: "10.0.1.2:8888", seenAt: nowS - 14 },
      { ...agent, address: "10.0.1.3:8888", seenAt: nowS - 601 },
    ]);
    const row = { ...MODULE, ip: 9, port: 9, succCount: 3, errCount: 0, overload: false };
    await store.writeCallStatus([
      { ...row, caller: 0x0a000101, ts: nowS - 20 },
      { ...row, caller: 0x0a000102, ts: nowS - 20, cmdId: 2 },
      { ...row, caller: 0x0a000103, ts: nowS - 20 },
    ]);
    let unlinked: readonly unknown[] | undefined;
    void service.use(NODE, [MODULE]).then((answer) => (unlinked = answer.unlinked));
    await until(() => {
      clock.advance(100);
      return unlinked !== undefined;
    }, { what: "the answer" });
    assert.deepEqual(
      (unlinked ?? []).map((one) => (one as { name: string }).name),
      ["10.0.1.1:8888"],
      "one called another module, one has been away for long",
    );
  });
});

test("NodeUseService: a clock that is ahead makes no report look old", async () => {
  await withService(false, async ({ service, clock, store }) => {
    const theirS = Math.floor(clock.wallMs() / 1000) - 45;
    await store.heartbeat({
      kind: "dns",
      address: "10.0.0.1:7778",
      software: "lars/1",
      startedAt: 1,
      seenAt: theirS,
      detail: {},
    });
    const row = { ...MODULE, ...NODE, caller: 9, succCount: 1, errCount: 0, overload: false };
    await store.writeCallStatus([{ ...row, ts: theirS - 1 }]);
    assert.equal((await service.callers(NODE, [MODULE], 5)).callerCount, 1);
    assert.equal((await service.callers(NODE, [MODULE], 1)).callerCount, 0);
  });
});
