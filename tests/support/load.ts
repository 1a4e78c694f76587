// Shell. Steady calls through an agent, which must go on whatever else fails.

import { monotonicMs, type WireCaller, type WireHost } from "./wire_client.ts";

/** Pause of one caller between two calls; two callers at 5 ms make some 300 calls a second. */
const PAUSE_MS = 5;
/** Callers that work side by side. */
const CALLER_COUNT = 2;
/** A get_host without an answer after this time has failed. A healthy one takes under 1 ms. */
const ANSWER_TIMEOUT_MS = 3000;

/** Calls in the background; every get_host that goes wrong is noted. */
export class SteadyLoad {
  /** What went wrong, each with its time since the start. */
  readonly faults: string[] = [];
  /** Calls made. */
  calls = 0;
  /** Successes reported. */
  reported = 0;
  /** Longest wait for an answer. */
  slowestMs = 0;
  readonly #caller: WireCaller;
  readonly #modId: number;
  readonly #cmdId: number;
  readonly #startMs = monotonicMs();
  readonly #loops: Promise<void>[] = [];
  #stopped = false;
  #seen = new Set<string>();

  /** Starts calling one module, which the agent must already know. */
  constructor(caller: WireCaller, modId: number, cmdId: number) {
    this.#caller = caller;
    this.#modId = modId;
    this.#cmdId = cmdId;
    for (let i = 0; i < CALLER_COUNT; i++) this.#loops.push(this.#call());
  }

  /** True when this node was given since the last {@linkcode forget}. */
  hasSeen(host: WireHost): boolean {
    return this.#seen.has(`${host.ip}:${host.port}`);
  }

  /** Forgets which nodes were given. */
  forget(): void {
    this.#seen = new Set();
  }

  /** Ends the calls. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#loops);
  }

  async #call(): Promise<void> {
    while (!this.#stopped) {
      const startMs = monotonicMs();
      this.calls++;
      try {
        const answer = await this.#caller.getHost(this.#modId, this.#cmdId, ANSWER_TIMEOUT_MS);
        const { host, retCode } = answer;
        if (retCode !== 0 || host === undefined) this.#note(startMs, `code ${retCode}`);
        else {
          this.#seen.add(`${host.ip}:${host.port}`);
          this.#caller.report(this.#modId, this.#cmdId, host, 0);
          this.reported++;
        }
      } catch {
        this.#note(startMs, "no answer");
      }
      this.slowestMs = Math.max(this.slowestMs, monotonicMs() - startMs);
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
  }

  #note(startMs: number, what: string): void {
    this.faults.push(`${what} at ${Math.round(startMs - this.#startMs)} ms`);
  }
}
