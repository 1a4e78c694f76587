// Shell. A steady load on all services: after the first minutes nobody's memory grows.

import { createSocket } from "node:dgram";
import {
  decodeGetHostResponse,
  frameGetHostRequest,
  frameReportRequest,
} from "../../proto/codec.ts";
import { agentPortIndex } from "../../proto/message_ids.ts";
import { readDatagram } from "../../proto/wire.ts";
import { sleep } from "../../reactor/time/clock.ts";
import { systemClock } from "../../reactor/time/system_clock.ts";
import { addNodes, nodeOf, sqliteTestStore, startFleet } from "../support/fleet.ts";
import { withProcesses } from "../support/processes.ts";
import { WireCaller } from "../support/wire_client.ts";
import { MemoryWatch, paced, soak, type SoakFlags, type SoakRow } from "./soak.ts";

const MODULES = 30;
const NODES = 5;
/** One call in so many fails, so that nodes are judged. */
const FAILURE_EVERY = 97;
/** The share of the run in which the runtimes' heaps find their size: five minutes of twenty. */
const WARM_UP_SHARE = 0.25;
/** What is promised. */
const GROWTH_MB_MAX = 5;
/** The share of the calls that must have been answered: datagrams may be lost on a busy machine. */
const ANSWERED_SHARE_MIN = 0.98;
/** Memory is compared between the middle values of two such shares of the run. */
const COMPARED_SHARE = 0.2;

async function run({ minutes, rate }: SoakFlags): Promise<SoakRow[]> {
  const rows: SoakRow[] = [];
  await withProcesses(async (processes) => {
    const { url, store } = await sqliteTestStore(processes);
    const nodes = Array.from({ length: NODES }, (_, index) => nodeOf(index + 1));
    for (let modId = 1; modId <= MODULES; modId++) await addNodes(store, modId, 1, nodes);
    const none = ["--metrics-port=0"];
    const fleet = await startFleet(processes, url, { dns: none, reporter: none, agent: none });
    const web = await processes.start("web", ["--web-port=0", `--store=${url}`, ...none]);
    const { dns, reporter, agent } = fleet;
    const caller = await WireCaller.open(agent.port());
    for (let modId = 1; modId <= MODULES; modId++) await caller.untilHost(modId, 1);
    caller.close();
    const load = callsOf(agent.port());
    const memory = new MemoryWatch([agent, dns, reporter, web], minutes);
    memory.start();
    const end = paced(rate, load.call);
    const totalMs = minutes * 60_000;
    await sleep(systemClock, totalMs);
    await end();
    await memory.stop();
    load.close();
    const warmMs = totalMs * WARM_UP_SHARE;
    const partMs = totalMs * COMPARED_SHARE;
    const growth = memory.growth([warmMs, warmMs + partMs], [totalMs - partMs, totalMs]);
    const { made, answered } = load.counts();
    const perSecond = Math.round(answered / (minutes * 60));
    rows.push(
      {
        what: `calls are answered, ${rate} a second`,
        figure: `${answered} of ${made}, ${perSecond} a second`,
        isKept: answered >= ANSWERED_SHARE_MIN * made,
      },
      {
        what: `memory after the first ${minutes * WARM_UP_SHARE} of ${minutes} minutes is flat ` +
          `within ${GROWTH_MB_MAX} MB`,
        figure: `grown by ${memory.text(growth)} MB; at most ${memory.text(memory.peak())} MB`,
        isKept: growth.every((megabytes) => megabytes <= GROWTH_MB_MAX),
      },
    );
    await store.close();
  });
  return rows;
}

interface Calls {
  /** Asks for a node; its answer is reported. */
  readonly call: () => void;
  counts(): { made: number; answered: number };
  close(): void;
}

function callsOf(port: number): Calls {
  let [made, answered] = [0, 0];
  const socket = createSocket("udp4").on("error", () => {});
  const send = (bytes: Uint8Array, modId: number): void =>
    socket.send(bytes, port + agentPortIndex(modId, 1), "127.0.0.1");
  socket.on("message", (bytes: Uint8Array) => {
    const { modId, host } = decodeGetHostResponse(readDatagram(bytes).body);
    if (host === undefined) return;
    answered++;
    const retcode = answered % FAILURE_EVERY === 0 ? 1 : 0;
    send(frameReportRequest({ modId, cmdId: 1, host, retcode, timecostMs: 5 }), modId);
  });
  return {
    call: () => {
      const modId = 1 + made % MODULES;
      send(frameGetHostRequest({ seq: ++made, modId, cmdId: 1 }), modId);
    },
    counts: () => ({ made, answered }),
    close: () => socket.close(),
  };
}

await soak(
  "Calls through an agent at a steady rate, and looks at the memory of all services.",
  { minutes: 20, rate: 5_000 },
  run,
);
