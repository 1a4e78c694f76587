// Shell. Writes call results into a database as a reporter of a busy fleet does, until it is ended.

import { setRepeating } from "../reactor/time/clock.ts";
import { runtime } from "../reactor/runtime/mod.ts";
import { systemClock } from "../reactor/time/system_clock.ts";
import { type CallStatusRow, openStore } from "../sql/mod.ts";
import { tellReady } from "./program.ts";

/** Each node is reported on once a second, a tenth of them every 100 ms. */
const PARTS = 10;
const PART_MS = 100;

const [url, modulesText, nodesText] = runtime.args;
const [modules, nodes] = [modulesText, nodesText].map(Number);
const store = await openStore(url);
let turn = 0;
let isWriting = false;

function rowsOf(part: number, second: number): CallStatusRow[] {
  const rows: CallStatusRow[] = [];
  for (let modId = 1 + part; modId <= modules; modId += PARTS) {
    for (let index = 1; index <= nodes; index++) {
      rows.push({
        modId,
        cmdId: 1,
        ip: 0xc0a80000 + index,
        port: 7777,
        caller: 0x7f000001,
        succCount: 10 + (modId + second) % 7,
        errCount: second % 3,
        ts: Math.trunc(systemClock.wallMs() / 1000),
        overload: (modId + index) % 97 === second % 97,
        succTotal: second * 13,
        errTotal: second,
      });
    }
  }
  return rows;
}

async function write(): Promise<void> {
  if (isWriting) return;
  isWriting = true;
  const rows = rowsOf(turn % PARTS, 1 + Math.floor(turn / PARTS));
  turn++;
  if (rows.length > 0) await store.writeCallStatus(rows);
  isWriting = false;
}

// A write that fails ends the program: then the console has no traffic, and the rows say nothing.
setRepeating(systemClock, PART_MS, () => void write());
tellReady();
