// Shell. Entry of the worker that runs a UDP loop.

import type { LogFields } from "../../reactor/log.ts";

import { systemClock } from "../../reactor/time/system_clock.ts";
import { systemRng } from "../../reactor/time/system_rng.ts";
import { type LoopHandle, runLoop } from "../../reactor/loops/run_loop.ts";
import type { AgentLoopInit, AgentNote, AgentTask } from "./loop_messages.ts";
import { UdpService } from "../worker/udp_service.ts";

type Level = (AgentNote & { type: "log" })["level"];

runLoop<AgentLoopInit, AgentTask, AgentNote>({
  async start(init: AgentLoopInit, loop: LoopHandle<AgentNote>): Promise<UdpService> {
    const line = (level: Level) => (message: string, fields?: LogFields): void =>
      loop.note({ type: "log", level, message, fields });
    const service = new UdpService(init, {
      clock: systemClock,
      rng: systemRng,
      // Logging is set up on the main thread only.
      log: { debug: line("debug"), info: line("info"), warn: line("warn"), error: line("error") },
      note: (note) => loop.note(note),
    });
    await service.start();
    return service;
  },
});
