// Shell. The file of a backup: compressed lines, written beside and put in its place when it is whole.

import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { type FileHandle, open, rename, rm, stat } from "node:fs/promises";
import type { Readable } from "node:stream";
import { createGunzip, createGzip } from "node:zlib";
import { messageOf, StoreError } from "../reactor/errors.ts";
import {
  BACKUP_LINE_CHARS_MAX,
  BackupError,
  BackupFileError,
} from "../sql/backup/backup_format.ts";
import { StatementFault } from "../sql/drivers/driver.ts";
import type { LineHash } from "../sql/backup/backup.ts";
import { CommandError, UsageError } from "./cli_errors.ts";

/** Only the owner: it holds hashes of passwords, and secrets. */
const FILE_MODE = 0o600;

/** A sum of text. */
export function sha256(): LineHash {
  const hash = createHash("sha256");
  return { update: (text) => void hash.update(text), hexDigest: () => hash.digest("hex") };
}

/**
 * Writes a file by what `produce` gives to `write`; one of that name stays until the new one is whole
 * and on disk.
 *
 * @throws {CommandError} when it cannot be written; then no part of it is left.
 */
export async function writeLines<T>(
  path: string,
  produce: (write: (text: string) => Promise<void>) => Promise<T>,
): Promise<{ head: T; bytes: number }> {
  const beside = `${path}.new`;
  try {
    await rm(beside, { force: true });
    const file = await open(beside, "wx", FILE_MODE);
    let head: T;
    try {
      head = await compressInto(file, produce);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(beside, path);
    return { head, bytes: (await stat(path)).size };
  } catch (error) {
    await rm(beside, { force: true });
    if (error instanceof StoreError || error instanceof BackupError) throw error;
    if (error instanceof CommandError || error instanceof StatementFault) throw error;
    throw new CommandError(`${path} cannot be written: ${messageOf(error)}`, { cause: error });
  }
}

async function compressInto<T>(
  file: FileHandle,
  produce: (write: (text: string) => Promise<void>) => Promise<T>,
): Promise<T> {
  const gzip = createGzip();
  const written = drainInto(gzip, file);
  // One that fails while nobody waits for it is waited for below.
  written.catch(() => {});
  const write = async (text: string): Promise<void> => {
    if (gzip.write(text)) return;
    await Promise.race([new Promise((resolve) => gzip.once("drain", resolve)), written]);
  };
  try {
    const result = await produce(write);
    gzip.end();
    await written;
    return result;
  } catch (error) {
    gzip.destroy();
    throw error;
  }
}

async function drainInto(from: Readable, file: FileHandle): Promise<void> {
  for await (const chunk of from) {
    const bytes = chunk as Uint8Array;
    let done = 0;
    while (done < bytes.length) {
      done += (await file.write(bytes, done, bytes.length - done)).bytesWritten;
    }
  }
}

/**
 * Reads the lines of a file.
 *
 * @throws {UsageError} naming the file and what is wrong with it.
 * @throws {CommandError} when the database does not take it.
 */
export async function withLines<T>(
  path: string,
  body: (lines: AsyncIterator<string>) => Promise<T>,
): Promise<T> {
  await stat(path).catch((error: unknown) => {
    throw new UsageError(`${path} cannot be read: ${messageOf(error)}`, { cause: error });
  });
  const file = createReadStream(path);
  const plain = createGunzip();
  // What fails is told to the reader of the plain text.
  file.once("error", (error) => plain.destroy(error));
  file.pipe(plain);
  try {
    return await body(backupLines(plain));
  } catch (error) {
    if (!(error instanceof BackupError)) throw error;
    const Fault = error instanceof BackupFileError ? UsageError : CommandError;
    throw new Fault(`${path}: ${error.message}`, { cause: error });
  } finally {
    file.destroy();
    plain.destroy();
  }
}

/**
 * The lines of a text that comes in pieces, in time that grows with its length.
 *
 * @param charsMax Longest line.
 * @throws {BackupFileError} when it is cut off, cannot be read, or has a longer line.
 */
export async function* backupLines(
  plain: AsyncIterable<unknown>,
  charsMax = BACKUP_LINE_CHARS_MAX,
): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let line = new LongLine(1, charsMax);
  try {
    for await (const chunk of plain) {
      const [first, ...others] = decoder.decode(chunk as Uint8Array, { stream: true }).split("\n");
      line.add(first);
      for (const other of others) {
        yield line.text;
        line = new LongLine(line.number + 1, charsMax);
        line.add(other);
      }
    }
  } catch (error) {
    if (error instanceof BackupError) throw error;
    // A file of another kind, or a torn one, in the words of zlib; else what the system says.
    const isTorn = error instanceof Error && "code" in error && String(error.code).startsWith("Z_");
    const fault = isTorn
      ? "It is no whole backup, which is a file compressed with gzip"
      : "It cannot be read";
    throw new BackupFileError(`${fault}: ${messageOf(error)}`, { cause: error });
  }
  if (line.length > 0) throw new BackupFileError("It has no end: it was cut off");
}

/** A line of which only the pieces are kept until its end has come: else each would copy it all. */
class LongLine {
  readonly #pieces: string[] = [];
  length = 0;

  constructor(readonly number: number, readonly charsMax: number) {}

  add(piece: string): void {
    this.length += piece.length;
    if (this.length > this.charsMax) {
      throw new BackupFileError(
        `Line ${this.number} has more than ${this.charsMax} characters, which no row may have`,
      );
    }
    if (piece !== "") this.#pieces.push(piece);
  }

  get text(): string {
    return this.#pieces.join("");
  }
}
