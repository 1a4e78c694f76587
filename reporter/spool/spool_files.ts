// Shell. The folder of a spool.

import { constants } from "node:fs";
import { type FileHandle, mkdir, open, readdir, readFile, rename, rm } from "node:fs/promises";
import { SPOOL_FILE_ENDING, type SpoolDisk } from "./spool_log.ts";

/** Name of the latest file that could not be read. */
export const BAD_SPOOL_NAME = "damaged.bad";

/** Mode of the files: they hold addresses of hosts and nodes. */
const FILE_MODE = 0o640;

/** Files in one folder, which is made when something is written. */
export class SpoolFolder implements SpoolDisk {
  readonly #folder: string;
  /** Open for writing, so that a file is not opened for each group. */
  #open: { readonly name: string; readonly file: FileHandle } | undefined;

  constructor(folder: string) {
    this.#folder = folder;
  }

  async list(): Promise<string[]> {
    try {
      const names = await readdir(this.#folder);
      return names.filter((name) => name.endsWith(SPOOL_FILE_ENDING)).sort();
    } catch (error) {
      if (error instanceof Error && "code" in error && error.code === "ENOENT") return [];
      throw error;
    }
  }

  async read(name: string): Promise<Uint8Array> {
    return await readFile(this.#pathOf(name));
  }

  async write(name: string, at: number, bytes: Uint8Array): Promise<void> {
    const file = await this.#fileOf(name);
    let done = 0;
    while (done < bytes.length) {
      done += (await file.write(bytes, done, bytes.length - done, at + done)).bytesWritten;
    }
    await file.datasync();
    if (at === 0) await this.#syncFolder();
  }

  async remove(name: string): Promise<void> {
    if (this.#open?.name === name) await this.close();
    await rm(this.#pathOf(name), { force: true });
  }

  async setAside(name: string): Promise<string> {
    const path = this.#pathOf(BAD_SPOOL_NAME);
    await rename(this.#pathOf(name), path);
    return path;
  }

  /** Gives the open file back. */
  async close(): Promise<void> {
    const file = this.#open?.file;
    this.#open = undefined;
    await file?.close();
  }

  #pathOf(name: string): string {
    return `${this.#folder}/${name}`;
  }

  async #fileOf(name: string): Promise<FileHandle> {
    if (this.#open?.name === name) return this.#open.file;
    await this.close();
    await mkdir(this.#folder, { recursive: true });
    // Not "w": a write that failed half-way is written over in its place.
    const flags = constants.O_RDWR | constants.O_CREAT;
    const file = await open(this.#pathOf(name), flags, FILE_MODE);
    this.#open = { name, file };
    return file;
  }

  /** Else the name of a new file may be lost with the power. */
  async #syncFolder(): Promise<void> {
    const folder = await open(this.#folder, "r");
    try {
      await folder.sync();
    } finally {
      await folder.close();
    }
  }
}
