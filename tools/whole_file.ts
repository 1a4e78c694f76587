// Shell. Files that a command writes: whole or not at all; and the folders for them.

import { existsSync, mkdirSync } from "node:fs";
import { realpath, stat, writeFile } from "node:fs/promises";
import { basename, dirname } from "node:path";
import { messageOf } from "../reactor/errors.ts";
import { runtime } from "../reactor/runtime/mod.ts";
import { CommandError } from "./cli_errors.ts";

/**
 * Writes a file beside the one of that name and puts it in its place: the older one stays whole
 * until the new one is. What is no plain file (a device, a pipe) is written as it is.
 *
 * @throws {CommandError} naming the file; an older one is untouched then.
 */
export async function writeWholeFile(path: string, text: string): Promise<void> {
  try {
    const old = await existing(path);
    if (old !== undefined && !old.isFile) return await writeFile(path, text);
    // A link stays one: the file that it names is replaced.
    const target = old?.path ?? path;
    await stat(dirname(target));
    await runtime.replaceFile(dirname(target), basename(target), new TextEncoder().encode(text));
  } catch (error) {
    throw new CommandError(`${path} cannot be written: ${messageOf(error)}`, { cause: error });
  }
}

/**
 * Makes a folder, and those above it, where they are missing.
 *
 * @throws {CommandError} naming the folder, and what is in its way.
 */
export function makeFolder(path: string): void {
  try {
    mkdirSync(path, { recursive: true });
  } catch (error) {
    const reason = existsSync(path) ? "a file of that name is there" : messageOf(error);
    throw new CommandError(`Folder ${path} cannot be made: ${reason}`, { cause: error });
  }
}

async function existing(path: string): Promise<{ path: string; isFile: boolean } | undefined> {
  try {
    const real = await realpath(path);
    return { path: real, isFile: (await stat(real)).isFile() };
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw error;
  }
}
