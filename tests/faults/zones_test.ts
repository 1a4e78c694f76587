// Two zones over one Galera cluster, a node in each and one between them, both edited all the time: one zone
// after the other is cut off, one way and both ways.

import assert from "node:assert/strict";
import { test } from "node:test";
import { systemClock } from "../../reactor/time/system_clock.ts";
import { faultSeconds, figure, timeFigure } from "../support/figure.ts";
import { skipUnlessLong } from "../support/in_time.ts";
import { type TestProcess, withProcesses } from "../support/processes.ts";
import { until } from "../support/until.ts";
import { ZoneCluster } from "../support/zone_database.ts";
import { EDITED_FROM, EDITS_OVER, type ZoneEdit, type ZoneView } from "../support/zone_editor.ts";
import { ZoneLab } from "../support/zone_lab.ts";
import { type Zone, ZONES } from "../support/zone_network.ts";
import { reasonAgainst } from "./needs.ts";

const EDITS = 1_000;
/** Edits of the other zone while one is cut off, and of either once it is healed. */
const EDITS_PER_CUT = 60;
const CUTS = [["west", "in"], ["west", "both"], ["east", "in"], ["east", "both"]] as const;
/** A node that is back learns at once what it missed; a loaded machine takes its time for that. */
const RETURN_LIMIT_MS = 90_000;

interface Cut {
  readonly zone: Zone;
  readonly fromMs: number;
  readonly toMs: number;
}

/** What the editor of a zone has told. */
class Editor {
  constructor(readonly zone: Zone, readonly process: TestProcess) {}

  #lines<T>(key: keyof T & string): T[] {
    return this.process.stdout.split("\n")
      .filter((line) => line.endsWith("}") && line.includes(`"${key}"`))
      .map((line) => JSON.parse(line) as T);
  }

  /** Ends its edits; it goes on looking. */
  async stop(): Promise<void> {
    this.process.signal("SIGHUP");
    const isOver = (): boolean => this.process.stdout.includes(EDITS_OVER);
    await until(isOver, { timeoutMs: RETURN_LIMIT_MS, what: `the last edit in ${this.zone}` });
  }

  get edits(): ZoneEdit[] {
    return this.#lines<ZoneEdit>("endMs");
  }

  get view(): ZoneView {
    return this.#lines<ZoneView>("seen").at(-1) ?? { seen: 0, back: 0 };
  }

  /** Waits until it has made so many edits more. */
  async more(count: number): Promise<void> {
    const goal = this.edits.length + count;
    await until(() => {
      if (!this.process.alive) throw new Error(`The editor of ${this.zone} has ended`);
      return this.edits.length >= goal;
    }, { timeoutMs: RETURN_LIMIT_MS, intervalMs: 100, what: `${count} edits in ${this.zone}` });
  }
}

/** Cuts off each zone in turn, until there are enough edits. @returns when which was cut off. */
async function cutInTurn(
  lab: ZoneLab,
  cluster: ZoneCluster,
  editors: ReadonlyMap<Zone, Editor>,
): Promise<Cut[]> {
  const cuts: Cut[] = [];
  const all = [...editors.values()];
  const made = (): number => all.reduce((sum, { edits }) => sum + edits.length, 0);
  for (let turn = 0; turn < CUTS.length || made() < EDITS; turn++) {
    const [zone, ways] = CUTS[turn % CUTS.length];
    const fromMs = systemClock.wallMs();
    lab.network.cut(zone, ways);
    const others = all.filter((one) => one.zone !== zone);
    await Promise.all(others.map((one) => one.more(EDITS_PER_CUT)));
    const endMs = fromMs + 1000 * faultSeconds();
    await until(() => systemClock.wallMs() >= endMs, { timeoutMs: 1000 * faultSeconds() + 20_000 });
    lab.network.heal(zone);
    cuts.push({ zone, fromMs, toMs: systemClock.wallMs() });
    await Promise.all(all.map((one) => one.more(EDITS_PER_CUT)));
    await until(async () => await cluster.status(zone, "wsrep_local_state") === "4", {
      ...{ timeoutMs: RETURN_LIMIT_MS, what: `the node of ${zone} to be synced` },
    });
  }
  return cuts;
}

