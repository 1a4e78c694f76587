// Core. The way past an agent that does not answer: dns is asked directly, until it answers again.

import type { Host } from "./host.ts";
import type { LarsApi } from "./lars_api.ts";
import type { PickOptions } from "./options.ts";

/** What is used of a client that asks dns itself. */
export type DirectClient = Pick<LarsApi, "tryGetHost" | "report" | "close">;

/**
 * Opens a client of dns when the agent first fails, and closes it when the agent answers again.
 * Outcomes of the calls go the way of the latest pick, so that none counts twice.
 */
export class DirectFallback {
  readonly #open: () => DirectClient;
  #client: DirectClient | undefined;
  #isUsed = false;

  constructor(open: () => DirectClient) {
    this.#open = open;
  }

  /** A node as dns names it; undefined when it names none, or does not answer. */
  async pick(modId: number, cmdId: number, options: PickOptions): Promise<Host | undefined> {
    this.#client ??= this.#open();
    const client = this.#client;
    const { host } = await client.tryGetHost(modId, cmdId, options);
    // The agent may have answered meanwhile.
    if (host !== undefined && client === this.#client) this.#isUsed = true;
    return host;
  }

  /** The agent has answered. */
  agentAnswered(): void {
    if (this.#client === undefined) return;
    this.#isUsed = false;
    void this.close();
  }

  /** Passes an outcome on; false: it is the agent's. */
  report(...call: Parameters<LarsApi["report"]>): boolean {
    if (!this.#isUsed || this.#client === undefined) return false;
    this.#client.report(...call);
    return true;
  }

  /** Sends the outcomes that wait, and closes. */
  async close(): Promise<void> {
    const client = this.#client;
    this.#client = undefined;
    await client?.close();
  }
}
