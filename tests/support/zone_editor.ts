// Shell. Who edits in a zone: adds one node after the other to modules of its own, until it is told by
// SIGHUP to stop that, and looks at all modules through the dns of the zone. Each edit that was acknowledged
// is a line of JSON, and so is, once a second, what was seen.
//
//     zone_editor.ts STORE_URL DNS_HOST DNS_PORT NUMBER

import process from "node:process";
import { ConflictError } from "../../reactor/errors.ts";
import { systemClock } from "../../reactor/time/system_clock.ts";
import { sleep } from "../../reactor/time/clock.ts";
import { openStore } from "../../sql/mod.ts";
import { Id, monotonicMs, readRoute, WireConnection } from "./wire_client.ts";

/** Editors, and the modules that each of them edits. */
export const ZONE_EDITORS = 2;
const MODULES_EACH = 10;
/** First module that is edited. */
export const EDITED_FROM = 100;
const PAUSE_MS = 60;
const RETRY_MS = 100;
const FIRST_IP = 0x0b000001;
/** Said when the last edit has been made. */
export const EDITS_OVER = "no more edits";

/** An edit that was acknowledged. */
export interface ZoneEdit {
  readonly modId: number;
  readonly ip: number;
  /** When it began and when it was acknowledged, by the wall clock. */
  readonly startMs: number;
  readonly endMs: number;
  /** Times that it was refused before, or that nobody knows what became of it. */
  readonly refused: number;
}

/** What is seen of the modules. */
export interface ZoneView {
  /** Nodes of all edited modules. */
  readonly seen: number;
  /** Times that a route came with fewer nodes than before: nobody takes any away. */
  readonly back: number;
}

async function editOn(url: string, number: number, isOver: () => boolean): Promise<void> {
  const store = await openStore(url);
  for (let count = 0; !isOver(); count++) {
    const modId = EDITED_FROM + number * MODULES_EACH + count % MODULES_EACH;
    const ip = FIRST_IP + (number << 16) + count;
    const startMs = systemClock.wallMs();
    for (let refused = 0; !isOver(); refused++) {
      try {
        await store.editRoutes([{ op: "add", modId, cmdId: 1, ip, port: 80 }]);
      } catch (error) {
        // A conflict: it had been made, and only its answer was lost.
        if (!(error instanceof ConflictError)) {
          await sleep(systemClock, RETRY_MS);
          continue;
        }
      }
      const edit: ZoneEdit = { modId, ip, startMs, endMs: systemClock.wallMs(), refused };
      console.log(JSON.stringify(edit));
      break;
    }
    await sleep(systemClock, PAUSE_MS);
  }
  console.log(EDITS_OVER);
  await store.close();
}

async function lookOn(hostname: string, port: number): Promise<void> {
  const counts = new Map<number, number>();
  let [back, toldMs] = [0, monotonicMs()];
  const connection = await WireConnection.open(port, hostname);
  for (let index = 0; index < ZONE_EDITORS * MODULES_EACH; index++) {
    connection.askRoute(EDITED_FROM + index, 1);
  }
  while (!connection.ended) {
    for (const { msgId, body } of connection.frames.splice(0)) {
      if (msgId !== Id.GetRouteResponse) continue;
      const { modId, hosts } = readRoute(body);
      if (hosts.length < (counts.get(modId) ?? 0)) back++;
      counts.set(modId, hosts.length);
    }
    if (monotonicMs() - toldMs > 1000) {
      toldMs = monotonicMs();
      const view: ZoneView = {
        seen: [...counts.values()].reduce((sum, one) => sum + one, 0),
        back,
      };
      console.log(JSON.stringify(view));
    }
    await sleep(systemClock, 50);
  }
  throw new Error("The dns of the zone has ended the connection");
}

if (import.meta.main) {
  const [url, hostname, port, number] = process.argv.slice(2);
  let isOver = false;
  process.on("SIGHUP", () => isOver = true);
  await Promise.all([editOn(url, Number(number), () => isOver), lookOn(hostname, Number(port))]);
}