/** Whether the zone of an edit was cut off while it was made. */
function isCutOff({ startMs, endMs }: ZoneEdit, own: readonly Cut[]): boolean {
  return own.some(({ fromMs, toMs }) => fromMs < endMs && toMs > startMs);
}

/** The longest edit of a zone that was not cut off, and the longest time from healing to its first one. */
function stallsOf({ zone, edits }: Editor, cuts: readonly Cut[]): [otherMs: number, ownMs: number] {
  const own = cuts.filter((cut) => cut.zone === zone);
  const others = edits.filter((one) => !isCutOff(one, own));
  const returns = own.map(({ toMs }) =>
    Math.min(...edits.filter(({ endMs }) => endMs > toMs).map(({ endMs }) => endMs)) - toMs
  );
  return [Math.max(...others.map(({ startMs, endMs }) => endMs - startMs)), Math.max(...returns)];
}

async function judge(
  lab: ZoneLab,
  cluster: ZoneCluster,
  editors: readonly Editor[],
  cuts: readonly Cut[],
): Promise<void> {
  const edits = editors.flatMap((one) => one.edits);
  const done = edits.map(({ modId, ip }) => `${modId} ${ip}`);
  const stored = await cluster.routes("mid", EDITED_FROM);
  for (const place of ZONES) {
    await until(
      async () => (await cluster.routes(place, EDITED_FROM)).symmetricDifference(stored).size === 0,
      { timeoutMs: 30_000, intervalMs: 200, what: `the node of ${place} to have what all have` },
    );
  }
  const lost = done.filter((key) => !stored.has(key));
  for (const one of editors) {
    await until(() => one.view.seen === stored.size, {
      ...{ timeoutMs: 60_000, intervalMs: 200 },
      what: () => `dns of ${one.zone} to have ${stored.size} nodes: ${one.view.seen}`,
    });
  }
  const back = editors.reduce((sum, { view }) => sum + view.back, 0);
  const refused = edits.reduce((sum, one) => sum + one.refused, 0);
  figure(
    `${edits.length} acknowledged edits in two zones, ${cuts.length} cuts: ${lost.length} lost, ` +
      `${refused} refused for a while, ${back} routes that went back`,
  );
  for (const zone of ZONES) {
    const seconds = lab.seconds(zone);
    const sum = (name: "asked" | "unanswered"): number =>
      seconds.reduce((total, one) => total + one[name], 0);
    figure(`${zone}: ${sum("unanswered")} of ${sum("asked")} get_host failed`);
    assert.equal(sum("unanswered"), 0, `${zone}: every question is answered`);
  }
  const stalls = editors.map((one) => stallsOf(one, cuts));
  for (const [index, what] of ["the longest edit", "healed until its first edit"].entries()) {
    const value = Math.max(...stalls.map((one) => one[index])) / 1000;
    timeFigure({ what, value, atMost: 8, unit: "s" });
  }
  assert.deepEqual(lost, []);
  assert.equal(back, 0, "nobody goes back");
}

test("two zones with a Galera node in each, cut off under edits: nothing is lost", {
  timeout: 900_000,
  skip: reasonAgainst(["network namespaces", "galera"]) ?? skipUnlessLong(),
}, () =>
  withProcesses(async (processes) => {
    const cluster = new ZoneCluster();
    const lab = new ZoneLab(processes, cluster);
    try {
      await lab.start();
      const editors = new Map(
        ZONES.map((zone, index) => [zone, editorOf(lab, cluster, zone, index)]),
      );
      const all = [...editors.values()];
      await Promise.all(all.map((one) => one.more(1)));
      const cuts = await cutInTurn(lab, cluster, editors);
      for (const one of all) await one.stop();
      await judge(lab, cluster, all, cuts);
    } finally {
      await lab.close();
    }
  }));

function editorOf(lab: ZoneLab, cluster: ZoneCluster, zone: Zone, index: number): Editor {
  const { hostname, port } = lab.dnsAddress(zone);
  const words = [cluster.urlFor(zone), hostname, String(port), String(index)];
  return new Editor(zone, lab.spawnScript(zone, "editor", "tests/support/zone_editor.ts", words));
}
