// Shell. Entry of a worker of the portable path: tasks and notes come and go by postMessage.

import { type LoopHandle, runLoop } from "../../reactor/loops/run_loop.ts";
import { systemClock } from "../../reactor/time/system_clock.ts";
import { systemRng } from "../../reactor/time/system_rng.ts";
import { UdpServer } from "../../reactor/udp/udp_server.ts";
import { type AgentNote, type AgentTask, noteLogger, type WorkerInit } from "./messages.ts";
import { UdpWorker } from "./udp_worker.ts";

runLoop<WorkerInit, AgentTask, AgentNote>({
  async start(init: WorkerInit, loop: LoopHandle<AgentNote>): Promise<UdpWorker> {
    const note = (one: AgentNote): void => loop.note(one);
    const worker = new UdpWorker(init, {
      clock: systemClock,
      rng: systemRng,
      log: noteLogger(note),
      note,
      makeServer: (options) => new UdpServer(options),
    });
    await worker.start();
    return worker;
  },
});
