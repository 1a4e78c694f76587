// Shell. The folder of a spool.

import { constants } from "node:fs";
import {
  type FileHandle,
  mkdir,
  open,
  readdir,
  readFile,
  rename,
  rm,
  stat,
} from "node:fs/promises";
import { type SetAside, SPOOL_FILE_ENDING, type SpoolDisk } from "./spool_log.ts";

/** Ends the names of files that could not be read. */
export const BAD_SPOOL_ENDING = ".bad";

/** Files that could not be read are kept up to so many, and so many bytes of them together. */
export const BAD_SPOOL_FILES_MAX = 64;
export const BAD_SPOOL_BYTES_MAX = 256 * 1024 * 1024;

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

  async setAside(name: string): Promise<SetAside> {
    const { size } = await stat(this.#pathOf(name));
    // Before it has its new name: where this fails, it stays.
    const dropped = await this.#dropOldest(BAD_SPOOL_FILES_MAX - 1, BAD_SPOOL_BYTES_MAX - size);
    const kept = this.#pathOf(name + BAD_SPOOL_ENDING);
    await rename(this.#pathOf(name), kept);
    return { kept, dropped };
  }

  /** Leaves so many of the files that were set aside, those that were written last. */
  async #dropOldest(filesMax: number, bytesMax: number): Promise<string[]> {
    const names = (await readdir(this.#folder)).filter((name) => name.endsWith(BAD_SPOOL_ENDING));
    const files: { name: string; size: number; mtimeMs: number }[] = [];
    for (const name of names) {
      const { size, mtimeMs } = await stat(this.#pathOf(name));
      files.push({ name, size, mtimeMs });
    }
    files.sort((a, b) => a.mtimeMs - b.mtimeMs || (a.name < b.name ? -1 : 1));
    let bytes = files.reduce((sum, { size }) => sum + size, 0);
    const dropped: string[] = [];
    for (const { name, size } of files) {
      if (files.length - dropped.length <= filesMax && bytes <= bytesMax) break;
      await rm(this.#pathOf(name), { force: true });
      bytes -= size;
      dropped.push(name);
    }
    return dropped;
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
