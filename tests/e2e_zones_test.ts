// Goal: a zone that is cut off goes on by itself, one whose nodes are away is helped out by the other,
// and both come back. Method: two zones in network namespaces, see support/zone_lab.ts.

import assert from "node:assert/strict";
import { test } from "node:test";
import { withPrivateMariaDb } from "./support/mariadb.ts";
import { withProcesses } from "./support/processes.ts";
import { until } from "./support/until.ts";
import { OneServer } from "./support/zone_database.ts";
import { noZonesReason, ZoneLab, type ZoneSecond } from "./support/zone_lab.ts";
import { type Zone, ZONES } from "./support/zone_network.ts";

const reason = noZonesReason();
const OPTIONS = { timeout: 300_000, ...(reason === undefined ? {} : { skip: reason }) };

test("two zones: cut one way and both ways, healed; nodes away, and back", OPTIONS, async (t) => {
  await withPrivateMariaDb(t, (server) =>
    withProcesses(async (processes) => {
      const lab = new ZoneLab(processes, new OneServer(server));
      try {
        await lab.start();
        await walk(lab, (line) => t.diagnostic(line));
      } finally {
        await lab.close();
      }
    }));
});

async function walk(lab: ZoneLab, tell: (line: string) => void): Promise<void> {
  /** The next seconds of the caller of a zone. */
  const next = async (zone: Zone, count: number): Promise<ZoneSecond[]> => {
    const from = lab.seconds(zone).length;
    await until(() => lab.seconds(zone).length >= from + count, {
      timeoutMs: 20_000 + 2000 * count,
      what: `${count} seconds of ${zone}`,
    });
    return lab.seconds(zone).slice(from);
  };
  const sum = (seconds: readonly ZoneSecond[], name: "asked" | "unanswered" | "failed"): number =>
    seconds.reduce((total, one) => total + one[name], 0);
  const watch = async (what: string, count: number): Promise<void> => {
    const all = await Promise.all(ZONES.map((zone) => next(zone, count)));
    ZONES.forEach((zone, index) => {
      const seconds = all[index];
      const own = (100 * lab.shareTo(zone, seconds)).toFixed(0);
      tell(
        `${what}, ${zone}: ${sum(seconds, "asked")} asked, ${sum(seconds, "unanswered")} without ` +
          `an answer, ${sum(seconds, "failed")} calls failed, ${own} % in the own zone`,
      );
    });
  };
  await watch("at rest", 3);
  for (const zone of ZONES) assert.equal(lab.shareTo(zone, await next(zone, 2)), 1, zone);
  for (const ways of ["in", "both"] as const) {
    lab.network.cut("west", ways);
    await watch(`west cut off (${ways})`, 6);
    const edited = lab.store?.editRoutes([{
      op: "add",
      modId: 2,
      cmdId: 1,
      ip: 1,
      port: ways.length,
    }]);
    await edited;
    lab.network.heal("west");
    await watch("healed", 4);
  }
  lab.setNodes("east", false);
  await watch("nodes of east away", 5);
  assert.equal(lab.shareTo("east", await next("east", 2)), 0, "west helps out");
  lab.setNodes("east", true);
  await until(() => lab.shareTo("east", lab.seconds("east").slice(-2)) > 0.9, {
    timeoutMs: 60_000,
    what: "calls to return to their zone",
  });
  await watch("nodes of east back", 3);
  for (const zone of ZONES) {
    assert.equal(sum(lab.seconds(zone), "unanswered"), 0, `${zone}: every question is answered`);
  }
}
