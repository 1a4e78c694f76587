// Core. Keeps the backends of a running HAProxy in step with modules, over its runtime interface.

import { messageOf } from "../../reactor/errors.ts";
import { type Logger, LogRateLimiter } from "../../reactor/log.ts";
import type { Clock } from "../../reactor/time/clock.ts";
import { DueWork } from "../due_work.ts";
import type { ExportModule } from "../fleet_view.ts";
import {
  isStillUsed,
  isTaken,
  readServersState,
  reconcile,
  type ServerOptions,
} from "./servers.ts";

/** Changes that come within this time are told together. */
const GATHER_MS = 20;

/** All is compared this often, because HAProxy forgets what it was told when it is loaded anew. */
export const COMPARE_MS = 5_000;

/** Time until the next try when HAProxy does not answer, or did not take something. */
const RETRY_MS = 1_000;

/** The same fault is said again after so long. */
const SAID_AGAIN_MS = 60_000;

/** Which module fills which backend. */
export interface BackendOf {
  readonly backend: string;
  /** The module, as it is now; undefined: not known yet, and the servers stay as they are. */
  module(): ExportModule | undefined;
}

/** What a {@linkcode HaproxyExport} needs. */
export interface HaproxyExportOptions {
  readonly backends: readonly BackendOf[];
  readonly servers: ServerOptions;
  readonly clock: Clock;
  readonly log: Logger;
  /** Sends one command; resolves with the whole answer, rejects when there is none. */
  ask(command: string): Promise<string>;
}

/** One HAProxy. */
export class HaproxyExport {
  readonly #options: HaproxyExportOptions;
  readonly #limiter: LogRateLimiter;
  readonly #counts = { commands: 0, refused: 0, failures: 0, rounds: 0 };
  readonly #rounds: DueWork;
  #fault: string | undefined;

  constructor(options: HaproxyExportOptions) {
    this.#options = options;
    this.#limiter = new LogRateLimiter(options.clock, 1, SAID_AGAIN_MS);
    this.#rounds = new DueWork(options.clock, () => this.#round());
  }

  /** Commands sent, and those that HAProxy did not take; rounds that failed; rounds. */
  get stats(): Readonly<Record<string, number>> {
    const { commands, refused, failures, rounds } = this.#counts;
    return {
      haproxy_commands: commands,
      haproxy_commands_refused: refused,
      haproxy_failures: failures,
      haproxy_rounds: rounds,
    };
  }

  /** Why the last round failed; undefined: it did not. */
  get fault(): string | undefined {
    return this.#fault;
  }

  start(): void {
    this.#rounds.due(0);
  }

  /** A module has changed. */
  changed(): void {
    this.#rounds.due(GATHER_MS);
  }

  /** Sends nothing any more, and waits for what is on its way: HAProxy keeps what it was told. */
  stop(): Promise<void> {
    return this.#rounds.stop();
  }

  async #round(): Promise<void> {
    this.#counts.rounds++;
    let isDone = true;
    try {
      for (const one of this.#options.backends) isDone = await this.#sync(one) && isDone;
      this.#fault = undefined;
    } catch (error) {
      isDone = false;
      this.#counts.failures++;
      this.#fault = messageOf(error);
      const held = this.#limiter.admit(this.#fault);
      if (held !== undefined) {
        this.#options.log.warn("HAProxy is not kept in step", { reason: this.#fault, ...held });
      }
    }
    this.#rounds.due(isDone ? COMPARE_MS : RETRY_MS);
  }

  /** False: something has to be tried again soon. */
  async #sync({ backend, module }: BackendOf): Promise<boolean> {
    const known = module();
    if (known === undefined) return true;
    const { ask, servers } = this.#options;
    const before = readServersState(await ask(`show servers state ${backend}`), backend);
    let isDone = true;
    for (const { server, commands } of reconcile(backend, before, known.nodes, servers)) {
      for (const command of commands) {
        if (this.#rounds.isStopped) return true;
        this.#counts.commands++;
        const answer = await ask(command);
        if (isTaken(answer)) continue;
        isDone = false;
        // Calls of before are still under way.
        if (isStillUsed(command, answer)) break;
        this.#counts.refused++;
        const reason = answer.trim();
        const held = this.#limiter.admit(`refused: ${reason}`);
        if (held !== undefined) {
          this.#options.log.warn("HAProxy refuses a command", { server, command, reason, ...held });
        }
        break;
      }
    }
    return isDone;
  }
}
