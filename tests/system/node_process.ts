// Core. A node of a simulation: it registers itself as a program with our api does, and answers calls.

import { Registrar } from "../../api/registrar.ts";
import type { Address } from "../../reactor/address.ts";
import { SessionClient } from "../../session/session_client.ts";
import { type ProcessParts, SIM_SOFTWARE, SimProcess, type SimWorld } from "./sim_process.ts";

/** Port of every node. */
export const NODE_PORT = 7000;

/** Time to live of its lease: as by default. */
export const NODE_TTL_MS = 15_000;

/** See the file's first line. */
export class NodeProcess extends SimProcess {
  constructor(
    world: SimWorld,
    name: string,
    host: string,
    readonly ip: number,
    readonly modId: number,
    readonly discoveries: readonly Address[],
  ) {
    super(world, name, host);
  }

  protected begin({ clock, rng, log, transport }: ProcessParts): void {
    const { modId, ip, world, name } = this;
    const registrar = new Registrar({ clock, rng, addressOf: () => ip });
    const link = new SessionClient({
      ...{ name: "discovery", role: "node", software: SIM_SOFTWARE, clock, rng, log, transport },
      saysGoodbye: true,
      addresses: this.discoveries,
      ...{ secrets: undefined, welcomeWaitMs: Infinity },
      onReady: () => registrar.ready(),
      onLost: () => registrar.lost(link.fault ?? "the connection is lost"),
    });
    registrar.use(link);
    registrar.add({
      ...{ modId, cmdId: 1, port: NODE_PORT, ttlMs: NODE_TTL_MS },
      onState: (state, reason) => {
        if (state === "refused" || state === "superseded") {
          world.broken(`${name} is ${state}, and there is no other: ${reason}`);
        }
      },
    });
    link.start();
  }
}
