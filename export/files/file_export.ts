// Core. Writes a file when what it says has changed, after a check, and has its reader told, not too
// often.

import { messageOf } from "../../reactor/errors.ts";
import { type Logger, LogRateLimiter } from "../../reactor/log.ts";
import type { Clock } from "../../reactor/time/clock.ts";
import { DueWork } from "../due_work.ts";
import type { ExportModule } from "../fleet_view.ts";
import { type Urgency, urgencyOf } from "./render.ts";

/** Changes that come within this time are written together. */
const GATHER_MS = 200;

/** Time until a write that failed, or whose check failed, is tried again. */
const RETRY_MS = 5_000;

/** The same fault is said again after so long. */
const SAID_AGAIN_MS = 60_000;

/** What a {@linkcode FileExport} needs. */
export interface FileExportOptions {
  /** What it writes, for logs. */
  readonly name: string;
  /** The modules, in order; undefined: not all are known yet, and the file stays as it is. */
  modules(): readonly ExportModule[] | undefined;
  render(modules: readonly ExportModule[]): string;
  /**
   * Checks a text, puts it in the place of the file, and tells whoever reads it.
   *
   * @throws {Error} when the check says no, or the file cannot be written: the old one stays.
   */
  install(text: string): Promise<void>;
  /** Least time between two installs, but for nodes that must get no calls any more. */
  readonly intervalMs: number;
  readonly clock: Clock;
  readonly log: Logger;
}

/** One file. */
export class FileExport {
  readonly #options: FileExportOptions;
  readonly #limiter: LogRateLimiter;
  readonly #counts = { installs: 0, failures: 0 };
  #installed: readonly ExportModule[] | undefined;
  #text: string | undefined;
  #installedAtMs = -Infinity;
  readonly #installing: DueWork;
  #fault: string | undefined;

  constructor(options: FileExportOptions) {
    this.#options = options;
    this.#limiter = new LogRateLimiter(options.clock, 1, SAID_AGAIN_MS);
    this.#installing = new DueWork(options.clock, () => this.#install());
  }

  /** Files put in place, and tries that failed. */
  get stats(): Readonly<Record<string, number>> {
    const { installs, failures } = this.#counts;
    return {
      [`${this.#options.name}_installs`]: installs,
      [`${this.#options.name}_failures`]: failures,
    };
  }

  /** Why the last try failed; undefined: it did not. */
  get fault(): string | undefined {
    return this.#fault;
  }

  /** A module has changed, or is known now. */
  changed(): void {
    const urgency = this.#urgency();
    if (urgency === "none") return;
    const waitMs = this.#installedAtMs + this.#options.intervalMs - this.#options.clock.nowMs();
    this.#installing.due(urgency === "soon" ? GATHER_MS : Math.max(GATHER_MS, waitMs));
  }

  /** Writes nothing any more. */
  stop(): Promise<void> {
    return this.#installing.stop();
  }

  #urgency(): Urgency {
    const modules = this.#options.modules();
    return modules === undefined ? "none" : urgencyOf(this.#installed, modules);
  }

  async #install(): Promise<void> {
    const { modules, render, install, name, clock, log } = this.#options;
    const all = modules();
    if (all === undefined) return;
    try {
      const text = render(all);
      if (text !== this.#text) await install(text);
      this.#counts.installs += Number(text !== this.#text);
      this.#text = text;
      this.#installed = all;
      this.#installedAtMs = clock.nowMs();
      this.#fault = undefined;
    } catch (error) {
      this.#counts.failures++;
      this.#fault = messageOf(error);
      const held = this.#limiter.admit(kindOfFault(this.#fault));
      if (held !== undefined) {
        log.error(`File of ${name} is not written, the one before stays`, {
          reason: this.#fault,
          ...held,
        });
      }
      this.#installing.due(RETRY_MS);
    }
  }
}

/** Programs write the time and their process beside a fault, which does not make it another one. */
function kindOfFault(fault: string): string {
  return fault.replace(/\d+/g, "");
}
