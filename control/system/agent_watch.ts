// Shell. Looks after the agent of the console's host: it tells more of itself than dns is told.

import { probeAgent } from "../explain/agent_probe.ts";
import { type Address, formatAddress } from "../../reactor/address.ts";
import type { Clock, Timer } from "../../reactor/time/clock.ts";
import type { ServiceInstance } from "../../sql/store.ts";

/** Pause between two questions, in milliseconds. */
const WATCH_INTERVAL_MS = 5_000;

/** Asks one agent who it is and how it does. */
export class AgentWatch {
  readonly #agent: Address;
  readonly #clock: Clock;
  #known: ServiceInstance | undefined;
  #timer: Timer | undefined;
  #stopped = false;

  constructor(agent: Address, clock: Clock) {
    this.#agent = agent;
    this.#clock = clock;
  }

  /** The agent as it last answered; nothing before it has answered once. */
  get services(): readonly ServiceInstance[] {
    return this.#known === undefined ? [] : [this.#known];
  }

  /** Takes the agent off the list until it answers again. */
  forget(address: string): void {
    if (this.#known?.address === address) this.#known = undefined;
  }

  start(): void {
    void this.#look();
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  async #look(): Promise<void> {
    try {
      const { software, status } = await probeAgent(this.#agent);
      const nowS = Math.trunc(this.#clock.wallMs() / 1000);
      const detail = Object.fromEntries(
        Object.entries(status).filter((entry): entry is [string, number | string] =>
          typeof entry[1] === "number" || typeof entry[1] === "string"
        ),
      );
      this.#known = {
        kind: "agent",
        // As dns knows it, whichever way leads there from here.
        address: typeof detail.address === "string" ? detail.address : formatAddress(this.#agent),
        software,
        startedAt: this.#known?.startedAt ?? nowS,
        seenAt: nowS,
        detail,
      };
    } catch {
      // Silence shows by itself: the last sign of life grows old.
    }
    if (this.#stopped) return;
    this.#timer = this.#clock.setTimer(WATCH_INTERVAL_MS, () => void this.#look());
  }
}
