// Shell. When the log of an SQLite database is moved into it: by a thread of its own, as whoever does it
// waits for the disk several times.

import { statSync } from "node:fs";
import { runtime } from "../../reactor/runtime/mod.ts";

/** From this size on the log is moved. */
export const LOG_BYTES_MAX = 4 * 1024 * 1024;

/**
 * Pages of 4 KiB from which SQLite moves it by itself, within a COMMIT: 64 MiB. So the log stays within
 * that also when the thread fails.
 */
export const LOG_PAGES_MAX = 16_384;

/** Write transactions between two looks at the size: most are small. */
const WRITES_PER_LOOK = 64;

/** The same after a try that left the log as large, because somebody reads what was before. */
const WRITES_PER_LOOK_AGAIN = 1024;

/** Those of one open database. */
export class Checkpoints {
  readonly #path: string;
  readonly #onFault: (fault: string) => void;
  #writesLeft = WRITES_PER_LOOK;
  #running: Promise<void> | undefined;

  /** `path`: of the database; `onFault` is told why the log could not be moved. */
  constructor(path: string, onFault: (fault: string) => void) {
    this.#path = path;
    this.#onFault = onFault;
  }

  /** Something was written. */
  wrote(): void {
    if (--this.#writesLeft > 0 || this.#running !== undefined) return;
    this.#writesLeft = WRITES_PER_LOOK;
    if (!this.#isDue()) return;
    this.#running = this.#run().then((fault) => {
      this.#running = undefined;
      if (this.#isDue()) this.#writesLeft = WRITES_PER_LOOK_AGAIN;
      if (fault !== "") this.#onFault(fault);
    });
  }

  #isDue(): boolean {
    const log = statSync(`${this.#path}-wal`, { throwIfNoEntry: false });
    return log !== undefined && log.size >= LOG_BYTES_MAX;
  }

  /** Ends when what is under way has; undefined: nothing is. */
  get running(): Promise<void> | undefined {
    return this.#running;
  }

  /** @returns what went wrong; "": nothing. */
  #run(): Promise<string> {
    return new Promise((resolve) => {
      const worker = runtime.spawnWorker(
        new URL("./sqlite_checkpoint_worker.ts", import.meta.url),
      );
      const end = (fault: string): void => {
        worker.terminate();
        resolve(fault);
      };
      worker.onmessage = ({ data }: MessageEvent<string>): void => end(data);
      worker.onerror = (event): void => {
        event.preventDefault?.();
        end(event.message);
      };
      worker.postMessage(this.#path);
    });
  }
}
