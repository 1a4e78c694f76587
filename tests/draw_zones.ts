// Shell. Cuts zones off and lets nodes fail, and draws where the calls of each zone went, second by
// second. As root:
//
//     deno task zones [--seconds 20] [--out docs/zones.svg]

import { writeFileSync } from "node:fs";
import process from "node:process";
import { parseArgs } from "node:util";
import { svgDocument, text } from "../sim/svg.ts";
import { startMariaDb } from "./support/mariadb.ts";
import { withProcesses } from "./support/processes.ts";
import { until } from "./support/until.ts";
import { OneServer } from "./support/zone_database.ts";
import { noZonesReason, ZoneLab } from "./support/zone_lab.ts";
import { type Zone, ZONES } from "./support/zone_network.ts";

/** What is done, in this order; each lasts as long. */
const STEPS: readonly { readonly what: string; readonly act: (lab: ZoneLab) => void }[] = [
  { what: "at rest", act: () => {} },
  { what: "west cut off, one way", act: (lab) => lab.network.cut("west", "in") },
  { what: "healed", act: (lab) => lab.network.heal("west") },
  { what: "west cut off", act: (lab) => lab.network.cut("west", "both") },
  { what: "healed", act: (lab) => lab.network.heal("west") },
  { what: "nodes of east away", act: (lab) => lab.setNodes("east", false) },
  { what: "back", act: (lab) => lab.setNodes("east", true) },
];

interface Bar {
  readonly own: number;
  readonly other: number;
  readonly failed: number;
  readonly unanswered: number;
}

const WIDTH = 960;
const HEIGHT = 130;
const TOP = 64;
const LEFT = 60;
const COLORS = { own: "#2b8a57", other: "#5b7db1", failed: "#d18400", unanswered: "#c2412d" };

function draw(bars: ReadonlyMap<Zone, readonly Bar[]>, starts: readonly number[]): string {
  const count = Math.min(...[...bars.values()].map(({ length }) => length));
  const step = (WIDTH - LEFT - 20) / count;
  const elements = [text(20, 24, "Calls of the callers of two zones, by second", 'font-size="15"')];
  Object.entries({
    own: "to a node of the own zone",
    other: "to the other zone",
    failed: "failed at a node",
    unanswered: "no node given",
  }).forEach(([name, label], index) => {
    const x = 330 + index * 155;
    const color = COLORS[name as keyof typeof COLORS];
    elements.push(`<rect x="${x}" y="14" width="11" height="11" fill="${color}"/>`);
    elements.push(text(x + 16, 24, label, 'font-size="11"'));
  });
  [...bars].forEach(([zone, all], row) => {
    const bottom = TOP + (row + 1) * HEIGHT + row * 20;
    const most = Math.max(...all.map((bar) => Object.values(bar).reduce((sum, one) => sum + one)));
    elements.push(text(12, bottom - HEIGHT / 2, zone));
    all.slice(0, count).forEach((bar, second) => {
      let y = bottom;
      for (const [name, value] of Object.entries(bar)) {
        const height = value / most * (HEIGHT - 10);
        y -= height;
        if (value === 0) continue;
        elements.push(
          `<rect x="${(LEFT + second * step).toFixed(1)}" y="${y.toFixed(1)}" ` +
            `width="${(step - 0.5).toFixed(1)}" height="${height.toFixed(1)}" ` +
            `fill="${COLORS[name as keyof typeof COLORS]}"/>`,
        );
      }
    });
  });
  const bottom = TOP + bars.size * (HEIGHT + 20) - 20;
  starts.forEach((start, index) => {
    const x = (LEFT + start * step).toFixed(1);
    elements.push(
      `<line x1="${x}" y1="${
        TOP - 8
      }" x2="${x}" y2="${bottom}" stroke="#777" stroke-dasharray="3 3"/>`,
      text(Number(x) + 4, TOP - 10, STEPS[index].what, 'font-size="11"'),
    );
  });
  return svgDocument(WIDTH, bottom + 16, elements);
}

const { values } = parseArgs({
  options: { seconds: { type: "string", default: "20" }, out: { type: "string" } },
});
const seconds = Number(values.seconds);
const reason = noZonesReason();
if (reason !== undefined || !(seconds >= 3)) {
  console.error(reason ?? "Usage: deno task zones [--seconds 20] [--out FILE]");
  process.exit(2);
}
const server = await startMariaDb();
try {
  await withProcesses(async (processes) => {
    const lab = new ZoneLab(processes, new OneServer(server));
    try {
      await lab.start();
      const from = new Map(ZONES.map((zone) => [zone, lab.seconds(zone).length]));
      const told = (): number => lab.seconds("east").length - (from.get("east") ?? 0);
      const starts: number[] = [];
      for (const { what, act } of STEPS) {
        starts.push(told());
        act(lab);
        const goal = told() + seconds;
        await until(() => told() >= goal, { timeoutMs: seconds * 5000, what });
      }
      const bars = new Map(ZONES.map((zone): [Zone, Bar[]] => [
        zone,
        lab.seconds(zone).slice(from.get(zone)).map((one) => {
          const calls = Object.values(one.calls).reduce((sum, count) => sum + count, 0);
          const own = Math.round(calls * lab.shareTo(zone, [one]));
          return { own, other: calls - own, failed: one.failed, unanswered: one.unanswered };
        }),
      ]));
      for (const [zone, all] of bars) {
        STEPS.forEach(({ what }, index) => {
          const some = all.slice(starts[index], starts[index + 1]);
          const sum = (name: keyof Bar): number =>
            some.reduce((total, bar) => total + bar[name], 0);
          console.log(
            `${zone}, ${what}: own ${sum("own")}, other ${sum("other")}, failed ${
              sum("failed")
            }, ` +
              `unanswered ${sum("unanswered")}`,
          );
        });
      }
      if (values.out !== undefined) writeFileSync(values.out, draw(bars, starts));
    } finally {
      await lab.close();
    }
  });
} finally {
  await server.stop();
}
