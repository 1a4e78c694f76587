// Shell. Asks an agent for its routes over a path that may lose and delay what it carries.

import type { Rng } from "../../reactor/time/rng.ts";
import { NO_NOISE, type Noise, NoisyDatagrams } from "../support/noisy_paths.ts";
import { agentPortOffset, WireCaller, type WireRoute } from "../support/wire_client.ts";

const HOST = "127.0.0.1";

/** One module of one run of an agent. */
export class AgentEyes {
  /** What the path does; answers carry no number, so none may come twice. */
  noise: Noise = NO_NOISE;
  readonly #first: number;
  readonly #modId: number;
  readonly #rng: Rng;
  #path: NoisyDatagrams | undefined;
  #caller: WireCaller | undefined;

  /** @param first First port of the agent. */
  constructor(first: number, modId: number, rng: Rng) {
    this.#first = first;
    this.#modId = modId;
    this.#rng = rng;
  }

  /** The route that it has; undefined when no answer comes in time. */
  async route(timeoutMs: number): Promise<WireRoute | undefined> {
    const offset = agentPortOffset(this.#modId, 1);
    this.#path ??= await NoisyDatagrams.open(HOST, this.#first + offset, this.#rng);
    this.#caller ??= await WireCaller.open(this.#path.port - offset);
    this.#path.noise = this.noise;
    try {
      return await this.#caller.getRoute(this.#modId, 1, timeoutMs);
    } catch {
      // Over another path, so that a late answer is not taken for that to the next question.
      this.close();
      return undefined;
    }
  }

  close(): void {
    this.#caller?.close();
    this.#path?.close();
    this.#caller = this.#path = undefined;
  }
}
