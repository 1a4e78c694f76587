// Goal: the fast path gives a caller the same answers, and leaves the same counters, as the ordinary
// handlers would.

import assert from "node:assert/strict";
import { test } from "node:test";
import { defaultBalanceSettings, RouteLb } from "../../balancer/mod.ts";
import {
  decodeGetHostResponse,
  frameGetHostRequest,
  frameReportRequest,
} from "../../proto/codec.ts";
import { readDatagram } from "../../proto/wire.ts";
import { GET_HOST_RESPONSE_BYTES_MAX } from "../../proto/hot_codec.ts";
import { RetCode } from "../../proto/message_ids.ts";
import { seededRng } from "../../reactor/time/rng.ts";
import { BATCHED_BYTES_MAX } from "../../reactor/fast/batch_udp.ts";
import { HotPath } from "./hot_path.ts";

function makeLb(): RouteLb {
  const lb = new RouteLb({
    settings: defaultBalanceSettings,
    rng: seededRng(1),
    onPull: () => {},
  });
  lb.getHost(1, 1, 0);
  lb.update(1, 1, [{ ip: 0xc0a801b1, port: 80 }, { ip: 2, port: 81 }], 0);
  return lb;
}

const answer = new Uint8Array(BATCHED_BYTES_MAX + 10);

function handle(hot: HotPath, datagram: Uint8Array, fromLoopback = true): Uint8Array | number {
  const length = hot.handle(datagram, 0, datagram.length, fromLoopback, 5000, 1, answer, 10);
  return length > 0 ? answer.slice(10, 10 + length) : length;
}

test("HotPath answers picks as RouteLb makes them", () => {
  const [lb, twin] = [makeLb(), makeLb()];
  const hot = new HotPath(lb, false);
  for (let seq = 0; seq < 20; seq++) {
    const modId = seq % 5 === 4 ? 7 : 1;
    const datagram = handle(hot, frameGetHostRequest({ seq, modId, cmdId: 1 }));
    assert.ok(datagram instanceof Uint8Array);
    const picked = twin.getHost(modId, 1, 1);
    assert.deepEqual(
      decodeGetHostResponse(readDatagram(datagram).body),
      typeof picked === "number"
        ? { seq, modId, cmdId: 1, retcode: RetCode.NoExist }
        : { seq, modId, cmdId: 1, retcode: 0, host: { ip: picked.ip, port: picked.port } },
    );
  }
  assert.deepEqual(lb.stats(), twin.stats());
  assert.ok(GET_HOST_RESPONSE_BYTES_MAX <= BATCHED_BYTES_MAX);
});

test("HotPath counts reports and answers nothing", () => {
  const lb = makeLb();
  const hot = new HotPath(lb, false);
  const host = { ip: 0xc0a801b1, port: 80 };
  const reports = [
    frameReportRequest({ modId: 1, cmdId: 1, host, retcode: 0 }),
    frameReportRequest({ modId: 1, cmdId: 1, host, retcode: -1, timecostMs: 300 }),
    frameReportRequest({ modId: 1, cmdId: 1, host, retcode: 0, timecostMs: 0 }),
    frameReportRequest({ modId: 1, cmdId: 9, host, retcode: 0 }),
  ];
  for (const report of reports) assert.equal(handle(hot, report), 0);
  const { reports: counted, reportsIgnored } = lb.stats();
  assert.deepEqual([counted, reportsIgnored], [3, 1]);
  const [{ results }] = lb.drainReports(2000);
  assert.deepEqual([results[0].succ, results[0].err], [2, 1]);
  // The first told no time; the last told that it was none.
  assert.deepEqual([results[0].timedTotal, results[0].timeMsTotal], [2, 300]);
});

test("HotPath passes on what it does not know, what is wrong, and what needs the token", () => {
  const request = frameGetHostRequest({ seq: 1, modId: 1, cmdId: 1 });
  const hot = new HotPath(makeLb(), false);
  for (const wrong of [new Uint8Array(), request.slice(0, 9), request.with(0, 7)]) {
    assert.equal(handle(hot, wrong), -1);
  }
  const guarded = new HotPath(makeLb(), true);
  assert.equal(handle(guarded, request, false), -1);
  assert.ok(handle(guarded, request, true) instanceof Uint8Array);
  assert.ok(handle(hot, request, false) instanceof Uint8Array);
});
