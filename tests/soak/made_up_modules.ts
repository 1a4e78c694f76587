// Shell. Questions for made-up modules from eight sockets: real new modules are served all the same,
// their changes arrive, and memory comes back.

import { sleep } from "../../reactor/time/clock.ts";
import { systemClock } from "../../reactor/time/system_clock.ts";
import { addNodes, nodeOf, sqliteTestStore, startFleet } from "../support/fleet.ts";
import { type TestProcess, withProcesses } from "../support/processes.ts";
import { WireCaller } from "../support/wire_client.ts";
import { MemoryWatch, soak, type SoakFlags, type SoakRow } from "./soak.ts";

/** Real ones, each asked for the first time when its turn comes. */
const REAL_MODULES = 1_000;
const REAL_FIRST = 1_000;
const REAL_EVERY_MS = 2_000;
/** What is promised. */
const SERVED_MS_MAX = 1_000;
const CHANGED_MS_MAX = 1_500;
const KEPT_MB_MAX = 20;
/** The share of the run that the runtime's heap is given to find its size before, and to rest after. */
const WARM_UP_SHARE = 0.25;
const REST_MS = 45_000; // The agent forgets what nobody asks for within 30 s.

async function run({ minutes, rate }: SoakFlags): Promise<SoakRow[]> {
  const rows: SoakRow[] = [];
  await withProcesses(async (processes) => {
    const { url, store } = await sqliteTestStore(processes);
    for (let index = 0; index < REAL_MODULES; index++) {
      await addNodes(store, REAL_FIRST + index, 1, [nodeOf(1)]);
    }
    const { dns, agent } = await startFleet(processes, url, {
      dns: ["--metrics-port=0"],
      reporter: ["--metrics-port=0"],
      agent: ["--metrics-port=0"],
    });
    const caller = await WireCaller.open(agent.port());
    const memory = new MemoryWatch([dns, agent], minutes);
    const flood = (): TestProcess =>
      processes.spawn("flood", "tests/soak/made_up_flood.ts", [`${agent.port()}`, `${rate}`]);
    const warmUp = flood();
    await sleep(systemClock, minutes * 60_000 * WARM_UP_SHARE);
    await warmUp.kill9();
    await sleep(systemClock, REST_MS);
    const before = await memory.now();
    memory.start();
    const asking = flood();
    const served: number[] = [];
    const changed: number[] = [];
    const endMs = systemClock.nowMs() + minutes * 60_000;
    for (let index = 0; systemClock.nowMs() < endMs && index < REAL_MODULES; index++) {
      const modId = REAL_FIRST + index;
      const askedMs = systemClock.nowMs();
      await caller.untilHost(modId, 1, 60_000);
      served.push(systemClock.nowMs() - askedMs);
      await addNodes(store, modId, 1, [nodeOf(2)]);
      const editedMs = systemClock.nowMs();
      while ((await caller.getRoute(modId, 1)).hosts.length < 2) await sleep(systemClock, 10);
      changed.push(systemClock.nowMs() - editedMs);
      await sleep(systemClock, REAL_EVERY_MS);
    }
    await asking.kill9();
    await memory.stop();
    await sleep(systemClock, REST_MS);
    const after = await memory.now();
    const kept = after.map((value, index) => value - before[index]);
    rows.push(
      timeRow(`a real new module among ${rate} made-up ones a second`, served, SERVED_MS_MAX),
      timeRow("its changes", changed, CHANGED_MS_MAX),
      {
        what: `memory is back within ${KEPT_MB_MAX} MB`,
        figure: `before ${memory.text(before)}, at most ${memory.text(memory.peak())}, after ` +
          `${memory.text(after)} MB`,
        isKept: kept.every((megabytes) => megabytes <= KEPT_MB_MAX),
      },
    );
    caller.close();
    await store.close();
  });
  return rows;
}

function timeRow(what: string, times: readonly number[], maxMs: number): SoakRow {
  const sorted = [...times].sort((a, b) => a - b);
  const [middle, worst] = [sorted[sorted.length >> 1], sorted[sorted.length - 1]];
  return {
    what: `${what} within ${maxMs} ms`,
    figure: `${sorted.length} times, in the middle ${Math.round(middle)} ms, at worst ` +
      `${Math.round(worst)} ms`,
    isKept: worst <= maxMs,
  };
}

await soak(
  "Asks an agent for made-up modules, and looks at what real ones and memory do.",
  { minutes: 10, rate: 3_000 },
  run,
);
