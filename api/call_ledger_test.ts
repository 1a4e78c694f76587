import assert from "node:assert/strict";
import { test } from "node:test";
import { encodeCallReports } from "../proto/codec.ts";
import { TIME_UNKNOWN_MS } from "../balancer/detection/call_outcome.ts";
import { FRAME_BODY_BYTES_MAX } from "../reactor/frame.ts";
import { nextInt, seededRng } from "../reactor/time/rng.ts";
import { BATCH_NODES_MAX, CallLedger } from "./call_ledger.ts";

test("CallLedger adds up outcomes by node, with weight, streak, kinds and time", () => {
  const ledger = new CallLedger(5);
  const kinds = { errPushback: 0, errRefused: 0, errTimeout: 0 };
  for (const retcode of [0, 1, 0, 0]) ledger.add(1, 2, 3, 80, retcode, 350);
  for (const retcode of [-1, 111, 110, 104]) ledger.add(1, 2, 4, 80, retcode, TIME_UNKNOWN_MS);
  ledger.add(1, 2, 3, 80, 0, 0);
  ledger.add(1, 2, 3, 80, 0, 4_294_967_295);
  assert.deepEqual(ledger.take(), {
    session: 5,
    seq: 1,
    modules: [{
      modId: 1,
      cmdId: 2,
      nodes: [
        {
          ...{ ip: 3, port: 80, succ: 5, err: 1, errWeight: 3, continSucc: 4, continErr: 0 },
          ...{ ...kinds, errPushback: 1, timed: 5, timeMs: 1400 },
        },
        {
          ...{ ip: 4, port: 80, succ: 0, err: 4, errWeight: 4, continSucc: 0, continErr: 4 },
          ...{ ...kinds, errRefused: 2, errTimeout: 1, timed: 0, timeMs: 0 },
        },
      ],
    }],
  });
});

test("CallLedger has one batch under way, and keeps its number until it is confirmed", () => {
  const ledger = new CallLedger(1);
  assert.equal(ledger.take(), undefined);
  ledger.add(1, 1, 1, 80, 0, 0);
  const first = ledger.take();
  ledger.add(1, 1, 1, 80, 0, 0);
  assert.equal(ledger.take(), undefined);
  assert.equal(ledger.unconfirmed, first);
  assert.equal(ledger.nodeCount, 2);
  ledger.confirm(7);
  assert.equal(ledger.unconfirmed, first);
  ledger.confirm(1);
  assert.equal(ledger.unconfirmed, undefined);
  assert.equal(ledger.take()?.seq, 2);
});

test("CallLedger drops calls of nodes beyond its limit, and counts them", () => {
  const ledger = new CallLedger(1, 2);
  for (const ip of [1, 2, 3, 3, 1]) ledger.add(1, 1, ip, 80, 0, 0);
  assert.deepEqual([ledger.nodeCount, ledger.droppedCount], [2, 2]);
});

test("batches fit a frame and lose nothing, whatever the ids", () => {
  const rng = seededRng(3);
  const ledger = new CallLedger(2 ** 53 - 1);
  for (let i = 0; i < 5000; i++) {
    const modId = (0xffffffff - nextInt(rng, 1500)) >>> 0;
    ledger.add(modId, 0xfffffffe, 0xffffffff - i, 65535, i % 2, 4_000_000_000);
  }
  let calls = 0;
  for (let batch = ledger.take(); batch !== undefined; batch = ledger.take()) {
    const nodes = batch.modules.flatMap((module) => module.nodes);
    assert.ok(nodes.length > 0 && nodes.length <= BATCH_NODES_MAX);
    for (const node of nodes) {
      calls += node.succ + node.err;
      node.succ = 0xffffffff;
      node.continSucc = 0xffffffff;
      node.continErr = 0xffffffff;
      node.errPushback = 0xffffffff;
      node.errRefused = 0xffffffff;
      node.errTimeout = 0xffffffff;
      node.timed = 0xffffffff;
      node.timeMs = Number.MAX_SAFE_INTEGER;
    }
    assert.ok(encodeCallReports(batch).length <= FRAME_BODY_BYTES_MAX);
    ledger.confirm(batch.seq);
  }
  assert.deepEqual([calls, ledger.nodeCount], [5000, 0]);
});

test("CallLedger sends what was refused since the batch before, once", () => {
  const ledger = new CallLedger(1);
  const refused = (overload: number, fresh = false) => ({
    ...{ overload, unusable: 0, noNode: 0, noRoute: 0, fresh },
  });
  ledger.addRefused(1, 2, refused(5, true));
  ledger.addRefused(1, 2, refused(7));
  assert.equal(ledger.waitingNodes, 1);
  const batch = ledger.take();
  assert.deepEqual(batch?.modules, [{ modId: 1, cmdId: 2, nodes: [], refused: refused(7) }]);
  assert.equal(ledger.take(), undefined);
  ledger.confirm(batch?.seq ?? 0);
  ledger.addRefused(1, 2, refused(7));
  assert.equal(ledger.take(), undefined, "nothing is new");
  ledger.addRefused(1, 2, refused(10));
  ledger.add(1, 2, 1, 80, 0, -1);
  const [next] = ledger.take()?.modules ?? [];
  assert.deepEqual([next.refused?.overload, next.nodes.length], [3, 1]);
});
