// Shell. What a program has written to files and what of it was synced, from a trace of its system calls.

import { existsSync, rmSync, truncateSync } from "node:fs";

/** Words that run a program and write such a trace. */
export function tracedBy(file: string): string[] {
  const calls = "openat,write,pwrite64,writev,pwritev,fsync,fdatasync,ftruncate,rename,renameat";
  return ["strace", "-f", "-y", "-s", "200", "-e", `trace=${calls}`, "-o", file];
}

/** One file while it is written. */
class TracedFile {
  /** Where the next write goes that does not say. */
  end = 0;
  /** Bytes that are on disk for certain. */
  syncedBytes = 0;
  isDirty = false;
}

/** Files below a directory, call by call. */
export class DiskTrace {
  readonly files = new Map<string, TracedFile>();
  readonly #directory: string;
  /** Calls that another thread's came between, by thread. */
  readonly #unfinished = new Map<string, string>();

  constructor(directory: string) {
    this.#directory = directory;
  }

  /** Files that have something that is not synced. */
  get dirty(): string[] {
    return [...this.files].flatMap(([path, { isDirty }]) => isDirty ? [path] : []);
  }

  /**
   * Takes one line of the trace, in its order. A call counts when it ends; one that writes to a socket
   * when it begins, as its bytes may have left since.
   *
   * @returns the text of a write to something that is no file, as the trace shows it.
   */
  take(line: string): string | undefined {
    const [, thread, begun] = /^(\d+) +(.*)$/.exec(line) ?? [];
    if (thread === undefined) return undefined;
    const resumed = /^<\.\.\. \w+ resumed>(.*)$/.exec(begun);
    const start = resumed === null ? "" : this.#unfinished.get(thread) ?? "";
    this.#unfinished.delete(thread);
    const whole = resumed === null ? begun : start + resumed[1];
    const isToSocket = /^writev?\(\d+<(socket|TCP)/.test(whole);
    if (whole.endsWith("<unfinished ...>")) {
      this.#unfinished.set(thread, whole.slice(0, -"<unfinished ...>".length));
      return isToSocket ? whole : undefined;
    }
    if (isToSocket) return resumed === null ? whole : undefined;
    this.#apply(whole);
    return undefined;
  }

  /** Takes from every file what was not synced, as a loss of power might. */
  cut(): void {
    for (const [path, { syncedBytes, isDirty }] of this.files) {
      if (!isDirty || !existsSync(path)) continue;
      if (syncedBytes === 0) rmSync(path);
      else truncateSync(path, syncedBytes);
    }
  }

  #apply(call: string): void {
    const open = /^openat\(.*O_TRUNC.*\) = \d+<([^>]*)>$/.exec(call);
    if (open !== null) return this.#written(open[1], 0, 0);
    const wrote = /^p?writev?(?:64)?\(\d+<([^>]*)>, .*\) += (\d+)$/.exec(call);
    if (wrote !== null) {
      const [, path, count] = wrote;
      const at = /^pwrite/.test(call) ? Number(/, (\d+)\) += \d+$/.exec(call)?.[1]) : undefined;
      return this.#written(path, Number(count), at);
    }
    const synced = /^f(?:data)?sync\(\d+<([^>]*)>\) += 0$/.exec(call);
    const file = synced === null ? undefined : this.files.get(synced[1]);
    if (file !== undefined) {
      file.syncedBytes = file.end;
      file.isDirty = false;
    }
    const moved = /^rename(?:at)?\(.*"([^"]*)", .*"([^"]*)"\) += 0$/.exec(call);
    const from = moved === null ? undefined : this.files.get(moved[1]);
    if (moved === null || from === undefined) return;
    this.files.delete(moved[1]);
    this.files.set(moved[2], from);
  }

  #written(path: string, count: number, at: number | undefined): void {
    if (!path.startsWith(this.#directory)) return;
    const file = this.files.get(path) ?? new TracedFile();
    this.files.set(path, file);
    if (at === 0 && count === 0) file.end = file.syncedBytes = 0;
    file.end = Math.max(file.end, (at ?? file.end) + count);
    file.isDirty = true;
  }
}
