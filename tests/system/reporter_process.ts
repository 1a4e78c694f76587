// Shell. A reporter of a simulation: the whole service as shipped, on a simulated store and network.

import { reporterSettings } from "../../reporter/config.ts";
import { ReporterService } from "../../reporter/service.ts";
import { readSettings } from "../../daemon/settings/settings.ts";
import { type ProcessParts, SIM_SOFTWARE, SimProcess } from "./sim_process.ts";

/** See the file's first line. */
export class ReporterProcess extends SimProcess {
  protected begin({ clock, store, rng, log, transport }: ProcessParts): void {
    const settings = { ...readSettings(reporterSettings, {}), listenIp: this.host };
    const context = {
      ...{ clock, rng, log, transport, software: SIM_SOFTWARE, secrets: undefined, tls: undefined },
      sockets: this.world.network.server,
    };
    const stores = { queues: [store.asStore], history: store.asStore };
    void new ReporterService(settings, context, stores).start(settings);
  }
}
