// Shell. Writes every few seconds which agents are linked to this dns, for the console.

import type { Clock, Timer } from "../reactor/time/clock.ts";
import { messageOf, StoreError } from "../reactor/errors.ts";
import type { Logger } from "../reactor/log.ts";
import type { Store } from "../sql/store.ts";
import { AgentRoster, type AgentSighting } from "./agent_roster.ts";

/** Time between two rounds: loops are asked, and what they say is written. */
export const AGENT_ROUND_MS = 10_000;

/** The first round comes sooner: agents have found a dns that has just started by then. */
const FIRST_ROUND_MS = 3_000;

/** What {@linkcode AgentWriter} is given. */
export interface AgentWriterOptions {
  readonly store: Pick<Store, "sightings">;
  readonly clock: Clock;
  readonly log: Logger;
  readonly loopCount: number;
  /** Address of this dns, as others reach it. */
  readonly address: string;
  /** `RouteVersion` of the routes that the loops have been given. */
  version(): number;
  /** Asks every loop; each answers with {@linkcode AgentWriter.take}. */
  ask(round: number): void;
}

/** The rounds. A database that is away costs nothing but the rows: the next round writes all. */
export class AgentWriter {
  readonly #options: AgentWriterOptions;
  readonly #roster = new AgentRoster();
  #round = 0;
  /** Of the round under way. */
  #version = 0;
  readonly #waitsFor = new Set<number>();
  #timer: Timer | undefined;
  #writing: Promise<void> | undefined;
  #isRefused = false;

  constructor(options: AgentWriterOptions) {
    this.#options = options;
  }

  start(): void {
    this.#arm(FIRST_ROUND_MS);
  }

  /** Counters for metrics. */
  stats(): Record<string, number> {
    const { linked, known, refused } = this.#roster.counts;
    return { agents_linked: linked, agents_known: known, agents_refused: refused };
  }

  /** A loop answers. */
  take(loop: number, round: number, sightings: readonly AgentSighting[]): void {
    if (round !== this.#round) return;
    this.#roster.take(loop, sightings, this.#version, this.#options.clock.wallMs());
    if (this.#waitsFor.delete(loop) && this.#waitsFor.size === 0) this.#write();
  }

  /** A loop is gone, with its connections. */
  lostLoop(loop: number): void {
    this.#roster.lostLoop(loop);
  }

  /** Begins no round any more, and waits for a write that is under way. */
  async stop(): Promise<void> {
    this.#timer?.cancel();
    await this.#writing;
  }

  #arm(delayMs: number): void {
    this.#timer = this.#options.clock.setTimer(delayMs, () => {
      this.#begin();
      this.#arm(AGENT_ROUND_MS);
    });
  }

  #begin(): void {
    // A loop that did not answer, because it died, keeps nobody else's agents back for longer.
    if (this.#waitsFor.size > 0) this.#write();
    this.#round++;
    this.#version = this.#options.version();
    for (let loop = 0; loop < this.#options.loopCount; loop++) this.#waitsFor.add(loop);
    this.#options.ask(this.#round);
  }

  #write(): void {
    const rows = this.#roster.rows(this.#options.address);
    if (this.#writing !== undefined || rows.length === 0) return;
    const { store, log } = this.#options;
    this.#writing = store.sightings(rows).then(
      () => {
        this.#isRefused = false;
        this.#roster.written(rows);
      },
      (error) => {
        // That the database is away is said by those who need it; this will not mend itself.
        const isTransient = error instanceof StoreError && error.transient;
        if (isTransient || this.#isRefused) return;
        this.#isRefused = true;
        log.warn("Database does not take which agents are alive: is it migrated?", {
          reason: messageOf(error),
        });
      },
    ).finally(() => {
      this.#writing = undefined;
    });
  }
}
