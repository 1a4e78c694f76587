// Shell. One reporter for each folder of a spool.

import { mkdir } from "node:fs/promises";
import { ConfigError, messageOf } from "../../reactor/errors.ts";
import type { Logger } from "../../reactor/log.ts";
import { runtime } from "../../reactor/runtime/mod.ts";
import type { FileLock } from "../../reactor/runtime/types.ts";
import { type Clock, sleep } from "../../reactor/time/clock.ts";

/** Locked as long as a reporter uses the folder it is in. */
const LOCK_NAME = "owner.lock";

/** How long the one before may take to end, in milliseconds. */
const WAIT_MS = 5_000;
const TRY_MS = 100;

/**
 * Takes a folder for this reporter, and makes it. The lock goes with the process, however it ends.
 *
 * @returns undefined where nothing can be locked, as on a disk that cannot be written: that is said, and
 * nothing protects the folder.
 * @throws {ConfigError} when another reporter does not give it back.
 */
export async function lockSpool(
  folder: string,
  { clock, log }: { readonly clock: Clock; readonly log: Logger },
): Promise<FileLock | undefined> {
  const endMs = clock.nowMs() + WAIT_MS;
  try {
    await mkdir(folder, { recursive: true });
    for (;;) {
      const lock = runtime.tryLockFile(`${folder}/${LOCK_NAME}`);
      if (lock !== undefined) return lock;
      if (clock.nowMs() >= endMs) break;
      await sleep(clock, TRY_MS);
    }
  } catch (error) {
    log.warn("The folder of the spool cannot be locked: no other reporter may use it", {
      ...{ spool: folder, reason: messageOf(error) },
    });
    return undefined;
  }
  throw new ConfigError(
    `[reporter] spool_dir: another reporter uses ${folder}, which each needs for itself: ` +
      "take another port or another folder",
  );
}
