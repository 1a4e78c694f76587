// Shell. What lies between the processes of the lab: paths that are cut, one way or both, reset and slowed
// down.

import { sleep } from "../../reactor/time/clock.ts";
import { nextInt, type Rng } from "../../reactor/time/rng.ts";
import { systemClock } from "../../reactor/time/system_clock.ts";
import { type CutWays, NO_NOISE, NoisyStreams } from "../support/noisy_paths.ts";

/** A cut lasts so many times as long as another fault: a silent peer is given up after three seconds. */
const CUT_TIMES = 4;
const WAYS: readonly CutWays[] = ["to server", "to client", "both"];
const SLOW = { ...NO_NOISE, delayMs: 50, jitterMs: 20 };

/** Waits as long as the fault lasts. */
export type Hold = () => Promise<void>;

/** Brings a fault about, at one of two, and puts it right again. */
export type Strike = (index: number, hold: Hold) => Promise<void>;

/** The paths of a lab with two of each. */
export class HistoryPaths {
  /** From each agent to each dns. */
  readonly #agents: readonly (readonly NoisyStreams[])[];
  /** From each subscriber to its dns. */
  readonly #subscribers: readonly NoisyStreams[];
  /** From each dns to the database, and from who edits. */
  readonly #databases: readonly NoisyStreams[];
  readonly #rng: Rng;

  private constructor(
    agents: readonly (readonly NoisyStreams[])[],
    subscribers: readonly NoisyStreams[],
    databases: readonly NoisyStreams[],
    rng: Rng,
  ) {
    this.#agents = agents;
    this.#subscribers = subscribers;
    this.#databases = databases;
    this.#rng = rng;
  }

  /** Opens them all, towards ports of this machine. */
  static async open(
    dnsPorts: readonly number[],
    databasePort: number,
    rng: Rng,
  ): Promise<HistoryPaths> {
    const to = (ports: readonly number[]): Promise<NoisyStreams[]> =>
      Promise.all(ports.map((port) => NoisyStreams.open(port, rng)));
    const agents = await Promise.all(dnsPorts.map(() => to(dnsPorts)));
    const databases = await to([...dnsPorts, 0].map(() => databasePort));
    return new HistoryPaths(agents, await to(dnsPorts), databases, rng);
  }

  /** Where an agent finds each dns. */
  dnsPorts(agent: number): number[] {
    return this.#agents[agent].map(({ port }) => port);
  }

  /** Where a subscriber finds its dns. */
  subscriberPort(index: number): number {
    return this.#subscribers[index].port;
  }

  /** Where a dns finds the database. */
  databasePort(dns: number): number {
    return this.#databases[dns].port;
  }

  /** Where who edits finds it. */
  get writersPort(): number {
    return this.#databases[this.#databases.length - 1].port;
  }

  /** What can go wrong with them. */
  faults(): Record<string, Strike> {
    const all = [...this.#agents.flat(), ...this.#subscribers, ...this.#databases];
    const cut = async (paths: readonly NoisyStreams[], hold: Hold): Promise<void> => {
      const ways = WAYS[nextInt(this.#rng, WAYS.length)];
      for (const path of paths) path.cut(ways);
      for (let i = 0; i < CUT_TIMES; i++) await hold();
      for (const path of paths) path.cut("none");
    };
    return {
      "agent cut off from a dns": (index, hold) =>
        cut([this.#agents[index][nextInt(this.#rng, this.#agents[index].length)]], hold),
      "agent cut off from every dns": (index, hold) => cut(this.#agents[index], hold),
      "dns cut off from who asks it": (index, hold) =>
        cut([...this.#agents.map((one) => one[index]), this.#subscribers[index]], hold),
      "dns cut off from the database": (index, hold) => cut([this.#databases[index]], hold),
      "every dns cut off from the database": (_index, hold) =>
        cut(this.#databases.slice(0, -1), hold),
      "writers cut off from the database": (_index, hold) => cut(this.#databases.slice(-1), hold),
      "all connections reset": async () => {
        for (const path of all) path.reset();
        await sleep(systemClock, 0);
      },
      "all paths slow": async (_index, hold) => {
        for (const path of all) path.noise = SLOW;
        for (let i = 0; i < CUT_TIMES; i++) await hold();
        for (const path of all) path.noise = NO_NOISE;
      },
    };
  }

  async close(): Promise<void> {
    const all = [...this.#agents.flat(), ...this.#subscribers, ...this.#databases];
    await Promise.all(all.map((path) => path.close()));
  }
}
