// Core. A disk in memory for tests: slow, full, failing, or cut off in the middle of a write.

import type { SpoolDisk } from "../spool/spool_log.ts";

/** What is on it survives {@linkcode FakeDisk.handle}s. */
export class FakeDisk {
  readonly files = new Map<string, Uint8Array>();
  /** Thrown by each write. */
  fault: Error | undefined;
  /** So many reads fail. */
  readFaults = 0;
  /** False: writes wait. */
  isFast = true;
  #waiting: (() => void)[] = [];
  #cuts: (() => void)[] = [];

  /** Ends the writes that wait. */
  release(): void {
    this.#cuts = [];
    for (const one of this.#waiting.splice(0)) one();
  }

  /** The process dies: of the writes that wait a part is on the disk. */
  kill(): void {
    this.#waiting = [];
    for (const cut of this.#cuts.splice(0)) cut();
  }

  /** The disk as a process sees it, as long as that lives. */
  handle(isAlive: () => boolean, share = (): number => 0.5): SpoolDisk {
    const never = new Promise<never>(() => {});
    const { files } = this;
    return {
      list: () =>
        Promise.resolve([...files.keys()].filter((name) => !name.endsWith(".bad")).sort()),
      read: (name) => {
        if (this.readFaults-- > 0) return Promise.reject(new Error("EMFILE"));
        return Promise.resolve(files.get(name)?.slice() ?? new Uint8Array());
      },
      write: async (name, at, bytes) => {
        if (!isAlive()) return await never;
        if (this.fault !== undefined) throw this.fault;
        const put = (length: number): void => {
          const old = files.get(name) ?? new Uint8Array();
          const grown = new Uint8Array(Math.max(old.length, at + length));
          grown.set(old);
          grown.set(bytes.subarray(0, length), at);
          files.set(name, grown);
        };
        if (!this.isFast) {
          this.#cuts.push(() => put(Math.floor(bytes.length * share())));
          await new Promise<void>((resolve) => this.#waiting.push(resolve));
          if (!isAlive()) return await never;
        }
        put(bytes.length);
      },
      remove: (name) => {
        if (isAlive()) files.delete(name);
        return Promise.resolve();
      },
      setAside: (name) => {
        const kept = `${name}.bad`;
        files.set(kept, files.get(name) ?? new Uint8Array());
        files.delete(name);
        return Promise.resolve({ kept, dropped: [] });
      },
      close: () => Promise.resolve(),
    };
  }
}
