// Shell. A reporter of a simulation: the whole service as shipped, on a simulated store and network.

import { reporterSettings } from "../../reporter/config.ts";
import { ReporterService } from "../../reporter/service.ts";
import { readSettings } from "../../daemon/settings/settings.ts";
import { type ProcessParts, SIM_SOFTWARE, SimProcess } from "./sim_process.ts";

/** See the file's first line. */
export class ReporterProcess extends SimProcess {
  #service: ReporterService | undefined;
  /** Stops at which the database did not take all. */
  lostCount = 0;

  protected begin({ clock, store, rng, log, transport }: ProcessParts): void {
    const settings = { ...readSettings(reporterSettings, {}), listenIp: this.host };
    const context = {
      ...{ clock, rng, log, transport, software: SIM_SOFTWARE, secrets: undefined, tls: undefined },
      sockets: this.world.network.server,
    };
    const stores = { queues: [store.asStore], history: store.asStore };
    this.#service = new ReporterService(settings, context, stores);
    void this.#service.start(settings);
  }

  /** Ends as it does when it is told to. */
  async stop(): Promise<void> {
    const service = this.#service;
    this.#service = undefined;
    if (service === undefined) return;
    await service.stop().catch(() => void this.lostCount++);
    if (this.#service === undefined) this.kill();
  }

  protected override ended(): void {
    this.#service = undefined;
  }
}
