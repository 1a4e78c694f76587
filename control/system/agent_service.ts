// Shell. Forgetting agents of hosts that are gone.

import type { Clock } from "../../reactor/time/clock.ts";
import type { Store } from "../../sql/store.ts";
import { type Actor, auditOf } from "../access/actor.ts";
import type { AgentWatch } from "./agent_watch.ts";
import { ControlError } from "../control_error.ts";
import type { SystemReader } from "./system_reader.ts";

/** What the service works with. */
export interface AgentServiceOptions {
  readonly store: Store;
  readonly clock: Clock;
  readonly reader: SystemReader;
  readonly watch: AgentWatch;
}

/** Takes agents off the list. */
export class AgentService {
  readonly #options: AgentServiceOptions;

  constructor(options: AgentServiceOptions) {
    this.#options = options;
  }

  /**
   * Forgets an agent that is silent.
   *
   * @throws {ControlError} `not-found`, or `conflict` while it lives: it would be back at once.
   */
  async forget(actor: Actor, address: string): Promise<void> {
    const { store, clock, reader, watch } = this.#options;
    await reader.readAgents();
    const agent = reader.model.view.services.find((one) =>
      one.kind === "agent" && one.address === address
    );
    if (agent === undefined) throw new ControlError("not-found", `There is no agent ${address}`);
    if (!agent.isSilent) {
      throw new ControlError(
        "conflict",
        `Agent ${address} is alive and would be back within seconds: stop it first`,
      );
    }
    await store.forgetInstance("agent", address);
    await store.console.audit(
      auditOf(actor, Math.trunc(clock.wallMs()), "agent.forget", address),
    );
    watch.forget(address);
    await reader.readAgents();
  }
}
