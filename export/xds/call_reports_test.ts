import assert from "node:assert/strict";
import { test } from "node:test";
import { addressText } from "../../model/node.ts";
import { FleetView } from "../fleet_view.ts";
import { TOTALS_MAX, XdsCallReports } from "./call_reports.ts";

const KEY = { modId: 1, cmdId: 2 };

test("a fleet that has new nodes for ever is reported for ever, and who is heard of keeps its totals", () => {
  const ports = { request: () => {}, forget: () => {}, onChanged: () => {}, onListed: () => {} };
  const view = new FleetView({ outShare: 0.25, ...ports });
  view.want(KEY);
  const reports = new XdsCallReports();
  const totalAfterCall = (ip: number): number => {
    view.takeRoute({ ...KEY, hosts: [{ ip, port: 80 }], policy: "" });
    const call = { ...KEY, address: addressText({ ip, port: 80 }), succ: 1, err: 0 };
    return reports.take([call], view)[0].results[0].succTotal ?? 0;
  };
  const lasting = 1;
  let asked = 0;
  for (let ip = 2; ip <= TOTALS_MAX + 10; ip++) {
    assert.equal(totalAfterCall(ip), 1);
    if (ip % 10_000 === 0) assert.equal(totalAfterCall(lasting), ++asked);
  }
  assert.equal(totalAfterCall(lasting), asked + 1, "it was heard of all the while");
  assert.equal(totalAfterCall(TOTALS_MAX + 10), 2);
  assert.equal(totalAfterCall(2), 1, "the one heard of longest ago begins anew");
  assert.equal(reports.droppedCount, 0);
});
